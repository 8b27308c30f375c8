"""From events and intervals to what the feed says of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.derive.diary import KINDS as OF_INVENTORY
from gateway.derive.summaries import aggregate_body
from gateway.feed import bodies
from gateway.history.work import ManualReading
from gateway.intervals.aggregates import EXACT
from gateway.intervals.grid import Span
from gateway.model import Event, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.config.models import Site
    from gateway.derive.messenger import Messenger
    from gateway.history.work import Work
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Interval
    from gateway.intervals.pieces import Steps
    from gateway.model import Frame

    Retold = Mapping[str, Sequence[int]]
    """Aggregate -> its newest rev, and how many intervals and revisions of its meters that was made of."""

TOLD = frozenset(
    {
        "start",
        "stop",
        "config",
        "clock_step",
        "crash",
        "journal_damaged",
        "history_damaged",
        "history_dropped",
        "destination_removed",
        "feed_paused",
        "intervals_skipped",
        "chain_begins",
        "certificate_expires",
        "commissioned",
        "meter_swap",
        "ratio_change",
        "layout",
        "replay",
        "maintenance_begin",
        "maintenance_end",
        "counter_reset",
        "counter_jump",
        "counter_rollover",
        "frozen",
        "manual_reading",
    }
    | OF_INVENTORY
)
"""Events that concern whoever relies on the readings; outages are in the intervals, reason by reason."""
MANUAL = "manual_reading"


class Teller:
    """Collects what a commit says."""

    def __init__(self, site: Site, grid: Grid, messenger: Messenger | None) -> None:
        """messenger: None where nothing is signed: then only the history is told."""
        self._aggregates = site.aggregates
        self._grid, self._messenger = grid, messenger
        self._events: list[dict[str, Any]] = []

    def record(self, record: Frame | Event | Gap, work: Work) -> None:
        """Take an event or a gap record of the journal into the commit."""
        if isinstance(record, Event):
            work.events.append(record)
            if record.kind == MANUAL:
                self._manual(record, work)
            self.event(record)
        elif isinstance(record, Gap):
            self._say(record)

    def event(self, event: Event) -> None:
        """Tell an event, if it is one the feed tells."""
        if event.kind in TOLD:
            self._say(event)

    def _say(self, record: Event | Gap) -> None:
        if self._messenger is not None:
            self._events.append(bodies.event(record, self._grid))

    def _manual(self, event: Event, work: Work) -> None:
        told = event.detail
        reading = ManualReading(
            event.subject,
            str(told["channel"]),
            int(str(told["time_ns"])),
            Decimal(str(told["reading"])),
            str(told["unit"]),
            str(told["by"]),
            str(told["why"]),
            event.time_ns,
        )
        work.manual.append(reading)
        if self._messenger is not None:
            self._messenger.say("data", {"readings": [manual_body(reading, self._grid)]})

    def forget(self) -> None:
        """Tell nothing of what waits: the journal is read again."""
        self._events = []

    @property
    def has_words(self) -> bool:
        """Return whether events wait to be told."""
        return bool(self._events)

    def flush(self) -> None:
        """Have the events that wait in the next commit."""
        events, self._events = self._events, []
        if self._messenger is not None:
            for part in bodies.cut(events):
                self._messenger.say("event", {"events": part})

    def intervals(self, intervals: Sequence[Interval], fresh: Sequence[Interval]) -> Steps[None]:
        """Tell closed intervals, a message at a time, and the reported quantities of `fresh` ones: those whose time is told for the first time."""
        if self._messenger is None:
            return
        first: dict[int, list[Interval]] = {}
        for one in fresh:
            first.setdefault(one.start_ns, []).append(one)
        sums = [body for together in first.values() for body in self.aggregates(together)]
        for body in bodies.closed(intervals, sums, (), self._grid):
            self._messenger.say("data", body)
            yield

    def anew(
        self, together: Sequence[Interval], retold: Retold, was_told: Callable[[str, int], bool]
    ) -> Retold:
        """Tell the reported quantities of an interval that closed again; return what to keep of that, as `retold` next time.

        together: its meters in every epoch, newest revisions. was_told: aggregate and start -> whether it was told when the
        interval closed first. Each begins at rev 0, also one that did not exist then, and rises by one.
        """
        if self._messenger is None or not together:
            return {}
        kept: dict[str, tuple[int, int]] = {name: (rev, made) for name, (rev, made) in retold.items()}
        revs: dict[str, int] = {}
        for config in self._aggregates:
            terms = {term.meter for term in config.terms}
            made = sum(one.rev + 1 for one in together if one.meter in terms)
            before = kept.get(config.id, (0, -1) if was_told(config.id, together[0].start_ns) else None)
            if before is None or before[1] != made:  # else none of its meters' intervals was made anew
                revs[config.id] = 0 if before is None else before[0] + 1
                kept[config.id] = revs[config.id], made
        for body in bodies.closed((), list(self.aggregates(together, revs)), (), self._grid):
            self._messenger.say("data", body)
        return kept

    def aggregates(
        self, together: Sequence[Interval], revs: Mapping[str, int] | None = None
    ) -> Iterable[dict[str, Any]]:
        """Yield the reported quantities of one interval. revs: of those that are told, None: of all, for the first time.

        A time that came in two epochs counts twice.
        """
        amounts: dict[tuple[str, str], Decimal | None] = {}
        units: dict[tuple[str, str], str] = {}
        for one in together:
            for channel in one.channels:
                name = one.meter, channel.key
                units[name] = channel.unit
                before, more = amounts.get(name, Decimal(0)), channel.delta
                amounts[name] = None if before is None or more is None else EXACT.add(before, more)
        for config in self._aggregates:
            if together and (revs is None or config.id in revs):
                span = Span(together[0].start_ns, together[0].end_ns)
                rev = 0 if revs is None else revs[config.id]
                yield aggregate_body(config, "interval", span, rev, amounts, units, self._grid)


def manual_body(reading: ManualReading, grid: Grid) -> dict[str, Any]:
    """Return a reading entered by hand as messages have it: `contract.ManualBody`."""
    return {
        "meter": reading.meter,
        "channel": reading.channel,
        "at": grid.iso(reading.time_ns),
        "value": f"{reading.reading:f}",
        "unit": reading.unit,
        "by": reading.by,
        "why": reading.why,
        "entered": grid.iso(reading.entered_ns),
    }

"""What the instruments of an inventory delivered in a window, out of the history. Contract: docs/specs/evidence.md.

The counts are those of `metergate completeness`; what no interval was made of, for the meter was not in the site file yet or nothing
ran, is expected all the same, as far as the history reaches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.config.reports import reported
from gateway.derive.declarations import declared_around, of_meter
from gateway.derive.site_grid import grid_of
from gateway.derive.stand_ins import with_stand_ins
from gateway.derive.sums import MeterSums
from gateway.errors import StorageError
from gateway.evidence.days import channels_on, days_of, meters_in_month, meters_on, span_of
from gateway.evidence.last_good import last_good
from gateway.evidence.never_made import both, due, due_ns, uncovered
from gateway.fitting.evidence import Delivered, Evidence, Origin
from gateway.intervals.aggregates import EXACT
from gateway.intervals.completeness import Completeness
from gateway.intervals.grid import TOLERANCE_MAX_NS, Span
from gateway.inventory.values import Measured
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import date

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.config.reports import Reported
    from gateway.derive.declarations import Splits
    from gateway.evidence.days import MeterDay
    from gateway.fitting.evidence import Window
    from gateway.history.read import Queries
    from gateway.intervals.amounts import Split
    from gateway.intervals.grid import Grid
    from gateway.intervals.totals import Run
    from gateway.inventory.model import Instrument, Inventory

UNITS = {"kW·h": "kWh", "kWh": "kWh", "m³": "m3", "m3": "m3", "t": "t", "GJ": "GJ"}
"""Canonical unit of a counter -> unit of an inventory; an amount in another one says nothing about energy, mass or volume."""
PLACES = Decimal("1E-12")  # what an amount of an inventory can hold


class _Day(NamedTuple):
    on: date
    span: Span


@dataclass(slots=True)
class _Tally:
    """What one instrument delivered so far. key: the counter it stands for, "" if it cannot be told. named: its own channel alone counts.

    known: what its meter reports now.
    """

    instrument: Instrument
    key: str
    named: bool
    span: Span
    known: Sequence[Reported]
    expected: int = 0
    good: int = 0
    last_ns: int = 0
    late: Span | None = (
        None  # the last day with a good reading, if none of it lies at a boundary inside the window
    )
    splits: Sequence[Split] = ()
    run: Run | None = None
    is_done: bool = False  # by the month's own summary

    @property
    def name(self) -> tuple[str, str]:
        """Return its meter and channel, "": all of them."""
        return self.instrument.meter, self.key if self.named else ""

    def due(self, span: Span) -> int:
        """Return how many readings are due in a span by the present periods."""
        return due(self.known, self.name[1], span)

    def take(self, day: Span, own: MeterDay, counts: tuple[int, int]) -> None:
        """Add a day. counts: readings expected and good."""
        self.expected += counts[0]
        self.good += counts[1]
        keys = [self.key] if self.named else own.runs
        ends = [run.last.time_ns for key in keys if (run := own.runs.get(key)) is not None and run.last]
        self.last_ns = max([self.last_ns, *ends])
        if counts[1]:
            self.late = None if ends else day
        run = own.runs.get(self.key)
        if run is not None:
            self.run = run if self.run is None else self.run.then(run, self.key, self.splits)


def gather(
    inventory: Inventory,
    site: Site,
    library: Library,
    history: Queries,
    window: Window,
    advance: Callable[[float], None] = lambda _: None,
    *,
    now_ns: int | None = None,
) -> Evidence | None:
    """Return what each instrument with a meter delivered; None if the history begins after the window: nobody can tell.

    advance: told which part is done. now_ns: until when readings were due; None: the window is over. Raises StorageError.
    """
    grid = grid_of(site)
    days = [_Day(on, span_of(grid, on)) for on in days_of(window)]
    span = Span(days[0].span.start_ns, days[-1].span.end_ns)
    oldest = next(iter(history.intervals()), None)
    if oldest is None or oldest.start_ns >= span.end_ns or (now_ns is not None and now_ns <= span.start_ns):
        return None
    closed_ns = _closed_ns(history)
    known = {meter.id: reported(meter, library) for meter in site.meters}
    splits = declared_around(history, span)
    covered = both(span, Span(oldest.start_ns, closed_ns))
    tallies = _tallies(inventory, known, days, splits)
    if grid.month(span.start_ns) == span == covered:
        _take_month(history, span, tallies)
    for number, day in enumerate(days, 1):
        if day.span.end_ns > covered.start_ns and day.span.start_ns < covered.end_ns:
            _take_day(history, grid, site, day.span, covered, tallies)
        advance(number / len(days))
    _find_last(history, tallies, grid, known)
    until_ns = due_ns(now_ns, closed_ns, span, site, grid)
    for tally in tallies:
        tally.expected += tally.due(both(Span(closed_ns, until_ns), tally.span))
    amounts = _amounts(history, tallies, grid, span, closed_ns, splits)
    found = {
        tally.instrument.id: Delivered(
            expected=tally.expected,
            good=tally.good,
            last_good=grid.iso(tally.last_ns) if tally.last_ns else "",
            amount=amounts.get(tally.instrument.id),
        )
        for tally in tallies
        if tally.expected or tally.run is not None or tally.instrument.meter in known
    }
    damaged = _damaged(history, span)
    evidence = Evidence.model_validate(
        {
            "from": window.first,
            "to": window.last,
            "timezone": site.site.timezone,
            "whole": oldest.start_ns <= span.start_ns and until_ns >= span.end_ns and not damaged,
            "source": _source(
                site, grid, span, oldest.start_ns, min(closed_ns, until_ns), len(history.unreadable), damaged
            ),
            "instruments": found,
        }
    )
    return evidence.of(Origin("history"))


def _closed_ns(history: Queries) -> int:
    """Return until when intervals have closed. Raises StorageError if that is damaged: nobody could tell what came."""
    agenda = history.state("agenda")
    if not isinstance(agenda, dict) or not isinstance(agenda.get("closed_ns"), int):
        raise StorageError(
            f"history {history.path} is damaged: it does not tell until when intervals have closed; a gateway that runs puts it right"
        )
    return int(agenda["closed_ns"])


def _damaged(history: Queries, span: Span) -> int:
    """Return how many intervals of the window were wanted and could not be read: what they told is missing from the counts."""
    return sum(
        isinstance(row[0], int) and isinstance(row[1], str) and span.start_ns <= row[0] < span.end_ns
        for row in history.unreadable
    )


def _source(
    site: Site, grid: Grid, span: Span, oldest_ns: int, until_ns: int, unreadable: int, damaged: int
) -> str:
    """Return where the evidence is from, and what of the window it does not have."""
    said = [f"history of gateway {site.gateway.id}"]
    if oldest_ns > span.start_ns:
        said.append(f"begins {grid.iso(oldest_ns)}, after the window does")
    if until_ns < span.end_ns:
        said.append(f"nothing was made after {grid.iso(until_ns)}")
    if unreadable:
        said.append(f"damaged rows passed over: {unreadable}, of them intervals of the window: {damaged}")
    return "; ".join(said)


def _tallies(
    inventory: Inventory, known: Mapping[str, list[Reported]], days: Collection[_Day], splits: Splits
) -> list[_Tally]:
    """Return the instruments with a meter that were in their place on a day of the window, each with its own days."""
    found = []
    for instrument in inventory.instruments:
        own = [day.span for day in days if instrument.meter and instrument.is_installed(day.on)]
        if own:
            counters = [one.key for one in known.get(instrument.meter, ()) if one.kind == "counter"]
            key = instrument.channel or (counters[0] if len(counters) == 1 else "")
            span = Span(own[0].start_ns, own[-1].end_ns)
            tally = _Tally(instrument, key, bool(instrument.channel), span, known.get(instrument.meter, ()))
            tally.splits = of_meter(splits, instrument.meter)
            found.append(tally)
    return found


def _keys(tallies: Collection[_Tally]) -> dict[str, set[str]]:
    """Return meter -> counters whose runs are wanted, none: all, for one of them may have the last good reading."""
    keys: dict[str, set[str]] = {}
    for one in tallies:
        keys.setdefault(one.instrument.meter, set()).add(one.key if one.named else "")
    return {meter: set() if "" in own else own for meter, own in keys.items()}


def _take_month(history: Queries, span: Span, tallies: Collection[_Tally]) -> None:
    """Take a whole month from its own summary, where that tells all; it is made of the days, with readings that stand in at its ends."""
    whole = [one for one in tallies if one.span == span]
    meters = meters_in_month(history, span, _keys(whole))
    for tally in whole:
        own = meters.get(tally.instrument.meter)
        if own is None or (tally.named and not own.channels):
            continue
        ends = [run.last for key, run in own.runs.items() if not tally.named or key == tally.key]
        if any(
            end is not None and end.source == "meter" and abs(end.time_ns - span.end_ns) <= TOLERANCE_MAX_NS
            for end in ends
        ):
            counts = own.channels.get(tally.key, (0, 0)) if tally.named else (own.expected, own.good)
            if counts[0] == tally.due(span) or not tally.known:  # else its days tell when it had no intervals
                tally.take(span, own, counts)
                tally.is_done = True


def _take_day(
    history: Queries, grid: Grid, site: Site, day: Span, covered: Span, tallies: Collection[_Tally]
) -> None:
    """Add one day to every instrument that was in its place. covered: from when until when the history has intervals."""
    here = [one for one in tallies if one.span.start_ns <= day.start_ns < one.span.end_ns and not one.is_done]
    if not here:
        return
    keys = _keys(here)
    meters = meters_on(history, grid, site.intervals, day, keys)
    scanned = _scanned(history, day, here, meters)
    inside, other = both(day, covered), []
    for tally in here:
        own = meters.get(tally.instrument.meter)
        if own is None:
            tally.expected += tally.due(inside)
            continue
        counts: tuple[int, int] | None = own.expected, own.good
        if tally.named:
            channels = own.channels or scanned.get(tally.instrument.meter, {})
            counts = channels.get(tally.key)
        tally.take(day, own, counts or (0, 0))
        due_now = tally.due(inside)
        if counts is None:  # its channel is reported since another day
            tally.expected += due_now
        elif counts[0] != due_now and tally.known:
            other.append(tally)
    gaps = uncovered(history, inside, {one.instrument.meter for one in other}) if other else {}
    for tally in other:
        tally.expected += sum(map(tally.due, gaps[tally.instrument.meter]))


def _scanned(
    history: Queries, day: Span, here: Collection[_Tally], meters: Mapping[str, MeterDay]
) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the counts by channel that a day's summary does not tell, of the meters they are wanted of."""
    wanted = {one.instrument.meter for one in here if one.named}
    wanted = {meter for meter in wanted if meter in meters and not meters[meter].channels}
    return channels_on(history, day, wanted) if wanted else {}


def _find_last(
    history: Queries, tallies: Collection[_Tally], grid: Grid, known: Mapping[str, list[Reported]]
) -> None:
    """Find the last good reading of those whose last boundary has none, or lies at the end of the window or after it."""
    wanted: dict[Span, list[_Tally]] = defaultdict(list)
    for tally in tallies:
        if tally.late is not None:
            wanted[tally.late].append(tally)
        elif tally.last_ns >= tally.span.end_ns:
            wanted[grid.interval(tally.span.end_ns - 1)].append(tally)
    periods = {(meter, one.key): round(one.period_s * NS) for meter, own in known.items() for one in own}
    for span, some in wanted.items():
        found = last_good(history, span, {one.name for one in some}, periods)
        for tally in some:
            inside = tally.last_ns if tally.last_ns < tally.span.end_ns else 0
            tally.last_ns = found.get(tally.name, 0) or inside or tally.last_ns


# -- amounts --------------------------------------------------------------------------------------------------


def _amounts(
    history: Queries, tallies: Collection[_Tally], grid: Grid, span: Span, closed_ns: int, splits: Splits
) -> dict[str, Measured | None]:
    """Return instrument -> what its counter counted over the window, or over its own days in it; None: unknown.

    Where the window is a month of the site a reading within a day of its ends stands in, as in the month's own total.
    """
    runs = {tally.instrument.id: tally.run.over(tally.span) for tally in tallies if tally.run is not None}
    if grid.month(span.start_ns) == span and closed_ns >= span.end_ns:
        open_ended = {
            tally.instrument.id: (tally.instrument.meter, tally.key)
            for tally in tallies
            if tally.span == span and tally.instrument.id in runs
        }
        sums: dict[str, dict[str, Run]] = defaultdict(dict)
        for instrument, (meter, key) in open_ended.items():
            sums[meter][key] = runs[instrument]
        whole = {meter: MeterSums(Completeness(), own, {}, {}) for meter, own in sums.items()}
        made = with_stand_ins(history, span, whole, splits)
        runs |= {instrument: made[meter].runs[key] for instrument, (meter, key) in open_ended.items()}
    return {instrument: _measured(run) for instrument, run in runs.items()}


def _measured(run: Run) -> Measured | None:
    amount, unit = run.amount, UNITS.get(run.unit)
    if amount is None or unit is None or amount < 0:
        return None
    return Measured(EXACT.quantize(amount, PLACES).normalize(EXACT), unit)

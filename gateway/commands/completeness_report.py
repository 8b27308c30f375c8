"""How complete a period was, from the history: per meter, for the site, and what each destination of the feed has acknowledged."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.derive.consistency import Consistency, boundary_error_s, consistency
from gateway.derive.declarations import declared_around
from gateway.derive.stand_ins import with_stand_ins
from gateway.derive.sums import of_day, of_intervals, of_month, of_total
from gateway.evidence.messages import entries, first_since, intervals_told
from gateway.feed.lines import time_ms
from gateway.intervals.completeness import Completeness, percent, summed
from gateway.intervals.grid import Span
from gateway.model import MS_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from decimal import Decimal

    from gateway.config.periods import IntervalsConfig
    from gateway.derive.sums import Sums
    from gateway.history.read import Queries
    from gateway.intervals.grid import Grid


class Uploaded(NamedTuple):
    """values: interval values in acknowledged messages. percent: of what was due. is_whole: the outbox still has every message of the period.

    percent is None where rows of the history cannot be read: what was due is not known then. Else it is 100 at most.
    """

    values: int
    percent: Decimal | None
    is_whole: bool


class Report(NamedTuple):
    """Completeness of a period. until_ns: so far intervals have closed; before the end of the period it is still running.

    oldest_ns: begin of the oldest interval of the history, 0: it has none. unreadable: rows that are damaged; the figures are of
    the others.
    """

    span: Span
    until_ns: int
    oldest_ns: int
    site: Completeness
    meters: dict[str, Completeness]
    consistency: Consistency
    uploaded: dict[str, Uploaded]
    unreadable: int = 0

    @property
    def is_running(self) -> bool:
        """Return whether the period is not over yet."""
        return self.until_ns < self.span.end_ns


def report(
    store: Queries,
    grid: Grid,
    settings: IntervalsConfig,
    span: Span,
    period: str,
    *,
    meters: Collection[str] | None = None,
    destinations: Collection[str] = (),
    advance: Callable[[float], None] = lambda _: None,
) -> Report:
    """Return how complete a period was. period: `day`, `month` or "" (any other). advance: told which part is done. Raises StorageError."""
    days: list[Sums] = []
    for day in _days(grid, span):
        found = _day(store, grid, settings, day, span)
        chosen = found if meters is None else {m: own for m, own in found.items() if m in meters}
        days.append(chosen)
        advance((day.end_ns - span.start_ns) / (span.end_ns - span.start_ns))
    splits = declared_around(store, span)
    sums = of_month(days, span, splits)
    until_ns = int((store.state("agenda") or {}).get("closed_ns", 0))
    if period == "month" and until_ns >= span.end_ns:
        sums = with_stand_ins(store, span, sums, splits)
    found_meters = {meter: own.completeness for meter, own in sums.items()}
    site = summed(found_meters.values())
    oldest = next(iter(store.intervals()), None)
    return Report(
        span,
        until_ns,
        0 if oldest is None else oldest.start_ns,
        site,
        found_meters,
        consistency("month", sums, days) if period == "month" else Consistency(None, _boundary_error_s(days)),
        uploaded(store, grid, span, site.due, meters, destinations),
        len(store.unreadable),
    )


def _boundary_error_s(days: list[Sums]) -> Decimal | None:
    return boundary_error_s(run for day in days for own in day.values() for run in own.runs.values())


def _days(grid: Grid, span: Span) -> Iterator[Span]:
    day = grid.day(span.start_ns)
    while day.start_ns < span.end_ns:
        yield day
        day = grid.day(day.end_ns)


def _day(store: Queries, grid: Grid, settings: IntervalsConfig, day: Span, span: Span) -> Sums:
    """Return the sums of as much of a day as lies in the period: as they were summed up, or of its intervals."""
    part = Span(max(day.start_ns, span.start_ns), min(day.end_ns, span.end_ns))
    if part != day:
        return of_intervals(store.intervals(*part), part, declared_around(store, part))
    row = store.total("day", day.start_ns)
    if row is None or row.end_ns != day.end_ns:  # summed up before days began at another hour
        return of_day(store, grid, day, settings)
    found = of_total(store, row)
    return of_day(store, grid, day, settings) if found is None else found


# -- what the destinations have ------------------------------------------------------------------------------


class Acknowledged:
    """Which messages a destination has acknowledged: below its live position, in no backlog, not refused."""

    def __init__(self, body: Mapping[str, Any], chain: str) -> None:
        """body: its position, as gateway/feed/positions.py stores it; of another chain it has nothing of this one."""
        is_own = body.get("chain") == chain
        self.live: int = body.get("live", 0) if is_own else 0
        self._backlog = [tuple(span) for span in body.get("backlog", ())] if is_own else []
        self._refused = {seq for seq, _ in body.get("refusals", ())} if is_own else set()

    def __contains__(self, seq: object) -> bool:
        """Return whether it has acknowledged this one."""
        assert isinstance(seq, int)
        in_backlog = any(first <= seq < until for first, until in self._backlog)
        return seq < self.live and not in_backlog and seq not in self._refused


class _Values:
    """Known values of the newest acknowledged revision of every interval; a few bytes each, so that months fit."""

    def __init__(self, grid: Grid, span: Span) -> None:
        self._span, self._length_ns = span, grid.length_ns
        self._count = -(-(span.end_ns - span.start_ns) // grid.length_ns)
        self._cells: dict[tuple[str, int], array[int]] = {}

    def take(self, interval: Mapping[str, Any], start_ns: int) -> None:
        name = interval["meter"], interval["epoch"]
        if name not in self._cells:
            self._cells[name] = array("q", [-1]) * self._count
        known = sum(
            channel.get("delta" if channel["kind"] == "counter" else "mean") is not None
            for channel in interval["channels"].values()
        )
        cells, at = self._cells[name], (start_ns - self._span.start_ns) // self._length_ns
        cells[at] = max(cells[at], interval["rev"] << 20 | known)

    @property
    def count(self) -> int:
        return sum(cell & 0xFFFFF for cells in self._cells.values() for cell in cells if cell >= 0)


def uploaded(
    store: Queries,
    grid: Grid,
    span: Span,
    due: int,
    meters: Collection[str] | None,
    destinations: Collection[str],
) -> dict[str, Uploaded]:
    """Return destination -> the values it has acknowledged. Raises StorageError."""
    if not destinations:
        return {}
    meta, positions = store.meta(), store.destinations()
    chain, oldest, seq = str(meta.get("chain", "")), int(meta.get("oldest", 1)), int(meta.get("seq", 0))
    has = {name: Acknowledged(positions.get(name, {}), chain) for name in destinations}
    values = {name: _Values(grid, span) for name in destinations}
    first = first_since(store, oldest, seq + 1, span.start_ns)
    for entry in entries(store, first, seq + 1):
        owners = [name for name, acknowledged in has.items() if entry.seq in acknowledged]
        for interval in intervals_told(entry) if owners else ():
            start_ns = time_ms(interval["t0"]) * MS_NS
            if span.start_ns <= start_ns < span.end_ns and (meters is None or interval["meter"] in meters):
                for name in owners:
                    values[name].take(interval, start_ns)
    is_whole = first > oldest or oldest <= 1
    counts = {name: own.count for name, own in values.items()}
    return {
        name: Uploaded(count, None if store.unreadable else percent(min(count, due), due), is_whole)
        for name, count in counts.items()
    }

"""What the history has of single days of meters: counts by channel and runs of counters. Fast, for thousands of meters and a month."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from gateway.derive.sums import by_channel, channels_of_row, of_day, of_total
from gateway.intervals.totals import run_of_row
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gateway.config.periods import IntervalsConfig
    from gateway.fitting.evidence import Window
    from gateway.history.read import MeterOfTotal, Queries
    from gateway.intervals.grid import Grid, Span
    from gateway.intervals.totals import Run


class MeterDay(NamedTuple):
    """One meter on one day. expected, good: readings of all its reported channels; channels: of each, empty if the row does not tell."""

    expected: int
    good: int
    channels: Mapping[str, tuple[int, int]]
    runs: Mapping[str, Run]


def span_of(grid: Grid, on: date) -> Span:
    """Return the day of the site that is named by its begin, as `metergate completeness --day` has it."""
    midnight = datetime(on.year, on.month, on.day, tzinfo=ZoneInfo(grid.zone))
    return grid.day(round(midnight.timestamp()) * NS + grid.day_start_s * NS)


def days_of(window: Window) -> Iterator[date]:
    """Yield the days of a window."""
    for number in range(window.first.toordinal(), window.last.toordinal() + 1):
        yield date.fromordinal(number)


def meters_on(
    store: Queries, grid: Grid, settings: IntervalsConfig, day: Span, keys: Mapping[str, Collection[str]]
) -> dict[str, MeterDay]:
    """Return meter -> its day, of those that had an interval: as it was summed up, else of its intervals. Raises StorageError.

    keys: meter -> its counters whose runs are wanted, none: all.
    """
    rows = store.meters_of_total("day", day.start_ns)
    if rows and rows[0].end_ns == day.end_ns:  # else summed up before days began at another hour
        found: dict[str, MeterDay] | None = store.made(lambda all_: _of_rows(all_, keys), tuple(rows))
        if found is not None:
            return found
    row = store.total("day", day.start_ns) if rows is None else None
    if row is not None:
        of_total(store, row)  # one that is damaged is counted
    return {
        meter: MeterDay(own.completeness.expected, own.completeness.good, own.channels, own.runs)
        for meter, own in of_day(store, grid, day, settings).items()
        if meter in keys
    }


def meters_in_month(store: Queries, month: Span, keys: Mapping[str, Collection[str]]) -> dict[str, MeterDay]:
    """Return meter -> its month as it was summed up; empty if it was not yet, or is to be summed up anew. Raises StorageError."""
    todo = (store.state("agenda") or {}).get("todo", {})
    if any(begin < month.end_ns and month.start_ns < end for own in todo.values() for begin, end in own):
        return {}
    rows = store.meters_of_total("month", month.start_ns)
    if not rows or rows[0].end_ns != month.end_ns:
        return {}
    found: dict[str, MeterDay] | None = store.made(lambda all_: _of_rows(all_, keys), tuple(rows))
    return found or {}


def channels_on(store: Queries, day: Span, meters: Collection[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return meter -> channel -> readings expected and good, counted over the intervals of a day. Raises StorageError."""
    by_meter: dict[str, list[Any]] = {}
    for interval in store.intervals(*day, meters):
        by_meter.setdefault(interval.meter, []).append(interval)
    return {meter: by_channel(own) for meter, own in by_meter.items()}


def _of_rows(rows: tuple[MeterOfTotal, ...], keys: Mapping[str, Collection[str]]) -> dict[str, MeterDay]:
    return {row.meter: _of_row(row, keys[row.meter]) for row in rows if row.meter in keys}


def _of_row(row: MeterOfTotal, keys: Collection[str]) -> MeterDay:
    runs = {
        key: run_of_row(run) for key, run in orjson.loads(row.runs or "{}").items() if not keys or key in keys
    }
    channels = channels_of_row({"channels": orjson.loads(row.channels or "{}")})
    return MeterDay(int(row.expected), int(row.good), channels, runs)

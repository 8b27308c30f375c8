"""What the history has of single days of meters: counts by channel and runs of counters. Fast, for thousands of meters and a month."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from gateway.derive.sums import by_channel, channels_of_row, of_day
from gateway.intervals.totals import run_of_row
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gateway.config.periods import IntervalsConfig
    from gateway.fitting.evidence import Window
    from gateway.history.read import Queries
    from gateway.history.work import TotalRow
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
    store: Queries, grid: Grid, settings: IntervalsConfig, day: Span, meters: Collection[str]
) -> dict[str, MeterDay]:
    """Return meter -> its day, of those that had an interval: as it was summed up, else of its intervals. Raises StorageError."""
    row = store.total("day", day.start_ns)
    if row is not None and row.end_ns == day.end_ns:  # else summed up before days began at another hour
        found: dict[str, MeterDay] | None = store.made(lambda one: _of_total(one, meters), row)
        if found is not None:
            return found
    return {
        meter: MeterDay(own.completeness.expected, own.completeness.good, own.channels, own.runs)
        for meter, own in of_day(store, grid, day, settings).items()
        if meter in meters
    }


def channels_on(store: Queries, day: Span, meters: Collection[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return meter -> channel -> readings expected and good, counted over the intervals of a day. Raises StorageError."""
    by_meter: dict[str, list[Any]] = {}
    for interval in store.intervals(*day, meters):
        by_meter.setdefault(interval.meter, []).append(interval)
    return {meter: by_channel(own) for meter, own in by_meter.items()}


def last_good_interval(store: Queries, day: Span, meters: Collection[str]) -> dict[str, int]:
    """Return meter -> begin of its last interval of a day with a good reading. Raises StorageError."""
    found: dict[str, int] = {}
    for interval in store.intervals(*day, meters):
        if any(channel.good for channel in interval.channels):
            found[interval.meter] = max(interval.start_ns, found.get(interval.meter, 0))
    return found


def _of_total(row: TotalRow, meters: Collection[str]) -> dict[str, MeterDay]:
    """Return the wanted meters of a row; shifts and tariffs are not looked at, which makes it fast."""
    rows: Mapping[str, Any] = row.body["meters"]
    return {meter: _of_row(rows[meter]) for meter in meters if meter in rows}


def _of_row(own: Mapping[str, Any]) -> MeterDay:
    counts = own["completeness"]
    runs = {key: run_of_row(run) for key, run in own["runs"].items()}
    return MeterDay(counts["expected"], counts["good"], channels_of_row(own), runs)

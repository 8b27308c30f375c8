"""Summaries of hours, days and months: computed from the history's rows, kept as rows, so that a month follows from its days.

Rules: docs/specs/intervals.md, Totals. Nothing here writes; `store` is asked between two commits.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config.periods import clock_time_s, tariff_spans
from gateway.intervals.completeness import Completeness, completeness_of_row, of_interval, summed
from gateway.intervals.grid import Span
from gateway.intervals.totals import Parted, Run, joined, parted, run_of_row, runs
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gateway.config.periods import IntervalsConfig
    from gateway.history.read import Queries
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Interval

DAY_S = 86_400
MONTH_TOLERANCE_NS = DAY_S * NS
"""A month's reading may be a day off. Source: what state platforms ask of collected data (docs/specs/intervals.md)."""


class MeterSums(NamedTuple):
    """One meter in a period: how complete, its counters' runs, by shift and by tariff (shift or tariff -> counter -> ...)."""

    completeness: Completeness
    runs: Mapping[str, Run]
    shifts: Mapping[str, Mapping[str, Run]]
    tariffs: Mapping[str, Mapping[str, Parted]]


Sums = dict[str, MeterSums]
"""By meter."""


def of_intervals(intervals: Iterable[Interval]) -> Sums:
    """Return the sums over intervals in any order."""
    by_meter = _by_meter(intervals)
    return {
        meter: MeterSums(summed(map(of_interval, own)), runs(own), {}, {}) for meter, own in by_meter.items()
    }


def of_day(store: Queries, grid: Grid, day: Span, settings: IntervalsConfig) -> Sums:
    """Return the sums of a day, with the shifts that end on it and tariffs. Raises StorageError."""
    shifts = list(shift_spans(grid, day, settings))
    from_ns = min([day.start_ns, *(span.start_ns for _, span in shifts)])
    found: Sums = {}
    for meter, own in _by_meter(store.intervals(from_ns, day.end_ns)).items():
        in_day = [one for one in own if one.start_ns >= day.start_ns]
        if in_day:
            by_shift = {
                name: runs(one for one in own if span.start_ns <= one.start_ns < span.end_ns)
                for name, span in shifts
            }
            sums = summed(map(of_interval, in_day))
            found[meter] = MeterSums(sums, runs(in_day), by_shift, _by_tariff(grid, in_day, settings))
    return found


def shift_spans(grid: Grid, day: Span, settings: IntervalsConfig) -> Iterator[tuple[str, Span]]:
    """Yield the shifts that end on a day; one across its beginning began on the day before."""
    for shift in settings.shifts:
        start_s, end_s = clock_time_s(shift.start), clock_time_s(shift.end)
        end_ns = grid.clock(day, end_s)
        if end_ns == day.start_ns:
            end_ns = day.end_ns
        length_s = (end_s - start_s) % DAY_S or DAY_S
        yield shift.id, Span(end_ns - length_s * NS, end_ns)


def _by_meter(intervals: Iterable[Interval]) -> dict[str, list[Interval]]:
    found: dict[str, list[Interval]] = defaultdict(list)
    for interval in intervals:
        found[interval.meter].append(interval)
    for own in found.values():
        own.sort(key=lambda one: (one.epoch, one.start_ns))
    return dict(sorted(found.items()))


def _by_tariff(
    grid: Grid, intervals: Sequence[Interval], settings: IntervalsConfig
) -> dict[str, dict[str, Parted]]:
    found: dict[str, dict[str, Parted]] = defaultdict(dict)
    if not settings.tariffs:
        return {}
    for interval in intervals:
        second = grid.second_of_day(interval.start_ns)
        spans = tariff_spans(settings.tariffs, grid.local_month(interval.start_ns))
        kind = next((kind for begin, end, kind in spans if begin <= second < end), None)
        for channel in interval.channels:
            if kind is not None and channel.kind == "counter":
                before = found[kind].get(channel.key)
                found[kind][channel.key] = parted(channel) if before is None else before.plus(parted(channel))
    return dict(found)


def of_month(days: Iterable[Sums]) -> Sums:
    """Return the sums of consecutive days; a shift is a day's own and is not summed."""
    parts: dict[str, list[MeterSums]] = defaultdict(list)
    for day in days:
        for meter, own in day.items():
            parts[meter].append(own)
    return {meter: _joined(each) for meter, each in sorted(parts.items())}


def _joined(each: Sequence[MeterSums]) -> MeterSums:
    tariffs: dict[str, dict[str, Parted]] = defaultdict(dict)
    for one in each:
        for kind, channels in one.tariffs.items():
            for key, part in channels.items():
                before = tariffs[kind].get(key)
                tariffs[kind][key] = part if before is None else before.plus(part)
    complete = summed(one.completeness for one in each)
    return MeterSums(complete, joined(one.runs for one in each), {}, dict(tariffs))


def spanned(run: Run, span: Span, tolerance_ns: int = 0) -> Decimal | None:
    """Return the exact amount of a run in a period; None if it does not reach from one end to the other, or is broken.

    tolerance_ns: so far a reading may be from its end of the period and still stand for it.
    """
    if run.is_broken or run.first is None or run.last is None:
        return None
    opens = run.opens and run.start_ns == span.start_ns
    closes = run.closes and run.end_ns == span.end_ns
    near_start = abs(run.first.time_ns - span.start_ns) <= tolerance_ns
    near_end = abs(run.last.time_ns - span.end_ns) <= tolerance_ns
    return run.known if (opens or near_start) and (closes or near_end) else None


def to_row(sums: Sums) -> dict[str, Any]:
    """Return sums as plain JSON values; `of_row` gives equal ones back."""
    return {
        meter: {
            "completeness": own.completeness.row(),
            "runs": {key: run.row() for key, run in own.runs.items()},
            "shifts": {
                name: {key: run.row() for key, run in channels.items()}
                for name, channels in own.shifts.items()
            },
            "tariffs": {
                kind: {
                    key: [part.unit, None if part.amount is None else f"{part.amount:f}", f"{part.known:f}"]
                    for key, part in channels.items()
                }
                for kind, channels in own.tariffs.items()
            },
        }
        for meter, own in sums.items()
    }


def of_row(row: Mapping[str, Any]) -> Sums:
    """Return the sums a row stands for. Raises KeyError, TypeError or ArithmeticError on a damaged one."""
    return {
        meter: MeterSums(
            completeness_of_row(own["completeness"]),
            {key: run_of_row(run) for key, run in own["runs"].items()},
            {
                name: {key: run_of_row(run) for key, run in channels.items()}
                for name, channels in own["shifts"].items()
            },
            {
                kind: {
                    key: Parted(part[0], None if part[1] is None else Decimal(part[1]), Decimal(part[2]))
                    for key, part in channels.items()
                }
                for kind, channels in own["tariffs"].items()
            },
        )
        for meter, own in row.items()
    }

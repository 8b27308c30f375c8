"""Summaries of hours, days and months: computed from the history's rows, kept as rows, so that a month follows from its days.

Rules: docs/specs/intervals.md, Totals. Nothing here writes; `store` is asked between two commits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config.periods import clock_time_s, tariff_spans
from gateway.derive.declarations import declared_around, of_meter
from gateway.intervals.completeness import Completeness, completeness_of_row, of_interval, summed
from gateway.intervals.grid import Span
from gateway.intervals.totals import Parted, Run, joined, parted, run_of_row, runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gateway.config.periods import IntervalsConfig
    from gateway.derive.declarations import Splits
    from gateway.history.read import Queries
    from gateway.history.work import TotalRow
    from gateway.intervals.amounts import Split
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Interval


class MeterSums(NamedTuple):
    """One meter in a period: how complete, its counters' runs, by shift and by tariff (shift or tariff -> counter -> ...).

    channels: of a day or month, reported channel -> readings expected and good; empty in one summed up before that was kept.
    """

    completeness: Completeness
    runs: Mapping[str, Run]
    shifts: Mapping[str, Mapping[str, Run]]
    tariffs: Mapping[str, Mapping[str, Parted]]
    channels: Mapping[str, tuple[int, int]] = {}


Sums = dict[str, MeterSums]
"""By meter."""


def of_intervals(intervals: Iterable[Interval], span: Span, splits: Splits) -> Sums:
    """Return the sums of a period over its intervals, in any order. splits: what was declared around it."""
    return {
        meter: MeterSums(summed(map(of_interval, own)), _over(own, span, of_meter(splits, meter)), {}, {})
        for meter, own in _by_meter(intervals).items()
    }


def of_day(store: Queries, grid: Grid, day: Span, settings: IntervalsConfig) -> Sums:
    """Return the sums of a day or a part of one, with the shifts that end on it and tariffs. Raises StorageError."""
    shifts = list(shift_spans(grid, day, settings))
    tariffs = list(tariff_stretches(grid, day, settings))
    from_ns = min([day.start_ns, *(span.start_ns for _, span in shifts)])
    splits = declared_around(store, Span(from_ns, day.end_ns))
    found: Sums = {}
    for meter, intervals in _by_meter(store.intervals(from_ns, day.end_ns)).items():
        in_day, own = _within(intervals, day), of_meter(splits, meter)
        if in_day:
            by_shift = {name: _over(_within(intervals, span), span, own) for name, span in shifts}
            sums, by_tariff = summed(map(of_interval, in_day)), _by_tariff(in_day, tariffs, own)
            found[meter] = MeterSums(sums, _over(in_day, day, own), by_shift, by_tariff, by_channel(in_day))
    return found


def by_channel(intervals: Iterable[Interval]) -> dict[str, tuple[int, int]]:
    """Return channel -> readings expected and good in intervals of one meter."""
    found: dict[str, tuple[int, int]] = {}
    for interval in intervals:
        for one in interval.channels:
            expected, good = found.get(one.key, (0, 0))
            found[one.key] = expected + one.expected, good + one.good
    return found


def shift_spans(grid: Grid, day: Span, settings: IntervalsConfig) -> Iterator[tuple[str, Span]]:
    """Yield the shifts that end on a day, as the local clock shows their begin and end; one across its beginning began on the day before.

    A change of the clock inside makes one longer or shorter.
    """
    for shift in settings.shifts:
        end_ns = grid.clock(day, clock_time_s(shift.end))
        if end_ns == day.start_ns:
            end_ns = day.end_ns
        start_ns = grid.clock_before(end_ns, clock_time_s(shift.start))
        yield shift.id, Span(start_ns, end_ns)


def tariff_stretches(grid: Grid, day: Span, settings: IntervalsConfig) -> Iterator[tuple[str, Span]]:
    """Yield (tariff period, stretch) of a day in order: of two neighbours the periods differ."""
    if not settings.tariffs:
        return
    spans = {month: tariff_spans(settings.tariffs, month) for month in range(1, 13)}
    kind, since_ns = "", day.start_ns
    for start_ns in grid.starts(day.start_ns, day.end_ns):
        second = grid.second_of_day(start_ns)
        own = spans[grid.local_month(start_ns)]
        now = next((name for begin, end, name in own if begin <= second < end), "")
        if now != kind:
            if kind:
                yield kind, Span(since_ns, start_ns)
            kind, since_ns = now, start_ns
    if kind:
        yield kind, Span(since_ns, day.end_ns)


def _within(intervals: Iterable[Interval], span: Span) -> list[Interval]:
    return [one for one in intervals if span.start_ns <= one.start_ns < span.end_ns]


def _over(intervals: Iterable[Interval], span: Span, splits: Sequence[Split]) -> dict[str, Run]:
    return {key: run.over(span) for key, run in runs(intervals, splits).items()}


def _by_meter(intervals: Iterable[Interval]) -> dict[str, list[Interval]]:
    found: dict[str, list[Interval]] = defaultdict(list)
    for interval in intervals:
        found[interval.meter].append(interval)
    for own in found.values():
        own.sort(key=lambda one: (one.epoch, one.start_ns))
    return dict(sorted(found.items()))


def _by_tariff(
    in_day: Sequence[Interval], stretches: Sequence[tuple[str, Span]], splits: Sequence[Split]
) -> dict[str, dict[str, Parted]]:
    """Return tariff period -> counter -> its amount. A gap inside one stretch does not matter, one across two is in neither."""
    found: dict[str, dict[str, Parted]] = defaultdict(dict)
    units = {key: run.unit for key, run in runs(in_day).items()}
    for kind, span in stretches:
        own = _over(_within(in_day, span), span, splits)
        for key, unit in units.items():
            part = parted(own[key]) if key in own else Parted(unit, None)
            before = found[kind].get(key)
            found[kind][key] = part if before is None else before.plus(part)
    return dict(found)


def parts_of_month(store: Queries, grid: Grid, span: Span, settings: IntervalsConfig) -> list[Sums]:
    """Return the sums of parts that make up a month and do not overlap, in order: its days as they were summed up.

    After another begin of the day or another timezone days of the grid of their time serve as well, where they lie in the month
    and in no day of the present grid; what is left between is summed up anew. Raises StorageError.
    """
    rows = [row for row in store.totals("day", *span) if row.end_ns <= span.end_ns]
    own = [row for row in rows if grid.day(row.start_ns) == (row.start_ns, row.end_ns)]
    chosen = list(own)
    for row in rows:
        if all(row.end_ns <= one.start_ns or one.end_ns <= row.start_ns for one in chosen):
            chosen.append(row)
    found, begin_ns = [], span.start_ns
    for row in sorted(chosen, key=lambda row: row.start_ns):
        sums = of_total(store, row)
        if sums is None:
            continue
        found += _between(store, grid, Span(begin_ns, row.start_ns), settings)
        found.append(sums)
        begin_ns = row.end_ns
    return found + _between(store, grid, Span(begin_ns, span.end_ns), settings)


def _between(store: Queries, grid: Grid, span: Span, settings: IntervalsConfig) -> list[Sums]:
    """Return the sums of a stretch that no day covers, cut at the days of the grid."""
    found, begin_ns = [], span.start_ns
    while begin_ns < span.end_ns:
        end_ns = min(grid.day(begin_ns).end_ns, span.end_ns)
        found.append(of_day(store, grid, Span(begin_ns, end_ns), settings))
        begin_ns = end_ns
    return found


def of_month(parts: Sequence[Sums], span: Span, splits: Splits) -> Sums:
    """Return the sums of a month. parts: in order, all of it; a shift is a day's own and is not summed. splits: around the month."""
    by_meter: dict[str, list[MeterSums]] = defaultdict(list)
    for part in parts:
        for meter, own in part.items():
            by_meter[meter].append(own)
    return {
        meter: _joined(each, span, len(parts), of_meter(splits, meter))
        for meter, each in sorted(by_meter.items())
    }


def _joined(each: Sequence[MeterSums], span: Span, due: int, splits: Sequence[Split]) -> MeterSums:
    """Return the sums of a meter's parts. due: parts of the month; a tariff period is known if a counter has them all."""
    tariffs: dict[str, dict[str, Parted]] = defaultdict(dict)
    there = Counter(key for one in each for key in one.runs)
    for one in each:
        for kind, channels in one.tariffs.items():
            for key, part in channels.items():
                before = tariffs[kind].get(key)
                own = part if there[key] >= due else replace(part, amount=None)
                tariffs[kind][key] = own if before is None else before.plus(own)
    complete = summed(one.completeness for one in each)
    whole = {key: run.over(span) for key, run in joined((one.runs for one in each), splits).items()}
    return MeterSums(complete, whole, {}, dict(tariffs), _channels(each))


def _channels(each: Sequence[MeterSums]) -> dict[str, tuple[int, int]]:
    """Return channel -> readings expected and good over parts that all tell them, else nothing."""
    found: dict[str, tuple[int, int]] = {}
    for one in each:
        if not one.channels:
            return {}
        for key, (expected, good) in one.channels.items():
            before = found.get(key, (0, 0))
            found[key] = before[0] + expected, before[1] + good
    return found


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
            **({"channels": {key: list(n) for key, n in own.channels.items()}} if own.channels else {}),
        }
        for meter, own in sums.items()
    }


def of_total(store: Queries, row: TotalRow) -> Sums | None:
    """Return the sums a summary of the history stands for, None if it is damaged."""
    found: Sums | None = store.made(lambda one: of_row(one.body["meters"]), row)
    return found


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
            channels_of_row(own),
        )
        for meter, own in row.items()
    }


def channels_of_row(own: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return channel -> readings expected and good as a meter's row has them, empty if it does not."""
    return {key: (expected, good) for key, (expected, good) in own.get("channels", {}).items()}

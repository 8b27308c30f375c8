"""Readings that stand in at a month's ends where there is none: the nearest within a day. Rules: docs/specs/intervals.md, Totals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gateway.derive.declarations import of_meter
from gateway.intervals.model import Boundary
from gateway.intervals.totals import Run, run_of
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gateway.derive.declarations import Splits
    from gateway.derive.sums import MeterSums, Sums
    from gateway.history.read import Queries
    from gateway.history.work import ManualReading
    from gateway.intervals.amounts import Split
    from gateway.intervals.grid import Span
    from gateway.intervals.model import Interval

TOLERANCE_NS = 86_400 * NS
"""A month's reading may be a day off. Source: what state platforms ask of collected readings (docs/specs/intervals.md)."""

Name = tuple[str, str]
"""Meter and counter."""


class _Near(NamedTuple):
    """A reading near a boundary, and the layouts it came by."""

    found: Boundary
    layouts: tuple[str, ...] = ()
    epoch: int | None = None  # None: of a reading by hand; that of the run it stands in at


def has_open_end(sums: Sums) -> bool:
    """Return whether a counter has no reading at the end of the period: one within a day after it may still come."""
    return any(not run.closes for own in sums.values() for run in own.runs.values())


def with_stand_ins(store: Queries, span: Span, sums: Sums, splits: Splits) -> Sums:
    """Return a month's sums with the nearest reading within a day where an end has none. Raises StorageError.

    splits: what was declared around the month.
    """
    opening = {name for name, run in _named(sums) if not run.opens}
    closing = {name for name, run in _named(sums) if not run.closes}
    if not opening and not closing:
        return sums
    before = _last(_intervals(store, span.start_ns - TOLERANCE_NS, span.start_ns, opening), splits)
    after = _first(_intervals(store, span.end_ns, span.end_ns + TOLERANCE_NS, closing), splits)
    first_by_hand = _by_hand(store, span.start_ns, opening)
    last_by_hand = _by_hand(store, span.end_ns, closing)
    found: Sums = {}
    for meter, own in sums.items():
        runs, manual = dict(own.runs), 0
        for key, run in own.runs.items():
            name = meter, key
            made = run
            if name in opening:
                near = _near(
                    made.first,
                    made.opened_by,
                    [*first_by_hand[name], *_some(before.get(name))],
                    span.start_ns,
                )
                made = _opened(made, near, key, of_meter(splits, meter), span.start_ns)
            if name in closing:
                near = _near(
                    made.last, made.closed_by, [*last_by_hand[name], *_some(after.get(name))], span.end_ns
                )
                made = _closed(made, near, key, of_meter(splits, meter), span.end_ns)
            ends = ((made.first, made.opens and not run.opens), (made.last, made.closes and not run.closes))
            manual += sum(is_new and end is not None and end.source == "manual" for end, is_new in ends)
            runs[key] = made
        complete = replace(own.completeness, manual=own.completeness.manual + manual)
        found[meter] = own._replace(runs=runs, completeness=complete)
    return found


def _named(sums: Mapping[str, MeterSums]) -> Iterable[tuple[Name, Run]]:
    return (((meter, key), run) for meter, own in sums.items() for key, run in own.runs.items())


def _some(near: _Near | None) -> list[_Near]:
    return [] if near is None else [near]


def _nearest(candidates: Iterable[_Near], at_ns: int) -> _Near | None:
    """Return the nearest within a day, of two as near the meter's own."""
    ranked = [(abs(one.found.time_ns - at_ns), one.found.source == "manual", one) for one in candidates]
    best = min(ranked, key=lambda one: one[:2], default=None)
    return best[2] if best is not None and best[0] <= TOLERANCE_NS else None


def _near(
    own: Boundary | None, layouts: tuple[str, ...], candidates: Sequence[_Near], at_ns: int
) -> _Near | None:
    return _nearest([*([] if own is None else [_Near(own, layouts)]), *candidates], at_ns)


def _alone(run: Run, near: _Near, at_ns: int, epoch: int) -> Run:
    """Return the run of nothing but one reading. epoch: of what it is joined to."""
    own = epoch if near.epoch is None else near.epoch
    by, found = near.layouts, near.found
    return Run(run.unit, at_ns, at_ns, found, found, opened_by=by, closed_by=by, opened_in=own, closed_in=own)


def _opened(run: Run, near: _Near | None, key: str, splits: Sequence[Split], at_ns: int) -> Run:
    if near is None:
        return run
    if near.found is run.first:
        return replace(run, opens=True)
    alone = _alone(run, near, at_ns, run.opened_in)
    return replace(alone.then(run, key, splits), start_ns=run.start_ns, opens=True)


def _closed(run: Run, near: _Near | None, key: str, splits: Sequence[Split], at_ns: int) -> Run:
    if near is None:
        return run
    if near.found is run.last:
        return replace(run, closes=True)
    alone = _alone(run, near, at_ns, run.closed_in)
    return replace(run.then(alone, key, splits), end_ns=run.end_ns, closes=True)


def _intervals(
    store: Queries, from_ns: int, to_ns: int, names: Collection[Name]
) -> dict[str, list[Interval]]:
    found: dict[str, list[Interval]] = defaultdict(list)
    meters = {meter for meter, _ in names}
    for interval in store.intervals(from_ns, to_ns, meters) if meters else ():
        found[interval.meter].append(interval)
    for own in found.values():
        own.sort(key=lambda one: (one.epoch, one.start_ns))
    return found


def _last(intervals: Mapping[str, list[Interval]], splits: Splits) -> dict[Name, _Near]:
    """Return the last reading of each counter after which nothing is unknown for good."""
    found: dict[Name, _Near] = {}
    for meter, own in intervals.items():
        for interval in own:
            for channel in interval.channels:
                name = meter, channel.key
                run = run_of(channel, interval, of_meter(splits, meter))
                if run.is_broken and not run.closes:
                    found.pop(name, None)
                elif run.last is not None:
                    found[name] = _Near(run.last, interval.layouts, interval.epoch)
    return found


def _first(intervals: Mapping[str, list[Interval]], splits: Splits) -> dict[Name, _Near]:
    """Return the first reading of each counter before which nothing is unknown for good."""
    found: dict[Name, _Near | None] = {}
    for meter, own in intervals.items():
        for interval in own:
            for channel in interval.channels:
                name = meter, channel.key
                run = run_of(channel, interval, of_meter(splits, meter))
                if run.is_broken and not run.opens:
                    found.setdefault(name, None)
                elif run.first is not None:
                    found.setdefault(name, _Near(run.first, interval.layouts, interval.epoch))
    return {name: near for name, near in found.items() if near is not None}


def _by_hand(store: Queries, at_ns: int, names: Collection[Name]) -> dict[Name, list[_Near]]:
    found: dict[Name, list[_Near]] = defaultdict(list)
    entered: dict[tuple[Name, int], ManualReading] = {}
    if names:
        for one in store.manual(
            at_ns - TOLERANCE_NS, at_ns + TOLERANCE_NS + 1, {meter for meter, _ in names}
        ):
            entered[(one.meter, one.channel), one.time_ns] = (
                one  # entered again: the later one mends the first
            )
    for (name, time_ns), one in entered.items():
        if name in names:
            found[name].append(_Near(Boundary(one.reading, time_ns, source="manual")))
    return found

"""Totals across a swap: exact with both readings, unknown without, also where the meter was in no site file and had no interval."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from gateway.derive.agenda import Due
from gateway.derive.declarations import declared_around
from gateway.derive.stand_ins import with_stand_ins
from gateway.derive.summaries import Words, read_sums
from gateway.derive.sums import of_month
from gateway.history.work import TotalRow
from gateway.intervals.grid import Span
from gateway.intervals.totals import joined, run_of_row, runs
from gateway.model import Event
from tests.unit.sums_rig import KEY, LENGTH_NS, Kept, at, grid, interval, seen, settings, steady, swap

if TYPE_CHECKING:
    from gateway.derive.agenda import Period
    from gateway.intervals.model import Interval

T0 = at("2026-08-01T00:00")
T = [T0 + n * LENGTH_NS for n in range(12)]
DAY = Span(T0, at("2026-08-02T00:00"))
PLAIN = settings()


def away(rise: int = 0, **more: Any) -> list[Interval]:
    """Return a meter that was out of the site file for four intervals and shows `rise` more afterwards."""
    before = [interval(T[0], 100, 101), interval(T[1], 101, 102)]
    return [
        *before,
        interval(T[6], 102 + rise, 103 + rise, **more),
        interval(T[7], 103 + rise, 104 + rise, **more),
    ]


def known(kept: list[Interval], *told: Event) -> tuple[object, ...]:
    """Return amount and known part of the stretch the intervals span."""
    store = Kept(kept)
    store.told = list(told)
    span = Span(kept[0].start_ns, kept[-1].end_ns)
    run = runs(kept, declared_around(store.store, span).get("m-1", ()))[KEY].over(span)
    assert run_of_row(run.row()) == run
    return seen(run.amount, run.known)


def test_a_swap_while_the_meter_had_no_interval_is_never_bridged() -> None:
    kept = away(50_000_000)
    assert known(kept, swap(T[4], "110.5", "50000000")) == (Decimal("114.5"), Decimal("114.5"))
    assert known(kept, swap(T[4], "110.5", None)) == (None, 4)
    assert known(kept, swap(T[4], None, "50000000")) == (None, 4)
    assert known(kept, swap(T[4], "101", "50000000")) == (None, 4), "the old meter did not count backwards"
    assert known(kept, swap(T[4], "110.5", "50000000", meter="m-2")) == (50_000_004, 50_000_004)
    assert known(kept, swap(T[8], "110.5", "50000000")) == (50_000_004, 50_000_004), "after it"


def test_two_swaps_and_one_that_was_taken_back() -> None:
    kept = away(-90)  # shows 12 afterwards
    first, second = swap(T[3], 105, 0), swap(T[5], 7, 10)
    assert known(kept, first, second) == (3 + 7 + 2 + 4, 16)
    undone: dict[str, Any] = {"undoes": {"serial": "S2", "effective_ns": T[5]}}
    taken = swap(T[5], None, None, **undone)
    assert known(kept, first, second, taken) == (3 + 12 + 4, 19)


def test_a_stretch_without_intervals_counts_only_if_it_rose_and_was_read_the_same_way() -> None:
    assert known(away(7)) == (11, 11)
    assert known(away(-7)) == (None, 4)
    assert known(away(7, layouts=("b",))) == (None, 4)
    ratio: dict[str, Any] = {"ratio": "ct", "before": "1", "after": "2", "serial": ""}
    changed = replace(swap(T[4], 105, 107, **ratio), kind="ratio_change")
    assert known(away(7, layouts=("b",)), changed) == (3 + 2 + 4, 9)


def test_the_layout_of_a_reading_shared_with_an_interval_without_frames_is_known() -> None:
    kept = away(7, layouts=("b",))
    kept.insert(2, interval(T[2], 102, None, layouts=()))  # it left the site file just after a boundary
    assert known(kept) == (None, 4)


def test_a_swap_in_an_outage_across_a_boundary_counts_with_both_readings() -> None:
    kept = [interval(T[0], 100, None), interval(T[1], None, None, swapped=True), interval(T[2], None, 5)]
    assert known([interval(T[0] - LENGTH_NS, 99, 100), *kept], swap(T[1] + 1, 103, 1)) == (1 + 3 + 4, 8)
    assert known([interval(T[0] - LENGTH_NS, 99, 100), *kept], swap(T[1] + 1, 103, None)) == (None, 1)


def test_sides_read_by_a_rule_found_wrong_are_known_to_nobody_unless_typed() -> None:
    event = swap(T[4], 110, 0)
    replayed = Event(T[8], "replay", "m-1", {"from_ns": T[0], "to_ns": T[5]})
    assert known(away(-90), event, replayed) == (8 + 12 + 4, 24)
    rows = {"reading": "110", "time_ns": T[2], "from": "journal"}
    read = replace(event, detail={**event.detail, "closing": {KEY: rows}})
    assert known(away(-90), read) == (24, 24)
    assert known(away(-90), read, replayed) == (None, 4)


def test_in_which_epoch_it_was_tells_the_intervals_around_it() -> None:
    first = [interval(T[0], 100, 101), interval(T[1], 101, None)]
    second = [interval(T[0], None, None, epoch=1, swapped=True), interval(T[1], 4, 5, epoch=1)]
    assert known([*first, *second], swap(T[0] + 1, 103, 1)) == (1 + 2 + 3 + 1, 7)


def summed(store: Kept, period: Period, span: Span) -> Words:
    due = Due(period, span)
    made = Words(grid(), due, read_sums(store.store, grid(), due, PLAIN))
    store.summaries.append(TotalRow(period, span.start_ns, made.rev, span.end_ns, 0, made.row()))
    return made


def test_hour_day_and_month_are_summed_up_anew_with_a_swap_that_is_recorded_later() -> None:
    month = grid().month(T0)
    gone, back = at("2026-08-10T00:00"), at("2026-08-12T00:00")
    kept = steady(month.start_ns, gone)
    old = kept[-1].channels[0].closing
    assert old is not None
    for one in steady(back, month.end_ns):
        kept.append(one)  # the new meter begins at 1000 again
    store = Kept(kept)
    days = [grid().day(ns) for ns in range(month.start_ns, month.end_ns, 86_400 * 10**9)]
    for day in days:
        summed(store, "day", day)
    before = summed(store, "month", month).amounts()
    assert before == {("m-1", KEY): None}
    store.told.append(swap(at("2026-08-11T12:00"), old.reading + 30, 990))
    after = summed(store, "month", month)
    assert (after.rev, after.amounts()) == (1, {("m-1", KEY): Decimal(29 * 96 + 30 + 10)})


@pytest.mark.parametrize(("told", "amount"), [([], None), ([swap(T0 + 1, "1010", "5")], 10 + 5 + 1)])
def test_a_reading_that_stands_in_does_not_reach_across_a_swap(told: list[Event], amount: int | None) -> None:
    month = grid().month(T0)
    kept = [interval(T0 - LENGTH_NS, 999, 1000), interval(T[2], 10, 11)]
    kept.append(interval(month.end_ns - LENGTH_NS, 11, 11))
    store = Kept(kept)
    store.told = told
    splits = declared_around(store.store, month)
    whole = joined((runs([one]) for one in kept[1:]), ())
    assert seen(whole[KEY].amount) == (1,)
    days = [
        read_sums(store.store, grid(), Due("day", grid().day(one.start_ns)), PLAIN).sums for one in kept[1:]
    ]
    found = with_stand_ins(store.store, month, of_month(days, month, splits), splits)["m-1"].runs[KEY]
    assert seen(found.amount) == (amount,)


def test_joining_is_associative_with_what_was_declared() -> None:
    kept = [*away(-90), interval(T[9], None, None, swapped=True), interval(T[10], 3, 4)]
    store = Kept(kept)
    store.told = [swap(T[4], 110, 0), swap(T[9] + 5, 20, 0)]
    splits = declared_around(store.store, Span(T[0], T[11]))["m-1"]
    parts = [runs([one], splits) for one in kept]
    whole = joined(parts, splits)
    assert whole == runs(kept, splits)
    assert seen(whole[KEY].amount) == (8 + 12 + 4 + 6 + 4 - 0,)
    for cut, _ in pairwise(range(1, len(parts) + 1)):
        assert joined([joined(parts[:cut], splits), joined(parts[cut:], splits)], splits) == whole

"""Totals over boundary readings: across gaps exact, unknown where something between is; completeness and aggregates add up."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.intervals.aggregates import Term, value
from gateway.intervals.completeness import (
    Completeness,
    completeness_of_row,
    of_interval,
    percent,
    summed,
)
from gateway.intervals.grid import Span
from gateway.intervals.model import Boundary, ChannelInterval
from gateway.intervals.totals import Parted, parted, run_of_row, runs
from tests.unit.sums_rig import KEY, LENGTH_NS, at, counter, interval, seen, steady

T0 = at("2026-08-01T00:00")
T = [T0 + n * LENGTH_NS for n in range(8)]


def test_a_total_is_last_less_first_across_a_gap() -> None:
    run = runs(steady(T[0], T[7], lost={T[2], T[3]}))[KEY]
    assert run.amount == 7
    assert (run.opens, run.closes, run.first, run.last) == (True, True, Boundary(Decimal(1000), T[0]), Boundary(Decimal(1007), T[7]))  # fmt: skip


@pytest.mark.parametrize("lost", [T[0], T[7]])
def test_without_a_reading_at_an_end_only_the_known_part_is_known(lost: int) -> None:
    run = runs(steady(T[0], T[7], lost={lost}))[KEY]
    assert seen(run.amount, run.known) == (None, 6)


def test_a_meter_that_was_never_read_has_no_total_and_not_0() -> None:
    run = runs(steady(T[0], T[3], lost=set(T)))[KEY]
    assert (run.amount, run.first, run.last) == (None, None, None)


def test_a_reset_makes_the_amount_unknown_and_leaves_what_is_known() -> None:
    parts = [interval(T[0], 10, 12), interval(T[1], 12, 3), interval(T[2], 3, 4)]
    run = runs(parts)[KEY]
    assert seen(run.amount, run.known, run.is_broken) == (None, 3, True)


def test_a_fall_across_a_gap_is_no_amount() -> None:
    parts = [interval(T[0], 10, 12), interval(T[1], 12, None), interval(T[2], None, 5)]
    run = runs(parts)[KEY]
    assert seen(run.amount, run.known) == (None, 2)


def test_a_swap_that_is_recorded_counts_and_one_in_a_gap_does_not() -> None:
    known = counter(T[1], T[2], 900, 3)
    recorded = interval(
        T[1], None, None, swapped=True, channels=(replace(known, delta=Decimal(5), how="swap"),)
    )
    assert runs([interval(T[0], 898, 900), recorded, interval(T[2], 3, 4)])[KEY].amount == 8
    unknown = interval(T[1], 900, None, swapped=True)
    run = runs([interval(T[0], 898, 900), unknown, interval(T[2], 950, 951)])[KEY]
    assert (run.amount, run.is_broken) == (None, True)


def test_what_was_read_by_another_layout_behind_a_gap_may_have_another_ratio() -> None:
    before, gap = interval(T[0], 100, 101), interval(T[1], 101, None)
    other = interval(T[2], 120, 121, layouts=("b",))
    assert runs([before, gap, other])[KEY].amount is None
    assert runs([before, gap, replace(other, layouts=("a", "slow"))])[KEY].amount == 21, "only a period more"
    assert runs([before, interval(T[1], 101, 102), interval(T[2], 102, 103, layouts=("b",))])[KEY].amount == 3


def test_of_a_key_that_means_something_else_now_nothing_is_said() -> None:
    other = replace(interval(T[1], 2, 3), channels=(counter(T[1], T[2], 2, 3, unit="m3"),))
    run = runs([interval(T[0], 1, 2), other])[KEY]
    assert seen(run.unit, run.amount, run.known) == ("", None, 0)


def test_two_epochs_of_one_time_both_count() -> None:
    first = [interval(T[0], 10, 11), interval(T[1], 11, None)]
    second = [interval(T[0], None, 13, epoch=1), interval(T[1], 13, 14, epoch=1)]
    assert runs(sorted(first + second, key=lambda one: (one.epoch, one.start_ns)))[KEY].amount == 4


def test_a_period_that_began_before_the_meter_is_not_that_of_the_meter() -> None:
    run = runs(steady(T[2], T[4]))[KEY]
    assert run.amount == 2
    day = run.over(Span(T[0], T[4]))
    assert seen(day.amount, day.known, day.start_ns, day.opens, day.closes) == (None, 2, T[0], False, True)


def test_a_run_goes_round_through_its_row() -> None:
    for lost in (set(), {T[0]}, {T[3]}, set(T)):
        run = runs(steady(T[0], T[3], lost=lost))[KEY]
        assert run_of_row(run.row()) == run


def test_tariffs_of_different_units_are_not_added() -> None:
    found = Parted("kWh", Decimal(1), Decimal(1)).plus(Parted("m3", Decimal(2), Decimal(2)))
    assert found == Parted("", None)
    assert parted(runs(steady(T[0], T[2]))[KEY]) == Parted("kWh", Decimal(2), Decimal(2))


# -- completeness ------------------------------------------------------------------------------------------


def test_an_interval_counts_values_readings_and_reasons() -> None:
    gauge = ChannelInterval("power_active", "kW", "gauge", 90, 90, 89, gaps={"rejected": 1}, mean=Decimal(5))
    hand = replace(counter(T[0], T[1], 1, None, key="b"), opening=Boundary(Decimal(1), T[0], 0, "manual"))
    one = replace(interval(T[0], 1, 2, rev=2), channels=(counter(T[0], T[1], 1, 2), gauge, hand))
    found = of_interval(one)
    assert found == Completeness(3, 2, 270, 225, 224, {"rejected": 1, "meter_off": 45}, 1, 1)
    assert sum(found.gaps.values()) == found.expected - found.good
    assert summed([found, found]).row() | {"percent": ""} == {
        "due": 6, "known": 4, "expected": 540, "received": 450, "good": 448,
        "gaps": {"rejected": 2, "meter_off": 90}, "percent": "", "revised": 2, "manual": 2,
    }  # fmt: skip
    assert completeness_of_row(found.row()) == found


def test_a_percentage_is_cut_and_never_rounded_up_to_the_target() -> None:
    assert str(percent(89_999, 100_000)) == "89.99"
    assert str(percent(2, 3)) == "66.66"
    assert str(percent(10**30 - 1, 10**30)) == "99.99"
    assert str(percent(1, 1)) == "100.00"
    assert percent(0, 0) is None
    assert summed([]).row()["percent"] is None


# -- aggregates --------------------------------------------------------------------------------------------


def test_an_aggregate_is_signed_weighted_and_exact() -> None:
    terms = [Term("in", "e", Decimal(1)), Term("out", "e", Decimal("-0.5"))]
    amounts = {("in", "e"): Decimal("12345678901234567890.123456789012345"), ("out", "e"): Decimal(3)}
    assert value(terms, amounts) == (Decimal("12345678901234567888.623456789012345"), ())


def test_an_aggregate_is_unknown_if_one_term_is() -> None:
    terms = [Term("a", "e", Decimal(1)), Term("b", "e", Decimal(-1)), Term("b", "f", Decimal(1))]
    assert value(terms, {("a", "e"): Decimal(1), ("b", "e"): None}) == (None, ("b",))

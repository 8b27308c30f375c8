"""Doubts written into flags."""

from __future__ import annotations

import math
from array import array

import pytest

from gateway.checks import Checker
from gateway.layout import Layout, Part, Slot
from gateway.model import NS, Channel, Flag

S = NS


def checker(
    kind: str = "counter", type_: str = "u32", coefficient: str = "1", **limits: object
) -> tuple[Checker, Layout]:
    channel = Channel("x", "energy_active_import", "kWh", kind, **limits)  # type: ignore[arg-type]
    layout = Layout("m", 1.0, (channel,), (Slot((Part(type_),), coefficient=coefficient),))
    return Checker(layout), layout


def flags_of(check: Checker, *readings: tuple[int, float], given: int = 0) -> list[int]:
    found = []
    for time_ns, value in readings:
        flags = array("H", [given])
        values = array("d", [value])
        check.check(time_ns, values, flags)
        assert values[0] == value or math.isnan(value)
        found.append(flags[0])
    return found


@pytest.mark.parametrize(
    ("value", "flag"), [(0.0, 0), (10.0, 0), (-0.1, Flag.RANGE), (10.1, Flag.RANGE), (math.inf, Flag.RANGE)]
)
def test_outside_the_limits_is_flagged_and_kept(value: float, flag: int) -> None:
    check, _ = checker("gauge", low=0.0, high=10.0)
    assert flags_of(check, (S, value)) == [flag]


def test_without_limits_nothing_is_out_of_range() -> None:
    check, _ = checker("gauge")
    assert flags_of(check, (S, 1e300), (S, -1e300)) == [0, 0]


def test_an_absent_value_gets_no_second_doubt_and_is_not_remembered() -> None:
    check, _ = checker(low=0.0, high=10.0)
    assert flags_of(check, (S, 5.0)) == [0]
    assert flags_of(check, (2 * S, math.nan), given=int(Flag.MISSING | Flag.COMMS)) == [3]
    assert flags_of(check, (3 * S, 4.0)) == [Flag.ROLLBACK]


def test_a_counter_that_falls_is_flagged_once() -> None:
    check, _ = checker()
    assert flags_of(check, (S, 5.0), (2 * S, 4.0), (3 * S, 4.5), (4 * S, 4.5)) == [0, Flag.ROLLBACK, 0, 0]


def test_a_fall_the_modulus_explains_is_none() -> None:
    check, _ = checker(modulus="1000")
    assert flags_of(check, (S, 999.0), (2 * S, 3.0), (3 * S, 1.0)) == [0, 0, Flag.ROLLBACK]


def test_a_rise_beyond_the_rate_is_flagged_per_elapsed_time() -> None:
    check, _ = checker(type_="f64", rate_max=1.0)
    assert flags_of(check, (S, 0.0), (2 * S, 0.9), (3 * S, 5.0), (13 * S, 14.0)) == [0, 0, Flag.JUMP, 0]


def test_a_turn_is_measured_across_it() -> None:
    check, _ = checker(type_="f64", rate_max=1.0, modulus="1000")
    assert flags_of(check, (S, 999.5), (2 * S, 0.3), (3 * S, 0.4)) == [0, 0, 0]
    check, _ = checker(type_="f64", rate_max=1.0, modulus="1000")
    assert flags_of(check, (S, 990.0), (2 * S, 10.0)) == [0, Flag.JUMP]


def test_a_coarse_counter_may_tick_by_one_count() -> None:
    check, _ = checker(coefficient="10", rate_max=0.01)
    assert flags_of(check, (S, 100.0), (2 * S, 110.0), (3 * S, 130.0)) == [0, 0, Flag.JUMP]


def test_across_a_step_of_the_clock_no_rate_is_known() -> None:
    check, _ = checker(type_="f64", rate_max=1.0)
    assert flags_of(check, (1000 * S, 0.0)) == [0]
    check.clock_stepped()
    assert flags_of(check, (2 * S, 500.0), (3 * S, 400.0), (4 * S, 500.0)) == [0, Flag.ROLLBACK, Flag.JUMP]

"""Stuck counters, floats that lose resolution, and how often all that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model import Flag
from tests.unit.counter_rig import Meter

if TYPE_CHECKING:
    from pathlib import Path


def test_a_counter_that_stands_while_power_flows_is_stuck_until_it_moves(tmp_path: Path) -> None:
    meter = Meter(tmp_path, power=True, step_s=10.0)
    moving = [1000 + n for n in range(10)]  # 0.1 kWh each 10 s
    meter.shows(*moving, power=36.0)
    assert not any(meter.flags)
    meter.shows(*[1009] * 11, power=36.0)
    assert not any(meter.flags), "eleven moves' worth is not yet twelve"
    meter.shows(*[1009] * 5, power=36.0)
    (stuck,) = meter.told("counter_stuck")
    assert stuck["reading"] == "100.9"
    assert stuck["since_ns"] == meter.frames[9].time_ns
    assert [flag & Flag.STUCK for flag in meter.flags[-4:]] == [Flag.STUCK] * 4
    meter.shows(1010, power=36.0)
    (moves,) = meter.told("counter_moves")
    assert moves["reading"] == "101.0"
    assert meter.flags[-1] == 0


def test_a_counter_may_stand_while_nothing_flows_or_the_power_flows_out(tmp_path: Path) -> None:
    meter = Meter(tmp_path, power=True, step_s=10.0)
    meter.shows(*range(10), power=36.0)
    meter.shows(*[9] * 2000, power=0.0)
    meter.shows(*[9] * 2000, power=-500.0)
    assert not any(meter.flags)
    meter.told()


def test_without_a_gauge_there_is_no_verdict(tmp_path: Path) -> None:
    meter = Meter(tmp_path, step_s=10.0)
    meter.shows(*range(10))
    meter.shows(*[9] * 2000)
    assert not any(meter.flags)


def test_a_register_refreshed_once_a_minute_is_not_stuck(tmp_path: Path) -> None:
    meter = Meter(tmp_path, power=True, step_s=1.0)
    meter.shows(*[n // 60 for n in range(600)], power=6.0)  # 0.1 kWh a minute
    meter.shows(*[9 + (n // 60) * 30 for n in range(300)], power=180.0)  # thirty times the load
    assert not any(meter.flags)


def test_a_counter_never_seen_moving_is_given_an_hour(tmp_path: Path) -> None:
    meter = Meter(tmp_path, power=True, step_s=10.0)
    meter.shows(*[500] * 360, power=36.0)
    assert not any(meter.flags)
    meter.shows(500, 500, power=36.0)
    meter.told("counter_stuck")


def test_what_was_read_across_a_gap_proves_nothing(tmp_path: Path) -> None:
    meter = Meter(tmp_path, power=True, step_s=10.0)
    meter.shows(*range(10), power=36.0)
    meter.time_ns += 3600 * 10**9
    meter.shows(9, 9, power=36.0)
    assert not any(meter.flags)


def test_a_float_total_that_gets_coarse_is_told_once_a_doubling(tmp_path: Path) -> None:
    meter = Meter(tmp_path, type_="f32", coefficient="0.001")  # Wh in a float
    meter.shows(16_777_214.0, 16_777_216.0, 16_777_218.0, 20_000_000.0)
    (told,) = meter.told("counter_resolution")
    assert (told["reading"], told["step"], told["unit"]) == ("16777.216", "0.002", "kWh")
    meter.shows(40_000_000.0, 40_000_004.0)
    (told,) = meter.told("counter_resolution")
    assert told["step"] == "0.004"
    assert not any(meter.flags), "it is coarse, and still what the meter shows"


def test_a_counter_that_flaps_is_told_once_a_minute_with_its_count(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    meter.shows(*[5, 4] * 500)
    first, held = meter.told("counter_reset", "counter_reset")
    assert (first["closing"], first["opening"]) == ("0.5", "0.4")
    assert held["count"] == 499
    assert meter.flags.count(int(Flag.ROLLBACK)) == 500
    for _ in range(3):
        meter.recorder.counters.sweep(1e9)
    assert not meter.recorder.counters._told, "quiet ones are forgotten"


def test_readings_are_the_last_good_ones_and_survive_absence(tmp_path: Path) -> None:
    meter = Meter(tmp_path, sentinels=("ffff",))
    meter.shows(41, 42, 0xFFFF, 0xFFFF)
    ((value, time_ns),) = meter.recorder.readings("m-1").values()
    assert (str(value), time_ns) == ("4.2", meter.frames[1].time_ns)
    meter.recorder.swapped("m-1")
    assert meter.recorder.readings("m-1") == {}


def test_a_reading_before_a_clock_step_has_no_time(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    meter.shows(5)
    (checker,) = meter.recorder._checkers.values()
    checker.clock_stepped()
    meter.shows(4)
    (told,) = meter.told("counter_reset")
    assert told["closing_ns"] is None, "0 would be 1970"

"""How long a meter is waited for."""

from __future__ import annotations

import math

import pytest

from drivers.roundtrip import RoundTrips


def test_until_a_meter_answers_the_poll_decides() -> None:
    trips = RoundTrips(0.1)
    assert trips.timeout_s(trips.of(1), 2.0) == 2.0


def test_the_wait_follows_the_meter_within_bounds() -> None:
    trips = RoundTrips(0.1)
    slow, fast = trips.of("slow"), trips.of("fast")
    for _ in range(50):
        trips.answered(slow, 0.3)
        trips.answered(fast, 0.002)
    assert trips.timeout_s(slow, 2.0) == pytest.approx(0.3, abs=0.01)
    assert trips.timeout_s(slow, 0.2) == 0.2
    assert trips.timeout_s(fast, 2.0) == 0.1
    assert trips.timeout_s(fast, 0.05) == 0.05


def test_the_first_measurement_counts_threefold() -> None:
    """RFC 6298, 2.2: mean R, deviation R/2, so R + 4 × R/2."""
    trips = RoundTrips(0.0)
    trips.answered(trips.of(1), 0.1)
    assert trips.timeout_s(trips.of(1), 9.0) == pytest.approx(0.3)


def test_an_uneven_meter_is_waited_for_longer() -> None:
    trips = RoundTrips(0.0)
    for n in range(50):
        trips.answered(trips.of("even"), 0.1)
        trips.answered(trips.of("uneven"), 0.05 + 0.1 * (n % 2))
    assert trips.timeout_s(trips.of("uneven"), 9.0) > 2 * trips.timeout_s(trips.of("even"), 9.0)


def test_after_silence_everybody_gets_the_whole_time_until_one_answers() -> None:
    trips = RoundTrips(0.1)
    dead, live = trips.of("dead"), trips.of("live")
    for trip in (dead, live):
        trips.answered(trip, 0.001)
    trips.timed_out(dead)
    assert trips.timeout_s(live, 2.0) == 2.0
    trips.answered(live, 0.001)
    assert trips.timeout_s(live, 2.0) == 0.1
    assert trips.timeout_s(dead, 2.0) == 2.0
    trips.answered(dead, 0.001)
    assert trips.timeout_s(dead, 2.0) == 0.1


def test_a_meter_that_was_silent_once_keeps_its_history() -> None:
    trips = RoundTrips(0.0)
    for _ in range(50):
        trips.answered(trips.of(1), 0.1)
    trips.timed_out(trips.of(1))
    trips.answered(trips.of(1), 0.1)
    assert trips.timeout_s(trips.of(1), 9.0) < 0.2


def test_not_adapting() -> None:
    trips = RoundTrips(math.inf)
    trips.answered(trips.of(1), 0.001)
    assert trips.timeout_s(trips.of(1), 2.0) == 2.0


def test_figures() -> None:
    trips = RoundTrips(0.1)
    trips.answered(trips.of(("modbus", 7)), 0.0125)
    trips.timed_out(trips.of(8))
    assert trips.figures() == {
        "modbus 7": {"round_trip_ms": 12.5, "timeouts": 0},
        "8": {"round_trip_ms": None, "timeouts": 1},
    }

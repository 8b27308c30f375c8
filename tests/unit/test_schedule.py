"""Due times, pauses and skips by example."""

from __future__ import annotations

from gateway.model import NS
from gateway.schedule import Timetable, next_due


def test_a_time_on_the_grid_is_not_due_again() -> None:
    assert next_due(10 * NS, 10 * NS) == 20 * NS
    assert next_due(10 * NS - 1, 10 * NS) == 10 * NS


def test_a_long_poll_skips_and_says_how_many() -> None:
    timetable = Timetable([10 * NS], 0)
    assert timetable.done(35 * NS) == 2
    assert timetable.head() == (40 * NS, 0)


def test_a_pause_is_no_overrun() -> None:
    timetable = Timetable([10 * NS], 0)
    assert timetable.done(10 * NS, 25 * NS) == 0
    assert timetable.head() == (40 * NS, 0)


def test_an_early_end_does_not_poll_the_same_due_time_twice() -> None:
    timetable = Timetable([10 * NS], 0)
    assert timetable.done(9 * NS) == 0
    assert timetable.head() == (20 * NS, 0)


def test_a_restart_forgets_pauses() -> None:
    timetable = Timetable([10 * NS, NS], 0)
    timetable.done(NS, 3600 * NS)
    timetable.restart(100 * NS)
    assert timetable.head() == (101 * NS, 1)

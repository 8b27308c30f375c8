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


def test_a_pause_passes_due_times() -> None:
    timetable = Timetable([10 * NS], 0)
    assert timetable.done(10 * NS, 25 * NS) == 2, "20 and 30"
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


def test_a_held_target_comes_after_others_and_stays_due() -> None:
    timetable = Timetable([10 * NS, 10 * NS], 0)
    timetable.hold(10 * NS + 1)
    assert timetable.due_by(10 * NS) == [1]
    assert timetable.done(10 * NS) == 0
    assert timetable.head() == (10 * NS + 1, 0)
    assert timetable.due_ns(0) == 10 * NS
    assert timetable.done(31 * NS) == 2, "20 and 30 went by while it was held"


def test_of_what_went_by_only_the_last_is_due() -> None:
    timetable = Timetable([10 * NS], 0)
    assert timetable.catch_up(35 * NS) == 2, "10 and 20"
    assert timetable.due_ns(0) == 30 * NS
    assert timetable.catch_up(35 * NS) == 0
    assert timetable.done(36 * NS) == 0


def test_released_targets_have_their_turn_in_the_old_order() -> None:
    timetable = Timetable([10 * NS, 10 * NS, 10 * NS], 0)
    timetable.hold(70 * NS)
    timetable.hold(60 * NS)
    assert timetable.done(10 * NS) == 0
    timetable.release()
    assert [timetable.head(), timetable.held] == [(10 * NS, 0), set()]
    timetable.done(11 * NS)
    assert timetable.head() == (10 * NS, 1)


def test_after_an_outage_what_was_not_read_at_its_last_due_time_is_due_at_once() -> None:
    start = 600 * NS
    timetable = Timetable([10 * NS, 60 * NS, 10 * NS], start)
    timetable.done(start + 10 * NS)  # 0 was read
    timetable.done(start + 11 * NS, 3600 * NS)  # 2 was silent
    timetable.resume(start + 15 * NS, start + 15 * NS)
    assert timetable.due_by(start + 15 * NS) == [2], "what was due before the start is nobody's"
    timetable.resume(start + 65 * NS, start + 65 * NS)
    assert sorted(timetable.due_by(start + 65 * NS)) == [0, 1, 2]
    assert timetable.due_ns(0) == start + 60 * NS
    assert timetable.head() == (start + 60 * NS, 0)
    timetable.done(start + 65 * NS)
    assert timetable.head() == (start + 60 * NS, 1)
    assert timetable.done(start + 66 * NS) == 0
    timetable.resume(start + 67 * NS, start + 67 * NS)
    assert 1 not in timetable.due_by(start + 67 * NS), "it has just been read"


def test_what_has_lapsed_is_what_was_due_and_not_asked() -> None:
    timetable = Timetable([10 * NS, 60 * NS], 600 * NS)
    assert timetable.lapsed(609 * NS) == []
    assert timetable.lapsed(610 * NS) == [(0, 610 * NS, 1)]
    assert timetable.lapsed(661 * NS) == [(0, 610 * NS, 6), (1, 660 * NS, 1)]
    timetable.done(655 * NS)
    assert timetable.lapsed(661 * NS) == [(0, 660 * NS, 1), (1, 660 * NS, 1)]

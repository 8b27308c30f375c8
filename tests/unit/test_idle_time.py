"""How late it is while nothing comes: steps of the wall clock count once they are told, or after a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway.derive.idle import PATIENCE_S, IdleTime
from gateway.model import NS, Event

if TYPE_CHECKING:
    from gateway.interfaces import Clock

T0_S = 1_785_546_000


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.wall_s, self.mono_s = float(T0_S), 100.0

    def wall_ns(self) -> int:
        return round(self.wall_s * NS)

    def monotonic(self) -> float:
        return self.mono_s

    def go(self, seconds: float, *, step_s: float = 0.0) -> None:
        self.mono_s += seconds
        self.wall_s += seconds + step_s


def told(step_s: float) -> Event:
    return Event(T0_S * NS, "clock_step", "gateway", {"step_s": step_s, "epoch": 1})


def after_s(idle: IdleTime) -> float:
    return idle.now_ns() / NS - T0_S


def test_a_step_counts_once_it_is_told() -> None:
    hands = Hands()
    idle = IdleTime(cast("Clock", hands))
    hands.go(1.0, step_s=700)
    assert after_s(idle) == 1
    hands.go(1.0)
    assert after_s(idle) == 2
    idle.told(told(700.0))
    assert after_s(idle) == 702


def test_of_two_steps_only_the_one_that_was_told_counts() -> None:
    hands = Hands()
    idle = IdleTime(cast("Clock", hands))
    hands.go(1.0, step_s=700)
    hands.go(1.0, step_s=90)
    idle.told(told(700.0))
    assert after_s(idle) == 702
    idle.told(told(90.0))
    assert after_s(idle) == 792


def test_a_step_of_an_earlier_life_explains_nothing() -> None:
    hands = Hands()
    idle = IdleTime(cast("Clock", hands))
    idle.told(told(700.0))
    hands.go(1.0)
    assert after_s(idle) == 1
    hands.go(1.0, step_s=90)
    idle.told(told(700.0))
    assert after_s(idle) == 2


def test_it_is_never_later_than_the_clock_says() -> None:
    hands = Hands()
    idle = IdleTime(cast("Clock", hands))
    hands.go(1.0, step_s=-700)
    assert after_s(idle) == -699


def test_what_is_set_little_by_little_counts_as_it_comes_and_what_nobody_tells_after_a_while() -> None:
    hands = Hands()
    idle = IdleTime(cast("Clock", hands))
    for _ in range(10):
        hands.go(1.0, step_s=0.5)
        idle.now_ns()
    assert after_s(idle) == 15
    hands.go(1.0, step_s=3)
    assert after_s(idle) == 16
    hands.go(PATIENCE_S)
    assert after_s(idle) == 19 + PATIENCE_S

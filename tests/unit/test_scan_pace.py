"""How long a scan will take: told before it begins where a gateway has the line, and steady from then on."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from gateway.commands.scan_pace import Pace, minutes

if TYPE_CHECKING:
    from gateway.model import ClockState


class Stopwatch:
    """A clock that goes on when told to. Implements as much of `Clock` as is looked at."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def wall_ns(self) -> int:
        raise AssertionError

    async def sleep_until(self, monotonic_s: float) -> None:
        raise AssertionError

    def state(self) -> ClockState:
        raise AssertionError


WAITS_S = [1.0] * 3 + [2.0] * 40


def run(takes_s: list[float], *, is_live: bool) -> list[float]:
    """Return what was said after each step to be left, the last step 0."""
    clock = Stopwatch()
    pace = Pace(WAITS_S, clock, is_live=is_live)
    said = [pace.left_s()]
    for took_s in takes_s:
        clock.now_s += took_s
        pace.step()
        said.append(pace.left_s())
    return said


def test_beside_a_gateway_a_tenth_of_the_time_is_reckoned_with() -> None:
    pace = Pace([2.0] * 4, Stopwatch(), is_live=True)
    assert (pace.least_s, pace.most_s) == (8.0, 80.0)
    assert "reads its own meters first" in pace.words()
    assert "a tenth of a busy line: 0:08 if nobody answers and the line has time, up to 1:20" in pace.words()
    alone = Pace([2.0] * 4, Stopwatch(), is_live=False)
    assert (alone.most_s, alone.words()) == (8.0, "")


@pytest.mark.parametrize(
    ("is_live", "factor"), [(False, 1.0), (True, 10.0), (True, 1.0), (True, 4.0)], ids=str
)
def test_steps_that_take_alike_are_told_rightly_and_never_with_a_jump(is_live: bool, factor: float) -> None:
    takes_s = [factor * wait_s for wait_s in WAITS_S]
    said = run(takes_s, is_live=is_live)
    true = [sum(takes_s[n:]) for n in range(len(WAITS_S) + 1)]
    for before, after in itertools.pairwise(said):
        assert after <= before * 1.01
    assert all(told >= left - 1e-6 for told, left in zip(said, true, strict=True)), (
        "rather too long than too short"
    )
    assert said[len(said) // 2] <= 2.6 * true[len(said) // 2]
    assert said[-1] == 0.0


def test_a_few_quick_answers_before_a_busy_line_shows_do_not_decide() -> None:
    said = run([0.05] * 3 + [20.0] * 40, is_live=True)
    assert min(said[:4]) > 0.7 * 800
    assert max(said) <= 830.0


def test_it_counts_down_while_a_step_takes_its_time() -> None:
    clock = Stopwatch()
    pace = Pace([2.0, 2.0], clock, is_live=False)
    clock.now_s += 1.5
    assert pace.left_s() == pytest.approx(2.5)
    clock.now_s += 9.0
    assert pace.left_s() == 0.0


def test_nothing_to_ask_takes_no_time() -> None:
    assert Pace([], Stopwatch(), is_live=True).left_s() == 0.0


def test_minutes() -> None:
    assert [minutes(t) for t in (0.4, 59.6, 61, 4975)] == ["0:00", "1:00", "1:01", "1:22:55"]

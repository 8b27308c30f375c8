"""The wall clock is set forward: the time it jumped over was never due, whatever moment of a second it happens in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.history.read import ReadOnlyHistory
from simulators.fakes import Trouble
from tests.sim import feed_oracles
from tests.sim.plant import Act, Plan, play

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("at_s", [0.05, 0.3, 1.0, 20.2, 45.9, 58.2, 118.9])
def test_nothing_of_the_time_it_jumped_over_is_an_interval(tmp_path: Path, at_s: float) -> None:
    plan = Plan(at_s + 400, meters=1, channels=3, links=1, interval="1min", sink_troubles={},
                feed_troubles={"feed": []}, acts=[Act(at_s, "step", step_s=700.0)])  # fmt: skip
    result = play(plan, tmp_path)
    feed_oracles.hold(result, tmp_path)


def test_a_month_at_the_first_answer_of_a_time_server(tmp_path: Path) -> None:
    plan = Plan(2000, meters=2, channels=3, links=1, sink_troubles={}, feed_troubles={"feed": []},
                acts=[Act(45.2, "step", step_s=30 * 86_400.0)])  # fmt: skip
    result = play(plan, tmp_path)
    feed_oracles.hold(result, tmp_path)
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        assert len(list(history.intervals())) < 10


@pytest.mark.parametrize("later_s", [0.1, 0.6, 1.5])
def test_in_the_first_seconds_after_a_start(tmp_path: Path, later_s: float) -> None:
    plan = Plan(1000, meters=2, channels=3, links=1, interval="1min", sink_troubles={}, feed_troubles={"feed": []},
                acts=[Act(300, "stop", away_s=20), Act(320 + later_s, "step", step_s=7000.0)])  # fmt: skip
    result = play(plan, tmp_path)
    feed_oracles.hold(result, tmp_path)


def test_while_meters_answer_slowly(tmp_path: Path) -> None:
    slow = {"link-1": [Trouble("slow", 0, 500, delay_s=0.4)]}
    plan = Plan(900, meters=6, channels=3, links=1, interval="1min", period_s=5, sink_troubles={}, link_troubles=slow,
                feed_troubles={"feed": []}, acts=[Act(200.3, "step", step_s=700.0), Act(411.1, "step", step_s=90.0)])  # fmt: skip
    result = play(plan, tmp_path)
    feed_oracles.hold(result, tmp_path)

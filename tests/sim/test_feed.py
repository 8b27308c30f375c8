"""Intervals and feed of the whole gateway under virtual time: kills, outages, clock steps, late frames."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from simulators.fakes import Trouble
from tests.sim import feed_oracles, oracles
from tests.sim.plant import Act, Plan, play
from tests.sim.test_gateway import FAULTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.plant import Result

KINDS = ("birth", "meter", "data", "summary", "event", "checkpoint")


def feed_of(result: Result) -> Counter[str]:
    return Counter(payload["kind"] for payload in feed_oracles.payloads(result.destinations["feed"]))


def test_an_hour_of_faults_a_stop_and_a_kill(tmp_path: Path) -> None:
    acts = [Act(1700.5, "stop", away_s=35), Act(2500.02, "kill", away_s=20)]
    away = [Trouble("away", 900, 2000)]
    plan = Plan(4000, meters=8, channels=4, links=4, link_troubles=FAULTS, acts=acts, interval="5min",
                feed_troubles={"feed": [], "second": away})  # fmt: skip
    result = play(plan, tmp_path)
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path)
    assert set(feed_of(result)) == set(KINDS)
    late = [one for one in result.destinations["second"].came if one.late]
    assert late, "the outage left no backlog: the test proves nothing"
    assert not [
        one for one in result.destinations["feed"].came if one.late and one.at_s > 2000 and one.at_s < 2500
    ]


@pytest.mark.parametrize("seed", range(4))
def test_kills_at_random_double_and_skip_nothing(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    times = sorted(chance.uniform(5, 1750) for _ in range(25))
    acts = [
        Act(at_s, chance.choice(("kill", "kill", "stop")), away_s=chance.uniform(0.1, 20)) for at_s in times
    ]
    acts = [act for act, after in zip(acts, [*times[1:], 1e9], strict=True) if after - act.at_s > 25]
    troubles = [
        Trouble("away", 300, 420),
        Trouble("doubtful", share=0.05),
        Trouble("slow", 900, 960, delay_s=3),
    ]
    plan = Plan(1900, meters=4, channels=4, links=2, acts=acts, interval="1min", seed=seed,
                feed_troubles={"feed": troubles})  # fmt: skip
    result = play(plan, tmp_path)
    feed_oracles.hold(result, tmp_path)
    assert len(acts) >= 8


def test_clock_steps_forth_and_back(tmp_path: Path) -> None:
    acts = [Act(700, "step", step_s=3600.0), Act(1500, "step", step_s=-1900.0), Act(2000.5, "kill", away_s=5)]
    plan = Plan(2600, meters=4, channels=4, links=2, acts=acts, interval="5min", feed_troubles={"feed": []})
    result = play(plan, tmp_path)
    feed_oracles.hold(result, tmp_path)
    steps = [e for p in feed_oracles.payloads(result.destinations["feed"]) for e in p.get("events", [])]
    assert [event["kind"] for event in steps if event["kind"] == "clock_step"] == ["clock_step"] * 2

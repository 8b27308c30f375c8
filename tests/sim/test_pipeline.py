"""The whole pipeline under virtual time, with scripted faults against the oracles."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from simulators.fakes import Trouble
from tests.sim import oracles
from tests.sim.plant import Act, Plan, play

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.model import Frame
    from tests.sim.plant import Result

HOUR_S = 3600.0


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Twenty minutes without trouble."""
    return play(Plan(1200), tmp_path_factory.mktemp("calm"))


def test_a_calm_plant_delivers_every_poll_on_the_grid(calm: Result) -> None:
    oracles.hold(calm)
    assert calm.journaled == 40 * 10 * 119  # due at 10, 20, … 1190
    for link in calm.links.values():
        assert set(Counter(meter for meter, at_s in link.reads if at_s < 1200).values()) == {119}
        assert all(at_s % 10 < 0.5 for _, at_s in link.reads)
    assert not [entry for entry in calm.logs if entry["log_level"] in {"warning", "error"}]


def test_a_dead_meter_costs_its_link_one_timeout_and_other_links_nothing(
    calm: Result, tmp_path: Path
) -> None:
    dead = {"link-1": [Trouble("dead", 200, 600, who="m-001")]}
    result = play(Plan(1200, link_troubles=dead), tmp_path)
    oracles.hold(result)
    oracles.isolation(result, calm, except_links=["link-1"])
    polls = [at_s for meter, at_s in result.links["link-1"].reads if meter == "m-001" and 200 <= at_s < 600]
    assert 6 <= len(polls) <= 12  # probed at a growing pause
    oracles.rate(result, except_meters=["m-001"])
    for meter in {meter for meter, _ in result.links["link-1"].reads} - {"m-001"}:
        times = [at_s for name, at_s in result.links["link-1"].reads if name == meter and at_s < 1200]
        assert len(times) == 119  # the others keep their rate
        assert max(at_s % 10 for at_s in times) < 1.0


def test_a_sink_outage_leaves_the_poll_timeline_bit_identical(calm: Result, tmp_path: Path) -> None:
    away = {"influx": [Trouble("away", 100, 700)], "mqtt": [Trouble("slow", 0, 900, delay_s=7)]}
    result = play(Plan(1200, sink_troubles=away), tmp_path)
    oracles.hold(result)
    oracles.isolation(result, calm)
    assert any(delivery.backfill for delivery in result.sinks["influx"].deliveries)


def test_a_slow_sink_does_not_starve_its_backlog(tmp_path: Path) -> None:
    troubles = {"influx": [Trouble("away", 100, 700), Trouble("slow", 700, 3000, delay_s=12)]}
    result = play(Plan(3000, sink_troubles=troubles, meters=20), tmp_path)
    oracles.hold(result)


def test_a_link_down_costs_only_its_meters_and_comes_back(calm: Result, tmp_path: Path) -> None:
    down = {"link-2": [Trouble("down", 100, 300), Trouble("down", 600, 640), Trouble("down", 800, 840)]}
    result = play(Plan(1200, link_troubles=down), tmp_path)
    oracles.hold(result)
    oracles.isolation(result, calm, except_links=["link-2"])
    back = [min(at_s for _, at_s in result.links["link-2"].reads if at_s > end) for end in (640, 840)]
    assert back[0] - 640 < 40  # pauses begin anew at every outage
    assert back[1] - 840 < 40


def test_a_silent_line_is_told_once(tmp_path: Path) -> None:
    silent = {"link-3": [Trouble("dead", 100, 900)]}
    result = play(Plan(1200, link_troubles=silent), tmp_path)
    oracles.hold(result)
    told = [e["event"] for e in result.logs if e.get("link") == "link-3" and e["event"].startswith("link")]
    assert told == ["link up", "link down", "link up"]


def test_spoilt_answers_cost_single_polls(tmp_path: Path) -> None:
    noise = {f"link-{n}": [Trouble("garbage", share=0.02)] for n in range(1, 5)}
    result = play(Plan(1200, link_troubles=noise), tmp_path)
    oracles.hold(result)
    assert result.journaled >= 0.96 * 40 * 10 * 120


def test_kills_lose_only_what_was_open_and_repeat_only_what_was_not_durable(tmp_path: Path) -> None:
    acts = [Act(at_s, "kill") for at_s in (100.02, 333.3, 500.06, 777.01)] + [Act(900, "stop")]
    doubtful = {"influx": [Trouble("doubtful", share=0.2)], "mqtt": [Trouble("away", 300, 700)]}
    result = play(Plan(1300, acts=acts, sink_troubles=doubtful), tmp_path)
    oracles.hold(result)
    assert len(result.sinks["influx"].deliveries) > len(set(result.sinks["influx"].identities()))


@pytest.mark.parametrize("step_s", [-7200.0, -3.0, 3.0, 86_400.0])
def test_a_clock_step_begins_an_epoch_and_skips_no_poll_for_long(tmp_path: Path, step_s: float) -> None:
    result = play(Plan(600, acts=[Act(200.5, "step", step_s)]), tmp_path)
    oracles.hold(result)
    assert {frame.epoch for frame in result.frames} == {0, 1}
    assert result.journaled >= 40 * 10 * 58
    assert sum(meter.skipped for meter in result.health.meters.values()) == 0


def test_an_unsynchronised_clock_flags_every_reading_meanwhile(tmp_path: Path) -> None:
    result = play(Plan(300, acts=[Act(105, "unsync"), Act(195, "sync")]), tmp_path)
    oracles.hold(result)
    flagged = [frame for frame in result.frames if all(flag & 512 for flag in frame.flags)]
    assert {(frame.time_ns // 10**9) % 1000 // 10 for frame in flagged} == set(range(11, 20))
    assert len(flagged) == 40 * 9


def test_a_journal_at_its_cap_counts_what_a_dead_sink_never_got(tmp_path: Path) -> None:
    away = {"influx": [Trouble("away", 50, 3000)], "mqtt": []}
    result = play(Plan(3600, sink_troubles=away, size_max=1_000_000), tmp_path)
    oracles.hold(result)
    assert result.accounts["influx"].missed > 0
    assert result.accounts["mqtt"].missed == 0


def test_refused_frames_are_recorded_and_skipped(tmp_path: Path) -> None:
    def refuse(frame: Frame) -> str:
        return "unparsable" if frame.layout.meter == "m-007" else ""

    result = play(Plan(300, refuse=refuse), tmp_path)
    oracles.hold(result)
    assert result.accounts["influx"].refused == 29 * 10


def troubled(seed: int, until_s: float) -> Plan:
    """Return a plan with faults of every kind; the last tenth is calm."""
    rng = Random(seed)
    calm_s = until_s * 0.8
    links: dict[str, list[Trouble]] = {f"link-{n + 1}": [] for n in range(4)}
    for troubles in links.values():
        for _ in range(6):
            start_s = rng.uniform(0, calm_s)
            end_s = min(start_s + rng.expovariate(1 / 120), calm_s)
            kind = rng.choice(["dead", "slow", "garbage", "exception", "down"])
            who = "" if kind == "down" or rng.random() < 0.2 else f"m-{rng.randint(1, 40):03d}"
            delay_s = rng.uniform(0, 1)
            troubles.append(Trouble(kind, start_s, end_s, who, delay_s, rng.choice([1, 0.3])))  # type: ignore[arg-type]
    sinks: dict[str, list[Trouble]] = {"influx": [], "mqtt": []}
    for troubles in sinks.values():
        for _ in range(5):
            start_s = rng.uniform(0, calm_s)
            end_s = min(start_s + rng.expovariate(1 / 200), calm_s)
            kind = rng.choice(["away", "slow", "doubtful"])
            troubles.append(Trouble(kind, start_s, end_s, "", rng.uniform(0, 20), rng.choice([1, 0.3])))  # type: ignore[arg-type]
    acts = [
        Act(rng.uniform(0, calm_s), rng.choice(["kill", "stop"]), away_s=rng.uniform(0.1, 30))
        for _ in range(4)
    ]
    acts += [Act(rng.uniform(0, calm_s), "step", rng.uniform(-3000, 3000)) for _ in range(3)]
    return Plan(until_s, link_troubles=links, sink_troubles=sinks, acts=acts, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_an_hour_of_everything(seed: int, tmp_path: Path) -> None:
    oracles.hold(play(troubled(seed, HOUR_S), tmp_path))

"""Seven simulated days of a troubled plant: nothing lost, nothing wrong, nothing grows (R18, R27, R28)."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from simulators.fakes import Trouble
from tests.sim import soak_oracles
from tests.sim.plant import Act, Plan
from tests.sim.soak import HOUR_S, play

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.fakes import LinkTrouble, SinkTrouble
    from tests.sim.soak import SoakPlant

DAYS = 7
DAY_S = 24 * HOUR_S
JOURNAL_BYTES = 14_000_000  # holds about fourteen hours of this plant
LINKS = 4
METERS = 40


def week(days: int, seed: int = 1) -> Plan:
    """Return days of troubles of every kind, each like the others but for its times; the last hour is calm."""
    rng = Random(seed)
    links: dict[str, list[Trouble]] = {f"link-{n + 1}": [] for n in range(LINKS)}
    sinks: dict[str, list[Trouble]] = {"influx": [], "mqtt": []}
    acts: list[Act] = []
    calm_s = days * DAY_S - HOUR_S
    for day in range(days):
        for n, troubles in enumerate(links.values()):
            troubles.extend(_link_day(rng, n, day * DAY_S, calm_s))
        sinks["influx"] += _sink_day(rng, day * DAY_S, calm_s, away_h=19 if day % 3 == 0 else 2)
        sinks["mqtt"] += _sink_day(rng, day * DAY_S, calm_s, away_h=1)
        acts += [
            Act(day * DAY_S + rng.uniform(1, 22) * HOUR_S, "step", s)
            for s in (-3, 7, -rng.uniform(100, 4000))
        ]
        unsync_s = day * DAY_S + rng.uniform(1, 20) * HOUR_S
        acts += [Act(unsync_s, "unsync"), Act(unsync_s + HOUR_S, "sync")]
    return Plan(
        days * DAY_S,
        meters=METERS,
        links=LINKS,
        link_troubles=links,
        sink_troubles=sinks,
        acts=acts,
        size_max=JOURNAL_BYTES,
        seed=seed,
    )  # fmt: skip


def _link_day(rng: Random, link: int, start_s: float, calm_s: float) -> list[Trouble]:
    """Return a day of one link: meters dead for hours, it itself down, silent, spoilt or hanging."""
    meters = [f"m-{n + 1:03d}" for n in range(link, METERS, LINKS)]
    plan: list[tuple[LinkTrouble, float, str, float]] = [
        ("dead", rng.uniform(1, 5), rng.choice(meters), 1),
        ("dead", rng.uniform(1, 5), rng.choice(meters), 0.3),
        ("exception", rng.uniform(0.5, 2), rng.choice(meters), 1),
        ("slow", rng.uniform(0.5, 2), rng.choice(meters), 0.5),
        ("garbage", 3, "", 0.02),
        ("garbage", 0.5, "", 0.5),
        ("down", rng.uniform(0.2, 1), "", 1),
        ("down", 0.1, "", 0.3),
        ("dead", 0.3, "", 1),
        ("hang", 0.05, rng.choice(meters), 1),
    ]
    return [
        Trouble(kind, at_s, min(at_s + hours * HOUR_S, calm_s), who, 0.4, share)
        for kind, hours, who, share in plan
        for at_s in (start_s + rng.uniform(0, DAY_S - 6 * HOUR_S),)
    ]


def _sink_day(rng: Random, start_s: float, calm_s: float, away_h: float) -> list[Trouble]:
    plan: list[tuple[SinkTrouble, float, float]] = [
        ("away", away_h, 1),
        ("away", 0.2, 0.3),
        ("slow", 1, 1),
        ("doubtful", 1, 0.2),
    ]
    return [
        Trouble(kind, at_s, min(at_s + hours * HOUR_S, calm_s), "", 12, share)
        for kind, hours, share in plan
        for at_s in (start_s + rng.uniform(0, max(HOUR_S, 20 * HOUR_S - hours * HOUR_S)),)
    ]


@pytest.mark.timeout(1800)
def test_seven_days_of_a_troubled_plant(tmp_path: Path) -> None:
    soak = play(week(DAYS), tmp_path)
    soak_oracles.hold(soak)
    assert soak.ledger.polls >= 0.88 * METERS * DAYS * DAY_S / 10
    assert soak.figures["sinks"]["influx"]["missed"] > 0, (
        "the journal's cap was never reached by a pending reading"
    )
    assert soak.logs.counts["wall clock stepped; a new epoch begins"] >= 2 * DAYS
    assert sum(link["rebuilt"] for link in soak.figures["links"].values()) >= LINKS


def short(hours: float = 3.0) -> Plan:
    """Return a calm, small plan."""
    return Plan(hours * HOUR_S, meters=4, links=1, sink_troubles={"mqtt": []}, size_max=JOURNAL_BYTES)


def test_the_oracles_hold_of_a_short_soak(tmp_path: Path) -> None:
    soak_oracles.hold(play(short(), tmp_path, every_s=600), settled_h=1)


def test_a_list_that_grows_is_found(tmp_path: Path) -> None:
    def leak(plant: SoakPlant) -> None:
        kept: list[int] = []
        plant.gateway.journal_times = kept  # type: ignore[attr-defined]
        for link in plant.soak.links.values():
            link.told = kept.append

    soak = play(short(), tmp_path, every_s=600, spoil=leak)
    with pytest.raises(AssertionError, match="journal_times"):
        soak_oracles.bounded(soak.hours, JOURNAL_BYTES, settled_h=1)


def test_a_frame_that_is_acknowledged_and_lost_is_found(tmp_path: Path) -> None:
    def lose(plant: SoakPlant) -> None:
        plant.soak.sinks["mqtt"].lose_at = 100

    soak = play(short(0.5), tmp_path, every_s=600, spoil=lose)
    with pytest.raises(AssertionError, match="never arrived"):
        soak_oracles.conservation(soak)

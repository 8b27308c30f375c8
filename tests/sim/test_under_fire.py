"""Delivery under fire: disks that refuse, files that are damaged or gone, clocks that are set, destinations that are away.

Each with what it costs, to the reading: docs/reference/under-fire.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.feed.verify import Verifier
from gateway.journal import groups
from simulators.fakes import Trouble
from tests.sim import feed_oracles, fire, oracles
from tests.sim.plant import Act, Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.intervals.model import Interval
    from tests.sim.plant import Result

CHANNELS = 3  # of a meter; one of them is a counter, and so reported
RESTART = (Act(700, "stop", away_s=20),)


def plan(until_s: float = 1500, **more: Any) -> Plan:
    settings: dict[str, Any] = {
        "meters": 4,
        "channels": CHANNELS,
        "links": 2,
        "interval": "1min",
        "feed_troubles": {"feed": []},
    }
    return Plan(until_s, **(settings | more))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[Interval]]:
    """A run without trouble, and its intervals."""
    folder = tmp_path_factory.mktemp("calm")
    result = fire.play(plan(), folder)
    return result, fire.kept(folder)


def same(found: list[Interval], calm: list[Interval]) -> bool:
    """Return whether intervals are the same, whenever they closed."""
    return [replace(one, closed_ns=0) for one in found] == [replace(one, closed_ns=0) for one in calm]


def notices(result: Result) -> list[dict[str, Any]]:
    """Return what a verifier says who listened from the start."""
    verifier = Verifier()
    for message in result.destinations["feed"].messages:
        verifier.feed(message.topic, message.retain, message.payload)
    found: list[dict[str, Any]] = verifier.report()["findings"]
    return found


def chains(result: Result) -> Counter[str]:
    return Counter(payload["chain"] for payload in feed_oracles.payloads(result.destinations["feed"]))


# -- disks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "blows",
    [fire.history_full(300.3, 900.3), fire.no_more_pages("history", 300.3, 900.3)],
    ids=["read-only", "full"],
)
def test_a_history_whose_disk_is_full_for_ten_minutes_costs_nothing_but_time(
    tmp_path: Path, calm: tuple[Result, list[Interval]], blows: list[fire.Blow]
) -> None:
    result = fire.play(plan(), tmp_path, blows)
    oracles.hold(result)
    oracles.isolation(result, calm[0])
    feed_oracles.hold(result, tmp_path)
    assert same(fire.kept(tmp_path), calm[1])
    told = [one.at_s for one in result.destinations["feed"].came]
    assert not [at_s for at_s in told if 400 < at_s < 900]
    assert len([at_s for at_s in told if 900 < at_s < 905]) >= 2, "what waited goes at once"
    assert [log["event"] for log in result.logs].count("history cannot be used") == 1
    assert (result.unstored, result.dropped, fire.gaps(tmp_path)) == (0, 0, [])


def test_a_history_whose_disk_is_full_until_the_stop_is_made_of_the_journal_at_the_next_start(
    tmp_path: Path,
) -> None:
    result = fire.play(plan(acts=RESTART), tmp_path, fire.history_full(300.3, 1e5)[:1])
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path)
    assert fire.missing(fire.kept(tmp_path), "gateway_down") > 0
    assert feed_oracles.answered(result, fire.kept(tmp_path)) == 0


def test_a_journal_whose_disk_is_full_for_less_than_a_minute_costs_nothing(
    tmp_path: Path, calm: tuple[Result, list[Interval]]
) -> None:
    result = fire.play(plan(), tmp_path, fire.journal_full(300.3, 350.3))
    oracles.hold(result)
    oracles.isolation(result, calm[0])
    feed_oracles.hold(result, tmp_path)
    assert same(fire.kept(tmp_path), calm[1])
    assert (result.unstored, fire.gaps(tmp_path)) == (0, [])


def test_a_journal_whose_disk_is_full_for_longer_loses_what_it_counts_and_every_interval_says_why(
    tmp_path: Path, calm: tuple[Result, list[Interval]]
) -> None:
    result = fire.play(plan(), tmp_path, fire.journal_full(300.3, 500.3))
    oracles.hold(result)
    oracles.isolation(result, calm[0])
    feed_oracles.hold(result, tmp_path)
    lost = result.unstored
    assert 100 < lost < 200
    (gap,) = fire.gaps(tmp_path)
    assert (gap.reason, gap.readings) == ("journal_dropped", lost)
    (told,) = feed_oracles.events(result.destinations["feed"], "gap")
    assert (told["detail"]["reason"], told["detail"]["readings"]) == ("journal_dropped", lost)
    intervals = fire.kept(tmp_path)
    assert feed_oracles.answered(result, intervals) == lost // CHANNELS
    assert {one.rev for one in intervals} == {0}, "the reason is known before an interval closes"
    assert [account.missed for account in result.accounts.values()] == [0, 0]


def test_a_journal_that_cannot_grow_drops_the_oldest_and_no_interval_loses_anything(
    tmp_path: Path, calm: tuple[Result, list[Interval]]
) -> None:
    result = fire.play(plan(), tmp_path, fire.no_more_pages("journal", 300.3, 1200.3))
    oracles.hold(result)
    oracles.isolation(result, calm[0])
    feed_oracles.hold(result, tmp_path, is_whole=False)
    assert result.dropped > 0
    assert sum(gap.readings for gap in fire.gaps(tmp_path)) <= result.dropped
    assert same(fire.kept(tmp_path), calm[1])
    assert [account.missed for account in result.accounts.values()] == [0, 0]


def test_a_kill_while_the_journals_disk_is_full_loses_no_count(tmp_path: Path) -> None:
    acts = [Act(450.5, "kill", away_s=20)]
    result = fire.play(plan(1000, acts=acts), tmp_path, fire.journal_full(300.3, 1e5)[:1])
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path)
    (gap,) = fire.gaps(tmp_path)
    assert gap.readings == result.unstored > 0
    assert result.uncommitted > 0
    intervals = fire.kept(tmp_path)
    assert fire.missing(intervals, "journal_dropped") == result.unstored // CHANNELS
    (told,) = feed_oracles.events(result.destinations["feed"], "gap")
    assert told["detail"]["readings"] == result.unstored


def test_a_journal_at_its_cap_that_drops_what_no_interval_was_made_of_yet(tmp_path: Path) -> None:
    """The history takes nothing for so long that the journal cannot keep all it is to be made of; gap records go too."""
    result = fire.play(plan(3600, size_max=CAP, period_s=5), tmp_path, fire.history_full(300.3, 3000.3))
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path, is_whole=False)
    assert result.dropped > 0
    assert feed_oracles.answered(result, fire.kept(tmp_path)) > 100
    assert feed_oracles.events(result.destinations["feed"], "gap")
    assert [account.missed for account in result.accounts.values()] == [0, 0], "the sinks had it in time"


CAP = 150_000


def test_a_journal_at_its_cap_costs_a_dead_sink_its_readings_and_no_interval_anything(tmp_path: Path) -> None:
    away = {"influx": [Trouble("away", 50, 3400)], "mqtt": []}
    result = fire.play(plan(3600, size_max=CAP, period_s=5, sink_troubles=away), tmp_path)
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path, is_whole=False)
    assert result.accounts["influx"].missed > 0
    assert result.accounts["mqtt"].missed == 0
    assert feed_oracles.answered(result, fire.kept(tmp_path)) == 0


def test_a_history_at_its_size_costs_a_dead_destination_messages_that_are_counted(tmp_path: Path) -> None:
    troubles = {"feed": [], "dead": [Trouble("away", 100, 1e9)]}
    result = fire.play(plan(2000, interval="10s", feed_troubles=troubles), tmp_path, history_max=450_000)
    oracles.hold(result)
    told = feed_oracles.events(result.destinations["feed"], "history_dropped")
    lost = Counter[str]()
    for one in told:
        lost.update(one["detail"]["unacknowledged"])
    assert lost.keys() == {"dead"}
    assert 50 < lost["dead"] == fire.position(tmp_path, "dead")["missed"]
    assert fire.position(tmp_path, "feed")["missed"] == 0
    assert notices(result) == [], "who listened to the other lacks nothing"


# -- files ------------------------------------------------------------------------------------------------


def spoil_history(plant: fire.FirePlant) -> None:
    fire.spoil_running(plant.gateway.derivation.history._store._db, plant.folder / "history.db")


HISTORIES: dict[str, tuple[tuple[Act, ...], fire.Blow, bool]] = {
    "damaged while running": ((), (610.3, spoil_history), True),
    "damaged between two runs": (RESTART, (710, lambda plant: fire.noise(plant.folder / "history.db", 0.8)), True),
    "deleted between two runs": (RESTART, (710, lambda plant: fire.remove(plant, "history.db")), False),
}  # fmt: skip


@pytest.mark.parametrize("how", HISTORIES)
def test_a_history_that_is_lost_is_made_anew_of_the_journal_in_a_new_chain(
    tmp_path: Path, calm: tuple[Result, list[Interval]], how: str
) -> None:
    acts, blow, is_damaged = HISTORIES[how]
    result = fire.play(plan(acts=acts), tmp_path, [blow])
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path)
    feed = result.destinations["feed"]
    before, after = chains(result)
    first, second = feed_oracles.events(feed, "chain_begins")
    assert (first["detail"]["chain"], first["detail"]["reason"]) == (before, "first_start")
    assert (second["detail"]["chain"], second["detail"]["reason"]) == (after, "history_lost")
    assert [(one["kind"], one["severity"], one["chain"]) for one in notices(result)] == [
        ("new_chain", "notice", after)
    ]
    damage = feed_oracles.events(feed, "history_damaged")
    assert [one["detail"]["moved_to"] for one in damage] == ["history.db.damaged-1"] * is_damaged
    assert feed_oracles.answered(result, fire.kept(tmp_path)) == 0
    if not acts:
        assert same(fire.kept(tmp_path), calm[1]), "all of it, from the journal"


@pytest.mark.parametrize(
    "blow",
    [lambda plant: fire.noise(plant.folder / "journal.db", 0.3), lambda plant: fire.remove(plant, "journal.db")],
    ids=["damaged at its tail", "deleted"],
)  # fmt: skip
def test_a_journal_lost_between_two_runs_is_a_gap_and_the_intervals_go_on(
    tmp_path: Path, blow: Callable[[fire.FirePlant], None]
) -> None:
    result = fire.play(plan(acts=[Act(700.5, "kill", away_s=20)]), tmp_path, [(710, blow)])
    feed_oracles.hold(result, tmp_path, is_whole=False)
    (gap,) = fire.gaps(tmp_path)
    stored = len(result.frames) * CHANNELS
    assert stored + gap.readings == result.journaled
    for account in result.accounts.values():
        assert account.delivered + account.missed + account.pending == stored
    (told,) = feed_oracles.events(result.destinations["feed"], "gap")
    assert told["detail"]["readings"] == gap.readings
    (damaged,) = feed_oracles.events(result.destinations["feed"], "journal_damaged")
    assert damaged["detail"]["readings"] == gap.readings
    intervals = fire.kept(tmp_path)
    assert 0 < fire.missing(intervals, "journal_dropped") <= 3 * 4, "at most what the last minute had"
    assert 0 < fire.missing(intervals, "gateway_down") <= 3 * 4
    assert len(chains(result)) == 1
    assert notices(result) == []


def test_a_journal_damaged_while_running_is_a_gap_and_no_interval_loses_anything(
    tmp_path: Path, calm: tuple[Result, list[Interval]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "TAIL_BYTES", 20_000)  # else all of it is still in memory

    def blow(plant: fire.FirePlant) -> None:
        fire.spoil_running(plant.gateway.journal._store._db, plant.folder / "journal.db")

    away = {"influx": [Trouble("away", 400, 900)], "mqtt": []}
    result = fire.play(plan(sink_troubles=away), tmp_path, [(610.3, blow)])
    oracles.isolation(result, calm[0])
    feed_oracles.hold(result, tmp_path, is_whole=False)
    assert same(fire.kept(tmp_path), calm[1])
    (gap,) = fire.gaps(tmp_path)
    (damaged,) = feed_oracles.events(result.destinations["feed"], "journal_damaged")
    (told,) = feed_oracles.events(result.destinations["feed"], "gap")
    assert 0 < result.accounts["influx"].missed <= gap.readings <= damaged["detail"]["readings"]
    assert told["detail"]["readings"] == gap.readings
    assert result.accounts["mqtt"].missed == 0
    for account in result.accounts.values():
        assert account.delivered + account.missed + account.pending == result.journaled


def test_a_damaged_group_that_no_interval_was_made_of_yet(tmp_path: Path) -> None:
    """Bits turn over between two runs, in a group the history had not taken when the gateway was stopped."""

    def blow(plant: fire.FirePlant) -> None:
        fire.spoil_groups(plant.folder, 500, 520)

    blows = [*fire.history_full(300.3, 1e5)[:1], (710.0, blow)]
    result = fire.play(plan(acts=RESTART), tmp_path, blows)
    feed_oracles.hold(result, tmp_path, is_whole=False)
    intervals = fire.kept(tmp_path)
    assert feed_oracles.answered(result, intervals) == 2 * 4, "two rounds of four meters"


# -- clocks -----------------------------------------------------------------------------------------------


def test_a_clock_set_across_midnight_and_back_with_a_kill_between(tmp_path: Path) -> None:
    """From 06:18 to 23:58, past midnight, back to 23:56 of the day before, a kill, forth across a boundary, midnight again."""
    acts = [
        Act(300, "step", step_s=63_600),
        Act(460, "step", step_s=-300),
        Act(520.02, "kill", away_s=20),
        Act(585, "step", step_s=90),
    ]
    result = fire.play(plan(1500, acts=acts), tmp_path)
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path)
    feed = result.destinations["feed"]
    assert len(feed_oracles.events(feed, "clock_step")) == 3
    intervals = fire.kept(tmp_path)
    assert {one.epoch for one in intervals} == {0, 1, 2, 3}
    names = Counter((one.meter, one.start_ns) for one in intervals)
    assert max(names.values()) > 1, "the same wall time came twice, and both are kept"
    days = [p for p in feed_oracles.payloads(feed) if p["kind"] == "summary" and p["period"] == "day"]
    newest = {one["t0"]: one for one in days}
    (day,) = newest.values()
    assert day["t0"].startswith("2023-11-15")
    assert day["rev"] >= 1, "midnight came again, and the day was summed up anew"
    assert len(chains(result)) == 1


def test_a_clock_that_is_behind_at_a_start(tmp_path: Path) -> None:
    acts = [Act(700.5, "kill", away_s=20), Act(710, "step", step_s=-1800)]
    result = fire.play(plan(acts=acts), tmp_path)
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path)
    assert {one.epoch for one in fire.kept(tmp_path)} == {0, 1}
    assert notices(result) == []


# -- destinations -----------------------------------------------------------------------------------------


def test_live_goes_first_and_the_backlog_behind_it_at_its_rate_and_marked(tmp_path: Path) -> None:
    """Four destinations: one well, one away for 10 minutes, one slow, one that loses acknowledgements; intervals of a second."""
    troubles = {
        "feed": [],
        "away": [Trouble("away", 50, 650)],
        "slow": [Trouble("slow", 100, 400, delay_s=3)],
        "doubtful": [Trouble("doubtful", share=0.05)],
    }
    result = fire.play(
        plan(750, meters=1, links=1, interval="1s", period_s=1, feed_troubles=troubles), tmp_path
    )
    oracles.hold(result)
    feed_oracles.hold(result, tmp_path)
    feed, away = result.destinations["feed"], result.destinations["away"]
    came = {one.entry.seq: one.at_s for one in feed.came}
    assert not [one for one in feed.came if one.late]
    late = [one for one in away.came if one.late]
    assert len(late) > 500
    seconds = Counter(int(one.at_s) for one in late)
    assert max(seconds.values()) <= 300, "200 a second, in batches of 100"
    begin_s, end_s = late[0].at_s, late[-1].at_s
    meanwhile = [one for one in away.came if not one.late and begin_s < one.at_s < end_s]
    assert meanwhile
    assert all(one.at_s - came[one.entry.seq] < 1 for one in meanwhile), "live ones wait for no backlog"

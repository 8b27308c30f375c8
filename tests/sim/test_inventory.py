"""The inventory in force of a running gateway under virtual time: marks, events told once, rates, across kills and stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.derive.diary import Diary
from gateway.feed.contract import Fitting
from gateway.feed.lines import encode
from gateway.inventory.revisions import FOLDER, Revisions
from simulators.virtual import run
from tests.sim import feed_oracles, site
from tests.sim.plant import Act, Plant, feed_alone
from tests.sim.test_replay_intervals import CORRECTED_S, METER, PLAN, Corrected
from tests.unit.inventory_rig import VERIFIED, inventory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.inventory.model import Inventory
    from tests.sim.plant import Plan, Result

# The runs begin on 2023-11-15 at 06:13 in Shanghai.
ENDED = VERIFIED | {"until": "2023-11-14"}
AGAIN = {"on": "2023-11-15", "period_months": 12, "certificate": "C-2"}
BEFORE = inventory({"verifications": [ENDED]}, {"verifications": [VERIFIED | {"until": "2023-12-01"}]})
VERIFIED_AGAIN = inventory(
    {"verifications": [ENDED, AGAIN]}, {"verifications": [VERIFIED | {"until": "2023-12-01"}]}
)
WRONG = inventory(
    {"verifications": [ENDED, AGAIN]},
    {"nonconformities": [{"found": "2023-11-15", "since": "2023-11-01", "why": "seal broken"}]},
)
KINDS = {
    "inventory_applied", "instrument_expired", "instrument_nonconforming", "instrument_valid_again", "verification_due",
}  # fmt: skip


@dataclass
class Applying:
    """An inventory applied at a time; 0: before the start."""

    at_s: float
    inventory: Inventory


async def _play(plan: Plan, folder: Path, applied: Sequence[Applying]) -> Result:
    plant = Plant(plan, folder)
    revisions = Revisions(folder / FOLDER)

    async def apply() -> None:
        for one in applied:
            await plant.clock.sleep_until(one.at_s)
            revisions.add(one.inventory, "zhang", f"at {one.at_s:g} s", plant.clock.wall_ns())

    applying = asyncio.create_task(apply())
    await plant.clock.sleep_until(0.001)
    result = await plant.run()
    await applying
    return result


def play(plan: Plan, folder: Path, *applied: Applying) -> Result:
    return run(_play(plan, folder, applied))


def said(result: Result, kind: str) -> list[dict[str, Any]]:
    found = feed_oracles.payloads(result.destinations["feed"])
    return [payload for payload in found if payload["kind"] == kind]


def told(result: Result) -> Counter[tuple[str, str, str | None]]:
    """Return kind, subject and end of the events of an inventory on the feed; those of the journal are the same."""
    events = [event for payload in said(result, "event") for event in payload["events"]]
    found = [e for e in events if e["kind"] in KINDS]
    journaled = [e for e in result.events if e.kind in KINDS]
    assert [(e["kind"], e["detail"]) for e in found] == [(e.kind, dict(e.detail)) for e in journaled]
    return Counter((e["kind"], e["subject"], e["detail"].get("until")) for e in found)


def marks(result: Result, meter: str) -> list[str]:
    """Return the marks of a meter's intervals as they came, without repetition."""
    states: list[str] = []
    for payload in said(result, "data"):
        for one in payload["intervals"]:
            state = one.get("verification", "")
            if one["meter"] == meter and state not in states[-1:]:
                states.append(state)
    return states


def test_marks_and_events_follow_what_is_applied_while_it_runs_and_while_it_does_not(tmp_path: Path) -> None:
    acts = [Act(610.02, "kill", away_s=30), Act(900.5, "stop", away_s=60)]
    applied = [Applying(0, BEFORE), Applying(300, VERIFIED_AGAIN), Applying(930, WRONG)]
    result = play(feed_alone(1300, *acts), tmp_path, *applied)
    feed_oracles.hold(result, tmp_path)
    assert told(result) == {
        ("inventory_applied", "plant-1", None): 3,
        ("instrument_expired", "e-1", None): 1,
        ("instrument_expired", "e-1", "2023-11-15"): 1,
        ("instrument_valid_again", "e-1", None): 1,
        ("instrument_nonconforming", "e-2", None): 1,
        ("verification_due", "e-1", None): 1,
        ("verification_due", "e-2", None): 1,
    }
    assert marks(result, "m-001") == ["expired", "valid"]
    assert marks(result, "m-002") == ["valid", "nonconforming"]
    births = [(p["about"]["id"], p["about"]["verification"]["state"]) for p in said(result, "meter")]
    assert Counter(births) == Counter([
        ("m-001", "expired"), ("m-001", "valid"), ("m-002", "valid"), ("m-002", "nonconforming"),
    ])  # fmt: skip


def test_rates_are_told_once_for_a_day_and_an_inventory(tmp_path: Path) -> None:
    acts = [Act(400.02, "kill", away_s=30), Act(500.5, "stop", away_s=60)]
    result = play(feed_alone(900, *acts), tmp_path, Applying(0, BEFORE), Applying(700, VERIFIED_AGAIN))
    feed_oracles.hold(result, tmp_path)
    rates = said(result, "fitting")
    assert [(one["inventory"], one["revision"]) for one in rates] == [
        (BEFORE.digest, 1), (VERIFIED_AGAIN.digest, 2),
    ]  # fmt: skip
    for one in rates:
        Fitting.model_validate(one, strict=True)
        (row,) = [r for r in one["result"]["rates"] if (r["level"], r["energy_kind"]) == (1, "electricity")]
        assert (row["need"], row["fitted"], row["rate_percent"], row["meets"]) == (2, 2, "100.0000", True)
        assert one["as_of"] == "2023-11-15"
    verified = [one["result"]["rates"][0]["verified_percent"] for one in rates]
    assert verified == ["50.0000", "100.0000"]


def test_a_database_alone_has_the_rates_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = '[[sinks]]\nid = "{id}"\nkind = "feed-influx"\nurl = "http://127.0.0.1:{port}"\norg = "o"\nbucket = "b"\n'
    monkeypatch.setattr(site, "FEED", database)
    result = play(feed_alone(200), tmp_path, Applying(0, BEFORE))
    lines = b"\n".join(encode(payload) for payload in said(result, "fitting")).split(b"\n")
    first = next(line for line in lines if b"level=1,energy_kind=electricity," in line)
    assert first.startswith(b"fitting,gateway=plant-1,")
    for stated in ("need=2i", "superseded=0i", 'as_of="2023-11-15"', f'inventory="{BEFORE.digest}"'):
        assert stated.encode() in first


def test_a_new_day_changes_marks_births_and_rates(tmp_path: Path) -> None:
    """The clock is put to just before midnight; the last day of e-2 is over then."""
    ends = inventory({}, {"verifications": [VERIFIED | {"until": "2023-11-15"}]})
    acts = [Act(200, "step", step_s=17 * 3600 + 2400)]
    result = play(feed_alone(1200, *acts), tmp_path, Applying(0, ends))
    feed_oracles.hold(result, tmp_path)
    assert marks(result, "m-002") == ["valid", "expired"]
    assert [one["as_of"] for one in said(result, "fitting")] == ["2023-11-15", "2023-11-16"]
    assert ("instrument_expired", "e-2", None) in told(result)
    steps = [
        event["detail"]["step"]
        for payload in said(result, "event")
        for event in payload["events"]
        if event["kind"] == "verification_due" and event["subject"] == "e-2"
    ]
    assert steps == [7, -1]


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_tell_everything_once(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    acts, at_s = [], 0.0
    while (at_s := at_s + chance.uniform(25.5, 80)) < 1000:
        acts.append(Act(at_s, chance.choice(("kill", "kill", "stop")), away_s=chance.uniform(0.1, 15)))
    many = [{"verifications": [VERIFIED | {"until": f"2023-11-{n:02d}"}]} for n in range(1, 29)]
    changed = [
        inventory(*many[:n], {"verifications": [ENDED, AGAIN | {"certificate": f"C-{n}"}]}, *many[n + 1 :])
        for n in range(8)
    ]
    times = sorted(chance.uniform(0, 1000) for _ in changed)
    applied = [Applying(at_s, one) for at_s, one in zip(times, changed, strict=True)]
    result = play(feed_alone(1200, *acts), tmp_path, *applied)
    feed_oracles.hold(result, tmp_path)
    found = told(result)
    assert found["inventory_applied", "plant-1", None] == len(changed)
    numbers = [e.detail["revision"] for e in result.events if e.kind == "inventory_applied"]
    assert numbers == [*range(1, len(changed) + 1)]
    reminders = Counter(
        (e.subject, e.detail["last_day"], e.detail["step"])
        for e in result.events
        if e.kind == "verification_due"
    )
    assert set(reminders.values()) == {1}
    spans = [
        (e.subject, e.detail["meter"], e.detail["state"], e.detail["since"], e.detail["until"])
        for e in result.events
        if e.kind == "instrument_expired"
    ]
    newest = {span[:4]: span[4] for span in spans}
    assert len(newest) >= 13
    repeated = [one for one, after in pairwise(sorted(spans, key=lambda s: s[:4])) if one == after]
    assert not repeated, "the same span with the same end, one after the other"
    assert [p["revision"] for p in said(result, "fitting")][-1] == len(changed)
    keys = Counter((p["revision"], p["as_of"]) for p in said(result, "fitting"))
    assert set(keys.values()) == {1}


@pytest.mark.parametrize("at_s", [5.02, 5.1, 5.4, 6.0, 6.8, 7.4])
def test_a_kill_between_journal_and_history_tells_nothing_twice(tmp_path: Path, at_s: float) -> None:
    """The first events are noted 5 s after the start, journaled some 50 ms and committed some 2 s later."""
    result = play(feed_alone(250, Act(at_s, "kill", away_s=0.5)), tmp_path, Applying(0, BEFORE))
    feed_oracles.hold(result, tmp_path)
    assert set(told(result).values()) == {1}
    assert len(told(result)) == 4


def test_what_is_made_anew_is_marked_by_what_is_known_then(tmp_path: Path) -> None:
    """A replay revises what closed before any inventory was applied."""

    async def main() -> Result:
        plant = Corrected(PLAN, tmp_path)
        Revisions(tmp_path / "later").add(BEFORE, "zhang", "test", 1)
        playing = asyncio.create_task(plant.run())
        await plant.clock.sleep_until(CORRECTED_S + 5)
        (tmp_path / "later").rename(tmp_path / FOLDER)
        return await playing

    result = run(main())
    intervals = [one for payload in said(result, "data") for one in payload["intervals"]]
    marked = {
        (one["cause"], one.get("verification", "")) for one in intervals if one.get("cause") == "replay"
    }
    assert marked == {("replay", "expired")}
    early = [one for one in intervals if one["rev"] == 0 and one["meter"] == METER][:5]
    assert {one.get("verification", "") for one in early} == {""}


def test_without_an_inventory_nothing_is_told(tmp_path: Path) -> None:
    result = play(feed_alone(400), tmp_path)
    assert not told(result)
    assert not said(result, "fitting")
    assert marks(result, "m-001") == [""]
    assert {p["about"]["verification"] for p in said(result, "meter")} == {None}


def test_hundreds_of_events_are_told_with_the_diary_made_once_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    body = Diary.body

    def counted(diary: Diary) -> dict[str, Any]:
        made.append(1)
        return body(diary)

    monkeypatch.setattr(Diary, "body", counted)
    result = play(feed_alone(120), tmp_path, Applying(0, inventory(*[{"verifications": [ENDED]}] * 300)))
    assert told(result)["verification_due", "e-300", None] == 1
    assert len(told(result)) == 601
    assert len(made) < 30

"""The gateway as a whole over a simulated hour: what its journal tells of plans, gaps, stops and ratios."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.model import Event
from simulators.fakes import Trouble
from tests.sim import oracles, site
from tests.sim.plant import START_NS, Act, Plan, play

if TYPE_CHECKING:
    from tests.sim.plant import Result

S = 1_000_000_000
PERIOD_NS = 10 * S
STATES = {  # reason -> the event that ends it, those that begin it
    "gateway_down": ("start", "stop"),
    "link_down": ("link_up", "link_down"),
    "meter_off": ("meter_on", "meter_off"),
}
FAULTS: dict[str, list[Trouble]] = {
    "link-1": [Trouble("dead", 400, 900, who="m-001"), Trouble("garbage", share=0.01)],
    "link-2": [Trouble("down", 1000, 1300)],
    "link-3": [Trouble("slow", 2000, 2200, who="m-003", delay_s=25)],
}
AWAY: dict[str, list[Trouble]] = {
    "influx": [Trouble("away", 500, 1500), Trouble("slow", 2900, 3600, delay_s=9)],
    "mqtt": [],
}


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """An hour with faults on three links, a sink away, a stop and a kill."""
    acts = [Act(1700.5, "stop", away_s=35), Act(2500.02, "kill", away_s=20)]
    plan = Plan(3600, meters=8, channels=4, links=4, link_troubles=FAULTS, sink_troubles=AWAY, acts=acts)
    return play(plan, tmp_path_factory.mktemp("hour"))


def test_every_oracle_holds(hour: Result) -> None:
    oracles.hold(hour)


def test_every_start_journals_what_each_meter_is_read_for(hour: Result) -> None:
    starts = [event for event in hour.events if event.kind == "start"]
    plans = [event for event in hour.events if event.kind == "plan"]
    assert len(starts) == 3
    assert [event.subject for event in hour.events if event.kind == "stop"] == ["plant-1"] * 2
    assert [plan.subject for plan in plans] == [f"m-{n:03d}" for n in range(1, 9)] * 3
    first = plans[0].detail
    assert (first["link"], first["period_s"], first["enabled"]) == ("link-1", 10.0, True)
    assert first["channels"] == [channel.key for channel in hour.frames[0].layout.channels]


def test_every_missing_poll_has_a_reason_in_the_journal(hour: Result) -> None:
    """Expected from the plan, explained by docs/specs/gap-reasons.md."""
    explained: Counter[str] = Counter()
    for link, meters in hour.meters.items():
        for meter in meters:
            taken = [frame.time_ns for frame in hour.frames if frame.layout.meter == meter]
            there = {time_ns // PERIOD_NS for time_ns in taken}
            for due_ns in range(START_NS + PERIOD_NS, START_NS + 3595 * S, PERIOD_NS):
                if due_ns // PERIOD_NS not in there:
                    next_ns = min((time_ns for time_ns in taken if time_ns > due_ns), default=1 << 62)
                    explained[why(hour, link, meter, due_ns, min(next_ns, due_ns + PERIOD_NS))] += 1
    assert "" not in explained, explained
    assert explained["meter_off"] >= 45
    assert explained["link_down"] >= 2 * 30
    assert 8 * 4 <= explained["gateway_down"] <= 8 * 7, explained


def why(result: Result, link: str, meter: str, due_ns: int, until_ns: int) -> str:
    """Return the reason of a missing poll, "" if the journal does not tell.

    until_ns: the following due time or frame; a poll is told when it has failed, so that is looked at too.
    """
    for event in result.events:
        if event.kind == "overrun" and event.subject == meter:
            first_ns, last_ns = (int(str(event.detail[key])) for key in ("first_ns", "last_ns"))
            if first_ns <= due_ns <= last_ns:
                return "link_down"
    for time_ns in (due_ns, until_ns):
        states = dict.fromkeys(STATES, "")  # reason -> the last that was told
        for event in with_ends(result.events):
            if event.time_ns > time_ns:
                break
            if event.kind == "start":  # nothing is known of links and meters yet
                states = dict.fromkeys(STATES, "")
            if event.subject in (link, meter, "plant-1"):
                for reason, kinds in STATES.items():
                    if event.kind in kinds:
                        is_silent = event.detail.get("reason") == "silent" and event.kind == "link_down"
                        states[reason] = "link_up" if is_silent else event.kind
        for reason, kinds in STATES.items():
            if states[reason] != kinds[0]:
                return reason
    return ""


def with_ends(events: list[Event]) -> list[Event]:
    """Return the events with a `stop` after the last one before a start without: that was a kill."""
    found: list[Event] = []
    for event in events:
        if event.kind == "start" and found and found[-1].kind != "stop":
            found.append(Event(found[-1].time_ns, "stop", "plant-1", {}))
        found.append(event)
    return found


def test_ratios_of_the_meters_are_in_every_layout(hour: Result) -> None:
    assert {frame.layout.ratios["ct"] for frame in hour.frames} == {str(site.CT)}

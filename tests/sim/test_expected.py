"""Expectations over a simulated hour with faults, a stop and a kill: every missing due time has a reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.intervals.expected import Expectation
from gateway.model import NS, Event, Frame, Gap
from simulators.fakes import Trouble
from tests.sim.plant import START_NS, Act, Plan, play

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.intervals.model import Reason
    from tests.sim.plant import Result

FIRST_NS = START_NS + 10 * NS
END_NS = START_NS + 3595 * NS
PERIOD_NS = 10 * NS
FAULTS = {
    "link-1": [Trouble("dead", 400, 900, who="m-001"), Trouble("garbage", share=0.01)],
    "link-2": [Trouble("down", 1000, 1300)],
    "link-3": [Trouble("slow", 2000, 2200, who="m-003", delay_s=25)],
}


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """An hour with faults on three links, a stop and a kill."""
    acts = [Act(1700.5, "stop", away_s=35), Act(2500.02, "kill", away_s=20)]
    plan = Plan(3600, meters=8, channels=4, links=4, link_troubles=FAULTS, acts=acts)
    return play(plan, tmp_path_factory.mktemp("hour"))


def fed(records: list[Event | Gap | Frame]) -> Expectation:
    expectation = Expectation()
    for record in records:
        if isinstance(record, Frame):
            layout = record.layout
            expectation.frame(layout.meter, layout.period_s, record.epoch, record.time_ns)
        else:
            expectation.note(record)
    return Expectation.restore(json.loads(json.dumps(expectation.snapshot())))


def test_every_missing_poll_has_a_reason(hour: Result) -> None:
    """The journal in order of time: within one time frames first, since what fails is told after what was read."""
    records: list[Event | Gap | Frame] = [*hour.frames, *hour.events]
    records.sort(key=lambda record: record.time_ns)
    expectation = fed(records)
    assert expectation.meters() == [f"m-{n:03d}" for n in range(1, 9)]
    reasons: dict[str, Mapping[Reason, int]] = {}
    for meter in expectation.meters():
        (account,) = expectation.account(meter, 0, FIRST_NS, END_NS, END_NS).values()
        taken = {f.time_ns // PERIOD_NS * PERIOD_NS for f in hour.frames if f.layout.meter == meter}
        assert account.due == range(FIRST_NS, END_NS, PERIOD_NS)
        assert account.there == len(taken & set(account.due))
        assert sum(account.missing.values()) == len(account.due) - account.there
        reasons[meter] = account.missing
    assert expectation.last_resorts == 0
    total = sum((Counter(dict(missing)) for missing in reasons.values()), Counter[str]())
    assert set(total) == {"meter_off", "link_down", "gateway_down"}
    assert reasons["m-001"]["meter_off"] >= 45
    assert reasons["m-002"]["link_down"] >= 30
    assert reasons["m-006"]["link_down"] >= 30
    assert 5 <= reasons["m-008"]["gateway_down"] <= 8
    assert set(reasons["m-008"]) == {"gateway_down"}

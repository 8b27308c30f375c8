"""Who is to blame when nothing comes: the meters, the connection, or the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.model import Event
from simulators.fakes import Trouble
from simulators.virtual import run
from tests.sim.plant import Plan, play
from tests.sim.test_gateway import PERIOD_NS, why
from tests.unit.journal_rig import uncommitted
from tests.unit.test_poll import Line

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000


def reasons(folder: Path, troubles: list[Trouble], until_s: float) -> list[tuple[str, str]]:
    """Return (kind, reason) of what was told of a link with two meters, and of those."""
    found: list[tuple[str, str]] = []

    async def main() -> None:
        line = Line(folder, 2, troubles)
        await line.go(until_s)
        told = [r for r in uncommitted(line.journal) if isinstance(r, Event)]
        wanted = {"link_down", "link_up", "meter_off"}
        found.extend((e.kind, str(e.detail.get("reason", ""))) for e in told if e.kind in wanted)

    run(main())
    return found


@pytest.mark.parametrize(
    ("trouble", "reason"), [("dead", "silent"), ("down", "connection"), ("hang", "hang")]
)
def test_a_lost_link_says_what_was_wrong(tmp_path: Path, trouble: str, reason: str) -> None:
    found = reasons(tmp_path, [Trouble(trouble, 100, 130, delay_s=500)], 400)  # type: ignore[arg-type]
    assert [told for kind, told in found if kind == "link_down"] == [reason]


def test_a_silent_link_that_is_lost_tells_of_both(tmp_path: Path) -> None:
    found = reasons(tmp_path, [Trouble("dead", 50, 300), Trouble("down", 100, 200)], 400)
    assert [told for kind, told in found if kind == "link_down"] == ["silent", "connection", "silent"]
    assert [kind for kind, _ in found].count("meter_off") == 2, "once each, before the link is blamed"
    assert found[-1][0] == "link_up"


@pytest.mark.parametrize("meters", [1, 2])
def test_silent_meters_are_off_and_their_link_is_not_to_blame(tmp_path: Path, meters: int) -> None:
    """The only meter of a link, or all of them: each has its own event, and the gap is laid to it."""
    plan = Plan(600, meters=meters, links=1, link_troubles={"link-1": [Trouble("dead", 200, 400)]})
    result = play(plan, tmp_path)
    off = [event.subject for event in result.events if event.kind == "meter_off"]
    assert sorted(off) == result.meters["link-1"]
    for meter in result.meters["link-1"]:
        taken = [frame.time_ns for frame in result.frames if frame.layout.meter == meter]
        there = {time_ns // PERIOD_NS for time_ns in taken}
        first_ns = taken[0] // PERIOD_NS * PERIOD_NS
        missing = [n for n in range(first_ns, first_ns + 580 * S, PERIOD_NS) if n // PERIOD_NS not in there]
        assert len(missing) >= 15
        assert {why(result, "link-1", meter, due, due + PERIOD_NS) for due in missing} == {"meter_off"}

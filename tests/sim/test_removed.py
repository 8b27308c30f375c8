"""A meter sent for verification (送检): the whole gateway, from the declaration to the gaps of its intervals."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from simulators.fakes import Trouble
from simulators.virtual import run
from tests.sim.plant import START_NS, Plan, Plant
from tests.sim.test_requests import again, events

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.app import Gateway

MINUTE_NS = 60 * NS


def gaps(folder: Path, meter: str) -> dict[int, dict[str, int]]:
    """Return minute after the start -> gaps of a meter's first channel, of those with any."""
    with ReadOnlyHistory(folder / "history.db") as history:
        return {
            (one.start_ns - START_NS) // MINUTE_NS: {str(key): n for key, n in one.channels[0].gaps.items()}
            for one in history.intervals()
            if one.meter == meter and one.channels[0].gaps
        }


def test_a_meter_sent_for_verification_is_missing_for_that_also_over_a_restart(tmp_path: Path) -> None:
    """It is unscrewed at 70 s, declared away since 65 s; from 130 s on its link is worked on; at 600 s it is said to be back."""
    away = {"link-1": [Trouble("dead", 70, 700, who="m-002")]}
    plan = Plan(1e9, meters=2, channels=4, links=1, sink_troubles={}, link_troubles=away, interval="1min")

    async def ask(gateway: Gateway, **more: object) -> None:
        await gateway.answers["maintenance"]({"for_s": 3600, "why": "verification", "by": "Li"} | more)

    async def sent(gateway: Gateway) -> None:
        await asyncio.sleep(40)
        await ask(gateway, subject="m-002", removed=True)
        await asyncio.sleep(65)
        await ask(gateway, subject="link-1", for_s=7200)
        await asyncio.sleep(120)

    async def back(gateway: Gateway) -> None:
        (_, shown) = gateway.figures()["maintenance"]
        assert (shown["subject"], shown["removed"]) == ("m-002", True)
        await asyncio.sleep(600 - 25 - 251)
        await ask(gateway, subject="m-002", for_s=0)
        await asyncio.sleep(400)

    async def main() -> None:
        plant = Plant(plan, tmp_path)
        await again(plant, sent)
        await again(plant, back)

    run(main())
    began = [event.detail.get("removed") for event in events(tmp_path, "maintenance_begin")]
    assert began == [True, None]
    found, other = gaps(tmp_path, "m-002"), gaps(tmp_path, "m-001")
    assert found[2] == found[5] == found[8] == {"removed_for_verification": 6}
    assert sum(gap.get("removed_for_verification", 0) for gap in found.values()) >= 50
    assert found[11] == found[12] == {"maintenance": 6}, "back on the line of a link that is worked on"
    assert not any("removed_for_verification" in gap for gap in other.values())
    assert other[5] == {"maintenance": 6}, "a frame is there, and its flag says so"
    reasons = {reason for gap in (found, other) for minute in gap if minute >= 2 for reason in gap[minute]}
    assert reasons == {"removed_for_verification", "maintenance"}

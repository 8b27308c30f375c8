"""Swaps and ratio changes declared after the fact: each side has readings of its own side, or the answer is no."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import MetergateError
from gateway.model import Frame, Sample
from simulators.fakes import Trouble
from simulators.virtual import run
from tests.sim.plant import Plan, Plant
from tests.sim.test_requests import again, events
from tests.unit import journal_rig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.app import Gateway

S = 1_000_000_000
KEY = "energy_active_import_2"
SWAP = {"meter": "m-001", "serial": "SN 7", "by": "Wang", "why": "verification"}
RATIO = {"meter": "m-001", "ratio": "ct", "after": "60", "by": "Wang", "why": "CTs"}


def after_a_while(
    folder: Path, script: Callable[[Gateway], Awaitable[None]], *troubles: Trouble, wait_s: float = 200
) -> None:
    """Run a gateway of one meter, and `script` after `wait_s`."""

    async def later(gateway: Gateway) -> None:
        await asyncio.sleep(wait_s)
        await script(gateway)

    async def main() -> None:
        plan = Plan(
            1e9, meters=1, channels=4, links=1, sink_troubles={}, link_troubles={"link-1": list(troubles)}
        )
        await again(Plant(plan, folder), later)

    run(main())


def shown(folder: Path) -> dict[int, str]:
    """Return time -> the counter's exact reading of each journaled frame."""
    found = {}
    for frame in journal_rig.frames(folder):
        assert isinstance(frame, Frame)
        i = [channel.key for channel in frame.layout.channels].index(KEY)
        found[frame.time_ns] = f"{frame.layout.exact(frame.raw, i):f}"
    return found


def side(detail: Any, name: str) -> tuple[str, str, int, str]:
    one = detail[name][KEY]
    assert one.keys() == {"reading", "unit", "time_ns", "from"}
    return one["reading"], one["unit"], one["time_ns"], one["from"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_swap_of_the_past_has_the_journal_s_readings_on_both_sides(tmp_path: Path, restarted: bool) -> None:
    told: list[dict[str, Any]] = []

    async def script(gateway: Gateway) -> None:
        at_ns = gateway.figures()["gateway"]["time_ns"] - 100 * S
        told.append(await gateway.answers["swap"](SWAP | {"effective_ns": at_ns}))

    async def wait(_: Gateway) -> None:
        await asyncio.sleep(200)

    async def main() -> None:
        plant = Plant(Plan(1e9, meters=1, channels=4, links=1, sink_troubles={}), tmp_path)
        if restarted:
            await again(plant, wait)
            await again(plant, script)
            return

        async def later(gateway: Gateway) -> None:
            await wait(gateway)
            await script(gateway)

        await again(plant, later)

    run(main())
    (event,) = events(tmp_path, "meter_swap")
    at_ns = event.detail["effective_ns"]
    readings = shown(tmp_path)
    before = max(t for t in readings if t <= at_ns)  # type: ignore[operator]
    after = min(t for t in readings if t >= at_ns)  # type: ignore[operator]
    assert side(event.detail, "closing") == (readings[before], "kW·h", before, "journal")
    assert side(event.detail, "opening") == (readings[after], "kW·h", after, "journal")
    assert told[0]["durable"] is True
    assert "typed" not in event.detail
    assert "closing_ns" not in event.detail


def test_a_swap_now_closes_with_the_journal_and_opens_with_a_read(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        await gateway.answers["swap"](SWAP)

    after_a_while(tmp_path, script)
    (event,) = events(tmp_path, "meter_swap")
    at_ns = event.detail["effective_ns"]
    readings = shown(tmp_path)
    before = max(t for t in readings if t <= at_ns)  # type: ignore[operator]
    assert side(event.detail, "closing") == (readings[before], "kW·h", before, "journal")
    _, _, time_ns, origin = side(event.detail, "opening")
    assert origin == "read"
    assert time_ns >= at_ns  # type: ignore[operator]


def test_what_the_journal_does_not_have_is_asked_for(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        now_ns = gateway.figures()["gateway"]["time_ns"]
        with pytest.raises(MetergateError, match=r"no closing reading .* type it with --closing"):
            await gateway.answers["swap"](SWAP | {"effective_ns": now_ns - 100_000 * S})
        silent = SWAP | {"effective_ns": now_ns - 90 * S}  # the meter answers no more since
        with pytest.raises(MetergateError, match=r"no opening reading .* type it with --opening"):
            await gateway.answers["swap"](silent)
        told = await gateway.answers["swap"](silent | {"opening": {KEY: "0.5"}})
        assert side(told, "opening") == ("0.5", "kW·h", now_ns - 90 * S, "typed")
        with pytest.raises(MetergateError, match=r"no closing reading .* type it with --closing"):
            await gateway.answers["ratio_change"](RATIO | {"effective_ns": now_ns - 100_000 * S})

    after_a_while(tmp_path, script, Trouble("dead", 100))


def test_a_swap_now_is_refused_when_the_new_meter_seems_to_be_journaled_already(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        (frame,) = gateway.health.meters["m-001"].latest.values()
        recorder = gateway.answers["swap"].__self__._recorder  # type: ignore[attr-defined]
        time_ns = gateway.figures()["gateway"]["time_ns"]
        zero = Sample(time_ns, None, bytes(len(frame.raw)), frame.layout.no_flags[:])
        recorder.record(frame.layout, zero)
        with pytest.raises(MetergateError, match=r"fell at .* say --at"):
            await gateway.answers["swap"](SWAP)
        told = await gateway.answers["swap"](SWAP | {"effective_ns": time_ns - S})
        assert Decimal(side(told, "closing")[0]) > 0
        assert side(told, "opening") == ("0", "kW·h", time_ns, "journal")

    after_a_while(tmp_path, script)


def test_a_ratio_of_the_past_closes_at_its_time_under_the_ratio_before(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        at_ns = gateway.figures()["gateway"]["time_ns"] - 100 * S
        await gateway.answers["ratio_change"](RATIO | {"effective_ns": at_ns})

    after_a_while(tmp_path, script)
    (event,) = events(tmp_path, "ratio_change")
    at_ns = event.detail["effective_ns"]
    readings = shown(tmp_path)
    before = max(t for t in readings if t <= at_ns)  # type: ignore[operator]
    assert side(event.detail, "closing") == (readings[before], "kW·h", before, "journal")
    assert event.detail["opening"] == {}, "what is journaled after it was still decoded with the old ratio"


@pytest.mark.parametrize("back", [False, True])
def test_a_ratio_changed_across_a_restart_is_told(tmp_path: Path, back: bool) -> None:
    """Also when it goes back to one that was in force before the last."""

    async def wait(_: Gateway) -> None:
        await asyncio.sleep(20)

    async def main() -> None:
        plant = Plant(Plan(1e9, meters=1, channels=4, links=1, sink_troubles={}), tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            for ct in (40, 60, 40) if back else (40, 40, 60):
                patch.setattr("tests.sim.site.CT", ct)
                await again(plant, wait)

    run(main())
    told = [event.detail["changed"] for event in events(tmp_path, "layout")]
    there, again_ = {"ct": {"before": "40", "after": "60"}}, {"ct": {"before": "60", "after": "40"}}
    assert told == ([there, again_] if back else [there])

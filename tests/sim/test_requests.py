"""What commands ask of a gateway that runs: maintenance, a swap, another ratio, extra reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from gateway.control.requests import BadRequest
from gateway.errors import LinkDown, MetergateError
from gateway.model import Event, Flag
from simulators.fakes import Trouble
from simulators.virtual import run
from tests.sim import site
from tests.sim.plant import Plan, Plant
from tests.unit import journal_rig
from tests.unit.test_poll import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.app import Gateway
    from gateway.interfaces import Link


def live(folder: Path, script: Callable[[Gateway], Awaitable[None]], *, dead_s: float = 1e9) -> Plant:
    """Run a gateway of two meters on one link with `script` beside it."""
    troubles = {"link-1": [Trouble("dead", dead_s, who="m-002")]}
    plan = Plan(1e9, meters=2, channels=4, links=1, sink_troubles={}, link_troubles=troubles)

    async def main() -> Plant:
        plant = Plant(plan, folder)
        await again(plant, script)
        return plant

    return run(main())


async def again(plant: Plant, script: Callable[[Gateway], Awaitable[None]]) -> None:
    gateway, stop = plant._gateway(), asyncio.Event()
    life = asyncio.create_task(gateway.run(stop))
    await plant.clock.sleep_until(plant.clock.monotonic() + 25)
    try:
        await script(gateway)
    finally:
        stop.set()
        await life


def events(folder: Path, *kinds: str) -> list[Event]:
    found = [note for note in journal_rig.notes(folder) if isinstance(note, Event)]
    return [event for event in found if event.kind in kinds]


def latest(gateway: Gateway, meter: str) -> int:
    (frame,) = gateway.health.meters[meter].latest.values()
    return frame.flags[0]


def test_maintenance_marks_readings_ends_by_itself_and_outlasts_a_restart(tmp_path: Path) -> None:
    asked = {"do": "maintenance", "subject": "m-001", "for_s": 100, "why": "new CTs", "by": "Li"}

    async def begin(gateway: Gateway) -> None:
        answer = await gateway.answers["maintenance"](asked)
        await asyncio.sleep(20)
        assert latest(gateway, "m-001") == Flag.MAINTENANCE
        assert latest(gateway, "m-002") == 0
        (shown,) = gateway.figures()["maintenance"]
        assert (shown["subject"], shown["why"], shown["until_ns"]) == ("m-001", "new CTs", answer["until_ns"])
        with pytest.raises(BadRequest, match="known: link-1, m-001, m-002"):
            await gateway.answers["maintenance"](asked | {"subject": "m-003"})
        with pytest.raises(BadRequest, match="for_s"):
            await gateway.answers["maintenance"](asked | {"for_s": -1})

    async def goes_on(gateway: Gateway) -> None:
        assert latest(gateway, "m-001") == Flag.MAINTENANCE
        await asyncio.sleep(70)
        assert latest(gateway, "m-001") == 0
        assert gateway.figures()["maintenance"] == []
        assert (tmp_path / "maintenance.json").read_bytes() == b"{}"

    async def main() -> None:
        plan = Plan(1e9, meters=2, channels=4, links=1, sink_troubles={})
        plant = Plant(plan, tmp_path)
        await again(plant, begin)
        await again(plant, goes_on)

    run(main())
    began, ended = events(tmp_path, "maintenance_begin", "maintenance_end")
    assert (began.kind, ended.kind) == ("maintenance_begin", "maintenance_end")
    assert began.detail["by"] == "Li"
    assert 0 <= ended.time_ns - ended.detail["until_ns"] <= 2 * 10**9  # type: ignore[operator]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_link_under_maintenance_alarms_nobody_and_keeps_its_events(tmp_path: Path, quiet: bool) -> None:
    async def script(gateway: Gateway) -> None:
        if quiet:
            await gateway.answers["maintenance"]({"subject": "link-1", "for_s": 900, "why": "rewiring"})
        await asyncio.sleep(60)

    with structlog.testing.capture_logs() as logs:
        live(tmp_path, script, dead_s=35)
    warned = [entry for entry in logs if entry["event"] == "meter off" and entry["log_level"] == "warning"]
    assert len(warned) == (0 if quiet else 1)
    assert len(events(tmp_path, "meter_off")) == 1


def test_an_extra_read_is_answered_and_not_journaled(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        before = gateway.journal.readings, gateway.health.readings
        found = await gateway.answers["poll"]({"do": "poll", "meter": "m-001"})
        assert (gateway.journal.readings, gateway.health.readings) == before
        rows = {row["key"]: row for row in found["channels"]}
        assert set(rows) == {
            "power_active_0",
            "power_active_1",
            "energy_active_import_2",
            "power_active_3",
        }
        counter = rows["energy_active_import_2"]
        assert counter["exact"] == f"{int(counter['raw'], 16) * 4}"  # 0.1 kWh x 40
        assert counter["round_trip_ms"] > 0
        assert counter["flags"] == 0
        await asyncio.sleep(15)
        gone = await gateway.answers["poll"]({"meter": "m-002"})
        assert gone["errors"][0]["reason"] == "timeout"
        answer = await gateway.answers["ask"](raw([3, 900, 1]))
        assert (answer["raw"], answer["flags"]) == (site.CT.to_bytes(2, "big").hex(), [0])
        with pytest.raises(BadRequest, match="function 1 to 4"):
            await gateway.answers["ask"](raw([6, 0, 1]))
        with pytest.raises(BadRequest, match="no such key"):
            await gateway.answers["poll"]({"meter": "m-001", "wait": 1})

    live(tmp_path, script, dead_s=30)


def raw(source: list[int], address: int = 1) -> dict[str, Any]:
    asked = {"link": "link-1", "protocol": "modbus", "address": address, "sources": [source]}
    return asked | {"timeout_s": 0.3}


def test_a_swap_keeps_closing_and_opening_and_is_no_reset(tmp_path: Path) -> None:
    key = "energy_active_import_2"

    async def script(gateway: Gateway) -> None:
        closing = {key: "123.4"}
        swap = {"meter": "m-001", "closing": closing, "serial": "SN 7", "by": "Wang", "why": "dead display"}
        told = await gateway.answers["swap"](swap)
        assert (told["closing"][key]["reading"], told["closing"][key]["from"]) == ("123.4", "typed")
        assert float(told["opening"][key]["reading"]) > 0
        assert told["opening"][key]["from"] == "read"
        await asyncio.sleep(10)
        with pytest.raises(
            BadRequest, match=r"the swap to SN 7 at .* \(by Wang: dead display\) is recorded already"
        ):
            await gateway.answers["swap"](swap)
        swap["serial"] = "SN 8"
        with pytest.raises(BadRequest, match=r"is not after the swap to SN 7 at .* swap m-001 --undo"):
            await gateway.answers["swap"](swap | {"effective_ns": told["effective_ns"] - 1})
        read = await gateway.answers["swap"](swap | {"closing": None})
        assert read["closing"][key]["from"] == "journal"
        swap["serial"] = "SN 9"
        with pytest.raises(BadRequest, match="no counter of the meter"):
            await gateway.answers["swap"](swap | {"closing": {"power_active_0": "1"}})
        with pytest.raises(BadRequest, match="by: expected a text"):
            await gateway.answers["swap"](swap | {"by": ""})
        with pytest.raises(MetergateError, match="type it with --opening"):
            await gateway.answers["swap"](swap | {"meter": "m-002"})

    async def wait_for_death(gateway: Gateway) -> None:
        await asyncio.sleep(15)
        await asyncio.sleep(15)
        await script(gateway)

    live(tmp_path, wait_for_death, dead_s=30)
    typed, read = events(tmp_path, "meter_swap")
    assert typed.detail["serial"] == "SN 7"
    assert read.detail["closing"].keys() == {key}  # type: ignore[attr-defined]
    assert not events(tmp_path, "counter_reset")


def test_a_ratio_change_is_evidence_and_says_what_the_site_file_needs(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        change = {"meter": "m-001", "ratio": "ct", "before": "40", "after": "60", "by": "Wang", "why": "CTs"}
        told = await gateway.answers["ratio_change"](change)
        assert (told["before"], told["after"]) == ("40", "60")
        assert "in meter m-001 itself" in told["todo"]
        with pytest.raises(
            BadRequest, match=r"ct = 60 is recorded already, from .* \(by Wang: CTs\)\. Still to be done"
        ):
            await gateway.answers["ratio_change"](change | {"before": None})
        with pytest.raises(BadRequest, match="is 60 in force, not 50"):
            await gateway.answers["ratio_change"](change | {"before": "50"})
        with pytest.raises(BadRequest, match="ratio"):
            await gateway.answers["ratio_change"](change | {"ratio": "vt"})

    live(tmp_path, script)
    (event,) = events(tmp_path, "ratio_change")
    assert event.detail["closing"].keys() == {"energy_active_import_2"}  # type: ignore[attr-defined]


def test_a_link_nobody_answers_on_does_errands_and_a_dead_one_refuses_them_without_a_storm(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        line = Line(tmp_path, 1, [Trouble("dead", 15), Trouble("down", 100)])
        task = asyncio.create_task(line.go(200))
        await asyncio.sleep(80)
        assert line.health.links["link-1"].state == "down"

        async def work(_: Link) -> str:
            return "done"

        began_s = line.clock.monotonic()
        assert await line.poller.errand(work, timeout_s=30) == "done"
        assert line.clock.monotonic() - began_s < 2, "it is not made to wait for the next attempt"
        await asyncio.sleep(30)
        opened = line.link.open_count
        with pytest.raises(LinkDown, match="connection refused"):
            await line.poller.errand(work, timeout_s=30)
        assert line.link.open_count <= opened + 2
        await task

    run(main())


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"m-001": {"until_ns": "soon"}}', b'{"m-001": 5}'])
def test_a_spoilt_maintenance_file_stops_no_start(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "maintenance.json").write_bytes(body)

    async def script(gateway: Gateway) -> None:
        assert gateway.figures()["maintenance"] == []
        assert latest(gateway, "m-001") == 0

    live(tmp_path, script)

"""What was declared outlives the journal, and is compared with what the site file says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog

from gateway.control.requests import BadRequest
from gateway.declared import FILE, Declared, Ratio, Swap
from gateway.errors import MetergateError
from simulators.fakes import Trouble
from simulators.virtual import run
from tests.sim.plant import Plan, Plant
from tests.sim.test_requests import again, events
from tests.unit.journal_rig import START_NS

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.app import Gateway

KEY = "energy_active_import_2"
ZONE = "Asia/Shanghai"
CT = Ratio("40", "60", START_NS, "Li Wei", "larger CTs")
SWAP: dict[str, Any] = {"meter": "m-001", "serial": "SN 7", "by": "Wang", "why": "verification"}
RATIO: dict[str, Any] = {"meter": "m-001", "ratio": "ct", "after": "60", "by": "Wang", "why": "CTs"}


def plant_in(folder: Path, *troubles: Trouble) -> Plant:
    return Plant(
        Plan(1e9, meters=1, channels=4, links=1, sink_troubles={}, link_troubles={"link-1": list(troubles)}),
        folder,
    )


def test_what_was_declared_is_read_again(tmp_path: Path) -> None:
    declared = Declared(tmp_path)
    declared.set_ratio("tenant-1", "ct", CT)
    declared.add_swap("tenant-1", Swap("A", 1, "Li", "w"))
    declared.add_swap("tenant-1", Swap("B", 2, "Li", "w"))
    declared.save()
    again_ = Declared(tmp_path)
    assert again_.ratios("tenant-1") == {"ct": CT}
    assert [swap.serial for swap in again_.swaps("tenant-1")] == ["A", "B"]
    again_.drop_swap("tenant-1")
    assert [swap.serial for swap in again_.swaps("tenant-1")] == ["A"]


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b'{"swaps": {}}', b'{"swaps": {"m": [{"serial": 1}]}, "ratios": {}}']
)
def test_a_spoilt_file_stops_nothing_and_is_told(tmp_path: Path, body: bytes) -> None:
    (tmp_path / FILE).write_bytes(body)
    declared = Declared(tmp_path)
    assert "cannot be read" in declared.problem
    assert declared.swaps("m") == []


def test_a_site_file_that_says_otherwise_is_told_with_what_to_do(tmp_path: Path) -> None:
    declared = Declared(tmp_path)
    declared.set_ratio("tenant-1", "ct", CT)
    for same in ("60", "60.0"):
        file = {"tenant-1": {"ct": same}}
        assert declared.disagreements(file, file, ZONE) == []
    assert declared.disagreements({}, {}, ZONE) == [], "no such meter, or a ratio only the meter knows"
    file = {"tenant-1": {"ct": "40"}}
    (found,) = declared.disagreements(file, file, ZONE)
    assert found.text.startswith(
        "tenant-1: ratio ct was recorded as 60 instead of 40 from 2023-11-15 06:13:20+08:00 on (by Li Wei: larger CTs), "
        'but the site file says 40: write ratios.ct = "60" into the table of meter tenant-1'
    )
    assert "metergate ratio tenant-1 ct=40 --why TEXT" in found.text
    (found,) = declared.disagreements(file, {}, ZONE)
    assert "the meter itself says 40: set ct in meter tenant-1 itself" in found.text


def test_a_recorded_ratio_that_is_not_in_force_is_warned_of_after_a_restart(tmp_path: Path) -> None:
    async def change(gateway: Gateway) -> None:
        await gateway.answers["ratio_change"](RATIO)

    async def look(gateway: Gateway) -> None:
        (text,) = gateway.figures()["warnings"]
        assert "ct was recorded as 60 instead of 40" in text
        assert "(by Wang: CTs)" in text
        with pytest.raises(BadRequest, match="ct = 60 is recorded already"):
            await gateway.answers["ratio_change"](RATIO)
        with pytest.raises(BadRequest, match=r"but 40 is in force\. Record that first"):
            await gateway.answers["ratio_change"](RATIO | {"after": "80"})
        told = await gateway.answers["ratio_change"](RATIO | {"after": "40", "why": "they were 40 after all"})
        assert (told["before"], told["after"], told["todo"]) == ("60", "40", "nothing: it is in force")
        assert gateway.figures()["warnings"] == []

    async def main() -> None:
        plant = plant_in(tmp_path)
        await again(plant, change)
        await again(plant, look)

    run(main())
    assert len(events(tmp_path, "ratio_change")) == 2


def test_the_start_logs_what_the_site_file_has_otherwise(tmp_path: Path) -> None:
    declared = Declared(tmp_path)
    declared.set_ratio("m-001", "ct", CT)
    plant = plant_in(tmp_path)

    async def script(_: Gateway) -> None:
        return

    with structlog.testing.capture_logs() as logs:
        declared.save()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.control.verbs.ratios_of", lambda _: {"m-001": {"ct": "40"}})
            run(again(plant, script))
    (warned,) = [entry for entry in logs if entry["event"] == "a recorded ratio is not in force"]
    assert (warned["meter"], warned["log_level"]) == ("m-001", "warning")


def test_a_swap_is_taken_back_and_recorded_again_with_its_time(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        swap = gateway.answers["swap"]
        undo = {"meter": "m-001", "undo": True, "by": "Li", "why": "wrong meter"}
        with pytest.raises(BadRequest, match="no swap is recorded that could be taken back"):
            await swap(undo)
        wrong = await swap(SWAP)
        with pytest.raises(BadRequest, match="no such key"):
            await swap(undo | {"serial": "SN 7"})
        await asyncio.sleep(5)
        told = await swap(undo)
        assert told["undoes"] == {"serial": "SN 7", "effective_ns": wrong["effective_ns"]}
        earlier = await swap(SWAP | {"effective_ns": wrong["effective_ns"] - 10 * 10**9})
        assert earlier["closing"][KEY]["from"] == earlier["opening"][KEY]["from"] == "journal"

    run(again(plant_in(tmp_path), script))
    found = [event.detail for event in events(tmp_path, "meter_swap")]
    assert [("undoes" in detail, detail["serial"], detail["by"]) for detail in found] == [
        (False, "SN 7", "Wang"),
        (True, "", "Li"),
        (False, "SN 7", "Wang"),
    ]


def test_all_that_is_missing_is_asked_for_at_once_and_unknown_is_kept(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        swap = gateway.answers["swap"]
        await asyncio.sleep(200)
        long_ago = SWAP | {"effective_ns": START_NS - 10**12}
        silent = SWAP | {"effective_ns": gateway.figures()["gateway"]["time_ns"] - 90 * 10**9}
        with pytest.raises(MetergateError, match=r"no closing .* --closing .* is typed as CHANNEL=unknown"):
            await swap(long_ago)
        with pytest.raises(MetergateError, match="no opening reading"):
            await swap(silent)
        mute = gateway.answers["swap"].__self__  # type: ignore[attr-defined]
        mute._counters = {"m-001": {KEY: "kW·h", "volume": "m³"}}
        with pytest.raises(
            MetergateError, match=rf"no closing reading of volume .* no opening reading of {KEY}, volume"
        ):
            await swap(silent)
        typed = {"closing": {"volume": None}, "opening": {KEY: None, "volume": "0"}}
        told = await swap(silent | typed)
        assert told["closing"]["volume"] is None
        assert told["closing"][KEY]["from"] == "journal"
        assert told["opening"][KEY] is None
        mute._counters = {"m-001": {}}
        none = await swap(SWAP | {"serial": "SN 8"})
        assert none["closing"] == none["opening"] == {}

    run(again(plant_in(tmp_path, Trouble("dead", 100)), script))
    first, second = [event.detail for event in events(tmp_path, "meter_swap")]
    assert first["closing"]["volume"] is None  # type: ignore[index]
    assert second["serial"] == "SN 8"


def test_a_meter_without_ratios_says_so_and_a_past_change_stays_in_order(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        change = gateway.answers["ratio_change"]
        with pytest.raises(BadRequest, match="ct is 40 already; there is no change to record"):
            await change(RATIO | {"after": "40"})
        with pytest.raises(BadRequest, match=r"effective_ns: 20.*\+08:00 is in the future"):
            await change(RATIO | {"effective_ns": 2 * START_NS})
        first = await change(RATIO)
        with pytest.raises(BadRequest, match="is not after the last change: ct = 60 is recorded already"):
            await change(RATIO | {"after": "40", "effective_ns": first["effective_ns"] - 1})
        changes = change.__self__  # type: ignore[attr-defined]
        changes._in_force = lambda _: {}
        with pytest.raises(BadRequest, match="m-001 has no ratio: neither its profile"):
            await change(RATIO)

    run(again(plant_in(tmp_path), script))


def test_nothing_is_kept_of_what_is_not_on_disk(tmp_path: Path) -> None:
    async def script(gateway: Gateway) -> None:
        changes = gateway.answers["swap"].__self__  # type: ignore[attr-defined]
        changes._declared.add_swap("m-001", Swap("X", 1, "", ""))
        await changes._keep(False)
        assert not (tmp_path / FILE).exists()
        await changes._keep(True)
        assert orjson.loads((tmp_path / FILE).read_bytes())["swaps"]["m-001"][0]["serial"] == "X"

    run(again(plant_in(tmp_path), script))

"""Golden captures of DL/T 645 and CJ/T 188 meters: frames as on the wire, which pass as those of a shipped profile do."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from drivers.profiles import load, shipped_dir
from drivers.profiles.golden import decode_golden, verify
from drivers.profiles.model import GoldenTable
from gateway.commissioning.capture import capture
from gateway.commissioning.reads import SILENT_MAX, Stopped, never
from gateway.config.models import MeterConfig
from gateway.errors import MetergateError
from tests.unit.station_bus import cjt188_bus, dlt645_bus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from drivers.profiles import Profile
    from gateway.commissioning.capture import Capture
    from tests.unit.station_bus import StationBus

DLT, CJT = "000012345678", "33780011223344"
TOTAL, VALLEY, CURRENT_L3 = 0x00010000, 0x00010400, 0x02020300


def shipped(name: str) -> Profile:
    return load(shipped_dir() / f"{name}.toml")


def meter_of(profile: Profile, address: str, **more: object) -> MeterConfig:
    body = {"id": "m", "link": "hall", "address": address, "profile": profile.id, "period": "1min"}
    ratios = dict.fromkeys(profile.ratios, 1)
    return MeterConfig.model_validate(body | {"energy_kind": "other", "ratios": ratios} | more)


async def captured(
    bus: StationBus,
    profile: Profile,
    address: str,
    stopped: Callable[[], bool] = never,
    **more: object,
) -> Capture:
    return await capture(
        bus, meter_of(profile, address, **more), profile, bus.clock,
        source="by hand", timeout_s=0.5, late_s=10.0, stopped=stopped,
    )  # fmt: skip


def table_of(found: Capture) -> dict[str, Any]:
    (table,) = tomllib.loads(found.toml)["golden"]
    assert isinstance(table, dict)
    return table


def appended(found: Capture, profile: Profile, folder: Path) -> Profile:
    """Return the shipped profile with the capture at its end, checked as every profile is."""
    file = folder / f"{profile.id}.toml"
    file.write_text((shipped_dir() / file.name).read_text() + "\n" + found.toml)
    after = load(file)
    assert len(after.golden) == len(profile.golden) + 1
    assert verify(after) == []
    return after


async def test_a_dlt645_capture_passes_as_a_shipped_one(tmp_path: Path) -> None:
    bus, station = dlt645_bus()
    profile = shipped("dlt645-2007")
    found = await captured(bus, profile, DLT, ratios={"ct": 40, "pt": 1})
    assert found.flagged == found.left_out == {}
    after = appended(found, profile, tmp_path)
    golden = after.golden[-1]
    assert not golden.constructed
    assert {name: int(value) for name, value in golden.ratios.items()} == {"ct": 40, "pt": 1}
    assert set(golden.expect) == set(profile.keys())
    assert "wake-up bytes left off" in golden.source
    assert len(golden.frames) == len(set(station.asked)) == len(station.asked), "each identifier once"


async def test_the_frames_are_those_of_the_wire() -> None:
    bus, station = dlt645_bus()
    sent = []
    hear = station.hear

    def heard(request: bytes) -> Any:
        reply = hear(request)
        assert reply is not None
        sent.append(reply.frame.lstrip(b"\xfe").hex())
        return reply

    station.hear = heard  # type: ignore[method-assign]
    found = await captured(bus, shipped("dlt645-2007"), DLT)
    assert list(found.golden.frames) == sent


@pytest.mark.parametrize(
    ("name", "model", "variant"),
    [
        ("cjt188-water", "water", ""),
        ("cjt188-water", "water", "hot"),
        ("cjt188-heat", "heat", ""),
        ("cjt188-heat", "heat", "cooling"),
        ("cjt188-gas", "gas", ""),
    ],
)
@pytest.mark.parametrize("low_first", [False, True])
async def test_a_cjt188_capture_passes_as_a_shipped_one(
    name: str, model: str, variant: str, low_first: bool, tmp_path: Path
) -> None:
    bus, station = cjt188_bus(name, model, variant)
    station.low_first_di = low_first
    sent = []
    hear = station.hear

    def heard(request: bytes) -> Any:
        reply = hear(request)
        sent.extend([] if reply is None else [reply.frame.lstrip(b"\xfe").hex()])
        return reply

    station.hear = heard  # type: ignore[method-assign]
    profile = shipped(name)
    found = await captured(bus, profile, CJT, variant=variant)
    assert found.left_out == {}
    golden = appended(found, profile, tmp_path).golden[-1]
    assert golden.variant == variant
    assert list(golden.frames) == sent, "one request, and its answer byte for byte"
    assert set(golden.expect) == set(profile.keys(variant))


async def test_what_the_meter_has_not_is_left_out_with_its_reason() -> None:
    bus, station = dlt645_bus()
    station.absent = {VALLEY, CURRENT_L3}
    found = await captured(bus, shipped("dlt645-2007"), DLT)
    assert set(found.left_out) == {"energy_active_import_valley", "current_l3"}
    assert "no such value" in found.left_out["current_l3"]
    assert "voltage_ln_l1" in found.golden.expect


async def test_what_was_silent_is_asked_again_when_no_late_answer_can_come() -> None:
    bus, station = dlt645_bus()
    bus.line.deaf_to = TOTAL
    times = []
    ask = bus.line.ask

    async def timed(asked: Any, timeout_s: float) -> Any:
        times.extend([bus.clock.monotonic()] if asked.signature == TOTAL else [])
        if len(times) == 2:
            bus.line.deaf_to = None
        return await ask(asked, timeout_s)

    bus.line.ask = timed  # type: ignore[assignment]
    found = await captured(bus, shipped("dlt645-2007"), DLT)
    assert found.left_out == {}
    assert times[1] - times[0] >= 10.0
    assert station.asked


async def test_a_stop_is_heard_while_late_answers_are_waited_for() -> None:
    bus, _ = dlt645_bus()
    bus.line.deaf_to = TOTAL
    channels = len(shipped("dlt645-2007").keys())
    with pytest.raises(Stopped):
        await captured(bus, shipped("dlt645-2007"), DLT, stopped=lambda: len(bus.asked) == channels)
    assert len(bus.asked) == channels


async def test_a_value_out_of_its_limits_is_doubted() -> None:
    bus, _ = dlt645_bus()
    limits = {"voltage_ln_l1": {"high": 10}}
    found = await captured(bus, shipped("dlt645-2007"), DLT, override=limits)
    assert set(found.flagged) == {"voltage_ln_l1"}
    assert found.flagged["voltage_ln_l1"].startswith("RANGE")


async def test_a_silent_meter_costs_few_requests() -> None:
    bus, _ = dlt645_bus("000000000001")
    with pytest.raises(MetergateError, match="nothing could be captured"):
        await captured(bus, shipped("dlt645-2007"), DLT)
    assert len(bus.asked) == SILENT_MAX


async def test_a_stop_is_heard() -> None:
    bus, _ = dlt645_bus()
    with pytest.raises(Stopped):
        await captured(bus, shipped("dlt645-2007"), DLT, stopped=lambda: len(bus.asked) >= 4)
    assert len(bus.asked) == 4


@pytest.mark.parametrize(
    ("lengths", "says"),
    [
        ("[21]", "a data field of 22 bytes where the profile knows 21"),
        ("[23, 30]", "less than 23 bytes where the profile knows 23 or 30"),
    ],
)
async def test_a_reply_of_another_length_is_said_with_its_length(lengths: str, says: str) -> None:
    bus, _ = cjt188_bus()
    profile = shipped("cjt188-water")
    read = profile.read.model_copy(update={"lengths": tuple(tomllib.loads(f"x = {lengths}")["x"])})
    with pytest.raises(MetergateError, match=says):
        await captured(bus, profile.model_copy(update={"read": read}), CJT)


async def test_of_several_lengths_the_one_that_came_is_kept() -> None:
    bus, _ = cjt188_bus()
    profile = shipped("cjt188-water")
    read = profile.read.model_copy(update={"lengths": (20, 22, 24)})
    found = await captured(bus, profile.model_copy(update={"read": read}), CJT)
    assert len(bytes.fromhex(found.golden.frames[0])) == 11 + 22 + 2


@pytest.mark.parametrize(("preamble", "echoes"), [(0, True), (9, True), (4, False)])
async def test_it_asks_as_the_profile_says(preamble: int, echoes: bool, tmp_path: Path) -> None:
    bus, station = cjt188_bus()
    station.keeps_ser = echoes
    file = tmp_path / "cjt188-water.toml"
    ser = "echoed" if echoes else "ignored"
    text = (shipped_dir() / file.name).read_text()
    file.write_text(text.replace("[read]\n", f'[read]\npreamble = {preamble}\nser = "{ser}"\n'))
    found = await captured(bus, load(file), CJT)
    golden = GoldenTable.model_validate(table_of(found))
    assert decode_golden(load(file), golden)["volume"].exact is not None
    (asked,) = bus.line.asks
    assert len(asked.request) - len(asked.request.lstrip(b"\xfe")) == preamble

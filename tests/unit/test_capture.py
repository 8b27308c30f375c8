"""A golden capture of a live meter: its bytes, exact values, and what is left out or doubted."""

from __future__ import annotations

import struct
import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from drivers.profiles import load
from drivers.profiles.golden import decode_golden
from drivers.profiles.model import GoldenTable
from gateway.clock import SystemClock
from gateway.commissioning.capture import capture
from gateway.commissioning.reads import never
from gateway.config.models import MeterConfig
from gateway.errors import MetergateError
from tests.unit.fake_bus import FakeBus, Memory, held

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.profiles import Profile
    from gateway.commissioning.capture import Capture

PROFILE = """
schema = 1
id = "toy-meter"
maker = "Toy"
model = "Meter"
medium = "electricity"
protocol = "modbus"
confidence = "one-source"
sources = ["made up"]
no_probe = "a toy"
[read]
function = 3
order = "CDAB"
type = "f32"
holes = "error"
[sentinels]
f32 = ["7fc00000"]
[ratios.ct]
address = 50
type = "u16"
[channels.voltage_ln_l1]
quantity = "voltage_ln"
address = 0
unit = "V"
[channels.power_active_total]
quantity = "power_active"
address = 2
unit = "W"
multiply = ["ct"]
[channels.frequency]
quantity = "frequency"
address = 4
unit = "Hz"
[channels.current_n]
quantity = "current"
address = 6
unit = "A"
[channels.status_relay]
quantity = "status"
function = 2
type = "u16"
address = 9
unit = "1"
[[golden]]
name = "constructed"
constructed = true
source = "made up"
blocks = [{ function = 3, address = 0, hex = "00004366" }, { function = 3, address = 50, hex = "0001" }]
expect = { voltage_ln_l1 = "230" }
"""
SHOWN = (230.5, 1200.25, 50.0)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    file = tmp_path / "toy-meter.toml"
    file.write_text(PROFILE)
    return load(file)


def swapped(values: tuple[float, ...]) -> bytes:
    big = (struct.pack(">f", value) for value in values)
    return b"".join(raw[2:] + raw[:2] for raw in big)


def memory(*values: float) -> Memory:
    return held(3, 0, swapped(values)) | held(3, 50, b"\x00\x28") | {(2, 9): b"\x00\x01"}


async def captured(profile: Profile, registers: Memory) -> Capture:
    meter = MeterConfig.model_validate(
        {
            "id": "m", "link": "l", "unit": 3, "profile": profile.id, "energy_kind": "electricity", "period": "10s",
        }
    )  # fmt: skip
    return await capture(
        FakeBus({3: registers}), meter, profile, SystemClock(), source='by "me"', timeout_s=1.0, stopped=never
    )


async def test_it_reads_back_as_it_was(profile: Profile) -> None:
    found = await captured(profile, memory(*SHOWN, 3.5))
    assert found.flagged == found.left_out == {}
    (table,) = tomllib.loads(found.toml)["golden"]
    golden = GoldenTable.model_validate(table)
    assert golden.constructed is False
    assert golden.source == 'by "me"'
    assert dict(golden.expect) == {
        "voltage_ln_l1": "230.5", "power_active_total": "48.01", "frequency": "50", "current_n": "3.5", "status_relay": "1",
    }  # fmt: skip
    decoded = decode_golden(profile, golden)
    shown = {key: one.exact for key, one in decoded.items()}
    assert shown == {key: Decimal(text) for key, text in golden.expect.items()}


async def test_a_channel_the_meter_has_not_is_left_out_and_costs_no_other(profile: Profile) -> None:
    found = await captured(profile, memory(*SHOWN))
    assert set(found.left_out) == {"current_n"}
    assert {"voltage_ln_l1", "frequency", "power_active_total"} <= set(found.golden.expect)


async def test_a_value_out_of_its_limits_or_absent_is_doubted(profile: Profile) -> None:
    found = await captured(profile, memory(230.5, 1.0, 80.0, float("nan")))
    assert found.flagged["frequency"].startswith("RANGE")
    assert "SENTINEL" in found.flagged["current_n"]
    assert found.golden.expect["current_n"] == "absent"
    assert "voltage_ln_l1" not in found.flagged


async def test_a_silent_meter_gives_no_capture(profile: Profile) -> None:
    with pytest.raises(MetergateError, match="nothing could be captured"):
        await captured(profile, {})

"""Inputs of I/O modules: pulse constant with base reading, 4–20 mA with its failure currents and cut-off."""

from __future__ import annotations

import struct
from array import array
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from drivers.registers import RegisterSource
from gateway.config.inputs import InputConfig
from gateway.config.site_file import load
from gateway.config.summary import summary
from gateway.errors import ConfigError
from gateway.layout import Layout
from gateway.model import Flag

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = profiles.Library([profiles.shipped_dir()])
PULSES, LOOP = LIBRARY.get("generic-pulse-input"), LIBRARY.get("generic-loop-input")
LOOP_INPUT = {"address": 7, "type": "u16", "range": [0, 80], "raw": [4000, 20000], "cut_off": "0.5"}

SITE = """
[gateway]
id = "plant-1"
[site]
timezone = "Asia/Shanghai"
[[links]]
id = "io"
kind = "modbus-tcp"
host = "127.0.0.1"
"""
METER = """
[[meters]]
id = "water-{n}"
link = "io"
unit = 9
profile = "{profile}"
energy_kind = "water"
period = "10s"
channels = ["{channel}"]
[meters.override.{channel}]
unit = "m3"
{given}
"""


def compiled(
    profile: profiles.Profile, key: str, unit: str, given: object
) -> tuple[Layout, tuple[object, ...]]:
    override = profiles.ChannelOverride(unit=unit, input=InputConfig.model_validate(given))
    return profiles.compile(profile, "m", 10.0, (key,), {}, {key: override})


def test_a_pulse_counter_begins_at_its_base_reading() -> None:
    given = {"address": 3, "type": "u32", "order": "CDAB", "pulses_per_unit": 100, "base": "12345.67"}
    layout, sources = compiled(PULSES, "volume", "m3", given)
    assert sources == ((RegisterSource(3, 3, 2),),)
    assert layout.exact(bytes.fromhex("e2400001"), 0) == Decimal("13580.23")  # 123456 pulses, low word first
    assert layout.exact(bytes(4), 0) == Decimal("12345.67")


def test_base_and_constant_are_journaled_and_make_a_new_layout() -> None:
    given = {"address": 3, "type": "u32", "pulses_per_unit": "1600", "base": "0.5"}
    layout, _ = compiled(PULSES, "energy_active_import", "kWh", given)
    assert layout.ratios == {
        "energy_active_import.pulses_per_unit": "1600",
        "energy_active_import.base": "0.5",
    }
    other, _ = compiled(PULSES, "energy_active_import", "kWh", given | {"base": "0.6"})
    assert layout.digest != other.digest
    assert Layout.from_dict(layout.to_dict()).digest == layout.digest


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (3600, None),  # 3.6 mA: failure, NAMUR NE 43
        (3601, -1.995),
        (4000, 0.0),
        (4050, 0.25),  # below the cut-off: as it is
        (20000, 80.0),
        (20999, 84.995),
        (21000, None),  # 21 mA
        (0, None),
    ],
)
def test_beyond_the_failure_currents_there_is_no_value(number: int, value: float | None) -> None:
    layout, _ = compiled(LOOP, "flow_volume", "m3/h", LOOP_INPUT)
    for again in (layout, Layout.from_dict(layout.to_dict())):
        flags = array("H", layout.no_flags)
        (decoded,) = again.decode(struct.pack(">H", number), flags)
        if value is None:
            assert flags[0] == Flag.DEVICE
            assert decoded != decoded  # noqa: PLR0124 - NaN
        else:
            assert flags[0] == 0
            assert decoded == pytest.approx(value)


def test_the_cut_off_is_kept_with_the_readings_and_alters_none() -> None:
    layout, _ = compiled(LOOP, "flow_volume", "m3/h", LOOP_INPUT)
    without, _ = compiled(
        LOOP, "flow_volume", "m3/h", {k: v for k, v in LOOP_INPUT.items() if k != "cut_off"}
    )
    assert layout.ratios == {"flow_volume.cut_off": "0.5"}
    assert layout.slots == without.slots


@pytest.mark.parametrize(
    ("profile", "given", "found"),
    [
        (PULSES, {"address": 0, "type": "u16"}, "override.volume.input.pulses_per_unit"),
        (
            PULSES,
            {"address": 0, "type": "u16", "pulses_per_unit": 1, "cut_off": 1},
            "override.volume.input.cut_off",
        ),
        (PULSES, {"address": 65535, "type": "u32", "pulses_per_unit": 1}, "override.volume.input.address"),
        (LOOP, {"address": 0, "type": "u16", "range": [0, 1]}, "override.flow_volume.input.raw"),
        (
            LOOP,
            {"address": 0, "type": "u16", "range": [0, 1], "raw": [4, 4]},
            "override.flow_volume.input.raw",
        ),
        (
            LOOP,
            {"address": 0, "type": "u16", "range": [0, 1], "raw": [4, 20], "base": 1},
            "override.flow_volume.input.base",
        ),
        (LIBRARY.get("krohne-mfc300"), {"address": 0, "type": "u16"}, "override.density.input"),
    ],
)
def test_an_input_that_does_not_fit_is_told(profile: profiles.Profile, given: object, found: str) -> None:
    key, unit = {"generic-pulse-input": ("volume", "m3"), "generic-loop-input": ("flow_volume", "m3/h")}.get(
        profile.id, ("density", "")
    )
    with pytest.raises(ConfigError) as error:
        compiled(profile, key, unit, given)
    assert [finding.path for finding in error.value.findings] == [found]


def test_an_input_that_is_left_out_is_told() -> None:
    with pytest.raises(ConfigError) as error:
        profiles.compile(PULSES, "m", 10.0, ("volume",), {}, {"volume": profiles.ChannelOverride(unit="m3")})
    assert [finding.path for finding in error.value.findings] == ["override.volume.input"]


def written(tmp_path: Path, *meters: tuple[str, str, str]) -> Path:
    path = tmp_path / "site.toml"
    tables = (METER.format(n=n, profile=p, channel=c, given=g) for n, (p, c, g) in enumerate(meters))
    path.write_text(SITE + "".join(tables), encoding="utf-8")
    return path


def test_an_input_without_channels_is_told_once(tmp_path: Path) -> None:
    text = written(tmp_path, ("generic-pulse-input", "volume", "")).read_text(encoding="utf-8")
    path = tmp_path / "without.toml"
    path.write_text(text.replace('channels = ["volume"]', ""), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(path)
    assert [finding.path for finding in error.value.findings] == ["meters.water-0.channels"]


@pytest.mark.parametrize(("address", "own"), [(40001, 0), (30010, 9), (99, None)])
def test_a_number_of_a_manual_is_asked_about(address: int, own: int | None, tmp_path: Path) -> None:
    given = f"input = {{ address = {address}, type = 'u32', pulses_per_unit = 100 }}"
    found = summary(load(written(tmp_path, ("generic-pulse-input", "volume", given))))
    asked = [warning for warning in found["warnings"] if "on the wire" in warning]
    assert [warning.endswith(f"its {address} is {own}") for warning in asked] == [True] * (own is not None)
    assert not any("one source" in warning for warning in found["warnings"]), "the site file says what it is"


def test_several_meters_hang_at_one_module(tmp_path: Path) -> None:
    given = "input = {{ address = {}, type = 'u32', pulses_per_unit = 100, base = '-12.5' }}"
    pulse = [("generic-pulse-input", "volume", given.format(2 * n)) for n in range(2)]
    site = load(written(tmp_path, *pulse))
    assert [
        meter.override["volume"].input.address for meter in site.meters if meter.override["volume"].input
    ] == [0, 2]
    with pytest.raises(ConfigError) as error:
        load(written(tmp_path, *pulse, ("siemens-mag6000", "volume_totalizer1", "")))
    assert [finding.path for finding in error.value.findings] == ["meters.water-2.unit"]

"""Awkward meters that say beside a value what it is worth: its unit, whether it was measured, which meter this is."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from gateway.config.site_file import from_toml
from gateway.config.summary import summary
from gateway.errors import ConfigError, DeviceError
from gateway.layout import Layout
from gateway.model import Flag
from tests.unit.quirks import decode, load

if TYPE_CHECKING:
    from pathlib import Path

TUF = """[read]
function = 3
order = "CDAB"
holes = "zero"
[units.volume]
address = 1437
type = "u16"
map = { 0 = "m3", 1 = "L" }
[channels.volume_forward]
quantity = "volume_forward"
type = "split"
unit = "units.volume"
parts = [{ address = 8, type = "s32" }, { address = 10, type = "f32" }] """
TUF_CAPTURE = """blocks = [{{ function = 3, address = 1437, hex = "{unit}" }},
{{ function = 3, address = 8, hex = "0007000000003f00" }}]"""

MARSIC = """[read]
function = 4
[channels.concentration_c1]
quantity = "concentration"
address = 100
type = "f32"
unit = "ppm"
valid_when = {{ channel = "status_c1", mask = 0x01, equals = 0{flag} }}
[channels.status_c1]
quantity = "status"
function = 2
address = 3
type = "u16"
unit = "1" """
MARSIC_CAPTURE = """blocks = [{{ function = 2, address = 0, hex = "{bits}" }},
{{ function = 4, address = 100, hex = "42fa0000" }}]"""
PLAIN = """[channels.voltage_ln_l1]
quantity = "voltage_ln"
address = 0
type = "f32"
unit = "V"
"""
PLAIN_CAPTURE = 'blocks = [{ function = 4, address = 0, hex = "4366199a" }]'
DETECT = """[[detect]]
address = 0x0B
type = "u16"
equals = 0xA5
note = "model code; 0xA6 is the three-phase meter"
[read]
function = 4
"""


@pytest.mark.parametrize(("unit", "expected"), [("0000", "7.5"), ("0001", "0.0075")])
def test_a_register_says_the_unit_of_an_integer_and_a_fraction(
    unit: str, expected: str, tmp_path: Path
) -> None:
    """TUF-2000M, VLM20: litres or cubic metres by a register, total in two parts."""
    decoded = decode(load(TUF, TUF_CAPTURE.format(unit=unit), expected, tmp_path))
    assert (decoded.exact, decoded.unit) == (Decimal(expected), "m³")


def test_the_units_register_is_evidence_in_the_layout_and_another_unit_another_layout(tmp_path: Path) -> None:
    profile = load(TUF, TUF_CAPTURE.format(unit="0000"), "7.5", tmp_path)
    small = profiles.ratio_layout(profile, "m")
    assert small is not None
    digests = set()
    for raw, code in (("0000", "0"), ("0001", "1")):
        values = profiles.ratio_values(profile, small[0], bytes.fromhex(raw), {})
        layout, _ = profiles.compile(profile, "m", 1.0, ("volume_forward",), values)
        assert layout.ratios == {"units.volume": code}
        digests.add(layout.digest)
    assert len(digests) == 2


def test_a_unit_the_profile_does_not_know_refuses_the_meter(tmp_path: Path) -> None:
    profile = load(TUF, TUF_CAPTURE.format(unit="0000"), "7.5", tmp_path)
    small = profiles.ratio_layout(profile, "m")
    assert small is not None
    with pytest.raises(
        DeviceError, match=r"address 1437 .* is 7, none the profile knows: 0 \(m3\), 1 \(L\)"
    ) as e:
        profiles.ratio_values(profile, small[0], bytes.fromhex("0007"), {})
    assert e.value.reason == "refused"


@pytest.mark.parametrize(
    ("bits", "flag", "expected", "flags"),
    [
        ("00", "", "0.0125", 0),
        ("f7", "", "0.0125", 0),
        ("08", "", "absent", Flag.DEVICE),
        ("08", ', flag = "maintenance"', "0.0125", Flag.MAINTENANCE),
    ],
)
def test_a_status_bit_says_whether_a_value_was_measured(
    bits: str, flag: str, expected: str, flags: int, tmp_path: Path
) -> None:
    """MARSIC: the status is in another table (function 2); a value held or not measured is 0, or looks good."""
    capture = MARSIC_CAPTURE.format(bits=bits)
    decoded = decode(load(MARSIC.format(flag=flag), capture, expected, tmp_path))
    assert decoded.flags == flags
    assert decoded.exact == (None if expected == "absent" else Decimal(expected))
    assert math.isnan(decoded.value) == (expected == "absent")


def test_the_status_comes_along_and_one_that_was_not_read_vouches_for_nothing(tmp_path: Path) -> None:
    profile = load(MARSIC.format(flag=""), MARSIC_CAPTURE.format(bits="00"), "0.0125", tmp_path)
    keys = profiles.channel_keys(profile, ("concentration_c1",))
    assert keys == ("concentration_c1", "status_c1")
    layout, _ = profiles.compile(profile, "m", 1.0, keys, {})
    assert Layout.from_dict(layout.to_dict()).digest == layout.digest
    flags = layout.no_flags[:]
    flags[1] = int(Flag.MISSING | Flag.COMMS)
    values = Layout.from_dict(layout.to_dict()).decode(bytes.fromhex("42fa00000000"), flags)
    assert flags[0] == Flag.DEVICE
    assert math.isnan(values[0])
    with pytest.raises(ConfigError, match="status_c1 read with it"):
        profiles.compile(profile, "m", 1.0, ("concentration_c1",), {})


def test_a_wake_read_is_a_limit_of_the_driver(tmp_path: Path) -> None:
    """AquaMaster: what the driver makes of it is tested in modbus/test_driver.py."""
    profile = load("[read]\nfunction = 4\nwake = true\n" + PLAIN, PLAIN_CAPTURE, "230.1", tmp_path)
    assert profile.limits.wake


def test_a_large_float_total_is_coarse_and_that_is_told(tmp_path: Path) -> None:
    """Janitza: float32 in Wh; from 16.8 MWh on it does not hold every Wh."""
    counter = """[read]
    function = 3
    [channels.energy_active_import_total]
    quantity = "energy_active_import"
    address = 19062
    type = "f32"
    unit = "{unit}"{more} """
    capture = 'blocks = [{ function = 3, address = 19062, hex = "4a742400" }]'
    key = "energy_active_import_total"
    for unit, more, coarse in (
        ("Wh", "", [(key, Decimal("16777.216"), Decimal("0.001"), "kW·h")]),
        ("Wh", '\nmodulus = "10000000"', []),
        ("kWh", "", []),
    ):
        expected = "4000" if unit == "Wh" else "4000000"
        profile = load(counter.format(unit=unit, more=more), capture, expected, tmp_path)
        assert profiles.coarse_counters(profile, (key,)) == coarse


def site(meter: str, folder: Path) -> str:
    """Return a site file of one meter of the profile in `folder`."""
    return f"""
gateway = {{ id = "g", profile_dirs = ['{folder}'] }}
site = {{ timezone = "Asia/Shanghai" }}
[[links]]
id = "l"
kind = "modbus-tcp"
host = "h"
[[meters]]
id = "m"
link = "l"
unit = 1
profile = "quirk"
energy_kind = "electricity"
period = "10s"
{meter}"""


def test_a_check_of_the_site_file_warns_of_a_coarse_counter(tmp_path: Path) -> None:
    body = """[read]
    function = 3
    [channels.energy_active_import_total]
    quantity = "energy_active_import"
    address = 19062
    type = "f32"
    unit = "Wh" """
    load(body, 'blocks = [{ function = 3, address = 19062, hex = "4a742400" }]', "4000", tmp_path)
    warnings = summary(from_toml(site("", tmp_path), tmp_path / "s"))["warnings"]
    said = "energy_active_import_total is a 32-bit float; above 16777.216 kW·h (before ratios) it moves in steps of"
    assert sum(said in warning for warning in warnings) == 1


@pytest.mark.parametrize(("update_ms", "is_told"), [(20_000, True), (10_000, False)])
def test_a_check_tells_who_is_read_before_there_are_new_values(
    tmp_path: Path, update_ms: int, is_told: bool
) -> None:
    """The meter is read every 10 s."""
    body = f"""[read]
    function = 3
    update_ms = {update_ms}
    [channels.energy_active_import_total]
    quantity = "energy_active_import"
    address = 19062
    type = "u32"
    unit = "Wh" """
    load(body, 'blocks = [{ function = 3, address = 19062, hex = "00000fa0" }]', "4", tmp_path)
    warnings = summary(from_toml(site("", tmp_path), tmp_path / "s"))["warnings"]
    assert sum("read every 10 s, but" in w and "new values every 20 s" in w for w in warnings) == is_told


def test_a_value_and_its_status_are_read_together(tmp_path: Path) -> None:
    load(MARSIC.format(flag=""), MARSIC_CAPTURE.format(bits="00"), "0.0125", tmp_path)
    chosen = 'channels = ["concentration_c1"]\n'
    counts = summary(from_toml(site(chosen, tmp_path), tmp_path / "s"))
    assert counts["channels"] == 2
    apart = chosen + 'override.status_c1.period = "60s"'
    with pytest.raises(
        ConfigError, match=r"meters\.m\.override\.concentration_c1\.period.*status_c1 is read every 60 s"
    ):
        from_toml(site(apart, tmp_path), tmp_path / "s")


def test_what_tells_a_meter_from_its_kin_is_declared(tmp_path: Path) -> None:
    """EM24's model code, DTSU666-H's firmware, Eastron's mode register: kept for `probe`, not read yet."""
    profile = load(DETECT + PLAIN, PLAIN_CAPTURE, "230.1", tmp_path)
    assert [(d.address, d.equals, d.among) for d in profile.detect] == [(11, 165, ())]


@pytest.mark.parametrize(
    ("body", "old", "new", "says"),
    [
        (TUF, '1 = "L"', '1 = "bar"', "units.volume.map.1"),
        (TUF, '"units.volume"', '"units.volum"', "channels.volume_forward.unit"),
        (TUF, '1 = "L"', 'one = "L"', "units.volume.map"),
        (TUF, 'address = 1437\ntype = "u16"', 'address = 1437\ntype = "f32"', "units.volume.type"),
        (MARSIC.format(flag=""), '"status_c1"', '"status_c2"', "valid_when.channel"),
        (MARSIC.format(flag=""), "equals = 0", "equals = 2", "valid_when.equals"),
        (MARSIC.format(flag=""), '"status_c1"', '"concentration_c1"', "valid_when.channel"),
        (DETECT + PLAIN, "equals = 0xA5", "equals = 0xA5\namong = [1]", r"detect\[1\]"),
        (DETECT + PLAIN, 'note = "model', '# note = "model', r"detect\[1\].note"),
    ],
)
def test_what_cannot_be_meant_is_refused(body: str, old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in body
    with pytest.raises(ConfigError, match=says):
        load(body.replace(old, new, 1), PLAIN_CAPTURE, "0", tmp_path)

"""Profiles of DL/T 645 and CJ/T 188: what is refused, with the finding's path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from drivers.identifiers import CjtSettings, CjtSource, DltSource, FrozenPlace
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = profiles.Library([profiles.shipped_dir()])
REFUSED = [
    ("dlt645-2007", "di = 0x02010100", "# no di", r"voltage_ln_l1.di"),
    ("dlt645-2007", 'format = "XXX.X"', 'format = "XX.X"', r"voltage_ln_l1.format"),
    ("dlt645-2007", 'format = "XXX.X"', 'format = "000.0"', r"voltage_ln_l1.format"),
    ("dlt645-2007", 'format = "XXX.X"', 'type = "u16"', r"voltage_ln_l1.type.*u16_le"),
    ("dlt645-2007", "di = 0x02010100", "di = 0x02010100\nat = 3", r"voltage_ln_l1.at"),
    ("dlt645-2007", "di = 0x02010200", "di = 0x02010100", r"the same place as channels.voltage_ln_l1"),
    ("dlt645-2007", 'voltage_ln_l1 = "100.1"', 'voltage_ln_l1 = "100.2"', r"golden\[1\].expect.voltage_ln_l1"),
    ("dlt645-2007", "34 43 10 16", "34 43 11 16", r"no whole frame"),
    ("dlt645-2007", "[ratios.ct]\nconfigured = true", "[ratios.ct]\naddress = 3", r"ratios.ct"),
    ("cjt188-water", "lengths = [22]", "", r"read.lengths"),
    ("cjt188-water", "lengths = [22]", "lengths = [21]", r"channels.status.at"),
    ("cjt188-water", "di = 0x901F", "", r"read.di"),
    ("cjt188-water", "meter_type = 0x10", "", r"read.meter_type"),
    ("cjt188-water", "hot = 0x11", "boiling = 0x11", r"meter_types.boiling"),
    ("cjt188-water", "[units.volume]\nat = 7", "[units.volume]\naddress = 7", r"units.volume.at"),
    ("cjt188-water", "at = 3\n", "at = 2\n", r"channels.volume.at"),
    ("cjt188-water", "at = 3\n", "at = 5\n", r"no byte that channels.volume uses"),
    ("cjt188-water", '44 = "m3", 41 = "L" }', '44 = "kWh", 41 = "L" }', r"units.volume.map.44"),
    ("eastron-sdm630", "address = 0\n", "address = 0\ndi = 1\n", r"belongs to dlt645 and cjt188"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "says"), REFUSED)
def test_what_cannot_be_meant_is_refused(name: str, old: str, new: str, says: str, tmp_path: Path) -> None:
    text = (profiles.shipped_dir() / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / f"{name}.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        profiles.load(path)


def test_sources_and_settings() -> None:
    dlt, water = LIBRARY.get("dlt645-2007"), LIBRARY.get("cjt188-water")
    keys = ("energy_active_import_peak", "power_active_total")
    layout, sources = profiles.compile(dlt, "m", 10.0, keys, profiles.stand_ins(dlt))
    assert sources == (DltSource(0x00010200, 4, FrozenPlace(0x05060101, 8)), DltSource(0x02030000, 3))
    assert [slot.parts[0].type for slot in layout.slots] == ["bcd_le4", "sbcd_le3"]
    assert [slot.coefficient for slot in layout.slots] == ["0.01", "0.0001"]
    assert layout.channels[0].modulus == "1000000"
    _, sources = profiles.compile(water, "m", 10.0, ("volume",), profiles.stand_ins(water))
    assert sources == (CjtSource(0x901F, 3, 4, 7, 44),)
    assert water.settings() == CjtSettings(0x10, (22,), clock_at=13)
    assert water.settings("hot") == CjtSettings(0x11, (22,), clock_at=13)


def test_the_current_transformer_scales_energy_and_its_rollover() -> None:
    dlt = LIBRARY.get("dlt645-2007")
    ratios = profiles.stand_ins(dlt) | {"ct": profiles.stand_ins(dlt)["ct"] * 40}
    layout, _ = profiles.compile(dlt, "m", 10.0, ("energy_active_import_total",), ratios)
    assert (layout.slots[0].coefficient, layout.channels[0].modulus) == ("0.4", "40000000")

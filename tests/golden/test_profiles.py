"""Every profile, present and future: it loads, its captures mean what they say, its sources are cited."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from drivers.identifiers import CjtSource, DltSource
from drivers.registers import RegisterSource
from gateway.config.inputs import InputConfig
from gateway.layout import Layout
from gateway.model import Flag

if TYPE_CHECKING:
    from drivers.profiles import Profile

LIBRARY = profiles.Library([profiles.shipped_dir()])
IDS = LIBRARY.ids()
CAPTURES = [(name, i) for name in IDS for i in range(len(LIBRARY.get(name).golden))]
INPUTS = {
    "pulses": InputConfig(address=0, type="u32", pulses_per_unit="1600", base="12345.6"),
    "loop": InputConfig(address=0, type="u16", range=("0", "100"), raw=("4000", "20000")),
}
FLOAT32 = 1e-6  # decode carries a float32 as it is, exact takes the shortest decimal of it


def test_the_shipped_profiles_are_found() -> None:
    assert {
        "eastron-sdm630",
        "schneider-iem3155",
        "siemens-pac3200",
        "chint-dtsu666",
        "acrel-adl3000",
        "tuf-2000m",
    } <= set(IDS)
    assert len(IDS) >= 55  # what the library promises; docs/reference/profiles.md lists them


@pytest.mark.parametrize(("name", "i"), CAPTURES)
def test_a_capture_means_what_it_says(name: str, i: int) -> None:
    profile = LIBRARY.get(name)
    golden = profile.golden[i]
    decoded = profiles.decode_golden(profile, golden)
    assert set(decoded) == set(golden.expect)
    for key, text in golden.expect.items():
        exact, value, flags, _ = decoded[key]
        if text == "absent":
            assert (exact, flags) == (None, Flag.SENTINEL), key
            assert math.isnan(value), key
        else:
            assert exact == Decimal(text), key
            assert value == pytest.approx(float(Decimal(text)), rel=FLOAT32, abs=1e-12), key
            assert flags == 0, key


@pytest.mark.parametrize("name", IDS)
def test_what_a_profile_owes_its_reader(name: str) -> None:
    profile = LIBRARY.get(name)
    assert profile.sources
    assert profile.probe is not None or profile.no_probe
    assert all(golden.source for golden in profile.golden)
    if profile.confidence == "one-source":
        assert profile.doubts, "one source alone is a doubt to state"


@pytest.mark.parametrize("name", IDS)
def test_the_default_set_compiles(name: str) -> None:
    """With the units a site must say where the device's menu decides, nothing else is missing."""
    profile = LIBRARY.get(name)
    for variant in ("", *profile.variants):
        keys = profiles.channel_keys(profile, (), variant)
        assert 1 <= len(keys) <= 40
        layout = _compile(profile, keys, variant)
        assert [channel.key for channel in layout.channels] == list(keys)
        assert all(channel.report == (channel.kind == "counter") for channel in layout.channels)
        everything = _compile(profile, profiles.channel_keys(profile, ("*",), variant), variant)
        assert len(everything.channels) == len(profile.keys(variant))
        assert Layout.from_dict(everything.to_dict()).digest == everything.digest


def _compile(profile: Profile, keys: tuple[str, ...], variant: str) -> Layout:
    """Return the layout with ratios of 1 and, where the menu decides, each quantity's own unit."""
    from gateway.quantity import QUANTITIES

    overrides = {
        key: profiles.ChannelOverride(
            unit=QUANTITIES[channel.quantity].unit if channel.unit == "configured" else "",
            reference="0 °C, 101.325 kPa" if channel.reference == "configured" else "",
            input=INPUTS.get(channel.input),
        )
        for key, channel in profile.channels.items()
    }
    ratios = profiles.stand_ins(profile)
    layout, sources = profiles.compile(profile, "meter-1", 10.0, keys, ratios, overrides, variant)
    assert len(sources) == len(layout.channels)
    for slot, source in zip(layout.slots, sources, strict=True):
        if isinstance(source, DltSource | CjtSource):
            assert source.size == slot.size
            continue
        assert isinstance(source, tuple)
        assert all(isinstance(part, RegisterSource) for part in source)
        assert sum(2 * part.count for part in source) == slot.size
    return layout


def test_the_probe_is_a_small_layout_with_limits() -> None:
    profile = LIBRARY.get("chint-dtsu666")
    found = profiles.probe_layout(profile, "meter-1")
    assert found is not None
    layout, sources = found
    assert sources == ((RegisterSource(3, 8260, 2),),)
    assert layout.exact(bytes.fromhex("459c3800"), 0) == Decimal(
        "49.99"
    )  # 4999.0 as float32, hundredths of Hz
    assert (layout.channels[0].low, layout.channels[0].high, layout.period_s) == (45, 65, 0)
    assert profiles.probe_layout(LIBRARY.get("tuf-2000m"), "meter-1") is None


def test_a_list_of_profiles_shows_their_doubts() -> None:
    row = profiles.describe(LIBRARY.get("siemens-pac3200"))
    assert row["confidence"] == "two-sources"
    assert row["hardware_captures"] == 0
    assert "pac3220" in row["variants"]  # type: ignore[operator]
    assert any("not confirmed" in doubt for doubt in row["doubts"])  # type: ignore[attr-defined]


def test_tariffs_roll_over_by_themselves_so_their_sum_has_no_modulus() -> None:
    profile = LIBRARY.get("siemens-pac3200")
    keys = ("energy_active_import_total", "energy_active_import_total_t1", "energy_active_import_total_t2")
    layout, sources = profiles.compile(profile, "meter-1", 10.0, keys, {})
    assert [channel.modulus for channel in layout.channels] == [None, "1000000000", "1000000000"]  # kW·h
    assert sources[0] == (RegisterSource(3, 801, 4), RegisterSource(3, 805, 4))

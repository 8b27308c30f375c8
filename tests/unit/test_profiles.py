"""A profile is refused with everything that is wrong with it, and compiles exactly."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from drivers.profiles import ChannelOverride, VariableSpec
from drivers.registers import ReadLimits, RegisterSource
from gateway.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.layout import Layout

GOOD = """
schema = 1
id = "good"
maker = "test"
model = "test"
medium = "water"
protocol = "modbus"
confidence = "one-source"
sources = ["this test"]
default = ["volume_forward"]
no_probe = "test"
variants = { v2 = "with temperature" }
sentinels = { s16 = ["80 00"] }

[read]
function = 3
doc_offset = 40001
type = "u16"
registers_max = 20
align = 2
pause_ms = 5

[ratios.ct]
configured = true
[ratios.pt]
address = 100
type = "u32"
factor = "0.1"
[ratios.scale]
address = 102
type = "s32"
as = "exp10"
exponent_offset = -3

[channels.volume_forward]
quantity = "volume_forward"
address = 0
type = "u32"
factor = "0.1"
offset = "5"
unit = "L"
multiply = ["ct", "scale"]
modulus = "100000"
rate_max = 1.5
[channels.temperature_medium]
quantity = "temperature"
address = 2
type = "u32"
factor = "0.1"
unit = "K"
high = 200
variants = ["v2"]
[channels.mass]
quantity = "mass"
address = 4
type = "u32"
factor = "0.5"
unit = "configured"
modulus_raw = "4294967296"
report = false

[[golden]]
name = "constructed: one"
constructed = true
source = "this test"
ratios = { ct = "2" }
blocks = [{ function = 3, address = 0, hex = "0000000a" }, { function = 3, address = 100, hex = "0000000a00000003" }]
expect = { volume_forward = "0.012" }
"""


def written(folder: Path, text: str, name: str = "good") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def good(tmp_path: Path) -> profiles.Profile:
    return profiles.load(written(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("registers_max = 20", "registers_mx = 20", ["read.registers_mx", "registers_max"]),
        ('quantity = "mass"', 'quantity = "mas"', ["channels.mass.quantity", '"mass"']),
        ('unit = "L"', 'unit = "bar"', ["channels.volume_forward.unit", "measures pressure"]),
        ('unit = "L"', 'unit = "立方米"', ["channels.volume_forward.unit", '"m3"']),
        ('id = "good"', 'id = "go_od"', ["id", "a-z, 0-9 and -", '"go-od"']),
        ('[channels.mass]\nquantity = "mass"', '[channels.power]\nquantity = "power"', ["channels.power.quantity", "power_active_total"]),
        ('volume_forward = "0.012"', 'volume_forward = "999"', ["golden[1].expect.volume_forward", "0.012", "999"]),
        ('volume_forward = "0.012"', 'volume_forward = "0,012"', ["golden[1].expect.volume_forward", "a decimal"]),
        ('expect = { ', 'units = { mass = "kg" }\nexpect = { mass = "1", ', ["golden[1].expect.mass", "no register 4 of function 3"]),
        ('unit = "K"', 'unit = "k"', ["channels.temperature_medium.unit", '"K"']),
        ('type = "u16"\nreg', 'type = "u61"\nreg', ["read.type", '"u64"']),
        ('type = "u32"\nfactor = "0.5"', 'type = "i32"\nfactor = "0.5"', ["channels.mass.type", '"u32"']),
        ("align = 2", 'align = 2\norder = "ABDC"', ["read.order", "ABCD"]),
        ('factor = "0.5"', 'factor = "0.5"\ntransform = "pf4q"', ["channels.mass.transform", '"pf_4q"']),
        ('"ct", "scale"]', '"cd"]', ["channels.volume_forward.multiply", "ct, pt, scale"]),
        ("address = 4\n", "address = 3\n", ["channels.mass.address", "multiples of 2"]),
        ("address = 4\n", "address = 65534\nfunction = 5\n", ["channels.mass.function"]),
        ("align = 2", "align = 1\n", None),
        ('align = 2\npause_ms = 5', "align = 1", None),
        ("registers_max = 20", "registers_max = 1", ["channels.volume_forward", "at most 1"]),
        ('factor = "0.1"\noffset', 'factor = 0.1\noffset', ["channels.volume_forward.factor", "decimal in quotes"]),
        ('default = ["volume_forward"]', 'default = ["volume_forwrd"]', ["default[1]", '"volume_forward"']),
        ('variants = ["v2"]', 'variants = ["v3"]', ["channels.temperature_medium.variants", "v2"]),
        ('sources = ["this test"]', "sources = []", ["sources"]),
        ('sources = ["this test"]', "", ["sources", "nothing"]),
        ('no_probe = "test"', "", ["probe", "no_probe"]),
        ('id = "good"', 'id = "goood"', ["id", '"good"']),
        ("[channels.mass]", "[channels.weight]", ["channels.weight", '"mass"']),
        ("high = 200", "high = 200\nmodulus = \"9\"", ["channels.temperature_medium.modulus", "gauge"]),
        ("configured = true", "configured = true\naddress = 7", ["ratios.ct", "either"]),
        ('s16 = ["80 00"]', 's16 = ["8000ff"]', ["sentinels.s16", "2 bytes"]),
        ("expect = { vol", "expect = { temp = \"1\", vol", ["golden[1].expect.temp"]),
        ("[channels.mass]", '[channels.volume_forward]\nunit = "L"\n[channels.mass]', ["good.toml", "TOML"]),
        ('quantity = "mass"', 'quantity = "volume_normal"', ["channels.mass.reference", "0 °C"]),
        ('protocol = "modbus"', 'protocol = "opcua"', ["channels.mass", "node id"]),
    ],
)  # fmt: skip
def test_one_mistake_is_named(old: str, new: str, says: list[str] | None, tmp_path: Path) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    if says is None:
        profiles.load(path)
        return
    with pytest.raises(ConfigError) as caught:
        profiles.load(path)
    text = "\n".join(map(str, caught.value.findings))
    for word in says:
        assert word in text


def test_every_mistake_is_listed(tmp_path: Path) -> None:
    text = (
        GOOD.replace('unit = "K"', 'unit = "V"')
        .replace('quantity = "mass"', 'quantity = "ma"')
        .replace("address = 4\n", "address = 1\n")
    )
    head, _ = text.split("[[golden]]")
    with pytest.raises(ConfigError) as caught:
        profiles.load(written(tmp_path, head))
    assert [finding.path for finding in caught.value.findings] == [
        "good.toml: golden",
        "good.toml: channels.temperature_medium.unit",
        "good.toml: channels.mass.quantity",
        "good.toml: channels.mass.address",  # not even
        "good.toml: channels.mass.address",  # overlaps volume_forward
        "good.toml: channels.temperature_medium.address",  # overlapped by mass
    ]


def test_values_may_not_overlap(tmp_path: Path) -> None:
    text = GOOD.replace("align = 2", "align = 1").replace("address = 4\n", "address = 1\n")
    with pytest.raises(ConfigError, match="no overlap"):
        profiles.load(written(tmp_path, text))
    profiles.load(written(tmp_path, text.replace("pause_ms = 5", 'split = "single"')))
    profiles.load(
        written(tmp_path, text.replace("address = 1\n", "address = 0\n"))
    )  # the very same registers


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ("[{ address = 10, type = \"s32\" }, { address = 14, type = \"s32\" }]", "hole between"),
        ("[{ address = 10, type = \"s32\" }, { address = 40, type = \"s32\" }]", "at most 20"),
        ("[{ address = 10, type = \"x32\" }, { address = 12, type = \"s32\" }]", "parts[1].type"),
    ],
)  # fmt: skip
def test_parts_must_come_in_one_request(parts: str, says: str, tmp_path: Path) -> None:
    split = f'quantity = "mass"\ntype = "split"\nparts = {parts}\nunit'
    text = GOOD.replace('quantity = "mass"\naddress = 4\ntype = "u32"\nfactor = "0.5"\nunit', split)
    with pytest.raises(ConfigError) as caught:
        profiles.load(written(tmp_path, text))
    assert says in str(caught.value)
    single = text.replace("pause_ms = 5", 'split = "single"\nholes = "zero"').replace(
        "address = 14", "address = 12"
    )
    with pytest.raises(ConfigError):
        profiles.load(written(tmp_path, single))


def test_everything_that_scales_is_one_exact_coefficient(good: profiles.Profile) -> None:
    ratios = {"ct": Decimal(40), "pt": Decimal("0.1"), "scale": Decimal("0.01")}
    overrides = {
        "mass": ChannelOverride(unit="kg", low=1, modulus="77"),
        "volume_forward": ChannelOverride(report=False),
    }
    layout, sources = profiles.compile(
        good, "meter-1", 10.0, ("volume_forward", "temperature_medium", "mass"), ratios, overrides, "v2"
    )
    # (n x 0.1 + 5) L x 40 x 0.01 -> m³; n x 0.1 K -> °C; n x 0.5 kg -> t
    assert [(slot.coefficient, slot.offset) for slot in layout.slots] == [
        ("0.00004", "0.002"), ("0.1", "-273.15"), ("0.0005", "0")
    ]  # fmt: skip
    volume, temperature, mass = layout.channels
    assert (volume.modulus, volume.rate_max, volume.low, volume.report) == ("40", 1.5, 0, False)
    assert (temperature.unit, temperature.low, temperature.high, temperature.report) == (
        "°C",
        -273.15,
        200,
        False,
    )
    assert (mass.modulus, mass.low, mass.report) == ("77", 1, False)
    assert sources == tuple((RegisterSource(3, address, 2),) for address in (0, 2, 4))
    assert layout.ratios == {"ct": "40", "pt": "0.1", "scale": "0.01"}
    assert layout.profile == f"good@{good.digest}/v2"
    assert good.limits == ReadLimits(20, 2, "merge", "unknown", 5)


def test_the_site_knows_limits_better_than_the_profile(good: profiles.Profile) -> None:
    override = {"temperature_medium": ChannelOverride(low=-10, high=150)}
    layout, _ = profiles.compile(good, "m", 1.0, ("temperature_medium",), {}, override, "v2")
    assert (layout.channels[0].low, layout.channels[0].high) == (-10, 150)


def test_a_modulus_in_counts_takes_every_scale(good: profiles.Profile) -> None:
    layout, _ = profiles.compile(good, "m", 1.0, ("mass",), {}, {"mass": ChannelOverride(unit="kg")})
    assert layout.channels[0].modulus == "2147483.648"
    assert layout.channels[0].report is False


def test_what_the_site_must_say_is_asked_for(good: profiles.Profile) -> None:
    with pytest.raises(ConfigError) as caught:
        profiles.compile(
            good, "m", 1.0, ("volume_forward", "mass"), {}, {"volume_forward": ChannelOverride(unit="m3")}
        )
    assert [finding.path for finding in caught.value.findings] == [
        "ratios.ct", "ratios.scale", "override.volume_forward.unit", "override.mass.unit"
    ]  # fmt: skip


def test_the_selection_of_channels(good: profiles.Profile) -> None:
    assert profiles.channel_keys(good, ()) == ("volume_forward",)
    assert profiles.channel_keys(good, ("*",)) == ("volume_forward", "mass")
    assert profiles.channel_keys(good, ["*"], "v2") == ("volume_forward", "temperature_medium", "mass")
    assert profiles.channel_keys(good, ("mass", "volume_forward")) == ("mass", "volume_forward")
    for selection, variant, says in [
        (("mas",), "", 'did you mean "mass"'),
        (("temperature_medium",), "", "one of v2"),
        (("mass", "mass"), "", "once"),
        ((), "v22", 'did you mean "v2"'),
    ]:
        with pytest.raises(ConfigError, match=says):
            profiles.channel_keys(good, selection, variant)


def test_ratios_come_from_registers_or_the_site(good: profiles.Profile) -> None:
    found = profiles.ratio_layout(good, "meter-1")
    assert found is not None
    layout, sources = found
    assert sources == ((RegisterSource(3, 100, 2),), (RegisterSource(3, 102, 2),))
    assert layout.period_s == 0
    raw = bytes.fromhex("0000000a" + "00000005")
    assert profiles.ratio_values(good, layout, raw, {"ct": "40"}) == {"ct": 40, "pt": 1, "scale": 100}
    kept = profiles.ratio_values(good, layout, raw, {"ct": "40", "pt": "7"})
    assert kept == {"ct": 40, "pt": 7, "pt.register": 1, "scale": 100}
    assert profiles.ratio_values(good, None, b"", {"ct": "1", "pt": "2", "scale": "3"})["scale"] == 3


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("00000000" + "00000003", "ratio 'pt' .* address 100 .register 40101 .* holds 0"),
        ("0000000a" + "00000100", "ratio 'scale'"),
    ],
)
def test_a_register_without_a_usable_ratio_is_refused(good: profiles.Profile, raw: str, says: str) -> None:
    found = profiles.ratio_layout(good, "meter-1")
    assert found is not None
    with pytest.raises(DeviceError, match=says) as caught:
        profiles.ratio_values(good, found[0], bytes.fromhex(raw), {"ct": "40"})
    assert (caught.value.reason, caught.value.raw.hex()) == ("refused", raw)


@pytest.mark.parametrize(
    ("configured", "path"),
    [({}, "ratios.ct"), ({"ct": "0"}, "ratios.ct"), ({"ct": "1", "vt": "2"}, "ratios.vt")],
)
def test_a_wrong_ratio_of_the_site_is_a_finding(
    good: profiles.Profile, configured: dict[str, str], path: str
) -> None:
    assert [finding.path for finding in profiles.check_ratios(good, configured)] == [path]
    with pytest.raises(ConfigError):
        profiles.ratio_values(good, None, b"", configured)


def test_opcua_variables_of_a_site() -> None:
    variables = {
        "flow_mass": VariableSpec("ns=2;s=Boiler1.Flow", "flow_mass", "kg/h", high=20),
        "volume_normal": VariableSpec(
            "ns=2;i=7", "volume_normal", "m3", "10", modulus="1000", reference="20 °C, 101.325 kPa"
        ),
    }
    layout, sources = profiles.compile_variables("boiler-1", 10.0, variables)
    assert sources == ("ns=2;s=Boiler1.Flow", "ns=2;i=7")
    assert [slot.coefficient for slot in layout.slots] == ["0.001", "10"]
    assert [(c.unit, c.high, c.modulus, c.report) for c in layout.channels] == [
        ("t/h", 20, None, False),
        ("m³", None, "1000", True),
    ]
    wrong = {
        "a": VariableSpec("i=1", "flow_mas", "t/h"),
        "b": VariableSpec("i=2", "volume_normal", "kg", "0"),
    }
    with pytest.raises(ConfigError) as caught:
        profiles.compile_variables("boiler-1", 10.0, wrong)
    assert [finding.path for finding in caught.value.findings] == [
        "variables.a.quantity", "variables.b.reference", "variables.b.unit", "variables.b.factor"
    ]  # fmt: skip


def test_meters_alike_share_what_was_compiled_and_no_others(good: profiles.Profile) -> None:
    def compiled(meter: str, period_s: float, unit: str = "kg", ct: int = 40) -> Layout:
        ratios = {"ct": Decimal(ct), "scale": Decimal("0.01")}
        overrides = {"mass": ChannelOverride(unit=unit)}
        return profiles.compile(good, meter, period_s, ("volume_forward", "mass"), ratios, overrides)[0]

    first, second = compiled("m-1", 1.0), compiled("m-2", 10.0)
    assert (first.meter, first.period_s, second.meter, second.period_s) == ("m-1", 1.0, "m-2", 10.0)
    assert first.slots is second.slots
    assert first.channels is second.channels
    assert first.digest != second.digest
    others = [compiled("m-1", 1.0), compiled("m-1", 1.0, "t"), compiled("m-1", 1.0, ct=80)]
    assert [tuple(slot.coefficient for slot in layout.slots) for layout in others] == [
        ("0.00004", "0.0005"),
        ("0.00004", "0.5"),
        ("0.00008", "0.0005"),
    ]
    assert [layout.ratios["ct"] for layout in others] == ["40", "40", "80"]


def test_an_opcua_profile_names_its_variables(tmp_path: Path) -> None:
    head = GOOD[: GOOD.index("default =")].replace('"modbus"', '"opcua"')
    text = head + '[channels.flow_mass]\nquantity = "flow_mass"\nid = "ns=2;s=Flow"\nunit = "kg/s"\n'
    profile = profiles.load(written(tmp_path, text))
    layout, sources = profiles.compile(profile, "m", 1.0, profiles.channel_keys(profile, ()), {})
    assert sources == ("ns=2;s=Flow",)
    assert (layout.slots[0].parts[0].type, layout.slots[0].coefficient) == ("ua", "3.6")


def test_the_library_finds_loads_once_and_suggests(tmp_path: Path) -> None:
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    own.mkdir()
    shipped.mkdir()
    written(own, GOOD.replace('maker = "test"', 'maker = "own"'))
    written(shipped, GOOD)
    written(shipped, "broken", "broken")
    library = profiles.Library([own, shipped, tmp_path / "none"])
    assert library.ids() == ("broken", "good")
    assert library.get("good").maker == "own"
    assert library.get("good") is library.get("good")
    with pytest.raises(KeyError, match="did you mean 'good'"):
        library.get("goodd")
    with pytest.raises(ConfigError):
        library.get("broken")


def test_the_digest_is_the_content_not_its_looks(tmp_path: Path, good: profiles.Profile) -> None:
    assert len(good.digest) == 12
    assert (
        profiles.load(written(tmp_path, GOOD.replace("align = 2", "# said so\nalign   =   2"))).digest
        == good.digest
    )
    assert (
        profiles.load(written(tmp_path, GOOD.replace('factor = "0.5"', 'factor = "0.25"'))).digest
        != good.digest
    )

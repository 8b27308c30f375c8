"""Register images against bytes worked out by hand, never against the gateway's own codec."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from simulators.encode import DoesNotFit, Piece, Register, read_profile
from simulators.measures import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping


def image(writes: list[tuple[int, int, int]]) -> dict[int, int]:
    """Return address -> register of a list of writes into zeros."""
    out: dict[int, int] = {}
    for address, mask, bits in writes:
        out[address] = out.get(address, 0) & ~mask | bits
    return out


def register(kind: str, order: str = "ABCD", **more: Any) -> Register:
    return Register("x", "x", 3, (Piece(10, kind, order),), more.pop("unit", "1"), **more)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("u16", 258.0, "0102"),
        ("s16", -2.0, "fffe"),
        ("u32", 0x01020304, "0102 0304"),
        ("s32", -1.0, "ffff ffff"),
        ("u64", 2.0**53, "0020 0000 0000 0000"),
        ("s64", -2.0, "ffff ffff ffff fffe"),
        ("f32", 230.5, "4366 8000"),
        ("f64", 230.5, "406c d000 0000 0000"),
        ("u8hi", 7.0, "0700"),
        ("u8lo", 7.0, "0007"),
        ("mod10k2", 12345678.0, "04d2 162e"),
        ("mod10k3", 1_0002_0003.0, "0001 0002 0003"),
        ("mod10k4", 1_0000_0000_0000.0, "0001 0000 0000 0000"),
        ("bcd16", 1234.0, "1234"),
        ("bcd32", 12345678.0, "1234 5678"),
        ("bcd48", 123456789012.0, "1234 5678 9012"),
    ],
)
def test_types(kind: str, value: float, words: str) -> None:
    writes, numbers = register(kind).encode(value, counter=False)
    assert image(writes) == {10 + i: int(word, 16) for i, word in enumerate(words.split())}
    assert numbers == [value]


@pytest.mark.parametrize(
    ("order", "words"),
    [("ABCD", "0102 0304"), ("CDAB", "0304 0102"), ("BADC", "0201 0403"), ("DCBA", "0403 0201")],
)
def test_orders(order: str, words: str) -> None:
    writes, _ = register("u32", order).encode(0x01020304, counter=False)
    assert [f"{bits:04x}" for _, _, bits in sorted(writes)] == words.split()


def test_scale_offset_unit_and_what_is_shown() -> None:
    one = register("u16", unit="kW", scale=Fraction("0.1"), offset=Fraction(-5))
    writes, numbers = one.encode(12_345.0, counter=False)  # W
    assert image(writes) == {10: 173}  # (12.345 + 5) / 0.1, rounded
    assert one.shown(numbers) == Fraction("12.3")


def test_counters_are_cut_off_and_roll_over() -> None:
    meter = register("u32", unit="kWh", scale=Fraction("0.01"), modulus=Fraction(1000))
    _, numbers = meter.encode(999.999 * 3.6e6, counter=True)
    assert meter.shown(numbers) == Fraction("999.99")
    _, numbers = meter.encode(1000.25 * 3.6e6, counter=True)
    assert meter.shown(numbers) == Fraction("0.25")
    _, numbers = register("u16").encode(65_537.0, counter=True)
    assert numbers == [1]


def test_a_gauge_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(DoesNotFit, match="70000 does not fit u16"):
        register("u16").encode(70_000.0, counter=False)


def test_two_bytes_share_a_register() -> None:
    high, _ = register("u8hi").encode(2.0, counter=False)
    low, _ = register("u8lo").encode(5.0, counter=False)
    assert image(high + low) == {10: 0x0205}


def test_split_whole_and_fraction() -> None:
    pieces = (Piece(8, "s32", "CDAB"), Piece(10, "f32", "CDAB"))
    total = Register("v", "volume_forward", 3, pieces, "m3", scale=Fraction(10))
    writes, numbers = total.encode(12_345.5, counter=True)
    assert numbers == [1234, pytest.approx(0.55)]
    assert image(writes)[8] == 1234
    assert image(writes)[9] == 0
    assert float(total.shown(numbers)) == pytest.approx(12_345.5)


def test_transforms() -> None:
    leading = register("f32", transform="pf_4q")
    writes, numbers = leading.encode(0.75, counter=False, leading=True)
    assert image(writes) == {10: 0x3FA0, 11: 0}  # 1.25
    assert leading.shown(numbers) == Fraction("0.75")
    sign = register("u16", transform="signed_magnitude", scale=Fraction("0.001"))
    writes, numbers = sign.encode(-0.9, counter=False)
    assert image(writes) == {10: 0x8000 + 900}
    assert sign.shown(numbers) == Fraction("-0.9")


def profile(**more: Any) -> Mapping[str, Any]:
    return {
        "id": "toy",
        "read": {"function": 3, "order": "CDAB", "type": "f32"},
        "ratios": {
            "ct": {"address": 6, "type": "u16"},
            "pt": {"address": 7, "type": "u16", "factor": "0.1"},
            "tm": {"address": 8, "type": "s16", "as": "exp10", "exponent_offset": -3},
            "menu": {"configured": True},
        },
        "channels": {
            "a": {"quantity": "current", "address": 100, "unit": "A", "multiply": ["ct", "menu"]},
            "v": {"quantity": "volume", "address": 102, "unit": "configured"},
            "new": {"quantity": "current", "address": 104, "unit": "A", "variants": ["v2"]},
        },
        **more,
    }


def test_a_profile_becomes_registers() -> None:
    made = read_profile(
        profile(), ratios={"ct": "40", "pt": "100", "tm": "0.1", "menu": "2"}, units={"v": "L"}, variant=""
    )
    assert {register.key: register.scale for register in made.registers} == {"a": 80, "v": 1}
    assert [(address, bits) for _, address, _, bits in made.constants] == [(6, 40), (7, 1000), (8, 2)]
    assert made.extent == {3: (6, 104)}
    assert {r.key for r in read_profile(profile(), ratios={}, units={"v": "L"}, variant="v2").registers} >= {
        "new"
    }


def test_a_channel_whose_menu_is_not_set_is_not_there() -> None:
    assert {r.key for r in read_profile(profile(), ratios={}, units={}).registers} == {"a"}


def test_the_setting_decides_what_a_register_holds() -> None:
    channels = {
        name: {"quantity": name, "address": 28, "type": "f64", "unit": unit}
        for name, unit in (("volume", "m3"), ("mass", "kg"))
    }
    for named, served in (((), "volume"), (("mass",), "mass")):
        made = read_profile(profile(channels=channels), ratios={}, units={}, channels=named)
        assert [register.key for register in made.registers] == [served]


def test_what_cannot_be_served_is_said() -> None:
    with pytest.raises(KeyError, match="do not know"):
        read_profile(profile(), ratios={}, units={"v": "furlong"})
    with pytest.raises(DoesNotFit, match="power of ten"):
        read_profile(profile(), ratios={"tm": "3"}, units={"v": "L"})
    with pytest.raises(DoesNotFit, match="cannot be held"):
        read_profile(profile(), ratios={"ct": "40.5"}, units={"v": "L"})


def test_units_by_hand() -> None:
    assert UNITS["kWh"] == UNITS["kW·h"] == (Fraction(3_600_000), Fraction(0))
    assert UNITS["MWh"][0] == 3_600_000_000
    assert UNITS["m3/h"][0] == Fraction(1, 3600)
    assert UNITS["t/h"][0] == Fraction(1000, 3600)
    assert UNITS["GJ/h"][0] == Fraction(10**9, 3600)
    assert UNITS["bar"][0] == 100_000
    assert UNITS["°C"] == (Fraction(1), Fraction("273.15"))
    assert UNITS["mg/m³"][0] == Fraction(1, 1_000_000)

"""A layout turns raw bytes into columns and exact decimals, and survives the journal."""

from __future__ import annotations

import math
import struct
from array import array
from decimal import Decimal

import orjson
import pytest

from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Flag


def layout(*slots: Slot, **more: object) -> Layout:
    channels = tuple(Channel(f"c{i}", "code", "1", "gauge") for i in range(len(slots)))
    return Layout("meter-1", 10.0, channels, slots, **more)  # type: ignore[arg-type]


def both(made: Layout, raw: str) -> tuple[list[float], list[Decimal | None], list[int]]:
    flags = array("H", made.no_flags)
    values = made.decode(bytes.fromhex(raw), flags)
    return list(values), [made.exact(bytes.fromhex(raw), i) for i in range(len(made.slots))], list(flags)


def test_plain_slots_are_scaled_and_shifted() -> None:
    made = layout(
        Slot((Part("u16"),), "0.1"),
        Slot((Part("s16"),), "0.5", "-273.15"),
        Slot((Part("f32", "CDAB"),), "0.001"),
    )
    values, exact, flags = both(made, "08fe" + "0258" + "9a004645")
    assert exact == [Decimal("230.2"), Decimal("26.85"), Decimal("12.6465")]
    assert values == pytest.approx([230.2, 26.85, 12.6465], rel=1e-6)
    assert flags == [0, 0, 0]
    assert (made.size, made.starts) == (8, (0, 2, 4))


def test_a_counter_above_2_to_the_53_is_exact() -> None:
    made = layout(Slot((Part("u64"),), "0.00036"))
    values, exact, _ = both(made, "0020000000000001")
    assert exact == [Decimal(9007199254740993) * Decimal("0.00036")]
    assert values == pytest.approx([float(9007199254740993) * 0.00036])


def test_parts_are_added_with_their_weight() -> None:
    made = layout(Slot((Part("s32", "CDAB"), Part("f32", "CDAB", "0.1")), "0.01"), Slot((Part("bcd16"),)))
    values, exact, _ = both(made, "e2400001" + "00003f40" + "1234")  # 123456 and 0.75
    assert exact == [Decimal("1234.56075"), Decimal(1234)]
    assert values == pytest.approx([1234.56075, 1234])


@pytest.mark.parametrize(
    ("slot", "raw"),
    [
        (Slot((Part("u16"),), sentinels=("ffff", "fffe")), "fffe"),
        (Slot((Part("s16", "BADC"),), sentinels=("8000",)), "0080"),
        (Slot((Part("f32", "CDAB"),), sentinels=("ffc00000",)), "0000ffc0"),
        (Slot((Part("f32"),)), "7fc00001"),
        (Slot((Part("f64"),), "0.001"), "fff0000000000000"),
        (Slot((Part("mod10k4"),)), "0000000000002710"),
        (Slot((Part("bcd32"),)), "0000000f"),
        (Slot((Part("s32"), Part("f32"))), "00000001" + "7fc00000"),
        (Slot((Part("s32"), Part("f32")), sentinels=("80000000",)), "80000000" + "00000000"),
    ],
)
def test_no_value_is_a_sentinel_and_hurts_nobody_else(slot: Slot, raw: str) -> None:
    values, exact, flags = both(
        layout(Slot((Part("u16"),)), slot, Slot((Part("u16"),))), "0001" + raw + "0002"
    )
    assert exact == [1, None, 2]
    assert flags == [0, Flag.SENTINEL, 0]
    assert (values[0], values[2]) == (1, 2)
    assert math.isnan(values[1])


def test_flags_of_the_driver_stay_and_blank_the_value() -> None:
    made = layout(Slot((Part("u16"),)), Slot((Part("u16"),)), Slot((Part("u16"),)))
    flags = array("H", [Flag.MISSING | Flag.COMMS, Flag.STALE, 0])
    values = made.decode(bytes.fromhex("000000050006"), flags)
    assert math.isnan(values[0])
    assert list(values)[1:] == [5, 6]
    assert list(flags) == [3, 8, 0]


def test_power_factor_of_four_quadrants() -> None:
    made = layout(
        Slot((Part("f32"),), transform="pf_4q"), Slot((Part("u16"),), "0.001", transform="signed_magnitude")
    )
    values, exact, _ = both(made, struct.pack(">f", 1.02).hex() + "83b6")  # bit 15 and 950
    assert exact == [Decimal("0.98"), Decimal("-0.95")]
    assert values == pytest.approx([0.98, -0.95])


def test_opcua_slots() -> None:
    made = layout(Slot((Part("ua"),), "0.001"), Slot((Part("ua"),)), Slot((Part("ua"),)))
    raw = (
        b"d" + struct.pack(">d", 1234.5) + bytes(12)
        + b"Q" + struct.pack(">Q", 2**63 + 1) + bytes(12)
        + bytes(21)
    )  # fmt: skip
    values, exact, flags = both(made, raw.hex())
    assert exact == [Decimal("1.2345"), Decimal(2**63 + 1), None]
    assert values[:2] == pytest.approx([1.2345, 2**63 + 1])
    assert flags == [0, 0, Flag.SENTINEL]


def test_a_sum_beyond_floats_hides_no_value() -> None:
    made = layout(Slot((Part("f64"),)), Slot((Part("f64"),)))
    values, _, flags = both(made, struct.pack(">dd", 1.7e308, 1.7e308).hex())
    assert values == [1.7e308, 1.7e308]
    assert flags == [0, 0]


def test_the_journal_gives_an_equal_layout_back() -> None:
    made = layout(
        Slot((Part("s32", "CDAB"), Part("f32", "CDAB", "0.5")), "0.01", "3", ("80000000",)),
        Slot((Part("f32"),), transform="pf_4q"),
        ratios={"ct": "40"},
        profile="eastron-sdm630@0123456789ab",
        energy_kind="electricity",
    )
    again = Layout.from_dict(orjson.loads(orjson.dumps(made.to_dict())))
    assert again.to_dict() == made.to_dict()
    assert (again.digest, again.energy_kind) == (made.digest, "electricity")
    assert both(again, "0001000000003f80" + "3f800000") == both(made, "0001000000003f80" + "3f800000")


def test_the_digest_stands_for_the_meaning() -> None:
    """Written down once: a digest that changes by itself would orphan every journaled sample."""
    made = layout(Slot((Part("u16"),), "0.1"))
    assert made.digest == "64ecc593bc6dae17"
    assert layout(Slot((Part("u16"),), "0.2")).digest != made.digest
    assert layout(Slot((Part("u16"),), "0.1"), ratios={"ct": "2"}).digest != made.digest
    assert layout(Slot((Part("u16"),), "0.1")).digest == made.digest
    electric = layout(Slot((Part("u16"),), "0.1"), energy_kind="electricity")
    assert electric.digest == "383aa834df96e3a0"
    assert Layout.from_dict(made.to_dict()).energy_kind == ""  # journaled before layouts named it


def test_what_does_not_fit_is_refused() -> None:
    made = layout(Slot((Part("u16"),)))
    with pytest.raises(ValueError, match="4 bytes for a layout of 2"):
        made.decode(bytes(4), array("H", made.no_flags))
    with pytest.raises(ValueError, match="0 channels for 1 slots"):
        Layout("meter-1", 1.0, (), (Slot((Part("u16"),)),))


@pytest.mark.parametrize(
    ("count", "coefficient", "value"),
    [
        (2312, "0.1", 231.2),
        (52501, "0.001", 52.501),
        (2334399, "0.01", 23343.99),
        (7, "1000", 7000.0),
        (3, "2.5", 7.5),
    ],
)
def test_a_decimal_coefficient_leaves_no_dust(count: int, coefficient: str, value: float) -> None:
    layout = Layout(
        "m-1",
        1.0,
        (Channel("a", "power_active", "kW", "gauge"),),
        (Slot((Part("u32"),), coefficient=coefficient),),
    )
    assert list(layout.decode(struct.pack(">I", count), array("H", [0]))) == [value]

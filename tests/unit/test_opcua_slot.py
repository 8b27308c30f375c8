from __future__ import annotations

import math
import struct
from array import array
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua import slot
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Flag
from gateway.wire import TYPES, UA_CODE

GOOD, UNCERTAIN, BAD, BEYOND_BAD = 0, 0x40900000, 0x80310000, 0xC0000000
SOURCE_NS = 1_795_312_800_123_456_000


def layout(coefficient: str = "1") -> Layout:
    channel = Channel(key="energy", quantity="energy_active_import", unit="kWh", kind="counter")
    return Layout("m1", 10.0, (channel,), (Slot((Part("ua"),), coefficient=coefficient),))


def read_back(packed: bytes) -> tuple[float, Decimal | None, int]:
    flags = array("H", [0])
    ua_layout = layout()
    return ua_layout.decode(packed, flags)[0], ua_layout.exact(packed, 0), flags[0]


@pytest.mark.parametrize(
    ("kind", "value", "exact"),
    [
        (ua.VariantType.Boolean, True, "1"),
        (ua.VariantType.Boolean, False, "0"),
        (ua.VariantType.SByte, -128, "-128"),
        (ua.VariantType.Byte, 255, "255"),
        (ua.VariantType.Int16, -32768, "-32768"),
        (ua.VariantType.UInt16, 65535, "65535"),
        (ua.VariantType.Int32, -(2**31), "-2147483648"),
        (ua.VariantType.UInt32, 2**32 - 1, "4294967295"),
        (ua.VariantType.Int64, -(2**63), "-9223372036854775808"),
        (ua.VariantType.UInt64, 2**64 - 1, "18446744073709551615"),
        (ua.VariantType.UInt64, 2**53 + 1, "9007199254740993"),
        (ua.VariantType.Double, 0.1, "0.1"),
        (ua.VariantType.Double, -1e300, "-1E+300"),
    ],
)
def test_every_number_comes_back_exactly(kind: ua.VariantType, value: Any, exact: str) -> None:
    packed = slot.pack(kind, value, GOOD, SOURCE_NS)
    assert len(packed) == UA_CODE.size == TYPES["ua"].size == layout().size
    assert read_back(packed) == (float(value), Decimal(exact), 0)
    assert UA_CODE.unpack(packed)[2:] == (GOOD, SOURCE_NS)


def test_a_float_reads_as_the_shortest_decimal_of_its_own_precision() -> None:
    (value,) = struct.unpack(">f", struct.pack(">f", 230.1))
    packed = slot.pack(ua.VariantType.Float, value, GOOD, SOURCE_NS)
    number, exact, _ = read_back(packed)
    assert exact == Decimal("230.1")
    assert number == pytest.approx(230.1, rel=1e-7)
    assert UA_CODE.unpack(packed)[2:] == (GOOD, SOURCE_NS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_is_a_sentinel(value: float) -> None:
    for kind in (ua.VariantType.Float, ua.VariantType.Double):
        number, exact, flags = read_back(slot.pack(kind, value, GOOD, 0))
        assert math.isnan(number)
        assert exact is None
        assert flags == Flag.SENTINEL


@pytest.mark.parametrize(
    ("kind", "value", "status"),
    [
        (ua.VariantType.Null, None, GOOD),
        (ua.VariantType.Double, None, GOOD),
        (ua.VariantType.Double, [1.0, 2.0], GOOD),
        (ua.VariantType.String, "12.5", GOOD),
        (ua.VariantType.DateTime, datetime(2026, 1, 1, tzinfo=UTC), UNCERTAIN),
        (ua.VariantType.Double, 1.0, BAD),
        (ua.VariantType.UInt64, 1, BEYOND_BAD),
    ],
)
def test_what_is_no_number_keeps_its_evidence_and_no_value(
    kind: ua.VariantType, value: Any, status: int
) -> None:
    packed = slot.pack(kind, value, status, SOURCE_NS)
    assert UA_CODE.unpack(packed) == (b"\0", 0, status, SOURCE_NS)
    assert slot.judge(packed, status, 0, 60) == Flag.MISSING | Flag.DEVICE
    assert layout().exact(packed, 0) is None


def test_flags_of_a_value_there_is() -> None:
    packed = slot.pack(ua.VariantType.Int16, 7, GOOD, SOURCE_NS)
    assert slot.judge(packed, GOOD, 60, 60) == Flag.OK
    assert slot.judge(packed, GOOD, 61, 60) == Flag.STALE
    assert slot.judge(packed, UNCERTAIN, 0, 60) == Flag.STALE
    assert slot.judge(packed, 0x00960000, 0, 60) == Flag.OK  # GoodLocalOverride


@pytest.mark.parametrize(
    ("stamp", "time_ns"),
    [
        (None, 0),
        (datetime(1601, 1, 1, tzinfo=UTC), 0),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC), 1_000_001_000),
        (datetime(1970, 1, 1, 0, 0, 1, 1), 1_000_001_000),  # noqa: DTZ001 - a server library without zones
        (datetime(1970, 1, 1, 8, 0, 1, tzinfo=timezone(timedelta(hours=8))), 1_000_000_000),
    ],
)
def test_source_times(stamp: datetime | None, time_ns: int) -> None:
    assert slot.nanoseconds(stamp) == time_ns


@given(
    st.one_of(
        st.tuples(st.just(ua.VariantType.Int64), st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just(ua.VariantType.UInt64), st.integers(0, 2**64 - 1)),
        st.tuples(st.just(ua.VariantType.Double), st.floats(allow_nan=False, allow_infinity=False)),
    ),
    st.integers(0, 2**31 - 1),
    st.datetimes(timezones=st.just(UTC)),
)
def test_any_value_packs_into_a_slot_that_reads_back(
    typed: tuple[ua.VariantType, Any], status: int, stamp: datetime
) -> None:
    kind, value = typed
    packed = slot.pack(kind, value, status, slot.nanoseconds(stamp))
    assert len(packed) == UA_CODE.size
    exact = layout().exact(packed, 0)
    assert exact is not None
    assert exact == value if isinstance(value, int) else float(exact) == value
    assert UA_CODE.unpack(packed)[2] == status

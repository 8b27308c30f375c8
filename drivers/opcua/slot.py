"""One OPC UA value as the fixed-length slot of a sample: kind of number, its bytes, StatusCode, source time.

Values and bytes only. The slot is what `gateway.wire` calls "ua"; the number keeps its own type, so a
UInt64 counter above 2^53 and the shortest decimal of a Float survive.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

from gateway.model import Flag

NONE = b"\0"
# All as long as wire.UA_CODE; a Float lies in the low four of the eight number bytes.
_DOUBLE, _FLOAT, _INTEGER, _UNSIGNED = Struct(">cdIq"), Struct(">c4xfIq"), Struct(">cqIq"), Struct(">cQIq")
# Built-in type of a Variant -> (kind of number, layout). Source: OPC UA Part 6, table 1.
_KINDS: dict[int, tuple[bytes, Struct]] = {
    1: (b"q", _INTEGER),  # Boolean: 0 or 1
    2: (b"q", _INTEGER),  # SByte
    3: (b"q", _INTEGER),  # Byte
    4: (b"q", _INTEGER),  # Int16
    5: (b"q", _INTEGER),  # UInt16
    6: (b"q", _INTEGER),  # Int32, also every enumeration
    7: (b"q", _INTEGER),  # UInt32
    8: (b"q", _INTEGER),  # Int64
    9: (b"Q", _UNSIGNED),  # UInt64
    10: (b"f", _FLOAT),  # Float
    11: (b"d", _DOUBLE),  # Double
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NS_MAX = (1 << 63) - 1
_OVERFLOW, _DATA_VALUE = 0x80, 0x400  # info bits of a DataValue's StatusCode. Source: Part 4, 7.39.1
_INFO_TYPE = 0xC00
CODE = 0xFFFF_0000  # what is left of a StatusCode without its info bits
_UNCERTAIN, _BAD = 1, 2  # severity, the two highest bits of a StatusCode; 3 counts as bad (Part 4, 7.39.1)


def pack(kind: int, value: Any, status: int, source_ns: int) -> bytes:
    """Return the slot of one value; its kind is `NONE` if the status is bad or the value is no single number.

    kind: built-in type of the Variant. A bad value is to be ignored (Part 4, 7.11.1), so its number is left
    out; StatusCode and source time stay as evidence.
    """
    known = _KINDS.get(kind)
    if known is None or status >> 30 >= _BAD or not isinstance(value, int | float):
        return _INTEGER.pack(NONE, 0, status, source_ns)
    letter, layout = known
    return layout.pack(letter, value, status, source_ns)


def judge(slot: bytes, status: int, age_ns: int, stale_ns: int) -> int:
    """Return the flags of one packed value (docs/specs/flags.md).

    age_ns: gateway time less source time, 0 where the server gave none.
    """
    if slot[:1] == NONE:
        return Flag.MISSING | Flag.DEVICE
    return Flag.STALE if status >> 30 == _UNCERTAIN or age_ns > stale_ns else Flag.OK


def overflowed(status: int) -> bool:
    """Return whether the server had to discard earlier values of this one's queue."""
    return status & _INFO_TYPE == _DATA_VALUE and bool(status & _OVERFLOW)


def nanoseconds(stamp: datetime | None) -> int:
    """Return a source time in nanoseconds since 1970; 0 for none, and for one before 1970 or past 2262.

    1601 and 9999 are OPC UA's own marks for "no time" (Part 6, 5.2.2.5).
    """
    if stamp is None:
        return 0
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=UTC)
    time_ns = (stamp - _EPOCH) // _MICROSECOND * 1000
    return time_ns if 0 < time_ns <= _NS_MAX else 0

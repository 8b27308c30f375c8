"""Values on the wire: types, byte orders and non-linear transforms, as float and as exact decimal.

A slot holds the bytes as the wire carried them; `order_of` says how to put them most significant first,
after which every type is one `struct` code. Types that `struct` does not know are unpacked as bytes and
converted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ORDERS = {"ABCD": (False, False), "CDAB": (True, False), "BADC": (False, True), "DCBA": (True, True)}
"""Order name -> (low word first, low byte first inside a word). ABCD is the Modbus default."""

UA_CODE = struct.Struct(">cqIq")
"""An OPC UA slot: kind of number, its 8 bytes, StatusCode, source time (ns, 0 = none)."""


@dataclass(frozen=True, slots=True)
class WireType:
    """size in bytes, struct code (most significant byte first), number: the code gives the number itself."""

    size: int
    code: str
    number: bool = True
    convert: Callable[[Any], float] | None = None
    exact: Callable[[bytes], Decimal | None] | None = None


def _mod10k(big: bytes) -> Decimal | None:
    """Return a mod-10 000 number: each register holds four decimal digits, most significant first.

    None if a register is above 9999, which the encoding cannot mean.
    Source: Schneider PM800 register list (energy, modulo 10 000 format).
    """
    total = 0
    for (register,) in struct.iter_unpack(">H", big):
        if register > 9999:
            return None
        total = total * 10_000 + register
    return Decimal(total)


def _bcd(big: bytes) -> Decimal | None:
    """Return packed decimal digits as a number; None if a half byte is not a digit."""
    digits = big.hex()
    return Decimal(digits) if digits.isdigit() else None


def _sbcd(big: bytes) -> Decimal | None:
    """Return packed decimal digits below a sign in the topmost bit; None if a half byte is not a digit.

    Source: DL/T 645-2007, data formats of power, current, power factor ("the highest bit is the sign").
    """
    number = _bcd(bytes((big[0] & 0x7F, *big[1:])))
    return number if number is None or not big[0] & 0x80 else -number


def _ua(big: bytes) -> Decimal | None:
    """Return the number in an OPC UA slot; None if the slot holds none."""
    kind, number = big[:1], big[1:9]
    if kind == b"d":
        return _float_exact(">d", number)
    if kind == b"f":
        return _float_exact(">f", number[4:])
    if kind == b"q":
        return Decimal(int.from_bytes(number, "big", signed=True))
    if kind == b"Q":
        return Decimal(int.from_bytes(number, "big"))
    return None


def _float_exact(code: str, big: bytes) -> Decimal | None:
    """Return the shortest decimal that reads back as the same float; None for NaN and infinities."""
    (value,) = struct.unpack(code, big)
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        return None
    if code == ">d":
        return Decimal(repr(value))
    for digits in range(6, 10):  # 9 significant digits always identify a float32
        text = f"{value:.{digits}g}"
        if struct.pack(">f", float(text)) == big:
            break
    return Decimal(text)


def _as_float(exact: Callable[[bytes], Decimal | None]) -> Callable[[bytes], float]:
    def convert(big: bytes) -> float:
        number = exact(big)
        return float("nan") if number is None else float(number)

    return convert


def _digits(size: int, exact: Callable[[bytes], Decimal | None]) -> WireType:
    return WireType(size, f"{size}s", number=False, convert=_as_float(exact), exact=exact)


TYPES: dict[str, WireType] = {
    "u8hi": WireType(2, "Bx"),
    "u8lo": WireType(2, "xB"),
    "u16": WireType(2, "H"),
    "s16": WireType(2, "h"),
    "u32": WireType(4, "I"),
    "s32": WireType(4, "i"),
    "u64": WireType(8, "Q"),
    "s64": WireType(8, "q"),
    "f32": WireType(4, "f"),
    "f64": WireType(8, "d"),
    "mod10k2": _digits(4, _mod10k),
    "mod10k3": _digits(6, _mod10k),
    "mod10k4": _digits(8, _mod10k),
    "bcd16": _digits(2, _bcd),
    "bcd32": _digits(4, _bcd),
    "bcd48": _digits(6, _bcd),
    "ua": _digits(UA_CODE.size, _ua),
}
BCD_BYTES_MAX = 8
BYTE_TYPES: dict[str, WireType] = {
    "u8": WireType(1, "B"),
    "u16_le": WireType(2, "H"),
    **{f"bcd_le{size}": _digits(size, _bcd) for size in range(1, BCD_BYTES_MAX + 1)},
    **{f"sbcd_le{size}": _digits(size, _sbcd) for size in range(1, BCD_BYTES_MAX + 1)},
}
"""Types of protocols that send bytes and not registers, low byte first whatever the order (DL/T 645, CJ/T 188)."""
TYPES |= BYTE_TYPES


@cache
def order_of(type_name: str, order: str) -> tuple[int, ...]:
    """Return for each byte, most significant first, its place in the bytes as the wire carried them."""
    size = TYPES[type_name].size
    if type_name == "ua":
        return tuple(range(size))
    if type_name in BYTE_TYPES:
        return tuple(reversed(range(size)))
    low_word_first, low_byte_first = ORDERS[order]
    words = [(i, i + 1) for i in range(0, size, 2)]
    if low_word_first:
        words.reverse()
    return tuple(place for word in words for place in (reversed(word) if low_byte_first else word))


def exact(type_name: str, big: bytes) -> Decimal | None:
    """Return a number exactly from its bytes, most significant first; None where they hold no number."""
    kind = TYPES[type_name]
    if kind.exact is not None:
        return kind.exact(big)
    if kind.code in "fd":
        return _float_exact(">" + kind.code, big)
    return Decimal(struct.unpack(">" + kind.code, big)[0])


def _pf_4q(x: Any) -> Any:
    """Return the power factor from the four-quadrant form: beyond 1 it is leading, 2 - x; beyond -1, -2 - x.

    Source: Schneider Electric DOCA0157EN-01, "four quadrant power factor" registers.
    """
    if x > 1:
        return 2 - x
    if x < -1:
        return -2 - x
    return x


def _signed_magnitude(x: Any) -> Any:
    """Return a number from 16-bit sign-magnitude form: bit 15 is the sign, the rest the size.

    Source: Power Measurement / Schneider PM8xx power factor registers (one source).
    """
    return -(x - 32768) if x >= 32768 else x


TRANSFORMS: dict[str, Callable[[Any], Any]] = {"pf_4q": _pf_4q, "signed_magnitude": _signed_magnitude}

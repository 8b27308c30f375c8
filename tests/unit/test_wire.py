"""Every type in every order, against values written out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway import wire

# type, bytes most significant first, value
VALUES = [
    ("u8hi", "5aff", "90"),
    ("u8lo", "ff5a", "90"),
    ("u16", "8001", "32769"),
    ("s16", "8001", "-32767"),
    ("u32", "80000001", "2147483649"),
    ("s32", "80000001", "-2147483647"),
    ("u64", "ffffffffffffffff", "18446744073709551615"),
    ("s64", "8000000000000001", "-9223372036854775807"),
    ("f32", "4366199a", "230.1"),
    ("f64", "400921fb54442d18", "3.141592653589793"),
    ("mod10k2", "04d2162e", "12345678"),
    ("mod10k3", "000104d2162e", "112345678"),
    ("mod10k4", "0000000104d2162e", "112345678"),
    ("bcd16", "1234", "1234"),
    ("bcd32", "12345678", "12345678"),
    ("bcd48", "012345678901", "12345678901"),
    ("u8", "2c", "44"),
    ("u16_le", "8421", "33825"),
    *((f"bcd_le{n}", "1234567890123456"[: 2 * n], "1234567890123456"[: 2 * n]) for n in range(1, 9)),
    *((f"sbcd_le{n}", "9234567890123456"[: 2 * n], "-1234567890123456"[: 2 * n + 1]) for n in range(1, 9)),
]


def arranged(big: bytes, order: str) -> bytes:
    """Return the bytes as a wire of this order carries them, by the words of the specification."""
    if order == "low byte first":
        return big[::-1]
    words = [big[i : i + 2] for i in range(0, len(big), 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    if order in {"BADC", "DCBA"}:
        words = [word[::-1] for word in words]
    return b"".join(words)


def test_every_type_has_an_example() -> None:
    assert {name for name, _, _ in VALUES} | {"ua"} == set(wire.TYPES)


def test_the_arrangement_is_what_the_names_say() -> None:
    assert [arranged(b"ABCD", order).decode() for order in wire.ORDERS] == list(wire.ORDERS)


@pytest.mark.parametrize("order", wire.ORDERS)
@pytest.mark.parametrize(("name", "big", "value"), VALUES)
def test_every_type_in_every_order(name: str, big: str, value: str, order: str) -> None:
    raw = arranged(bytes.fromhex(big), "low byte first" if name in wire.BYTE_TYPES else order)
    assert len(raw) == wire.TYPES[name].size
    assert bytes(raw[i] for i in wire.order_of(name, order)).hex() == big
    assert wire.exact(name, bytes.fromhex(big)) == Decimal(value)


@pytest.mark.parametrize(
    ("big", "text"),
    [
        ("3dcccccd", "0.1"),
        ("47f12064", "123456.78"),
        ("4b800000", "16777216"),
        ("7f7fffff", "3.4028235e38"),
        ("00000001", "1.4013e-45"),
        ("80000000", "0"),
    ],
)
def test_a_float_is_its_shortest_decimal(big: str, text: str) -> None:
    assert wire.exact("f32", bytes.fromhex(big)) == Decimal(text)


@pytest.mark.parametrize(
    ("name", "big"),
    [
        ("f32", "7fc00000"),
        ("f32", "ff800000"),
        ("f64", "7ff0000000000000"),
        ("mod10k4", "0000000000002710"),  # a register of 10 000
        ("bcd16", "12a4"),
        ("ua", "00" * 21),
    ],
)
def test_no_number_is_none(name: str, big: str) -> None:
    assert wire.exact(name, bytes.fromhex(big)) is None


@pytest.mark.parametrize(
    ("kind", "number", "text"),
    [
        (b"d", "3fb999999999999a", "0.1"),
        (b"f", "000000003dcccccd", "0.1"),
        (b"q", "ffffffffffffffff", "-1"),
        (b"Q", "ffffffffffffffff", "18446744073709551615"),
    ],
)
def test_opcua_numbers_keep_their_own_type(kind: bytes, number: str, text: str) -> None:
    assert wire.exact("ua", kind + bytes.fromhex(number) + bytes(12)) == Decimal(text)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("pf_4q", "0.5", "0.5"),
        ("pf_4q", "1", "1"),
        ("pf_4q", "1.02", "0.98"),
        ("pf_4q", "-1.5", "-0.5"),
        ("signed_magnitude", "950", "950"),
        ("signed_magnitude", "33718", "-950"),
    ],
)
def test_transforms(name: str, x: str, expected: str) -> None:
    assert wire.TRANSFORMS[name](Decimal(x)) == Decimal(expected)
    assert wire.TRANSFORMS[name](float(x)) == pytest.approx(float(expected))


@pytest.mark.parametrize("big", ["ff", "ffffffff", "0000000f", "00a00000"])
@pytest.mark.parametrize("sign", ["", "s"])
def test_half_bytes_that_are_no_digits_are_no_number(big: str, sign: str) -> None:
    """FF is how DL/T 645 says that there is no value, also below a sign."""
    name = f"{sign}bcd_le{len(big) // 2}"
    assert wire.exact(name, bytes.fromhex(big)) is None
    convert = wire.TYPES[name].convert
    assert convert is not None
    assert convert(bytes.fromhex(big)) != convert(bytes.fromhex(big)), "NaN"

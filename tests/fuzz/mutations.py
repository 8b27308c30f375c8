"""What can happen to bytes on their way: every mutation takes lawful bytes and gives others, from a seeded source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

SPECIAL = bytes((0x00, 0xFF, 0x68, 0x16, 0xFE, 0x33, 0x80, 0x7F, 0x01))
"""Bytes that mean something in one of the protocols."""
_LONG = 40


def _at(rng: Random, raw: bytes) -> int:
    return int(rng.random() * (len(raw) + 1))


def _noise(rng: Random, longest: int = _LONG) -> bytes:
    return rng.randbytes(1 + int(rng.random() * longest))


def _flip(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    out = bytearray(raw)
    for _n in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if out:
            out[int(rng.random() * len(out))] ^= 1 << int(rng.random() * 8)
    return bytes(out)


def _burst(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at, new = _at(rng, raw), _noise(rng, 8)
    return raw[:at] + new + raw[at + len(new) :]


def _special(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(rng, raw)
    return raw[:at] + SPECIAL[int(rng.random() * len(SPECIAL)) :][:1] + raw[at + 1 :]


def _truncate(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw[: int(rng.random() * len(raw))]


def _behead(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw[_at(rng, raw) :]


def _extend(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw + _noise(rng)


def _precede(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return _noise(rng) + raw


def _insert(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(rng, raw)
    return raw[:at] + _noise(rng, 6) + raw[at:]


def _drop(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(rng, raw)
    return raw[:at] + raw[at + 1 + int(rng.random() * 6) :]


def _duplicate(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    if rng.random() < 0.3:
        return raw + raw
    begin = _at(rng, raw)
    end = begin + 1 + int(rng.random() * 12)
    return raw[:end] + raw[begin:]


def _swap(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    out = bytearray(raw)
    if len(out) > 1:
        i = int(rng.random() * len(out))
        j = (i + 1) % len(out) if rng.random() < 0.5 else int(rng.random() * len(out))
        out[i], out[j] = out[j], out[i]
    return bytes(out)


def _glue(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return raw + other if rng.random() < 0.5 else other + raw


def _splice(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return raw[: _at(rng, raw)] + other[_at(rng, other) :]


def _embed(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Quote a whole frame inside another one."""
    at = _at(rng, raw)
    return raw[:at] + rng.choice(others) + raw[at:]


def _replace(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return rng.choice(others)


def _random(rng: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return rng.randbytes(int(rng.random() * 2 * (len(raw) + 4)))


MUTATIONS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip, _flip, _flip, _burst, _special, _truncate, _truncate, _behead, _extend, _precede, _insert, _drop,
    _duplicate, _swap, _glue, _glue, _splice, _splice, _embed, _replace, _replace, _random,
)  # fmt: skip
"""Weighted by how often they are written here."""


def mutated(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Return `raw` after one to three mutations, never unchanged. others: lawful frames of other requests or meters."""
    out = raw
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3))):
        out = MUTATIONS[int(rng.random() * len(MUTATIONS))](rng, out, others)
    while out == raw:
        out = _flip(rng, out, others) or rng.randbytes(1)
    return out


def pieces(rng: Random, raw: bytes) -> list[bytes]:
    """Return bytes as a transport may hand them over: mostly whole, else cut once to three times."""
    if rng.random() < 0.6 or len(raw) < 2:
        return [raw] if raw else []
    cuts = sorted({1 + int(rng.random() * (len(raw) - 1)) for _ in range(rng.choice((1, 2, 3)))})
    return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


def content(rng: Random, size: int) -> bytes:
    """Return values a meter may hold: any bytes, decimal digits, or the extremes."""
    draw = rng.random()
    if draw < 0.5:
        return rng.randbytes(size)
    if draw < 0.8:
        return bytes(16 * int(10 * rng.random()) + int(10 * rng.random()) for _ in range(size))
    return rng.choice((b"\x00", b"\xff", b"\x99", b"\x01", b"\xfe", b"\x68", b"\x16")) * size

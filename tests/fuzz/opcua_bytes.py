"""OPC UA bytes made and read by hand, from Part 6 alone: chunks, values, answers to a Read."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from tests.fuzz.verdict import Content

# Built-in type -> its bytes (Part 6, table 1), and the letter of the slot (docs/specs/sample-bytes).
NUMBERS = {
    1: ("<B", b"q"), 2: ("<b", b"q"), 3: ("<B", b"q"), 4: ("<h", b"q"), 5: ("<H", b"q"), 6: ("<i", b"q"), 7: ("<I", b"q"),
    8: ("<q", b"q"), 9: ("<Q", b"Q"), 10: ("<f", b"f"), 11: ("<d", b"d"),
}  # fmt: skip
_SHORTEST = {b"HEL": 8, b"ACK": 8, b"ERR": 8, b"OPN": 12, b"MSG": 12, b"CLO": 12}
CHUNK_MAX, MESSAGE_MAX, CHUNKS_MAX = 131_072, 262_144, 256
_SLOT = struct.Struct(">c8sIq")
_EPOCH_TICKS = 116_444_736_000_000_000  # of 100 ns from 1601 to 1970
_LAST_TICKS = (
    2_650_467_743_990_000_000  # 9999-12-31 23:59:59: what is later means "no time" (Part 6, 5.2.2.5)
)
_READ_RESPONSE, _FAULT = 634, 397  # ids of their binary encodings
_STATUSES = (0, 0, 0, 0x40000000, 0x80000000, 0x80340000, 0x80330000, 0x00000480, 0x803A0000)


def chunk(kind: bytes, final: bytes, body: bytes, size: int | None = None) -> bytes:
    """Return a chunk. body: with everything behind the message header; MSG, OPN and CLO carry a channel id first."""
    inner = (b"" if kind in (b"HEL", b"ACK", b"ERR") else bytes(4)) + body
    return kind + final + struct.pack("<I", 8 + len(inner) if size is None else size) + inner


def any_chunk(rng: Random) -> bytes:
    """Return a whole chunk."""
    kind = rng.choice((b"MSG", b"MSG", b"MSG", b"OPN", b"ACK", b"ERR", b"CLO"))
    return chunk(kind, rng.choice((b"F", b"F", b"F", b"C", b"A")), rng.randbytes(int(rng.random() * 60)))


def huge(rng: Random) -> bytes:
    """Return a chunk that announces a size at or past a limit."""
    size = rng.choice((0, 7, 8, 11, 12, CHUNK_MAX, CHUNK_MAX + 1, 1 << 31, 0xFFFFFFFF))
    return chunk(b"MSG", b"F", rng.randbytes(20), size)


def whole(raw: bytes) -> tuple[list[int], bool]:
    """Return where whole chunks end (0 first), and whether the bytes behind them can never be right."""
    ends, chunks, size_sum = [0], 0, 0
    while len(raw) - ends[-1] >= 8:
        at = ends[-1]
        kind, final, size = raw[at : at + 3], raw[at + 3 : at + 4], struct.unpack_from("<I", raw, at + 4)[0]
        if (
            kind not in _SHORTEST
            or final not in (b"F", b"C", b"A")
            or not _SHORTEST[kind] <= size <= CHUNK_MAX
        ):
            return ends, True
        if at + size > len(raw):
            break
        chunks, size_sum = chunks + 1, size_sum + size
        if chunks > CHUNKS_MAX or size_sum > MESSAGE_MAX:
            return ends, True
        if final == b"F":
            chunks = size_sum = 0
        ends.append(at + size)
    return ends, False


def any_value(rng: Random) -> bytes:
    """Return a DataValue: mostly a number with or without status and source time, else something odd."""
    mask = rng.choice((0x01, 0x03, 0x05, 0x07, 0x0D, 0x0F, 0x3F, 0x00, 0x02, int(rng.random() * 64)))
    out = bytes((mask,))
    if mask & 1:
        out += _variant(rng)
    if mask & 2:
        out += struct.pack("<I", rng.choice(_STATUSES) if rng.random() < 0.8 else int(rng.random() * 2**32))
    for bit, size in ((4, 8), (0x10, 2), (8, 8), (0x20, 2)):
        if mask & bit:
            ticks = rng.choice((0, 1, _EPOCH_TICKS, _EPOCH_TICKS + 17_800_272_001_234_567, 2**63 - 1))
            out += struct.pack("<q", ticks)[:size] if rng.random() < 0.9 else rng.randbytes(size)
    return out


def _variant(rng: Random) -> bytes:
    kind = rng.choice((*NUMBERS, *NUMBERS, 0, 12, 13, 15, 17, 19, 20, 21, 22, 23, 24, 25, 26, 63))
    if kind in NUMBERS:
        size = struct.calcsize(NUMBERS[kind][0])
        if rng.random() < 0.1:  # an array, with or without dimensions
            count = int(rng.random() * 4)
            flags = 0x80 | rng.choice((0, 0x40))
            tail = struct.pack("<ii", 1, count) if flags & 0x40 else b""
            return bytes((kind | flags,)) + struct.pack("<i", count) + rng.randbytes(size * count) + tail
        return bytes((kind,)) + (
            rng.choice((b"\0", b"\xff")) * size if rng.random() < 0.2 else rng.randbytes(size)
        )
    return bytes((kind,)) + (struct.pack("<i", 3) + b"abc" if kind in (12, 15) else rng.randbytes(8))


def number(raw: bytes) -> Content | None:
    """Return the slot's four fields of a DataValue that is a number and not bad; None for anything else.

    A Variant directly within a Variant (type 24) is against Part 6, 5.2.2.16; asyncua takes the inner one, which is
    what the server said.
    """
    while raw[1:2] == b"\x18":
        raw = raw[:1] + raw[2:]
    if len(raw) < 2 or not raw[0] & 1 or raw[1] not in NUMBERS:
        return None
    form, letter = NUMBERS[raw[1]]
    at = 2 + struct.calcsize(form)
    value = struct.unpack(form, raw[2:at])[0] if len(raw) >= at else None
    status = ticks = 0
    if raw[0] & 2:
        status, at = struct.unpack("<I", raw[at : at + 4].ljust(4, b"\0"))[0], at + 4
    if raw[0] & 4:
        ticks = struct.unpack("<q", raw[at : at + 8].ljust(8, b"\0"))[0]
    if value is None or status >> 30 > 1:
        return None
    source_ns = (ticks - _EPOCH_TICKS) // 10 * 1000 if ticks < _LAST_TICKS else 0
    return ("values", letter, _eight(raw[1], value), status, source_ns if 0 < source_ns < 2**63 else 0)


def _eight(kind: int, value: float) -> bytes:
    if kind == 1:
        return struct.pack(">q", bool(value))
    packed = struct.pack(">" + {9: "Q", 10: "f", 11: "d"}.get(kind, "q"), value).rjust(8, b"\0")
    return _NAN if value != value else packed  # noqa: PLR0124 - a NaN may change its payload in float arithmetic


_NAN = b"not a nb"


def quiet(packed: bytes) -> bytes:
    """Return a slot with every NaN made the same."""
    letter, eight, status, source_ns = _SLOT.unpack(packed)
    form = {b"f": ">4xf", b"d": ">d"}.get(letter)
    if form is None or (value := struct.unpack(form, eight)[0]) == value:
        return packed
    return _SLOT.pack(letter, _NAN, status, source_ns)


def _header(kind: int, handle: int, result: int) -> bytes:
    return struct.pack("<BBHqIIBiBBB", 1, 0, kind, 0, handle, result, 0, -1, 0, 0, 0)


def read_response(rng: Random, request: int, count: int) -> bytes:
    """Return the answer to a Read of `count` numbers in one chunk."""
    values = []
    for _ in range(count):
        kind = rng.choice(tuple(NUMBERS))
        number_ = rng.randbytes(struct.calcsize(NUMBERS[kind][0]))
        values.append(
            b"\x07" + bytes((kind,)) + number_ + bytes(4) + struct.pack("<q", _EPOCH_TICKS + 10_000_000)
        )
    body = (
        _header(_READ_RESPONSE, request, 0)
        + struct.pack("<i", count)
        + b"".join(values)
        + struct.pack("<i", -1)
    )
    return chunk(b"MSG", b"F", struct.pack("<III", 0, 1, request) + body)


def fault(request: int, rng: Random) -> bytes:
    """Return a ServiceFault."""
    return chunk(
        b"MSG", b"F", struct.pack("<III", 0, 1, request) + _header(_FAULT, request, rng.choice(_STATUSES))
    )


def slots_of(response: bytes, count: int) -> bytes:
    """Return the slots of a right answer made by `read_response`."""
    at = 24 + struct.calcsize("<BBHqIIBiBBB") + 4
    out = b""
    for _ in range(count):
        size = 2 + struct.calcsize(NUMBERS[response[at + 1]][0]) + 12
        found = number(response[at : at + size])
        assert found is not None
        _, letter, eight, status, source_ns = found
        if eight == _NAN:
            eight = bytes(8)
        out += _SLOT.pack(letter, eight, status, source_ns)
        at += size
    return out


def body_of(raw: bytes, request: int) -> bytes:
    """Return what whole MSG chunks say to a request, one behind the other."""
    ends, _ = whole(raw)
    chunks = [raw[a:b] for a, b in pairwise(ends)]
    return b"".join(c[24:] for c in chunks if c[:3] == b"MSG" and c[20:24] == struct.pack("<I", request))


def said_in(body: bytes, slots: object) -> bool:
    """Return whether every number of these slots stands in the body as a scalar of one of its types."""
    assert isinstance(slots, bytes)
    for at in range(0, len(slots), _SLOT.size):
        letter, eight, status, _ = _SLOT.unpack_from(slots, at)
        if letter != b"\0" and (status >> 30 > 1 or not _stands(body, letter, eight)):
            return False
    return True


def _stands(body: bytes, letter: bytes, eight: bytes) -> bool:
    for kind, (form, own) in NUMBERS.items():
        if own != letter:
            continue
        start = body.find(bytes((kind,)))
        size = struct.calcsize(form)
        while start >= 0:
            number_ = body[start + 1 : start + 1 + size]
            if len(number_) == size and _same(kind, struct.unpack(form, number_)[0], letter, eight):
                return True
            start = body.find(bytes((kind,)), start + 1)
    return False


def _same(kind: int, value: float, letter: bytes, eight: bytes) -> bool:
    wanted: bytes = _SLOT.unpack(quiet(_SLOT.pack(letter, eight, 0, 0)))[1]
    return _eight(kind, value) == wanted

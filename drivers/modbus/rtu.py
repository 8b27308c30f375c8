"""Modbus RTU: a read request as a line's frame, and the answer to it among whatever else a line carries.

Pure: no I/O, no clock.

    unit 1 | PDU (2 to 253) | CRC 2, low byte first

Nothing on the wire says where a frame begins. A right answer of values is known by its first three bytes (unit, function,
byte count), its length and its CRC; a refusal by unit, function | 80h and CRC. Other frames that are whole are skipped
whole, so that a frame quoted inside another one is not found. What would still be needed for a mistake is a
disturbance that makes 40 bits right.
Source: MODBUS over Serial Line V1.02, 2.5.1, 6.2.2 (CRC-16, polynomial A001h reflected, start FFFFh).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.lines.contract import Found
from drivers.modbus.framing import UNIT_MAX
from drivers.modbus.pdu import EXCEPTION_BIT, FUNCTIONS, decode_answer, encode_request, payload_size

if TYPE_CHECKING:
    from collections.abc import Hashable

REQUEST_SIZE = 8
REFUSAL_SIZE = 5
_AROUND_VALUES = 5  # unit, function, byte count, CRC
_PREFIX_SIZE = 3
_CODE_AT = 2  # of a refusal
_JUDGED_MAX = 256  # bytes; more than a frame is noise anyway
_CODES_OF_METERS = frozenset((1, 2, 3))
"""Illegal function, address, value: what only the meter knows. Source: MODBUS Application Protocol V1.1b3, 7."""
_CRC_SIZE = 2
_WRITE_FUNCTIONS = frozenset((5, 6, 15, 16))  # of other masters: request or answer of eight bytes


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _table()


def crc16(data: bytes) -> bytes:
    """Return the two check bytes of a frame as the wire carries them."""
    crc = 0xFFFF
    table = _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def is_whole(frame: bytes) -> bool:
    """Return whether the last two bytes are the check bytes of the others."""
    return len(frame) > _CRC_SIZE and crc16(frame[:-_CRC_SIZE]) == frame[-_CRC_SIZE:]


class RtuAsk:
    """One read request on a line. Implements `LineAsk`; hashable by identity."""

    __slots__ = (
        "_prefix", "_refusal", "address", "answer_size", "count", "function", "meter", "others", "request", "signature",
        "unit",
    )  # fmt: skip

    def __init__(self, unit: int, function: int, address: int, count: int) -> None:
        """Raises ValueError for anything but a lawful read of one meter."""
        if not 1 <= unit <= UNIT_MAX:
            raise ValueError(f"unit {unit} is not within 1 to {UNIT_MAX}; on a line nobody answers unit 0")
        body = bytes((unit,)) + encode_request(function, address, count)
        size = payload_size(function, count)
        self.unit, self.function, self.address, self.count = unit, function, address, count
        self.request = body + crc16(body)
        self.meter: Hashable = ("modbus", unit)
        self.answer_size = _AROUND_VALUES + size
        self.signature: Hashable = (function, size)
        self.others: tuple[RtuAsk, ...] = ()  # see `drivers.modbus.line`
        self._prefix = bytes((unit, function, size))
        self._refusal = bytes((unit, function | EXCEPTION_BIT))

    def __str__(self) -> str:
        """Return the request for engineers: what, where, how many, whom."""
        return (
            f"{FUNCTIONS[self.function]} (function {self.function}), address {self.address} (0x{self.address:04X}), "
            f"count {self.count}, unit {self.unit}"
        )

    def find(self, received: bytes) -> Found | None:
        """Return where the answer lies, None if it is not (yet) there."""
        size = self.answer_size
        if len(received) == size and received.startswith(self._prefix) and is_whole(received):
            if not received.startswith(self.request):
                return Found(0, size)
        elif len(received) < min(size, REFUSAL_SIZE):
            return None
        at = 0
        while (found := self._next(received, at)) is not None:
            begin = _after_whole_frames(received, at, found.start, self.request)
            if begin == found.start:
                return found
            at = begin
        return None

    def values(self, frame: bytes) -> bytes:
        """Return the values' bytes of a frame `find` found. Raises ExceptionAnswer, Mismatch."""
        return decode_answer(self.function, self.count, frame[1:-_CRC_SIZE])

    def _next(self, received: bytes, at: int) -> Found | None:
        """Return the first piece from `at` on that has the form of an answer, CRC included."""
        values = _candidate(received, self._prefix, self.answer_size, at)
        refusal = _candidate(received, self._refusal, REFUSAL_SIZE, at)
        if values is not None and (refusal is None or values < refusal):
            return Found(values, values + self.answer_size)
        if refusal is None:
            return None
        by_meter = received[refusal + _CODE_AT] in _CODES_OF_METERS
        return Found(refusal, refusal + REFUSAL_SIZE, refusal=True, by_meter=by_meter)

    def why(self, raw: bytes) -> tuple[str, str]:
        """Return what the bytes that came instead of an answer are: kind, and words with the likely cause."""
        if raw.startswith(self.request):
            return "echo", "the request itself: the adapter hears what it sends (echo = true)"
        for at in range(min(len(raw), _JUDGED_MAX)):
            size = _whole_frame(raw, at)
            if size and raw[at] != self.unit:
                return (
                    "foreign",
                    f"a frame of unit {raw[at]}: a second master, or two meters with one unit id",
                )
            if size:
                return "foreign", (
                    f"an answer of another form (function {raw[at + 1]}, {size - _AROUND_VALUES} bytes of values)"
                )
            if raw.startswith(self._prefix, at):
                there = len(raw) - at
                if there < self.answer_size:
                    return "noise", f"an answer that stopped after {there} of {self.answer_size} bytes"
                return "crc", (
                    "an answer with a wrong CRC: check wiring, termination and bias, or two meters have one unit id"
                )
        return "noise", "no Modbus RTU frame: check baud rate, parity and stop bits"


def _candidate(received: bytes, prefix: bytes, size: int, at: int) -> int | None:
    """Return where, from `at` on, `size` bytes begin with `prefix` and end with their CRC."""
    last = len(received) - size
    start = received.find(prefix, at)
    while 0 <= start <= last:
        if is_whole(received[start : start + size]):
            return start
        start = received.find(prefix, start + 1)
    return None


def _after_whole_frames(received: bytes, at: int, goal: int, request: bytes) -> int:
    """Return `goal`, or, if whole frames from `at` on cover it, where the last of them ends."""
    if at == 0 and received.startswith(request):
        at = len(request)  # our own echo
    while at < goal:
        at += _whole_frame(received, at) or 1
    return at


def _whole_frame(received: bytes, at: int) -> int:
    """Return the size of the whole Modbus frame of any meter or master that begins at `at`, 0 if none does."""
    if len(received) < at + REFUSAL_SIZE:
        return 0
    function = received[at + 1]
    if function & EXCEPTION_BIT:
        sizes: tuple[int, ...] = (REFUSAL_SIZE,)
    elif function in FUNCTIONS:
        sizes = (REQUEST_SIZE, _AROUND_VALUES + received[at + 2])
    elif function in _WRITE_FUNCTIONS:
        sizes = (REQUEST_SIZE,)
    else:
        return 0
    for size in sizes:
        if at + size <= len(received) and is_whole(received[at : at + size]):
            return size
    return 0

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
WORK_MAX = 8192
"""Bytes one search may put to the CRC test, each test counted as so many more: a quarter of a millisecond whatever has come."""
_TEST_COST = 32
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


_SHORT = 32  # bytes; the table is as fast
_FOLDS = tuple((15 << k, 14 << k, (1 << (14 << k)) - 1, 1 << k) for k in range(7, -1, -1))
"""Of bits more than the first, the lowest (second, a mask) are folded upwards; the last is how far apart they are added."""


def is_whole(frame: bytes) -> bool:
    """Return whether the last two bytes are the check bytes of the others.

    A quarter of the time of `crc16` for long ones, since whole integers are worked on. The polynomial is (x + 1)(x^15 + x + 1): a frame, its first 16
    bits inverted, is a multiple of the first if its bits are even in number, and of the second if this leaves nothing: in the order of the
    wire, lowest bit first, 1 = x^14 + x^15, hence also 1 = x^14n + x^15n for every n that is a power of 2.
    """
    if len(frame) < _SHORT:
        return len(frame) > _CRC_SIZE and crc16(frame[:-_CRC_SIZE]) == frame[-_CRC_SIZE:]
    bits = int.from_bytes(frame, "little") ^ 0xFFFF
    if bits.bit_count() & 1:
        return False
    for most, low, mask, apart in _FOLDS:
        while bits.bit_length() > most:
            lowest = bits & mask
            bits = bits >> low ^ lowest ^ lowest << apart
    return not bits


class _Search:
    """One search through bytes received: what is whole in them, until too much was tested."""

    __slots__ = ("left", "received")

    def __init__(self, received: bytes) -> None:
        self.received, self.left = received, WORK_MAX

    def whole(self, start: int, size: int) -> bool:
        """Return whether `size` bytes end with their CRC; False once the work is too much."""
        self.left -= size + _TEST_COST
        return self.left >= 0 and is_whole(self.received[start : start + size])


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
        """Return where the answer lies, None if it is not (yet) there, or not for certain without too much work."""
        size = self.answer_size
        if len(received) == size and received.startswith(self._prefix) and is_whole(received):
            if not received.startswith(self.request):
                return Found(0, size)
        elif len(received) < min(size, REFUSAL_SIZE):
            return None
        at, search = 0, _Search(received)
        while (found := self._next(search, at)) is not None:
            begin = _after_whole_frames(search, at, found.start, self.request)
            if search.left < 0:
                return None  # it may lie inside another frame
            if begin == found.start:
                return found
            at = begin
        return None

    def values(self, frame: bytes) -> bytes:
        """Return the values' bytes of a frame `find` found. Raises ExceptionAnswer, Mismatch."""
        return decode_answer(self.function, self.count, frame[1:-_CRC_SIZE])

    def _next(self, search: _Search, at: int) -> Found | None:
        """Return the first piece from `at` on that has the form of an answer, CRC included."""
        values = _candidate(search, self._prefix, self.answer_size, at)
        refusal = _candidate(search, self._refusal, REFUSAL_SIZE, at)
        if values is not None and (refusal is None or values < refusal):
            return Found(values, values + self.answer_size)
        if refusal is None:
            return None
        by_meter = search.received[refusal + _CODE_AT] in _CODES_OF_METERS
        return Found(refusal, refusal + REFUSAL_SIZE, refusal=True, by_meter=by_meter)

    def why(self, raw: bytes) -> tuple[str, str]:
        """Return what the bytes that came instead of an answer are: kind, and words with the likely cause."""
        if raw.startswith(self.request):
            return "echo", "the request itself: the adapter hears what it sends (echo = true)"
        search = _Search(raw)
        for at in range(min(len(raw), _JUDGED_MAX)):
            size = _whole_frame(search, at)
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


def _candidate(search: _Search, prefix: bytes, size: int, at: int) -> int | None:
    """Return where, from `at` on, `size` bytes begin with `prefix` and end with their CRC."""
    received = search.received
    last = len(received) - size
    start = received.find(prefix, at)
    while 0 <= start <= last and search.left >= 0:
        if search.whole(start, size):
            return start
        start = received.find(prefix, start + 1)
    return None


def _after_whole_frames(search: _Search, at: int, goal: int, request: bytes) -> int:
    """Return `goal`, or, if whole frames from `at` on cover it, where the last of them ends."""
    if at == 0 and search.received.startswith(request):
        at = len(request)  # our own echo
    while at < goal and search.left >= 0:
        at += _whole_frame(search, at) or 1
    return at


def _whole_frame(search: _Search, at: int) -> int:
    """Return the size of the whole Modbus frame of any meter or master that begins at `at`, 0 if none does."""
    received = search.received
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
        if at + size <= len(received) and search.whole(at, size):
            return size
    return 0

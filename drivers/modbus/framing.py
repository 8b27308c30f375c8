"""Modbus frames on TCP: cut from a buffer, checked against the request they claim to answer.

Pure: no I/O, no clock. Framing knows three things: how a request becomes bytes (`tcp_request`), where a frame
ends (`cut_tcp`) and whether it answers a request (`check`). All of it is for TCP: `Ask` carries ready-made bytes
with an MBAP header, and `Frame` a transaction id. Serial framing (RTU), which has neither, will stand beside it
with its own; the codec of the PDU (`drivers.modbus.pdu`) serves both.

    MBAP header (7)                                          PDU (2 to 253)
    transaction 2 | protocol 2 (= 0) | length 2 | unit 1     function 1 | ...
                                       counts what follows it

Rules:
* A frame answers a request only if transaction, unit, function, byte count and length all fit.
* A frame that fits its own header but no request is discarded; the next one begins right after it.
* A header that cannot be true (`Unsynchronised`) says that nobody knows where the next frame begins. TCP lost
  nothing, so the peer is broken or not Modbus, and the only cure is a new connection.
Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; MODBUS Application Protocol V1.1b3, 4.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from drivers.failures import RequestFailed
from drivers.modbus.pdu import (
    EXCEPTION_BIT,
    EXCEPTION_SIZE,
    FUNCTIONS,
    PDU_SIZE_MAX,
    Mismatch,
    decode_answer,
    encode_request,
    payload_size,
)

UNIT_MAX = 255
HEADER_SIZE = 7
FRAME_SIZE_MAX = HEADER_SIZE + PDU_SIZE_MAX
# What the length field counts: the unit, then the PDU.
LENGTH_MIN = 1 + EXCEPTION_SIZE
LENGTH_MAX = 1 + PDU_SIZE_MAX
PREFIX_SIZE = 9
"""Bytes of a right answer that are known before it comes: header, function, byte count."""

_LENGTH_END = 6
_HEADER = struct.Struct(">HHHB")
_FIXED = struct.Struct(">HHB")


class Unsynchronised(RequestFailed):
    """The bytes received cannot be cut into frames any more. reason: `protocol` or `length`."""

    def __init__(self, message: str, *, reason: str, raw: bytes) -> None:
        """raw: the bytes from where a frame should have begun."""
        super().__init__(message, raw=raw)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ask:
    """One read request on TCP and what its right answer must begin with.

    request_tail, answer_prefix: ready-made TCP bytes after the transaction id; answer_size: of the whole frame.
    """

    unit: int
    function: int
    address: int
    count: int
    request_tail: bytes
    answer_prefix: bytes
    answer_size: int

    def __str__(self) -> str:
        """Return the request for engineers: what, where, how many, whom."""
        return (
            f"{FUNCTIONS[self.function]} (function {self.function}), address {self.address} (0x{self.address:04X}), "
            f"count {self.count}, unit {self.unit}"
        )


class Frame(NamedTuple):
    """A TCP frame as received: transaction id, unit, PDU, and where the next frame begins in the buffer."""

    transaction: int
    unit: int
    pdu: bytes
    end: int


def tcp_ask(unit: int, function: int, address: int, count: int) -> Ask:
    """Return a request with its bytes prepared, to be sent any number of times.

    Raises ValueError for anything but a lawful read.
    """
    if not 0 <= unit <= UNIT_MAX:
        raise ValueError(f"unit {unit} is not within 0 to {UNIT_MAX}")
    pdu = encode_request(function, address, count)
    size = payload_size(function, count)
    return Ask(
        unit=unit,
        function=function,
        address=address,
        count=count,
        request_tail=_FIXED.pack(0, 1 + len(pdu), unit) + pdu,
        answer_prefix=_FIXED.pack(0, 3 + size, unit) + bytes((function, size)),
        answer_size=PREFIX_SIZE + size,
    )


def tcp_request(transaction: int, ask: Ask) -> bytes:
    """Return the whole frame that asks for `ask`; transaction: 0 to 65535."""
    return transaction.to_bytes(2, "big") + ask.request_tail


def cut_tcp(buffer: bytes | bytearray | memoryview, start: int, end: int) -> Frame | None:
    """Return the frame that begins at `start`, None while bytes before `end` are too few.

    Raises Unsynchronised as soon as the header cannot be one of an answer to a read: wrong protocol id, length out
    of bounds, or a length that contradicts the byte count (V1.1b3 has no other answer to functions 1 to 4).
    """
    if end - start < _LENGTH_END:
        return None
    protocol = buffer[start + 2] << 8 | buffer[start + 3]
    length = buffer[start + 4] << 8 | buffer[start + 5]
    if protocol != 0:
        raise _lost(
            buffer, start, end, "protocol", f"protocol id {protocol} instead of 0: this is not Modbus TCP"
        )
    if not LENGTH_MIN <= length <= LENGTH_MAX:
        raise _lost(
            buffer, start, end, "length", f"length {length} is not within {LENGTH_MIN} to {LENGTH_MAX}"
        )
    if end - start >= PREFIX_SIZE:
        function, third = buffer[start + 7], buffer[start + 8]
        right = LENGTH_MIN if function & EXCEPTION_BIT else 3 + third if function in FUNCTIONS else length
        if length != right:
            raise _lost(
                buffer, start, end, "length", f"length {length} where function {function} means {right}"
            )
    frame_end = start + _LENGTH_END + length
    if end < frame_end:
        return None
    transaction, _, _, unit = _HEADER.unpack_from(buffer, start)
    return Frame(transaction, unit, bytes(buffer[start + HEADER_SIZE : frame_end]), frame_end)


def check(frame: Frame, ask: Ask) -> bytes:
    """Return the values' bytes if `frame`, whose transaction id is the request's, answers `ask`.

    Raises ExceptionAnswer, or Mismatch if unit, function, byte count or length differ.
    """
    if frame.unit != ask.unit:
        raise Mismatch(
            f"answer comes from unit {frame.unit}, asked was {ask.unit}", reason="unit", raw=frame.pdu
        )
    return decode_answer(ask.function, ask.count, frame.pdu)


def _lost(
    buffer: bytes | bytearray | memoryview, start: int, end: int, reason: str, text: str
) -> Unsynchronised:
    return Unsynchronised(text, reason=reason, raw=bytes(buffer[start : min(end, start + FRAME_SIZE_MAX)]))

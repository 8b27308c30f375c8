"""Modbus read requests and their answers as bytes: function codes 1 to 4, nothing that writes.

Pure: no I/O, no clock. A PDU is what TCP and serial lines have in common; `framing` puts it on a line.
Source of every number here: MODBUS Application Protocol Specification V1.1b3, sections 4.1, 6.1-6.4, 7.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from drivers.failures import Refused, RequestFailed

READ_COILS = 1
READ_DISCRETE_INPUTS = 2
READ_HOLDING_REGISTERS = 3
READ_INPUT_REGISTERS = 4
FUNCTIONS = {
    READ_COILS: "read coils",
    READ_DISCRETE_INPUTS: "read discrete inputs",
    READ_HOLDING_REGISTERS: "read holding registers",
    READ_INPUT_REGISTERS: "read input registers",
}
BIT_FUNCTIONS = frozenset((READ_COILS, READ_DISCRETE_INPUTS))

REGISTERS_MAX = 125
BITS_MAX = 2000
ADDRESSES = 65_536
PDU_SIZE_MAX = 253
EXCEPTION_BIT = 0x80
EXCEPTION_SIZE = 2

ILLEGAL_DATA_ADDRESS = 2
GATEWAY_PATH_UNAVAILABLE = 10
GATEWAY_TARGET_SILENT = 11

_REQUEST = struct.Struct(">BHH")


class _Meaning(NamedTuple):
    name: str
    next_step: str


EXCEPTIONS: dict[int, _Meaning] = {
    1: _Meaning(
        "illegal function",
        "the meter does not know this function code: compare the profile's function with the manual "
        "(3 holding, 4 input registers)",
    ),
    ILLEGAL_DATA_ADDRESS: _Meaning(
        "illegal data address",
        "the meter has no such register: check the profile's addresses (manuals often count from 1 or "
        "40001, the wire from 0) and the meter's model and firmware",
    ),
    3: _Meaning(
        "illegal data value",
        "the meter does not allow this count: lower the profile's limit of registers per request, or check its "
        "alignment rule",
    ),
    4: _Meaning(
        "server device failure", "the meter reports a fault of its own: look at its display, restart it"
    ),
    5: _Meaning("acknowledge", "the meter needs longer for this request: poll it less often"),
    6: _Meaning(
        "server device busy",
        "the meter is busy: poll it less often, or find who else reads it",
    ),
    7: _Meaning(
        "negative acknowledge", "the meter refuses this request: compare the profile with the manual"
    ),
    8: _Meaning("memory parity error", "the meter's memory is damaged: have it checked"),
    GATEWAY_PATH_UNAVAILABLE: _Meaning(
        "gateway path unavailable",
        "the Modbus gateway has no line for this unit id: check the unit id and the gateway's routing",
    ),
    GATEWAY_TARGET_SILENT: _Meaning(
        "gateway target device failed to respond",
        "the meter behind the Modbus gateway is silent: check its unit id, power, wiring, baud rate and parity",
    ),
}
"""Exception code -> its name in the specification and what to do next. 7: older editions only."""


class ExceptionAnswer(Refused):
    """The meter, or a gateway before it, answered with an exception code."""

    def __init__(self, code: int, *, raw: bytes = b"") -> None:
        """code: 0 to 255 as received, also one the specification does not define."""
        super().__init__(describe_exception(code), raw=raw)
        self.code = code


class Mismatch(RequestFailed):
    """The answer does not fit its request and was discarded. reason: what does not fit, for counting."""

    def __init__(self, message: str, *, reason: str, raw: bytes = b"") -> None:
        """reason: `unit`, `function`, `byte_count` or `length`."""
        super().__init__(message, raw=raw)
        self.reason = reason


def describe_exception(code: int) -> str:
    """Return an exception code as text: number, name, next step."""
    meaning = EXCEPTIONS.get(code)
    if meaning is None:
        return f"exception {code}, which the specification does not define; see the meter's manual"
    return f"exception {code} ({meaning.name}); {meaning.next_step}"


def encode_request(function: int, address: int, count: int) -> bytes:
    """Return the five bytes that ask for `count` registers (or bits, functions 1 and 2) from wire address `address`.

    Raises ValueError for anything but a lawful read.
    """
    if function not in FUNCTIONS:
        raise ValueError(f"function {function} is no read; 1 to 4 are")
    count_max = BITS_MAX if function in BIT_FUNCTIONS else REGISTERS_MAX
    if not 1 <= count <= count_max:
        raise ValueError(f"count {count} is not within 1 to {count_max}")
    if not 0 <= address <= ADDRESSES - count:
        raise ValueError(f"address {address} with count {count} is not within 0 to {ADDRESSES - 1}")
    return _REQUEST.pack(function, address, count)


def payload_size(function: int, count: int) -> int:
    """Return how many bytes of values the right answer to a request carries, its "byte count"."""
    return (count + 7) // 8 if function in BIT_FUNCTIONS else 2 * count


def decode_answer(function: int, count: int, pdu: bytes) -> bytes:
    """Return the values' bytes of an answer to (`function`, `count`) as the wire carried them.

    Raises ExceptionAnswer, or Mismatch if the answer belongs to another request or contradicts itself.
    """
    if len(pdu) < EXCEPTION_SIZE:
        raise Mismatch(f"answer of {len(pdu)} bytes is none", reason="length", raw=pdu)
    if pdu[0] == function | EXCEPTION_BIT:
        if len(pdu) != EXCEPTION_SIZE:
            raise Mismatch(f"exception answer of {len(pdu)} bytes instead of 2", reason="length", raw=pdu)
        raise ExceptionAnswer(pdu[1], raw=pdu)
    if pdu[0] != function:
        raise Mismatch(f"answer has function {pdu[0]}, asked was {function}", reason="function", raw=pdu)
    size = payload_size(function, count)
    if pdu[1] != size:
        raise Mismatch(
            f"answer announces {pdu[1]} bytes of values, asked were {size}", reason="byte_count", raw=pdu
        )
    if len(pdu) != 2 + size:
        raise Mismatch(
            f"answer holds {len(pdu) - 2} bytes of values, announces {size}", reason="length", raw=pdu
        )
    return pdu[2:]


def bits_as_registers(payload: bytes, count: int) -> bytes:
    """Return `count` bits as two bytes each, 0 or 1, so that a bit fills a `u16` slot.

    The first bit asked for is the lowest of the first byte (V1.1b3, 6.1).
    """
    return bytes(half for i in range(count) for half in (0, payload[i >> 3] >> (i & 7) & 1))

"""The worked examples of the MODBUS Application Protocol Specification V1.1b3, sections 6.1 to 6.4 and 7."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from drivers.modbus.framing import check, cut_tcp, tcp_ask, tcp_request
from drivers.modbus.pdu import (
    BIT_FUNCTIONS,
    ExceptionAnswer,
    bits_as_registers,
    decode_answer,
    encode_request,
)


@dataclass(frozen=True)
class Example:
    section: str
    function: int
    address: int
    count: int
    request: str
    answer: str
    values: tuple[int, ...]


def _bits(text: str) -> tuple[int, ...]:
    return tuple(int(bit) for bit in text.replace(" ", ""))


EXAMPLES = [
    # Coils 20 to 38: the first byte CD is coils 27 to 20, most significant first; the last one 38 to 36.
    Example("6.1", 1, 0x13, 0x13, "01 0013 0013", "01 03 CD 6B 05", _bits("1011 0011 1101 0110 101")),
    # Inputs 197 to 218: AC is 204 to 197, DB 212 to 205, 35 218 to 213.
    Example("6.2", 2, 0xC4, 0x16, "02 00C4 0016", "02 03 AC DB 35", _bits("0011 0101 1101 1011 1010 11")),
    Example("6.3", 3, 0x6B, 3, "03 006B 0003", "03 06 022B 0000 0064", (555, 0, 100)),
    Example("6.4", 4, 0x08, 1, "04 0008 0001", "04 02 000A", (10,)),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.section)
def test_request(example: Example) -> None:
    assert encode_request(example.function, example.address, example.count) == bytes.fromhex(example.request)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.section)
def test_answer(example: Example) -> None:
    payload = decode_answer(example.function, example.count, bytes.fromhex(example.answer))
    if example.function in BIT_FUNCTIONS:
        payload = bits_as_registers(payload, example.count)
    values = tuple(int.from_bytes(payload[i : i + 2]) for i in range(0, len(payload), 2))
    assert values == example.values


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.section)
def test_on_tcp(example: Example) -> None:
    ask = tcp_ask(0xFF, example.function, example.address, example.count)
    request = bytes.fromhex(example.request)
    assert tcp_request(0x1501, ask) == bytes.fromhex("1501 0000 0006 FF") + request
    pdu = bytes.fromhex(example.answer)
    on_wire = bytes.fromhex("1501 0000") + (1 + len(pdu)).to_bytes(2) + b"\xff" + pdu
    frame = cut_tcp(on_wire, 0, len(on_wire))
    assert frame is not None
    assert (frame.transaction, frame.end) == (0x1501, len(on_wire))
    assert check(frame, ask) == pdu[2:]
    assert on_wire.startswith(b"\x15\x01" + ask.answer_prefix)
    assert len(on_wire) == ask.answer_size


def test_exception_answer_of_section_7() -> None:
    assert encode_request(1, 0x04A1, 1) == bytes.fromhex("01 04A1 0001")
    with pytest.raises(ExceptionAnswer, match="illegal data address") as caught:
        decode_answer(1, 1, bytes.fromhex("81 02"))
    assert caught.value.code == 2

from __future__ import annotations

import pytest

from drivers.modbus import pdu


@pytest.mark.parametrize(
    ("function", "address", "count", "text"),
    [
        (0, 0, 1, "function 0"),
        (5, 0, 1, "function 5"),
        (6, 0, 1, "function 6"),
        (16, 0, 1, "function 16"),
        (3, 0, 0, "count 0"),
        (3, 0, 126, "1 to 125"),
        (4, 0, 126, "1 to 125"),
        (1, 0, 2001, "1 to 2000"),
        (2, 0, 2001, "1 to 2000"),
        (3, -1, 1, "address -1"),
        (3, 65535, 2, "address 65535"),
    ],
)
def test_no_other_request_can_be_made(function: int, address: int, count: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        pdu.encode_request(function, address, count)


@pytest.mark.parametrize(("function", "count"), [(1, 2000), (2, 2000), (3, 125), (4, 125)])
def test_the_largest_answers_fit_a_pdu(function: int, count: int) -> None:
    pdu.encode_request(function, 65536 - count, count)
    assert 2 + pdu.payload_size(function, count) <= pdu.PDU_SIZE_MAX


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "length"),
        ("03", "length"),
        ("04 04 0001 0002", "function"),
        ("84 02", "function"),
        ("01 01 01", "function"),
        ("03 02 0001", "byte_count"),
        ("03 06 0001 0002 0003", "byte_count"),
        ("03 00", "byte_count"),
        ("03 04 0001 00", "length"),
        ("03 04 0001 0002 00", "length"),
        ("83 02 00", "length"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(answer: str, reason: str) -> None:
    raw = bytes.fromhex(answer)
    with pytest.raises(pdu.Mismatch) as caught:
        pdu.decode_answer(3, 2, raw)
    assert caught.value.reason == reason
    assert caught.value.raw == raw


def test_every_exception_code_has_a_text() -> None:
    for code in range(256):
        with pytest.raises(pdu.ExceptionAnswer, match=f"^exception {code}\\b") as caught:
            pdu.decode_answer(4, 1, bytes((0x84, code)))
        assert caught.value.code == code
        assert ("does not define" in str(caught.value)) == (code not in pdu.EXCEPTIONS)


def test_bits_fill_u16_slots() -> None:
    assert pdu.bits_as_registers(b"\x05\x02", 10) == bytes.fromhex(
        "0001 0000 0001 0000 0000 0000 0000 0000 0000 0001"
    )

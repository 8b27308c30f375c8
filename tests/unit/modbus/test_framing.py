from __future__ import annotations

import pytest

from drivers.modbus.framing import Frame, Unsynchronised, check, cut_tcp, tcp_ask
from drivers.modbus.pdu import Mismatch

ANSWER = bytes.fromhex("0007 0000 0007 05 03 04 0001 0002")
ASK = tcp_ask(5, 3, 100, 2)


def test_a_frame_is_cut_where_it_ends() -> None:
    buffer = b"xx" + ANSWER + ANSWER[:5]
    assert cut_tcp(buffer, 2, len(buffer)) == Frame(7, 5, bytes.fromhex("03 04 0001 0002"), 2 + len(ANSWER))


@pytest.mark.parametrize("end", range(len(ANSWER)))
def test_a_frame_is_waited_for_until_it_is_whole(end: int) -> None:
    assert cut_tcp(ANSWER, 0, end) is None


def test_only_filled_bytes_count() -> None:
    assert cut_tcp(bytearray(ANSWER), 0, len(ANSWER) - 1) is None


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("0007 0001 0007", "protocol"),
        ("0007 0100 0007", "protocol"),
        ("4854 5450 2F31", "protocol"),
        ("0007 0000 0000", "length"),
        ("0007 0000 0002", "length"),
        ("0007 0000 00FF", "length"),
        ("0007 0000 FFFF", "length"),
        # The length contradicts the byte count, or an exception is longer than its code.
        ("0007 0000 0007 05 03 02", "length"),
        ("0007 0000 0005 05 03 04", "length"),
        ("0007 0000 0004 05 83 02", "length"),
    ],
)
def test_a_header_that_cannot_be_true_is_noticed_at_once(header: str, reason: str) -> None:
    raw = bytes.fromhex(header)
    with pytest.raises(Unsynchronised) as caught:
        cut_tcp(raw, 0, len(raw))
    assert caught.value.reason == reason
    assert caught.value.raw == raw


def test_an_unknown_function_is_cut_by_its_length() -> None:
    other = bytes.fromhex("0007 0000 0006 05 2B 0E 01 02 03")
    frame = cut_tcp(other, 0, len(other))
    assert frame is not None
    with pytest.raises(Mismatch) as caught:
        check(frame, ASK)
    assert caught.value.reason == "function"


def test_the_unit_must_fit() -> None:
    with pytest.raises(Mismatch, match="unit 6, asked was 5") as caught:
        check(Frame(7, 6, ANSWER[7:], 0), ASK)
    assert caught.value.reason == "unit"


@pytest.mark.parametrize("unit", [-1, 256])
def test_a_unit_is_one_byte(unit: int) -> None:
    with pytest.raises(ValueError, match="unit"):
        tcp_ask(unit, 3, 0, 1)


def test_an_ask_names_itself() -> None:
    assert str(ASK) == "read holding registers (function 3), address 100 (0x0064), count 2, unit 5"

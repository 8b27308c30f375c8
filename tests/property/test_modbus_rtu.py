"""RTU against noise: only a frame that fits its request in every field is ever found; what is right is found."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.modbus.pdu import BIT_FUNCTIONS
from drivers.modbus.rtu import RtuAsk

ASKS = st.builds(
    RtuAsk, st.integers(1, 247), st.sampled_from([1, 2, 3, 4]), st.integers(0, 60_000), st.integers(1, 125)
)
NOISE = st.binary(max_size=40)


def _crc(body: bytes) -> bytes:
    """Return the check bytes bit by bit, written without the driver's table."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            carry = crc & 1
            crc >>= 1
            if carry:
                crc ^= 0xA001
    return bytes((crc & 0xFF, crc >> 8))


def _framed(body: bytes) -> bytes:
    return body + _crc(body)


def _size(ask: RtuAsk) -> int:
    return (ask.count + 7) // 8 if ask.function in BIT_FUNCTIONS else 2 * ask.count


def _answer(ask: RtuAsk, fill: int) -> bytes:
    size = _size(ask)
    return _framed(bytes((ask.unit, ask.function, size)) + bytes((fill + n) & 0xFF for n in range(size)))


def _fits(ask: RtuAsk, frame: bytes) -> bool:
    if frame[-2:] != _crc(frame[:-2]) or frame[0] != ask.unit:
        return False
    if len(frame) == 5 and frame[1] == ask.function | 0x80:
        return True
    return frame[1] == ask.function and frame[2] == _size(ask) and len(frame) == 5 + _size(ask)


@given(ASKS, st.binary(max_size=600))
def test_nothing_is_found_that_does_not_fit(ask: RtuAsk, received: bytes) -> None:
    found = ask.find(received)
    if found is not None:
        assert _fits(ask, received[found.start : found.end])


@given(ASKS, NOISE, NOISE, st.integers(0, 255))
def test_the_answer_is_found_in_noise(ask: RtuAsk, before: bytes, after: bytes, fill: int) -> None:
    answer = _answer(ask, fill)
    received = before + answer + after
    found = ask.find(received)
    assert found is not None
    assert _fits(ask, received[found.start : found.end])
    assert received[found.start : found.end] == answer or found.start < len(before)


@given(ASKS, st.integers(0, 255), st.data())
def test_one_wrong_bit_and_it_is_not_found(ask: RtuAsk, fill: int, data: st.DataObject) -> None:
    answer = bytearray(_answer(ask, fill))
    answer[data.draw(st.integers(0, len(answer) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert ask.find(bytes(answer)) is None


@given(ASKS, st.integers(0, 255))
def test_nothing_less_than_the_whole_is_found(ask: RtuAsk, fill: int) -> None:
    answer = _answer(ask, fill)
    assert all(ask.find(answer[:size]) is None for size in range(len(answer)))


@given(ASKS, ASKS, st.integers(0, 255))
def test_an_answer_to_another_form_of_request_is_not_found(ask: RtuAsk, other: RtuAsk, fill: int) -> None:
    assume((ask.unit, ask.signature) != (other.unit, other.signature))
    assert ask.find(_answer(other, fill)) is None


@given(ASKS, st.integers(0, 255))
def test_a_frame_quoted_in_another_meters_is_not_found(ask: RtuAsk, fill: int) -> None:
    quoted = _answer(ask, fill)
    assume(len(quoted) <= 240)
    other = 248 - ask.unit if ask.unit != 124 else 1
    frame = _framed(bytes((other, 3, len(quoted) + 2)) + b"\0\0" + quoted)
    assert ask.find(frame) is None
    found = ask.find(frame + quoted)
    assert found is not None
    assert found.start == len(frame)


@given(ASKS, st.integers(0, 255))
def test_its_own_echo_is_skipped(ask: RtuAsk, fill: int) -> None:
    assert ask.find(ask.request) is None
    found = ask.find(ask.request + _answer(ask, fill))
    assert found is not None
    assert found.start == len(ask.request)

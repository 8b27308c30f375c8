"""Framing against noise: only a frame that fits its request in every field is ever taken for its answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.framing import FRAME_SIZE_MAX, Ask, Frame, Unsynchronised, check, cut_tcp, tcp_ask
from drivers.modbus.pdu import BIT_FUNCTIONS, ExceptionAnswer, Mismatch, payload_size

FUNCTIONS = st.sampled_from([1, 2, 3, 4])
ASKS = st.builds(
    lambda unit, function, address, count: tcp_ask(unit, function, address, count),
    st.integers(0, 255),
    FUNCTIONS,
    st.integers(0, 65000),
    st.integers(1, 125),
)


def _answer(transaction: int, ask: Ask, payload: bytes) -> bytes:
    """Return a right answer, written without the driver's prefix."""
    pdu = bytes((ask.function, len(payload))) + payload
    return (
        transaction.to_bytes(2, "big")
        + b"\0\0"
        + (1 + len(pdu)).to_bytes(2, "big")
        + bytes((ask.unit,))
        + pdu
    )


def _size(ask: Ask) -> int:
    return (ask.count + 7) // 8 if ask.function in BIT_FUNCTIONS else 2 * ask.count


def _cut_all(buffer: bytes) -> list[tuple[int, Frame]]:
    """Return every frame of a buffer with its start, until the end or the first that cannot be."""
    frames: list[tuple[int, Frame]] = []
    start = 0
    while True:
        try:
            frame = cut_tcp(buffer, start, len(buffer))
        except Unsynchronised:
            return frames
        if frame is None:
            return frames
        assert start < frame.end <= min(len(buffer), start + FRAME_SIZE_MAX)
        frames.append((start, frame))
        start = frame.end


def _accepted(frame: Frame, transaction: int, ask: Ask) -> bytes | None:
    """Return what the driver would take as values."""
    if frame.transaction != transaction:
        return None
    try:
        return check(frame, ask)
    except (ExceptionAnswer, Mismatch):
        return None


def _assert_honest(buffer: bytes, transaction: int, ask: Ask) -> None:
    for start, frame in _cut_all(buffer):
        payload = _accepted(frame, transaction, ask)
        if payload is not None:
            assert len(payload) == payload_size(ask.function, ask.count) == _size(ask)
            assert buffer[start : frame.end] == _answer(transaction, ask, payload)


@given(st.binary(max_size=600), st.integers(1, 65535), ASKS)
def test_noise(buffer: bytes, transaction: int, ask: Ask) -> None:
    _assert_honest(buffer, transaction, ask)


@given(st.integers(0, 1), st.binary(max_size=12), ASKS)
def test_noise_behind_a_likely_header(transaction: int, rest: bytes, ask: Ask) -> None:
    buffer = transaction.to_bytes(2, "big") + b"\0\0\0" + rest
    _assert_honest(buffer, transaction, ask)


@given(ASKS, st.integers(1, 65535), st.data())
def test_right_answers_are_taken(ask: Ask, transaction: int, draw: st.DataObject) -> None:
    payload = draw.draw(st.binary(min_size=_size(ask), max_size=_size(ask)))
    buffer = _answer(transaction, ask, payload)
    assert buffer[2 : len(buffer) - len(payload)] == ask.answer_prefix
    assert len(buffer) == ask.answer_size
    ((_, frame),) = _cut_all(buffer)
    assert _accepted(frame, transaction, ask) == payload


@given(ASKS, st.integers(1, 65535), st.data())
def test_mutated_answers(ask: Ask, transaction: int, draw: st.DataObject) -> None:
    size = _size(ask)
    buffer = bytearray(_answer(transaction, ask, draw.draw(st.binary(min_size=size, max_size=size))))
    for _ in range(draw.draw(st.integers(1, 3))):
        # Most mutations hit the header: that is where a mistake would cost a wrong value.
        limit = min(9, len(buffer)) if draw.draw(st.integers(0, 3)) else len(buffer)
        place = draw.draw(st.integers(0, max(0, limit - 1)))
        kind = draw.draw(st.sampled_from(["set", "insert", "delete"]))
        if kind == "set" and place < len(buffer):
            buffer[place] = draw.draw(st.integers(0, 255))
        elif kind == "insert":
            buffer.insert(place, draw.draw(st.integers(0, 255)))
        elif place < len(buffer):
            del buffer[place]
    _assert_honest(bytes(buffer), transaction, ask)


@given(ASKS, ASKS, st.integers(1, 65535))
def test_an_answer_to_another_request_is_refused(ask: Ask, other: Ask, transaction: int) -> None:
    buffer = _answer(transaction, other, bytes(_size(other)))
    ((_, frame),) = _cut_all(buffer)
    same = (ask.unit, ask.function, _size(ask)) == (other.unit, other.function, _size(other))
    assert (_accepted(frame, transaction, ask) is not None) == same

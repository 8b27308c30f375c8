"""Doubt against a meter that answers in order, but as late as it likes: no answer is ever taken for another's."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.lines.doubt import Doubts
from drivers.modbus.rtu import RtuAsk, crc16

LATE_MAX_S = 10.0


class _Reply(NamedTuple):
    number: int  # of the request it answers
    frame: bytes


def _frame(ask: RtuAsk, number: int, refused: bool) -> bytes:
    """Return an answer that tells its request: each of its registers holds the request's number."""
    if refused:
        body = bytes((ask.unit, ask.function | 0x80, 2))
    else:
        body = bytes((ask.unit, ask.function, 2 * ask.count)) + number.to_bytes(2) * ask.count
    return body + crc16(body)


ASKS = st.builds(RtuAsk, st.integers(1, 2), st.sampled_from([3, 4]), st.just(0), st.integers(1, 3))
STEPS = st.lists(
    st.tuples(
        ASKS,
        st.booleans(),  # refused
        st.integers(0, 3),  # how many of the meter's waiting replies come before the time is up
        st.integers(0, 2),  # and how many after it
        st.floats(0.0, 4.0),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_no_answer_is_taken_for_another(steps: list[tuple[RtuAsk, bool, int, int, float]]) -> None:
    doubts = Doubts(LATE_MAX_S)
    meters: dict[object, deque[tuple[float, _Reply]]] = {}
    now_s = 0.0
    for number, (ask, refused, early, late, pause_s) in enumerate(steps):
        now_s += pause_s
        waiting = meters.setdefault(ask.meter, deque())
        while waiting and waiting[0][0] + LATE_MAX_S <= now_s:
            waiting.popleft()  # a meter does not answer later than that
        if doubts.rest_s(ask, now_s) > 0:
            continue
        waiting.append((now_s, _Reply(number, _frame(ask, number, refused))))
        answered = False
        for _ in range(min(early, len(waiting))):
            _, reply = waiting.popleft()
            found = ask.find(reply.frame)
            if found is None:
                doubts.came(reply.frame, now_s)
            elif doubts.believe(ask, found, reply.frame, now_s):
                assert reply.number == number
                answered = True
        if not answered:
            doubts.give_up(ask, now_s)
        for _ in range(min(late, len(waiting))):
            doubts.came(waiting.popleft()[1].frame, now_s)

"""What a hostile or babbling peer costs on a line: bounded work, and the next request is answered as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drivers.frames
from drivers.dlt645.frame import AddressAsk
from drivers.dlt645.frame import Ask as DltAsk
from drivers.failures import NoAnswer
from drivers.frames import dlt645_head
from drivers.lines.waiting import HEARD_MAX, LOOKS_MAX, UNBELIEVED_MAX
from drivers.modbus import rtu
from drivers.modbus.rtu import WORK_MAX, RtuAsk, crc16, is_whole
from tests.unit.lines.fake_port import own
from tests.unit.lines.test_line import TIMEOUT_S, gives_up, lined, values

if TYPE_CHECKING:
    from collections.abc import Callable

FIFTY, SIXTY, HUNDRED = (RtuAsk(3, 3, 0, count) for count in (50, 60, 100))
DECOY = bytes((3, 3, 200))
REFUSAL = bytes((3, 0x83, 2)) + crc16(bytes((3, 0x83, 2)))


def counting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return what tells how many bytes were put to the CRC test so far."""
    tested = [0]

    def whole(frame: bytes) -> bool:
        tested[0] += len(frame)
        return is_whole(frame)

    monkeypatch.setattr(rtu, "is_whole", whole)
    return lambda: tested[0]


@given(st.binary(max_size=270), st.integers(0), st.integers(0))
def test_the_quick_crc_test_agrees_with_the_table(body: bytes, flip: int, other: int) -> None:
    frame = bytearray(body + crc16(body))
    assert is_whole(bytes(frame)) == (len(body) > 0)
    for bit in (flip, other):
        frame[bit // 8 % len(frame)] ^= 1 << bit % 8
        expected = len(body) > 0 and crc16(bytes(frame[:-2])) == bytes(frame[-2:])
        assert is_whole(bytes(frame)) == expected


async def test_refusals_that_are_not_believed_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = counting(monkeypatch)
    async with lined() as (port, line):
        await gives_up(port, line, FIFTY)  # from now on a refusal could be a late one
        port.script = lambda _: [REFUSAL * 200 + DECOY * 349 + b"\0\0\0"] * 40
        with pytest.raises(NoAnswer, match="no answer"):
            await line.ask(HUNDRED, TIMEOUT_S)
        assert 0 < tested() <= (UNBELIEVED_MAX + 8) * WORK_MAX
        port.script = own
        assert await values(line, SIXTY, 1.0) == own(SIXTY.request)[3:-2]


async def test_beginnings_of_answers_cost_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = counting(monkeypatch)
    async with lined() as (port, line):
        port.script = lambda _: [DECOY * 680, *[b"\3"] * LOOKS_MAX]
        with pytest.raises(NoAnswer, match="babbles") as caught:
            await line.ask(HUNDRED, 2.0)
        assert 0 < tested() <= (LOOKS_MAX + 4) * WORK_MAX
        assert caught.value.discarded == 1  # counts against the meter as garbage does
        port.script = own
        assert await values(line, FIFTY, 1.0) == own(FIFTY.request)[3:-2]


async def test_a_babbling_peer_is_not_listened_to_for_ever() -> None:
    async with lined() as (port, line):
        port.script = lambda r: [*[bytes(2048)] * (HEARD_MAX // 2048 + 1), own(r)]
        with pytest.raises(NoAnswer, match="babbles"):
            await line.ask(HUNDRED, TIMEOUT_S)
        assert line.stats.discarded["noise"] == 1


def test_an_answer_quoted_in_more_than_can_be_judged_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = counting(monkeypatch)
    assert HUNDRED.find(DECOY * 500 + own(HUNDRED.request)) is None
    assert HUNDRED.find(bytes((9, 3, 255)) * 600 + own(HUNDRED.request)) is None
    assert 0 < tested() <= 2 * WORK_MAX


@pytest.mark.parametrize("ask", [DltAsk("686868686868", 0, 4), AddressAsk()])
def test_finds_by_sums_are_bounded_too(ask: DltAsk, monkeypatch: pytest.MonkeyPatch) -> None:
    summed = [0]

    def slow_sum(piece: bytes) -> int:
        summed[0] += len(piece)
        return sum(piece)

    monkeypatch.setattr(drivers.frames, "sum", slow_sum, raising=False)
    for raw in (b"\x68" * 2048, (dlt645_head("686868686868") + b"\x93\x06" + b"\x16" * 20) * 70):
        assert ask.find(raw) is None
        assert ask.why(raw)[0] in {"crc", "noise"}
    assert 0 < summed[0] < 32 * 300 * 8

"""When a line may speak, under virtual time: the lawful silence from the last byte of either direction, whatever happened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from drivers.cjt188.frame import Ask as CjtAsk
from drivers.dlt645.frame import Ask as DltAsk
from drivers.failures import NoAnswer
from drivers.identifiers import CjtSettings
from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.timing import Timing
from drivers.modbus.rtu import RtuAsk
from gateway.errors import LinkDown
from simulators.virtual import VirtualClock, run
from tests.unit.lines.fake_port import FakePort, own

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from drivers.lines.contract import LineAsk

TIMING = Timing(9600)
SILENCE_S, CHARACTER_S = TIMING.silence_s, TIMING.character_s
ONE, TWO = RtuAsk(1, 3, 7, 1), RtuAsk(1, 3, 100, 2)
OTHER_METER = RtuAsk(2, 3, 5, 2)
TIMEOUT_S = 0.2
DELAY_S = 0.02  # from the end of a request to an answer
DUST_S = 2e-6  # virtual time counts whole microseconds


class LateClock(VirtualClock):
    """A clock that a test may put forward: what happens while the process has no CPU."""

    stopped_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.stopped_s

    async def sleep_until(self, monotonic_s: float) -> None:
        await super().sleep_until(monotonic_s - self.stopped_s)


class TimedPort(FakePort):
    """A port that notes when each byte was on the line, and may hold bytes back that the loop has not read yet.

    ends_s: of each byte that came; begins_s: of each request. held: read only when the port is looked at.
    """

    def __init__(self, clock: VirtualClock, script: Callable[[bytes], bytes | None] = own) -> None:
        super().__init__(script)
        self.clock, self.held = clock, b""
        self.ends_s: list[float] = []
        self.begins_s: list[float] = []

    def write(self, data: bytes) -> None:
        self.check()
        self.begins_s.append(self.clock.monotonic())
        self.requests.append(data)
        self.asked.set()
        answer = self.script(data)
        assert not isinstance(answer, list)
        if answer:
            asyncio.get_running_loop().call_later(TIMING.wire_s(len(data)) + DELAY_S, self.come, answer)

    def check(self) -> None:
        super().check()
        held, self.held = self.held, b""
        if held:
            self._on_bytes(held)

    def come(self, raw: bytes) -> None:
        self.ends_s.append(self.clock.monotonic())
        super().come(raw)

    def hold(self, raw: bytes) -> None:
        """Let bytes come now; the loop is busy elsewhere and does not read them."""
        self.ends_s.append(self.clock.monotonic())
        self.held += raw


def on_a_line(
    work: Callable[[TimedPort, HalfDuplexLine], Coroutine[None, None, None]], *, turnaround_s: float = 0.0
) -> TimedPort:
    """Return the port after `work`."""

    async def lined() -> TimedPort:
        clock = LateClock(0)
        port = TimedPort(clock)
        line = HalfDuplexLine(port, LineSettings(TIMING, turnaround_s=turnaround_s), clock, "hall-1")
        await line.open()
        await work(port, line)
        assert line.stats.gap_violations == 0
        await line.close()
        return port

    return run(lined())


async def in_vain(line: HalfDuplexLine, ask: LineAsk, timeout_s: float = TIMEOUT_S) -> None:
    with pytest.raises(NoAnswer):
        await line.ask(ask, timeout_s)


def test_bytes_the_loop_has_not_read_yet_begin_the_silence_anew() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        await line.ask(ONE, TIMEOUT_S)
        asyncio.get_running_loop().call_later(0.9 * SILENCE_S, port.hold, b"\x55\x55")
        await line.ask(TWO, TIMEOUT_S)
        assert line.stats.discarded["stale"] == 1

    port = on_a_line(work)
    assert port.begins_s[1] - port.ends_s[1] >= SILENCE_S - DUST_S


def test_bytes_that_were_waiting_when_a_poll_begins_begin_the_silence_anew() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        await line.ask(ONE, TIMEOUT_S)
        await asyncio.sleep(1)
        port.hold(b"\x55")
        await line.ask(TWO, TIMEOUT_S)

    port = on_a_line(work)
    assert port.begins_s[1] - port.ends_s[1] == pytest.approx(SILENCE_S, abs=DUST_S)


def test_an_answer_that_came_in_time_and_was_not_read_in_time_is_taken() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        port.script = lambda _: None
        asking = asyncio.ensure_future(line.ask(TWO, TIMEOUT_S))
        await port.asked.wait()
        asyncio.get_running_loop().call_later(0.1, port.hold, own(TWO.request))
        _, frame = await asking
        assert frame == own(TWO.request)
        assert line.stats.timeouts == 0
        port.script = own
        await line.ask(ONE, TIMEOUT_S)

    port = on_a_line(work)
    assert port.begins_s[1] - port.ends_s[0] >= SILENCE_S - DUST_S


def test_part_of_an_answer_that_was_not_read_in_time_is_waited_for() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        port.script = lambda _: None
        answer = own(TWO.request)
        asking = asyncio.ensure_future(line.ask(TWO, TIMEOUT_S))
        await port.asked.wait()
        loop = asyncio.get_running_loop()
        loop.call_later(TIMING.wire_s(8) + TIMEOUT_S + 0.028, port.hold, answer[:5])
        loop.call_later(TIMING.wire_s(8) + TIMEOUT_S + 0.035, port.come, answer[5:])
        assert (await asking)[1] == answer

    on_a_line(work)


def test_after_part_of_an_answer_silence_counts_from_its_last_byte() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        port.script = lambda r: own(r)[:5]
        await in_vain(line, TWO)
        port.script = own
        port.come(own(TWO.request)[5:])
        await line.ask(OTHER_METER, TIMEOUT_S)

    port = on_a_line(work)
    assert port.begins_s[1] - port.ends_s[1] == pytest.approx(SILENCE_S, abs=DUST_S)


def test_bytes_behind_an_answer_begin_the_silence_anew() -> None:
    """An answer is cut by its expected length; what still comes belongs to nobody, but it is on the line."""

    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        await line.ask(ONE, TIMEOUT_S)
        loop = asyncio.get_running_loop()
        for n in range(5):
            loop.call_later((n + 1) * 2 * CHARACTER_S, port.come, b"\xff")
        await line.ask(TWO, TIMEOUT_S)

    port = on_a_line(work)
    assert port.begins_s[1] - port.ends_s[5] == pytest.approx(SILENCE_S, abs=DUST_S)


def test_flushing_old_bytes_does_not_make_them_recent() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        await line.ask(ONE, TIMEOUT_S)
        port.come(b"\x55")
        await asyncio.sleep(1)
        before_s = port.clock.monotonic()
        await line.ask(TWO, TIMEOUT_S)
        assert port.begins_s[1] == before_s

    on_a_line(work)


def test_reopening_does_not_cut_short_what_is_still_being_sent() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        port.script = lambda _: None
        asking = asyncio.ensure_future(line.ask(TWO, TIMEOUT_S))
        await port.asked.wait()
        await line.open()
        with pytest.raises(LinkDown):
            await asking
        port.script = own
        await line.ask(OTHER_METER, TIMEOUT_S)

    port = on_a_line(work)
    assert port.begins_s[1] - port.begins_s[0] >= TIMING.wire_s(8) + SILENCE_S - DUST_S


def test_after_opening_the_line_is_silent_first() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        await asyncio.sleep(1)
        await line.open()
        await line.ask(ONE, TIMEOUT_S)

    assert on_a_line(work).begins_s == [pytest.approx(1 + SILENCE_S, abs=DUST_S)]


def test_nothing_is_sent_into_the_answer_of_a_request_that_was_cancelled() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        asking = asyncio.ensure_future(line.ask(ONE, TIMEOUT_S))
        await port.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await line.ask(OTHER_METER, TIMEOUT_S)
        assert line.stats.discarded["late"] == 1

    port = on_a_line(work)
    assert port.begins_s[1] - port.ends_s[0] >= SILENCE_S - DUST_S


def test_a_process_stopped_while_it_writes_counts_silence_from_the_later_moment() -> None:
    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        def stopped(request: bytes) -> None:
            assert isinstance(port.clock, LateClock)
            port.clock.stopped_s += 0.5
            port.begins_s[-1] = port.clock.monotonic()
            port.script = lambda _: None

        port.script = stopped
        asking = asyncio.ensure_future(line.ask(ONE, TIMEOUT_S))
        await port.asked.wait()
        await line.close()
        with pytest.raises(LinkDown):
            await asking
        await line.open()
        await in_vain(line, OTHER_METER)

    port = on_a_line(work)
    assert port.begins_s[1] - port.begins_s[0] >= TIMING.wire_s(8) + SILENCE_S - DUST_S


@pytest.mark.parametrize("turnaround_s", [0.0, 0.05])
def test_silence_and_turnaround_lie_between_protocols(turnaround_s: float) -> None:
    """A DL/T 645 or CJ/T 188 request is longer by its wake-up bytes; they are on the line too."""
    asks: list[LineAsk] = [
        ONE,
        DltAsk("000012345678", 0x00010000, 4),
        CjtAsk("00000012345678", 0x901F, 0, CjtSettings(0x10, (22,))),
        OTHER_METER,
    ]

    async def work(port: TimedPort, line: HalfDuplexLine) -> None:
        port.script = lambda _: None
        for ask in asks:
            await in_vain(line, ask)
            port.come(b"\x55")
        assert port.requests == [ask.request for ask in asks]
        sizes = sum(len(ask.request) for ask in asks) + len(asks)
        assert line.stats.wire_s == pytest.approx(TIMING.wire_s(sizes))

    port = on_a_line(work, turnaround_s=turnaround_s)
    pauses_s = [begin_s - end_s for begin_s, end_s in zip(port.begins_s[1:], port.ends_s[:-1], strict=True)]
    assert pauses_s == pytest.approx([SILENCE_S + turnaround_s] * 3, abs=DUST_S)

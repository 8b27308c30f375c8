"""What plants do to a Modbus connection or line, one test for each requirement; each fails without the behaviour.

Real sockets and pseudo terminals, the real drivers; the meter at the other end does as it is told.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from gateway.model import Flag
from tests.contract.scripted import KINDS, LINES, NAME, LaterClock, RtuRequest, scripted
from tests.unit.modbus.hostile import Request
from tests.unit.modbus.polls import holding, make_poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.interfaces import Link, Poll

GONE = Flag.MISSING | Flag.DEVICE
LOST = Flag.MISSING | Flag.COMMS
DAY_S = 86_400.0
TOGETHER = [holding(0), holding(1), holding(2), holding(10)]
NOISE = bytes.fromhex("00 ff 55")


async def values(link: Link, poll: Poll) -> list[int]:
    """Return what a poll of single registers brought."""
    (sample,) = await link.read(poll)
    assert not any(sample.flags)
    return [int.from_bytes(sample.raw[i : i + 2]) for i in range(0, len(sample.raw), 2)]


async def failed(link: Link, poll: Poll) -> DeviceError:
    """Return the error of a poll that brings nothing."""
    with pytest.raises(DeviceError) as caught:
        await link.read(poll)
    return caught.value


@dataclass
class Took:
    """How long something took."""

    s: float = 0.0

    def __enter__(self) -> Took:
        self.s = -SystemClock().monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.s += SystemClock().monotonic()


@pytest.mark.parametrize("kind", LINES)
async def test_r02_a_line_rests_when_the_meter_changes(kind: str) -> None:
    async with scripted(kind, turnaround_s=0.15) as (bus, link):
        for unit in (1, 1, 2, 2, 1):
            await link.read(make_poll([holding(5)], unit=unit, timeout_s=1))
        at_s = [time_s for time_s, _ in bus.asked]
        rests = [after - before for before, after in pairwise(at_s)]
        assert [rest >= 0.15 for rest in rests] == [False, True, False, True]


@pytest.mark.parametrize("kind", KINDS)
async def test_r02_a_converter_may_need_a_moment_after_the_connection(kind: str) -> None:
    async with scripted(kind, connect_pause_s=0.3) as (bus, link):
        poll = make_poll([holding(5)], timeout_s=1)
        await link.close()
        for _ in range(2):
            with Took() as took:
                await link.open()
                assert await values(link, poll) == [5]
            assert 0.3 <= took.s < 2, "at every opening, not at the first only"
        with Took() as took:
            assert await values(link, poll) == [5]
        assert took.s < 0.3, "and not before other requests"
        assert len(bus.asked) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_r04_an_illegal_address_disables_its_channel_only(kind: str) -> None:
    missing = {1}

    def script(request: Request) -> bytes:
        asked = range(request.address, request.address + request.count)
        return request.refuse(2) if missing & set(asked) else request.own()

    clock, told = LaterClock(), list[tuple[str, object, str]]()
    async with scripted(kind, script, clock=clock) as (bus, link):
        link.notice = lambda event, _, /, **detail: told.append(
            (event, detail["channels"], str(detail["where"]))
        )
        poll = make_poll(TOGETHER, timeout_s=1)
        for _ in range(3):
            (sample,) = await link.read(poll)
            assert list(sample.flags) == [Flag.OK, GONE, Flag.OK, Flag.OK]
            assert sample.raw == bytes.fromhex("0000 0000 0002 000A"), "nothing invented, nothing lost"
        assert bus.addresses() == [0, 10, 0, 1, 2, 10, *[0, 2, 10] * 2], "the block is cut once, then left so"
        clock.ahead_s += DAY_S + 1
        await link.read(poll)
        assert bus.addresses() == [0, 1, 2, 10], "tried again the next day"
        await link.read(poll)
        assert bus.addresses() == [0, 2, 10], "and left alone for another one"
        ((event, channels, where),) = told
        assert (event, channels) == ("channel_absent", ["ch_1"])
        assert "address 1 " in where
        missing.clear()
        clock.ahead_s += DAY_S + 1
        assert await values(link, poll) == [0, 1, 2, 10]
        assert [(event, channels) for event, channels, _ in told[1:]] == [("channel_found", ["ch_1"])]


def _foreign(raw: Request) -> list[bytes]:
    """Return what a line may carry beside an answer: of other meters, of other masters, of nobody."""
    other = RtuRequest(bytes((9, 3, 0, 5, 0, 2, 0, 0)))
    broadcast = RtuRequest(bytes((0, 6, 0, 1, 0, 2, 0, 0)))
    short = other.own()
    return [NOISE, short, other.refuse(11), broadcast.answer(1), raw.own()[:4], raw.answer(7, 7, crc=1)]


@pytest.mark.parametrize("kind", LINES)
async def test_r16_foreign_frames_and_noise_cost_nothing(kind: str) -> None:
    around = list[bytes]()
    async with scripted(kind, lambda r: b"".join(around) + r.own()) as (bus, link):
        poll = make_poll([holding(100), holding(101)], timeout_s=1)
        assert await values(link, poll) == [100, 101]
        for foreign in _foreign(bus.asked[0][1]):
            around[:] = [foreign]
            assert await values(link, poll) == [100, 101], foreign.hex()
        around[:] = _foreign(bus.asked[0][1])
        assert await values(link, poll) == [100, 101]
        assert link.figures()["timeouts"] == 0


@pytest.mark.parametrize("kind", LINES)
async def test_r16_stale_bytes_are_flushed_before_each_request(kind: str) -> None:
    """A whole right frame that nobody asked for lies in the buffer: it is no answer to what is asked now."""
    async with scripted(kind) as (bus, link):
        poll = make_poll([holding(100), holding(101)], timeout_s=0.05)
        assert await values(link, poll) == [100, 101]
        bus.send(bus.asked[0][1].answer(6, 6))
        await asyncio.sleep(0.05)  # the frame arrives
        assert link.figures()["bytes_received"] == 18
        bus.script = lambda _: None
        assert (await failed(link, poll)).reason == "timeout"
        assert link.figures()["discarded"] == {"stale": 1}


@pytest.mark.parametrize("kind", KINDS)
async def test_r17_a_dead_meter_costs_little_once_its_pace_is_known(kind: str) -> None:
    async with scripted(kind, timeout_min_s=0.05) as (bus, link):
        poll, never = make_poll([holding(5)], timeout_s=1.5), make_poll([holding(5)], unit=2, timeout_s=0.3)
        for _ in range(8):
            await link.read(poll)
        bus.script = lambda _: None
        with Took() as took:
            assert (await failed(link, poll)).reason == "timeout"
        assert 0.05 <= took.s < 0.75, "its answers took milliseconds; never less than the lower bound"
        with Took() as took:
            await failed(link, never)
        assert 0.3 <= took.s < 1, "of an unknown one, and after a silence, the configured time"


@pytest.mark.parametrize("kind", KINDS)
async def test_r17_a_slow_meter_with_jitter_is_not_lost(kind: str) -> None:
    """A radio link: answers take 20 to 120 ms, in no order."""
    delays_ms = iter([110, 30, 90, 20, 120, 40, 70, 110, 30, 100])
    async with scripted(kind, lambda _: None, timeout_min_s=0.01) as (bus, link):

        def late(request: Request) -> None:
            bus.later(next(delays_ms) / 1000, request.own())

        bus.script = late
        poll = make_poll([holding(5)], timeout_s=1.0)
        for _ in range(10):
            assert await values(link, poll) == [5]
        assert link.figures()["timeouts"] == 0
        delays_ms = iter([500])  # far beyond all others
        with suppress(DeviceError):
            await link.read(poll)
        await asyncio.sleep(0.6)  # whatever was on its way has come
        delays_ms = iter([150])
        assert await values(link, poll) == [5], "after a silence it gets the configured time again"


WRONG: dict[str, Callable[[Request], bytes]] = {
    "unit": lambda r: r.answer(7, unit=r.unit + 1),
    "function": lambda r: r.answer(7, function=4),
    "length": lambda r: r.answer(7, 7),
    "byte count": lambda r: r.answer(7, byte_count=4),
}
WRONG_TCP = {
    "transaction": lambda r: r.answer(7, transaction=r.transaction + 1),
    "protocol": lambda r: r.answer(7, protocol=1),
} | WRONG
WRONG_RTU = {"check bytes": lambda r: r.answer(7, crc=1)} | WRONG


@pytest.mark.parametrize(
    ("kind", "what"), [(kind, what) for kind in KINDS for what in (WRONG_TCP if kind == "tcp" else WRONG_RTU)]
)
async def test_r33_an_answer_must_fit_in_everything(kind: str, what: str) -> None:
    async with scripted(kind, (WRONG_TCP | WRONG_RTU)[what]) as (bus, link):
        with pytest.raises((DeviceError, LinkDown)):  # the latter where nobody knows where a frame begins
            await link.read(make_poll([holding(100)], timeout_s=0.08))
        await link.close()
        await link.open()
        bus.script = Request.own
        assert await values(link, make_poll([holding(100)], timeout_s=1)) == [100]


@pytest.mark.parametrize("count", [1, 2], ids=["same form", "other form"])
@pytest.mark.parametrize("kind", KINDS)
async def test_r33_a_late_answer_is_never_taken_for_the_next(kind: str, count: int) -> None:
    """The answer to one request comes while the next one waits, before the next one's own."""
    async with scripted(kind, lambda _: None) as (bus, link):
        first = make_poll([holding(100)], timeout_s=0.05)
        await failed(link, first)
        late = [bus.asked[0][1].own()]
        bus.script = lambda request: (late.pop() if late else b"") + request.own()
        sources = [holding(200 + i) for i in range(count)]
        with suppress(DeviceError):  # not asked at all would be lawful, a wrong value is not
            assert await values(link, make_poll(sources, timeout_s=0.3)) == [200, 201][:count]
        bus.script = Request.own
        assert await values(link, make_poll(sources, timeout_s=0.3)) == [200, 201][:count]
        assert link.figures()["discarded"] == {"late": 1}


@pytest.mark.parametrize("code", [10, 11])
@pytest.mark.parametrize("kind", KINDS)
async def test_r31_a_gateways_word_means_the_meter_is_offline_not_the_link(kind: str, code: int) -> None:
    async with scripted(kind, lambda r: r.refuse(code) if r.unit == 2 else r.own()) as (bus, link):
        offline = make_poll(TOGETHER, unit=2, timeout_s=1)
        for _ in range(2):
            error = await failed(link, offline)
            assert error.code == code
            assert await values(link, make_poll([holding(5)], timeout_s=1)) == [5], "on the same connection"
        assert [request.unit for _, request in bus.asked] == [2, 1, 2, 1], (
            "and the rest of its poll is not asked"
        )
        assert len(bus.opened_s) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_r32_an_error_names_everything_and_the_next_step(kind: str) -> None:
    async with scripted(kind, lambda _: None, timeout_min_s=0.01) as (bus, link):
        poll = make_poll([holding(100)], unit=17, timeout_s=0.05)
        text = str(await failed(link, poll))
        for part in (NAME, "m-1", "unit 17", "address 100 (0x0064)", "function 3", "no answer", "check"):
            assert part in text
    async with scripted(kind, lambda r: r.refuse(2)) as (bus, link):
        error = await failed(link, poll)
        for part in (NAME, "m-1", "unit 17", "address 100 (0x0064)", "exception 2", "illegal data address"):
            assert part in str(error)
    async with scripted(kind, lambda r: r.answer(7, unit=3)) as (bus, link):
        error = await failed(link, poll)
        assert error.reason == "garbage"
        assert error.raw == bus.asked[0][1].answer(7, unit=3), "the bytes themselves"
        for part in (NAME, "m-1", "unit 17", "unit 3", "check"):
            assert part in str(error)

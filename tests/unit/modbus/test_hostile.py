"""A server that lies: no wrong value, the right counter, the right error, and the link is usable afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from drivers.modbus.driver import ModbusTcpLink
from drivers.modbus.stream import STRAYS_MAX
from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from tests.unit.modbus.hostile import HostileServer, Request
from tests.unit.modbus.polls import holding, make_poll

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

POLL = make_poll([holding(100, 2)])
OTHER = make_poll([holding(200, 2)])
RIGHT = bytes.fromhex("0064 0065")
OTHER_RIGHT = bytes.fromhex("00C8 00C9")


@asynccontextmanager
async def linked(
    script: Callable[[Request], bytes | None] | None = None,
) -> AsyncIterator[tuple[HostileServer, ModbusTcpLink]]:
    async with HostileServer(script) as server:
        link = ModbusTcpLink("127.0.0.1", server.port, timeout_s=0.05, clock=SystemClock(), name="hall-1")
        await link.open()
        try:
            yield server, link
        finally:
            await link.close()


async def assert_usable(server: HostileServer, link: ModbusTcpLink, *, reopen: bool) -> None:
    """Read right values again, on the same connection unless it had to be given up."""
    server.script = Request.own
    if reopen:
        with pytest.raises(LinkDown):
            await link.read(POLL)
        await link.open()
    (sample,) = await link.read(OTHER)
    assert sample.raw == OTHER_RIGHT
    assert not any(sample.flags)
    (sample,) = await link.read(POLL)
    assert sample.raw == RIGHT
    assert server.connections == 1 + reopen


@pytest.mark.parametrize(
    ("script", "discarded"),
    [
        (lambda r: r.answer(1, 2, transaction=r.transaction ^ 1), "transaction"),
        (lambda r: r.answer(1, 2, transaction=0), "transaction"),
        (lambda r: r.answer(1, 2, unit=2), "unit"),
        (lambda r: r.answer(1, 2, unit=0), "unit"),
        (lambda r: r.answer(1, 2, function=4), "function"),
        (lambda r: r.answer(1, 2, function=0x2B), "function"),
        (lambda r: r.answer(1), "byte_count"),
        (lambda r: r.answer(), "byte_count"),
        (lambda r: r.answer(1, 2, 3), "byte_count"),
        (lambda r: Request(r.raw[:7] + b"\x04" + r.raw[8:]).refuse(2), "function"),
    ],
)
async def test_a_wrong_answer_is_discarded(script: Callable[[Request], bytes], discarded: str) -> None:
    async with linked(script) as (server, link):
        with pytest.raises(
            DeviceError, match=r"link hall-1, meter m-1: read holding registers .*address 100"
        ) as caught:
            await link.read(POLL)
        assert caught.value.reason == "garbage"
        assert dict(link.stats.discarded) == {discarded: 1}
        assert link.stats.answers == 0
        await assert_usable(server, link, reopen=False)


@pytest.mark.parametrize(
    ("script", "discarded"),
    [
        (lambda r: r.answer(1, 2, protocol=1), "protocol"),
        (lambda r: r.answer(1, 2, length=8), "length"),
        (lambda r: r.answer(1, 2, length=6), "length"),
        (lambda r: r.answer(1, 2, length=300), "length"),
        (lambda r: r.answer(1, 2, length=0xFFFF), "length"),
        (lambda r: r.answer(1, 2, length=2), "length"),
        (lambda r: r.answer(1, 2, length=0), "length"),
        (lambda r: r.answer(1, 2, byte_count=2), "length"),
        (lambda r: r.answer(1, 2, byte_count=255), "length"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (lambda _: bytes.fromhex("01 03 04 0001 0002 AA33"), "protocol"),  # RTU over TCP
        (lambda _: b"\xff" * 5000, "protocol"),
    ],
)
async def test_a_stream_that_cannot_be_cut_is_given_up(
    script: Callable[[Request], bytes], discarded: str
) -> None:
    async with linked(script) as (server, link):
        with pytest.raises(
            LinkDown, match=r"link hall-1.*cannot be told apart.*; check the port.*RTU over"
        ) as told:
            await link.read(POLL)
        assert "restarting" not in str(told.value)
        assert dict(link.stats.discarded) == {discarded: 1}
        assert link.stats.answers == 0
        await assert_usable(server, link, reopen=True)


async def test_a_silent_meter_costs_one_timeout() -> None:
    async with linked(lambda _: None) as (server, link):
        with pytest.raises(DeviceError, match=r"no answer within 0\.05 s.*check the meter's power") as caught:
            await link.read(POLL)
        assert caught.value.reason == "timeout"
        assert link.stats.timeouts == 1
        await assert_usable(server, link, reopen=False)


async def test_a_late_answer_is_not_the_answer_to_the_next_request() -> None:
    async with linked(lambda _: None) as (server, link):
        with pytest.raises(DeviceError):
            await link.read(POLL)
        late = server.requests[0]
        # Everything about it fits the next request but the transaction id.
        server.script = lambda r: late.answer(7, 7) + r.answer(100, 101)
        (sample,) = await link.read(POLL)
        assert sample.raw == RIGHT
        server.script = lambda _: late.answer(7, 7)
        with pytest.raises(DeviceError) as caught:
            await link.read(POLL)
        assert caught.value.reason == "timeout"
        assert dict(link.stats.discarded) == {"late": 2}
        await assert_usable(server, link, reopen=False)


async def test_a_late_answer_that_comes_while_nobody_waits() -> None:
    async with linked(lambda _: None) as (server, link):
        with pytest.raises(DeviceError):
            await link.read(POLL)
        server.send(server.requests[0].answer(7, 7)[:8])
        server.script = lambda r: server.requests[0].answer(7, 7)[8:] + r.own()
        (sample,) = await link.read(POLL)
        assert sample.raw == RIGHT
        assert dict(link.stats.discarded) == {"late": 1}


async def test_an_answer_in_single_bytes() -> None:
    async with linked(lambda _: None) as (server, link):
        reading = asyncio.create_task(link.read(POLL))
        for byte in (await server.asked()).own():
            server.send(bytes((byte,)))
            await asyncio.sleep(0)
        (sample,) = await reading
        assert sample.raw == RIGHT
        assert not link.stats.discarded


@pytest.mark.parametrize(
    "script",
    [
        lambda r: r.own() + r.answer(7, 7),
        lambda r: r.answer(7, 7, transaction=r.transaction + 1) + r.own(),
        lambda r: r.own() + r.answer(7, 7, transaction=r.transaction + 2),
    ],
    ids=["twice", "stray before", "stray behind"],
)
async def test_two_answers_in_one_segment(script: Callable[[Request], bytes]) -> None:
    async with linked(script) as (server, link):
        (sample,) = await link.read(POLL)
        assert sample.raw == RIGHT
        assert dict(link.stats.discarded) == {"transaction": 1}
        await assert_usable(server, link, reopen=False)


async def test_an_answer_begun_behind_another() -> None:
    """The next answer's first bytes come with the one before; the rest completes it."""
    async with linked() as (server, link):
        first = Request((1).to_bytes(2) + bytes.fromhex("0000 0006 01 03 0064 0002"))
        second = Request((2).to_bytes(2) + bytes.fromhex("0000 0006 01 03 00C8 0002"))
        server.script = lambda _: first.own() + second.own()[:6]
        (sample,) = await link.read(POLL)
        assert sample.raw == RIGHT
        server.script = lambda _: second.own()[6:]
        (sample,) = await link.read(OTHER)
        assert sample.raw == OTHER_RIGHT


async def test_a_connection_cut_inside_a_frame() -> None:
    async with linked() as (server, link):

        def cut(request: Request) -> None:
            server.send(request.own()[:10])
            server.cut()

        server.script = cut
        with pytest.raises(LinkDown, match=r"link hall-1.*closed by the peer; the meter may be restarting"):
            await link.read(POLL)
        assert link.stats.timeouts == 0
        await assert_usable(server, link, reopen=True)


async def test_an_answer_that_stops_costs_the_connection() -> None:
    """Nobody knows whether its rest still comes, so what follows could not be told apart."""
    async with linked(lambda r: r.own()[:-1]) as (server, link):
        with pytest.raises(DeviceError) as caught:
            await link.read(POLL)
        assert caught.value.reason == "timeout"
        assert dict(link.stats.discarded) == {"partial": 1}
        with pytest.raises(
            LinkDown, match=r"an answer stopped after 12 of its bytes; check the converter's baud"
        ):
            await link.read(POLL)
        await assert_usable(server, link, reopen=True)


async def test_a_flood_is_told_as_one() -> None:
    """What is cut short at its end is chance, so the text is about what came before."""
    async with linked(lambda r: r.answer(7, 7, transaction=r.transaction + 9) * 5 + b"\0") as (server, link):
        with pytest.raises(DeviceError):
            await link.read(POLL)
        with pytest.raises(LinkDown, match=r"5 answers to requests nobody made; check that host and port"):
            await link.read(POLL)
        await assert_usable(server, link, reopen=True)


async def test_transaction_ids_go_on_over_reconnects() -> None:
    """A serial gateway may send the late answer of an old connection into the new one."""
    async with linked() as (server, link):
        await link.read(POLL)
        await link.open()
        server.script = lambda r: server.requests[0].answer(7, 7) + r.own()
        (sample,) = await link.read(POLL)
        assert sample.raw == RIGHT
        assert [request.transaction for request in server.requests] == [1, 2]


async def test_transaction_ids_skip_zero() -> None:
    async with linked() as (server, link):
        stream = link._stream
        assert stream is not None
        stream.transaction = 0xFFFE
        await link.read(POLL)
        await link.read(POLL)
        assert [request.transaction for request in server.requests] == [0xFFFF, 1]


async def _received(link: ModbusTcpLink, n_bytes: int) -> None:
    """Return once the link has received so many bytes in all."""
    async with asyncio.timeout(1):
        while link.stats.bytes_received < n_bytes:  # noqa: ASYNC110 - counters set no event
            await asyncio.sleep(0)


async def test_the_answer_to_a_cancelled_read_is_counted() -> None:
    async with linked(lambda _: None) as (server, link):
        reading = asyncio.create_task(link.read(POLL))
        request = await server.asked()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        server.send(request.own())
        await _received(link, 13)
        assert dict(link.stats.discarded) == {"late": 1}
        assert link.stats.answers == 0


async def test_an_answer_said_twice_is_counted_once() -> None:
    async with linked(lambda _: None) as (server, link):
        reading = asyncio.create_task(link.read(POLL))
        request = await server.asked()
        server.send(request.own()[:5])  # in two pieces, so that it is not the fast path that takes it
        await _received(link, 5)
        server.send(request.own()[5:])
        await reading
        server.send(request.own())
        await _received(link, 26)
        assert dict(link.stats.discarded) == {"transaction": 1}
        assert link.stats.answers == 1


async def test_a_cancelled_read_leaves_nothing_behind() -> None:
    async with linked(lambda _: None) as (server, link):
        reading = asyncio.create_task(link.read(POLL))
        request = await server.asked()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        server.script = lambda r: request.answer(7, 7) + r.own()
        (sample,) = await link.read(POLL)
        assert sample.raw == RIGHT
        assert dict(link.stats.discarded) == {"late": 1}


async def test_a_peer_that_takes_nothing_is_given_up() -> None:
    async with linked() as (server, link):
        stream = link._stream
        assert stream is not None
        stream.pause_writing()  # what asyncio says once 4 KiB of requests lie unsent
        with pytest.raises(LinkDown, match="has not taken"):
            await link.read(POLL)
        await assert_usable(server, link, reopen=True)


async def test_a_flood_of_whole_frames_nobody_asked_for_ends_the_connection() -> None:
    async with linked() as (server, link):
        server.script = lambda r: r.answer(1, 2, transaction=0) * STRAYS_MAX + r.own()  # as many as may be
        assert (await link.read(POLL))[0].raw == RIGHT
        server.script = lambda r: r.answer(1, 2, transaction=0) * 2000 + r.own()
        with pytest.raises(
            LinkDown, match="more than 100 answers within 1 s that nobody asked for; check that host"
        ):
            await link.read(POLL)
        assert link.stats.discarded["transaction"] <= 2 * STRAYS_MAX + 2
        server.script = Request.own
        await link.open()
        assert (await link.read(POLL))[0].raw == RIGHT

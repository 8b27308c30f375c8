"""Every fault of the proxy, seen by a raw socket client, before a server of a few lines."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from simulators.faults import LOOPBACK, Fault, FaultProxy, Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REQUEST = bytes.fromhex("0001 0000 0006 05 03 0010 0002")
ANSWER = bytes.fromhex("0001 0000 0007 05 03 04 11223344")
OTHER_UNIT = bytes.fromhex("0002 0000 0006 06 03 0010 0002")
OTHER_ANSWER = bytes.fromhex("0002 0000 0007 06 03 04 11223344")
SILENCE_S = 0.15


async def _answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with two registers."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            request = await reader.readexactly(12)
            writer.write(request[:4] + bytes((0, 7)) + request[6:8] + bytes.fromhex("0411223344"))
    writer.close()


class Client:
    """A raw socket client through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes = REQUEST, size: int = len(ANSWER)) -> bytes:
        """Return up to `size` bytes of the answer; fewer when it stays silent or the connection ends."""
        self.writer.write(request)
        return await self.receive(size)

    async def receive(self, size: int, wait_s: float = SILENCE_S) -> bytes:
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(wait_s):
                while len(got) < size:
                    block = await self.reader.read(size - len(got))
                    if not block:
                        break
                    got += block
        return got

    async def is_cut(self) -> bool:
        try:
            async with asyncio.timeout(1):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


class Rig:
    """A server, a proxy before it and clients."""

    def __init__(self, upstream: asyncio.Server, proxy: Gate) -> None:
        self.upstream = upstream
        self.proxy = proxy
        self.clients: list[Client] = []

    async def client(self) -> Client:
        self.clients.append(Client(*await asyncio.open_connection(LOOPBACK, self.proxy.port)))
        return self.clients[-1]


@contextlib.asynccontextmanager
async def rig(*faults: Fault, gate: bool = False) -> AsyncIterator[Rig]:
    upstream = await asyncio.start_server(_answer_all, LOOPBACK, 0)
    kind = Gate if gate else FaultProxy
    proxy = kind(upstream.sockets[0].getsockname()[1], SystemClock(), faults, seed=5)
    await proxy.start()
    made = Rig(upstream, proxy)
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.close()
        await proxy.stop()
        upstream.close()
        await upstream.wait_closed()
        await asyncio.sleep(0.01)  # the server's own connection tasks end


@pytest.mark.asyncio
async def test_without_faults_it_is_transparent() -> None:
    async with rig() as made:
        client = await made.client()
        assert [await client.ask() for _ in range(3)] == [ANSWER] * 3
        client.writer.write(REQUEST + OTHER_UNIT)  # pipelined
        assert await client.receive(26) == ANSWER + OTHER_ANSWER


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("dead"), b""),
        (Fault("exception", code=2), bytes.fromhex("0001 0000 0003 05 83 02")),
        (Fault("truncated", size=7), ANSWER[:7]),
        (Fault("wrong_unit"), ANSWER[:6] + b"\x06" + ANSWER[7:]),
        (Fault("wrong_transaction"), b"\x12\x35" + ANSWER[2:]),
        (Fault("wrong_function"), ANSWER[:7] + b"\x04" + ANSWER[8:]),
        (Fault("short"), bytes.fromhex("0001 0000 0005 05 03 02 1122")),
        (Fault("late", delay_s=5), b""),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_one_unit_is_hit_and_the_other_is_not(fault: Fault, expected: bytes) -> None:
    hit = Fault(fault.kind, units=frozenset({5}), delay_s=fault.delay_s, code=fault.code, size=fault.size)
    async with rig(hit) as made:
        client = await made.client()
        assert await client.ask() == expected
        assert await client.ask(OTHER_UNIT) == OTHER_ANSWER
        assert made.proxy.applied == {fault.kind: 1}


@pytest.mark.asyncio
async def test_garbage_is_seeded() -> None:
    heard = []
    for _ in range(2):
        async with rig(Fault("garbage", size=9)) as made:
            heard.append(await (await made.client()).ask())
    assert len(heard[0]) == 9
    assert heard[0] == heard[1] != ANSWER[:9]


@pytest.mark.asyncio
async def test_slow_delays_only_the_meter_it_hits() -> None:
    async with rig(Fault("slow", units=frozenset({5}), delay_s=0.25)) as made:
        client = await made.client()
        client.writer.write(REQUEST + OTHER_UNIT)
        assert await client.receive(13) == OTHER_ANSWER
        assert await client.receive(13, wait_s=2) == ANSWER


@pytest.mark.asyncio
async def test_cut_sends_the_first_bytes_and_closes() -> None:
    async with rig(Fault("cut", size=5)) as made:
        client = await made.client()
        assert await client.ask() == ANSWER[:5]
        assert await client.is_cut()


@pytest.mark.asyncio
async def test_share_hits_some_requests() -> None:
    async with rig(Fault("exception", share=0.5)) as made:
        client = await made.client()
        kinds = {(await client.ask(size=9))[7] & 0x80 for _ in range(1)}
        for _ in range(20):
            answer = await client.receive(4, wait_s=0.001) or await client.ask(size=9)
            kinds.add(answer[7] & 0x80 if len(answer) > 7 else 0)
        assert kinds == {0, 0x80}


@pytest.mark.asyncio
@pytest.mark.parametrize("gate", [False, True])
async def test_down_cuts_refuses_and_ends(gate: bool) -> None:
    async with rig(gate=gate) as made:
        client = await made.client()
        assert await client.ask() == ANSWER
        down = made.proxy.add(Fault("down"))
        assert await client.is_cut()
        assert await (await made.client()).is_cut()
        made.proxy.remove(down)
        assert await (await made.client()).ask() == ANSWER
        assert made.proxy.applied == {"cut": 1, "down": 1}


@pytest.mark.asyncio
async def test_a_scripted_down_begins_on_time() -> None:
    async with rig(Fault("down", start_s=0.1, end_s=0.2)) as made:
        client = await made.client()
        assert await client.ask() == ANSWER
        assert await client.is_cut()
        assert 0.1 <= made.proxy.now_s < 1


@pytest.mark.asyncio
async def test_a_server_that_is_gone_cuts_the_client() -> None:
    async with rig() as made:
        made.upstream.close()
        await made.upstream.wait_closed()
        assert await (await made.client()).is_cut()


@pytest.mark.asyncio
@pytest.mark.parametrize("gate", [False, True])
async def test_what_was_half_open_once_never_answers_and_is_not_closed(gate: bool) -> None:
    async with rig(gate=gate) as made:
        before = await made.client()
        assert await before.ask() == ANSWER
        fault = made.proxy.add(Fault("half_open"))
        during = await made.client()
        assert [await client.ask() for client in (before, during)] == [b"", b""]
        made.proxy.remove(fault)
        assert [await client.ask() for client in (before, during)] == [b"", b""]
        assert not any(client.reader.at_eof() for client in (before, during))
        assert await (await made.client()).ask() == ANSWER
        assert made.proxy.applied == {"half_open": 2}


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [4, 6, 10, 11])
async def test_exceptions_a_plant_knows(code: int) -> None:
    async with rig(Fault("exception", code=code)) as made:
        assert (await (await made.client()).ask())[7:] == bytes((0x83, code))

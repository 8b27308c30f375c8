"""Servers that send what no OPC UA server would: dropped at once, in bounded memory, with a text that says why."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from asyncua import ua

from drivers.opcua import guard
from drivers.opcua.guard import CHUNK_MAX, CHUNKS_MAX, MESSAGE_MAX, Guard
from gateway.errors import LinkDown
from tests.contract.opcua_server import PlantServer, exact, new_link, poll_of, read_one

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from drivers.opcua.driver import OpcUaLink


def chunk(kind: bytes, size: int, body: bytes = b"") -> bytes:
    return kind + struct.pack("<I", size) + body


ACKNOWLEDGE = chunk(b"ACKF", 28, struct.pack("<5I", 0, 65535, 65535, 0, 0))
HUGE = chunk(b"MSGF", 0xFFFF_FFF0)
ENDLESS = b"".join(  # chunks asyncua would take: channel and token 0, request 1, numbered
    chunk(b"MSGC", 32768, struct.pack("<4I", 0, 0, n, 1) + bytes(32768 - 24)) for n in range(1, 10)
)


class Flood:
    """A server that acknowledges, sends `begin` in answer to the next request, and then bytes without end."""

    def __init__(self, begin: bytes, endless: bytes) -> None:
        self.begin, self.endless = begin, endless
        self.port = 0
        self.sent = 0
        self.dropped = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[OpcUaLink]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield new_link(f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=5.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(8192)
            writer.write(ACKNOWLEDGE)
            await reader.read(8192)
            writer.write(self.begin)
            while True:
                writer.write(self.endless)
                await writer.drain()
                self.sent += len(self.endless)
        self.dropped.set()
        writer.transport.abort()


@pytest.mark.parametrize(
    ("begin", "endless", "said"),
    [
        pytest.param(HUGE, b"x" * 65536, r"announced a message of 4294967280 bytes.*is this an OPC UA server", id="huge"),
        pytest.param(chunk(b"MSGF", 7), b"x" * 65536, "announced a message of 7 bytes", id="tiny"),
        pytest.param(b"", b"GET / HTTP/1.1\r\n" * 4096, "not OPC UA .*b'GET / HT'", id="another-protocol"),
        pytest.param(b"", chunk(b"MSGX", 12, bytes(4)) * 4096, "not OPC UA", id="unknown-chunk"),
        pytest.param(ENDLESS, b"x" * 65536, "more than 262144 bytes", id="endless-message"),
        pytest.param(b"", chunk(b"MSGA", 12, bytes(4)) * 4096, "or 256 chunks", id="endless-chunks"),
    ],
)  # fmt: skip
async def test_a_flood_is_cut_off_at_once(begin: bytes, endless: bytes, said: str) -> None:
    flood = Flood(begin, endless)
    async with flood.listening() as link, asyncio.timeout(2):  # less than the link's timeout
        with pytest.raises(LinkDown, match=said):
            await link.open()
        await flood.dropped.wait()
        await link.close()
    assert flood.sent < 16 << 20  # socket buffers, not a stream


async def test_a_flood_while_reading_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with PlantServer() as server:
        source = server.add("Energy", 1.5, ua.VariantType.Double)
        link = new_link(server.url)
        await link.open()
        assert exact(poll_of(source), await read_one(link, poll_of(source))) != [None]
        monkeypatch.setattr(guard, "MESSAGE_MAX", 20)  # now its honest answers are too long
        with pytest.raises(
            LinkDown, match="connection lost: the other side sent a message of more than 20 bytes"
        ):
            await link.read(poll_of(source))
        await link.close()
        monkeypatch.undo()
        await link.open()
        assert not any((await read_one(link, poll_of(source))).flags)
        await link.close()


class Inner(asyncio.Protocol):
    """What asyncua would get."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.got.append(data)


@pytest.mark.parametrize("step", [1, 7, 8, 13, 1000, 200_000])
def test_whole_chunks_arrive_however_they_were_cut(step: int) -> None:
    sent = [
        chunk(b"MSG" + kind, 12 + n, bytes(4 + n))
        for n, kind in ((0, b"F"), (9, b"C"), (CHUNK_MAX - 12, b"F"))
    ]
    stream = b"".join(sent)
    inner = Inner()
    one = Guard(inner)
    for at in range(0, len(stream), step):
        one.data_received(stream[at : at + step])
        assert not one._waiting or len(one._waiting) < CHUNK_MAX
    assert b"".join(inner.got) == stream
    assert not one.fault
    ends = {sum(map(len, sent[:n])) for n in range(4)}
    for got in range(len(inner.got)):
        assert sum(map(len, inner.got[: got + 1])) in ends


def test_long_messages_one_after_the_other_are_no_endless_one() -> None:
    inner = Inner()
    one = Guard(inner)
    part, last = chunk(b"MSGC", 65536, bytes(65528)), chunk(b"MSGF", 12, bytes(4))
    for _ in range(3):
        for piece in (part, part, part, last):
            one.data_received(piece)
    for _ in range(CHUNKS_MAX * 2):
        one.data_received(last)
    assert not one.fault
    assert len(inner.got) == 12 + CHUNKS_MAX * 2
    for _ in range(MESSAGE_MAX // 65536 + 1):
        one.data_received(part)
    assert "more than" in one.fault
    before = len(inner.got)
    one.data_received(last)
    assert len(inner.got) == before

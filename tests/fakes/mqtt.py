"""A small MQTT 5 broker that lets everybody in and then misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Self

CONNACK = b"\x20\x03\x00\x00\x00"
PUBLISH = 3


@dataclass
class FakeBroker:
    """Use as `async with FakeBroker(...) as broker`; it listens on 127.0.0.1:`broker.port`.

    last_words: sent before a connection ends, after `acks` acknowledged messages. endless: then zeros without end.
    acks: None acknowledges all there are. connects: the CONNECT packets that came.
    """

    acks: int | None = None
    last_words: bytes = b""
    endless: bool = False
    connects: list[bytes] = field(default_factory=list)
    sent: int = 0
    port: int = 0

    async def __aenter__(self) -> Self:
        self._handlers: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._converse(reader, writer)
        self._handlers.discard(task)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects.append((await _packet(reader))[1])
        writer.write(CONNACK)
        acked = 0
        while self.acks is None or acked < self.acks:
            kind, body = await _packet(reader)
            if kind == PUBLISH:
                topic = int.from_bytes(body[:2], "big")
                writer.write(b"\x40\x02" + body[2 + topic : 4 + topic])
                acked += 1
        writer.write(self.last_words)
        await writer.drain()
        while self.endless:
            writer.write(bytes(65536))
            await writer.drain()
            self.sent += 65536


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return a packet's type and what follows its length."""
    kind = (await reader.readexactly(1))[0] >> 4
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return kind, await reader.readexactly(length)

"""A Modbus TCP server that does what it is told, wrong things above all. Shares no code with the client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    Script = Callable[["Request"], bytes | None]

REQUEST_SIZE = 12


class Request:
    """A read request as it came."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.transaction = int.from_bytes(raw[0:2])
        self.unit, self.function = raw[6], raw[7]
        self.address = int.from_bytes(raw[8:10])
        self.count = int.from_bytes(raw[10:12])

    def answer(self, *registers: int, **changes: int) -> bytes:
        """Return the right answer, or one that is wrong in the fields named.

        changes: transaction, protocol, length, unit, function, byte_count.
        """
        payload = b"".join(register.to_bytes(2) for register in registers)
        return (
            changes.get("transaction", self.transaction).to_bytes(2)
            + changes.get("protocol", 0).to_bytes(2)
            + changes.get("length", 3 + len(payload)).to_bytes(2)
            + bytes((changes.get("unit", self.unit), changes.get("function", self.function)))
            + bytes((changes.get("byte_count", len(payload)),))
            + payload
        )

    def refuse(self, code: int) -> bytes:
        """Return an exception answer."""
        return self.raw[0:2] + bytes((0, 0, 0, 3, self.unit, self.function | 0x80, code))

    def own(self) -> bytes:
        """Return the right answer of a meter whose every register holds its own address."""
        return self.answer(*range(self.address, self.address + self.count))


class HostileServer(asyncio.Protocol):
    """Serves one connection after the other; `script` decides what is sent for each request."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Request.own
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._transport: asyncio.Transport | None = None
        self._server: asyncio.Server | None = None
        self._asked = asyncio.Event()
        self._received = b""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none of asyncio's
        self._received = b""
        self.connections += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= REQUEST_SIZE:
            request = Request(self._received[:REQUEST_SIZE])
            self._received = self._received[REQUEST_SIZE:]
            self.requests.append(request)
            self._asked.set()
            answer = self.script(request)
            if answer is not None:
                self.send(answer)

    def send(self, raw: bytes) -> None:
        """Send bytes now."""
        assert self._transport is not None
        self._transport.write(raw)

    def cut(self) -> None:
        """Close the connection, what was sent before still arrives."""
        if self._transport is not None:
            self._transport.close()

    async def asked(self) -> Request:
        """Return the next request once it has come."""
        await self._asked.wait()
        self._asked.clear()
        return self.requests[-1]

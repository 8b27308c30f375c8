"""What stands between the socket and asyncua: only whole messages of believable size reach it.

asyncua believes whatever length a message announces, and joins its receive buffer anew at every read: a peer that
announces 4 GiB and keeps sending would take all memory, and a core while doing so. Decoding is the other price:
values of one byte each become objects, so the length of a whole message is bounded too. Values of no byte are refused: asyncua
made two thousand million of them from an array of Null that announced so many, 19 bytes long (found by tests/fuzz).
"""

from __future__ import annotations

import asyncio
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

from asyncua import ua
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import uatcp_to_binary
from asyncua.ua.uaerrors._base import UaError

from drivers.opcua.allowance import Allowance

if TYPE_CHECKING:
    from asyncua.client.client import Client
    from asyncua.client.ua_client import UASocketProtocol

    from gateway.interfaces import Clock

BUFFER = 65_536
"""Bytes of a chunk, announced in Hello. asyncua announces 2 GiB, from which node-opcua takes 512 KiB and then counts
each message as so long, more than the 256 KiB it may send: no session at all (node-opcua 2.186, seen 2026-11)."""
CHUNK_MAX = 2 * BUFFER
"""Bytes. As much again for sloppy servers."""
MESSAGE_MAX = 256 << 10
"""Bytes: 10 000 values with status and source time. The worst such message decodes in 3 s (measured, 2 cores)."""
CHUNKS_MAX = 256
"""Of one message. A server may limit a chunk to 8 192 bytes (Part 6, 7.1.2.3): 32 would do."""
_HEADER = Struct("<3scI")
# Message type -> bytes of the shortest one. Source: OPC UA Part 6, 7.1.2.2 and 6.7.2.2 (channel id behind the header).
_SHORTEST = {b"HEL": 8, b"ACK": 8, b"ERR": 8, b"OPN": 12, b"MSG": 12, b"CLO": 12}
_FINAL, _CHUNK_TYPES = b"F", b"FCA"


_decode_array = ua_binary.unpack_uatype_array


def _array(kind: ua.VariantType, held: Any) -> list[Any] | None:
    """Return a Variant's array as asyncua decodes it. Raises UaError on one of Null, whose values take no bytes."""
    if kind is ua.VariantType.Null:
        raise UaError("an array of values of no type")
    return _decode_array(kind, held)


ua_binary.unpack_uatype_array = _array  # type: ignore[assignment]


class Guard(asyncio.Protocol):
    """Passes whole chunks on to asyncua's protocol; drops the connection as soon as one cannot be right."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        """inner: gets everything but bytes that cannot be OPC UA."""
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()  # a chunk not complete yet
        self._chunks = self._bytes = 0  # of the message being received
        self.fault = ""  # why the connection was dropped; "": it was not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember what to abort."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none of asyncio's
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell asyncua, which fails whatever waits."""
        self._waiting.clear()
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand over the chunks that are complete."""
        if self.fault:
            return
        if self._waiting:
            self._waiting += data
            held: bytes | bytearray = self._waiting
        else:
            held = data
        end = self._end_of_whole(held)
        if end is None:
            self._waiting.clear()
            if self._transport is not None:
                self._transport.abort()
            return
        whole = bytes(held[:end])  # no copy of what came in one piece
        if held is self._waiting:
            del self._waiting[:end]
        else:
            self._waiting += held[end:]
        if whole:
            self._inner.data_received(whole)

    def drop(self, fault: str) -> None:
        """Give the connection up. fault: why."""
        self.fault = self.fault or f"the other side sent {fault}"
        if self._transport is not None:
            self._transport.abort()

    def _end_of_whole(self, held: bytes | bytearray) -> int | None:
        """Return where the last complete chunk ends; None, and `fault` is set, if one can never be right."""
        at = 0
        while at + _HEADER.size <= len(held):
            kind, chunk_type, size = _HEADER.unpack_from(held, at)
            shortest = _SHORTEST.get(kind)
            if shortest is None or chunk_type not in _CHUNK_TYPES:
                begin = bytes(held[at : at + 8])
                self.fault = (
                    f"the other side answered something that is not OPC UA ({begin!r}): "
                    "is this the port of an OPC UA server?"
                )
            elif not shortest <= size <= CHUNK_MAX:
                self.fault = (
                    f"the other side announced a message of {size} bytes, where {shortest} to {CHUNK_MAX} are possible: "
                    "is this an OPC UA server?"
                )
            elif at + size <= len(held):
                self._count(chunk_type, size)
                at += size
                if not self.fault:
                    continue
            break
        return None if self.fault else at

    def _count(self, chunk_type: bytes, size: int) -> None:
        """Add a chunk to its message; sets `fault` if it grew too long. Aborted ones count until one is complete."""
        self._chunks += 1
        self._bytes += size
        if self._bytes > MESSAGE_MAX or self._chunks > CHUNKS_MAX:
            self.fault = (
                f"the other side sent a message of more than {MESSAGE_MAX} bytes or {CHUNKS_MAX} chunks: "
                "read fewer or smaller variables, or is this no OPC UA server?"
            )
        elif chunk_type == _FINAL:
            self._chunks = self._bytes = 0


class Guarded:
    """A client's guard, made anew with each of its connections."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        """client: not connected yet; it will also tell its server how long a message may be. clock: as `Allowance` has it."""
        client.max_messagesize, client.max_chunkcount = MESSAGE_MAX, CHUNKS_MAX
        self._make = client.uaclient._make_protocol  # asyncua has no public way in
        self._guard: Guard | None = None
        client.uaclient._make_protocol = self._guarded  # type: ignore[method-assign]
        self.allowance = Allowance(clock)
        client.uaclient._send_request = self.allowance.watched(  # type: ignore[method-assign, assignment]
            client.uaclient._send_request, self._drop
        )

    @property
    def fault(self) -> str:
        """Return why the guard dropped the connection, "" if it did not."""
        return self._guard.fault if self._guard is not None else ""

    def _drop(self, fault: str) -> None:
        if self._guard is not None:
            self._guard.drop(fault)

    def _guarded(self) -> UASocketProtocol:
        inner = self._make()
        inner.send_hello = partial(_send_hello, inner)  # type: ignore[method-assign]
        self._guard = Guard(inner)
        # asyncua hands this to the event loop and keeps the inner one for itself.
        return cast("UASocketProtocol", self._guard)


async def _send_hello(
    inner: UASocketProtocol, url: str, max_messagesize: int = 0, max_chunkcount: int = 0
) -> ua.Acknowledge:
    """Say hello as asyncua does, with buffers of a size that is meant. Raises TimeoutError."""
    fields: tuple[Any, ...] = (0, BUFFER, BUFFER, max_messagesize, max_chunkcount, url)
    hello = ua.Hello(*fields)
    kind: Any = ua.MessageType.Hello
    answer: asyncio.Future[ua.Acknowledge] = asyncio.get_running_loop().create_future()
    inner._callbackmap[0] = answer
    if inner.transport is not None:
        inner.transport.write(uatcp_to_binary(kind, hello))
    async with asyncio.timeout(inner.timeout):
        return await answer

"""A port without a wire: what is written is shown to a script, what the script gives comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from drivers.modbus.rtu import crc16
from gateway.errors import LinkDown

if TYPE_CHECKING:
    from collections.abc import Callable


def framed(*body: int) -> bytes:
    """Return a frame with its check bytes."""
    return bytes(body) + crc16(bytes(body))


def own(request: bytes) -> bytes:
    """Return the right answer of a meter whose every register holds its own address."""
    address, count = int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
    values = b"".join(register.to_bytes(2) for register in range(address, address + count))
    return framed(request[0], request[1], len(values), *values)


def refuse(request: bytes, code: int) -> bytes:
    return framed(request[0], request[1] | 0x80, code)


class FakePort:
    """Implements `Port`. script: pieces that come back, one turn of the loop after the other; None: nothing."""

    def __init__(self, script: Callable[[bytes], bytes | list[bytes] | None] = own) -> None:
        self.name = "fake"
        self.lost: str | None = "not open"
        self.script = script
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.opened = 0
        self._on_bytes: Callable[[bytes], None] = lambda _: None
        self._on_lost: Callable[[], None] = lambda: None

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self.lost = None
        self.opened += 1

    def write(self, data: bytes) -> None:
        self.check()
        self.requests.append(data)
        self.asked.set()
        answer = self.script(data)
        pieces = [] if answer is None else [answer] if isinstance(answer, bytes) else answer
        self._come(pieces)

    def check(self) -> None:
        if self.lost is not None:
            raise LinkDown(self.lost)

    async def close(self) -> None:
        self.lost = self.lost or "closed"

    def come(self, raw: bytes) -> None:
        """Let bytes come now."""
        self._on_bytes(raw)

    def unplug(self) -> None:
        self.lost = "the port is gone"
        self._on_lost()

    def _come(self, pieces: list[bytes]) -> None:
        if pieces:
            self._later(pieces)

    def _later(self, pieces: list[bytes]) -> None:
        def next_one() -> None:
            self._on_bytes(pieces[0])
            if pieces[1:]:
                self._later(pieces[1:])

        asyncio.get_running_loop().call_soon(next_one)

"""A Modbus meter that does what a test says, on TCP, on a pseudo terminal and behind raw TCP, and our link to it.

One script serves all three: it is shown what was asked and returns the bytes to send back. Shares no code with the client
but the CRC, which the contract with pymodbus vouches for.
"""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.link import LineLink
from drivers.lines.port import SerialPort, TcpPort
from drivers.lines.timing import Timing
from drivers.modbus.driver import ModbusTcpLink
from drivers.modbus.line import line_reader
from drivers.modbus.rtu import crc16
from gateway.clock import SystemClock
from gateway.model import ClockState
from tests.unit.modbus.hostile import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from drivers.lines.port import Port
    from gateway.interfaces import Clock

    Script = Callable[[Request], bytes | None]
    Link = ModbusTcpLink | LineLink

LINES = ("rtu", "rtu-over-tcp")
KINDS = ("tcp", *LINES)
NAME = "hall-1"
TIMING = Timing(115_200)
RTU_SIZE, TCP_SIZE = 8, 12


class LaterClock:
    """The system's clock, which a test may put forward by days."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self.ahead_s = 0.0

    def wall_ns(self) -> int:
        return self._real.wall_ns() + int(self.ahead_s * 1e9)

    def monotonic(self) -> float:
        return self._real.monotonic() + self.ahead_s

    async def sleep_until(self, monotonic_s: float) -> None:
        await self._real.sleep_until(monotonic_s - self.ahead_s)

    def state(self) -> ClockState:
        return ClockState(True, None, None)


class RtuRequest(Request):
    """A read request as it came on a line."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(bytes(6) + raw)
        self.raw = raw

    def answer(self, *registers: int, **changes: int) -> bytes:
        """Return the right answer, or one that is wrong in the fields named: unit, function, byte_count, crc."""
        payload = b"".join(register.to_bytes(2) for register in registers)
        head = (changes.get("unit", self.unit), changes.get("function", self.function))
        body = bytes((*head, changes.get("byte_count", len(payload)))) + payload
        crc = crc16(body)
        return body + (bytes((crc[0] ^ 1, crc[1])) if changes.get("crc") else crc)

    def refuse(self, code: int) -> bytes:
        body = bytes((self.unit, self.function | 0x80, code))
        return body + crc16(body)


class Bus:
    """The other end of the wire. asked: what was asked, with the time at which it came."""

    def __init__(self, kind: str, script: Script) -> None:
        self.kind, self.script = kind, script
        self.asked: list[tuple[float, Request]] = []
        self.opened_s: list[float] = []
        self._write: Callable[[bytes], object] = lambda _: None
        self._received = b""

    def addresses(self) -> list[int]:
        """Return the addresses asked since the last call."""
        found = [request.address for _, request in self.asked]
        self.asked.clear()
        return found

    def came(self, data: bytes) -> None:
        """Take bytes from the gateway and answer whole requests."""
        size = TCP_SIZE if self.kind == "tcp" else RTU_SIZE
        self._received += data
        while len(self._received) >= size:
            raw, self._received = self._received[:size], self._received[size:]
            request = Request(raw) if self.kind == "tcp" else RtuRequest(raw)
            self.asked.append((asyncio.get_running_loop().time(), request))
            answer = self.script(request)
            if answer:
                self.send(answer)

    def send(self, raw: bytes) -> None:
        """Send bytes now."""
        self._write(raw)

    def later(self, delay_s: float, raw: bytes) -> None:
        """Send bytes after a while."""
        asyncio.get_running_loop().call_later(delay_s, self.send, raw)

    def joined(self, write: Callable[[bytes], object]) -> None:
        """Somebody opened the line."""
        self._write, self._received = write, b""
        self.opened_s.append(asyncio.get_running_loop().time())


class _Peer(asyncio.Protocol):
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._bus.joined(self.transport.write)

    def data_received(self, data: bytes) -> None:
        self._bus.came(data)


@asynccontextmanager
async def _terminal(bus: Bus) -> AsyncIterator[str]:
    """Lay a pseudo terminal and return the name of the gateway's end."""
    loop = asyncio.get_running_loop()
    master, end = pty.openpty()
    tty.setraw(end)
    bus.joined(lambda raw: os.write(master, raw))
    loop.add_reader(master, lambda: bus.came(os.read(master, 4096)))
    try:
        yield os.ttyname(end)
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(end)


@asynccontextmanager
async def _listening(bus: Bus) -> AsyncIterator[int]:
    """Listen and return the port."""
    peers: list[_Peer] = []

    def accept() -> _Peer:
        peers.append(_Peer(bus))
        return peers[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for peer in peers:
            if peer.transport is not None:
                peer.transport.abort()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def scripted(
    kind: str,
    script: Script = Request.own,
    *,
    clock: Clock | None = None,
    timeout_min_s: float = 0.03,
    turnaround_s: float = 0.0,
    connect_pause_s: float = 0.0,
    late_max_s: float = 10.0,
) -> AsyncIterator[tuple[Bus, Link]]:
    """Serve the script and return its bus and the open link to it."""
    clock = clock or SystemClock()
    bus = Bus(kind, lambda request: script(request))
    async with _terminal(bus) if kind == "rtu" else _listening(bus) as where:
        link: Link
        if kind == "tcp":
            link = ModbusTcpLink(
                "127.0.0.1", int(where), timeout_s=1.0, clock=clock, name=NAME,
                timeout_min_s=timeout_min_s, connect_pause_s=connect_pause_s,
            )  # fmt: skip
        else:
            own = kind == "rtu"
            settings = LineSettings(
                TIMING, own, turnaround_s, timeout_min_s, late_max_s, connect_pause_s=connect_pause_s
            )
            port: Port = SerialPort(str(where), TIMING) if own else TcpPort("127.0.0.1", int(where))
            line = HalfDuplexLine(port, settings, clock, NAME)
            link = LineLink(line, clock, NAME, {"modbus": line_reader})
        await link.open()
        try:
            yield bus, link
        finally:
            await link.close()

"""pymodbus's servers on TCP, on a pseudo terminal and behind raw TCP, and our link to each. They share no code."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.link import LineLink
from drivers.lines.port import SerialPort, TcpPort
from drivers.lines.timing import Timing
from drivers.modbus.driver import ModbusTcpLink
from drivers.modbus.line import line_reader
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pymodbus.simulator import SimDevice

KINDS = ("tcp", "rtu", "rtu-over-tcp")
TIMING = Timing(115_200)
Link = ModbusTcpLink | LineLink


class Wire:
    """Two pseudo terminals whose masters are joined: what goes into one end comes out of the other."""

    def __init__(self) -> None:
        """Lay it on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._masters: list[int] = []
        self.ends: list[str] = []
        self._slaves: list[int] = []  # kept open, so that an end without a user is no hang-up
        for _ in range(2):
            master, slave = pty.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters.append(master)
            self._slaves.append(slave)
            self.ends.append(os.ttyname(slave))
        one, other = self._masters
        self._loop.add_reader(one, self._carry, one, other)
        self._loop.add_reader(other, self._carry, other, one)

    def cut(self) -> None:
        """Unplug both ends; may be called twice."""
        for master in self._masters:
            self._loop.remove_reader(master)
            os.close(master)
        for slave in self._slaves:
            os.close(slave)
        self._masters, self._slaves = [], []

    @staticmethod
    def _carry(source: int, sink: int) -> None:
        with suppress(OSError):
            os.write(sink, os.read(source, 4096))


@asynccontextmanager
async def serving(
    kind: str, devices: SimDevice | list[SimDevice], port: int, end: str = ""
) -> AsyncIterator[None]:
    """Serve on a TCP port, or (kind "rtu") on the end of a wire."""
    server: Any
    if kind == "rtu":
        server = ModbusSerialServer(devices, port=end, baudrate=TIMING.baud)
    else:
        framer = FramerType.SOCKET if kind == "tcp" else FramerType.RTU
        server = ModbusTcpServer(devices, framer=framer, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


def make_link(kind: str, port: int, end: str = "", timeout_s: float = 1.0) -> Link:
    clock = SystemClock()
    if kind == "tcp":
        return ModbusTcpLink("127.0.0.1", port, timeout_s=timeout_s, clock=clock)
    settings = LineSettings(TIMING, own_gaps=kind == "rtu")
    way = SerialPort(end, TIMING) if kind == "rtu" else TcpPort("127.0.0.1", port)
    line = HalfDuplexLine(way, settings, clock, "line-1")
    return LineLink(line, clock, "line-1", {"modbus": line_reader})


@asynccontextmanager
async def linked(
    kind: str, devices: SimDevice | list[SimDevice], free_port: Callable[[], int]
) -> AsyncIterator[Link]:
    """Serve devices and return the open link to them."""
    wire = Wire() if kind == "rtu" else None
    ours, theirs = wire.ends if wire else ("", "")
    port = 0 if wire else free_port()
    try:
        async with serving(kind, devices, port, theirs):
            link = make_link(kind, port, ours)
            await link.open()
            try:
                yield link
            finally:
                await link.close()
    finally:
        if wire:
            wire.cut()

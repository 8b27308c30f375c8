"""Where a master gets at a simulated line: a pty as its serial port, a TCP port of raw bytes, or plain memory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
import tty
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.model import NS
from simulators.faults import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.wire import Wire

_BLOCK = 4096
_SCHEDSTAT = Path("/proc/thread-self/schedstat")


class MemoryPort:
    """The master's end of a line without any file: for programs under virtual time."""

    def __init__(self, wire: Wire) -> None:
        """wire: whose master this is."""
        self._wire = wire

    def on_bytes(self, receive: Callable[[bytes], None] | None) -> None:
        """Hand what the line brings to `receive`."""
        self._wire.on_bytes(receive)

    def write(self, raw: bytes) -> None:
        """Send bytes."""
        self._wire.feed(raw)

    def close(self) -> None:
        """Hear no more."""
        self._wire.on_bytes(None)


class PtyPort:
    """A pty at a path that stays: a link to the terminal end, which is another one after `unplug` and `plug`.

    A path that somebody else serves is refused, and left alone at the end; a link that leads nowhere is taken over.

    The terminal end is kept open here, so that a master may close and open it like a serial port. The pty knows the
    baud rate the master has set: at another than the wire's everything is garbled, as on a real line. It has no
    parity, and refuses to have it set (EINVAL) where nothing else would change; so IGNBRK, which means nothing to
    it and which pyserial clears, is set again after each opening. overruns: bytes nobody read in time; misheard: blocks at a wrong baud rate.
    """

    def __init__(self, wire: Wire, path: Path) -> None:
        """path: where the port appears; its folder exists."""
        self.path = path
        self.overruns = 0
        self.misheard = 0
        self._wire = wire
        self._speed: int = getattr(termios, f"B{wire.pace.baud}")
        self._ends: tuple[int, int] | None = None
        self._looked_s = _awake_s()
        wire.on_bytes(self._receive, self._send)

    def plug(self) -> None:
        """Make the port appear. Raises OSError, FileExistsError for a path that is in use."""
        if self._ends is not None:
            return
        if self.path.exists() or (os.path.lexists(self.path) and not self.path.is_symlink()):
            where = f", a link to {os.readlink(self.path)}," if self.path.is_symlink() else ""
            raise FileExistsError(errno.EEXIST, f"{self.path}{where} is there already")
        own, terminal = os.openpty()
        tty.setraw(terminal, termios.TCSANOW)
        _mark(terminal, self._speed)
        os.set_blocking(own, False)
        self._ends = (own, terminal)
        asyncio.get_running_loop().add_reader(own, self._send)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        partial.unlink(missing_ok=True)
        partial.symlink_to(os.ttyname(terminal))
        partial.replace(self.path)

    def unplug(self) -> None:
        """Make the port vanish: who has it open reads its end or EIO; may be called twice."""
        if self._ends is None:
            return
        own, terminal = self._ends
        self._ends = None
        asyncio.get_running_loop().remove_reader(own)
        with contextlib.suppress(OSError):
            if os.readlink(self.path) == os.ttyname(terminal):
                self.path.unlink()
        os.close(terminal)
        os.close(own)

    def close(self) -> None:
        """Take the port away for good."""
        self.unplug()
        self._wire.on_bytes(None)

    def _right_speed(self) -> bool:
        assert self._ends is not None
        modes = termios.tcgetattr(self._ends[1])
        if not modes[0] & termios.IGNBRK:
            _mark(self._ends[1], modes[5])
        right = bool(modes[5] == self._speed)
        self.misheard += not right
        return right

    def _send(self) -> None:
        """Put what the master wrote onto the wire.

        It was written after the last look, and not while the loop slept, for that would have woken it.
        """
        if self._ends is None:
            return
        raw = b""
        with contextlib.suppress(BlockingIOError):
            raw = os.read(self._ends[0], _BLOCK)
        looked_s, self._looked_s = self._looked_s, _awake_s()
        if raw:
            self._wire.feed(raw if self._right_speed() else _garbled(raw), self._looked_s - looked_s)

    def _receive(self, raw: bytes) -> None:
        """Hand what the line brings to the master."""
        if self._ends is None:
            return
        if not self._right_speed():
            raw = _garbled(raw)
        try:
            written = os.write(self._ends[0], raw)
        except BlockingIOError:
            written = 0
        self.overruns += len(raw) - written


class TcpPort:
    """A serial device server: raw bytes of the line for whoever connects, and from them onto the line."""

    def __init__(self, wire: Wire) -> None:
        """wire: the line behind it."""
        self._wire = wire
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        wire.on_bytes(self._receive)

    async def start(self, port: int = 0) -> int:
        """Return the loopback port it listens on. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        self._wire.on_bytes(None)
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                while raw := await reader.read(_BLOCK):
                    self._wire.feed(raw)
        finally:
            self._writers.discard(writer)
            writer.close()

    def _receive(self, raw: bytes) -> None:
        for writer in self._writers:
            writer.write(raw)


def _awake_s() -> float:
    """Return how long this thread has been running or waiting for a core so far; 0 where the system does not tell.

    Source: Linux, Documentation/scheduler/sched-stats.rst: ns on the processor, ns waiting for it.
    """
    try:
        running_ns, waiting_ns, _ = _SCHEDSTAT.read_bytes().split()
    except OSError:
        return 0.0
    return (int(running_ns) + int(waiting_ns)) / NS


def _mark(terminal: int, speed: int) -> None:
    """Set a speed, and IGNBRK so that the next opening changes something."""
    modes = termios.tcgetattr(terminal)
    modes[0] |= termios.IGNBRK
    modes[4] = modes[5] = speed
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def _garbled(raw: bytes) -> bytes:
    """Return bytes as heard at a wrong baud rate: nothing like what was sent, and not as many."""
    return bytes((7 * byte + 0x5B) & 0xFF for byte in raw[::2])

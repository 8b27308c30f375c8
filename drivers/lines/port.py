"""Where the bytes of a line go: a serial port of this machine, or a raw TCP connection to a serial device server.

A port opens, writes, hands over what comes and says when it is lost. It knows nothing of frames or time.
The serial port is read with the event loop's own `add_reader`, on asyncio and uvloop alike; no thread, no polling.
"""

from __future__ import annotations

import asyncio
import errno
import os
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import serial

from drivers.connecting import CONNECT_TIMEOUT_S, connect, prepare_transport, reason_of
from gateway.errors import LinkDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.lines.timing import Timing

READ_SIZE = 4096
_EMPTY_READS_MAX = 100
_PERMISSION_STEP = (
    "the gateway's user may not use it: add it to the group of the device (dialout on Debian and Ubuntu: "
    "`usermod -aG dialout USER`) and start the gateway anew"
)
_IN_USE_STEP = "another program uses it: `fuser -v {device}` shows which; stop it, two masters spoil each other's answers"
_STEPS = {
    errno.ENOENT: "no such port: is the adapter plugged in? `ls -l /dev/serial/by-id` shows the ports there are",
    errno.EACCES: _PERMISSION_STEP,
    errno.EPERM: _PERMISSION_STEP,
    errno.EBUSY: _IN_USE_STEP,
    errno.EWOULDBLOCK: _IN_USE_STEP,
    errno.ENXIO: "the device behind this name is gone: plug the adapter in again",
    errno.ENODEV: "the device behind this name is gone: plug the adapter in again",
    errno.EIO: "the device does not answer the system: unplug the adapter and plug it in again",
    errno.ENOTTY: "this is no serial port: check the name",
    errno.EISDIR: "this is no serial port: check the name",
    errno.EINVAL: "the port refuses baud rate, parity or stop bits: check them against the adapter",
}
_STEP = "check the name and the adapter"
_UNPLUGGED_STEP = "was the adapter unplugged? It is opened again by itself"
_CLOSED_STEP = "the serial device server may be restarting, or allow only one connection"
_STUCK_STEP = "check the adapter, or the network"


class Port(Protocol):
    """A way for bytes in both directions, open or not."""

    name: str
    lost: str | None

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Open it; on_lost is called at most once, after `lost` was set. Raises LinkDown."""

    def write(self, data: bytes) -> None:
        """Send bytes. Raises LinkDown."""

    def check(self) -> None:
        """Hand over what has come and was not read yet; raise LinkDown if it is lost, also where nobody told yet."""

    async def close(self) -> None:
        """Close it; never raises, may be called twice."""


class SerialPort:
    """A serial port of this machine, opened for nobody else."""

    def __init__(self, device: str, timing: Timing) -> None:
        """device: its name, best one under /dev/serial/by-id."""
        self.name = device
        self.lost: str | None = "not open"
        self._timing = timing
        self._serial: serial.Serial | None = None
        self._fd = -1
        self._empty_reads = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Open the port exclusively with its baud rate. Raises LinkDown with the system's reason and a next step."""
        timing = self._timing
        # A pseudo terminal has no parity, and glibc calls it an error if parity alone would change (tcsetattr).
        parity = "N" if _is_pseudo(self.name) else timing.parity
        try:
            port = serial.Serial(
                self.name,
                timing.baud,
                8,
                parity,
                timing.stop,
                timeout=0,
                write_timeout=0,
                exclusive=True,
            )
        except serial.SerialException as error:
            raise LinkDown(f"cannot open {self.name}: {self._why(error)}") from None
        except (OSError, termios.error, ValueError) as error:
            raise LinkDown(f"cannot open {self.name}: {self._why(error)}") from None
        self._serial, self._fd = port, port.fileno()
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self.lost = None
        self._empty_reads = 0
        with suppress(
            OSError, ValueError
        ):  # only some drivers know it; it spares FTDI adapters 16 ms an answer
            port.set_low_latency_mode(True)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes) -> None:
        """Send bytes. Raises LinkDown if the port is gone or takes no more."""
        if self.lost is not None:
            raise LinkDown(self.lost)
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise LinkDown(self._lose(error)) from None
        if sent < len(data):
            raise LinkDown(f"the port took {sent} of {len(data)} bytes; {_STUCK_STEP}")

    def check(self) -> None:
        """Hand over what the system holds and the loop has not read yet; raise LinkDown if the port is gone."""
        if self.lost is None:
            try:
                termios.tcgetattr(self._fd)
                received = os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                raise LinkDown(self._lose(error)) from None
            except termios.error as error:  # its arguments are those of an OSError
                raise LinkDown(self._lose(OSError(*error.args))) from None
            if received:
                self._empty_reads = 0
                self._on_bytes(received)
        if self.lost is not None:
            raise LinkDown(self.lost)

    async def close(self) -> None:
        """Close the port."""
        self._leave()
        port, self._serial = self._serial, None
        if port is not None:
            with suppress(OSError, termios.error):  # an unplugged one cannot even be closed properly
                port.close()
        self.lost = self.lost or "closed by the gateway"

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            self._on_lost()
            return
        if data:
            self._empty_reads = 0
            self._on_bytes(data)
            return
        self._empty_reads += 1  # a hung-up port is readable and has nothing; so may, once, one that is fine
        try:
            if self._empty_reads > _EMPTY_READS_MAX:
                raise LinkDown(self._lose(OSError(errno.EIO, "")))
            self.check()
        except LinkDown:
            self._on_lost()

    def _lose(self, error: OSError) -> str:
        self._leave()
        self.lost = f"the port is gone: {reason_of(error)}; {_UNPLUGGED_STEP}"
        return self.lost

    def _leave(self) -> None:
        if self._fd >= 0 and self._loop is not None:
            self._loop.remove_reader(self._fd)
        self._fd = -1

    def _why(self, error: BaseException) -> str:
        number = getattr(error, "errno", None)
        cause = (
            error.__context__ if number is None else None
        )  # pyserial hides the number of a refused setting
        for one in (error, cause):
            if isinstance(one, termios.error) and one.args:
                number = one.args[0]
        if isinstance(number, int) and number:
            step = _STEPS.get(number, _STEP).format(device=self.name)
            return f"{os.strerror(number)} (errno {number}); {step}"
        return f"{error}; {_STEP}"


def _is_pseudo(device: str) -> bool:
    return os.path.realpath(device).startswith("/dev/pts/")


class TcpPort:
    """A raw TCP connection to a serial device server; the line behind it is the server's."""

    def __init__(self, host: str, port: int, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """host, port: of the line on the server."""
        self.name = f"{host}:{port}"
        self.lost: str | None = "not open"
        self._host, self._port, self._connect_timeout_s = host, port, connect_timeout_s
        self._connection: _Connection | None = None

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Connect. Raises LinkDown with the system's reason and a next step."""

        def lose(text: str) -> None:
            self.lost = text
            on_lost()

        self._connection = await connect(
            lambda: _Connection(on_bytes, lose),
            self._host,
            self._port,
            where=f"cannot connect to {self.name}",
            peer="serial device server",
            timeout_s=self._connect_timeout_s,
        )
        self.lost = None

    def write(self, data: bytes) -> None:
        """Send bytes. Raises LinkDown."""
        self.check()
        assert self._connection is not None
        self._connection.write(data)

    def check(self) -> None:
        """Raise LinkDown if the connection is lost."""
        if self.lost is not None:
            raise LinkDown(self.lost)

    async def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        self.lost = self.lost or "closed by the gateway"
        if connection is not None:
            await connection.close()


class _Connection(asyncio.BufferedProtocol):
    """One TCP connection, from `connection_made` to its loss."""

    def __init__(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self._told = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = prepare_transport(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._told:
            self._on_bytes(bytes(self._buffer[:nbytes]))

    def pause_writing(self) -> None:
        self._tell(f"the peer takes no requests any more; {_STUCK_STEP}")
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(
            f"connection lost: {exc}; {_CLOSED_STEP}" if exc else f"closed by the peer; {_CLOSED_STEP}"
        )
        if not self._closed.done():
            self._closed.set_result(None)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def close(self) -> None:
        """Close the connection and return when it is closed; nobody is told."""
        self._told = True
        if self._transport is not None:
            self._transport.abort()
            await self._closed

    def _tell(self, text: str) -> None:
        if not self._told:
            self._told = True
            self._on_lost(text)

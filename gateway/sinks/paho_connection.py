"""The paho client inside an aiomqtt one, as far as every connection needs it: its socket, what may come in, how it ends.

The traps met here stand in README.md. They are the same for who publishes and for who subscribes.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import aiomqtt

from gateway.sinks.mqtt_codes import CLOSED, TAKEN_OVER, plain

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

T = TypeVar("T")


async def heed_cancel(work: Awaitable[T]) -> T:
    """Return what `work` brings, unless this task was cancelled meanwhile.

    aiomqtt waits with asyncio.wait_for, which on Python 3.11 forgets a cancellation that comes in the same turn of the loop as the
    answer (https://github.com/python/cpython/issues/86296): a stop would then be waited for in vain.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        return await work
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


class PahoConnection:
    """One connection's life, from before CONNECT to its end, whoever ends it.

    fault: why it is no use any more, "" while it is. told: what the broker said, if it did, when it ended the connection; code: its
    number. client: entered once, by the class derived from this one.
    """

    def __init__(self, client: aiomqtt.Client, client_id: str, packet_bytes: int, connect_s: float) -> None:
        """client: not entered yet. packet_bytes: the longest packet taken. connect_s: for the socket, in a thread nobody can cancel."""
        self.client = client
        self.fault = self.told = ""
        self.code: int | None = None
        self._client_id, self._packet_bytes = client_id, packet_bytes
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._paho = client._client
        self._paho.connect_timeout = connect_s
        self._receive_any = self._paho._sock_recv
        self._paho._sock_recv = self._receive  # type: ignore[method-assign]
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_socket_open = self._on_socket_open
        self._paho.on_socket_register_write = self._on_socket_register_write

    def close(self, why: str) -> None:
        """End the connection at once, for `why` unless it is no use already; may be called twice."""
        self.fault = self.fault or why
        self._paho._sock_close()
        gone = self.client._disconnected
        if gone.done() and not gone.cancelled():
            gone.exception()  # seen, so asyncio does not complain

    async def _connect(self) -> None:
        """Connect and log in. Raises aiomqtt.MqttError. A connection that ends right then has its `fault` at once or a turn later."""
        # Before, not after: what ends it until __aenter__ goes on, aiomqtt throws away unseen.
        self.client._disconnected.add_done_callback(self._on_end)
        await heed_cancel(self.client.__aenter__())

    def _on_end(self, future: asyncio.Future[None]) -> None:
        """Tell why it is over: what the broker said, or else what the socket did."""
        error = None if future.cancelled() else future.exception()  # seen, so asyncio does not complain
        self._closed_early()
        self._over.set()
        self._lost(self.told or (CLOSED if error is None else plain(error)))

    async def _told_end(self) -> None:
        """Return at once unless the connection has ended; then when that was told, a turn later."""
        if self._paho.socket() is None:
            await self._over.wait()

    def _lost(self, why: str) -> None:
        """Take note that the connection is over, in the derived class."""
        raise NotImplementedError

    def _on_connect(
        self, c: Any, u: Any, flags: Any, code: ReasonCode, properties: Properties | None = None
    ) -> None:
        """Let aiomqtt go on; what the CONNACK grants is for the derived class to take first."""
        self.client._on_connect(c, u, flags, code, properties)

    def _receive(self, bufsize: int) -> bytes:
        """Return up to `bufsize` bytes from the socket; paho asks for the rest of a packet at once. Raises OSError."""
        if bufsize > self._packet_bytes:
            self.told = (
                f"the broker sends a packet of {bufsize} bytes, more than {self._packet_bytes}; cut off"
            )
            raise ConnectionAbortedError(self.told)
        return self._receive_any(bufsize)

    def _on_socket_open(self, c: Any, u: Any, socket: Any) -> None:
        """Refuse a socket that comes after we gave up: the thread that connects cannot be cancelled."""
        if self.fault:
            socket.close()
            raise OSError(self.fault)
        self.client._on_socket_open(c, u, socket)

    def _on_socket_register_write(self, c: Any, u: Any, socket: Any) -> None:
        """Write when the socket is ready; aiomqtt would do so later, when it may be closed or another's."""
        if threading.get_ident() == self._thread:
            self._write_when_ready(socket)
        else:  # the thread that connects
            self._loop.call_soon_threadsafe(self._write_when_ready, socket)

    def _write_when_ready(self, socket: Any) -> None:
        if self._is_live(socket):
            self._loop.add_writer(socket.fileno(), self._paho.loop_write)

    def _is_live(self, socket: Any) -> bool:
        """Return whether it is the socket of this moment: what was called later may come for one that is closed."""
        live = self._paho.socket()
        return live is not None and live is socket

    def _on_disconnect(
        self, c: Any, u: Any, flags: Any, code: ReasonCode, properties: Properties | None = None
    ) -> None:
        """Let aiomqtt know, also before it is connected: it would wait out the whole timeout."""
        if flags.is_disconnect_packet_from_server:
            self.code = code.value
            self.told = f"reason 0x{code.value:02x} {code}"
            if code.value == TAKEN_OVER:
                own = self._client_id or "(of the user name or certificate)"
                self.told += f"; another client uses the same id {own}"
        self.client._on_disconnect(c, u, flags, code, properties)
        self._loop.call_soon_threadsafe(self._closed_early)

    def _closed_early(self) -> None:
        if not self.client._connected.done():
            told = f" ({self.told})" if self.told else ""
            self.client._connected.set_exception(
                aiomqtt.MqttError(f"the broker closed the connection before it let us in{told}")
            )

"""The MQTT sink: QoS 1, every PUBACK looked at, a new connection from scratch after any loss.

aiomqtt 2.5.1 as measured (the traps stand in README.md here): it hides the PUBACK's reason code, leaves
publishes in flight waiting for their full timeout when the connection drops, and sends un-acknowledged
messages again when the same client is entered twice. So publishes go straight to the paho client inside
it, which says all three; everything else is aiomqtt's. The journal replays, so no session is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from typing import TYPE_CHECKING, Any, Literal

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.errors import SinkUnavailable
from gateway.sinks import telemetry
from gateway.sinks.mqtt_codes import (
    CLOSED,
    CLOSED_SILENTLY,
    FAILURE,
    TAKEN_OVER,
    connect_refused,
    plain,
    value,
)
from gateway.sinks.tls import hide, reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paho.mqtt.reasoncodes import ReasonCode

    from gateway.interfaces import Clock, Directory
    from gateway.layout import Layout
    from gateway.model import Batch, Refusal
    from gateway.sinks.tls import TlsFiles

IN_FLIGHT_MAX = 20  # paho sends no more at once; also mosquitto's own limit
KEEPALIVE_S = 30
CONNECT_S = 4.0  # paho connects in a thread that cannot be cancelled; a stop may take 5 s
GOODBYE_S = 2.0
PACKET_MAX = 8 * 1024  # bytes of a packet from the broker: acknowledgements and the 3.1.1 probe
SHORT_S = 10.0  # a connection that lives less
SHORT_LIVES = 3  # such connections in a row look like another client with the same id
_HEADER_SPARE = 1024  # topic and packet header beside the payload
_SILENT = logging.getLogger("gateway.sinks.mqtt.paho")
_SILENT.setLevel(logging.CRITICAL)  # whatever goes wrong is raised, and logged once by the task that delivers


class MqttSink:
    """Telemetry for the plant (docs/specs/telemetry.md) to one broker.

    After SinkUnavailable from `write`, `open` again before the next `write`: it starts a new connection.
    """

    def __init__(
        self,
        *,
        id: str,
        host: str,
        port: int,
        directory: Directory,
        clock: Clock,
        prefix: str = "metergate/v1",
        protocol: Literal["5", "3.1.1"] = "5",
        group: Literal["commit", "meter"] = "commit",
        user: str | None = None,
        password: str | None = None,
        tls: TlsFiles | None = None,
        timeout_s: float = 10,
    ) -> None:
        """prefix: topic levels before the gateway's id. timeout_s: for connecting, and without any PUBACK."""
        self._name = f"sink {id} (mqtt {host}:{port})"
        self._client_id = f"metergate-{directory.gateway}-{id}"
        self._host, self._port = host, port
        self._directory = directory
        self._clock = clock
        self._root = f"{prefix}/{directory.gateway}"
        self._protocol = protocol
        self._group = group
        self._user, self._password = user, password
        self._tls = tls
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None
        self._announced: dict[str, Layout] = {}
        self._since_s = 0.0
        self._short_lives = 0

    async def open(self) -> None:
        """Connect, announce birth and state; on 3.1.1 prove the permission first. Raises SinkUnavailable."""
        self._drop()
        context = None if self._tls is None else self._tls.context()
        properties: Any = Properties  # has no types
        limits = properties(PacketTypes.CONNECT)
        limits.MaximumPacketSize = PACKET_MAX
        client = aiomqtt.Client(
            self._host,
            self._port,
            username=self._user or None,
            password=self._password,
            identifier=self._client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if self._protocol == "5" else aiomqtt.ProtocolVersion.V311,
            clean_session=None if self._protocol == "5" else True,  # a new client starts clean on 5 anyway
            will=aiomqtt.Will(
                f"{self._root}/state",
                telemetry.state(self._directory.gateway, online=False),
                qos=1,
                retain=True,
            ),
            keepalive=KEEPALIVE_S,
            timeout=self._timeout_s,
            max_inflight_messages=IN_FLIGHT_MAX,
            max_queued_incoming_messages=16,
            tls_context=context,
            properties=limits if self._protocol == "5" else None,
            logger=_SILENT,
        )
        connection = _Connection(
            client, self._name, self._root, self._user or "", self._password or "", self._client_id
        )
        try:
            await connection.enter()
            self._since_s = self._clock.monotonic()
            if self._protocol != "5":
                await self._probe(connection)
            self._connection = connection
            self._announced.clear()
            await self._announce(())
            online = telemetry.state(self._directory.gateway, online=True, time_ns=self._clock.wall_ns())
            await self._publish([(f"{self._root}/state", online)], retain=True)
            connection.announced = True
        finally:
            if not connection.announced:
                self._connection = None
                connection.drop()

    async def write(self, batch: Batch) -> list[Refusal]:
        """Return [] once every message of the batch has a good PUBACK. Raises SinkUnavailable."""
        if self._connection is None:
            raise SinkUnavailable(f"{self._name}: not connected")
        fresh = [
            layout
            for layout in dict.fromkeys(frame.layout for frame in batch.frames)
            if layout.digest not in self._announced
        ]
        if fresh:
            await self._announce(fresh)
        topic = f"{self._root}/telemetry-backfill" if batch.backfill else f"{self._root}/telemetry"
        gateway, limit = self._directory.gateway, self._connection.payload_max
        if self._group == "commit":
            messages = [(topic, body) for body in telemetry.encode(gateway, batch.frames, limit=limit)]
        else:
            by_meter = telemetry.encode_meter(gateway, batch.frames, limit=limit)
            messages = [(f"{topic}/{meter}", body) for meter, body in by_meter]
        await self._publish(messages)
        return []

    async def close(self) -> None:
        """Leave the retained state offline and disconnect; never raises, may be called twice."""
        connection = self._connection
        if connection is None:
            return
        offline = telemetry.state(self._directory.gateway, online=False, time_ns=self._clock.wall_ns())
        with contextlib.suppress(SinkUnavailable):  # the last will says the same
            try:
                await connection.publish(
                    [(f"{self._root}/state", offline)], min(GOODBYE_S, self._timeout_s), retain=True
                )
                connection.say_goodbye()
            finally:
                self._drop()

    async def _announce(self, layouts: Iterable[Layout]) -> None:
        """Publish the birth of all layouts in force and of `layouts`. Raises SinkUnavailable."""
        known = self._announced | {layout.digest: layout for layout in layouts}
        in_force = {layout.digest: layout for layout in self._directory.layouts()}
        older = [layout for digest, layout in known.items() if digest not in in_force]
        limit = telemetry.MESSAGE_MAX if self._connection is None else self._connection.payload_max
        parts = telemetry.birth(self._directory, older, limit=limit)
        topics = [f"{self._root}/birth" + (f"/{n}" if n else "") for n in range(len(parts))]
        await self._publish(list(zip(topics, parts, strict=True)), retain=True)
        self._announced = known | in_force

    async def _probe(self, connection: _Connection) -> None:
        """Prove on a 3.1.1 broker that we may publish: it acknowledges what it then throws away.

        Raises SinkUnavailable unless a message comes back to us.
        """
        topic, nonce = f"{self._root}/probe", secrets.token_bytes(8)
        fault = ""
        try:
            async with asyncio.timeout(self._timeout_s):
                granted = await connection.client.subscribe(topic, qos=1)
                if any(value(code) >= FAILURE for code in granted):
                    fault = "subscribing was denied"
                else:
                    await connection.publish([(topic, nonce)], self._timeout_s)
                    async for message in connection.client.messages:
                        if message.payload == nonce:
                            break
                    await connection.client.unsubscribe(topic)
        except TimeoutError:
            fault = f"the message did not come back within {self._timeout_s:g} s"
        except aiomqtt.MqttError as error:
            fault = connection.told or str(error)
        if fault:
            raise SinkUnavailable(
                f"{self._name}: the probe on {topic} failed: {fault}; {connection.advice} and read permission on {topic}"
            )

    async def _publish(self, messages: list[tuple[str, bytes]], *, retain: bool = False) -> None:
        assert self._connection is not None
        try:
            await self._connection.publish(messages, self._timeout_s, retain=retain)
        except SinkUnavailable as error:
            short = self._connection.lost and self._clock.monotonic() - self._since_s < SHORT_S
            self._short_lives = self._short_lives + 1 if short else 0
            self._drop()
            if self._short_lives < SHORT_LIVES:
                raise
            raise SinkUnavailable(
                f"{error}; {self._short_lives} times in a row within {SHORT_S:g} s: "
                f"another client may use the same id {self._client_id}"
            ) from error

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None


class _Connection:
    """One connection's life: who is waiting for which PUBACK, and what went wrong first.

    payload_max: longest payload the broker accepts, at most `telemetry.MESSAGE_MAX`. announced: birth and
    state are out, so the connection may be used. lost: the other side just closed it.
    told: what the broker said, if it did, when it ended the connection.
    """

    def __init__(
        self, client: aiomqtt.Client, name: str, root: str, user: str, secret: str, client_id: str
    ) -> None:
        self.client = client
        self.advice = f"give {f'user {user}' if user else 'anonymous clients'} write permission on {root}/# in the broker's ACL"
        self.payload_max = telemetry.MESSAGE_MAX
        self.announced = self.lost = False
        self._name, self._secret, self._client_id = name, secret, client_id
        self._in_flight_max = IN_FLIGHT_MAX
        self._pending: dict[int, str] = {}  # message id -> topic
        self._fault = ""
        self.told = ""
        self._progress = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._paho = client._client
        self._paho.connect_timeout = min(CONNECT_S, client.timeout)
        self._receive_any = self._paho._sock_recv
        self._paho._sock_recv = self._receive  # type: ignore[method-assign]
        self._paho.on_publish = self._on_publish
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_socket_open = self._on_socket_open
        self._paho.on_socket_register_write = self._on_socket_register_write
        client.pending_calls_threshold = IN_FLIGHT_MAX

    async def enter(self) -> None:
        """Connect and log in. Raises SinkUnavailable with the broker's answer."""
        try:
            await self.client.__aenter__()
        except aiomqtt.MqttCodeError as error:
            raise self._away(connect_refused(error)) from error
        except aiomqtt.MqttError as error:
            raise self._away(f"cannot connect: {reason(error)}") from error
        self.client._disconnected.add_done_callback(self._lost)

    async def publish(
        self, messages: list[tuple[str, bytes]], timeout_s: float, *, retain: bool = False
    ) -> None:
        """Return when every message has a good PUBACK.

        Raises SinkUnavailable at once when the connection drops or a reason code says no, and when nothing
        was acknowledged for `timeout_s`.
        """
        for topic, body in messages:
            await self._room(self._in_flight_max, timeout_s)
            info = self._paho.publish(topic, body, qos=1, retain=retain)
            if info.rc:
                self.lost = not self.told
                raise self._away(
                    f"the connection was lost ({self.told or f'{topic} could not be sent: {info.rc.name}'})"
                )
            self._pending[info.mid] = topic
        await self._room(1, timeout_s)

    def say_goodbye(self) -> None:
        """Tell the broker that the end is meant, so it does not publish the last will."""
        self._paho.disconnect()
        self._paho.loop_write()

    def drop(self) -> None:
        """End the connection at once; without a goodbye the broker publishes the last will. May be called twice."""
        self._fault = self._fault or "disconnected"
        self._paho._sock_close()
        if self.client._disconnected.done() and not self.client._disconnected.cancelled():
            self.client._disconnected.exception()  # seen, so asyncio does not complain

    async def _room(self, limit: int, timeout_s: float) -> None:
        """Return when fewer than `limit` messages are in flight."""
        while not self._fault and len(self._pending) >= limit:
            self._progress.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._progress.wait()
            except TimeoutError:
                self._fault = f"no acknowledgement within {timeout_s:g} s"
        if self._fault:
            raise self._away(self._fault)

    def _away(self, text: str) -> SinkUnavailable:
        return SinkUnavailable(f"{self._name}: {hide(text, self._secret)}")

    def _receive(self, bufsize: int) -> bytes:
        """Return up to `bufsize` bytes from the socket; paho asks for the rest of a packet at once. Raises OSError."""
        if bufsize > PACKET_MAX:
            self.told = f"the broker sends a packet of {bufsize} bytes, more than {PACKET_MAX}; cut off"
            raise ConnectionAbortedError(self.told)
        return self._receive_any(bufsize)

    def _on_publish(
        self, _c: Any, _u: Any, mid: int, code: ReasonCode, properties: Properties | None
    ) -> None:
        topic = self._pending.pop(mid, "")
        if code.value >= FAILURE and not self._fault:
            text = getattr(properties, "ReasonString", "")
            told = f"reason 0x{code.value:02x} {code}" + (f", {text}" if text else "")
            advice = f"; {self.advice}" if code.value == 0x87 else ""
            self._fault = f"the broker refused a message on {topic} ({told}){advice}"
        self._progress.set()

    def _on_connect(
        self, c: Any, u: Any, flags: Any, code: ReasonCode, properties: Properties | None = None
    ) -> None:
        """Take the broker's limits, which paho does not keep to, then let aiomqtt go on."""
        self._in_flight_max = min(IN_FLIGHT_MAX, getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX))
        packet_max = getattr(properties, "MaximumPacketSize", None)
        if packet_max is not None:
            self.payload_max = max(1, min(telemetry.MESSAGE_MAX, packet_max - _HEADER_SPARE))
        self.client._on_connect(c, u, flags, code, properties)

    def _on_socket_open(self, c: Any, u: Any, socket: Any) -> None:
        """Refuse a socket that comes after we gave up: the thread that connects cannot be cancelled."""
        if self._fault:
            socket.close()
            raise OSError(self._fault)
        self.client._on_socket_open(c, u, socket)

    def _on_socket_register_write(self, c: Any, u: Any, socket: Any) -> None:
        """Write when the socket is ready; aiomqtt would do so later, when it may be closed or another's."""
        if threading.get_ident() == self._thread:
            self._write_when_ready(socket)
        else:  # the thread that connects
            self._loop.call_soon_threadsafe(self._write_when_ready, socket)

    def _write_when_ready(self, socket: Any) -> None:
        live = self._paho.socket()
        if live is not None and live is socket:
            self._loop.add_writer(live.fileno(), self._paho.loop_write)

    def _on_disconnect(
        self, c: Any, u: Any, flags: Any, code: ReasonCode, properties: Properties | None = None
    ) -> None:
        """Let aiomqtt know, also before it is connected: it would wait out the whole timeout."""
        if flags.is_disconnect_packet_from_server:
            self.told = f"reason 0x{code.value:02x} {code}"
            if code.value == TAKEN_OVER:
                self.told += f"; another client uses the same id {self._client_id}"
        self.client._on_disconnect(c, u, flags, code, properties)
        self._loop.call_soon_threadsafe(self._closed_early)

    def _closed_early(self) -> None:
        if not self.client._connected.done():
            told = f" ({self.told})" if self.told else ""
            self.client._connected.set_exception(
                aiomqtt.MqttError(f"the broker closed the connection before it let us in{told}")
            )

    def _lost(self, future: asyncio.Future[None]) -> None:
        error = None if future.cancelled() else future.exception()  # seen, so asyncio does not complain
        told = self.told or (CLOSED if error is None else plain(error))
        self.lost = not self._fault and told in {CLOSED, CLOSED_SILENTLY}
        self._fault = self._fault or f"the connection was lost ({told})"
        self._progress.set()

"""One broker and the connection to it: QoS 1, every PUBACK looked at, a new connection from scratch after any loss.

aiomqtt 2.5.1 as measured (the traps stand in README.md here): it hides the PUBACK's reason code, leaves
publishes in flight waiting for their full timeout when the connection drops, and sends un-acknowledged
messages again when the same client is entered twice. So publishes go straight to the paho client inside
it, which says all three; everything else is aiomqtt's. The journal or outbox replays, so no session is kept.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.errors import SinkUnavailable
from gateway.sinks.mqtt_codes import (
    CLOSED,
    CLOSED_SILENTLY,
    FAILURE,
    connect_refused,
    value,
)
from gateway.sinks.paho_connection import PahoConnection, heed_cancel
from gateway.sinks.tls import acl_name, hide, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from gateway.interfaces import Clock
    from gateway.sinks.tls import TlsFiles

IN_FLIGHT_MAX = 20  # paho sends no more at once; also mosquitto's own limit
KEEPALIVE_S = 30
CONNECT_S = 4.0  # paho connects in a thread that cannot be cancelled; a stop may take 5 s
GOODBYE_S = 2.0
PACKET_MAX = 8 * 1024  # bytes of a packet from the broker: acknowledgements and the 3.1.1 probe
SHORT_S = 10.0  # a connection that lives less
SHORT_LIVES = 3  # such connections in a row look like another client with the same id
_NOT_AUTHORISED = 0x87
_PUBLISH_SPARE = 10  # type 1, length 4, length of the topic 2, message id 2, properties 1
_SILENT = logging.getLogger("gateway.sinks.mqtt.paho")
_SILENT.setLevel(logging.CRITICAL)  # whatever goes wrong is raised, and logged once by the task that delivers


class Message(NamedTuple):
    """What is published. retain: the broker keeps it."""

    topic: str
    body: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """Where a broker is, and as whom we come.

    name: in messages. root: what all our topics begin with. timeout_s: for connecting, and without any PUBACK.
    """

    name: str
    client_id: str
    root: str
    host: str
    port: int
    protocol: Literal["5", "3.1.1"] = "5"
    user: str = ""
    password: str | None = None
    tls: TlsFiles | None = None
    timeout_s: float = 10

    @property
    def who(self) -> str:
        """Return whom a broker's ACL has to name."""
        return acl_name(self.user, self.tls)


class Broker:
    """A broker, and the connection to it while there is one. After SinkUnavailable from `publish`, `open` again."""

    def __init__(self, login: Login, clock: Clock) -> None:
        """login: stays the same for good."""
        self.login = login
        self._clock = clock
        self.connection: Connection | None = None
        self._since_s = 0.0
        self._short_lives = 0

    async def open(self, will: Message) -> Connection:
        """Connect, in the place of a connection there may be; on 3.1.1 prove the permission. Raises SinkUnavailable.

        will: published by the broker if we vanish.
        """
        self.drop()
        connection = Connection(self._client(will), self.login)
        is_open = False
        try:
            await connection.enter()
            self._since_s = self._clock.monotonic()
            if self.login.protocol != "5":
                await connection.probe()
            is_open = True
        finally:
            if not is_open:
                connection.drop()
        self.connection = connection
        return connection

    def _client(self, will: Message) -> aiomqtt.Client:
        login, is_5 = self.login, self.login.protocol == "5"
        properties: Any = Properties  # has no types
        limits = properties(PacketTypes.CONNECT)
        limits.MaximumPacketSize = PACKET_MAX
        return aiomqtt.Client(
            login.host,
            login.port,
            username=login.user or None,
            password=login.password,
            identifier=login.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if is_5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if is_5 else True,  # a new client starts clean on 5 anyway
            will=aiomqtt.Will(will.topic, will.body, qos=1, retain=will.retain),
            keepalive=KEEPALIVE_S,
            timeout=login.timeout_s,
            max_inflight_messages=IN_FLIGHT_MAX,
            max_queued_incoming_messages=16,
            tls_context=None if login.tls is None else login.tls.context(),
            properties=limits if is_5 else None,
            logger=_SILENT,
        )

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when every message has a good PUBACK. Raises SinkUnavailable; then it is not open any more."""
        if self.connection is None:
            raise SinkUnavailable(f"{self.login.name}: not connected")
        try:
            await self.connection.publish(messages, self.login.timeout_s)
        except SinkUnavailable as error:
            short = self.connection.lost and self._clock.monotonic() - self._since_s < SHORT_S
            self._short_lives = self._short_lives + 1 if short else 0
            self.drop()
            if self._short_lives < SHORT_LIVES:
                raise
            raise SinkUnavailable(
                f"{error}; {self._short_lives} times in a row within {SHORT_S:g} s: "
                f"another client may use the same id {self.login.client_id}"
            ) from error

    async def leave(self, last: Message) -> None:
        """Publish the last words and disconnect; never raises, may be called twice."""
        connection = self.connection
        if connection is None:
            return
        try:
            await connection.publish([last], min(GOODBYE_S, self.login.timeout_s))
            connection.say_goodbye()
        except SinkUnavailable:  # the last will says the same
            return
        finally:
            self.drop()

    def drop(self) -> None:
        """End the connection at once; without a goodbye the broker publishes the last will. May be called twice."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()


class Connection(PahoConnection):
    """One connection's life: who is waiting for which PUBACK, and what went wrong first.

    packet_max: bytes of the longest packet the broker accepts, None if it did not say. lost: the other side just closed it.
    is_ended: it did, or something on the wire ended it: no decision of ours.
    denied: topic of a message it refused because we may not write there. advice: where a permission is missing.
    """

    def __init__(self, client: aiomqtt.Client, login: Login) -> None:
        """client: not entered yet, and never entered again."""
        super().__init__(client, login.client_id, PACKET_MAX, min(CONNECT_S, client.timeout))
        self.advice = f"give {login.who} write permission on {login.root}/# in the broker's ACL"
        self.packet_max: int | None = None
        self.lost = self.is_ended = False
        self._login = login
        self._in_flight_max = IN_FLIGHT_MAX
        self._pending: dict[int, str] = {}  # message id -> topic
        self.denied = ""
        self._progress = asyncio.Event()
        self._paho.on_publish = self._on_publish
        client.pending_calls_threshold = IN_FLIGHT_MAX

    async def enter(self) -> None:
        """Connect and log in. Raises SinkUnavailable with the broker's answer."""
        try:
            await self._connect()
        except aiomqtt.MqttCodeError as error:
            raise self._away(connect_refused(error)) from error
        except aiomqtt.MqttError as error:
            doubt = "" if self._login.tls is None else self._login.tls.doubt()
            raise self._away(f"cannot connect: {reason(error)}{doubt}") from error
        if self.fault:
            raise self._away(self.fault)

    async def probe(self) -> None:
        """Prove on a 3.1.1 broker that we may publish: it acknowledges what it then throws away.

        Raises SinkUnavailable unless a message comes back to us.
        """
        topic, nonce = f"{self._login.root}/probe", secrets.token_bytes(8)
        timeout_s, fault = self._login.timeout_s, ""
        try:
            async with asyncio.timeout(timeout_s):
                granted = await heed_cancel(self.client.subscribe(topic, qos=1))
                if any(value(code) >= FAILURE for code in granted):
                    fault = "subscribing was denied"
                else:
                    await self.publish([Message(topic, nonce)], timeout_s)
                    async for message in self.client.messages:
                        if message.payload == nonce:
                            break
                    await heed_cancel(self.client.unsubscribe(topic))
        except TimeoutError:
            fault = f"the message did not come back within {timeout_s:g} s"
        except aiomqtt.MqttError as error:
            fault = self.told or str(error)
        if fault:
            raise SinkUnavailable(
                f"{self._login.name}: the probe on {topic} failed: {fault}; {self.advice} and read permission on {topic}"
            )

    def takes(self, message: Message) -> bool:
        """Return whether the broker takes a message of this length."""
        size = len(message.topic.encode()) + len(message.body) + _PUBLISH_SPARE
        return self.packet_max is None or size <= self.packet_max

    async def publish(self, messages: Sequence[Message], timeout_s: float) -> None:
        """Return when every message has a good PUBACK.

        Raises SinkUnavailable at once when the connection drops or a reason code says no, and when nothing
        was acknowledged for `timeout_s`.
        """
        for topic, body, retain in messages:
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
        self.close("disconnected")

    async def _room(self, limit: int, timeout_s: float) -> None:
        """Return when fewer than `limit` messages are in flight."""
        while not self.fault and len(self._pending) >= limit:
            self._progress.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._progress.wait()
            except TimeoutError:
                self.fault = f"no acknowledgement within {timeout_s:g} s"
        if self.fault:
            raise self._away(self.fault)

    def _away(self, text: str) -> SinkUnavailable:
        return SinkUnavailable(f"{self._login.name}: {hide(text, self._login.password)}")

    def _on_publish(
        self, _c: Any, _u: Any, mid: int, code: ReasonCode, properties: Properties | None
    ) -> None:
        topic = self._pending.pop(mid, "")
        if code.value == _NOT_AUTHORISED:
            self.denied = self.denied or topic
        if code.value >= FAILURE and not self.fault:
            text = getattr(properties, "ReasonString", "")
            told = f"reason 0x{code.value:02x} {code}" + (f", {text}" if text else "")
            advice = f"; {self.advice}" if code.value == _NOT_AUTHORISED else ""
            self.fault = f"the broker refused a message on {topic} ({told}){advice}"
        self._progress.set()

    def _on_connect(
        self, c: Any, u: Any, flags: Any, code: ReasonCode, properties: Properties | None = None
    ) -> None:
        """Take the broker's limits, which paho does not keep to, then let aiomqtt go on."""
        self._in_flight_max = min(IN_FLIGHT_MAX, getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX))
        self.packet_max = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(c, u, flags, code, properties)

    def _lost(self, why: str) -> None:
        self.is_ended = not self.fault
        self.lost = not self.fault and why in {CLOSED, CLOSED_SILENTLY}
        self.fault = self.fault or f"the connection was lost ({why})"
        self._progress.set()

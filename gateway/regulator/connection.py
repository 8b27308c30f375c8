"""One connection to a broker: from CONNECT to its end, whoever ends it.

The traps of aiomqtt and paho that stand in gateway/sinks/README.md are met here in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Any

import aiomqtt
from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.errors import SinkUnavailable
from gateway.regulator.broker import BrokerAway
from gateway.sinks.mqtt_codes import FAILURE, value
from gateway.sinks.paho_connection import PahoConnection
from gateway.sinks.tls import hide, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.enums import MQTTErrorCode
    from paho.mqtt.reasoncodes import ReasonCode

    from gateway.regulator.broker import Broker, Session

CONNECT_S = 10.0
LONG_S = 30 * 86_400.0
KEEPALIVE_S = 30
PACKET_MAX = 512 * 1024  # bytes; a message of the feed is at most 256 KiB
HELD_MAX = 32 * 1024 * 1024  # bytes of messages that are here and not acknowledged
SOCKET_S = 4.0  # paho connects in a thread that cannot be cancelled
_HOPELESS = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C}  # protocol, client id, password, permission, ban, method
_NOT_SHARED = 0x9E
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
    struct.error,
    MQTTException,
)  # paho, of bad packets
_SILENT = logging.getLogger("gateway.regulator.paho")
_SILENT.setLevel(logging.CRITICAL)  # whatever goes wrong is raised, and told once


def _aiomqtt(broker: Broker, session: Session) -> aiomqtt.Client:
    """Return a client not entered yet. Raises BrokerAway for TLS files that cannot be read."""
    try:
        context = None if broker.tls is None else broker.tls.context()
    except SinkUnavailable as error:
        raise BrokerAway(f"{broker.name}: {str(error).partition('; check')[0]}", hopeless=True) from error
    properties: Any = Properties  # has no types
    asked = properties(PacketTypes.CONNECT)
    asked.MaximumPacketSize = PACKET_MAX
    asked.ReceiveMaximum = session.receive_max
    if session.expiry_s:
        asked.SessionExpiryInterval = session.expiry_s
    return aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.user or None,
        password=broker.password,
        identifier=session.client_id or None,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=not session.expiry_s,
        keepalive=KEEPALIVE_S,
        timeout=CONNECT_S,
        tls_context=context,
        properties=asked,
        logger=_SILENT,
    )


class Connection(PahoConnection):
    """A subscriber's connection: nothing is read while as much is here as may be, and every acknowledgement is the caller's.

    session_present: the broker still had our session.
    refusal: what it said no to, when we were in already. unacknowledged: messages that came and have no PUBACK yet. ends_session: our goodbye is for good.
    """

    def __init__(
        self,
        broker: Broker,
        session: Session,
        put: Callable[[Connection, str, bytes, bool, int], None],
        awake: Callable[[], None],
    ) -> None:
        """put: gets every message: topic, payload, retain, message id or 0. awake: called when it is lost. Raises BrokerAway."""
        super().__init__(_aiomqtt(broker, session), session.client_id, PACKET_MAX, SOCKET_S)
        self.session_present = self.ends_session = False
        self.unacknowledged = 0
        self.refusal: BrokerAway | None = None
        self._bytes, self._is_paused = 0, False
        self._asking: asyncio.Future[None] | None = None
        self._broker, self._session = broker, session
        self._put, self._awake = put, awake
        self._granted: Any = None  # what the broker said of itself in its CONNACK
        self._paho.manual_ack_set(True)
        self._look_after_any = self._paho.loop_misc
        self._paho.loop_misc = self._look_after  # type: ignore[method-assign]
        self._paho.on_message = self._on_message

    async def open(self, filters: Sequence[str]) -> None:
        """Connect and subscribe with QoS 1. Raises BrokerAway; then it is closed."""
        is_open = False
        try:
            await self._enter()
            self._check_session(filters)
            asking = self._unsubscribe(filters) if self._session.is_last else self._subscribe(filters)
            self._asking = asyncio.ensure_future(asking)
            if self.session_present:  # its messages may come first, and the answer waits behind them
                self._asking.add_done_callback(self._asked)
            else:
                await asyncio.wait([self._asking])
                if self._asking.cancelled():  # by the connection's end
                    raise self._away(self.fault)
                self._asking.result()
            is_open = True
        finally:
            if not is_open:
                self.close("given up")

    def _asked(self, asking: asyncio.Future[None]) -> None:
        """Take the broker's late answer to what we asked for."""
        error = None if asking.cancelled() else asking.exception()
        if isinstance(error, BrokerAway):
            self.refusal = error
            self.close(str(error).removeprefix(f"{self._broker.name}: "))
            self._awake()

    async def _enter(self) -> None:
        try:
            await self._connect()
        except aiomqtt.MqttCodeError as error:
            code = value(error.rc)
            told = f"refused the connection (reason 0x{code:02x} {error.rc})"
            if code in {0x86, 0x87}:
                told = f"refused the user name or password (reason 0x{code:02x} {error.rc}); check --user and --password-file"
            raise self._away(told, code in _HOPELESS) from error
        except aiomqtt.MqttError as error:
            doubt = "" if self._broker.tls is None else self._broker.tls.doubt()
            raise self._away(f"cannot connect: {reason(error)}{doubt}") from error
        if self.fault:
            raise self._away(self.fault)

    def _check_session(self, filters: Sequence[str]) -> None:
        """Raises BrokerAway if the broker keeps the session for less time than was asked for."""
        asked_s = self._session.expiry_s
        kept_s = getattr(self._granted, "SessionExpiryInterval", asked_s)
        if kept_s < asked_s:
            raise self._away(
                f"it keeps a session for {kept_s} s only, {asked_s} s were asked for; let it keep sessions longer",
                hopeless=True,
            )
        is_shared = any(text.startswith("$share/") for text in filters)
        if is_shared and not getattr(self._granted, "SharedSubscriptionAvailable", 1):
            raise self._away("it has no shared subscriptions", hopeless=True)

    async def _subscribe(self, filters: Sequence[str]) -> None:
        for text in filters:
            try:
                (code,) = await self.client.subscribe(text, qos=1, timeout=self._answer_s)
            except aiomqtt.MqttError as error:
                await self._told_end()
                raise self._away(f"subscribing to {text}: {reason(error)}") from error
            number = value(code)
            if number >= FAILURE:
                hint = {
                    0x87: f"; give {self._broker.who} read permission in its ACL",
                    _NOT_SHARED: "; it has no shared subscriptions",
                }.get(number, "")
                raise self._away(f"denied {text} (reason 0x{number:02x} {code}){hint}", hopeless=True)
            if number < 1:
                raise self._away(f"grants only QoS 0 on {text}: messages could be lost unseen", hopeless=True)
        if self.fault:
            raise self._away(self.fault)

    async def _unsubscribe(self, filters: Sequence[str]) -> None:
        try:
            await self.client.unsubscribe(list(filters), timeout=self._answer_s)
        except aiomqtt.MqttError as error:
            await self._told_end()
            raise self._away(f"unsubscribing: {reason(error)}") from error

    @property
    def _answer_s(self) -> float:
        """Return how long an answer may take: with a session as long as it takes us to get to it."""
        return LONG_S if self.session_present else CONNECT_S

    def acknowledge(self, mid: int, size: int) -> None:
        """Send a PUBACK (mid 0, QoS 0: none) for a message of so many bytes, unless the connection is gone."""
        if self.fault:
            return
        self._bytes -= size
        if mid:
            self.unacknowledged -= 1
            self._paho.ack(mid, 1)
        if self._is_paused and not self._is_full:
            self._is_paused = False
            self._loop.call_soon(self._listen, self._paho.socket())
            self._loop.call_soon(self._read)  # what TLS has unpacked already makes no socket readable

    def leave(self) -> None:
        """Say goodbye, if there still is anybody, and close; may be called twice."""
        if not self.fault:
            properties: Any = Properties
            last = properties(PacketTypes.DISCONNECT)
            if self.ends_session:
                last.SessionExpiryInterval = 0
            self._paho.disconnect(properties=last)
            self._paho.loop_write()
        self.close("left")

    def close(self, why: str) -> None:
        """As in the base class; whoever waits for an answer is sent away."""
        if self._asking is not None:
            self._asking.cancel()
        super().close(why)

    def _away(self, text: str, hopeless: bool = False) -> BrokerAway:
        return BrokerAway(f"{self._broker.name}: {hide(text, self._broker.password)}", hopeless=hopeless)

    def _on_message(self, _c: Any, _u: Any, message: Any) -> None:
        mid = message.mid if message.qos else 0
        self.unacknowledged += bool(mid)
        self._bytes += len(message.payload)
        self._put(self, message._topic.decode(errors="replace"), message.payload, message.retain, mid)

    def _on_connect(
        self, c: Any, u: Any, flags: Any, code: ReasonCode, properties: Properties | None = None
    ) -> None:
        self._granted, self.session_present = properties, bool(flags.session_present)
        super()._on_connect(c, u, flags, code, properties)

    def _lost(self, why: str) -> None:
        self.fault = self.fault or f"the connection was lost ({why})"
        if self._asking is not None:
            self._asking.cancel()
        self._awake()

    def _on_socket_open(self, c: Any, u: Any, socket: Any) -> None:
        super()._on_socket_open(c, u, socket)
        self._loop.call_soon_threadsafe(self._listen, socket)

    @property
    def _is_full(self) -> bool:
        """Return whether there is as much as may be here at once.

        The broker was told (Receive Maximum), but mosquitto 2.0.11 sends up to that many more for every PUBACK, and again all of them to
        a session that comes back. So nothing more is read meanwhile, and TCP holds it back.
        """
        return self.unacknowledged >= self._session.receive_max or self._bytes >= HELD_MAX

    def _listen(self, socket: Any) -> None:
        """Read when there is something; in the place of aiomqtt, which cannot be stopped."""
        if self._is_live(socket):
            self._loop.add_reader(socket.fileno(), self._read)

    def _read(self) -> None:
        try:
            while not self._is_full:
                self._paho.loop_read()
                live = self._paho.socket()
                if live is None or not getattr(live, "pending", int)():
                    break
        except _UNREADABLE as error:
            if not self.client._disconnected.done():
                self.client._disconnected.set_exception(error)
        live = self._paho.socket()
        if self._is_full and live is not None:
            self._is_paused = True
            self._loop.remove_reader(live.fileno())

    def _look_after(self) -> MQTTErrorCode:
        """Send what keeps the connection alive. While nothing is read no answer to it can be seen, so none is waited for."""
        if self._is_paused:
            self._paho._ping_t = 0.0
        return self._look_after_any()

"""The regulators' feed to one broker (docs/specs/feed.md): signed messages as they are, each on its topic.

A message goes where it says it is from: one signed before the gateway had another region, enterprise or id, to the place of before.
The bytes are never made anew. What is late goes to …/backfill whatever its kind, and is never retained.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

import structlog

from gateway.errors import SinkUnavailable
from gateway.feed import contract
from gateway.feed.entries import place_of
from gateway.model import NS, Refusal
from gateway.sinks.mqtt_connection import Broker, Login, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.feed.entries import Entry, Former
    from gateway.interfaces import Clock
    from gateway.sinks.mqtt_connection import Connection
    from gateway.sinks.tls import TlsFiles

STATE_EVERY_S = 60.0
ENDS_MAX = 3  # a message that ended so many connections, alone on each, is the reason
ENDS_KEPT = 100
_TOO_LARGE = 0x95
_MAY_BE_SIZE = frozenset({None, 0x81, 0x82, _TOO_LARGE})  # closed, malformed, protocol error

log = structlog.get_logger("feed")


class FeedMqtt:
    """A `Destination`. After SinkUnavailable from `write`, `open` again: it starts a new connection."""

    def __init__(
        self,
        *,
        id: str,
        host: str,
        port: int,
        gateway: str,
        region: str,
        enterprise: str,
        zone: str,
        clock: Clock,
        prefix: str = "emc/v1",
        protocol: Literal["5", "3.1.1"] = "5",
        user: str = "",
        password: str | None = None,
        tls: TlsFiles | None = None,
        timeout_s: float = 10,
    ) -> None:
        """prefix: topic levels before the region. zone: the site's. timeout_s: for connecting, and without any PUBACK."""
        self._prefix, self._place = prefix, "/".join((region, enterprise, gateway))
        self._root = f"{prefix}/{self._place}"
        self._gateway = gateway
        self._clock = clock
        self._zone = ZoneInfo(zone)
        login = Login(
            name=f"sink {id} (feed {host}:{port})",
            client_id=f"metergate-{gateway}-{id}",
            root=self._root,
            host=host,
            port=port,
            protocol=protocol,
            user=user,
            password=password,
            tls=tls,
            timeout_s=timeout_s,
        )
        self._broker = Broker(login, clock)
        self._chain = ""
        self._seq = self._told_seq = 0
        self._told_s = 0.0
        self._one_by_one = False
        self._longest = 0  # bytes of the longest message it took
        self._ends: dict[int, int] = {}  # seq -> connections it ended
        self._shut: set[str] = set()  # former places we may not write to any more

    async def open(self, retained: Sequence[Entry], *, chain: str, seq: int) -> None:
        """Connect, publish the retained messages and then the state online; on 3.1.1 prove the permission first.

        Raises SinkUnavailable.
        """
        self._chain, self._seq = chain, seq
        connection = await self._broker.open(self._state(online=False, will=True))
        is_announced = False
        try:
            for refusal in await self._send(connection, retained, late=False):
                topic = self._message(retained[refusal.index], late=False).topic
                log.warning(
                    "a retained message cannot be announced",
                    sink=self._broker.login.name,
                    topic=topic,
                    reason=refusal.reason,
                )
            await self._broker.publish([self._state(online=True)])
            is_announced = True
        finally:
            if not is_announced:
                self._one_by_one = self._one_by_one or connection.is_ended
                self._broker.drop()

    async def write(self, entries: Sequence[Entry], *, late: bool) -> list[Refusal]:
        """Return the messages that are longer than the broker takes, once every other one has a good PUBACK. Raises SinkUnavailable."""
        connection = self._broker.connection
        if connection is None:
            raise SinkUnavailable(f"{self._broker.login.name}: not connected")
        refusals = await self._send(connection, entries, late=late)
        if entries:
            self._one_by_one = False
            self._seq = max(self._seq, entries[-1].seq)
        if self._seq != self._told_seq and self._clock.monotonic() >= self._told_s + STATE_EVERY_S:
            await self._broker.publish([self._state(online=True)])
        return refusals

    async def _send(self, connection: Connection, entries: Sequence[Entry], *, late: bool) -> list[Refusal]:
        """Publish in order; return what is longer than the broker takes. Raises SinkUnavailable.

        A broker that did not tell its limit may end the connection instead, over and over. So after an end the same
        messages go one by one until all of them are through, and one that is longer than any it took is given up at last.
        """
        refusals: list[Refusal] = []
        fitting: list[tuple[int, Entry, Message]] = []
        for index, entry in enumerate(entries):
            message = self._message(entry, late=late)
            if self._shut and place_of(entry.jws) in self._shut:
                refusals.append(Refusal(index, f"nothing may be written to the former place {message.topic}"))
            elif not connection.takes(message):
                refusals.append(
                    Refusal(index, _too_large(entry, f"the {connection.packet_max} the broker takes"))
                )
            elif self._ends.get(entry.seq, 0) >= ENDS_MAX:
                refusals.append(
                    Refusal(index, _too_large(entry, "any it took; it ends the connection instead"))
                )
            else:
                fitting.append((index, entry, message))
        if self._one_by_one:
            for _, entry, message in fitting:
                await self._send_alone(connection, entry, message)
        else:
            try:
                await self._broker.publish([message for *_, message in fitting])
            except SinkUnavailable:
                self._one_by_one = connection.is_ended
                self._shut_out(connection.denied)
                raise
        if self._broker.login.protocol == "5":  # a 3.1.1 broker acknowledges what it throws away, too
            self._longest = max((self._longest, *(len(entry.jws) for _, entry, _ in fitting)))
        return refusals

    async def _send_alone(self, connection: Connection, entry: Entry, message: Message) -> None:
        """Publish one message; count it if it ends the connection and is longer than any that went. Raises SinkUnavailable."""
        is_longest = len(entry.jws) > self._longest
        after = [self._state(online=True)] if is_longest else []  # only then the acknowledgement is proved
        try:
            await self._broker.publish([message])
            await self._broker.publish(after)
        except SinkUnavailable:
            self._shut_out(connection.denied)
            if connection.is_ended and not message.topic.startswith(f"{self._root}/"):
                self._ended(entry.seq, message.topic)
            may_be_size = connection.is_ended and connection.code in _MAY_BE_SIZE
            if may_be_size and is_longest:
                ends = ENDS_MAX if connection.code == _TOO_LARGE else self._ends.get(entry.seq, 0) + 1
                self._ends = {**dict(list(self._ends.items())[-ENDS_KEPT:]), entry.seq: ends}
            raise
        self._longest = max(self._longest, len(entry.jws))
        self._ends.pop(entry.seq, None)

    def _shut_out(self, topic: str) -> None:
        """Give a former place up if a message there was denied: the topics of today are not held up by it."""
        if topic and not topic.startswith(f"{self._root}/"):
            place = "/".join(topic.removeprefix(f"{self._prefix}/").split("/")[:3])
            self._shut.add(place)
            log.warning("nothing may be written to a former place", sink=self._broker.login.name, place=place)

    def _ended(self, key: int, topic: str) -> None:
        """Count a connection that something at a former place ended: brokers deny in this way, too."""
        self._ends[key] = self._ends.get(key, 0) + 1
        if self._ends[key] >= ENDS_MAX:
            self._shut_out(topic)

    async def leave_place(self, former: Former) -> None:
        """Take away what is retained at a former place and say offline there, unless that is denied. Raises SinkUnavailable."""
        connection, root = self._broker.connection, f"{self._prefix}/{former.place}"
        if connection is None or former.place in self._shut:
            return
        gone = [Message(f"{root}/{name}", b"", retain=True) for name in former.topics]
        gateway = former.place.rpartition("/")[2]
        try:
            await self._broker.publish([*gone, self._state(online=False, root=root, gateway=gateway)])
        except SinkUnavailable:
            self._shut_out(connection.denied)
            if connection.is_ended:
                self._ended(-former.number, f"{root}/state")
            raise

    async def close(self) -> None:
        """Leave the retained state offline and disconnect; never raises, may be called twice."""
        if self._broker.connection is not None:
            await self._broker.leave(self._state(online=False))

    def _message(self, entry: Entry, *, late: bool) -> Message:
        root = f"{self._prefix}/{place_of(entry.jws) or self._place}"
        if late:
            return Message(f"{root}/backfill", entry.jws)
        topic = f"{root}/{contract.topic(entry.kind, entry.subject)}"
        return Message(topic, entry.jws, retain=entry.kind in contract.RETAINED)

    def _state(self, *, online: bool, will: bool = False, root: str = "", gateway: str = "") -> Message:
        """Return the state as of now; the last will has no time. root, gateway: of a former place."""
        whole, rest = divmod(self._clock.wall_ns(), NS)
        at = datetime.fromtimestamp(whole, self._zone).replace(microsecond=rest // 1000)
        body = contract.State(
            gateway=gateway or self._gateway,
            online=online,
            at=None if will else at.isoformat(timespec="milliseconds"),
            chain=self._chain,
            seq=str(self._seq),
        )
        if online:
            self._told_seq, self._told_s = self._seq, self._clock.monotonic()
        return Message(
            f"{root or self._root}/state", body.model_dump_json(exclude_none=True).encode(), retain=True
        )


def _too_large(entry: Entry, limit: str) -> str:
    return (
        f"{len(entry.jws)} bytes are more, with the topic, than {limit}; raise its limit on packets to 300 kB"
    )

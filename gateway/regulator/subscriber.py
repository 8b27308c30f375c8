"""Messages of a broker, MQTT 5 and QoS 1, over reconnections; each is acknowledged when whoever asked is done with it.

paho acknowledges before anybody has seen a message and aiomqtt drops what its queue has no room for. So paho is told to wait,
the broker to keep no more than `receive_max` under way (where it does not, nothing more is read), and a PUBACK goes only to the connection its message came from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self

from gateway.backoff import Backoff
from gateway.model import MS_NS
from gateway.regulator.broker import BrokerAway, Session
from gateway.regulator.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from gateway.interfaces import Clock
    from gateway.regulator.broker import Broker

PREFIX = "emc/v1"
PAUSES_S = 0.5, 30.0  # before the first and the longest wait for another connection
SETTLED_S = 10.0  # a connection that lives less was no success, and is not replaced at once
SHORT_LIVES = 3  # such connections in a row look like another client with the same id


class Message(NamedTuple):
    """What came. retain: from before the subscription. t_ms: when, since 1970."""

    topic: str
    payload: bytes
    retain: bool
    t_ms: int


class Delivery(NamedTuple):
    """A message that is still to be acknowledged to the connection it came from; mid 0: not at all (QoS 0)."""

    message: Message
    connection: Connection
    mid: int


class Subscriber:
    """A subscription that outlives its connections. Use as a context manager: `async with`."""

    def __init__(
        self,
        broker: Broker,
        filters: Sequence[str],
        clock: Clock,
        *,
        session: Session | None = None,
        told: Callable[[str], None] | None = None,
        patient: bool = False,
        seed: float = 0.0,
    ) -> None:
        """filters: topic filters. told: gets a line whenever the connection is lost or found. patient: the first one may be long in coming.

        seed: 0…1, parts several that lost one broker.
        """
        self.broker, self.filters = broker, list(filters)
        self.session = session or Session()
        self.dropped = self.losses = self.sessions_lost = 0
        self._clock = clock
        self._told = told or (lambda _text: None)
        self._backoff = Backoff(*PAUSES_S, seed)
        self._patient = patient
        self._connection: Connection | None = None
        self._queue: deque[Delivery] = deque()
        self._awake = asyncio.Event()
        self._was_in = False
        self._since_s = 0.0
        self._short_lives = 0
        self._why_lost = ""

    async def __aenter__(self) -> Self:
        """Connect, unless it is patient; that one connects when it is asked for messages. Raises BrokerAway."""
        if not self._patient:
            await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say goodbye; what is not acknowledged stays the broker's, if a session keeps it."""
        if self._connection is not None:
            self._connection.leave()
            self._connection = None

    @property
    def is_connected(self) -> bool:
        """Return whether there is a connection now."""
        return self._connection is not None and not self._connection.fault

    @property
    def is_idle(self) -> bool:
        """Return whether there is a connection, and everything that came over it is acknowledged."""
        found = self._connection
        return found is not None and not found.fault and not found.unacknowledged and not self._queue

    def end_session(self) -> None:
        """Have the broker forget us, with all it kept, at the goodbye."""
        if self._connection is not None:
            self._connection.ends_session = True

    async def take(self, most: int) -> list[Delivery]:
        """Return 1 to `most` messages, in the order they came; connects anew as often as it takes. Raises BrokerAway if that is hopeless."""
        while not self._queue:
            if self._connection is None:
                await self._connect_again()
            elif self._connection.fault:
                self._lose()
            else:
                self._awake.clear()
                await self._awake.wait()
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Tell the broker that we have these, in the order given. One of a lost connection comes again, so nothing is said of it."""
        for delivery in deliveries:
            delivery.connection.acknowledge(delivery.mid, len(delivery.message.payload))

    async def messages(self) -> AsyncIterator[Message]:
        """Yield messages, each acknowledged once the next one is asked for. Raises BrokerAway if going on is hopeless."""
        while True:
            for delivery in await self.take(self.session.receive_max):
                yield delivery.message
                self.acknowledge([delivery])

    async def _connect_again(self) -> None:
        """Connect, after pauses that grow. Raises BrokerAway if that is hopeless."""
        if self._short_lives:
            await self._pause(self._why_lost)
        while True:
            try:
                await self._connect()
            except BrokerAway as error:
                if error.hopeless:
                    raise
                await self._pause(str(error))
            else:
                return

    async def _pause(self, why: str) -> None:
        pause_s = self._backoff.next_s()
        self._told(f"{why}; next try in {pause_s:.1f} s")
        await self._clock.sleep_until(self._clock.monotonic() + pause_s)

    async def _connect(self) -> None:
        connection = Connection(self.broker, self.session, self._put, self._awake.set)
        await connection.open(self.filters)
        self._connection = connection
        if self._was_in and self.session.expiry_s and not connection.session_present:
            self.sessions_lost += 1
            self._told(
                f"{self.broker.name}: it no longer has our session: what it kept for us meanwhile is lost here"
            )
        if self._was_in or self._backoff.failures:
            self._told(f"{self.broker.name}: connected again")
        self._was_in = True
        self._since_s = self._clock.monotonic()

    def _lose(self) -> None:
        """Give the connection up. Raises BrokerAway if another one would be no better."""
        assert self._connection is not None
        self.losses += 1
        self._why_lost = f"{self.broker.name}: {self._connection.fault}"
        if self._clock.monotonic() - self._since_s < SETTLED_S:
            self._short_lives += 1  # told with the pause
        else:
            self._short_lives = 0
            self._backoff.reset()
            self._told(self._why_lost)
        if self._short_lives >= SHORT_LIVES and self.session.client_id:
            self._why_lost += (
                f"; {self._short_lives} times in a row within {SETTLED_S:g} s: "
                f"another client may use the same id {self.session.client_id}"
            )
        self._connection.leave()
        refusal, self._connection = self._connection.refusal, None
        if refusal is not None and refusal.hopeless:
            raise refusal

    def _put(self, connection: Connection, topic: str, payload: bytes, retain: bool, mid: int) -> None:
        if not mid and len(self._queue) >= 2 * self.session.receive_max:
            self.dropped += 1  # QoS 0, which no limit holds back; the feed is QoS 1
            return
        message = Message(topic, payload, retain, self._clock.wall_ns() // MS_NS)
        self._queue.append(Delivery(message, connection, mid))
        self._awake.set()


async def messages(
    broker: Broker, clock: Clock, *, prefix: str = PREFIX, told: Callable[[str], None] | None = None
) -> AsyncIterator[Message]:
    """Yield every message of the feeds under a prefix, over reconnections. Raises BrokerAway if the first connection fails."""
    async with Subscriber(broker, [f"{prefix}/#"], clock, told=told) as subscriber:
        async for message in subscriber.messages():
            yield message

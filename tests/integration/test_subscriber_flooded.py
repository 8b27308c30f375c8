"""Brokers that send more at once than they were allowed: nothing more is read until there is room, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiomqtt
import pytest

from gateway.clock import SystemClock
from gateway.regulator import connection as module
from gateway.regulator.broker import Broker, Session
from gateway.regulator.subscriber import Subscriber
from gateway.sinks.tls import TlsFiles
from tests.fakes import mqtt as fake
from tests.fakes.certificates import make_certificates
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

COUNT = 1500
PINGREQ, SUBACK = b"\xc0\x00", b"\x90\x04\x00\x01\x00\x01"


class Flood:
    """A broker that sends messages of so many bytes without waiting, once there is a subscription; counts what keeps it alive."""

    def __init__(self, size: int) -> None:
        self.size, self.pings, self.sent, self.is_over = size, asyncio.Queue[bytes](), 0, asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"collector-1")
            writer.write(fake.CONNACK)
            await reader.readuntil(b"a/#\x01")
            writer.write(SUBACK)
            sending = asyncio.ensure_future(self._send(writer))
            try:
                while words := await reader.read(4096):
                    if PINGREQ in words:
                        self.pings.put_nowait(words)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        writer.close()
        self.is_over.set()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        for n in range(1, COUNT + 1):
            body = b"\x00\x03a/x%b\x00" % n.to_bytes(2, "big") + b"%08d" % n + bytes(self.size)
            writer.write(b"\x32" + _length(len(body)) + body)
            self.sent = n
            await writer.drain()


def _length(number: int) -> bytes:
    parts = [number & 127 | 128, number >> 7 & 127 | 128, number >> 14]
    return bytes(parts)


@contextlib.asynccontextmanager
async def flooding(size: int) -> AsyncIterator[tuple[Flood, Broker]]:
    flood = Flood(size)
    async with await asyncio.start_server(flood.serve, "127.0.0.1", 0) as server, asyncio.timeout(60):
        yield flood, Broker.of(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await flood.is_over.wait()


async def filled(subscriber: Subscriber, count: int) -> None:
    """Return once there are so many messages, and had been time for one more."""
    while len(subscriber._queue) < count:  # noqa: ASYNC110 - nothing tells of it but `take`
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.001)


async def test_no_more_than_receive_max_is_taken_from_one_that_does_not_keep_to_it() -> None:
    session = Session("collector-1", expiry_s=3600, receive_max=10)
    came: list[bytes] = []
    async with flooding(0) as (_, broker), Subscriber(broker, ["a/#"], SystemClock(), session=session) as one:
        while len(came) < COUNT:
            await filled(one, 10)
            assert len(one._queue) == 10
            taken = await one.take(5000)
            came += [delivery.message.payload for delivery in taken]
            one.acknowledge(taken)
    assert came == [b"%08d" % n for n in range(1, COUNT + 1)]


async def test_long_messages_are_held_back_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_MAX", 4_000_000)
    session = Session("collector-1", expiry_s=3600, receive_max=5000)
    async with (
        flooding(100_000) as (flood, broker),
        Subscriber(broker, ["a/#"], SystemClock(), session=session) as one,
    ):
        await filled(one, 40)
        assert flood.sent < COUNT
        held = await one.take(5000)
        assert len(held) == 40
        one.acknowledge(held[:1])
        assert len(await one.take(5000)) == 1


async def test_a_connection_that_is_not_read_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEPALIVE_S", 1)
    session = Session("collector-1", expiry_s=3600, receive_max=10)
    async with (
        flooding(0) as (flood, broker),
        Subscriber(broker, ["a/#"], SystemClock(), session=session) as one,
    ):
        for _ in range(3):  # the third would never come of one that waits for answers
            await flood.pings.get()
        assert one.is_connected
        assert len(one._queue) == 10


@pytest.mark.parametrize("secured", [False, True])
async def test_mosquitto_sends_more_for_every_acknowledgement(
    tmp_path: Path, free_port: Callable[[], int], secured: bool
) -> None:
    """Measured with 2.0.11: receive_max more for each PUBACK, and all of them at once to a session that comes back."""
    files = make_certificates(tmp_path / "tls")
    tls = (files.ca, files.server, files.server_key) if secured else None
    session = Session("collector-1", expiry_s=3600, receive_max=10)
    with Mosquitto(tmp_path / "broker", free_port(), tls=tls) as server:
        trusted = TlsFiles(files.ca, files.client, files.client_key) if secured else None
        scheme = "mqtts" if secured else "mqtt"
        broker = Broker.of(f"{scheme}://127.0.0.1:{server.port}", tls=trusted)
        came: set[bytes] = set()
        async with asyncio.timeout(60):
            for turn in range(3):
                async with Subscriber(broker, ["a/#"], SystemClock(), session=session) as one:
                    if not turn:
                        await publish(broker)
                    while len(came) < (turn + 1) * 60:
                        taken = await one.take(5000)
                        assert one._connection is not None
                        assert one._connection.unacknowledged <= 10
                        came |= {delivery.message.payload for delivery in taken}
                        one.acknowledge(taken[:3])
                        one.acknowledge(taken[3:])
    assert came >= {b"%d" % n for n in range(150)}


async def publish(broker: Broker) -> None:
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=None if broker.tls is None else broker.tls.context(),
    )
    async with client:
        for n in range(200):
            await client.publish("a/x", b"%d" % n, qos=1)

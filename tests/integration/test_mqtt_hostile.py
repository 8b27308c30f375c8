"""The MQTT sink against a broker that sends what it should not, or throws us out."""

from __future__ import annotations

import asyncio

import pytest

from gateway.clock import SystemClock
from gateway.errors import SinkUnavailable
from gateway.sinks.mqtt import MqttSink
from gateway.sinks.mqtt_connection import PACKET_MAX, Broker, Login, Message
from tests.fakes import mqtt as fake
from tests.fakes.frames import make_batch, make_site
from tests.fakes.mqtt import FakeBroker

PASSWORD = "s3cret-word"
HUGE = b"\x30\xff\xff\xff\x7f"  # a PUBLISH that says it is 256 MiB long
CLIENT = "metergate-plant-1-plant-mqtt"


def make_sink(broker: FakeBroker) -> MqttSink:
    return MqttSink(
        id="plant-mqtt",
        host="127.0.0.1",
        port=broker.port,
        directory=make_site(1, 1),
        clock=SystemClock(),
        user="gate",
        password=PASSWORD,
        timeout_s=5,
    )


async def write_on(sink: MqttSink) -> None:
    while True:
        await sink.write(make_batch(make_site(1, 1)))


async def fate(sink: MqttSink) -> str:
    """Return why a write failed; birth and state went well."""
    try:
        async with asyncio.timeout(4):
            await sink.open()
            with pytest.raises(SinkUnavailable) as caught:
                await write_on(sink)
    finally:
        await sink.close()
    return str(caught.value)


async def test_the_broker_is_told_how_long_a_packet_may_be() -> None:
    async with FakeBroker() as broker:
        sink = make_sink(broker)
        await sink.open()
        await sink.close()
    (connect,) = broker.connects
    assert b"\x27" + PACKET_MAX.to_bytes(4, "big") in connect


async def test_a_packet_that_is_too_long_is_not_read() -> None:
    async with FakeBroker(acks=2, last_words=HUGE, endless=True) as broker:
        text = await fate(make_sink(broker))
        assert "the broker sends a packet of 268435455 bytes, more than 8192" in text
        assert broker.sent < 8 << 20


async def test_a_session_that_was_taken_over_is_named() -> None:
    async with FakeBroker(acks=3, last_words=b"\xe0\x02\x8e\x00") as broker:
        text = await fate(make_sink(broker))
    assert "0x8e Session taken over" in text
    assert f"another client uses the same id {CLIENT}" in text


async def test_a_connection_that_ends_with_its_connack_is_the_brokers_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it shows while it opens or at the first message."""
    monkeypatch.setattr(fake, "CONNACK", fake.CONNACK + b"\xe0\x02\x8e\x00")
    async with FakeBroker() as server:
        login = Login("sink plant", CLIENT, "r", "127.0.0.1", server.port, timeout_s=3)
        broker = Broker(login, SystemClock())
        with pytest.raises(SinkUnavailable, match="0x8e Session taken over"):
            await (await broker.open(Message("r/state", b"off"))).publish([Message("r/a", b"1")], 3)
        broker.drop()


async def test_thrown_out_again_and_again_without_a_word_gives_the_likely_cause() -> None:
    async with FakeBroker(acks=3) as broker:
        sink = make_sink(broker)
        texts = [await fate(sink) for _ in range(4)]
        broker.acks = None
        await sink.open()
        assert await sink.write(make_batch(make_site(1, 1))) == []
        await sink.close()
    assert ["another client may use the same id " + CLIENT in text for text in texts] == [False] * 2 + [
        True
    ] * 2


async def test_a_refusal_that_shows_the_password_is_told_without_it() -> None:
    why = f"no {PASSWORD}!".encode()
    words = b"\x1f" + len(why).to_bytes(2, "big") + why
    refusal = b"\x00\x03\x87" + bytes([len(words)]) + words
    async with FakeBroker(acks=2, last_words=b"\x40" + bytes([len(refusal)]) + refusal) as broker:
        text = await fate(make_sink(broker))
    assert "0x87 Not authorized, no …!" in text

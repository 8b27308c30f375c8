"""The subscriber against a real mosquitto: over restarts, with acknowledgements that wait, and with a broker that says no."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import TYPE_CHECKING

import aiomqtt
import pytest

from gateway.clock import SystemClock
from gateway.regulator.broker import Broker, BrokerAway, Session
from gateway.regulator.subscriber import Delivery, Subscriber, messages
from gateway.sinks.tls import TlsFiles
from tests.fakes import mqtt as fake
from tests.fakes.certificates import make_certificates
from tests.fakes.mqtt import FakeBroker
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

KEPT = Session("collector-1", expiry_s=3600, receive_max=10)


async def publish(port: int, topic: str, payloads: Iterable[bytes], *, retain: bool = False) -> None:
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        for payload in payloads:
            await client.publish(topic, payload, qos=1, retain=retain)


def broker_at(port: int) -> Broker:
    return Broker.of(f"mqtt://127.0.0.1:{port}")


async def test_messages_come_with_topic_retain_and_time(tmp_path: Path, free_port: Callable[[], int]) -> None:
    clock = SystemClock()
    with Mosquitto(tmp_path, free_port()) as server:
        await publish(server.port, "emc/v1/r/e/g/birth", [b"old"], retain=True)
        got = []
        async with asyncio.timeout(20):
            async for message in messages(broker_at(server.port), clock):
                got.append(message)
                if len(got) == 1:
                    await publish(server.port, "emc/v1/r/e/g/data", [b"1", b"2"])
                if len(got) == 3:
                    break
    assert [(m.topic.rpartition("/")[2], m.payload, m.retain) for m in got] == [
        ("birth", b"old", True),
        ("data", b"1", False),
        ("data", b"2", False),
    ]
    assert abs(got[0].t_ms - clock.wall_ns() // 1_000_000) < 20_000


async def test_it_comes_back_after_a_restart_of_the_broker(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    lines: list[str] = []
    server = Mosquitto(tmp_path, free_port())
    server.start()
    try:
        async with asyncio.timeout(30):
            async with Subscriber(
                broker_at(server.port), ["a/#"], SystemClock(), session=KEPT, told=lines.append
            ) as subscriber:
                await publish(server.port, "a/x", [b"before"])
                subscriber.acknowledge(await subscriber.take(1))
                await asyncio.to_thread(server.stop)
                waiting = asyncio.create_task(subscriber.take(1))
                await asyncio.to_thread(server.start)
                await publish(server.port, "a/x", [b"after"])
                got = [delivery.message.payload for delivery in await waiting]
                while b"after" not in got:  # "before" once more, if its PUBACK was lost with the connection
                    got += [delivery.message.payload for delivery in await subscriber.take(1)]
    finally:
        server.stop()
    assert subscriber.losses == 1
    assert subscriber.sessions_lost == 0
    assert any("connected again" in line for line in lines)


async def test_what_is_not_acknowledged_comes_again_and_no_more_than_receive_max(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with Mosquitto(tmp_path, free_port()) as server:
        async with asyncio.timeout(30):
            async with Subscriber(broker_at(server.port), ["a/#"], SystemClock(), session=KEPT) as subscriber:
                sent = [b"%d" % n for n in range(25)]
                await publish(server.port, "a/x", sent)
                held: list[Delivery] = []
                while len(held) < 10:
                    held += await subscriber.take(100)
                first = [delivery.message.payload for delivery in held]
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await subscriber.take(1)
                subscriber.acknowledge(held[:4])
                first += [d.message.payload for d in await subscriber.take(100)]
            async with Subscriber(broker_at(server.port), ["a/#"], SystemClock(), session=KEPT) as again:
                later: list[bytes] = []
                while later[-1:] != sent[-1:]:
                    deliveries = await again.take(100)
                    later += [delivery.message.payload for delivery in deliveries]
                    again.acknowledge(deliveries)
    assert first == sent[: len(first)]
    assert len(first) <= 14
    again_too = (
        len(later) - 21
    )  # PUBACKs that a broker had not read when the connection was closed; its right
    assert 0 <= again_too <= 4
    assert later == sent[4 - again_too :]


@pytest.mark.parametrize(
    ("acl", "users", "user", "password", "told"),
    [
        ([], {"who": "right"}, "who", "wrong", "--password-file"),
        (["user who", "topic read other/#"], {"who": "right"}, "who", "right", None),
    ],
)
async def test_a_broker_that_does_not_let_us(
    tmp_path: Path,
    free_port: Callable[[], int],
    acl: list[str],
    users: dict[str, str],
    user: str,
    password: str,
    told: str | None,
) -> None:
    with Mosquitto(tmp_path, free_port(), users=users, acl=acl) as server:
        broker = Broker.of(f"mqtt://127.0.0.1:{server.port}", user=user, password=password)
        subscriber = Subscriber(broker, ["emc/v1/#"], SystemClock())
        if told is None:  # mosquitto 2.0.11 grants what its ACL then does not deliver: nothing to see here
            async with subscriber:
                assert subscriber.is_connected
            return
        with pytest.raises(BrokerAway, match=re.escape(told)) as caught:
            await subscriber.__aenter__()
        assert caught.value.hopeless
        assert password not in str(caught.value)


async def test_nobody_there_says_so_at_once_unless_one_is_patient(free_port: Callable[[], int]) -> None:
    broker = broker_at(free_port())
    with pytest.raises(BrokerAway, match="cannot connect") as caught:
        await Subscriber(broker, ["a/#"], SystemClock()).__aenter__()
    assert not caught.value.hopeless
    lines: list[str] = []
    async with Subscriber(broker, ["a/#"], SystemClock(), patient=True, told=lines.append) as subscriber:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await subscriber.take(1)
    assert "next try in" in lines[0]


@pytest.mark.parametrize(
    "url", ["http://h", "mqtt://", "mqtt://h:99999", "mqtt://h/topic", "mqtt://u:p@h", "h:1883", "mqtt://h?x"]
)
def test_what_is_no_broker(url: str) -> None:
    with pytest.raises(BrokerAway, match=re.escape("expected mqtt://HOST")):
        Broker.of(url)


def test_ports_and_encryption_follow_the_scheme() -> None:
    assert Broker.of("mqtt://h").port == 1883
    secured = Broker.of("mqtts://h")
    assert (secured.port, secured.tls is not None) == (8883, True)


async def test_tls_with_client_certificates(tmp_path: Path, free_port: Callable[[], int]) -> None:
    files = make_certificates(tmp_path / "tls")
    with Mosquitto(tmp_path / "b", free_port(), tls=(files.ca, files.server, files.server_key)) as server:
        url = f"mqtts://127.0.0.1:{server.port}"
        ours = Broker.of(url, tls=TlsFiles(files.ca, files.client, files.client_key))
        async with Subscriber(ours, ["a/#"], SystemClock()) as subscriber:
            assert subscriber.is_connected
        for tls, told in (
            (TlsFiles(files.ca), "broker 127.0.0.1"),
            (TlsFiles(files.other_ca, files.client, files.client_key), "certificate verify failed"),
            (None, "certificate verify failed"),
            (TlsFiles(files.ca, tmp_path / "gone.pem", files.client_key), "gone.pem"),
        ):
            with pytest.raises(BrokerAway, match=told):
                await Subscriber(Broker.of(url, tls=tls), ["a/#"], SystemClock()).__aenter__()


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        (b"\x11\x00\x00\x00\x3c", "keeps a session for 60 s only"),
        (b"\x2a\x00", "no shared subscriptions"),
    ],
)
async def test_a_broker_that_keeps_less_than_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, properties: bytes, told: str
) -> None:
    connack = bytes((0x20, 3 + len(properties), 0, 0, len(properties))) + properties
    monkeypatch.setattr(fake, "CONNACK", connack)
    async with FakeBroker() as server:
        subscriber = Subscriber(broker_at(server.port), ["$share/g/a/#"], SystemClock(), session=KEPT)
        with pytest.raises(BrokerAway, match=told) as caught:
            await subscriber.__aenter__()
    assert caught.value.hopeless


async def test_a_packet_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "CONNACK", fake.CONNACK + b"\x90\x04\x00\x01\x00\x01")  # CONNACK, SUBACK
    async with FakeBroker(acks=0, last_words=b"\x30\xff\xff\xff\x7f", endless=True) as server:
        subscriber = Subscriber(broker_at(server.port), ["a/#"], SystemClock())
        async with asyncio.timeout(20):
            assert "cut off" in await first_fault(subscriber)
        assert server.sent < 64 * 1024 * 1024


async def test_two_with_one_id_neither_storm_nor_hide_the_cause(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Each takes the other's connection; without a pause that was a thousand connections a second."""
    lines: list[str] = []
    named = asyncio.Event()

    def told(line: str) -> None:
        lines.append(line)
        if "another client may use the same id collector-1" in line:
            named.set()

    with Mosquitto(tmp_path, free_port()) as server:
        broker = broker_at(server.port)
        both = [
            Subscriber(broker, ["a/#"], SystemClock(), session=KEPT, told=told, patient=True)
            for _ in range(2)
        ]
        tasks = [asyncio.create_task(subscriber.take(1)) for subscriber in both]
        async with asyncio.timeout(30):
            await named.wait()
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
        for subscriber in both:
            await subscriber.__aexit__()
    assert sum(subscriber.losses for subscriber in both) <= 2 * 3 + 2
    assert all("next try in" in line or "connected again" in line for line in lines)


@pytest.mark.parametrize("has_session", [False, True])
async def test_a_connection_that_ends_before_the_subscription_is_answered_says_so_once(
    monkeypatch: pytest.MonkeyPatch, has_session: bool
) -> None:
    monkeypatch.setattr(fake, "CONNACK", bytes((0x20, 3, has_session, 0, 0)))
    async with FakeBroker(acks=0, last_words=b"\xe0\x02\x87\x00") as server:
        subscriber = Subscriber(broker_at(server.port), ["a/#"], SystemClock(), session=KEPT)
        async with asyncio.timeout(8):  # less than an answer is waited for
            text = await first_fault(subscriber)
    assert "the connection was lost (reason 0x87 Not authorized)" in text
    assert text.count("broker 127.0.0.1") == 1


async def test_a_taken_over_connection_without_an_id_of_ours_has_no_empty_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fake, "CONNACK", fake.CONNACK + b"\x90\x04\x00\x01\x00\x01")  # CONNACK, SUBACK
    async with FakeBroker(acks=0, last_words=b"\xe0\x02\x8e\x00") as server:
        text = await first_fault(Subscriber(broker_at(server.port), ["a/#"], SystemClock()))
    assert "another client uses the same id (of the user name or certificate)" in text


async def test_a_connection_that_ends_with_its_connack_leaves_no_exception_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unseen: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
    monkeypatch.setattr(fake, "CONNACK", fake.CONNACK + b"\xe0\x02\x8e\x00")
    async with FakeBroker() as server:
        text = await first_fault(Subscriber(broker_at(server.port), ["a/#"], SystemClock()))
    gc.collect()
    await asyncio.sleep(0)
    assert "0x8e Session taken over" in text
    assert unseen == []


async def first_fault(subscriber: Subscriber) -> str:
    """Return why the first connection is no use, whenever that shows."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    subscriber._told = lines.put_nowait
    try:
        await subscriber.__aenter__()
    except BrokerAway as error:
        return str(error)
    taking = asyncio.create_task(subscriber.take(1))
    try:
        return await lines.get()
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await subscriber.__aexit__()

"""The MQTT sink against real mosquitto: permissions, passwords, TLS, outages, last will."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal

import aiomqtt
import pytest

from gateway.clock import SystemClock
from gateway.errors import SinkUnavailable
from gateway.model import Batch
from gateway.sinks.mqtt import MqttSink
from gateway.sinks.tls import TlsFiles
from tests.fakes.certificates import make_certificates
from tests.fakes.frames import FakeDirectory, make_batch, make_frame, make_layout, make_site
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Port = Callable[[], int]
    Protocol = Literal["5", "3.1.1"]

ROOT = "metergate/v1/plant-1"
USERS = {"gate": "s3cret-word", "watch": "other"}
BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


def make_sink(broker: Mosquitto, site: FakeDirectory, **settings: Any) -> MqttSink:
    return MqttSink(
        id="plant-mqtt",
        host="127.0.0.1",
        port=broker.port,
        directory=site,
        clock=SystemClock(),
        **({"timeout_s": 5} | settings),
    )


class Watcher:
    """A subscriber that reads what comes, in order."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client

    async def next(self) -> tuple[str, Any, bool]:
        """Return (topic below the root, content, retained) of the next message."""
        async with asyncio.timeout(5):
            message = await anext(aiter(self.client.messages))
        assert isinstance(message.payload, bytes)
        assert message.qos == 1
        return str(message.topic).removeprefix(ROOT + "/"), json.loads(message.payload), bool(message.retain)

    async def frames(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the next `count` frames with their topics; other topics are passed over."""
        found: list[tuple[str, dict[str, Any]]] = []
        while len(found) < count:
            topic, body, retained = await self.next()
            if topic.startswith("telemetry"):
                assert not retained
                found += [(topic, frame) for frame in body["frames"]]
        return found


@contextlib.asynccontextmanager
async def watching(broker: Mosquitto, topic: str = f"{ROOT}/#", **login: str) -> AsyncIterator[Watcher]:
    async with aiomqtt.Client("127.0.0.1", broker.port, **login) as client:  # type: ignore[arg-type]
        await client.subscribe(topic, qos=1)
        yield Watcher(client)


@contextlib.asynccontextmanager
async def opened(sink: MqttSink) -> AsyncIterator[MqttSink]:
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


def wanted(batch: Batch) -> list[tuple[str, int, list[float]]]:
    return [(f.layout.meter, f.time_ns // 10**6, list(f.values)) for f in batch.frames]


def got(frames: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, int, list[float]]]:
    return [(frame["m"], frame["t"], frame["x"]) for _, frame in frames]


@BOTH
async def test_frames_arrive_whole_and_in_order(tmp_path: Path, free_port: Port, protocol: Protocol) -> None:
    site = make_site(meters=20, channels=10)
    live, late = make_batch(site, polls=5), make_batch(site, polls=2, backfill=True)
    with Mosquitto(tmp_path, free_port()) as broker:
        sink = make_sink(broker, site, protocol=protocol)
        async with watching(broker, f"{ROOT}/telemetry/#") as live_watch:
            async with watching(broker, f"{ROOT}/telemetry-backfill/#") as late_watch, opened(sink):
                assert await sink.write(live) == []
                assert await sink.write(late) == []
                assert await sink.write(Batch([], 9, 9)) == []
                late_frames = await late_watch.frames(40)
            frames = await live_watch.frames(100)
    assert got(frames) == wanted(live)
    assert got(late_frames) == wanted(late)
    assert {topic for topic, _ in frames + late_frames} == {"telemetry", "telemetry-backfill"}


@BOTH
async def test_birth_and_state_are_retained_and_a_clean_close_says_offline(
    tmp_path: Path, free_port: Port, protocol: Protocol
) -> None:
    site = make_site(meters=2, channels=2)
    with Mosquitto(tmp_path, free_port()) as broker:
        sink = make_sink(broker, site, protocol=protocol)
        async with opened(sink), watching(broker) as late_comer:
            seen = {
                topic: (body, retained) for topic, body, retained in [await late_comer.next() for _ in "12"]
            }
        assert [m["id"] for m in seen["birth"][0]["meters"]] == ["m-001", "m-002"]
        assert seen["state"][0]["online"] is True
        assert all(retained for _, retained in seen.values())
        async with watching(broker, f"{ROOT}/state") as late_comer:
            topic, body, retained = await late_comer.next()
        assert (topic, body["online"], retained, "t" in body) == ("state", False, True, True)
        await sink.close()


async def test_a_message_a_meter(tmp_path: Path, free_port: Port) -> None:
    site = make_site(meters=30, channels=3)
    batch = make_batch(site, polls=3)
    with Mosquitto(tmp_path, free_port()) as broker:
        async with watching(broker) as watch, opened(make_sink(broker, site, group="meter")) as sink:
            await sink.write(batch)
            frames = await watch.frames(90)
    for meter in ("m-001", "m-030"):
        own = [(topic, frame) for topic, frame in frames if frame["m"] == meter]
        assert {topic for topic, _ in own} == {f"telemetry/{meter}"}
        assert [frame["t"] for _, frame in own] == [
            f.time_ns // 10**6 for f in batch.frames if f.layout.meter == meter
        ]


async def test_a_large_batch_is_cut_at_256_kib(tmp_path: Path, free_port: Port) -> None:
    site = make_site(meters=100, channels=30)
    batch = make_batch(site, polls=10)  # 30 000 readings, about 600 kB
    with Mosquitto(tmp_path, free_port()) as broker:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe(f"{ROOT}/telemetry", qos=1)
            async with opened(make_sink(broker, site)) as sink:
                await sink.write(batch)
            sizes, count = [], 0
            async with asyncio.timeout(10):
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    sizes.append(len(message.payload))
                    count += len(json.loads(message.payload)["frames"])
                    if count == 1000:
                        break
    assert len(sizes) > 1
    assert all(250 * 1024 < size <= 256 * 1024 for size in sizes[:-1])


async def test_a_broker_that_takes_less_gets_less(tmp_path: Path, free_port: Port) -> None:
    site = make_site(meters=100, channels=30)
    limits = ["max_packet_size 20000", "max_inflight_messages 3"]
    with Mosquitto(tmp_path, free_port(), settings=limits) as broker:
        async with watching(broker) as watch, opened(make_sink(broker, site)) as sink:
            await sink.write(make_batch(site))
            assert len(await watch.frames(100)) == 100


async def test_a_new_layout_is_announced_before_its_first_frame(tmp_path: Path, free_port: Port) -> None:
    site = make_site(meters=1, channels=2)
    old = site.in_force[0]
    with Mosquitto(tmp_path, free_port()) as broker:
        async with watching(broker) as watch, opened(make_sink(broker, site)) as sink:
            assert [(await watch.next())[0] for _ in "12"] == ["birth", "state"]
            new = make_layout("m-001", ("power_active", "current_l1"))
            site.in_force[0] = new
            await sink.write(Batch([make_frame(old), make_frame(new)], 1, 1))
            await sink.write(Batch([make_frame(old), make_frame(new)], 2, 2))
            await sink.write(Batch([make_frame(make_layout("gone"))], 3, 3, backfill=True))
            seen = [await watch.next() for _ in range(5)]
    assert [topic for topic, _, _ in seen] == [
        "birth",
        "telemetry",
        "telemetry",
        "birth",
        "telemetry-backfill",
    ]
    first, last = seen[0][1]["meters"], seen[3][1]["meters"]
    assert {layout["l"] for layout in first[0]["layouts"]} == {old.digest, new.digest}
    assert [meter["id"] for meter in last] == ["m-001", "gone"]


async def test_mqtt_5_a_denied_publish_is_not_success(tmp_path: Path, free_port: Port) -> None:
    acl = ["user gate", f"topic write {ROOT}/birth", f"topic write {ROOT}/state"]
    site = make_site(meters=1, channels=2)
    with Mosquitto(tmp_path, free_port(), users=USERS, acl=acl) as broker:
        sink = make_sink(broker, site, user="gate", password=USERS["gate"])
        await sink.open()
        with pytest.raises(
            SinkUnavailable, match=r"telemetry .*0x87 Not authorized.*give user gate write perm"
        ):
            await sink.write(make_batch(site))
        await sink.close()


@BOTH
async def test_a_user_without_any_permission_cannot_open(
    tmp_path: Path, free_port: Port, protocol: Protocol
) -> None:
    acl = ["user watch", "topic read #"]
    site = make_site(meters=1, channels=2)
    with Mosquitto(tmp_path, free_port(), users=USERS, acl=acl) as broker:
        sink = make_sink(broker, site, user="gate", password=USERS["gate"], protocol=protocol, timeout_s=0.5)
        async with watching(broker, username="watch", password="other") as watch:
            with pytest.raises(
                SinkUnavailable, match=r"give user gate write permission on metergate/v1/plant-1/#"
            ):
                await sink.open()
            with pytest.raises(SinkUnavailable, match="not connected"):
                await sink.write(make_batch(site))
            assert len(watch.client.messages) == 0
        await sink.close()


async def test_3_1_1_opens_where_the_probe_comes_back(tmp_path: Path, free_port: Port) -> None:
    acl = ["user gate", f"topic write {ROOT}/#", f"topic read {ROOT}/probe", "user watch", "topic read #"]
    site = make_site(meters=1, channels=2)
    with Mosquitto(tmp_path, free_port(), users=USERS, acl=acl) as broker:
        sink = make_sink(broker, site, user="gate", password=USERS["gate"], protocol="3.1.1")
        login = {"username": "watch", "password": "other"}
        async with watching(broker, f"{ROOT}/telemetry", **login) as watch, opened(sink):
            await sink.write(make_batch(site))
            assert len(await watch.frames(1)) == 1


@BOTH
async def test_a_wrong_password_is_named_and_not_shown(
    tmp_path: Path, free_port: Port, protocol: Protocol
) -> None:
    with Mosquitto(tmp_path, free_port(), users=USERS) as broker:
        sink = make_sink(broker, make_site(1, 1), user="gate", password="not-it-at-all", protocol=protocol)
        with pytest.raises(
            SinkUnavailable, match=r"refused the user name or password \(reason 0x8"
        ) as caught:
            await sink.open()
        assert "not-it-at-all" not in str(caught.value)
        assert "password file" in str(caught.value)
        await sink.close()


async def test_nobody_there(free_port: Port) -> None:
    broker = Mosquitto.__new__(Mosquitto)
    broker.port = free_port()
    sink = make_sink(broker, make_site(1, 1))
    with pytest.raises(SinkUnavailable, match=r"sink plant-mqtt \(mqtt 127\.0\.0\.1:\d+\): cannot connect"):
        await sink.open()
    await sink.close()


async def test_killed_in_flight_is_noticed_at_once_and_written_again_after(
    tmp_path: Path, free_port: Port
) -> None:
    site = make_site(meters=60, channels=5)
    batch = make_batch(site, polls=2)
    broker = Mosquitto(tmp_path, free_port())
    broker.start()
    sink = make_sink(broker, site, group="meter", timeout_s=20)
    await sink.open()
    broker.pause()  # takes bytes, acknowledges nothing
    writing = asyncio.create_task(sink.write(batch))
    done, _ = await asyncio.wait([writing], timeout=0.2)
    assert not done
    broker.kill()
    async with asyncio.timeout(2):
        with pytest.raises(SinkUnavailable, match="connection was lost"):
            await writing
    with pytest.raises(SinkUnavailable, match="cannot connect"):
        await sink.open()
    broker.start()
    async with watching(broker) as watch, opened(sink):
        assert await sink.write(batch) == []
        frames = await watch.frames(120)
    broker.stop()
    assert {(frame["m"], frame["t"]) for _, frame in frames} == {(m, t) for m, t, _ in wanted(batch)}


async def test_a_broker_that_stops_answering(tmp_path: Path, free_port: Port) -> None:
    site = make_site(meters=1, channels=1)
    with Mosquitto(tmp_path, free_port()) as broker:
        sink = make_sink(broker, site, timeout_s=0.3)
        await sink.open()
        broker.pause()
        with pytest.raises(SinkUnavailable, match=r"no acknowledgement within 0\.3 s"):
            await sink.write(make_batch(site))
        await sink.close()
        with pytest.raises(SinkUnavailable, match="cannot connect"):
            await sink.open()
        broker.resume()
        async with opened(sink):
            await sink.write(make_batch(site))


@BOTH
async def test_the_last_will_is_seen_when_the_gateway_vanishes(
    tmp_path: Path, free_port: Port, protocol: Protocol
) -> None:
    with Mosquitto(tmp_path, free_port()) as broker:
        sink = make_sink(broker, make_site(1, 1), protocol=protocol)
        async with watching(broker, f"{ROOT}/state") as watch:
            await sink.open()
            assert (await watch.next())[1]["online"] is True
            sink._drop()  # what a failed write does: no goodbye
            assert await watch.next() == ("state", {"v": 1, "gateway": "plant-1", "online": False}, False)
        await sink.close()


async def test_a_second_gateway_with_the_same_id_ends_the_first_connection(
    tmp_path: Path, free_port: Port
) -> None:
    site = make_site(1, 1)
    with Mosquitto(tmp_path, free_port()) as broker:
        first, second = make_sink(broker, site), make_sink(broker, site)
        await first.open()
        async with opened(second):
            with pytest.raises(
                SinkUnavailable, match=r"connection was lost \((closed without a word|.*taken over)"
            ):
                await first.write(make_batch(site))
        await first.close()


async def test_giving_up_while_connecting_leaves_nothing_behind(free_port: Port) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", port := free_port())
    broker = Mosquitto.__new__(Mosquitto)
    broker.port = port
    sink = make_sink(broker, make_site(1, 1))
    opening = asyncio.create_task(sink.open())
    await asyncio.wait([opening], timeout=0.1)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await sink.close()
    server.close()
    await server.wait_closed()


async def test_tls_with_client_certificates(tmp_path: Path, free_port: Port) -> None:
    files = make_certificates(tmp_path / "pki")
    site = make_site(meters=2, channels=2)
    with Mosquitto(tmp_path / "b", free_port(), tls=(files.ca, files.server, files.server_key)) as broker:
        sink = make_sink(broker, site, tls=TlsFiles(files.ca, files.client, files.client_key))
        async with opened(sink):
            assert await sink.write(make_batch(site)) == []

        nobody = make_sink(broker, site, tls=TlsFiles(files.ca), timeout_s=20)
        async with asyncio.timeout(3):
            with pytest.raises(SinkUnavailable, match="cannot connect"):
                await nobody.open()

        stranger = make_sink(broker, site, tls=TlsFiles(files.other_ca, files.client, files.client_key))
        with pytest.raises(SinkUnavailable, match="certificate verify failed"):
            await stranger.open()

        lost = make_sink(broker, site, tls=TlsFiles(files.ca, tmp_path / "gone.pem", files.client_key))
        with pytest.raises(SinkUnavailable, match=r"gone\.pem.*tls\.cert_file"):
            await lost.open()
        for sink in (nobody, stranger, lost):
            await sink.close()


async def test_the_server_name_is_checked(tmp_path: Path, free_port: Port) -> None:
    files = make_certificates(tmp_path / "pki", server_name="elsewhere.example")
    with Mosquitto(tmp_path / "b", free_port(), tls=(files.ca, files.server, files.server_key)) as broker:
        sink = make_sink(broker, make_site(1, 1), tls=TlsFiles(files.ca, files.client, files.client_key))
        with pytest.raises(SinkUnavailable, match="IP address mismatch"):
            await sink.open()
        await sink.close()

"""The feed against real mosquitto: topics, retained messages, state, permissions, sizes, outages, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal

import aiomqtt
import pytest

from gateway.clock import SystemClock
from gateway.dispatch import Dispatcher
from gateway.errors import SinkUnavailable
from gateway.feed.contract import State
from gateway.health import SinkHealth
from gateway.sinks.feed_mqtt import FeedMqtt
from tests.fakes.feed import CHAIN, entry
from tests.fakes.mqtt import FakeBroker
from tests.fakes.outbox import FakeOutbox
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Port = Callable[[], int]
    Protocol = Literal["5", "3.1.1"]

ROOT = "emc/v1/330100/91330000MA27XXXX0A/plant-1"
USERS = {"gate": "s3cret-word", "watch": "other"}
BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


class LaterClock(SystemClock):
    """later_s: how far it is ahead."""

    later_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_s


def make_feed(port: int, **settings: Any) -> FeedMqtt:
    more: dict[str, Any] = {"timeout_s": 5, "clock": SystemClock()}
    return FeedMqtt(
        id="reg", host="127.0.0.1", port=port, gateway="plant-1", region="330100", enterprise="91330000MA27XXXX0A",
        zone="Asia/Shanghai", **(more | settings),
    )  # fmt: skip


class Watcher:
    """A subscriber that reads what comes, in order."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client

    async def next(self) -> tuple[str, bytes, bool]:
        """Return (topic below the root, bytes, retained) of the next message."""
        async with asyncio.timeout(5):
            message = await anext(aiter(self.client.messages))
        assert isinstance(message.payload, bytes)
        assert message.qos == 1
        return str(message.topic).removeprefix(ROOT + "/"), message.payload, bool(message.retain)

    async def some(self, count: int) -> list[tuple[str, bytes, bool]]:
        return [await self.next() for _ in range(count)]

    async def state(self) -> dict[str, Any]:
        """Return the next state, by the contract."""
        while True:
            topic, body, _ = await self.next()
            if topic == "state":
                State.model_validate_json(body)
                found: dict[str, Any] = json.loads(body)
                return found


@contextlib.asynccontextmanager
async def watching(port: int, topic: str = f"{ROOT}/#", **login: str) -> AsyncIterator[Watcher]:
    async with aiomqtt.Client("127.0.0.1", port, **login) as client:  # type: ignore[arg-type]
        await client.subscribe(topic, qos=1)
        yield Watcher(client)


@contextlib.asynccontextmanager
async def opened(feed: FeedMqtt, retained: Any = (), seq: int = 0) -> AsyncIterator[FeedMqtt]:
    await feed.open(retained, chain=CHAIN, seq=seq)
    try:
        yield feed
    finally:
        await feed.close()


@BOTH
async def test_every_kind_goes_to_its_topic_and_late_ones_to_backfill(
    tmp_path: Path, free_port: Port, protocol: Protocol
) -> None:
    kinds = ["birth", "meter", "data", "summary", "event", "checkpoint", "fitting"]
    entries = [entry(n, kind, "m-1" if kind == "meter" else "") for n, kind in enumerate(kinds, 1)]  # type: ignore[arg-type]
    with Mosquitto(tmp_path, free_port()) as broker:
        feed = make_feed(broker.port, protocol=protocol)
        async with watching(broker.port) as watch, opened(feed):
            assert await feed.write(entries, late=False) == []
            assert await feed.write(entries, late=True) == []
            assert await feed.write([], late=True) == []
            await watch.state()
            live, late = await watch.some(7), await watch.some(7)
        topics = ["birth", "birth/m-1", "data", "summary", "event", "checkpoint", "fitting"]
        assert [(topic, body) for topic, body, _ in live] == [
            (topic, one.jws) for topic, one in zip(topics, entries, strict=True)
        ]
        assert [(topic, body) for topic, body, _ in late] == [("backfill", one.jws) for one in entries]
        async with watching(broker.port) as late_comer:
            await late_comer.client.publish(f"{ROOT}/end", b"", qos=1)
            kept = {}
            while (seen := await late_comer.next())[0] != "end":
                kept[seen[0]] = seen[1:]
        assert set(kept) == {"birth", "birth/m-1", "checkpoint", "fitting", "state"}
        assert all(retained for _, retained in kept.values())


async def test_what_is_retained_is_announced_with_the_same_bytes_before_the_state(
    tmp_path: Path, free_port: Port
) -> None:
    retained = [entry(3, "birth"), entry(4, "meter", "m-1"), entry(9, "fitting")]
    with Mosquitto(tmp_path, free_port()) as broker:
        feed = make_feed(broker.port)
        async with watching(broker.port) as watch:
            async with opened(feed, retained, seq=12):
                seen = await watch.some(4)
            offline = await watch.state()
            assert [(topic, body) for topic, body, _ in seen[:3]] == [
                ("birth", retained[0].jws),
                ("birth/m-1", retained[1].jws),
                ("fitting", retained[2].jws),
            ]
            state = json.loads(seen[3][1])
            assert (state["online"], state["chain"], state["seq"]) == (True, CHAIN, "12")
            assert state["at"].endswith("+08:00")
            assert (offline["online"], offline["seq"], "at" in offline) == (False, "12", True)
        async with watching(broker.port) as late_comer:
            kept = {topic: body for topic, body, _ in await late_comer.some(4)}
        assert kept["birth"] == retained[0].jws


@BOTH
async def test_the_last_will_is_retained_and_has_no_time(
    tmp_path: Path, free_port: Port, protocol: Protocol
) -> None:
    with Mosquitto(tmp_path, free_port()) as broker:
        feed = make_feed(broker.port, protocol=protocol)
        async with watching(broker.port, f"{ROOT}/state") as watch:
            await feed.open([], chain=CHAIN, seq=5)
            assert (await watch.state())["online"] is True
            feed._broker.drop()  # what a kill does: no goodbye
            will = await watch.state()
        assert will == {"v": 1, "gateway": "plant-1", "online": False, "chain": CHAIN, "seq": "5"}
        async with watching(broker.port, f"{ROOT}/state") as late_comer:
            assert (await late_comer.next())[2] is True
        await feed.close()


async def test_the_state_tells_the_newest_message_at_most_once_a_minute(
    tmp_path: Path, free_port: Port
) -> None:
    clock = LaterClock()
    with Mosquitto(tmp_path, free_port()) as broker:
        feed = make_feed(broker.port, clock=clock)
        async with watching(broker.port, f"{ROOT}/state") as watch, opened(feed):
            assert (await watch.state())["seq"] == "0"
            await feed.write([entry(1)], late=False)
            clock.later_s = 61
            await feed.write([entry(2), entry(3)], late=False)
            assert (await watch.state())["seq"] == "3"
            await feed.write([entry(4)], late=False)
            clock.later_s = 122
            await feed.write([entry(2)], late=True)
            assert (await watch.state())["seq"] == "4"
            clock.later_s = 183
            await feed.write([entry(3)], late=True)  # nothing newer
            assert len(watch.client.messages) == 0


async def test_a_denied_topic_holds_everything_and_names_user_topic_and_next_step(
    tmp_path: Path, free_port: Port
) -> None:
    acl = ["user gate", f"topic write {ROOT}/birth", f"topic write {ROOT}/state"]
    with Mosquitto(tmp_path, free_port(), users=USERS, acl=acl) as broker:
        feed = make_feed(broker.port, user="gate", password=USERS["gate"])
        await feed.open([entry(1, "birth")], chain=CHAIN, seq=1)
        with pytest.raises(
            SinkUnavailable,
            match=rf"sink reg .*refused a message on {ROOT}/data .*0x87 Not authorized.*give user gate write permission on {ROOT}/#",
        ):
            await feed.write([entry(2)], late=False)
        with pytest.raises(SinkUnavailable, match="not connected"):
            await feed.write([entry(2)], late=False)
        await feed.close()


async def test_a_user_who_may_not_even_announce_cannot_open(tmp_path: Path, free_port: Port) -> None:
    acl = ["user watch", "topic read #"]
    with Mosquitto(tmp_path, free_port(), users=USERS, acl=acl) as broker:
        for protocol in ("5", "3.1.1"):
            feed = make_feed(
                broker.port, user="gate", password=USERS["gate"], protocol=protocol, timeout_s=0.5
            )
            with pytest.raises(SinkUnavailable, match="give user gate write permission"):
                await feed.open([entry(1, "birth")], chain=CHAIN, seq=1)
            await feed.close()


async def test_longer_than_the_broker_says_it_takes_is_refused_and_the_others_go(
    tmp_path: Path, free_port: Port
) -> None:
    with Mosquitto(tmp_path, free_port(), settings=["max_packet_size 8000"]) as broker:
        feed = make_feed(broker.port)
        big = entry(2, size=9000)
        async with (
            watching(broker.port, f"{ROOT}/data") as watch,
            opened(feed, [entry(1, "birth", size=9000)]),
        ):
            (refusal,) = await feed.write([entry(1), big, entry(3)], late=False)
            assert refusal.index == 1
            assert f"{len(big.jws)} bytes" in refusal.reason
            assert "8000" in refusal.reason
            assert [body for _, body, _ in await watch.some(2)] == [entry(1).jws, entry(3).jws]


async def test_the_longest_message_a_broker_takes_is_taken(tmp_path: Path, free_port: Port) -> None:
    topic = f"{ROOT}/data"
    one = entry(1, size=3000)
    packet = (
        len(one.jws) + len(topic) + 2 + 2 + 1 + 3
    )  # topic's length, message id, properties, type and length
    for limit, taken in ((packet + 2, True), (packet - 1, False)):
        with Mosquitto(tmp_path / str(limit), free_port(), settings=[f"max_packet_size {limit}"]) as broker:
            async with opened(make_feed(broker.port)) as feed:
                assert (await feed.write([one], late=False) == []) is taken


@BOTH
@pytest.mark.parametrize("kind", ["data", "birth"])
async def test_a_limit_the_broker_did_not_tell_blocks_nothing(
    tmp_path: Path, free_port: Port, protocol: Protocol, kind: Literal["data", "birth"]
) -> None:
    """mosquitto 2.0 answers with a PUBACK code that the standard has not, or closes."""
    outbox = FakeOutbox()
    outbox.add(count=2)
    outbox.add(kind, size=9000)
    outbox.add(count=2)
    with Mosquitto(tmp_path, free_port(), settings=["message_size_limit 4000"]) as broker:
        feed = make_feed(broker.port, protocol=protocol)
        async with dispatching(feed, outbox) as dispatcher:
            await until(lambda: not dispatcher.pending)
            outbox.add(count=3)
            await until(lambda: not dispatcher.pending)
            figures = dispatcher.figures()
        again = make_feed(
            broker.port, protocol=protocol
        )  # knows nothing of it, and announces a birth at once
        async with dispatching(again, outbox, body=outbox.saved["reg"]) as dispatcher:
            outbox.add(count=2)
            await until(lambda: not dispatcher.pending)
            assert dispatcher.figures()["delivered"] == 9
    assert (figures["delivered"], figures["refused"]) == (7, 1)
    (refusal,) = figures["refusals"]
    assert refusal["seq"] == 3
    assert "raise its limit" in refusal["reason"]


async def test_a_full_message_of_256_kib_arrives_whole(tmp_path: Path, free_port: Port) -> None:
    one = entry(1, size=194_000)
    assert 250 * 1024 < len(one.jws) < 256 * 1024
    with Mosquitto(tmp_path, free_port()) as broker:
        async with watching(broker.port, f"{ROOT}/data") as watch, opened(make_feed(broker.port)) as feed:
            assert await feed.write([one, one], late=False) == []
            assert [body for _, body, _ in await watch.some(2)] == [one.jws] * 2


async def test_any_other_reason_code_holds_the_position() -> None:
    quota = b"\x40\x04\x00\x02\x97\x00"  # PUBACK of message 2: Quota exceeded
    async with FakeBroker(acks=1, last_words=quota) as broker:
        feed = make_feed(broker.port, timeout_s=1)
        await feed.open([], chain=CHAIN, seq=0)
        with pytest.raises(
            SinkUnavailable, match=r"refused a message on .*/data \(reason 0x97 Quota exceeded\)"
        ):
            await feed.write([entry(1)], late=False)
        await feed.close()


@contextlib.asynccontextmanager
async def dispatching(
    feed: FeedMqtt, outbox: FakeOutbox, id_: str = "reg", **more: Any
) -> AsyncIterator[Dispatcher]:
    settings: dict[str, Any] = {"body": None, "first": 1, "backlog_rate": 1000.0, "pause_max_s": 0.5}
    dispatcher = Dispatcher(id_, feed, outbox, SystemClock(), SinkHealth("feed"), **(settings | more))
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not done():  # noqa: ASYNC110 - the dispatcher gives no event to wait for
            await asyncio.sleep(0.01)


async def test_a_killed_broker_gets_all_of_it_with_the_same_bytes(tmp_path: Path, free_port: Port) -> None:
    outbox = FakeOutbox()
    outbox.add("birth")
    broker = Mosquitto(tmp_path, free_port())
    with broker:
        async with watching(broker.port) as watch, dispatching(make_feed(broker.port), outbox) as dispatcher:
            outbox.add(count=30)
            await until(lambda: not dispatcher.pending)
            before = {body for _, body, _ in await watch.some(32)}
            broker.pause()
            outbox.add(count=30)
            await asyncio.sleep(0.2)  # they are under way
            broker.kill()
            await until(lambda: dispatcher._health.state == "down")
            outbox.add(count=30)
            dispatcher._failing_since_s = float("-inf")  # as after an hour
            broker.start()
            async with watching(broker.port) as watch_2:
                await until(lambda: not dispatcher.pending)
                after: list[tuple[str, bytes, bool]] = []
                while len([topic for topic, *_ in after if topic == "backfill"]) < 60:
                    after.append(await watch_2.next())
        sent = {one.jws for one in outbox.kept.values()}
        assert sent <= before | {body for _, body, _ in after}
        late = [body for topic, body, _ in after if topic == "backfill"]
        assert late == [outbox.kept[seq].jws for seq in range(32, 92)], "in order"
        assert next(body for topic, body, _ in after if topic == "birth") == outbox.kept[1].jws


async def test_two_brokers_at_once_one_slow_one_gone_each_with_its_own_progress(
    tmp_path: Path, free_port: Port
) -> None:
    outbox = FakeOutbox()
    with Mosquitto(tmp_path / "a", free_port()) as good, Mosquitto(tmp_path / "b", free_port()) as slow:
        gone = make_feed(free_port())
        async with (
            dispatching(make_feed(good.port), outbox, "a") as a,
            dispatching(make_feed(slow.port, timeout_s=30), outbox, "b") as b,
            dispatching(gone, outbox, "c") as c,
            watching(good.port, f"{ROOT}/data") as watch,
        ):
            outbox.add(count=5)
            await until(lambda: not a.pending and not b.pending)
            slow.pause()  # its PUBACKs are late
            outbox.add(count=50)
            await until(lambda: not a.pending)
            assert [body for _, body, _ in await watch.some(55)] == [outbox.kept[n].jws for n in range(1, 56)]
            assert (b.pending, c.pending) == (50, 55)
            slow.resume()
            await until(lambda: not b.pending)
    assert {name: body["delivered"] for name, body in outbox.saved.items()} == {"a": 55, "b": 55, "c": 0}

"""Batches: written before they are acknowledged, in order, whatever the database and the messages are like."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.errors import MetergateError, SinkUnavailable
from gateway.feed import jws
from gateway.feed.keys import Key
from gateway.model import Refusal
from gateway.regulator import collecting as module
from gateway.regulator.broker import Session
from gateway.regulator.collecting import Collector, filters
from gateway.regulator.key_folder import LOOK_S, KeyFolder
from gateway.regulator.subscriber import Delivery, Message, Subscriber
from tests.fakes import feed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

TOPIC = "emc/v1/330100/91330000MA27XXXX0A/plant-1/data"


class FakeSubscriber:
    """Hands over what it was given and remembers what was acknowledged, together with what the database had then."""

    def __init__(self, payloads: Iterable[bytes], database: FakeDatabase, receive_max: int = 500) -> None:
        self.session = Session("one", 86_400, receive_max)
        self.waiting = [Message(TOPIC, payload, False, 0) for payload in payloads]
        self.acknowledged: list[tuple[bytes, int]] = []
        self.is_done = asyncio.Event()
        self._count = len(self.waiting)
        self._database = database

    async def take(self, most: int) -> list[Delivery]:
        if not self.waiting:
            await asyncio.get_running_loop().create_future()
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return [Delivery(message, cast("Any", None), 1) for message in taken]

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        stored = len(self._database.stored)
        self.acknowledged += [(delivery.message.payload, stored) for delivery in deliveries]
        if len(self.acknowledged) == self._count:
            self.is_done.set()


class FakeDatabase:
    """answers: of the next attempts to write: an error, or refused lines by index; then everything is stored."""

    def __init__(self, *answers: SinkUnavailable | list[Refusal]) -> None:
        self.stored: list[bytes] = []
        self.attempts: list[int] = []
        self._answers = list(answers)

    async def open(self) -> None:
        pass

    async def write_lines(self, lines: Sequence[bytes]) -> list[Refusal]:
        self.attempts.append(len(lines))
        answer = self._answers.pop(0) if self._answers else []
        if isinstance(answer, SinkUnavailable):
            raise answer
        refused = {refusal.index for refusal in answer}
        self.stored += [line for n, line in enumerate(lines) if n not in refused]
        return answer

    async def close(self) -> None:
        pass


async def collected(
    subscriber: FakeSubscriber, database: FakeDatabase, *, keys: KeyFolder | None = None
) -> tuple[Collector, list[str]]:
    """Return the collector once everything was taken and done, and what it told."""
    told: list[str] = []
    stop = asyncio.Event()
    collector = Collector(
        cast("Subscriber", subscriber),
        database,
        SystemClock(),
        prefix="emc/v1",
        trusted=keys,
        age_s=0.01,
        told=told.append,
    )
    running = asyncio.create_task(collector.run(stop))
    async with asyncio.timeout(10):
        await subscriber.is_done.wait()
    stop.set()
    await running
    return collector, told


def messages(count: int) -> list[bytes]:
    return [
        feed.seal(feed.interval_payload(n, t0=f"2026-08-01T{n // 60:02d}:{n % 60:02d}:00.000+08:00"))
        for n in range(count)
    ]


async def test_a_batch_is_acknowledged_after_it_is_stored_and_in_order() -> None:
    database = FakeDatabase()
    sent = messages(50)
    subscriber = FakeSubscriber(sent, database, receive_max=20)
    collector, _ = await collected(subscriber, database)
    assert [payload for payload, _ in subscriber.acknowledged] == sent
    for n, (_, stored) in enumerate(subscriber.acknowledged):
        assert stored >= 2 * (n + 1)
    assert database.attempts == [40, 40, 20]
    assert (collector.done.messages, collector.done.lines, collector.done.batches) == (50, 100, 3)


async def test_while_the_database_takes_nothing_nothing_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSES_S", (0.01, 0.02))
    away = SinkUnavailable("it is away"), SinkUnavailable("it is busy", retry_after_s=0.01)
    database = FakeDatabase(*away)
    subscriber = FakeSubscriber(messages(3), database)
    collector, told = await collected(subscriber, database)
    assert database.attempts == [6, 6, 6]
    assert [stored for _, stored in subscriber.acknowledged] == [6, 6, 6]
    assert collector.done.failures == 2
    assert [line for line in told if "nothing is acknowledged" in line] == told


async def test_a_stop_while_the_database_is_away_acknowledges_nothing() -> None:
    database = FakeDatabase(SinkUnavailable("it is away", retry_after_s=60))
    subscriber = FakeSubscriber(messages(3), database)
    stop = asyncio.Event()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        stop.set()

    collector = Collector(
        cast("Subscriber", subscriber), database, SystemClock(), prefix="emc/v1", age_s=0.01, told=tell
    )
    async with asyncio.timeout(5):
        await collector.run(stop)
    assert subscriber.acknowledged == []
    assert "60.0 s" in told[0]


async def test_lines_the_database_refuses_are_counted_told_and_do_not_block() -> None:
    database = FakeDatabase([Refusal(2, "field type conflict")])
    subscriber = FakeSubscriber(messages(2), database)
    collector, told = await collected(subscriber, database)
    assert dict(collector.done.unwritten) == {"refused": 1}
    assert collector.done.lines == 3
    assert len(subscriber.acknowledged) == 2
    assert "field type conflict" in told[0]
    assert "interval," in told[0]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["meter", "t0", "t1", "channels", "delta", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    st.one_of(
        st.binary(max_size=60),
        st.dictionaries(st.sampled_from(sorted(feed.interval_payload())), _JSON, max_size=3).map(
            lambda other: feed.seal(feed.interval_payload() | other)
        ),
        _JSON.map(lambda value: feed.seal(cast("Any", value))),
        st.integers(0, 200).map(lambda n: feed.seal(feed.summary_payload())[: -1 - n]),
    )
)
def test_no_message_whatever_blocks(payload: bytes) -> None:
    database = FakeDatabase()

    async def take() -> Collector:
        collector, _ = await collected(FakeSubscriber([payload, *messages(1)], database), database)
        return collector

    collector = asyncio.run(take())
    assert collector.done.messages == 2
    assert collector.done.unwritten.total() <= 1
    assert len(database.stored) >= 2


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def crafted(extra: bytes) -> bytes:
    """Return a message with members that no gateway sends, signed by somebody."""
    key = Key.make("plant-1")
    return jws.sign(key.private, key.kid, orjson.dumps(feed.interval_payload())[:-1] + b"," + extra + b"}")


@pytest.mark.parametrize("has_keys", [False, True])
@pytest.mark.parametrize(
    "payload",
    [
        jws.encode(b'{"alg":' + deep(1000) + b"}") + b".e30.e30",
        crafted(b'"region":' + deep(1000)),
        crafted(b'"gateway":' + deep(33)),
        crafted(b'"intervals":[{"z":' + deep(300) + b"}]"),
        crafted(b'"seq":1' + b"0" * 5000),
        crafted(b'"chain":"\\ud800"'),
    ],
)
async def test_a_poisoned_message_is_counted_told_acknowledged_and_passed(
    tmp_path: Path, payload: bytes, has_keys: bool
) -> None:
    (tmp_path / "plant-1.pem").write_text(Key.make("plant-1").known.pem)
    keys = KeyFolder(tmp_path, SystemClock()) if has_keys else None
    database = FakeDatabase()
    subscriber = FakeSubscriber([payload], database)
    collector, told = await collected(subscriber, database, keys=keys)
    assert (collector.done.messages, collector.done.unwritten.total()) == (1, 1)
    assert len(subscriber.acknowledged) == 1
    assert "not written" in told[0]


def test_subscriptions_are_shared_and_of_what_becomes_lines() -> None:
    assert filters("emc/v1", "g") == [
        "$share/g/emc/v1/+/+/+/data",
        "$share/g/emc/v1/+/+/+/backfill",
        "$share/g/emc/v1/+/+/+/summary",
        "$share/g/emc/v1/+/+/+/fitting",
    ]


class HandClock(SystemClock):
    """A clock that is moved by hand."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def signed(key: Key, gateway: str = "plant-1") -> jws.Parsed:
    payload = feed.interval_payload() | {"gateway": gateway}
    return jws.parse(jws.sign(key.private, key.kid, orjson.dumps(payload)))


SITE = "330100/91330000MA27XXXX0A/plant-1"


def test_a_key_speaks_for_its_own_gateway_alone(tmp_path: Path) -> None:
    mine, other = Key.make("plant-1"), Key.make("plant-2")
    (tmp_path / "plant-1.pem").write_text(mine.known.pem)
    (tmp_path / "plant-2.jwk").write_bytes(orjson.dumps(other.known.jwk))
    folder = KeyFolder(tmp_path, SystemClock())
    assert len(folder) == 2
    assert folder.judge(signed(mine), SITE).value == "good"
    assert folder.judge(signed(other), SITE).value == "unknown", "plant-2 may not speak for plant-1"
    assert folder.judge(signed(other, "plant-2"), SITE.replace("-1", "-2")).value == "good"
    forged = signed(mine)._replace(signature=bytes(64))
    assert folder.judge(forged, SITE).value == "bad"


def test_a_file_named_after_another_gateway_than_its_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plant-1.jwk").write_bytes(orjson.dumps(Key.make("plant-2").known.jwk))
    with pytest.raises(MetergateError, match="not one of plant-1"):
        KeyFolder(tmp_path, SystemClock())


def test_a_key_without_a_name_gets_that_of_its_file(tmp_path: Path) -> None:
    key = Key.make("plant-1")
    (tmp_path / "plant-1.pem").write_text(key.known.pem)
    assert [one.kid for one in KeyFolder(tmp_path, SystemClock()).all()] == [key.kid]


def test_a_folder_of_an_enterprise_goes_before_a_name_alone(tmp_path: Path) -> None:
    theirs, mine = Key.make("plant-1"), Key.make("plant-1")
    (tmp_path / "plant-1.pem").write_text(theirs.known.pem)
    own = tmp_path / "330100" / "91330000MA27XXXX0A"
    own.mkdir(parents=True)
    (own / "plant-1@2026.pem").write_text(mine.known.pem)
    folder = KeyFolder(tmp_path, SystemClock())
    assert folder.judge(signed(mine), SITE).value == "good"
    assert folder.judge(signed(theirs), SITE).value == "unknown"
    assert folder.judge(signed(theirs), SITE.replace("330100", "330200")).value == "good"


def test_a_key_that_is_put_there_later_is_found(tmp_path: Path) -> None:
    old, new = Key.make("plant-1"), Key.make("plant-1")
    (tmp_path / "plant-1.pem").write_text(old.known.pem)
    clock = HandClock()
    folder = KeyFolder(tmp_path, clock)
    (tmp_path / "plant-1@2.pem").write_text(new.known.pem)
    assert folder.judge(signed(new), SITE).value == "unknown"
    clock.now_s += LOOK_S
    (tmp_path / "half.pem").write_text("-----BEGIN")
    assert folder.judge(signed(new), SITE).value == "unknown", "a file that is being written"
    (tmp_path / "half.pem").unlink()
    clock.now_s += LOOK_S
    assert folder.judge(signed(new), SITE).value == "good"
    assert folder.judge(signed(old), SITE).value == "good"


@pytest.mark.parametrize(
    "content", [None, "", "-----BEGIN PRIVATE KEY-----\nx", '{"kty":"OKP","d":"x","x":"y"}']
)
def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "plant-1.pem").write_text(content)
    with pytest.raises(MetergateError, match=str(tmp_path)):
        KeyFolder(tmp_path, SystemClock())
    with pytest.raises(MetergateError, match="no such folder"):
        KeyFolder(tmp_path / "none", SystemClock())

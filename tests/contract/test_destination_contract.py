"""One contract for every destination of the feed: what `gateway.feed.entries.Destination` promises, against real servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest

from gateway.clock import SystemClock
from gateway.errors import SinkUnavailable
from gateway.feed.lines import encode, time_ms
from gateway.sinks.feed_influx import FeedInflux
from gateway.sinks.feed_mqtt import FeedMqtt
from gateway.sinks.influx_connection import InfluxLines
from tests.fakes.feed import CHAIN, entry, interval_payload, seal
from tests.servers import Mosquitto, VictoriaMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway.feed.contract import Kind
    from gateway.feed.entries import Destination, Entry
    from tests.servers import Server

T0S = [f"2026-08-01T{hour:02}:{minute:02}:00.000+08:00" for hour in range(24) for minute in (0, 15, 30, 45)]


def interval(seq: int) -> Entry:
    """Return the message of one interval, another one for each seq."""
    return entry(seq)._replace(jws=seal(interval_payload(seq, t0=T0S[seq])))


@dataclass
class Rig:
    """One destination, not open, and its server. arrived: seqs of the intervals the other side has by now."""

    feed: Destination
    server: Server
    arrived: Callable[[], Awaitable[set[int]]]

    async def open(self) -> None:
        await self.feed.open([entry(1, "birth")], chain=CHAIN, seq=1)

    async def until_arrived(self, seqs: set[int]) -> None:
        async with asyncio.timeout(10):
            while not seqs <= await self.arrived():  # noqa: ASYNC110 - no server tells
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _mqtt(folder: Path, port: int) -> AsyncIterator[Rig]:
    with Mosquitto(folder, port) as broker:
        feed = FeedMqtt(
            id="reg", host="127.0.0.1", port=port, gateway="plant-1", region="330100", enterprise="91330000MA27XXXX0A",
            zone="Asia/Shanghai", clock=SystemClock(), timeout_s=5,
        )  # fmt: skip
        seen: set[int] = set()

        async def arrived() -> set[int]:
            """A persistent subscriber, so what it has survives the broker."""
            session: Any = {"identifier": "watch", "clean_session": False}
            async with aiomqtt.Client("127.0.0.1", port, **session) as client:
                for topic in ("data", "backfill"):
                    await client.subscribe(f"emc/v1/330100/91330000MA27XXXX0A/plant-1/{topic}", qos=1)
                await asyncio.sleep(0.05)
                while len(client.messages):
                    message = await anext(aiter(client.messages))
                    assert isinstance(message.payload, bytes)
                    seen.update(n for n in range(len(T0S)) if message.payload == interval(n).jws)
            return seen

        await arrived()
        try:
            yield Rig(feed, broker, arrived)
        finally:
            await feed.close()


@asynccontextmanager
async def _influx(folder: Path, port: int) -> AsyncIterator[Rig]:
    with VictoriaMetrics(folder, port) as server:
        feed = FeedInflux(
            InfluxLines(
                id="db",
                url=server.url,
                org="plant",
                bucket="feed",
                token="t",
                clock=SystemClock(),
                timeout_s=5,
            )
        )
        times = {time_ms(t0): n for n, t0 in enumerate(T0S)}

        async def arrived() -> set[int]:
            series = await asyncio.to_thread(server.export, '{__name__="interval_delta"}')
            return {times[time] for values in series.values() for time in values}

        try:
            yield Rig(feed, server, arrived)
        finally:
            await feed.close()


@pytest.fixture(params=["mqtt", "influx"])
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]
) -> AsyncIterator[Rig]:
    made = {"mqtt": _mqtt, "influx": _influx}[request.param]
    async with made(tmp_path, free_port()) as one:
        yield one


async def test_what_is_written_is_there_live_and_late(rig: Rig) -> None:
    await rig.open()
    assert await rig.feed.write([interval(1), interval(2)], late=False) == []
    assert await rig.feed.write([interval(0)], late=True) == []
    await rig.until_arrived({0, 1, 2})


async def test_open_and_close_may_be_called_twice(rig: Rig) -> None:
    await rig.feed.close()
    await rig.open()
    await rig.open()
    await rig.feed.close()
    await rig.feed.close()
    await rig.open()
    assert await rig.feed.write([interval(1)], late=False) == []


async def test_the_same_messages_may_be_written_again(rig: Rig) -> None:
    await rig.open()
    for late in (False, False, True):
        assert await rig.feed.write([interval(1), interval(2)], late=late) == []
    await rig.until_arrived({1, 2})


async def test_one_that_is_not_open_takes_nothing(rig: Rig) -> None:
    with pytest.raises(SinkUnavailable, match="not "):
        await rig.feed.write([interval(1)], late=False)


@pytest.mark.parametrize("kind", ["birth", "meter", "summary", "event", "checkpoint", "fitting"])
async def test_every_kind_is_taken(rig: Rig, kind: Kind) -> None:
    await rig.open()
    assert await rig.feed.write([entry(5, kind, "m-1" if kind == "meter" else "")], late=False) == []
    assert await rig.feed.write([entry(5, kind, "m-1" if kind == "meter" else "")], late=True) == []


async def test_a_server_that_is_gone_is_doubt_and_works_once_opened_again(rig: Rig) -> None:
    await rig.open()
    assert await rig.feed.write([interval(1)], late=False) == []
    await rig.until_arrived({1})
    await asyncio.to_thread(rig.server.stop)
    with pytest.raises(SinkUnavailable) as doubt:
        await rig.feed.write([interval(2)], late=False)
    assert str(doubt.value).startswith("sink ")
    await rig.feed.close()
    with pytest.raises(SinkUnavailable):
        await rig.open()
    await asyncio.to_thread(rig.server.start)
    await rig.open()
    assert await rig.feed.write([interval(2)], late=True) == []
    await rig.until_arrived({1, 2})


async def test_a_write_that_is_cancelled_may_be_done_again(rig: Rig) -> None:
    for turns in range(4):
        await rig.open()
        writing = asyncio.ensure_future(rig.feed.write([interval(1), interval(2)], late=False))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await rig.feed.close()
        await rig.open()
        assert await rig.feed.write([interval(1), interval(2)], late=False) == []
        await rig.feed.close()


async def _database(tmp_path: Path, port: int, *payloads: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return field -> rev -> its value, after the payloads were written in this order, each by itself."""
    with VictoriaMetrics(tmp_path, port) as server:
        feed = FeedInflux(
            InfluxLines(id="db", url=server.url, org="plant", bucket="feed", token="t", clock=SystemClock())
        )
        await feed.open([], chain=CHAIN, seq=0)
        for payload in payloads:
            one = entry(int(payload["seq"]))._replace(jws=seal(payload))
            assert await feed.write([one], late=False) == []
        await feed.close()
        found: dict[str, dict[str, float]] = {}
        for labels, times in server.export(
            '{__name__=~"interval_.*",channel="energy_active_import_total"}'
        ).items():
            tags = dict(labels)
            assert (tags["gateway"], tags["enterprise"]) == ("plant-1", "91330000MA27XXXX0A")
            ((time, values),) = times.items()
            assert time == time_ms(T0S[38])
            assert len(set(values)) == 1, "written twice is written once"
            found.setdefault(tags["__name__"].removeprefix("interval_"), {})[tags.get("rev", "0")] = values[
                -1
            ]
        return found


def _revision(seq: int, rev: int, delta: str | None) -> dict[str, Any]:
    payload = interval_payload(seq, t0=T0S[38], rev=rev)
    payload["intervals"][0]["channels"]["energy_active_import_total"]["delta"] = delta
    return payload


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 0), (3, 2, 1, 0), (1, 3, 0, 2, 2)])
async def test_no_revision_overwrites_another_in_whatever_order_they_come(
    tmp_path: Path, free_port: Callable[[], int], order: tuple[int, ...]
) -> None:
    """VictoriaMetrics keeps the greater of two values at one time, InfluxDB the later: neither may decide here."""
    revisions = [
        _revision(4, 0, "12.5"),
        _revision(9, 1, "13"),
        _revision(10, 2, None),
        _revision(11, 3, "2"),
    ]
    found = await _database(tmp_path, free_port(), *(revisions[n] for n in order))
    assert found["delta"] == {"0": 12.5, "1": 13, "3": 2}, (
        "rev 2 is unknown, not the amount before it and not 0"
    )
    assert found["expected"] == {"0": 90, "1": 90, "2": 90, "3": 90}, "so the newest revision can be told"


async def test_every_line_of_the_contract_is_stored(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """VictoriaMetrics says 204 to a line it cannot read, so all fields are looked for."""
    messages = [entry(1), entry(2, "summary")]
    with VictoriaMetrics(tmp_path, free_port()) as server:
        feed = FeedInflux(
            InfluxLines(id="db", url=server.url, org="o", bucket="b", token="t", clock=SystemClock())
        )
        await feed.open([], chain=CHAIN, seq=0)
        assert await feed.write(messages, late=False) == []
        await feed.close()
        names = {dict(labels)["__name__"] for labels in server.export()}
    wanted: set[str] = set()
    for one in messages:
        for line in encode(_payload(one)).splitlines():
            measurement, fields, _ = line.decode().split(" ")
            wanted |= {f"{measurement.split(',')[0]}_{field.split('=')[0]}" for field in fields.split(",")}
    assert len(wanted) > 25
    assert names == wanted


def _payload(one: Entry) -> dict[str, Any]:
    from gateway.feed.jws import parse

    found: dict[str, Any] = json.loads(parse(one.jws).payload)
    return found

"""One contract for every kind of sink: what `gateway.interfaces.Sink` promises, whatever is at the other end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from gateway.errors import SinkUnavailable
from gateway.model import Batch
from gateway.sinks.influx import InfluxSink
from gateway.sinks.mqtt import MqttSink
from simulators.fakes import FakeSink, Trouble
from tests.fakes.frames import make_batch, make_site
from tests.fakes.influx import FakeInflux
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway.interfaces import Sink

SITE = make_site(meters=3, channels=2)
BATCH = make_batch(SITE, polls=2)
KINDS = ("mqtt", "influx", "fake")


@dataclass
class Rig:
    """One sink, not open. vanish: its server is gone; come_back: it is there again, at the same place."""

    sink: Sink
    vanish: Callable[[], Awaitable[None]]
    come_back: Callable[[], Awaitable[None]]
    not_open: type[Exception] = SinkUnavailable  # a fake is stricter: its caller is wrong


@asynccontextmanager
async def _mqtt(folder: Path, port: int) -> AsyncIterator[Rig]:
    brokers = [Mosquitto(folder, port).__enter__()]
    sink = MqttSink(id="mqtt", host="127.0.0.1", port=port, directory=SITE, clock=SystemClock(), timeout_s=5)

    async def vanish() -> None:
        await asyncio.to_thread(brokers.pop().__exit__)

    async def come_back() -> None:
        brokers.append(await asyncio.to_thread(Mosquitto(folder, port).__enter__))

    try:
        yield Rig(sink, vanish, come_back)
    finally:
        await sink.close()
        for broker in brokers:
            broker.__exit__()


@asynccontextmanager
async def _influx() -> AsyncIterator[Rig]:
    async with FakeInflux() as server:
        port = int(server.url.rpartition(":")[2])
        sink = InfluxSink(
            id="db", url=server.url, org="plant", bucket="meters", token="t", directory=SITE,
            clock=SystemClock(), timeout_s=5,
        )  # fmt: skip

        async def vanish() -> None:
            await server.__aexit__()

        async def come_back() -> None:
            server._server = await asyncio.start_server(server._serve, "127.0.0.1", port)

        try:
            yield Rig(sink, vanish, come_back)
        finally:
            await sink.close()


@asynccontextmanager
async def _fake() -> AsyncIterator[Rig]:
    sink = FakeSink("fake", SystemClock())
    away = Trouble("away")

    async def vanish() -> None:
        sink.troubles.append(away)

    async def come_back() -> None:
        sink.troubles.remove(away)

    yield Rig(sink, vanish, come_back, not_open=RuntimeError)


@pytest.fixture(params=KINDS)
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]
) -> AsyncIterator[Rig]:
    made = {"mqtt": lambda: _mqtt(tmp_path, free_port()), "influx": _influx, "fake": _fake}
    async with made[request.param]() as one:
        yield one


async def test_open_and_close_may_be_called_twice_and_never_raise(rig: Rig) -> None:
    await rig.sink.close()
    await rig.sink.open()
    await rig.sink.close()
    await rig.sink.close()
    await rig.sink.open()
    assert await rig.sink.write(BATCH) == []


async def test_the_same_batch_may_be_written_again(rig: Rig) -> None:
    await rig.sink.open()
    for _ in range(3):
        assert await rig.sink.write(BATCH) == []


async def test_a_sink_that_is_not_open_takes_nothing(rig: Rig) -> None:
    with pytest.raises(rig.not_open):
        await rig.sink.write(BATCH)


async def test_a_server_that_is_gone_is_doubt_and_works_once_opened_again(rig: Rig) -> None:
    await rig.sink.open()
    assert await rig.sink.write(BATCH) == []
    await rig.vanish()
    with pytest.raises(SinkUnavailable) as doubt:
        await rig.sink.write(BATCH)
    assert str(doubt.value)
    await rig.sink.close()
    await rig.come_back()
    await rig.sink.open()
    assert await rig.sink.write(BATCH) == []


async def test_a_write_that_is_cancelled_may_be_done_again(rig: Rig) -> None:
    for turns in range(5):
        await rig.sink.open()
        writing = asyncio.ensure_future(rig.sink.write(BATCH))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await rig.sink.close()
        await rig.sink.open()
        assert await rig.sink.write(Batch(BATCH.frames, 1, 1)) == []
        await rig.sink.close()

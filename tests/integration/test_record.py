"""`metergate record` as a process, against a real broker that is restarted: with a name nothing is missing, and every line is whole."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from gateway.feed.recording import Message, Reader
from gateway.feed.verify import Verifier
from tests.integration.feed_sites import Command, FeedSite, publish, until
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMED = "--client-id", "regulator-record"


@pytest.fixture
def broker(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker", free_port()) as server:
        yield server


def recorder(folder: Path, broker: Mosquitto, name: str, *more: str) -> Command:
    return Command(folder, "record", f"mqtt://127.0.0.1:{broker.port}", name, *more)


def payloads(path: Path) -> list[bytes]:
    """Return what is recorded; every line must be whole."""
    if not path.exists():
        return []
    with Reader(path) as reader:
        found = [message for _, message in reader]
    return [message.payload for message in found if isinstance(message, Message)]


async def recorded(path: Path, wanted: bytes) -> None:
    await until(lambda: wanted in payloads(path), "the message in the file")


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.jsonl.gz"])
async def test_what_is_said_while_broker_and_recorder_are_away_comes_later(
    tmp_path: Path, broker: Mosquitto, name: str
) -> None:
    site, path = FeedSite("plant-1"), tmp_path / name
    with recorder(tmp_path, broker, name, *NAMED) as process:
        await asyncio.to_thread(process.wait_told, "recording")
        await publish(broker.port, [site.birth(), *(site.interval(n) for n in range(5))])
        await recorded(path, site.sent[-1][1])
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        await publish(broker.port, [site.interval(n) for n in range(5, 10)])  # also before it is back
        await recorded(path, site.sent[-1][1])
        await asyncio.to_thread(process.end, signal.SIGKILL)
    await publish(broker.port, [site.interval(n) for n in range(10, 15)])
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    with recorder(tmp_path, broker, name, *NAMED) as process:
        await recorded(path, site.sent[-1][1])
        await publish(broker.port, [site.interval(15)])
        await recorded(path, site.sent[-1][1])
        assert await asyncio.to_thread(process.end) == 0, process.told
    verifier = Verifier([site.key.known])
    with Reader(path) as reader:
        for number, message in reader:
            assert isinstance(message, Message), message
            verifier.feed(message.topic, message.retain, message.payload, line=number)
    told = verifier.report()
    assert (told["batches"], told["authentic"], told["count"]) == (17, 17, 0), told["findings"]


async def test_sigterm_amid_a_flow_leaves_whole_lines_and_the_rest_to_the_broker(
    tmp_path: Path, broker: Mosquitto
) -> None:
    site, path = FeedSite("plant-1"), tmp_path / "feed.jsonl"
    sent = [site.birth(), *(site.interval(n) for n in range(400))]
    with recorder(tmp_path, broker, path.name, *NAMED) as process:
        await asyncio.to_thread(process.wait_told, "recording")
        publishing = asyncio.create_task(publish(broker.port, sent))
        await recorded(path, sent[20][1])
        assert await asyncio.to_thread(process.end) == 0, process.told
        await publishing
    assert path.read_bytes().endswith(b'"}\n')
    with recorder(tmp_path, broker, path.name, *NAMED) as process:
        await recorded(path, sent[-1][1])
        await asyncio.to_thread(process.end)
    found = payloads(path)
    assert set(found) == {payload for _, payload in sent}
    assert len(found) <= len(sent) + 500  # what had no acknowledgement yet comes again


async def test_without_a_name_the_broker_keeps_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    site, path = FeedSite("plant-1"), tmp_path / "feed.jsonl"
    for n in range(2):
        with recorder(tmp_path, broker, path.name) as process:
            await asyncio.to_thread(process.wait_told, "recording")
            await publish(broker.port, [site.interval(2 * n)])
            await recorded(path, site.sent[-1][1])
            await asyncio.to_thread(process.end)
        await publish(broker.port, [site.interval(2 * n + 1)])
    assert payloads(path) == [site.sent[0][1], site.sent[2][1]]


@pytest.mark.parametrize(
    ("more", "part"), [(("--client-id", "a b"), "--client-id"), ((*NAMED, "--session", "0s"), "--session")]
)
def test_what_cannot_be(tmp_path: Path, broker: Mosquitto, more: tuple[str, ...], part: str) -> None:
    with recorder(tmp_path, broker, "feed.jsonl", *more) as process:
        assert process.end(signal.SIGCONT) == 2
    assert part in "".join(process.told)

"""`metergate collect` as processes, against a real broker that keeps sessions and a real database."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from tests.fakes.feed import fitting_body
from tests.integration.feed_sites import Command, FeedSite, amounts, publish, time_ms, until
from tests.servers import Mosquitto, VictoriaMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BATCHES, PER_BATCH = 12, 40


@pytest.fixture
def broker(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker", free_port()) as server:
        yield server


@pytest.fixture
def database(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[VictoriaMetrics]:
    with VictoriaMetrics(tmp_path / "database", free_port()) as server:
        yield server


def collector(
    folder: Path, broker: Mosquitto, database: VictoriaMetrics, client_id: str, *more: str
) -> Command:
    token = folder / "token"
    token.write_text("t0ken\n")
    target = ["--influx", database.url, "--org", "o", "--bucket", "b", "--token-file", str(token)]
    return Command(
        folder,
        "collect",
        f"mqtt://127.0.0.1:{broker.port}",
        *target,
        "--client-id",
        client_id,
        "--every",
        "100ms",
        *more,
    )


def is_connected(figures: dict[str, object]) -> bool:
    return bool(figures["connected"])


def expected(site: FeedSite, count: int) -> dict[int, list[float]]:
    return {time_ms(n): [float(n)] for n in range(count)}


async def test_two_share_the_work_and_one_is_killed(
    tmp_path: Path, broker: Mosquitto, database: VictoriaMetrics
) -> None:
    sites = [FeedSite("plant-1"), FeedSite("plant-2")]
    count = BATCHES * PER_BATCH
    batches = [
        [
            site.interval(n, late=n % 7 == 0)
            for n in range(k * PER_BATCH, (k + 1) * PER_BATCH)
            for site in sites
        ]
        for k in range(BATCHES)
    ]
    with (
        collector(tmp_path, broker, database, "one", "--receive-max", "20") as one,
        collector(tmp_path, broker, database, "two", "--receive-max", "20") as two,
    ):
        await asyncio.to_thread(one.wait_for, is_connected)
        await asyncio.to_thread(two.wait_for, is_connected)
        for k, batch in enumerate(batches):
            if k == 4:
                await asyncio.to_thread(one.end, signal.SIGKILL)
            await publish(broker.port, batch)
        shares = {key: len(values) for key, values in amounts(database).items()}
        with collector(tmp_path, broker, database, "one") as again:
            await until(
                lambda: sum(map(len, amounts(database).values())) == 2 * count,
                "all intervals in the database",
            )
            await asyncio.to_thread(again.end)
        await asyncio.to_thread(two.end)
    assert sum(shares.values()) < 2 * count, "the broker kept what the killed one had to take"
    for site in sites:
        assert amounts(database)[site.gateway, "feeder-1", "0"] == expected(site, count)
    assert two.figures[-1]["messages"] > 0
    assert again.figures[-1]["messages"] > 0


async def test_fitting_rates_become_lines(
    tmp_path: Path, broker: Mosquitto, database: VictoriaMetrics
) -> None:
    site = FeedSite("plant-1")
    with collector(tmp_path, broker, database, "one") as process:
        await asyncio.to_thread(process.wait_for, is_connected)
        await publish(broker.port, [site.message("fitting", fitting_body())], retain=True)
        await asyncio.to_thread(process.wait_for, lambda told: told["lines"] == 3)
        assert await asyncio.to_thread(process.end) == 0
    found = {}
    for labels, values in database.export('{__name__=~"fitting_(need|rate_percent|meets)"}').items():
        named = dict(labels)
        found[named["__name__"], named["energy_kind"], named["level"]] = [*values.values()]
    assert found == {
        ("fitting_need", "electricity", "1"): [[4.0]],
        ("fitting_meets", "electricity", "1"): [[1.0]],
        ("fitting_rate_percent", "electricity", "1"): [[100.0]],
        ("fitting_need", "steam", "2"): [[0.0]],
    }


async def test_one_that_retires_leaves_nothing_behind(
    tmp_path: Path, broker: Mosquitto, database: VictoriaMetrics
) -> None:
    site = FeedSite("plant-1")
    with (
        collector(tmp_path, broker, database, "one") as one,
        collector(tmp_path, broker, database, "two") as two,
    ):
        await asyncio.to_thread(one.wait_for, is_connected)
        await asyncio.to_thread(two.wait_for, is_connected)
        await asyncio.to_thread(one.end)
        await publish(broker.port, [site.interval(n) for n in range(60)])
        await asyncio.to_thread(database.stop)
        with collector(tmp_path, broker, database, "one", "--retire") as last:
            await asyncio.to_thread(last.wait_told, "nothing is acknowledged")
            await publish(broker.port, [site.interval(n) for n in range(60, 100)])
            await asyncio.to_thread(database.start)
            assert await asyncio.to_thread(last._process.wait, 40) == 0
        await publish(broker.port, [site.interval(n) for n in range(100, 120)])
        await until(lambda: sum(map(len, amounts(database).values())) == 120, "all intervals")
        await asyncio.to_thread(two.end)
    assert 0 < last.figures[-1]["messages"] < 60
    assert amounts(database)["plant-1", "feeder-1", "0"] == expected(site, 120)


async def test_a_database_that_is_down_costs_nothing_and_nothing_is_acknowledged(
    tmp_path: Path, broker: Mosquitto, database: VictoriaMetrics
) -> None:
    site = FeedSite("plant-1")
    with collector(tmp_path, broker, database, "one") as first:
        await asyncio.to_thread(first.wait_for, is_connected)
        await asyncio.to_thread(database.stop)
        await publish(broker.port, [site.interval(n) for n in range(100)])
        figures = await asyncio.to_thread(first.wait_for, lambda told: told["database_failures"] >= 2)
        assert figures["messages"] == 0
        await asyncio.to_thread(first.end, signal.SIGKILL)  # all it had is still the broker's
    with collector(tmp_path, broker, database, "one") as second:
        await asyncio.to_thread(second.wait_told, "nothing is acknowledged")
        await asyncio.to_thread(database.start)
        await asyncio.to_thread(second.wait_for, lambda told: told["messages"] == 100)
        assert await asyncio.to_thread(second.end) == 0
    assert amounts(database)["plant-1", "feeder-1", "0"] == expected(site, 100)


async def test_what_is_no_message_is_counted_and_never_blocks(
    tmp_path: Path, broker: Mosquitto, database: VictoriaMetrics
) -> None:
    site, other = FeedSite("plant-1"), FeedSite("plant-2")
    topic, good = site.interval(0)
    poison = [
        b"",
        b"\x00\xff" * 50,
        b"a.b.c",
        good[:-9],
        good.partition(b".")[0] + b".bnVsbA." + good.rpartition(b".")[2],
        b"x" * 260_000,
    ]
    messages = [(topic, body) for body in poison if body != good[:-9]]
    messages += [(topic, other.interval(1)[1]), (topic, good), site.interval(1)]
    with collector(tmp_path, broker, database, "one") as process:
        await asyncio.to_thread(process.wait_for, is_connected)
        await publish(broker.port, messages)
        await asyncio.to_thread(process.wait_for, lambda told: told["messages"] == len(messages))
        assert await asyncio.to_thread(process.end) == 0
    assert process.figures[-1]["unwritten"] == {"malformed": 6}
    assert any("it speaks for" in line and "plant-2" in line for line in process.told)
    assert amounts(database) == {("plant-1", "feeder-1", "0"): expected(site, 2)}
    with collector(tmp_path, broker, database, "one") as process:  # none of it comes again
        await asyncio.to_thread(process.wait_for, is_connected)
        await publish(broker.port, [site.interval(2)])
        await asyncio.to_thread(process.wait_for, lambda told: told["messages"] > 0)
        await asyncio.to_thread(process.end)
    assert process.figures[-1]["messages"] == 1


async def test_with_keys_only_what_they_signed_is_written(
    tmp_path: Path, broker: Mosquitto, database: VictoriaMetrics
) -> None:
    site, other, stranger = FeedSite("plant-1"), FeedSite("plant-2"), FeedSite("plant-3")
    keys = tmp_path / "keys"
    (keys / "330100" / "91330000MA27XXXX0A").mkdir(parents=True)
    (keys / "plant-1.pem").write_text(site.key.known.pem)
    (keys / "330100" / "91330000MA27XXXX0A" / "plant-2.pem").write_text(other.key.known.pem)
    forged = FeedSite("plant-1")
    forged.interval(7)
    topic, good = site.interval(0)
    head, payload, _ = good.split(b".")
    changed = b".".join((head, payload, forged.sent[0][1].rpartition(b".")[2]))
    messages = [(topic, changed), forged.sent[0], stranger.interval(0), (topic, good), other.interval(1)]
    with collector(tmp_path, broker, database, "one", "--keys", str(keys)) as process:
        await asyncio.to_thread(process.wait_for, is_connected)
        await publish(broker.port, messages)
        await asyncio.to_thread(process.wait_for, lambda told: told["messages"] == len(messages))
        await asyncio.to_thread(process.end)
    assert process.figures[-1]["unwritten"] == {"bad_signature": 1, "unknown_key": 2}
    assert amounts(database) == {
        ("plant-1", "feeder-1", "0"): {time_ms(0): [0.0]},
        ("plant-2", "feeder-1", "0"): {time_ms(1): [1.0]},
    }


async def test_a_message_twice_and_a_revision_are_lines_of_their_own(
    tmp_path: Path, broker: Mosquitto, database: VictoriaMetrics
) -> None:
    site = FeedSite("plant-1")
    first, revised = site.interval(3), site.interval(3, rev=1)
    with collector(tmp_path, broker, database, "one") as process:
        await asyncio.to_thread(process.wait_for, is_connected)
        await publish(broker.port, [first, revised, first, revised, first])
        await asyncio.to_thread(process.wait_for, lambda told: told["messages"] == 5)
        await asyncio.to_thread(process.end)
    assert amounts(database) == {
        ("plant-1", "feeder-1", "0"): {time_ms(3): [3.0]},
        ("plant-1", "feeder-1", "1"): {time_ms(3): [3.0]},
    }

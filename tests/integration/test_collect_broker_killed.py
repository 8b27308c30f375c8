"""What a broker that is killed takes with it, measured: messages it acknowledged to the gateway and had not saved.

MQTT has no acknowledgement that says "on disk"; mosquitto 2.0 saves its sessions and what it keeps for them at its own interval
(autosave_interval, 30 min unless told otherwise) and at an orderly end. What is lost is a gap in `seq` for whoever sees all messages
(`metergate watch`, `metergate verify`), and comes back with `metergate feed resend`: the same bytes, on …/backfill.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.feed_sites import Command, FeedSite, amounts, publish, time_ms
from tests.integration.test_collect import collector, is_connected
from tests.servers import Mosquitto, VictoriaMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

COUNT = 300
BOUND = 5  # messages; with autosave_interval 1 and autosave_on_changes 1 or 2 were lost here


@pytest.mark.parametrize(
    ("settings", "lost_max"),
    [((), COUNT), (("autosave_interval 1", "autosave_on_changes true"), BOUND)],
    ids=["as shipped", "saved at every change"],
)
async def test_what_was_kept_for_a_collector_that_was_away(
    tmp_path: Path, free_port: Callable[[], int], settings: Sequence[str], lost_max: int
) -> None:
    site = FeedSite("plant-1")
    with (
        Mosquitto(tmp_path / "broker", free_port(), settings=settings) as broker,
        VictoriaMetrics(tmp_path / "database", free_port()) as database,
    ):
        with collector(tmp_path, broker, database, "one") as first:
            await asyncio.to_thread(first.wait_for, is_connected)
            await asyncio.to_thread(first.end, signal.SIGKILL)
        await publish(broker.port, [site.interval(n) for n in range(COUNT)])
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        with collector(tmp_path, broker, database, "one") as second:
            await asyncio.to_thread(second.wait_for, is_connected)
            await publish(broker.port, [site.interval(COUNT)])  # after what it kept, in order
            await asyncio.to_thread(second.wait_for, lambda told: told["messages"] > 0)
            there = await _settled(second)
            lost = COUNT + 1 - there
            sys.stdout.write(f"{settings}: {lost} of {COUNT} acknowledged messages lost with the broker\n")
            assert 0 <= lost <= lost_max
            resent = [(topic.replace("/data", "/backfill"), message) for topic, message in site.sent]
            await publish(broker.port, resent)
            await asyncio.to_thread(second.wait_for, lambda told: told["messages"] == there + COUNT + 1)
            assert await asyncio.to_thread(second.end) == 0
        found = amounts(database)["plant-1", "feeder-1", "0"]
    assert found == {time_ms(n): [float(n)] for n in range(COUNT + 1)}


async def _settled(process: Command) -> int:
    """Return how many messages came, once no more come."""
    before = -1
    while process.figures[-1]["messages"] != before:
        before = process.figures[-1]["messages"]
        await asyncio.to_thread(process.wait_longer, 10)
    return int(before)


async def test_a_collector_says_that_the_broker_has_lost_its_session(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    site = FeedSite("plant-1")
    with (
        Mosquitto(tmp_path / "broker", free_port()) as broker,
        VictoriaMetrics(tmp_path / "database", free_port()) as database,
        collector(tmp_path, broker, database, "one") as process,
    ):
        await asyncio.to_thread(process.wait_for, is_connected)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(process.wait_for, lambda told: told["broker_losses"] == 1)
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(process.wait_for, lambda told: told["sessions_lost"] == 1)
        await publish(broker.port, [site.interval(0)])  # it has subscribed anew
        await asyncio.to_thread(process.wait_for, lambda told: told["messages"] == 1)
        assert await asyncio.to_thread(process.end) == 0
    assert any("no longer has our session" in line for line in process.told)

"""`metergate watch` as a process, against a real broker with signed feeds."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import feed
from tests.integration.feed_sites import Command, FeedSite, publish
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def broker(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker", free_port()) as server:
        yield server


def watching(folder: Path, broker: Mosquitto, *more: str) -> Command:
    return Command(folder, "watch", f"mqtt://127.0.0.1:{broker.port}", "--json", "--every", "100ms", *more)


async def shown(broker: Mosquitto, process: Command, probe: FeedSite) -> None:
    """Return once the process sees what is published: a birth that is not retained has come."""
    for n in range(100):
        await publish(broker.port, [probe.birth()])
        if any(told["messages"] for told in process.figures):
            return
        await asyncio.sleep(0.1 * min(n, 5))
    raise AssertionError(process.told)


def site_of(told: dict[str, Any], site: FeedSite) -> dict[str, Any]:
    (row,) = [row for row in told["sites"] if row["site"] == site.name]
    return dict(row)


def has_messages(count: int) -> Callable[[Any], bool]:
    return lambda told: told["messages"] >= count


async def test_sites_with_completeness_chain_shares_and_fitting(tmp_path: Path, broker: Mosquitto) -> None:
    good, offline = FeedSite("plant-1"), FeedSite("plant-2")
    fitting = feed.fitting_body()
    await publish(broker.port, [good.birth(), good.message("fitting", fitting)], retain=True)
    await publish(broker.port, [offline.birth()], retain=True)
    state = f"emc/v1/{offline.name}/state", b'{"v":1,"gateway":"plant-2","online":false}'
    await publish(broker.port, [state], retain=True)
    with watching(tmp_path, broker, "--meters") as process:
        await asyncio.to_thread(process.wait_for, has_messages(4))
        await publish(broker.port, [good.interval(n) for n in range(5)])
        await publish(
            broker.port, [good.interval(2, rev=1, late=True), good.message("summary", feed.summary_payload())]
        )
        await publish(broker.port, good.sent[-1:])  # once more
        told = await asyncio.to_thread(process.wait_for, has_messages(12))
        assert await asyncio.to_thread(process.end) == 0, process.told
    assert (told["findings"], told["authentic"]) == (0, 10)
    row = site_of(told, good)
    assert (row["day"]["intervals"], row["hour"]["intervals"], row["date"]) == (5, 4, "2026-08-01")
    assert (row["day"]["percent"], row["day"]["revised_percent"]) == ("100.00", "20.00")
    assert row["chain"] == row["chain"] | {"last": "9", "missing": 0, "findings": 0, "authentic": 9}
    assert (row["misfits"], row["misfit"]) == (0, "")
    assert row["fitting"]["ruleset"] == "GB17167-2006"
    assert row["fitting"]["result"]["rates"][0]["rate_percent"] == "100.0000"
    assert row["said"]["day"]["percent"] == "98.95"
    assert [meter["day"]["known"] for meter in row["meters"]] == [10]
    assert told["sites"][0]["site"] == offline.name, "what needs a look comes first"
    assert site_of(told, offline)["online"] is False


async def test_what_is_missing_forged_or_foreign_is_found(tmp_path: Path, broker: Mosquitto) -> None:
    site, forger, other = FeedSite("plant-1"), FeedSite("plant-1"), FeedSite("plant-2")
    with watching(tmp_path, broker) as process:
        await shown(broker, process, FeedSite("probe"))
        start = process.figures[-1]["messages"]
        messages = [site.birth(), *(site.interval(n) for n in range(6))]
        del messages[4]
        forged = [forger.interval(n) for n in range(8)][-1]
        foreign = (messages[0][0].replace("/birth", "/data"), other.interval(0)[1])
        junk = [(messages[1][0], b"\xff\x00"), (messages[1][0], b'{"v":1,"kind":["data"]}')]
        await publish(broker.port, [*messages, forged, foreign, *junk])
        told = await asyncio.to_thread(
            process.wait_for,  # the probe may have been published once more
            lambda told: told["messages"] >= start + len(messages) + 4 and sum(told["counts"].values()) >= 5,
        )
        assert await asyncio.to_thread(process.end) == 1
    kinds = site_of(told, site)["chain"]["kinds"]
    assert kinds["gap"] >= 1
    assert told["counts"]["wrong_topic"] == 1
    assert site_of(told, site)["day"]["intervals"] <= 6
    assert "plant-2" in " ".join(one["text"] for one in told["newest_findings"])


async def test_what_is_signed_and_not_of_the_contract_is_told(tmp_path: Path, broker: Mosquitto) -> None:
    site = FeedSite("plant-1")
    with watching(tmp_path, broker) as process:
        await shown(broker, process, FeedSite("probe"))
        start = process.figures[-1]["messages"]
        first = [site.birth(), site.interval(0)]
        strange = site.message("data", {"intervals": [{"meter": "feeder-1"}]})
        await publish(broker.port, [*first, strange, site.interval(1)])
        told = await asyncio.to_thread(process.wait_for, has_messages(start + 4))
        await asyncio.to_thread(process.end)
    row = site_of(told, site)
    assert (row["misfits"], row["day"]["intervals"], row["chain"]["findings"]) == (1, 2, 0)
    assert "intervals.0.t0" in row["misfit"]


async def test_for_a_while_as_a_table(tmp_path: Path, broker: Mosquitto) -> None:
    site = FeedSite("plant-1")
    await publish(broker.port, [site.birth()], retain=True)
    for more, part in (((), "330100/91330000MA27XXXX0A/plant-1"), (("--meters",), "feeder-1")):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "gateway", "watch", f"mqtt://127.0.0.1:{broker.port}", "--for", "700ms", *more],
            cwd=tmp_path, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=40,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["http://127.0.0.1"], 2, "mqtt://HOST"),
        (["mqtt://127.0.0.1:1", "--every", "0s"], 2, "--every"),
        (["mqtt://127.0.0.1:1", "--prefix", "a/+/b"], 2, "--prefix"),
        (["mqtt://127.0.0.1:1"], 1, "cannot connect"),
        (["mqtt://127.0.0.1:1", "--keys", "nowhere"], 1, "nowhere"),
        (["mqtts://127.0.0.1:1", "--ca", "nowhere.pem"], 1, "nowhere.pem"),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: list[str], code: int, part: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "watch", *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert (done.returncode, part in done.stderr) == (code, True), done.stderr

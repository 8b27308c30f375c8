"""Broker and database away for 10 s under load, the gateway killed twice meanwhile: nothing journaled is lost.

Every part is a real process: 40 and more simulated meters on real sockets, mosquitto, VictoriaMetrics, the gateway.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from gateway.journal.records import unpack
from gateway.journal.store import Store
from gateway.model import Frame
from simulators.run import DEMO_FILE
from tests.integration.listener import Identity, Listener, firsts, identity
from tests.integration.site import GatewayProcess, SimulatedSite, wait_until
from tests.servers import Mosquitto, VictoriaMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OUTAGE_S = 10.0
PREFIX = "metergate/v1/demo"


class Plant:
    """Everything of the test, wired together."""

    def __init__(self, folder: Path, free_port: Callable[[], int]) -> None:
        self.broker = Mosquitto(folder / "broker", free_port())
        self.database = VictoriaMetrics(folder / "database", free_port())
        sinks = (
            f'[[sinks]]\nid = "telemetry"\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
            f'[[sinks]]\nid = "database"\nkind = "influx"\nurl = "{self.database.url}"\norg = "o"\nbucket = "b"\n'
        )
        self.site = SimulatedSite(folder / "site", DEMO_FILE, sinks, period="1s")
        self.gateway = GatewayProcess(folder / "site", self.site.site_file, self.site.state)
        self.listener: Listener | None = None

    def start(self) -> None:
        self.broker.start()
        self.database.start()
        self.listener = Listener(self.broker.port, [f"{PREFIX}/telemetry", f"{PREFIX}/telemetry-backfill"])
        assert self.listener.ready.wait(10)
        self.site.start()
        self.gateway.start()

    def stop(self) -> None:
        self.gateway.close()
        self.site.close()
        if self.listener is not None:
            self.listener.close()
        self.broker.stop()
        self.database.stop()


@pytest.fixture
def plant(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Plant]:
    plant = Plant(tmp_path, free_port)
    try:
        plant.start()
        yield plant
    finally:
        plant.stop()


def journaled(state: Path) -> dict[Identity, Frame]:
    """Return every frame of a journal nobody has open, by identity; none may be there twice."""
    store = Store(state / "journal.db")
    found = store.load()
    frames: dict[Identity, Frame] = {}
    for row in store.read(found.oldest, found.following, 1 << 60):
        assert row.intact
        for record in unpack(row.body, found.layouts.__getitem__):
            if isinstance(record, Frame):
                key = (record.layout.meter, record.epoch, record.time_ns // 1_000_000)
                assert key not in frames, f"{key} was journaled twice"
                frames[key] = record
    store.close()
    return frames


def test_outage_and_two_kills_lose_nothing_and_double_nothing(plant: Plant) -> None:
    listener = plant.listener
    assert listener is not None
    wait_until(lambda: len(firsts(listener.frames("/telemetry"))) >= 200, "telemetry flows")

    plant.broker.stop()
    plant.database.stop()
    began_s = time.monotonic()
    for kill_at_s in (3.0, 6.0):
        time.sleep(
            max(0.0, began_s + kill_at_s - time.monotonic())
        )  # the outage has a length: real time is inherent
        before = plant.gateway.status()["journal"]["readings"]
        assert before > 0
        plant.gateway.kill()
        plant.gateway.start()
        after = plant.gateway.status()["journal"]["readings"]
        assert after >= before, "a reading that was journaled is gone after the kill"
    time.sleep(max(0.0, began_s + OUTAGE_S - time.monotonic()))
    plant.broker.start()
    plant.database.start()

    def caught_up() -> bool:
        sinks = plant.gateway.status()["sinks"].values()
        return all(s["state"] == "up" and s["backlog"] == 0 and s["pending"] < 5000 for s in sinks)

    wait_until(caught_up, "both sinks have caught up", 60)
    assert plant.gateway.end() == 0, plant.gateway.tail()
    frames = journaled(plant.site.state)
    assert len({meter for meter, _, _ in frames}) >= 40

    check_subscriber(listener, frames)
    check_database(plant.database, frames)


def check_subscriber(listener: Listener, frames: dict[Identity, Frame]) -> None:
    """At least once at the subscriber, as journaled, in order per meter within live and within backfill."""

    def came() -> set[Identity]:
        return {
            identity(f) for suffix in ("/telemetry", "/telemetry-backfill") for f in listener.frames(suffix)
        }

    wait_until(lambda: len(came()) >= len(frames), f"{len(frames)} frames have come to the subscriber", 20)
    assert came() == set(frames)
    assert listener.frames("/telemetry-backfill"), "the outage left no backlog: the test proves nothing"
    for suffix in ("/telemetry", "/telemetry-backfill"):
        last: dict[tuple[str, int], int] = defaultdict(int)
        for meter, epoch, time_ms in firsts(listener.frames(suffix)):
            assert time_ms > last[meter, epoch], f"{meter} out of order in {suffix}"
            last[meter, epoch] = time_ms
        for message in listener.frames(suffix):
            compare(frames[identity(message)], message)


def compare(frame: Frame, message: dict[str, Any]) -> None:
    """The message carries what the journal holds."""
    assert message["l"] == frame.layout.digest
    values = [None if math.isnan(value) else value for value in frame.values]
    assert message["x"] == values


def check_database(database: VictoriaMetrics, frames: dict[Identity, Frame]) -> None:
    """Exactly once in the database: per meter and channel the same times as in the journal, each one time.

    VictoriaMetrics keeps 12 digits of a value, and 15 counted from the largest value of a block of a series.
    """
    expected: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for (meter, _, time_ms), frame in frames.items():
        for channel, value in zip(frame.layout.channels, frame.values, strict=True):
            if not math.isnan(value):
                expected[meter, channel.key][time_ms] = value
    stored = {}
    for labels, values in database.export('{gateway="demo"}').items():
        names = dict(labels)
        if not names["__name__"].startswith("meter_flag"):
            stored[names["meter"], names["__name__"].removeprefix("meter_")] = values
    assert stored.keys() == expected.keys()
    for key, values in stored.items():
        close = 1e-15 * max(map(abs, expected[key].values()))
        wanted = {
            time_ms: [pytest.approx(value, rel=1e-11, abs=close)] for time_ms, value in expected[key].items()
        }
        assert values == wanted, key

"""How fast a backlog is drained, and how live readings fare meanwhile: broker and database are stopped and come back.

A million readings and more lie in the journal by then, and the feed's messages of that time in the outbox. The rate of MQTT is what
the subscriber saw, that of the database what the gateway says, asked once a second.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.bench.counting import missing, stored_frames
from tests.bench.plant import CHANNELS, FEED_SINK, INFLUX_SINK, MQTT_SINK, SitePlan, write_site
from tests.bench.processes import BenchError, Gateway, Meters, Subscriber, cpu_s, free_port, rss_peak_mb
from tests.servers import Mosquitto, VictoriaMetrics

if TYPE_CHECKING:
    from pathlib import Path

NAME = "backlog"
READINGS = 1_000_000
BACKLOG_RATE = (
    500_000  # readings/s and a sink: more than it can, so that the gateway is measured and not this bound
)
FEED_RATE = 500
QUIET_AT = 0.6  # of a second of the wall clock: nothing is being polled or delivered
WARM_UP_S, LOOK_S, SETTLE_S = 5.0, 1.0, 2.0
AWAY_MAX_S, DRAIN_MAX_S = 600.0, 240.0


@dataclass
class Draining:
    """What the gateway says of one sink's backlog. count: when it was first seen; from_s, to_s: then, and when it was gone; wall time."""

    count: int = 0
    from_s: float = 0.0
    to_s: float = 0.0
    seen: list[int] = field(default_factory=list)

    def look(self, backlog: int, now_s: float) -> None:
        """Take what the gateway said at a time."""
        self.seen.append(backlog)
        if backlog and not self.count:
            self.count, self.from_s = backlog, now_s
        if self.count and not backlog and not self.to_s:
            self.to_s = now_s

    @property
    def rate(self) -> float | None:
        """Return readings a second; None where no backlog was seen."""
        return self.count / (self.to_s - self.from_s) if self.to_s > self.from_s else None


def _quiet() -> None:
    """Wait for the quiet part of a second."""
    time.sleep((QUIET_AT - time.time()) % 1.0)


def _wait_for_backlog(gateway: Gateway, readings: int) -> int:
    """Wait until so many readings wait for each sink; return how many messages of the feed do. Raises BenchError."""
    deadline = time.monotonic() + AWAY_MAX_S
    while time.monotonic() < deadline:
        time.sleep(LOOK_S)
        sinks = gateway.status()["sinks"]
        if min(sinks[id_]["pending"] for id_ in (MQTT_SINK, INFLUX_SINK)) >= readings:
            return int(sinks[FEED_SINK]["pending"])
    raise BenchError(f"no backlog of {readings:,} readings within {AWAY_MAX_S:g} s")


def _drain(gateway: Gateway) -> dict[str, Draining]:
    """Return how each sink's backlog went. Raises BenchError if it did not."""
    found = {id_: Draining() for id_ in (MQTT_SINK, INFLUX_SINK)}
    deadline = time.monotonic() + DRAIN_MAX_S
    while time.monotonic() < deadline:
        _quiet()
        sinks = gateway.status()["sinks"]
        for id_, draining in found.items():
            draining.look(sinks[id_]["backlog"], time.time())
        feed = sinks[FEED_SINK]
        if (
            all(draining.to_s for draining in found.values())
            and feed["state"] == "up"
            and not feed["backlog"]
        ):
            return found
        time.sleep(LOOK_S / 2)
    left = {id_: draining.seen[-1:] for id_, draining in found.items()}
    raise BenchError(f"the backlog is not gone within {DRAIN_MAX_S:g} s: {left}")


def measure(
    folder: Path, meters_count: int, delay_ms: str, cores: str, readings: int = READINGS
) -> dict[str, Any]:
    """Return the figures of one outage of every destination. Raises BenchError, RuntimeError."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        meters = stack.enter_context(Meters(meters_count, delay_ms, folder))
        broker = stack.enter_context(Mosquitto(folder / "mosquitto", free_port()))
        database = stack.enter_context(VictoriaMetrics(folder / "database", free_port()))
        subscriber = stack.enter_context(Subscriber(broker.port, folder, lasting=True))
        plan = SitePlan(
            meters_count,
            1000,
            meters.port,
            broker.port,
            influx_url=database.url,
            backlog_rate=BACKLOG_RATE,
            feed_rate=FEED_RATE,
        )
        gateway = stack.enter_context(Gateway(write_site(plan, folder), cores=cores))
        gateway.wait_for_meters()
        time.sleep(WARM_UP_S)
        _quiet()
        broker.stop()
        database.stop()
        messages = _wait_for_backlog(gateway, readings)
        _quiet()
        pids = {"meters": meters.pid, "subscriber": subscriber.pid, "gateway": gateway.pid}
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        database.start()
        broker.start()
        drained = _drain(gateway)
        spent = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        spent |= {"broker": cpu_s(broker.pid), "database": cpu_s(database.pid)}
        rss_mb, load = rss_peak_mb(gateway.pid), os.getloadavg()[0]
        time.sleep(SETTLE_S)
        final = gateway.final()
        from_s = min(one.from_s for one in drained.values())
        to_s = max(one.to_s for one in drained.values())
        arrived = subscriber.report(from_s * 1000, to_s * 1000, 1000)
        stored = stored_frames(database)
    figures = _figures(drained, arrived, final, stored)
    return figures | {
        "feed_backlog": messages,
        "rss_peak_mb": rss_mb,
        "load": load,
        "cpu_s": {name: round(cpu, 2) for name, cpu in spent.items()},
    }


def _figures(
    drained: dict[str, Draining], arrived: dict[str, Any], final: dict[str, Any], stored: int
) -> dict[str, Any]:
    """Return the figures; counts are readings."""
    width, sinks = len(CHANNELS), final["sinks"]
    late_s = (arrived["late_last_s"] or 0.0) - (arrived["late_first_s"] or 0.0)
    rates = {MQTT_SINK: arrived["late"] * width / late_s if late_s > 0 else None}
    rates[INFLUX_SINK] = drained[INFLUX_SINK].rate
    found = {MQTT_SINK: arrived["frames_all"] * width, INFLUX_SINK: stored * width}
    gone = [missing(final["readings"], sinks[id_]["pending"], number) for id_, number in found.items()]
    feed = sinks[FEED_SINK]
    return {
        "workload": NAME,
        "meters": arrived["meters"],
        "backlog": min(one.count for one in drained.values()),
        "drained_per_s": None if None in rates.values() else min(rate for rate in rates.values() if rate),
        "drained_by_sink": {id_: rate and round(rate) for id_, rate in rates.items()},
        "live_latency_p50_ms": arrived["live_latency_p50_ms"],
        "live_latency_p99_ms": arrived["live_latency_p99_ms"],
        "live_latency_max_ms": arrived["live_latency_max_ms"],
        "lost": final["lost"] + sum(gone) + feed["missed"] + feed["refused"],
        "repeats": arrived["repeats"],
        "pending": {id_: sink["pending"] for id_, sink in sinks.items()},
        "wrong": arrived["wrong"],
        "crashes": final["crashes"],
    }

"""Everything a trial consists of: simulated site, gateway, broker, database, and a listener that misses nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from gateway.feed.recording import Message, line
from simulators.run import DEMO_FILE
from tests.integration.listener import Listener
from tests.integration.site import GatewayProcess, SimulatedSite, wait_until
from tests.servers import Mosquitto, VictoriaMetrics

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

TELEMETRY, FEED = "metergate/v1/demo", "emc/v1"
SINKS = """
[intervals]
length = "10s"
grace = "2s"
[[sinks]]
id = "telemetry"
kind = "mqtt"
host = "127.0.0.1"
port = {broker}
[[sinks]]
id = "database"
kind = "influx"
url = "{database}"
org = "chaos"
bucket = "chaos"
[[sinks]]
id = "feed"
kind = "feed"
host = "127.0.0.1"
port = {broker}
backlog_rate = 500
[[sinks]]
id = "feed-database"
kind = "feed-influx"
url = "{database}"
org = "chaos"
bucket = "chaos"
backlog_rate = 500
"""
CATCH_UP_S = 90.0
OUTAGE_CHANCE = 0.06  # of each server, whenever chance is asked: every half second


class Recorder(Listener):
    """A listener that also keeps which messages the broker had retained."""

    def __init__(self, port: int, topics: list[str]) -> None:
        self.received: list[Message] = []
        super().__init__(port, topics, "recorder")
        self._client.on_message = self._keep

    def _keep(self, _client: Any, _userdata: Any, message: Any) -> None:
        body = bytes(message.payload)
        self.received.append(Message(message.topic, body, bool(message.retain), time.time_ns() // 1_000_000))
        self.messages.append((message.topic, body))

    def record(self, path: Path) -> Path:
        """Write what came of the feed as a recording."""
        path.write_bytes(b"".join(line(m) for m in list(self.received) if m.topic.startswith(FEED)))
        return path


class Plant:
    """A trial's processes; stopped by their pids, whatever happens."""

    def __init__(self, folder: Path, free_port: Callable[[], int], seed: int) -> None:
        self.broker = Mosquitto(folder / "broker", free_port())
        self.database = VictoriaMetrics(folder / "database", free_port())
        sinks = SINKS.format(broker=self.broker.port, database=self.database.url)
        self.site = SimulatedSite(folder / "site", DEMO_FILE, sinks, period="1s", seed=seed)
        self.gateway = GatewayProcess(folder / "site", self.site.site_file, self.site.state)
        self.recorder: Recorder | None = None

    def __enter__(self) -> Self:
        self.broker.start()
        self.database.start()
        self.recorder = Recorder(self.broker.port, [f"{TELEMETRY}/#", f"{FEED}/#"])
        assert self.recorder.ready.wait(10)
        self.site.start()
        self.gateway.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gateway.close()
        self.site.close()
        if self.recorder is not None:
            self.recorder.close()
        self.broker.stop()
        self.database.stop()

    def settle(self) -> None:
        """Return once every sink has everything but what is being read just now."""

        def caught_up() -> bool:
            sinks = self.gateway.status()["sinks"].values()
            return all(s["state"] == "up" and not s["backlog"] and s["pending"] < 5000 for s in sinks)

        wait_until(caught_up, "every sink has caught up", CATCH_UP_S)


class Outages:
    """Broker and database away now and then: stopped (connections refused) or frozen (connections hang)."""

    def __init__(self, plant: Plant, chance: random.Random) -> None:
        self._servers = {"broker": plant.broker, "database": plant.database}
        self._chance = chance
        self._away: dict[str, tuple[str, float]] = {}
        self.count = 0

    def turn(self, now_s: float) -> None:
        """Begin and end outages as chance has it."""
        for name, server in self._servers.items():
            how, until_s = self._away.get(name, ("", 0.0))
            if how and now_s >= until_s:
                self._end(name, how)
            elif not how and self._chance.random() < OUTAGE_CHANCE:
                how = self._chance.choice(("stop", "freeze"))
                (server.stop if how == "stop" else server.pause)()
                self._away[name] = how, now_s + self._chance.uniform(2, 12)
                self.count += 1

    def end(self) -> None:
        """End all of them."""
        for name, (how, _) in list(self._away.items()):
            self._end(name, how)

    def _end(self, name: str, how: str) -> None:
        server = self._servers[name]
        (server.start if how == "stop" else server.resume)()
        del self._away[name]

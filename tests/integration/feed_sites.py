"""Sites that publish signed feeds, and the commands that take them, as processes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import aiomqtt

from gateway.feed.chain import Place, Sealer
from gateway.feed.contract import topic as topic_of
from gateway.feed.keys import Key
from tests.fakes import feed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.feed.contract import Kind
    from tests.servers import VictoriaMetrics

PREFIX = "emc/v1"
FIRST = datetime.fromisoformat("2026-08-01T00:00:00+08:00")
QUARTER = timedelta(minutes=15)
WAIT_S = 40.0
Sent = tuple[str, bytes]  # topic, message
_HEAD = feed.head("data").keys()


class FeedSite:
    """One gateway: its key, its chain, and what it has sent."""

    def __init__(
        self, gateway: str, *, region: str = "330100", enterprise: str = "91330000MA27XXXX0A"
    ) -> None:
        self.gateway = gateway
        self.name = f"{region}/{enterprise}/{gateway}"
        self.key = Key.make(gateway)
        self._sealer = Sealer(
            self.key,
            gateway=gateway,
            region=region,
            enterprise=enterprise,
            place=Place(f"chain-of-{gateway}"),
        )
        self.sent: list[Sent] = []

    def message(self, kind: Kind, body: dict[str, Any], *, late: bool = False, subject: str = "") -> Sent:
        """Return the next message of the chain with its topic."""
        entry = self._sealer.seal(
            kind,
            subject,
            {key: value for key, value in body.items() if key not in _HEAD},
            time_ns=0,
            issued="2026-08-01T09:30:30.000+08:00",
            clock={"synchronised": True},
            config="ab" * 32,
        )
        rest = "backfill" if late else topic_of(kind, subject)
        self.sent.append((f"{PREFIX}/{self.name}/{rest}", entry.jws))
        return self.sent[-1]

    def interval(self, n: int, *, rev: int = 0, meter: str = "feeder-1", late: bool = False) -> Sent:
        """Return the n-th interval since midnight; its amount is n kWh."""
        body = feed.interval_payload(rev=rev)
        (interval,) = body["intervals"]
        interval["meter"] = meter
        interval["t0"], interval["t1"] = (
            (FIRST + step * QUARTER).isoformat(timespec="milliseconds") for step in (n, n + 1)
        )
        interval["channels"]["energy_active_import_total"]["delta"] = f"{n}.0"
        return self.message("data", body, late=late)

    def birth(self) -> Sent:
        """Return the index of what is measured."""
        digest = "0" * 64
        return self.message(
            "birth",
            {
                "software": "0.1.0",
                "timezone": "Asia/Shanghai",
                "key": self.key.body,
                "cadence": {"interval_s": 900, "grace_s": 30.0, "day_start": "00:00", "month_day": 1},
                "meters": [{"id": "feeder-1", "digest": digest}],
            },
        )


def time_ms(n: int) -> int:
    """Return when the n-th interval begins."""
    return round((FIRST + n * QUARTER).timestamp() * 1000)


async def publish(port: int, messages: Sequence[Sent], *, retain: bool = False) -> None:
    """Publish with QoS 1; return once the broker has acknowledged all."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=1, retain=retain)


def amounts(database: VictoriaMetrics) -> dict[tuple[str, str, str], dict[int, list[float]]]:
    """Return (gateway, meter, rev) -> begin in ms -> the amounts stored, of all intervals."""
    found = {}
    for labels, values in database.export('{__name__="interval_delta"}').items():
        named = dict(labels)
        found[named["gateway"], named["meter"], named.get("rev", "0")] = values
    return found


class Command:
    """`metergate …` as a process; its lines of stdout, as JSON, and of stderr."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.told: list[str] = []
        self.figures: list[Any] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout, self.figures, json.loads)),
            threading.Thread(target=self._read, args=(self._process.stderr, self.told, str)),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any, into: list[Any], form: Callable[[str], Any]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    into.append(form(line))
                    self._news.notify_all()

    def wait_for(self, has_come: Callable[[Any], bool]) -> Any:
        """Return the newest figures once they are as asked."""
        with self._news:
            assert self._news.wait_for(lambda: self.figures and has_come(self.figures[-1]), WAIT_S), (
                self.figures[-2:],
                self.told[-5:],
            )
            return self.figures[-1]

    def wait_longer(self, count: int) -> None:
        """Return once so many further figures have come."""
        seen = len(self.figures)
        self.wait_for(lambda _: len(self.figures) >= seen + count)

    def wait_told(self, part: str) -> None:
        """Return once a line of stderr has this in it."""
        with self._news:
            assert self._news.wait_for(lambda: any(part in line for line in self.told), WAIT_S), self.told

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it; return its exit code, once all it wrote is there."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(WAIT_S)
        for thread in self._threads:
            thread.join(WAIT_S)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)


async def until(holds: Callable[[], bool], what: str, every_s: float = 0.1) -> None:
    """Return once something holds that a real server cannot tell by an event."""
    for _ in range(round(WAIT_S / every_s)):
        if await asyncio.to_thread(holds):
            return
        await asyncio.sleep(every_s)
    raise AssertionError(f"not within {WAIT_S:g} s: {what}")

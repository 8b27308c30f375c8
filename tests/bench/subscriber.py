"""What arrives at the broker: a subscriber in its own process, and what it makes of it.

    python -m tests.bench.subscriber --port 1883 [--lasting]

Prints `ready` when it is subscribed. Each line on stdin, `{"from_ms":…,"to_ms":…,"period_ms":…}` in wall time,
is answered by one line of JSON about the frames whose time lies in that window. Ends when stdin closes.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.bench.plant import CHANNELS, CLOCK_MODULUS_MS, GATEWAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IN_TIME_MS = 2_000.0
"""A reading that arrives later than this is not "arriving" any more: the gateway falls behind."""
TOPICS = [
    (f"metergate/v1/{GATEWAY}/telemetry/#", 1),
    (f"metergate/v1/{GATEWAY}/telemetry-backfill/#", 1),
]
LATE = "/telemetry-backfill"
KEPT_S = 3600  # by the broker, for a subscriber that comes back


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ascending `ordered` that at least `share` of them do not exceed; NaN of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


class Arrivals:
    """Every frame that arrived, in order of arrival."""

    def __init__(self) -> None:
        self._meters: dict[str, int] = {}
        self._meter = array("l")
        self._epoch = array("l")
        self._time_ms = array("q")
        self._age_ms = array("d")
        self._late = array("b")
        self.late_first_s: float | None = None  # monotonic
        self.late_last_s: float | None = None
        self.flagged = 0
        self.wrong = 0
        self.messages = 0
        self.bytes = 0
        self.first_s: float | None = None  # monotonic
        self.all_s: float | None = None  # monotonic, when the latest meter came for the first time

    def take(self, payload: bytes | bytearray, now_ms: float, *, late: bool = False) -> None:
        """Take one telemetry message that arrived at monotonic `now_ms`."""
        frames = orjson.loads(payload)["frames"]
        if self.first_s is None:
            self.first_s = now_ms / 1000
        if late:
            self.late_first_s = self.late_first_s or now_ms / 1000
            self.late_last_s = now_ms / 1000
        self.messages += 1
        self.bytes += len(payload)
        for frame in frames:
            meter = self._meters.get(frame["m"])
            if meter is None:
                meter = self._meters[frame["m"]] = len(self._meters)
                self.all_s = now_ms / 1000
            values = frame["x"]
            if len(values) != len(CHANNELS) or None in values:
                self.wrong += 1
                continue
            self.flagged += "f" in frame
            self._meter.append(meter)
            self._epoch.append(frame["e"])
            self._time_ms.append(frame["t"])
            self._late.append(late)
            self._age_ms.append((now_ms - values[0]) % CLOCK_MODULUS_MS)

    def report(self, from_ms: float, to_ms: float, period_ms: float) -> dict[str, Any]:
        """Return the figures of the frames whose time lies in [from_ms, to_ms)."""
        seen: set[tuple[int, int, int]] = set()
        repeats = 0
        ages: list[float] = []
        live: list[float] = []
        late_frames = 0
        times: dict[int, list[int]] = {}
        for meter, epoch, time_ms, age_ms, late in self._rows():
            key = (meter, epoch, time_ms)
            if key in seen:
                repeats += 1
                continue
            seen.add(key)
            late_frames += late
            if from_ms <= time_ms < to_ms:
                ages.append(age_ms)
                if not late:
                    live.append(age_ms)
                times.setdefault(meter, []).append(time_ms)
        ages.sort()
        live.sort()
        own = [sorted(ms) for ms in times.values()]
        cadence = sorted((b - a) / 1000 for ms in own for a, b in pairwise(ms))
        slots = (to_ms - from_ms) / period_ms
        return {
            "meters": len(self._meters),
            "frames": len(ages),
            "frames_in_time": sum(age <= IN_TIME_MS for age in ages),
            "frames_all": len(seen),
            "missed_slots": max(0, round(slots) * len(self._meters) - len(set(_slots(own, period_ms)))),
            "repeats": repeats,
            "flagged": self.flagged,
            "wrong": self.wrong,
            "messages": self.messages,
            "bytes": self.bytes,
            "first_s": self.first_s,
            "all_s": self.all_s,
            "cadence_p50_s": percentile(cadence, 0.5),
            "cadence_p99_s": percentile(cadence, 0.99),
            "latency_p50_ms": percentile(ages, 0.5),
            "latency_p99_ms": percentile(ages, 0.99),
            "live_latency_p50_ms": percentile(live, 0.5),
            "live_latency_p99_ms": percentile(live, 0.99),
            "live_latency_max_ms": percentile(live, 1.0),
            "late": late_frames,
            "late_first_s": self.late_first_s,
            "late_last_s": self.late_last_s,
        }

    def _rows(self) -> Iterable[tuple[int, int, int, float, int]]:
        """Return (meter, epoch, time, age, late); a frame that arrives meanwhile may be left out, never torn."""
        count = len(self._age_ms)
        columns = (self._meter, self._epoch, self._time_ms, self._age_ms, self._late)
        return zip(*(column[:count] for column in columns), strict=True)


def _slots(times: Iterable[Sequence[int]], period_ms: float) -> Iterable[tuple[int, int]]:
    """Return (meter, due time on the wall grid) of every frame."""
    return ((n, int(ms // period_ms)) for n, own in enumerate(times) for ms in own)


def _connect(port: int, arrivals: Arrivals, *, lasting: bool = False) -> mqtt.Client:
    """Return a subscribed client whose own thread fills `arrivals`. lasting: its session outlives its connections."""
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench-subscriber", protocol=mqtt.MQTTv5)

    def on_connect(one: mqtt.Client, *_: object) -> None:
        one.subscribe(TOPICS)

    def on_subscribe(*_: object) -> None:
        subscribed.set()

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        arrivals.take(message.payload, time.monotonic_ns() / 1e6, late=LATE in message.topic)

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = 1000  # the broker's default window of 20 would be the narrowest place
    if lasting:
        properties.SessionExpiryInterval = KEPT_S
        client.reconnect_delay_set(min_delay=1, max_delay=1)
    client.connect("127.0.0.1", port, properties=properties, clean_start=not lasting)
    client.loop_start()
    if not subscribed.wait(10):
        raise SystemExit("no SUBACK within 10 s")
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lasting", action="store_true", help="have the broker keep what comes meanwhile")
    arguments = parser.parse_args()
    arrivals = Arrivals()
    client = _connect(arguments.port, arrivals, lasting=arguments.lasting)
    print("ready", flush=True)
    for line in sys.stdin:
        print(orjson.dumps(arrivals.report(**orjson.loads(line))).decode(), flush=True)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()

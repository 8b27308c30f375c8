"""What is held against what after a trial: the journal against every destination, the feed against the journal."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from gateway.feed import jws
from gateway.intervals.model import Reason
from gateway.model import NS
from tests.integration.listener import identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gateway.feed.recording import Message
    from gateway.model import Frame
    from tests.integration.listener import Identity
    from tests.servers import VictoriaMetrics

REASONS = frozenset(Reason.__args__)  # type: ignore[attr-defined]
Intervals = dict[tuple[str, int, str], dict[str, Any]]
"""(meter, epoch, t0) -> its newest revision as the feed has it."""


def of_telemetry(frames: Mapping[Identity, Frame], told: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """Return (readings journaled that never came, frames that came twice and were not the same)."""
    seen: dict[Identity, str] = {}
    unlike = 0
    for frame in told:
        text = json.dumps([frame["l"], frame["x"], frame.get("f")])
        unlike += seen.setdefault(identity(frame), text) != text
    absent = frames.keys() - seen.keys()
    assert not seen.keys() - frames.keys(), "something came that was never journaled"
    return sum(len(frames[key].flags) for key in absent), unlike


def of_database(frames: Mapping[Identity, Frame], database: VictoriaMetrics) -> tuple[int, int]:
    """Return (readings journaled with a value that are not stored, times of a series with more than one value)."""
    expected: dict[tuple[str, str], set[int]] = defaultdict(set)
    for (meter, _, time_ms), frame in frames.items():
        for channel, value in zip(frame.layout.channels, frame.values, strict=True):
            if not math.isnan(value):
                expected[meter, channel.key].add(time_ms)
    lost = sum(map(len, expected.values()))
    doubles = 0
    for labels, values in database.export('{__name__=~"meter_.*"}').items():
        names = dict(labels)
        key = names["meter"], names["__name__"].removeprefix("meter_")
        doubles += sum(len(each) > 1 for each in values.values())
        lost -= len(expected.get(key, set()) & values.keys())
    return lost, doubles


def verified(recording: Path, key: Path) -> dict[str, Any]:
    """Return what `metergate verify` says of a recording."""
    command = [sys.executable, "-m", "gateway", "verify", str(recording), "--key", str(key), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report | {"exit": done.returncode}


def signed(messages: Iterable[Message]) -> tuple[dict[tuple[str, str], bytes], int]:
    """Return (chain, seq) -> the message, and how many came again with other bytes."""
    found: dict[tuple[str, str], bytes] = {}
    unlike = 0
    for message in messages:
        if message.topic.startswith("emc/v1/") and not message.topic.endswith("/state"):
            payload = json.loads(jws.parse(message.payload).payload)
            key = payload["chain"], payload["seq"]
            unlike += found.setdefault(key, message.payload) != message.payload
    return found, unlike


def newest(messages: Mapping[tuple[str, str], bytes]) -> Intervals:
    """Return the intervals of a feed, newest revisions."""
    found: Intervals = {}
    for raw in messages.values():
        payload = json.loads(jws.parse(raw).payload)
        for one in payload.get("intervals", []):
            key = one["meter"], one["epoch"], one["t0"]
            if key not in found or found[key]["rev"] < one["rev"]:
                found[key] = one
    return found


def explained(
    intervals: Intervals, frames: Mapping[Identity, Frame], iso_ns: Any
) -> tuple[int, int, list[str]]:
    """Return (readings missing, of them explained, what does not fit).

    A missing one is explained if its reason is of the closed list and the count of those received is what the journal has: one
    for each due time with a frame.
    """
    slots = due_with_frames(frames)
    missing = told = 0
    faults = []
    for (meter, epoch, t0), interval in intervals.items():
        start_ns, end_ns = iso_ns(t0), iso_ns(interval["t1"])
        for key, channel in interval["channels"].items():
            gone = channel["expected"] - channel["good"]
            gaps = channel.get("gaps", {})
            missing += gone
            there = {slot for slot in slots.get((meter, epoch, key), set()) if start_ns <= slot < end_ns}
            if channel["received"] != len(there) or sum(gaps.values()) != gone or not gaps.keys() <= REASONS:
                faults.append(f"{meter} {key} {t0}: {channel}, the journal has {len(there)}")
            else:
                told += gone
    return missing, told, faults


def due_with_frames(frames: Mapping[Identity, Frame]) -> dict[tuple[str, int, str], set[int]]:
    """Return (meter, epoch, channel) -> the due times that have a frame in the journal."""
    found: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    for (meter, epoch, _), frame in frames.items():
        period_ns = round(frame.layout.period_s * NS)
        for channel in frame.layout.channels:
            if channel.report:
                found[meter, epoch, channel.key].add(frame.time_ns // period_ns * period_ns)
    return found

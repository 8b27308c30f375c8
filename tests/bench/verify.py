"""How fast a feed is verified: `metergate verify` over a recording of 100 000 messages, measured from outside, on one core.

A message holds an interval of three meters with three reported channels each: some 6 kB. The time is that of the whole process,
its start included.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from tests.bench.processes import BenchError
from tests.fakes.signed_feed import INTERVAL, Feed, key_of, text, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.feed.recording import Message

NAME = "verify"
MESSAGES = 100_000
RUNS = 3


def measure(folder: Path, messages: int = MESSAGES) -> dict[str, Any]:
    """Return the figures: messages a second of the median of three runs, the start of the process included. Raises BenchError."""
    folder.mkdir(parents=True, exist_ok=True)
    file, key = folder / "feed.jsonl", folder / "key.pem"
    key.write_text(key_of().known.pem)
    write(file, islice(_messages(), messages))
    rates, cpu = [], []
    for _ in range(RUNS):
        begin_s, before = time.perf_counter(), _children_cpu_s()
        report = _verify(file, key)
        rates.append(messages / (time.perf_counter() - begin_s))
        cpu.append((_children_cpu_s() - before) / messages * 1e6)
        if not report["verified"] or report["authentic"] != messages:
            raise BenchError(f"the verifier found {report['count']} faults in a good recording")
    return {
        "workload": NAME,
        "messages": messages,
        "messages_per_s": sorted(rates)[RUNS // 2],
        "cpu_us_per_message": sorted(cpu)[RUNS // 2],
        "message_bytes": file.stat().st_size / messages,
        "rss_peak_mb": _children_rss_mb(),
        "wrong": report["count"],
    }


def _messages() -> Iterator[Message]:
    """Yield a birth and intervals without end; their bodies are copies but for the time, which is what takes long to make."""
    feed = Feed()
    yield feed.birth()
    intervals = [feed.interval(meter, feed.now) for meter in feed.meters]
    while True:
        t0, feed.now = text(feed.now), feed.now + INTERVAL
        yield feed.values([interval | {"t0": t0, "t1": text(feed.now)} for interval in intervals])


def _verify(file: Path, key: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "gateway", "verify", str(file), "--key", str(key), "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise BenchError(f"metergate verify: {done.stderr.decode()[-500:]}")
    return dict(json.loads(done.stdout))


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _children_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024

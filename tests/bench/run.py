"""`make bench`: the whole pipeline, measured from outside.

    python -m tests.bench.run [--only WORKLOAD] [--seconds 30] [--meters 500] [--delay-ms 0] [--pin CORES] [--json]

Meters, broker, database and subscriber are processes of their own; the gateway is the ordinary `metergate run` with
its journal on disk. A table goes to stderr; the last line of stdout is a JSON list, one object a workload.
What the figures mean: docs/reference/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import backlog, fitting, serial, verify
from tests.bench.counting import missing, stored_frames
from tests.bench.plant import CHANNELS, INFLUX_SINK, MQTT_SINK, SitePlan, write_site
from tests.bench.processes import BenchError, Gateway, Meters, Subscriber, cpu_s, free_port, rss_peak_mb
from tests.bench.report import MAX_RATE, judged, table
from tests.servers import Mosquitto, VictoriaMetrics

WARM_UP_S = 5.0  # after the start of the gateway, at least
WINDOW_AT = 0.6  # of a period after the wall grid, where a burst of polls is long over
STEP_METERS = (
    1,
    2,
    3,
    4,
    5,
    6,
)  # times the meters of the other workloads; 500 make 60 000 … 360 000 readings/s
STEP_PERIOD_MS = 250  # short enough to need few meters, long enough that a burst of polls is not a stall
STEP_S, STEP_WARM_UP_S = 8.0, 3.0
HELD = 0.99
INFLUX_PENDING_S = 3.0  # a second is collected, a request takes its time; more than this is falling behind
SETTLE_S = 1.0  # between the end of the window and asking the subscriber

console = Console(stderr=True)


@dataclass(frozen=True)
class Workload:
    """What is run. group: MQTT grouping."""

    name: str
    group: str = "commit"
    influx: bool = False


WORKLOADS = (
    Workload("tcp-mqtt"),
    Workload("tcp-mqtt-per-meter", group="meter"),
    Workload("tcp-mqtt-influx", influx=True),
    Workload(MAX_RATE, influx=True),
    *(Workload(name) for name in serial.BAUDS),
    Workload(verify.NAME),
    Workload(fitting.NAME),
    Workload(backlog.NAME),
)
GROUPS = {"serial": tuple(serial.BAUDS)}
"""Names for several workloads."""


@dataclass(frozen=True)
class Options:
    """How it is run. delay_ms: how long a meter takes to answer. cores: of the gateway, "" for any."""

    meters: int
    seconds: float
    delay_ms: str
    cores: str


@dataclass(frozen=True)
class Window:
    """The part of a run that counts, in wall time on the grid of the polls; it holds whole periods."""

    from_ms: float
    to_ms: float
    period_ms: int

    @property
    def periods(self) -> int:
        return round((self.to_ms - self.from_ms) / self.period_ms)


def next_window(earliest_s: float, seconds: float, period_ms: int) -> Window:
    """Return the first window of about `seconds` that begins after wall time `earliest_s`."""
    periods = max(1, round(seconds * 1000 / period_ms))
    from_ms = (math.ceil(earliest_s * 1000 / period_ms) + WINDOW_AT) * period_ms
    return Window(from_ms, from_ms + periods * period_ms, period_ms)


def _sleep_until(wall_s: float) -> None:
    time.sleep(max(0.0, wall_s - time.time()))


def measure(
    workload: Workload, options: Options, folder: Path, period_ms: int, warm_up_s: float
) -> dict[str, Any]:
    """Return the figures of one run of the gateway. Raises BenchError, RuntimeError."""
    folder.mkdir()
    with ExitStack() as stack:
        meters = stack.enter_context(Meters(options.meters, options.delay_ms, folder))
        broker = stack.enter_context(Mosquitto(folder / "mosquitto", free_port()))
        database = (
            stack.enter_context(VictoriaMetrics(folder / "database", free_port()))
            if workload.influx
            else None
        )
        subscriber = stack.enter_context(Subscriber(broker.port, folder))
        url = database.url if database else ""
        plan = SitePlan(options.meters, period_ms, meters.port, broker.port, workload.group, url)
        gateway = stack.enter_context(Gateway(write_site(plan, folder), cores=options.cores))
        pids = {
            "meters": meters.pid,
            "broker": broker.pid,
            "subscriber": subscriber.pid,
            "gateway": gateway.pid,
        }
        if database:
            pids["database"] = database.pid
        spawned_s = time.time()
        gateway.wait_for_meters()
        window = next_window(max(time.time(), spawned_s + warm_up_s), options.seconds, period_ms)
        _sleep_until(window.from_ms / 1000)
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        _sleep_until(window.to_ms / 1000)
        spent = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        at_end = gateway.status()
        rss_mb = rss_peak_mb(gateway.pid)
        time.sleep(SETTLE_S)
        final = gateway.final()
        arrived = subscriber.report(window.from_ms, window.to_ms, window.period_ms)
        stored = stored_frames(database) if database else None
    nominal = options.meters * window.periods * len(CHANNELS)
    seconds = (window.to_ms - window.from_ms) / 1000
    figures = _figures(workload.name, nominal, seconds, spent, arrived, final)
    figures["rss_peak_mb"] = rss_mb
    figures["first_reading_s"] = _since(arrived["first_s"], gateway.spawned_s)
    figures["all_meters_s"] = _since(arrived["all_s"], gateway.spawned_s)
    if stored is not None:
        figures["database_frames"] = stored
        figures["lost"] += missing(final["readings"], figures["pending"][INFLUX_SINK], stored * len(CHANNELS))
        figures["influx_pending"] = at_end["sinks"][INFLUX_SINK]["pending"]
    return figures


def _since(then_s: float | None, spawned_s: float) -> float | None:
    return None if then_s is None else then_s - spawned_s


def _figures(
    name: str,
    nominal: int,
    seconds: float,
    spent: dict[str, float],
    arrived: dict[str, Any],
    final: dict[str, Any],
) -> dict[str, Any]:
    """Return the figures; counts are readings. lost: counted by the gateway, or acknowledged and never arrived."""
    width = len(CHANNELS)
    readings = arrived["frames"] * width
    pending = {id_: sink["pending"] for id_, sink in final["sinks"].items()}
    gone = missing(final["readings"], pending[MQTT_SINK], arrived["frames_all"] * width)
    return {
        "workload": name,
        "meters": arrived["meters"],
        "readings_per_s": readings / seconds,
        "delivered_fraction": readings / nominal,
        "cpu_s_per_million": spent["gateway"] / readings * 1e6 if readings else None,
        "cadence_p50_s": arrived["cadence_p50_s"],
        "cadence_p99_s": arrived["cadence_p99_s"],
        "latency_p50_ms": arrived["latency_p50_ms"],
        "latency_p99_ms": arrived["latency_p99_ms"],
        "lost": final["lost"] + gone,
        "in_time_fraction": arrived["frames_in_time"] * width / nominal,
        "missed_polls": arrived["missed_slots"],
        "pending": pending,
        "repeats": arrived["repeats"],
        "flagged_fraction": arrived["flagged"] / max(1, arrived["frames_all"]),
        "wrong": arrived["wrong"],
        "message_bytes": arrived["bytes"] / max(1, arrived["messages"]),
        "crashes": final["crashes"],
        "cores": {process: round(cpu / seconds, 3) for process, cpu in spent.items()},
    }


def climb(workload: Workload, options: Options, folder: Path) -> dict[str, Any]:
    """Return the figures of the highest rate that held, with every step tried."""
    best: dict[str, Any] | None = None
    steps = []
    for times in STEP_METERS:
        step = replace(options, meters=times * options.meters, seconds=min(STEP_S, options.seconds))
        nominal = step.meters * len(CHANNELS) * 1000 / STEP_PERIOD_MS
        console.print(f"  {workload.name}: {step.meters} meters, {nominal:,.0f} readings/s …")
        step_folder = folder.with_name(f"{folder.name}-{step.meters}")
        figures = measure(workload, step, step_folder, STEP_PERIOD_MS, STEP_WARM_UP_S)
        in_time, pending = figures["in_time_fraction"], figures["influx_pending"]
        held = in_time >= HELD and pending <= INFLUX_PENDING_S * nominal
        steps.append(
            {"meters": step.meters, "nominal_per_s": round(nominal), "in_time_fraction": round(in_time, 4)}
            | {"influx_pending": pending, "latency_p99_ms": figures["latency_p99_ms"]}
            | {"cores": figures["cores"], "held": held}
        )
        if best is None or held:
            best = figures
        if not held:
            break
    assert best is not None
    if not steps[0]["held"]:
        best["readings_per_s"] = 0.0  # not even the lowest step held
    return best | {"steps": steps}


def run(workloads: list[Workload], options: Options, folder: Path) -> list[dict[str, Any]]:
    """Return the judged figures of every workload, in order."""
    results = []
    for workload in workloads:
        own = folder / workload.name
        if workload.name == MAX_RATE:
            figures = climb(workload, options, own)
        elif workload.name in serial.BAUDS:
            console.print(f"  {workload.name}: {serial.METERS} meters on one line …")
            figures = serial.measure(workload.name, own, options.cores)
        elif workload.name == verify.NAME:
            console.print(f"  {workload.name}: {verify.MESSAGES:,} messages …")
            figures = verify.measure(own)
        elif workload.name == fitting.NAME:
            console.print(f"  {workload.name}: {fitting.INSTRUMENTS:,} instruments …")
            figures = fitting.measure(own)
        elif workload.name == backlog.NAME:
            console.print(f"  {workload.name}: {options.meters} meters, some two minutes …")
            figures = backlog.measure(own, options.meters, options.delay_ms, options.cores)
        else:
            console.print(f"  {workload.name}: {options.meters} meters, {options.seconds:g} s …")
            figures = measure(workload, options, own, 1000, WARM_UP_S)
        results.append(judged(figures | {"python": platform.python_version()}))
    return results


def chosen(only: list[str] | None) -> list[Workload]:
    """Return the workloads named, or of groups named; all without a name."""
    names = {name for one in only or () for name in GROUPS.get(one, (one,))}
    return [workload for workload in WORKLOADS if not names or workload.name in names]


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    names = [*(workload.name for workload in WORKLOADS), *GROUPS]
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the whole pipeline.")
    parser.add_argument("--only", action="append", choices=names, help="this workload alone; may be repeated")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the measuring window")
    parser.add_argument("--meters", type=int, default=500, help="Modbus TCP meters, a connection each")
    parser.add_argument("--delay-ms", default="0", help="time a meter takes to answer: MS or LOW-HIGH")
    parser.add_argument("--pin", default="", metavar="CORES", help="cores of the gateway (taskset)")
    parser.add_argument("--keep", type=Path, help="keep site files, journals and logs in this new folder")
    parser.add_argument("--json", action="store_true", help="no table and no progress on stderr")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run, print, clean up; return the exit code: 0 measured, whatever the budgets say."""
    arguments = _arguments(argv)
    console.quiet = arguments.json
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))  # a socket a meter; inherited
    workloads = chosen(arguments.only)
    options = Options(arguments.meters, arguments.seconds, arguments.delay_ms, arguments.pin)
    # Not /tmp, which is often in memory: the journal must pay for its disk.
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="metergate-bench-", dir="/var/tmp"))
    try:
        folder.mkdir(exist_ok=True)
        results = run(workloads, options, folder)
    except (BenchError, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    console.print(table(results))
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

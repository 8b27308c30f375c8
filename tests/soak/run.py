"""`make soak`: minutes of a bad day in real time, with real processes, and what the gateway's memory did meanwhile.

The simulated site (Modbus TCP, a serial line, OPC UA) with the troubles of simulators/demo_faults.toml over and over,
mosquitto, VictoriaMetrics, the gateway; beside it a second gateway that reads 6 channels every 5 s, whose CPU is the
idle figure. The last line is one JSON object; exit code 1 when something was lost or memory grew beyond the bound.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tests.bench.processes import BenchError, Child, Gateway, Meters, cpu_s, free_port, rss_mb
from tests.servers import Mosquitto, VictoriaMetrics
from tests.soak.plant import idle_site, repeated_faults, sinks_toml
from tests.soak.slope import slope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAMPLE_S = 2.0
START_S = 30.0
SETTLE_S = 20.0  # at the end, when no trouble is in force any more
SLOPE_MAX_MB_H = 20.0
FILL_S = 300.0  # until SQLite's page cache (1 MiB, gateway.journal.store) is full, at 0.21 MB a minute
IDLE_CPU_MAX = 0.01
MINUTE_S = 60.0

console = Console(stderr=True)


class Plant(Child):
    """The simulated site; `site` is the gateway's site file for it."""

    def __init__(self, plan: Path, sinks: str, folder: Path) -> None:
        self.site = folder / "site.toml"
        sinks_file = folder / "sinks.toml"
        sinks_file.write_text(sinks)
        words = ["-m", "simulators.run", str(plan), "--site-out", str(self.site), "--quiet"]
        words += ["--sinks-file", str(sinks_file), "--state-dir", str(folder / "state")]
        super().__init__([sys.executable, *words], folder / "plant.log")
        end_s = time.monotonic() + START_S
        while not self.site.exists():
            if self.ended() or time.monotonic() > end_s:
                self.stop()
                raise self.failed("did not start")
            time.sleep(0.05)  # another process's file gives no event here


class Watch:
    """Samples of the gateway: seconds and MB, and the most that waited anywhere."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.rss: list[float] = []
        self.most: dict[str, int] = {}

    def take(self, at_s: float, gateway: Gateway) -> None:
        """Sample once. Raises BenchError if the gateway does not answer."""
        figures = gateway.status()
        self.times.append(at_s)
        self.rss.append(rss_mb(gateway.pid))
        waits = {f"{id_} pending": sink["pending"] for id_, sink in figures["sinks"].items()}
        waits["journal groups"] = figures["journal"]["waiting_groups"]
        waits["notices of links"] = sum(len(link["notices"]) for link in figures["links"].values())
        for name, count in waits.items():
            self.most[name] = max(self.most.get(name, 0), count)


def soak(minutes: float, folder: Path) -> dict[str, Any]:
    """Return the figures. Raises BenchError, RuntimeError."""
    idle = folder / "idle"
    idle.mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder / "mosquitto", free_port()))
        database = stack.enter_context(VictoriaMetrics(folder / "database", free_port()))
        meters = stack.enter_context(Meters(1, "0", idle))
        plan = repeated_faults(folder / "faults.toml", minutes * MINUTE_S - SETTLE_S)
        plant = stack.enter_context(Plant(plan, sinks_toml(broker.port, database.url), folder))
        gateway = stack.enter_context(Gateway(plant.site))
        idler = stack.enter_context(Gateway(idle_site(idle, meters.port, broker.port)))
        idler.wait_for_meters()
        _first_answer(gateway)
        watch = Watch()
        pids = {"gateway": gateway.pid, "idle": idler.pid}
        began_s = time.monotonic()
        before: dict[str, float] | None = None
        while (at_s := time.monotonic() - began_s) < minutes * MINUTE_S:
            watch.take(at_s, gateway)
            if before is None and at_s >= MINUTE_S:
                before = {name: cpu_s(pid) for name, pid in pids.items()}
                began_cpu_s = time.monotonic()
                console.print(f"  after a minute: {watch.rss[-1]:.1f} MB")
            time.sleep(SAMPLE_S)
        assert before is not None
        lasted_s = time.monotonic() - began_cpu_s
        cpu = {name: (cpu_s(pid) - before[name]) / lasted_s for name, pid in pids.items()}
        idle_final, final = idler.final(), gateway.final()
        stored = _stored_frames(database)
    return _figures(minutes, watch, cpu, final, idle_final, stored)


def _first_answer(gateway: Gateway) -> None:
    end_s = time.monotonic() + START_S
    while True:
        try:
            gateway.status()
        except BenchError:
            if gateway.ended() or time.monotonic() > end_s:
                raise
            time.sleep(0.1)
        else:
            return


def _stored_frames(database: VictoriaMetrics) -> int:
    """Return how many (meter, time) the database has a value of."""
    found: dict[str, set[int]] = {}
    for labels, times in database.export().items():
        meter = dict(labels).get("meter")
        if meter is not None:
            found.setdefault(meter, set()).update(times)
    return sum(map(len, found.values()))


def _figures(
    minutes: float,
    watch: Watch,
    cpu: Mapping[str, float],
    final: dict[str, Any],
    idle: dict[str, Any],
    stored: int,
) -> dict[str, Any]:
    """Return everything that is reported; counts are readings, but for frames."""
    measured = [(t, rss) for t, rss in zip(watch.times, watch.rss, strict=True) if t >= FILL_S]
    line = slope([t / 3600 for t, _ in measured], [rss for _, rss in measured])
    sinks = final["sinks"]
    unaccounted = {
        id_: final["journal"]["readings"] - sum(sink[k] for k in ("delivered", "refused", "missed", "pending"))
        for id_, sink in sinks.items()
    }  # fmt: skip
    pending = {id_: sink["pending"] for id_, sink in sinks.items()}
    absent = max(0, final["frames"] - stored) if not pending["influx"] else 0
    return {
        "minutes": minutes,
        "readings": final["readings"],
        "frames": final["frames"],
        "frames_in_database": stored,
        "lost": final["lost"] + sum(map(abs, unaccounted.values())) + absent + idle["lost"],
        "pending": pending,
        "refused": {id_: sink["refused"] for id_, sink in sinks.items()},
        "crashes": final["crashes"] | idle["crashes"],
        "rss_mb_when_filled": round(measured[0][1], 2),
        "rss_mb_at_end": round(measured[-1][1], 2),
        "rss_mb_most": round(max(watch.rss), 2),
        "rss_slope_mb_h": round(line.slope, 2),
        "rss_slope_error_mb_h": round(line.error, 2),
        "rss_second_half_mb_h": round(_half(measured), 2),
        "cpu_fraction": round(cpu["gateway"], 4),
        "idle_cpu_fraction": round(cpu["idle"], 5),
        "most_waiting": watch.most,
        "links": {
            id_: {key: link[key] for key in ("ups", "downs", "rebuilt", "polls")}
            for id_, link in final["links"].items()
        },
        "failed_polls": sum(sum(m["failures"].values()) for m in final["meters"].values()),
    }


def _half(measured: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the second half alone."""
    later = measured[len(measured) // 2 :]
    return slope([t / 3600 for t, _ in later], [rss for _, rss in later]).slope


def faults_found(figures: dict[str, Any], slope_max: float) -> list[str]:
    """Return why it is not good enough."""
    found = []
    if figures["lost"]:
        found.append(f"lost {figures['lost']}")
    if figures["crashes"]:
        found.append(f"bugs: {figures['crashes']}")
    if figures["rss_second_half_mb_h"] > slope_max and figures["rss_slope_mb_h"] > slope_max:
        found.append(f"memory grows by {figures['rss_slope_mb_h']} MB/h, {slope_max:g} allowed")
    if figures["idle_cpu_fraction"] >= IDLE_CPU_MAX:
        found.append(
            f"the idle gateway takes {figures['idle_cpu_fraction']:.2%} of a core, {IDLE_CPU_MAX:.0%} allowed"
        )
    return found  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run, print, clean up; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make soak", description="A bad day in real time: memory, CPU, losses."
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="at least 7; memory is measured from the sixth on"
    )
    parser.add_argument("--slope-max", type=float, default=SLOPE_MAX_MB_H, metavar="MB_PER_H")
    parser.add_argument("--keep", type=Path, help="keep site files, journals and logs in this new folder")
    arguments = parser.parse_args(argv)
    if arguments.minutes < 7:
        parser.error("--minutes: at least 7")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Not /tmp, which is often in memory: the journal must pay for its disk.
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="metergate-soak-", dir="/var/tmp"))
    try:
        folder.mkdir(exist_ok=True)
        figures = soak(arguments.minutes, folder.resolve())
    except (BenchError, RuntimeError, OSError) as error:
        sys.stderr.write(f"soak: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    found = faults_found(figures, arguments.slope_max)
    console.print(
        f"RSS {figures['rss_mb_when_filled']} → {figures['rss_mb_at_end']} MB, "
        f"{figures['rss_slope_mb_h']} ± {figures['rss_slope_error_mb_h']} MB/h; CPU {figures['cpu_fraction']:.1%}, "
        f"idle {figures['idle_cpu_fraction']:.2%}; lost {figures['lost']}; {'; '.join(found) or 'good'}"
    )
    sys.stdout.write(json.dumps(figures | {"faults": found}) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

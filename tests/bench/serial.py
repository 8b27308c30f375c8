"""The serial workloads: one line of 32 meters, read as fast as it can carry, and again with one of them dead."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.plant import CHANNELS, PROFILE, profile_toml
from tests.bench.processes import BenchError, Child, Gateway, cpu_s, rss_peak_mb

METERS = 32
KEYS = tuple(key for key, *_ in CHANNELS[1:11])
"""Ten channels in twenty registers: one request of 8 bytes and an answer of 45."""
DELAY_MS = 5.0  # of a meter
BAUDS = {"serial-9600": 9600, "serial-19200": 19_200}
DEAD = METERS // 2
WARM_ROUNDS, LIVE_ROUNDS, DEAD_ROUNDS, FIRST_ROUNDS = 3, 12, 12, 6
DAY_MS = 86_400_000


class LineMeters(Child):
    """The line and its meters; ready when made."""

    def __init__(self, path: Path, baud: int, folder: Path) -> None:
        arguments = ["-m", "tests.bench.serial_meters", "--path", str(path), "--baud", str(baud)]
        arguments += ["--meters", str(METERS), "--delay-ms", str(DELAY_MS)]
        super().__init__([sys.executable, *arguments], folder / "meters.log", pipes=True)
        self.line()

    def ask(self, word: str) -> dict[str, Any]:
        """Return what has happened since the last mark (tests/bench/serial_meters.py)."""
        self.stdin.write(word + "\n")
        self.stdin.flush()
        found: dict[str, Any] = json.loads(self.line())
        return found


def site_toml(path: Path, baud: int, period_ms: int, folder: Path) -> str:
    """Return a site of one line and its meters; the journal is the only destination."""
    meters = "".join(
        f'[[meters]]\nid = "meter-{unit:02d}"\nlink = "line"\nunit = {unit}\nprofile = "{PROFILE}"\n'
        f'energy_kind = "electricity"\nperiod = "{period_ms}ms"\nchannels = {json.dumps(KEYS)}\n\n'
        for unit in range(1, METERS + 1)
    )
    return f'''[gateway]
id = "bench"
state_dir = "{folder / "state"}"
profile_dirs = ["{folder / "profiles"}"]
log_level = "warning"

[site]
timezone = "Asia/Shanghai"

[[links]]
id = "line"
kind = "serial"
port = "{path}"
baud = {baud}

{meters}'''


def full_period_ms(busy_ms: float) -> int:
    """Return the shortest period in which the planner's busy time fits, so that the line is full and not over-full.

    A period divides a day evenly.
    """
    return next(period_ms for period_ms in range(math.ceil(busy_ms), DAY_MS + 1) if not DAY_MS % period_ms)


def planned(site: Path) -> dict[str, Any]:
    """Return what `metergate plan` says of the line. Raises BenchError."""
    command = [str(Path(sys.executable).parent / "metergate"), "plan", "--json", "--config", str(site)]
    done = subprocess.run(
        [*command, "--delay", f"{DELAY_MS:g}ms"], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        raise BenchError(f"metergate plan said nothing: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)["links"]["line"]
    return found


def write_site(path: Path, baud: int, folder: Path) -> tuple[Path, int]:
    """Return the site file whose period fills the line, and that period in ms."""
    profiles = folder / "profiles"
    profiles.mkdir(parents=True)
    (profiles / f"{PROFILE}.toml").write_text(profile_toml(), encoding="utf-8")
    site = folder / "site.toml"
    site.write_text(site_toml(path, baud, 60_000, folder), encoding="utf-8")
    period_ms = full_period_ms(planned(site)["busy_ms"])
    site.write_text(site_toml(path, baud, period_ms, folder), encoding="utf-8")
    return site, period_ms


def _sleep_to_round(period_ms: int, rounds: int) -> None:
    """Sleep until the wall grid's n-th tick from now, where a round begins."""
    period_s = period_ms / 1000
    now_s = time.time()
    time.sleep((math.floor(now_s / period_s) + rounds) * period_s - now_s)


def others(told: dict[str, Any]) -> int:
    """Return how many answers the other meters gave."""
    return sum(count for unit, count in told["answers"].items() if int(unit) != DEAD)


def fraction(dead: dict[str, Any], live: dict[str, Any]) -> float | None:
    """Return the rate of the others with one dead as a share of their rate when all live."""
    rate = others(live) / live["seconds"]
    return others(dead) / dead["seconds"] / rate if rate else None


def measure(name: str, folder: Path, cores: str) -> dict[str, Any]:
    """Return the figures of one baud rate. Raises BenchError."""
    folder.mkdir()
    path, baud = folder / "line", BAUDS[name]
    with ExitStack() as stack:
        meters = stack.enter_context(LineMeters(path, baud, folder))
        site, period_ms = write_site(path, baud, folder)
        gateway = stack.enter_context(Gateway(site, cores=cores))
        gateway.wait_for_meters()
        _sleep_to_round(period_ms, WARM_ROUNDS)
        meters.ask("mark")
        began = {process.name: cpu_s(process.pid) for process in (gateway, meters)}
        _sleep_to_round(period_ms, LIVE_ROUNDS)
        live, load = meters.ask("mark"), os.getloadavg()[0]
        spent = {process.name: cpu_s(process.pid) - began[process.name] for process in (gateway, meters)}
        meters.ask(f"kill {DEAD}")
        _sleep_to_round(period_ms, FIRST_ROUNDS)
        first = meters.ask("mark")
        _sleep_to_round(period_ms, DEAD_ROUNDS)
        dead = meters.ask("mark")
        status = gateway.status()
        rss_mb = rss_peak_mb(gateway.pid)
        final = gateway.final()
    seconds = live["seconds"]
    return {
        "workload": name,
        "meters": METERS,
        "period_s": period_ms / 1000,
        "wire_fraction": live["lawful_s"] / live["busy_s"] if live["busy_s"] else None,
        "gap_violations": sum(part["gap_violations"] for part in (live, first, dead)),
        "others_rate_fraction": fraction(dead, live),
        "others_rate_fraction_first": fraction(
            {"answers": _sum(first, dead), "seconds": first["seconds"] + dead["seconds"]}, live
        ),
        "simulator_late_ms": live["late_s"] / max(1, sum(live["answers"].values())) * 1000,
        "load": load,
        "requests_per_s": live["requests"] / seconds,
        "answered_fraction": sum(live["answers"].values()) / (METERS * LIVE_ROUNDS),
        "line_taken_fraction": live["busy_s"] / seconds,
        "cpu_s_per_million": spent[gateway.name] / max(1, sum(live["answers"].values()) * len(KEYS)) * 1e6,
        "cpu_fraction": spent[gateway.name] / seconds,
        "rss_peak_mb": rss_mb,
        "lost": final["lost"],
        "crashes": final["crashes"],
        "collisions": dead["collisions"],
        "dead_meter": status["meters"][f"meter-{DEAD:02d}"]["state"],
        "overruns": dead["overruns"],
    }


def _sum(one: dict[str, Any], other: dict[str, Any]) -> dict[str, int]:
    return {unit: count + other["answers"][unit] for unit, count in one["answers"].items()}

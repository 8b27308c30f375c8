"""`metergate demo`: a simulated plant, the real gateway, a broker and a database, each a process of its own.

Everything listens on free loopback ports, lives in one folder and is stopped by its own process id.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.live import Live

from gateway.commands.tables import live_view
from gateway.control.server import ask
from gateway.errors import MetergateError
from simulators.demo_servers import start_broker, start_database, start_recorder
from simulators.run import DEMO_FILE
from simulators.stage import START_S, Process, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

REFRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """duration_s: None runs until Ctrl-C. file: simulation file, None for the plant shipped. keep: folder to keep.

    interval: length of the feed's intervals, "": as the site file has it. record: file for what the feed says.
    """

    duration_s: float | None
    json: bool
    file: Path | None
    seed: int | None
    keep: Path | None
    interval: str = ""
    record: Path | None = None


def intervals_table(interval: str) -> str:
    """Return the table of intervals of that length, closed a fifth of it after their end; "": none, as by default."""
    return f'[intervals]\nlength = "{interval}"\ngrace = "2s"\n' if interval else ""


def start_site(stage: Stage, options: Options, sinks: str) -> Path:
    """Start the simulated plant; return the site file that matches it."""
    site_file = stage.folder / "site.toml"
    sinks_file = stage.folder / "sinks.toml"
    sinks_file.write_text(sinks)
    command: list[str | Path] = [sys.executable, "-m", "simulators.run", options.file or DEMO_FILE]
    if options.seed is not None:
        command += ["--seed", str(options.seed)]
    command += ["--site-out", site_file, "--sinks-file", sinks_file, "--state-dir", stage.folder / "state"]
    process = stage.start("plant", *command)
    end_s = time.monotonic() + START_S
    while not site_file.exists():
        if process.ended() or time.monotonic() > end_s:
            raise MetergateError(f"the simulated plant did not start: {process.last_words()}")
        time.sleep(0.05)
    return site_file


@contextlib.contextmanager
def demo_folder(keep: Path | None) -> Iterator[Path]:
    """Give the demo a folder: a temporary one, or the one the user wants to keep."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise MetergateError(
                f"{keep} is not empty; name a new folder with --keep, so nothing of yours is mixed in"
            )
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="metergate-demo-") as name:
        yield Path(name)


def watch(stage: Stage, gateway: Process, socket_path: Path, options: Options) -> None:
    """Show the meters until the time is up, Ctrl-C, or the gateway ends. The clock starts with the first answer."""
    end_s: float | None = None
    quiet = options.json or not stage.console.is_terminal
    live = (
        contextlib.nullcontext() if quiet else Live(console=stage.console, auto_refresh=False, screen=False)
    )
    asked_s = time.monotonic()
    with live as view:
        while end_s is None or time.monotonic() < end_s:
            if gateway.ended():
                raise MetergateError(f"the gateway ended: {gateway.last_words()}")
            try:
                figures = ask(socket_path, "status", values=True)
            except ConnectionError:
                if time.monotonic() - asked_s > START_S:
                    raise
                time.sleep(0.05)
                continue
            if end_s is None:
                end_s = time.monotonic() + (options.duration_s or float("inf"))
            if view is not None:
                view.update(live_view(figures, *stage.console.size), refresh=True)
            elif not options.json:
                stage.console.print(f"{figures['readings']:,} readings, {figures['lost']} lost")
            time.sleep(max(0.0, min(REFRESH_S, end_s - time.monotonic())))


def summary_of(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the demo's result; all counts are readings, except `frames`."""
    on = [meter for meter in figures["meters"].values() if meter["readings"]]
    return {
        "meters": len(on),
        "frames": figures["frames"],
        "readings": figures["readings"],
        "journaled": figures["journal"]["readings"],
        "sinks": {
            id_: {key: sink[key] for key in ("kind", "delivered", "pending", "refused")}
            for id_, sink in figures["sinks"].items()
        },
        "lost": figures["lost"],
        "links": {
            id_: {"kind": link["kind"], "state": link["state"], "polls": link["polls"]}
            for id_, link in figures["links"].items()
        },
    }


def refuse_used(file: Path) -> None:
    """Raise MetergateError if a recording has something in it already: another run signs with another key."""
    try:
        used = file.exists() and (not file.is_file() or file.stat().st_size > 0)
    except OSError as error:
        raise MetergateError(f"--record {file}: {error.strerror}") from error
    if used:
        raise MetergateError(
            f"--record {file}: is there already. Each demo has a key of its own, so two in one file would look like a forgery: "
            "name a new file, or remove that one"
        )


def main(options: Options) -> int:
    """Run the demo; return the exit code: 0 if nothing was lost and every sink has everything."""
    if options.record is not None:
        refuse_used(options.record)
    console = Console(stderr=options.json)
    with demo_folder(options.keep) as folder:
        stage = Stage(folder, console)
        summary_file = folder / "summary.json"
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        try:
            broker = start_broker(stage)
            database_sink, database = start_database(stage)
            if options.record is not None:
                start_recorder(stage, broker, options.record)
            tables = intervals_table(options.interval) + broker.sinks + database_sink
            site_file = start_site(stage, options, tables)
            console.print(
                f"broker 消息代理: {broker.words}\ndatabase 数据库: {database}\nsite file: {site_file}",
                soft_wrap=True,
            )
            gateway = stage.start(
                "gateway",
                sys.executable,
                *("-m", "gateway", "run", "--config", site_file, "--summary", summary_file),
            )
            with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C ends at once
                watch(stage, gateway, folder / "state" / "control.sock", options)
            console.print("stopping, delivering what is left … 正在停止")
            stage.stop(gateway)
        finally:
            stage.stop_all()
        if not summary_file.exists():
            raise MetergateError(f"the gateway left no summary: {gateway.last_words()}")
        result = summary_of(orjson.loads(summary_file.read_bytes()))
    return report(result, console, options)


def report(result: dict[str, Any], console: Console, options: Options) -> int:
    """Print the result; return the exit code."""
    complete = not result["lost"] and not any(sink["pending"] for sink in result["sinks"].values())
    console.print(
        f"{result['meters']} meters reported, {result['readings']:,} readings in {result['frames']:,} frames, "
        f"{result['journaled']:,} journaled, {result['lost']} lost"
    )
    for id_, sink in result["sinks"].items():
        console.print(
            f"  {id_} ({sink['kind']}): {sink['delivered']:,} delivered, {sink['pending']:,} pending, "
            f"{sink['refused']:,} refused"
        )
    if options.json:
        sys.stdout.write(orjson.dumps(result).decode() + "\n")
        sys.stdout.flush()
    if options.record is not None:
        console.print(
            f"now: metergate verify {shlex.quote(str(options.record))}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
    return 0 if complete else 1

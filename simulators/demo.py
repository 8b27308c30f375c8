"""`metergate demo`: a simulated plant, the real gateway, a broker and a database, each a process of its own.

Everything listens on free loopback ports, lives in one folder and is stopped by its own process id.
"""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from rich.console import Console
from rich.live import Live

from gateway.commands.tables import live_view
from gateway.control.server import ask
from gateway.errors import MetergateError
from simulators.run import DEMO_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 30.0
STOP_S = 8.0
REFRESH_S = 1.0
SAID_MAX = 800  # characters of a child's output that are shown


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


def _end_with_parent() -> None:
    """Have the kernel end this child when the demo is killed. Source: prctl(2), PR_SET_PDEATHSIG = 1."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@dataclass(slots=True)
class Process:
    """A child of the demo, with its output in a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> bool:
        """Return whether it is gone."""
        return self.popen.poll() is not None

    def last_words(self) -> str:
        """Return why it ended, as its output has it."""
        return cause(self.log.read_text(errors="replace"))


def cause(output: str) -> str:
    """Return the error at the end of a traceback, else the last whole lines of an output."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    begins = [i for i, line in enumerate(lines) if line.startswith("Traceback (")]
    if begins:
        errors = [line for line in lines[begins[-1] + 1 :] if not line.startswith(" ")]
        return errors[0] if errors else lines[-1]
    said: list[str] = []
    for line in reversed(lines):
        if said and len(line) + sum(map(len, said)) > SAID_MAX:
            break
        said.insert(0, line)
    return "\n".join(said)


@dataclass(slots=True)
class Stage:
    """The folder and the processes of one demo."""

    folder: Path
    console: Console
    processes: list[Process] = field(default_factory=list)

    def start(self, name: str, *command: str | Path) -> Process:
        """Start a process whose output goes to a file in the folder."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to pass on, in the right order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - this program has one thread
            )
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    def stop(self, process: Process) -> None:
        """Ask a process to end, insist after a while."""
        if not process.ended():
            process.popen.send_signal(signal.SIGTERM)
            try:
                process.popen.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()

    def stop_all(self) -> None:
        """End every process, the last one started first."""
        for process in reversed(self.processes):
            self.stop(process)


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def find_program(*names: str) -> str | None:
    """Return the first of these programs on the PATH; /usr/sbin counts, where Debian puts mosquitto."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def wait_for_port(process: Process, port: int) -> None:
    """Return when something listens on the port. Raises MetergateError if the process ends or takes too long."""
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        if process.ended():
            raise MetergateError(f"{process.name} ended at once: {process.last_words()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise MetergateError(f"{process.name} does not listen on port {port} after {START_S:.0f} s")


class Broker(NamedTuple):
    """A broker that listens. sinks: tables for the site file. words: what to tell the user."""

    port: int
    sinks: str
    words: str


def start_broker(stage: Stage) -> Broker:
    """Start a broker for telemetry and feed."""
    port = free_port()
    program = find_program("mosquitto")
    if program is not None:
        conf = stage.folder / "mosquitto.conf"
        conf.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\npersistence false\n"
            f"user {getpass.getuser()}\n"  # another user would outlive the demo
        )
        process = stage.start("mosquitto", program, "-c", conf)
        words, protocol = f"mosquitto ({program}), MQTT 5, 127.0.0.1:{port}", "5"
    else:
        process = stage.start("amqtt", sys.executable, "-m", "simulators.embedded_broker", str(port))
        words = f"embedded broker amqtt, MQTT 3.1.1 only, 127.0.0.1:{port} (mosquitto is not on the PATH)"
        protocol = "3.1.1"
    wait_for_port(process, port)
    where = f'host = "127.0.0.1"\nport = {port}\nprotocol = "{protocol}"\n'
    telemetry = f'[[sinks]]\nid = "telemetry"\nkind = "mqtt"\n{where}'
    feed = f'[[sinks]]\nid = "feed"\nkind = "feed"\n{where}'
    return Broker(port, telemetry + feed, words)


def start_recorder(stage: Stage, broker: Broker, file: Path) -> Process:
    """Start what writes the feed's messages into a file; return it once it listens."""
    url = f"mqtt://127.0.0.1:{broker.port}"
    process = stage.start("recorder", sys.executable, "-m", "gateway", "record", url, file.resolve())
    end_s = time.monotonic() + START_S
    while "recording" not in process.log.read_text(errors="replace"):
        if process.ended() or time.monotonic() > end_s:
            raise MetergateError(f"the feed cannot be recorded: {process.last_words()}")
        time.sleep(0.05)
    return process


def intervals_table(interval: str) -> str:
    """Return the table of intervals of that length, closed a fifth of it after their end; "": none, as by default."""
    return f'[intervals]\nlength = "{interval}"\ngrace = "2s"\n' if interval else ""


def start_database(stage: Stage) -> tuple[str, str]:
    """Start a database; return (sink table or "", what to tell the user)."""
    port = free_port()
    program = find_program("victoria-metrics", "influxd")
    if program is None:
        return "", "none: neither victoria-metrics nor influxd is on the PATH; the local journal only"
    folder = stage.folder / "database"
    folder.mkdir()
    if Path(program).name == "influxd":
        return _start_influxd(stage, program, folder, port)
    process = stage.start(
        "victoria-metrics",
        program,
        f"-storageDataPath={folder}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-dedup.minScrapeInterval=1ms",
        "-retentionPeriod=1",
        "-memory.allowedBytes=256MB",
    )
    wait_for_port(process, port)
    return _influx_table(port, ""), f"victoria-metrics ({program}), InfluxDB v2 writes, 127.0.0.1:{port}"


def _start_influxd(stage: Stage, program: str, folder: Path, port: int) -> tuple[str, str]:
    """Start InfluxDB 2 and set it up by its own HTTP interface (POST /api/v2/setup)."""
    import secrets
    from urllib.request import Request, urlopen

    process = stage.start(
        "influxd",
        program,
        f"--http-bind-address=127.0.0.1:{port}",
        f"--bolt-path={folder / 'influxd.bolt'}",
        f"--engine-path={folder / 'engine'}",
        "--reporting-disabled",
    )
    wait_for_port(process, port)
    token = secrets.token_urlsafe(32)
    body = {"username": "demo", "password": secrets.token_urlsafe(16), "org": "demo", "bucket": "demo"}
    request = Request(
        f"http://127.0.0.1:{port}/api/v2/setup",
        orjson.dumps(body | {"token": token}),
        {"Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=START_S):  # noqa: S310 - our own server on loopback
            pass
    except OSError as error:
        raise MetergateError(f"influxd cannot be set up: {error}; see {process.log}") from error
    token_file = stage.folder / "influx.token"
    token_file.touch(0o600)
    token_file.write_text(token)
    return _influx_table(port, f'token_file = "{token_file}"\n'), f"influxd ({program}), 127.0.0.1:{port}"


def _influx_table(port: int, more: str) -> str:
    return (
        f'[[sinks]]\nid = "database"\nkind = "influx"\nurl = "http://127.0.0.1:{port}"\n'
        f'org = "demo"\nbucket = "demo"\n{more}'
    )


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


def main(options: Options) -> int:
    """Run the demo; return the exit code: 0 if nothing was lost and every sink has everything."""
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
                f"broker 消息代理: {broker.words}\ndatabase 数据库: {database}\nsite file: {site_file}"
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
    return 0 if complete else 1

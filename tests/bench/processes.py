"""The processes of a benchmark run: started, watched through /proc, ended by their pids."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gateway.control.server import ask
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
STOP_S = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(RuntimeError):
    """The benchmark cannot go on; the text says which process and what it said last."""


def cpu_s(pid: int) -> float:
    """Return user + system time of a process and all its threads. Source: proc(5), stat fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_peak_mb(pid: int) -> float:
    """Return the largest resident size a process has had, MB of 10^6 bytes. Source: proc(5), VmHWM in KiB."""
    return _status_mb(pid, "VmHWM:")


def rss_mb(pid: int) -> float:
    """Return the resident size of a process, MB of 10^6 bytes. Source: proc(5), VmRSS in KiB."""
    return _status_mb(pid, "VmRSS:")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchError(f"process {pid} has ended")


def free_port() -> int:
    """Return a loopback TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """A process in a group of its own, so that Ctrl-C reaches the benchmark alone, which then ends it."""

    def __init__(self, command: Sequence[str], log: Path, *, pipes: bool = False) -> None:
        """log: takes stderr, and stdout unless `pipes`."""
        self.name = Path(command[-1]).name if not pipes else command[2]
        self._log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else sink,
                stderr=sink,
                cwd=ROOT,
                text=True,
                process_group=0,
            )
        self.pid = self._process.pid

    @property
    def stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def line(self) -> str:
        """Return the next line of its stdout. Raises BenchError if it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise self.failed("said nothing")
        return line

    def ended(self) -> bool:
        return self._process.poll() is not None

    def failed(self, what: str) -> BenchError:
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return BenchError(f"{self.name} {what}; its log ends:\n{tail}")

    def stop(self) -> None:
        """End it with SIGTERM, with SIGKILL if that does not help; wait until it is gone."""
        if not self.ended():
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Meters(Child):
    """The Modbus TCP meters; `port` is the one they all listen on."""

    def __init__(self, meters: int, delay_ms: str, folder: Path) -> None:
        arguments = ["-m", "tests.bench.meters", "--meters", str(meters), "--delay-ms", delay_ms]
        super().__init__([sys.executable, *arguments], folder / "meters.log", pipes=True)
        self.port = int(self.line())


class Subscriber(Child):
    """The one who counts at the broker; ready when made."""

    def __init__(self, port: int, folder: Path, *, lasting: bool = False) -> None:
        """lasting: the broker keeps for it what comes while it is away."""
        arguments = ["-m", "tests.bench.subscriber", "--port", str(port), *(["--lasting"] if lasting else [])]
        super().__init__([sys.executable, *arguments], folder / "subscriber.log", pipes=True)
        self.line()

    def report(self, from_ms: float, to_ms: float, period_ms: float) -> dict[str, Any]:
        """Return what arrived of the frames of that window (tests/bench/subscriber.py)."""
        self.stdin.write(json.dumps({"from_ms": from_ms, "to_ms": to_ms, "period_ms": period_ms}) + "\n")
        self.stdin.flush()
        found: dict[str, Any] = json.loads(self.line())
        return found


class Gateway(Child):
    """`metergate run` on a site file."""

    def __init__(self, site: Path, *, cores: str = "") -> None:
        """cores: taskset's list, "" to leave the process where the system puts it."""
        self._folder = site.parent
        self._summary = self._folder / "summary.json"
        metergate = [str(Path(sys.executable).parent / "metergate")]
        pin = [str(shutil.which("taskset")), "-c", cores] if cores else []
        self.spawned_s = time.monotonic()
        super().__init__(
            [*pin, *metergate, "run", "--summary", str(self._summary), "--config", str(site)],
            self._folder / "gateway.log",
        )

    def status(self) -> dict[str, Any]:
        """Return the running gateway's figures. Raises BenchError if it ended or does not answer."""
        if self.ended():
            raise self.failed("ended")
        try:
            found: dict[str, Any] = ask(self._folder / "state" / "control.sock", "status")
        except (ConnectionError, MetergateError) as error:
            raise BenchError(str(error)) from error
        return found

    def wait_for_meters(self) -> None:
        """Return when every meter has answered. Raises BenchError when one has not within START_S."""
        deadline = time.monotonic() + START_S
        off: list[str] = ["all"]
        while time.monotonic() < deadline:
            time.sleep(0.5)  # asked rarely: the answer names every meter and costs the gateway
            try:
                meters = self.status()["meters"]
            except BenchError:
                if self.ended():
                    raise
                continue
            off = [id_ for id_, meter in meters.items() if meter["state"] != "on"]
            if not off:
                return
        raise self.failed(f"has not read {len(off)} meters within {START_S:g} s ({', '.join(off[:3])})")

    def final(self) -> dict[str, Any]:
        """Stop it, let it drain, and return its last figures."""
        self.stop()
        if not self._summary.exists():
            raise self.failed("left no summary")
        found: dict[str, Any] = json.loads(self._summary.read_bytes())
        return found

"""The whole thing as processes: simulated site and gateway, for tests that kill parts of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from gateway.control.server import ask

if TYPE_CHECKING:
    from pathlib import Path

START_S = 30.0


class Child:
    """A process of the test with its output in a file; ended by its pid."""

    def __init__(self, name: str, folder: Path, *command: object) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        self._command = [str(word) for word in command]
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._popen is None, f"{self.name} runs already"
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self._popen is not None
        self._popen.send_signal(number)
        try:
            code = self._popen.wait(15)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise AssertionError(f"{self.name} did not end: {self.tail()}") from None
        self._popen = None
        return code

    def signal(self, number: int) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def close(self) -> None:
        """Make sure it is gone, whatever the test came to."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


class SimulatedSite(Child):
    """`python -m simulators.run`; `start` returns when every port listens."""

    def __init__(self, folder: Path, file: Path, sinks: str, *, period: str, seed: int = 7) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.site_file, self.state = folder / "site.toml", folder / "state"
        sinks_file = folder / "sinks.toml"
        sinks_file.write_text(sinks)
        options = (
            "--seed",
            seed,
            "--period",
            period,
            "--site-out",
            self.site_file,
            "--sinks-file",
            sinks_file,
        )
        command = (sys.executable, "-m", "simulators.run", file, *options, "--state-dir", self.state)
        super().__init__("plant", folder, *command)

    def start(self) -> None:
        super().start()
        wait_until(lambda: self.site_file.exists() or not self.alive(), "the simulated site listens")
        assert self.alive(), self.tail()


class GatewayProcess(Child):
    """`metergate run` on a site file."""

    def __init__(self, folder: Path, site_file: Path, state: Path) -> None:
        self._socket = state / "control.sock"
        super().__init__("gateway", folder, sys.executable, "-m", "gateway", "run", "--config", site_file)

    def status(self) -> dict[str, Any]:
        """Return the figures, waiting until the gateway answers."""
        end_s = time.monotonic() + START_S
        while True:
            try:
                figures: dict[str, Any] = ask(self._socket, "status")
            except ConnectionError:
                assert self.alive(), self.tail()
                assert time.monotonic() < end_s, self.tail()
                time.sleep(0.05)
            else:
                return figures


def wait_until(ready: Any, what: str, timeout_s: float = START_S) -> None:
    """Return when `ready()` is true."""
    end_s = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < end_s, f"after {timeout_s} s still waiting until {what}"
        time.sleep(0.05)

"""The processes of a demo or a trial: each a child with its output in a file, stopped by its own process id."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.errors import MetergateError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

START_S = 30.0
STOP_S = 8.0
SAID_MAX = 800  # characters of a child's output that are shown


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

"""Real servers for the tests, each a process of its own on a loopback port, ended by its pid.

Debian's `mosquitto` and `victoria-metrics`. A binary that is missing is a failure, never a skip.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_S = 10.0
STOP_S = 10.0
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # not in an ordinary user's PATH on Debian


def find_binary(name: str) -> str:
    """Return the path of a server's binary. Raises RuntimeError that says what to install."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if found is None:
        raise RuntimeError(
            f"{name} is not installed; these tests talk to the real one: apt-get install {name}"
        )
    return found


class Server:
    """A process that listens on 127.0.0.1:`port`; `start` again after `stop` keeps port and files."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Return what to run."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return when the server accepts connections. Raises RuntimeError with its log if it does not."""
        assert self._process is None, "already running"
        log = self.folder / "server.log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=self.folder
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)  # a starting server gives no event to wait for
                    continue
                tail = log.read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(
                    f"{self.command()[0]} did not start on port {self.port}:\n{tail}"
                ) from None
            if self._process.poll() is None:
                return
            raise RuntimeError(f"port {self.port} is taken by another server")

    def stop(self) -> None:
        """End it with SIGTERM, so it saves what it keeps; wait until it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers. `resume` lets it go on."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Mosquitto(Server):
    """An MQTT broker with persistence and without a limit on queued messages.

    users: name -> password; none: anyone may connect. acl: lines of a mosquitto ACL file.
    tls: (CA, certificate, key) PEM files; clients must then show a certificate of that CA.
    settings: further lines of mosquitto.conf.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        users: dict[str, str] | None = None,
        acl: Sequence[str] = (),
        tls: tuple[Path, Path, Path] | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, port)
        lines = [
            f"listener {port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            "log_dest stdout",
            f"allow_anonymous {'false' if users else 'true'}",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes a user who may not write to the test's folder
        if users:
            passwords = folder / "passwords"
            passwords.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
            passwords.chmod(0o600)
            subprocess.run([_passwd(), "-U", str(passwords)], check=True, capture_output=True)
            lines.append(f"password_file {passwords}")
        if acl:
            acl_file = folder / "acl"
            acl_file.write_text("\n".join(acl) + "\n")
            acl_file.chmod(0o600)
            lines.append(f"acl_file {acl_file}")
        if tls is not None:
            ca, cert, key = tls
            lines += [f"cafile {ca}", f"certfile {cert}", f"keyfile {key}", "require_certificate true"]
        (folder / "mosquitto.conf").write_text("\n".join([*lines, *settings]) + "\n")

    def command(self) -> list[str]:
        return [find_binary("mosquitto"), "-c", str(self.folder / "mosquitto.conf")]


def _passwd() -> str:
    return shutil.which("mosquitto_passwd", path=f"{os.environ.get('PATH', '')}:{_SBIN}") or find_binary(
        "mosquitto"
    )


class VictoriaMetrics(Server):
    """A database with InfluxDB's v2 write endpoint; equal samples of a series count once."""

    def command(self) -> list[str]:
        return [
            find_binary("victoria-metrics"),
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self.folder / 'storage'}",
            "-dedup.minScrapeInterval=1ms",
            "-retentionPeriod=100y",
            "-memory.allowedBytes=128MB",
            "-loggerLevel=WARN",
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def export(
        self, selector: str = '{__name__!=""}'
    ) -> dict[tuple[tuple[str, str], ...], dict[int, list[float]]]:
        """Return labels (`__name__` among them, sorted) -> time in ms -> the values stored at it.

        Makes what was written so far visible first.
        """
        with urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=START_S):
            pass
        query = urllib.parse.urlencode({"match[]": selector, "start": "0", "end": "4102444800"})
        series: dict[tuple[tuple[str, str], ...], dict[int, list[float]]] = {}
        with urllib.request.urlopen(f"{self.url}/api/v1/export?{query}", timeout=60) as answer:
            for line in answer:
                row = json.loads(line)
                times = series.setdefault(tuple(sorted(row["metric"].items())), {})
                for time_ms, value in zip(row["timestamps"], row["values"], strict=True):
                    times.setdefault(time_ms, []).append(value)
        return series

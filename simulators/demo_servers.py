"""Broker, database and recorder of a demo, found on the PATH and put on free loopback ports."""

from __future__ import annotations

import getpass
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.errors import MetergateError
from simulators.stage import START_S, find_program, free_port, wait_for_port

if TYPE_CHECKING:
    from simulators.stage import Process, Stage


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

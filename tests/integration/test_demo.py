"""The demo where mosquitto or VictoriaMetrics are missing: it says what it uses instead, and still loses nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from pathlib import Path

DEMO = """
import sys
from simulators import demo, demo_servers

found = {found!r}  # the programs of this machine
demo_servers.find_program = lambda *names: next((found[name] for name in names if name in found), None)
sys.exit(demo.main(demo.Options(duration_s=2.0, json=True, file=None, seed=1, keep=None)))
"""

# One POST /api/v2/setup is answered 201, then writes with the token set up there 204, anything else 401.
INFLUXD = """#!{python}
import json, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
allowed = []


class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/v2/setup" and not allowed:
            setup = json.loads(body)
            assert setup["username"] and setup["password"] and setup["org"] == setup["bucket"] == "demo"
            allowed.append("Token " + setup["token"])
            code = 201
        else:
            code = 204 if self.headers["Authorization"] in allowed else 401
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()


host, _, port = options["http-bind-address"].partition(":")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
HTTPServer((host, int(port)), Api).serve_forever()
"""


def run_demo(found: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return what the demo said and its result, on a machine that has no programs but those found."""
    command = [sys.executable, "-c", DEMO.format(found=found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return " ".join(done.stderr.split()), result  # rich breaks lines where it likes


def test_without_mosquitto_and_database_the_embedded_broker_gets_everything() -> None:
    said, result = run_demo({})
    assert "embedded broker amqtt, MQTT 3.1.1 only" in said
    assert "mosquitto is not on the PATH" in said
    assert "neither victoria-metrics nor influxd is on the PATH; the local journal only" in said
    assert result["sinks"].keys() == {"telemetry", "feed"}
    feed, sink = result["sinks"]["feed"], result["sinks"]["telemetry"]
    assert feed["delivered"] > 0
    assert (feed["pending"], feed["refused"]) == (0, 0)
    assert (sink["kind"], sink["pending"], sink["refused"], result["lost"]) == ("mqtt", 0, 0, 0)
    assert result["meters"] > 0
    assert sink["delivered"] == result["readings"] == result["journaled"] > 0
    assert {link["state"] for link in result["links"].values()} == {"up"}


def test_influxd_is_set_up_and_written_to_with_its_own_token(tmp_path: Path) -> None:
    """A stand-in for influxd: what is shown is the demo's side, the set-up request and the token it hands on."""
    program = tmp_path / "influxd"
    program.write_text(INFLUXD.format(python=sys.executable))
    program.chmod(0o700)
    said, result = run_demo({"influxd": str(program)})
    assert "database 数据库: influxd (" in said
    sink = result["sinks"]["database"]
    assert (sink["kind"], sink["pending"], sink["refused"], result["lost"]) == ("influx", 0, 0, 0)
    assert sink["delivered"] == result["readings"] > 0

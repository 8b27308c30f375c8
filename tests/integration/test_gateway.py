"""The gateway as a process: starts with everything offline, says ready, answers commands, stops within 5 s."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from gateway.control.server import ask
from gateway.errors import MetergateError
from gateway.journal.records import unpack
from gateway.journal.store import Store
from gateway.model import Event
from simulators.run import DEMO_FILE
from tests.integration.site import GatewayProcess, SimulatedSite, wait_until
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OFFLINE = """
[gateway]
id = "plant-1"
state_dir = "state"
[site]
timezone = "Asia/Shanghai"
[[links]]
id = "hall-a"
kind = "modbus-tcp"
host = "127.0.0.1"
port = {modbus}
[[links]]
id = "dcs"
kind = "opcua"
url = "opc.tcp://127.0.0.1:{opcua}"
[[meters]]
id = "feeder-1"
link = "hall-a"
unit = 1
profile = "eastron-sdm630"
energy_kind = "electricity"
period = "1s"
[[meters]]
id = "boiler-1"
link = "dcs"
energy_kind = "steam"
period = "1s"
[meters.variables.flow_mass]
id = "ns=2;s=Boiler1.Flow"
quantity = "flow_mass"
unit = "t/h"
[[sinks]]
id = "plant-mqtt"
kind = "mqtt"
host = "127.0.0.1"
port = {mqtt}
"""


@pytest.fixture
def offline(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[GatewayProcess]:
    """A gateway whose every meter and destination is away."""
    site_file = tmp_path / "site.toml"
    site_file.write_text(OFFLINE.format(modbus=free_port(), opcua=free_port(), mqtt=free_port()))
    gateway = GatewayProcess(tmp_path, site_file, tmp_path / "state")
    try:
        yield gateway
    finally:
        gateway.close()


def test_everything_offline_is_no_reason_not_to_start(offline: GatewayProcess) -> None:
    offline.start()
    wait_until(lambda: offline.status()["links"]["dcs"]["downs"], "the OPC UA link was tried")
    wait_until(lambda: offline.status()["links"]["hall-a"]["downs"], "the Modbus link was tried")
    wait_until(lambda: offline.status()["sinks"]["plant-mqtt"]["downs"], "the broker was tried")
    figures = offline.status()
    assert {link["state"] for link in figures["links"].values()} == {"down"}
    assert all("127.0.0.1" in link["error"] for link in figures["links"].values())
    assert figures["crashes"] == {}
    started_s = time.monotonic()
    assert offline.end() == 0
    assert time.monotonic() - started_s < 5, "a stop takes at most 5 s"
    assert "bug" not in offline.tail()


def test_one_line_when_a_link_is_down_however_often_it_is_tried(offline: GatewayProcess) -> None:
    offline.start()
    wait_until(lambda: offline.status()["links"]["hall-a"]["downs"] >= 3, "three attempts")
    offline.end()
    assert offline.log.read_text().count('event="link down" link=hall-a') == 1


def test_a_second_gateway_on_the_same_state_is_refused_and_names_the_first(offline: GatewayProcess) -> None:
    offline.start()
    offline.status()
    second = subprocess.run(
        [sys.executable, "-m", "gateway", "run", "--config", offline.log.parent / "site.toml"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1, "systemd tries again: the other one may be about to end"
    assert "gateway.state_dir" in second.stderr
    assert "pid" in second.stderr
    assert offline.alive()


def test_the_service_manager_hears_ready_alive_and_stopping(
    tmp_path: Path, offline: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        offline.start()
        heard = {manager.recv(1024) for _ in range(4)}
        assert {b"READY=1", b"WATCHDOG=1"} <= heard
        offline.end()
        manager.setblocking(False)
        while True:
            try:
                heard.add(manager.recv(1024))
            except BlockingIOError:
                break
        assert b"STOPPING=1" in heard


def test_the_control_socket_is_for_its_owner_and_answers_nonsense_with_help(offline: GatewayProcess) -> None:
    offline.start()
    offline.status()
    path = offline.log.parent / "state" / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(MetergateError, match="status"):
        ask(path, "dance")
    offline.end()
    assert not path.exists()
    with pytest.raises(ConnectionError, match="no gateway answers"):
        ask(path, "status")


def test_a_changed_site_file_is_an_event_between_stop_and_start(offline: GatewayProcess) -> None:
    site_file = offline.log.parent / "site.toml"
    for change in ("", 'labels = { hall = "A" }\n', ""):
        head, mark, tail = site_file.read_text().partition('[[meters]]\nid = "feeder-1"\n')
        site_file.write_text(head + mark + change + tail)
        offline.start()
        offline.status()
        assert offline.end() == 0
    events = [(event.kind, event.subject) for event in journaled_events(offline.log.parent / "state")]
    kinds = [kind for kind, _ in events if kind in ("start", "stop", "config")]
    assert kinds == ["start", "stop", "start", "config", "stop", "start", "stop"]
    assert ("link_down", "hall-a") in events


def journaled_events(state: Path) -> list[Event]:
    """Return the events of a journal nobody has open, in order."""
    store = Store(state / "journal.db")
    found = store.load()
    records = [
        record
        for row in store.read(found.oldest, found.following, 1 << 60)
        for record in unpack(row.body, found.layouts.__getitem__)
    ]
    store.close()
    return [record for record in records if isinstance(record, Event)]


def test_a_simulated_site_is_read_and_a_stop_leaves_nothing_undone(tmp_path: Path) -> None:
    site = SimulatedSite(tmp_path / "site", DEMO_FILE, "", period="1s")
    gateway = GatewayProcess(tmp_path, site.site_file, site.state)
    try:
        site.start()
        gateway.start()
        wait_until(
            lambda: all(m["readings"] for m in gateway.status()["meters"].values()), "every meter was read"
        )
        figures = gateway.status()
        assert len(figures["meters"]) >= 40
        assert {link["kind"] for link in figures["links"].values()} == {"modbus-tcp", "serial", "opcua"}
        assert {meter["state"] for meter in figures["meters"].values()} == {"on"}
        assert figures["lost"] == 0
        assert gateway.end(signal.SIGINT) == 0
        assert site.end() == 0
    finally:
        gateway.close()
        site.close()


def test_a_stop_takes_less_than_5_s_when_nobody_answers_any_more(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Broker and meters are frozen: connections stay open, no goodbye is answered."""
    with Mosquitto(tmp_path / "broker", free_port()) as broker:
        sinks = f'[[sinks]]\nid = "plant"\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
        site = SimulatedSite(tmp_path / "site", DEMO_FILE, sinks, period="1s")
        gateway = GatewayProcess(tmp_path, site.site_file, site.state)
        try:
            site.start()
            gateway.start()
            wait_until(
                lambda: gateway.status()["sinks"]["plant"].get("delivered"), "the broker took readings"
            )
            wait_until(
                lambda: {link["state"] for link in gateway.status()["links"].values()} == {"up"},
                "links are up",
            )
            broker.pause()
            wait_until(lambda: gateway.status()["sinks"]["plant"]["pending"], "readings wait")
            site.signal(signal.SIGSTOP)
            started_s = time.monotonic()
            assert gateway.end() == 0
            assert time.monotonic() - started_s < 5, gateway.tail()
            assert "bug" not in gateway.tail()
        finally:
            broker.resume()
            gateway.close()
            site.close()


def test_the_journal_tells_what_every_meter_is_read_for(offline: GatewayProcess) -> None:
    site_file = offline.log.parent / "site.toml"
    site_file.write_text(site_file.read_text().replace("unit = 1\n", "unit = 1\nenabled = false\n"))
    offline.start()
    offline.status()
    assert offline.end() == 0
    plans = {e.subject: e.detail for e in journaled_events(offline.log.parent / "state") if e.kind == "plan"}
    boiler = {"link": "dcs", "period_s": 1.0, "channels": ["flow_mass"], "enabled": True}
    assert {key: plans["boiler-1"][key] for key in boiler} == boiler
    assert plans["feeder-1"]["enabled"] is False
    assert "power_active_total" in plans["feeder-1"]["channels"]  # type: ignore[operator]


FIVE = """
[gateway]
id = "Plant 1"
[site]
timezone = "Asia/Beijing"
[[links]]
id = "hall-a"
kind = "modbus-tcp"
hots = "127.0.0.1"
[[meters]]
id = "feeder-1"
link = "hall-a"
unit = 1
profile = "eastron-sdm360"
energy_kind = "electricity"
period = "10"
"""


def metergate(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )


def test_five_mistakes_are_five_findings_and_exit_78(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(FIVE)
    answer = metergate("check", "--config", file, "--json")
    assert answer.returncode == 78
    paths = [finding["path"] for finding in json.loads(answer.stdout)["findings"]]
    assert sorted(paths) == [
        "gateway.id",
        "links.hall-a.hots",
        "meters.feeder-1.period",
        "meters.feeder-1.profile",
        "site.timezone",
    ]
    text = metergate("check", cwd=tmp_path)
    assert text.returncode == 78
    assert "eastron-sdm630" in text.stdout, "the nearest profile is suggested"
    assert metergate("run", "--config", file).returncode == 78


def test_the_example_can_be_used_and_profiles_are_listed() -> None:
    answer = metergate("check", "--config", "config/site.example.toml", "--json")
    assert answer.returncode == 0, answer.stdout
    assert json.loads(answer.stdout)["ok"] is True
    rows = json.loads(metergate("profiles", "--json").stdout)
    assert len(rows) >= 8
    assert all(row["confidence"] in ("one-source", "two-sources") for row in rows)
    one = json.loads(metergate("profiles", "eastron-sdm630", "--json").stdout)
    assert one["maker"] == "Eastron"


def test_status_without_a_gateway_says_so(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('[gateway]\nid = "a"\nstate_dir = "s"\n[site]\ntimezone = "Asia/Shanghai"\n')
    answer = metergate("status", "--config", file)
    assert answer.returncode == 1
    assert "no gateway answers" in answer.stderr


def test_an_unknown_profile_is_one_line_with_a_suggestion() -> None:
    answer = metergate("profiles", "eastron-sdm36")
    assert answer.returncode == 1
    assert "eastron-sdm630" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_demo_reads_forty_meters_and_leaves_nothing_pending() -> None:
    answer = metergate("demo", "--for", "11s", "--json")
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout.splitlines()[-1])
    assert result["meters"] >= 40
    assert result["journaled"] == result["readings"] > 0
    assert result["lost"] == 0
    assert {link["kind"] for link in result["links"].values()} == {"modbus-tcp", "serial", "opcua"}
    assert {sink["kind"] for sink in result["sinks"].values()} == {"mqtt", "influx", "feed"}
    feed = result["sinks"].pop("feed")
    assert feed["delivered"] > 40, "births at least"
    assert (feed["pending"], feed["refused"]) == (0, 0)
    for sink in result["sinks"].values():
        assert (sink["delivered"], sink["pending"], sink["refused"]) == (result["journaled"], 0, 0)

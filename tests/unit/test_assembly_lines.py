"""Serial lines from the site file to the link; one connection is one link, whatever the kinds say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drivers.lines.link import LineLink
from drivers.modbus.driver import ModbusTcpLink
from gateway import assembly
from gateway.clock import SystemClock
from gateway.config.links import ModbusTcpConfig, SerialConfig, TcpSerialConfig
from tests.unit.config_site import changed, findings

if TYPE_CHECKING:
    from pathlib import Path


def _with(*links: str) -> str:
    return changed(("[[meters]]", "".join(f"[[links]]\n{link}\n\n" for link in links) + "[[meters]]"))


PORT = 'kind = "serial"\nport = "{}"'


def test_r23_two_links_on_one_port_name_each_other(tmp_path: Path) -> None:
    device, by_id = tmp_path / "ttyUSB0", tmp_path / "by-id"
    device.touch()
    by_id.symlink_to(device)
    text = _with(f'id = "one"\n{PORT.format(device)}', f'id = "two"\n{PORT.format(by_id)}')
    (finding,) = findings(text, tmp_path)
    assert finding.path == "links.two.port"
    assert str(device) in finding.found
    assert '"one"' in finding.found
    assert '"two"' in finding.suggestion


@pytest.mark.parametrize("host", ["10.0.0.1", "10.0.0.1."])
def test_r23_two_kinds_of_link_on_one_host_and_port_name_each_other(host: str, tmp_path: Path) -> None:
    text = _with(f'id = "raw"\nkind = "tcp-serial"\nhost = "{host}"\nport = 502')
    (finding,) = findings(text, tmp_path)
    assert finding.path == "links.raw.host"
    assert '10.0.0.1:502, which link "hall-a"' in finding.found


def test_a_serial_link_is_built_as_written() -> None:
    body = {
        "id": "rs485-1", "kind": "serial", "port": "/dev/ttyUSB0", "baud": 2400, "parity": "N", "stop": 2,
        "turnaround": "20ms", "late_max": "3s", "timeout_min": "50ms", "echo": True,
    }  # fmt: skip
    link = assembly.link(SerialConfig.model_validate(body), SystemClock())
    assert isinstance(link, LineLink)
    settings = link.line.settings
    assert (settings.timing.baud, settings.timing.parity, settings.timing.stop) == (2400, "N", 2)
    assert (settings.turnaround_s, settings.late_max_s, settings.timeout_min_s) == (0.02, 3.0, 0.05)
    assert settings.echo
    assert settings.own_gaps


def test_behind_a_serial_device_server_the_server_keeps_the_gaps() -> None:
    body = {"id": "moxa-1", "kind": "tcp-serial", "host": "10.0.0.9", "port": 4001}
    link = assembly.link(TcpSerialConfig.model_validate(body), SystemClock())
    assert isinstance(link, LineLink)
    assert not link.line.settings.own_gaps


def test_a_modbus_tcp_link_takes_its_keys() -> None:
    body = {"id": "hall-a", "kind": "modbus-tcp", "host": "10.0.0.9", "timeout_min": "250ms", "pipeline": 4}
    link = assembly.link(ModbusTcpConfig.model_validate(body), SystemClock())
    assert isinstance(link, ModbusTcpLink)
    assert link._reader.trips.low_s == 0.25
    assert link._reader._pipeline == 4

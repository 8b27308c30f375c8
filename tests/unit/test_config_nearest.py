"""What a finding proposes: the nearest few of many, the total before its phases, the URL with its scheme; and where paths lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.links import OpcuaConfig, SerialConfig
from gateway.config.site_file import from_toml
from gateway.config.values import nearest
from tests.unit.config_site import SITE, findings

if TYPE_CHECKING:
    from pathlib import Path

ENERGIES = [f"energy_active_import_{part}" for part in ("l1", "l2", "l3", "total")]
FEEDER = 'profile = "eastron-sdm630"'
SERIAL = """
[[links]]
id = "cellar"
kind = "serial"
port = "ttyHALL"
"""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("energy_active_import", "energy_active_import_total"),  # goes on where the word ends
        ("energy_activ_import", "energy_active_import_total"),  # no phase was named
        ("energy_activ_import_l3", "energy_active_import_l3"),
        ("energy_activ_import_3", "energy_active_import_l3"),
        ("pressure", ""),
    ],
)
def test_a_total_is_meant_unless_a_phase_is_named(typed: str, meant: str) -> None:
    assert nearest(typed, ENERGIES) == meant
    assert nearest(typed, ENERGIES[::-1]) == meant


def test_the_shortest_that_goes_on_is_meant() -> None:
    assert (
        nearest("eastron-sdm6", ["eastron-sdm630-mct", "eastron-sdm630", "eastron-sdm72"]) == "eastron-sdm630"
    )
    assert nearest("x", []) == ""


def test_of_many_names_the_nearest_few_are_named(tmp_path: Path) -> None:
    text = SITE.replace(FEEDER, f'{FEEDER}\nchannels = ["energy_active_import"]', 1)
    text = text.replace('quantity = "flow_mass"', 'quantity = "flow_mas"')
    channel, quantity = findings(text, tmp_path)
    assert channel.suggestion == 'did you mean "energy_active_import_total"?'
    assert "73 channels, such as energy_active_import_total, " in channel.expected
    assert "`metergate profiles eastron-sdm630`" in channel.expected
    assert "docs/reference/quantities.md" in quantity.expected
    for finding in (channel, quantity):
        assert len(finding.expected) < 300, finding.expected


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://10.0.0.2:4840/ua", 'try "opc.tcp://10.0.0.2:4840/ua"'),
        ("10.0.0.2:4840", 'try "opc.tcp://10.0.0.2:4840"'),
        ("opc://dcs", 'try "opc.tcp://dcs"'),
        ("http://10.0.0.2:99999", ""),
        ("mqtt://10.0.0.2", ""),
        ("http://user:word@10.0.0.2", "name a file or credential beside it"),
        ("user:word@10.0.0.2", ""),
    ],
)
def test_an_opcua_url_with_another_scheme(url: str, meant: str, tmp_path: Path) -> None:
    (finding,) = findings(SITE.replace("opc.tcp://10.0.0.2:4840", url), tmp_path)
    assert (finding.path, finding.suggestion) == ("links.dcs.url", meant)


def test_a_device_is_the_port_of_a_serial_link_only(tmp_path: Path) -> None:
    (finding,) = findings(SITE + SERIAL.replace("port =", "device ="), tmp_path)
    assert (finding.path, finding.suggestion) == ("links.cellar.device", "did you mean `port`?")
    found = findings(SITE.replace('host = "10.0.0.1"', 'device = "10.0.0.1"'), tmp_path)
    assert all("`port`" not in finding.suggestion for finding in found)


def test_every_relative_path_is_relative_to_the_site_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plant"
    (folder / "own").mkdir(parents=True)
    for name in ("c.pem", "k.pem", "u.pem", "uk.pem", "pw"):
        (folder / name).touch(0o600)
    keys = 'state_dir = "state"\nsocket = "run/s.sock"\nprofile_dirs = ["own"]'
    text = SITE.replace('id = "plant-1"', f'id = "plant-1"\n{keys}') + SERIAL
    files = 'security = "basic256sha256"\ncert_file = "c.pem"\nkey_file = "k.pem"\n'
    files += 'user_cert_file = "u.pem"\nuser_key_file = "uk.pem"'
    text = text.replace('url = "opc.tcp://10.0.0.2:4840"', f'url = "opc.tcp://10.0.0.2:4840"\n{files}')
    monkeypatch.chdir(tmp_path)
    site = from_toml(text, folder.relative_to(tmp_path) / "site.toml")
    monkeypatch.chdir("/")
    dcs = next(link for link in site.links if isinstance(link, OpcuaConfig))
    serial = next(link for link in site.links if isinstance(link, SerialConfig))
    gateway = site.gateway
    assert (gateway.state_dir, gateway.socket_path) == (folder / "state", folder / "run" / "s.sock")
    assert gateway.profile_dirs == (folder / "own",)
    assert [dcs.cert_file, dcs.key_file] == [folder / "c.pem", folder / "k.pem"]
    assert [dcs.user_cert_file, dcs.user_key_file] == [folder / "u.pem", folder / "uk.pem"]
    assert serial.port == str(folder / "ttyHALL")
    assert (
        SerialConfig.model_validate({"id": "x", "kind": "serial", "port": "/dev/ttyS0"}).port == "/dev/ttyS0"
    )


def test_a_serial_port_is_not_empty(tmp_path: Path) -> None:
    (finding,) = findings(SITE + SERIAL.replace("ttyHALL", ""), tmp_path)
    assert (finding.path, finding.expected) == ("links.cellar.port", "text that is not empty")

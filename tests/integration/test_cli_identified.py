"""scan, probe and capture of DL/T 645 and CJ/T 188 meters as commands: a pty and a serial device server, gateway or none."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from drivers.profiles import load, shipped_dir
from drivers.profiles.golden import decode_golden, verify
from gateway.commands.cli import app
from gateway.errors import MetergateError
from tests.integration.site import GatewayProcess, SimulatedSite, wait_until
from tests.integration.test_cli_bus import figures, metergate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIMULATION = """
[simulation]
name = "homes"
seed = 5
[[links]]
id = "line"
kind = "serial"
baud = 38400
parity = "E"
[[links]]
id = "server"
kind = "tcp-serial"
baud = 38400
parity = "E"
[[meters]]
id = "tenant-1"
link = "line"
address = "000012345678"
ratios = { ct = "40", pt = "1" }
model = "electricity"
parameters = { power_kw = 20 }
profile = "dlt645-2007"
energy_kind = "electricity"
[[meters]]
id = "tap-1"
link = "line"
address = "33780011223344"
model = "water"
parameters = { flow_m3_h = 3 }
profile = "cjt188-water"
variant = "hot"
energy_kind = "water"
[[meters]]
id = "radiator-1"
link = "server"
address = "00000000001234"
model = "heat"
parameters = { flow_m3_h = 3 }
profile = "cjt188-heat"
energy_kind = "hot_water"
"""
DLT, TAP = "000012345678", "33780011223344"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedSite]:
    """One simulated site for all tests of this module."""
    folder = tmp_path_factory.mktemp("plant")
    file = folder / "sim.toml"
    file.write_text(SIMULATION)
    site = SimulatedSite(folder / "site", file, "", period="20s")
    try:
        site.start()
        yield site
    finally:
        site.close()


@pytest.fixture
def alone(plant: SimulatedSite, tmp_path: Path) -> Path:
    """The site file where no gateway runs."""
    file = tmp_path / "site.toml"
    file.write_text(plant.site_file.read_text().replace(str(plant.state), str(tmp_path / "state")))
    return file


@pytest.fixture(params=["no gateway", "gateway"])
def site_file(request: pytest.FixtureRequest, alone: Path) -> Iterator[Path]:
    """A site file with a state folder of its own, its gateway running or not."""
    gateway = GatewayProcess(alone.parent, alone, alone.parent / "state")
    try:
        if request.param == "gateway":
            gateway.start()
            wait_until(
                lambda: {link["state"] for link in gateway.status()["links"].values()} == {"up"},
                "all links are up",
            )
        yield alone
    finally:
        gateway.close()


def test_lone_meters_are_found(site_file: Path) -> None:
    """The same with a gateway and without; through the gateway nothing opens a link a second time."""
    found = figures(site_file, "scan", "line", "--protocol", "cjt188", "--probe")
    assert [(one["address"], one["meter_type"], one["meter"], one["profiles"]) for one in found["found"]] == [
        (TAP, 0x11, "tap-1", ["cjt188-water"])
    ]
    found = figures(site_file, "scan", "line", "--from", 1, "--to", 1)
    assert [(one["protocol"], one["address"]) for one in found["found"]] == [("dlt645", DLT), ("cjt188", TAP)]


@pytest.mark.parametrize(
    ("meter", "name", "variant"),
    [
        ("tenant-1", "dlt645-2007", ""),
        ("tap-1", "cjt188-water", "hot"),
        ("radiator-1", "cjt188-heat", ""),
    ],
)
def test_each_is_told_apart_and_captured(site_file: Path, meter: str, name: str, variant: str) -> None:
    probed = figures(site_file, "probe", meter)
    assert (probed["outcome"], probed["best"], probed["in_place"]) == ("one", [name], True), probed
    assert (probed["candidates"][0]["variant"], probed["candidates"][0]["missing"]) == (variant, {})
    profile = site_file.parent / f"{name}.toml"
    profile.write_text((shipped_dir() / profile.name).read_text())
    before = len(load(profile).golden)
    captured = figures(site_file, "capture", meter, "--serial", "4711", "--by", "Li", "--out", profile)
    assert (captured["flagged"], captured["left_out"]) == ({}, {})
    after = load(profile)
    assert len(after.golden) == before + 1
    assert verify(after) == [], "its bytes decode to what it says"
    golden = after.golden[-1]
    assert (golden.constructed, golden.variant) == (False, variant)
    assert set(golden.expect) == set(after.keys(variant))
    read = {one["key"]: one for one in figures(site_file, "read", meter)["channels"]}
    decoded = decode_golden(after, golden)
    keys = {"volume", "energy_active_import_total", "energy_heat"} & set(read)
    assert keys
    for key in keys:
        exact = decoded[key].exact
        assert exact is not None
        assert 0 <= float(read[key]["exact"]) - float(exact) < 10


def test_a_lone_meter_is_proposed_with_its_variant_as_the_line_was_found(alone: Path) -> None:
    port = next(link["port"] for link in tomllib.loads(alone.read_text())["links"] if link["id"] == "line")
    elsewhere = alone.parent / "elsewhere"
    elsewhere.mkdir()
    words = ("--bauds", "9600,38400", "--parities", "E", "--protocol", "cjt188")
    said = metergate(elsewhere, "scan", "--port", port, *words, "--json")
    found = json.loads(said)
    assert [(one["address"], one["settings"]) for one in found["found"]] == [(TAP, "38400 E1")]
    (table,) = tomllib.loads(found["proposal"])["meters"]
    assert (table["address"], table["profile"], table["variant"], table["energy_kind"]) == (
        TAP, "cjt188-water", "hot", "water",
    )  # fmt: skip


def test_a_number_nobody_has_is_silence(alone: Path) -> None:
    said = metergate(alone.parent, "probe", "line", "000000000001", "--config", alone, code=1)
    assert "000000000001 does not answer" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("probe", "line", "1234"), "12 digits (DL/T 645) or 14 (CJ/T 188)"),
        (("probe", "line"), "or the number of a DL/T 645 or CJ/T 188 meter"),
        (("probe", "tenant-1", "--profile", "cjt188-water"), "is read by cjt188, this meter by dlt645"),
        (("probe", "tenant-1", "--profile", "chint-dtsu666"), "is read by modbus"),
        (("scan", "line", "--protocol", "mbus"), "expected modbus, dlt645, cjt188"),
        (("scan", "--host", "127.0.0.1", "--protocol", "cjt188"), "are on serial lines"),
    ],
)
def test_errors_say_what_and_what_next(alone: Path, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(MetergateError, match=re.escape(says)):
        get_command(app).main([*words, "--config", str(alone)], standalone_mode=False)

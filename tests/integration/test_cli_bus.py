"""scan, probe, read and capture as commands, on a simulated site: real sockets, a pty, with the gateway and without."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from drivers.profiles import load, shipped_dir
from drivers.profiles.golden import verify
from gateway.commands.cli import app
from gateway.errors import MetergateError
from tests.integration.site import GatewayProcess, SimulatedSite, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SIMULATION = """
[simulation]
name = "commissioning"
seed = 5
[[links]]
id = "hall"
kind = "modbus-tcp"
[[links]]
id = "line"
kind = "serial"
baud = 38400
parity = "E"
[[links]]
id = "dcs"
kind = "opcua"
[[meters]]
id = "feeder-1"
link = "hall"
unit = 3
model = "electricity"
parameters = { power_kw = 20 }
profile = "chint-dtsu666"
energy_kind = "electricity"
[[meters]]
id = "panel-1"
link = "line"
unit = 2
model = "electricity"
parameters = { power_kw = 20 }
profile = "siemens-pac1600"
energy_kind = "electricity"
[[meters]]
id = "tenant-1"
link = "line"
address = "000012345678"
ratios = { ct = "1", pt = "1" }
model = "electricity"
parameters = { power_kw = 20 }
profile = "dlt645-2007"
energy_kind = "electricity"
[[meters]]
id = "boiler-1"
link = "dcs"
model = "steam"
parameters = { flow_t_h = 10 }
energy_kind = "steam"
[meters.variables.flow_mass]
id = "ns=2;s=Boiler1.Flow"
quantity = "flow_mass"
unit = "t/h"
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedSite]:
    """One simulated site for all tests of this module."""
    folder = tmp_path_factory.mktemp("plant")
    file = folder / "sim.toml"
    file.write_text(SIMULATION)
    site = SimulatedSite(folder / "site", file, "", period="1s")
    try:
        site.start()
        yield site
    finally:
        site.close()


@pytest.fixture(params=["no gateway", "gateway"])
def site_file(request: pytest.FixtureRequest, plant: SimulatedSite, tmp_path: Path) -> Iterator[Path]:
    """A site file with a state folder of its own, its gateway running or not."""
    file = tmp_path / "site.toml"
    file.write_text(plant.site_file.read_text().replace(str(plant.state), str(tmp_path / "state")))
    gateway = GatewayProcess(tmp_path, file, tmp_path / "state")
    try:
        if request.param == "gateway":
            gateway.start()
            wait_until(
                lambda: {link["state"] for link in gateway.status()["links"].values()} == {"up"},
                "all links are up",
            )
        yield file
    finally:
        gateway.close()


@pytest.fixture
def alone(plant: SimulatedSite, tmp_path: Path) -> Path:
    """The site file where no gateway runs."""
    file = tmp_path / "site.toml"
    file.write_text(plant.site_file.read_text().replace(str(plant.state), str(tmp_path / "state")))
    return file


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway", *map(str, words)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(root)},
    )


def metergate(folder: Path, *words: object, code: int = 0) -> str:
    """Return what a command prints, whose exit code is as told."""
    with start(folder, *words) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, f"{out}\n{err}"
    return out if code == 0 else err or out


def figures(site_file: Path, *words: object) -> Any:
    return json.loads(metergate(site_file.parent, *words, "--config", site_file, "--json"))


def test_everything_through_the_gateway_and_without(site_file: Path) -> None:
    """The same answers both ways; through the gateway nothing opens a link a second time."""
    found = figures(site_file, "scan", "hall", "--to", 6, "--timeout", "5s", "--probe")
    assert [(one["address"], one["meter"], one["profiles"]) for one in found["found"]] == [
        (3, "feeder-1", ["chint-dtsu666"])
    ]
    assert found["proposal"] == "", "it is in the site file already"
    found = figures(site_file, "scan", "line", "--from", 2, "--to", 3, "--timeout", "1s")
    assert [(one["protocol"], one["address"], one["meter"]) for one in found["found"]] == [
        ("dlt645", "000012345678", "tenant-1"),
        ("modbus", 2, "panel-1"),
    ]
    read = figures(site_file, "read", "line", "tenant-1")
    assert {"energy_active_import_total", "voltage_ln_l1"} <= {one["key"] for one in read["channels"]}
    assert all(one["round_trip_ms"] > 0 for one in read["channels"])
    probed = figures(site_file, "probe", "feeder-1", "--timeout", "5s")
    assert (probed["best"], probed["in_place"]) == (["chint-dtsu666"], True)
    assert "in the manual is" in probed["diagnosis"][0]
    browsed = figures(site_file, "probe", "dcs")
    assert [one["id"] for one in browsed["variables"]] == ["ns=2;s=Boiler1.Flow"]
    raw = figures(
        site_file,
        "read",
        "feeder-1",
        "--function",
        3,
        "--register",
        "0x2044",
        "--type",
        "f32",
        "--order",
        "ABCD",
    )
    assert 4990 < float(raw["registers"][0]["value"]) < 5010, "frequency in hundredths"
    energy = next(one for one in read["channels"] if one["key"] == "energy_active_import_total")
    for whom in (("tenant-1",), ("line", "--address", "000012345678")):
        value = figures(site_file, "read", *whom, "--di", "0x00010000")
        assert (value["protocol"], value["count"], value["flags"]) == ("dlt645", 4, [0])
        assert 0 <= float(value["readings"]["bcd_le4"]) / 100 - float(energy["exact"]) < 10


def test_a_capture_becomes_part_of_the_profile(site_file: Path) -> None:
    profile = site_file.parent / "chint-dtsu666.toml"
    profile.write_text((shipped_dir() / profile.name).read_text())
    before = len(load(profile).golden)
    out = metergate(
        site_file.parent, "capture", "feeder-1", "--serial", "4711", "--by", "Li Wei", "--out", profile,
        "--config", site_file, "--json",
    )  # fmt: skip
    captured = json.loads(out)
    assert captured["flagged"] == {}
    assert len(captured["expect"]) > 10
    after = load(profile)
    assert len(after.golden) == before + 1
    assert verify(after) == [], "its bytes decode to what it says"
    assert not after.golden[-1].constructed
    assert "serial 4711 by Li Wei on 20" in after.golden[-1].source
    assert tomllib.loads(captured["toml"])["golden"][0]["blocks"]


def test_baud_and_parity_are_found_where_no_gateway_runs(alone: Path, tmp_path: Path) -> None:
    port = next(link["port"] for link in tomllib.loads(alone.read_text())["links"] if link["id"] == "line")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = (
        "--bauds",
        "9600,38400",
        "--parities",
        "E",
        "--from",
        1,
        "--to",
        2,
        "--timeout",
        "100ms",
        "--json",
    )
    found = json.loads(metergate(elsewhere, "scan", "--port", port, *words))
    assert [(one["address"], one["settings"]) for one in found["found"]] == [
        ("000012345678", "38400 E1"),
        (2, "38400 E1"),
    ]
    body = tomllib.loads(found["proposal"])
    assert [(link["port"], link["baud"], link["parity"]) for link in body["links"]] == [(port, 38400, "E")]
    assert "meters" not in body, "neither type nor ratios are known: comments, so that the file stays lawful"
    assert [f"\n# {key}\n" in found["proposal"] for key in ('address = "000012345678"', "unit = 2")] == [
        True
    ] * 2
    assert any("answer at" in remark for remark in found["remarks"]) is False, "no site file says otherwise"


def test_other_settings_are_refused_while_the_gateway_runs(plant: SimulatedSite, alone: Path) -> None:
    gateway = GatewayProcess(alone.parent, alone, alone.parent / "state")
    try:
        gateway.start()
        wait_until(lambda: gateway.status()["links"]["line"]["state"] == "up", "the line is up")
        port = next(
            link["port"] for link in tomllib.loads(alone.read_text())["links"] if link["id"] == "line"
        )
        said = metergate(
            alone.parent, "scan", "--port", port, "--bauds", "9600,19200", "--config", alone, code=1
        )
        assert "a gateway runs on it" in said
        assert "link line" in said, "the port was recognised as that of a link"
        said = metergate(alone.parent, "scan", "line", "--bauds", "2400", "--config", alone, code=1)
        assert "a gateway runs on it" in said, "one setting is a wish too"
    finally:
        gateway.close()
    assert plant.alive()


def test_one_wished_setting_is_really_tried(alone: Path) -> None:
    words = ("--bauds", "2400", "--from", 2, "--to", 2, "--timeout", "200ms", "--json")
    found = json.loads(metergate(alone.parent, "scan", "line", *words, "--config", alone))
    assert found["found"] == [], "the meters are set to 38400"


def test_ctrl_c_stops_politely_with_what_was_found(alone: Path) -> None:
    """Units 3 and on are silent for 2 s each: the scan would take minutes."""
    process = start(alone.parent, "scan", "line", "--from", 2, "--timeout", "2s", "--config", alone, "--json")
    with process:
        lock = alone.parent / "state" / "lock"
        wait_until(lock.exists, "the command holds the state folder")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    found = json.loads(out)
    assert not found["is_whole"]
    everybody = ["000012345678", 2]
    assert [one["address"] for one in found["found"]] == everybody[: len(found["found"])]
    assert found["asked"] < 20


def test_ctrl_c_withdraws_what_waits_in_the_gateway(plant: SimulatedSite, alone: Path) -> None:
    """Silent units cost 10 s each, ten times that beside a busy gateway; nobody waits for them any more."""
    gateway = GatewayProcess(alone.parent, alone, alone.parent / "state")
    try:
        gateway.start()
        wait_until(lambda: gateway.status()["links"]["line"]["state"] == "up", "the line is up")
        words = ("--from", 3, "--to", 6, "--timeout", "10s", "--config", alone, "--json")
        with start(alone.parent, "scan", "line", *words) as process:
            wait_until(lambda: gateway.status()["links"]["line"]["errands"] >= 2, "the scan is under way")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=8)
        assert process.returncode == 130, err
        assert "reads its own meters first and gives commands a tenth of a busy line: 1:10 if nobody" in err
        assert not json.loads(out)["is_whole"]
        polls = gateway.status()["links"]["line"]["polls"]
        wait_until(lambda: gateway.status()["links"]["line"]["polls"] > polls + 1, "it reads again")
    finally:
        gateway.close()
    assert plant.alive()


def test_the_first_ctrl_c_ends_a_single_read(site_file: Path) -> None:
    """Nobody has unit 3 there; its answer would be waited for 10 s."""
    words = ("--unit", 3, "--register", 0, "--timeout", "10s", "--config", site_file)
    lock = site_file.parent / "state" / "lock"
    is_live = lock.exists()
    with start(site_file.parent, "read", "line", *words) as process:
        if is_live:
            status = GatewayProcess(site_file.parent, site_file, site_file.parent / "state").status
            wait_until(lambda: status()["links"]["line"]["errands"] >= 1, "the read is under way")
        else:
            wait_until(lock.exists, "the command holds the state folder")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=8)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("read", "dcs", "--unit", "1", "--register", "1"), "which has no registers and no identifiers"),
        (("read", "feeder-2"), "did you mean feeder-1?"),
        (("read", "dcs", "feeder-1"), "is on link hall, not on dcs"),
        (("read", "hall"), "hall is a link: name a meter on it, or for a raw read add --unit and --register"),
        (("read", "dcs"), "metergate probe dcs"),
        (("read", "feeder-1", "--register", "40001"), "--function 3 --register 0"),
        (("probe", "dcs", "--below", "ns=9;s=nothing"), "no variable lies below ns=9;s=nothing"),
        (("capture", "feeder-1", "-o", "missing/x.toml"), "mkdir -p missing"),
        (("read", "hall", "--register", "1"), "Add --unit"),
        (("read", "feeder-1", "--register", "1", "--type", "f23"), "f32"),
        (("read", "line", "--address", "4711", "--di", "0x00010000"), "12 digits"),
        (("read", "line", "--address", "12345678901234", "--di", "0x901F"), "--meter-type"),
        (("read", "lin", "--register", "1"), "did you mean line?"),
        (("scan", "dcs"), "metergate probe dcs"),
        (("scan", "hall", "--bauds", "9600"), "change them there"),
        (("scan", "line", "--bauds", "9601"), "115200"),
        (("probe", "hall"), "metergate scan hall"),
        (("probe", "hall", "3", "--profile", "no-such"), "metergate profiles"),
        (("capture", "boiler-1"), "has no profile"),
    ],
)
def test_errors_say_what_and_what_next(alone: Path, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(MetergateError, match=re.escape(says)):
        get_command(app).main([*words, "--config", str(alone)], standalone_mode=False)

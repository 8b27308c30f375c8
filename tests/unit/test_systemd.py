"""The systemd unit: what the gateway relies on, what it may do at most, and the exposure systemd computes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from gateway.errors import EXIT_CONFIG

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNIT = FOLDER / "metergate.service"
EXPOSURE_MAX = 2.0

# What the exposure depends on, as systemd-analyze judges it; any value that differs costs more.
HARDENING = {
    "User": ["metergate"],
    "CapabilityBoundingSet": [""],
    "AmbientCapabilities": [""],
    "NoNewPrivileges": ["yes"],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["yes"],
    "PrivateTmp": ["yes"],
    "PrivateMounts": ["yes"],
    "ProtectProc": ["invisible"],
    "ProcSubset": ["pid"],
    "ProtectControlGroups": ["yes"],
    "ProtectHostname": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "RestrictNamespaces": ["yes"],
    "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
    "LockPersonality": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "RemoveIPC": ["yes"],
    "KeyringMode": ["private"],
    "NotifyAccess": ["main"],
    "UMask": ["0077"],
    "DevicePolicy": ["closed"],
    "IPAddressDeny": ["any"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources", "adjtimex clock_adjtime"],
}


def directives(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return section → directive → values in order; comments are left out."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith(("#", ";")):
            key, equals, value = line.partition("=")
            assert equals, f"{path.name}: not a directive: {line}"
            found[section][key].append(value)
    return found


@pytest.fixture(scope="module")
def service() -> dict[str, list[str]]:
    return directives(UNIT)["Service"]


def test_start_watch_and_stop(service: dict[str, list[str]]) -> None:
    assert service["Type"] == ["notify"]
    assert 20 <= int(service["WatchdogSec"][0]) <= 120  # above the 10 s after which the loop counts as stuck
    assert int(service["TimeoutStopSec"][0]) > 5
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == [str(EXIT_CONFIG)]
    assert directives(UNIT)["Unit"]["StartLimitIntervalSec"] == ["0"]


def test_nothing_is_waited_for() -> None:
    unit = directives(UNIT)["Unit"]
    waits = " ".join(unit["After"] + unit["Wants"] + unit["Requires"])
    assert "online" not in waits
    assert "time-sync" not in waits


def test_only_state_and_runtime_are_written(service: dict[str, list[str]]) -> None:
    assert service["StateDirectory"] == ["metergate"]
    assert service["RuntimeDirectory"] == ["metergate"]
    assert "ReadWritePaths" not in service


def test_the_command_is_one_the_gateway_has(service: dict[str, list[str]]) -> None:
    from typer.main import get_command

    from gateway.commands.cli import app

    (command,) = service["ExecStart"]
    words = command.split()
    assert words[0].endswith("/bin/metergate")
    run = get_command(app).commands["run"]  # type: ignore[attr-defined]
    options = {name for parameter in run.params for name in parameter.opts}
    assert words[1] == "run"
    assert {word for word in words if word.startswith("--")} <= options


def test_every_variable_has_a_value_and_an_example(service: dict[str, list[str]]) -> None:
    used = set(re.findall(r"\$\{(\w+)\}", service["ExecStart"][0]))
    given = dict(pair.split("=", 1) for pair in service["Environment"][0].split())
    example = dict(
        line.split("=", 1)
        for line in (FOLDER / "metergate.env.example").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    assert used
    assert used == set(given)
    assert given == example


def test_serial_ports_are_allowed(service: dict[str, list[str]]) -> None:
    assert service["SupplementaryGroups"] == ["dialout"]
    assert {"char-ttyS rw", "char-ttyUSB rw", "char-ttyACM rw"} <= set(service["DeviceAllow"])
    assert "PrivateDevices" not in service  # would hide them


def test_the_clock_may_be_read(service: dict[str, list[str]]) -> None:
    assert "ProtectClock" not in service  # would forbid adjtimex
    assert service["SystemCallFilter"][-1] == "adjtimex clock_adjtime"  # after @privileged was taken away


@pytest.mark.parametrize("key", HARDENING)
def test_hardening(service: dict[str, list[str]], key: str) -> None:
    assert service[key] == HARDENING[key]


def test_no_secret_is_required_by_the_unit_as_shipped(service: dict[str, list[str]]) -> None:
    """A credential named there must exist, or the service does not start."""
    assert "LoadCredential" not in service
    assert "#LoadCredential=" in UNIT.read_text(encoding="utf-8")


def test_the_readme_states_the_exposure() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    stated = re.search(r"\(systemd 252, Debian 12\): \*\*(\d\.\d)", readme)
    assert stated is not None
    assert float(stated[1]) <= EXPOSURE_MAX


if shutil.which("systemd-analyze"):  # where it is not, every directive it judges is still checked above

    def test_exposure_computed_by_systemd() -> None:
        answer = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        level = re.search(r"Overall exposure level for metergate\.service: (\d+\.\d)", answer)
        assert level is not None, answer
        assert float(level[1]) <= EXPOSURE_MAX

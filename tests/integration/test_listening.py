"""What listens: of the gateway one Unix socket for its own user; of simulators and the demo's broker loopback alone."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulators.run import DEMO_FILE
from tests.integration.site import GatewayProcess, SimulatedSite, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LISTEN, UNCONNECTED = (
    "0A",
    "07",
)  # Source: Linux include/net/tcp_states.h; UDP that waits for anybody shows TCP_CLOSE
SITE = """
[gateway]
id = "plant-1"
state_dir = "state"
[site]
timezone = "Asia/Shanghai"
region = "350100"
enterprise = "91350100M000100Y43"
[[links]]
id = "hall-a"
kind = "modbus-tcp"
host = "127.0.0.1"
port = {0}
[[meters]]
id = "feeder-1"
link = "hall-a"
unit = 1
profile = "eastron-sdm630"
energy_kind = "electricity"
period = "1s"
[[sinks]]
id = "plant-mqtt"
kind = "mqtt"
host = "127.0.0.1"
port = {1}
[[sinks]]
id = "regulator"
kind = "feed"
host = "127.0.0.1"
port = {2}
tls = {{ enabled = false }}
"""


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(inner for child in children for inner in tree(int(child)))]


def listening(pid: int) -> set[tuple[str, int]]:
    """Return (address, port) of every TCP and UDP socket of a process and its children that takes what anybody sends."""
    found = set()
    for process in tree(pid):
        inodes = set()
        for link in Path(f"/proc/{process}/fd").iterdir():
            try:
                inodes.add(os.readlink(link))
            except FileNotFoundError:  # closed while we looked
                continue
        for table, state in (("tcp", LISTEN), ("tcp6", LISTEN), ("udp", UNCONNECTED), ("udp6", UNCONNECTED)):
            for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == state and f"socket:[{words[9]}]" in inodes:
                    found.add(_address(words[1]))
    return found


def _address(text: str) -> tuple[str, int]:
    """Return what /proc/net writes as hexadecimal words in the machine's byte order."""
    address, _, port = text.partition(":")
    words = [int(address[n : n + 8], 16) for n in range(0, len(address), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))), int(port, 16)


@pytest.fixture
def gateway(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[GatewayProcess]:
    site_file = tmp_path / "site.toml"
    site_file.write_text(SITE.format(free_port(), free_port(), free_port()))
    process = GatewayProcess(tmp_path, site_file, tmp_path / "state")
    try:
        yield process
    finally:
        process.close()


def test_the_gateway_listens_on_one_unix_socket(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.start()
    wait_until(lambda: gateway.status()["links"]["hall-a"]["downs"], "the link was tried")
    wait_until(lambda: (tmp_path / "state" / "feed.key").exists(), "the feed has its key")
    assert listening(gateway.pid) == set()
    sockets = [path for path in (tmp_path / "state").rglob("*") if path.is_socket()]
    assert [path.name for path in sockets] == ["control.sock"]
    assert stat.S_IMODE(sockets[0].stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "feed.key").stat().st_mode) == 0o600
    assert gateway.end() == 0


def test_the_simulated_plant_listens_on_loopback_alone(tmp_path: Path) -> None:
    plant = SimulatedSite(tmp_path / "plant", DEMO_FILE, "", period="1s")
    try:
        plant.start()
        found = listening(plant.pid)
    finally:
        plant.close()
    assert len(found) >= 4
    assert all(ipaddress.ip_address(address).is_loopback for address, _ in found), found


@pytest.mark.parametrize(
    ("family", "kind"), [(socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp"), (socket.AF_INET, "udp")]
)
def test_an_open_port_would_be_found(
    family: socket.AddressFamily, kind: str, free_port: Callable[[], int]
) -> None:
    everywhere, port = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}[family], free_port()
    code = (
        "import socket, sys\n"
        f"s = socket.socket({int(family)}, socket.SOCK_{'STREAM' if kind == 'tcp' else 'DGRAM'})\n"
        f"s.bind(({everywhere!r}, {port}))\n"
        f"{'s.listen()' if kind == 'tcp' else ''}\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        assert listening(child.pid) == {(everywhere, port)}
        child.communicate()

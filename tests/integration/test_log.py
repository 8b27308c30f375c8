"""The gateway as a process whose log cannot be written goes on, and ends as if nothing were wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.site import GatewayProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

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
port = {mqtt}
"""


class Unlogged(GatewayProcess):
    """Its output goes to `log`, which cannot be read back."""

    def tail(self) -> str:
        return f"no log at {self.log}"


@pytest.mark.parametrize("kind", ["full", "pipe"])
def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, free_port: Callable[[], int], kind: str
) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text(OFFLINE.format(modbus=free_port(), mqtt=free_port()))
    gateway = Unlogged(tmp_path, site_file, tmp_path / "state")
    reading = None
    if kind == "full":
        gateway.log = Path("/dev/full")
    else:
        gateway.log = tmp_path / "pipe"
        os.mkfifo(gateway.log)
        reading = os.open(gateway.log, os.O_RDONLY | os.O_NONBLOCK)
    try:
        gateway.start()
        if reading is not None:
            os.close(reading)  # whoever collected the log is gone
        wait_until(lambda: gateway.status()["links"]["hall-a"]["downs"] >= 2, "the link was tried again")
        wait_until(lambda: gateway.status()["sinks"]["plant-mqtt"]["downs"] >= 2, "so was the broker")
        assert gateway.status()["crashes"] == {}
        assert gateway.end() == 0
    finally:
        gateway.close()

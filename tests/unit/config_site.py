"""A small site file that is right, and what `load` finds after it was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.site_file import from_toml
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.errors import Finding

SITE = """
[gateway]
id = "plant-1"

[site]
timezone = "Asia/Shanghai"

[journal]
size_max = "1GiB"

[[links]]
id = "hall-a"
kind = "modbus-tcp"
host = "10.0.0.1"

[[links]]
id = "dcs"
kind = "opcua"
url = "opc.tcp://10.0.0.2:4840"

[[meters]]
id = "feeder-1"
link = "hall-a"
unit = 1
profile = "eastron-sdm630"
energy_kind = "electricity"
period = "10s"

[[meters]]
id = "pump-2"
link = "hall-a"
unit = 2
profile = "acrel-adl3000"
energy_kind = "electricity"
period = "10s"
ratios = { ct = 40, pt = 1 }

[[meters]]
id = "water"
link = "hall-a"
unit = 3
profile = "tuf-2000m"
energy_kind = "water"
period = "10s"
channels = ["flow_volume", "volume_forward"]
[meters.override.volume_forward]
unit = "m3"

[[meters]]
id = "boiler-1"
link = "dcs"
energy_kind = "steam"
period = "10s"
[meters.variables.flow_mass]
id = "ns=2;s=Boiler1.Flow"
quantity = "flow_mass"
unit = "t/h"

[[sinks]]
id = "mqtt"
kind = "mqtt"
host = "127.0.0.1"

[[sinks]]
id = "influx"
kind = "influx"
url = "http://127.0.0.1:8086"
org = "plant"
bucket = "meters"
"""


def changed(*changes: tuple[str, str]) -> str:
    """Return the site file with texts replaced, each of which must be in it."""
    text = SITE
    for old, new in changes:
        assert old in text, f"{old!r} is not in the site file"
        text = text.replace(old, new, 1)
    return text


def findings(text: str, folder: Path) -> tuple[Finding, ...]:
    """Return every finding of a site file that lies in `folder`."""
    try:
        from_toml(text, folder / "site.toml")
    except ConfigError as error:
        return error.findings
    return ()

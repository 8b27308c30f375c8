"""What a soak is made of: the bad day over and over, its sinks, and the site of a gateway that has little to do."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from simulators.run import DEMO_FAULTS_FILE, DEMO_FILE
from tests.bench.plant import SitePlan, write_site

if TYPE_CHECKING:
    from pathlib import Path

CYCLE_S = 150.0  # the bad day's last trouble is over after 105 s
IDLE_CHANNELS = ("voltage_ln_l1", "current_l1", "power_active_total", "frequency",
                 "power_factor_l1", "energy_active_import_total")  # fmt: skip
IDLE_PERIOD_MS = 5000


def repeated_faults(path: Path, until_s: float) -> Path:
    """Write and return a simulation file: the troubles of the bad day every `CYCLE_S`, none after `until_s`."""
    faults: list[dict[str, Any]] = tomllib.loads(DEMO_FAULTS_FILE.read_text(encoding="utf-8"))["faults"]
    text = f'include = {json.dumps(str(DEMO_FILE))}\n[simulation]\nname = "soak"\n'
    for fault in faults:
        starts = [0.0]
        timed = "from" in fault or "to" in fault
        if timed:
            starts = [CYCLE_S * n for n in range(int(until_s // CYCLE_S) + 1)]
        for start_s in starts:
            from_s = start_s + _seconds(fault.get("from", "0s"))
            to_s = min(start_s + _seconds(fault["to"]), until_s) if "to" in fault else until_s
            if "to" not in fault and timed:
                to_s = min(start_s + CYCLE_S * 0.9, until_s)
            if from_s < to_s:
                more = {"from": f"{from_s:g}s", "to": f"{to_s:g}s"}
                text += "[[faults]]\n" + "".join(
                    f"{k} = {json.dumps(v)}\n" for k, v in (fault | more).items()
                )
    path.write_text(text, encoding="utf-8")
    return path


def _seconds(text: str) -> float:
    """Return a duration of the bad day's file, which knows only seconds."""
    return float(text.removesuffix("s"))


def sinks_toml(mqtt_port: int, database_url: str) -> str:
    """Return the tables of both sinks."""
    return (
        f'[[sinks]]\nid = "mqtt"\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {mqtt_port}\n'
        f'[[sinks]]\nid = "influx"\nkind = "influx"\nurl = "{database_url}"\norg = "soak"\nbucket = "soak"\n'
    )


def idle_site(folder: Path, meter_port: int, mqtt_port: int) -> Path:
    """Return the site file of one meter read every five seconds for six channels."""
    path = write_site(SitePlan(1, IDLE_PERIOD_MS, meter_port, mqtt_port), folder)
    text = path.read_text(encoding="utf-8")
    keys = json.dumps(list(IDLE_CHANNELS))
    path.write_text(text.replace('channels = ["*"]', f"channels = {keys}"), encoding="utf-8")
    return path

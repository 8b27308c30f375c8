"""The gateway's site file for a simulated site: same meters, the ports that were free."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from simulators.faults import LOOPBACK
from simulators.plan import LINES
from simulators.site import profile_folders, profile_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulators.plan import LinkPlan, MeterPlan, Plan

REGION, ENTERPRISE = "350100", "91350100M000100Y43"
"""Nobody's: the code that GB 32100-2015 has for its example, and the region it says."""


def site_toml(
    plan: Plan,
    ports: Mapping[str, int | str],
    *,
    gateway_id: str = "demo",
    state_dir: str = "state",
    sinks: str = "",
    period: str = "",
) -> str:
    """Return a site file (docs/specs/site-file.md) that reads every meter of the plan.

    ports: link id -> loopback port, or path of the serial port. sinks: TOML text, taken as it is. period: instead of the plan's.
    """
    parts = [
        f"# Written by the simulator for: {plan.name}",
        f"[gateway]\nid = {_text(gateway_id)}\nname = {_text(plan.name)}\nstate_dir = {_text(state_dir)}",
    ]
    if plan.profile_dirs:
        parts[-1] += f"\nprofile_dirs = [{', '.join(_text(str(f.resolve())) for f in plan.profile_dirs)}]"
    parts.append(
        f'[site]\nname = {_text(plan.name)}\ntimezone = "Asia/Shanghai"\n'
        f'region = "{REGION}"\nenterprise = "{ENTERPRISE}"'
    )
    for link in plan.links:
        parts.append(
            f"[[links]]\nid = {_text(link.id)}\nkind = {_text(link.kind)}\n"
            f'{_where(link, ports[link.id])}\nretry_max = "5s"'
        )
    folders = profile_folders(plan.profile_dirs)
    parts += [_meter(meter, period or meter.period or plan.period, folders) for meter in plan.meters]
    parts.append(sinks.strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(link: LinkPlan, port: int | str) -> str:
    """Return the lines that say where a link leads and how long to wait."""
    if link.kind == "opcua":
        return f'url = "opc.tcp://{LOOPBACK}:{port}"\ntimeout = "4s"'
    where = f'host = "{LOOPBACK}"\nport = {port}\n' if isinstance(port, int) else f"port = {_text(port)}\n"
    if link.kind in LINES:
        where += f"baud = {link.baud}\nparity = {_text(link.parity)}\nstop = {link.stop}\n"
    return f'{where}timeout = "1s"'


def _ratios(meter: MeterPlan, folders: Sequence[Path]) -> list[str]:
    """Return the ratios the site must know; the others are read from the meter."""
    if not meter.ratios:
        return []
    rules = profile_text(meter.profile, folders).get("ratios", {})
    told = [
        f"{name} = {value if value.isdigit() else _text(value)}"
        for name, value in meter.ratios.items()
        if rules.get(name, {}).get("configured")
    ]
    return [f"ratios = {{ {', '.join(told)} }}"] if told else []


def _meter(meter: MeterPlan, period: str, folders: Sequence[Path]) -> str:
    lines = [
        "[[meters]]",
        f"id = {_text(meter.id)}",
        f"name = {_text(meter.name)}",
        f"link = {_text(meter.link)}",
        f"energy_kind = {_text(meter.energy_kind)}",
        f"period = {_text(period)}",
    ]
    if meter.profile:
        where = f"address = {_text(meter.address)}" if meter.address else f"unit = {meter.unit}"
        lines += [where, f"profile = {_text(meter.profile)}"]
    if meter.channels:
        lines.append(f"channels = [{', '.join(map(_text, meter.channels))}]")
    lines += _ratios(meter, folders)
    if meter.variant:
        lines.append(f"variant = {_text(meter.variant)}")
    if meter.labels:
        pairs = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in meter.labels.items())
        lines.append(f"labels = {{ {pairs} }}")
    known = profile_text(meter.profile, folders)["channels"] if meter.profile else {}
    menu = [key for key in meter.units if known.get(key, {}).get("unit", "configured") == "configured"]
    for key in dict.fromkeys((*menu, *meter.references, *meter.inputs)):
        lines.append(f"[meters.override.{key}]")
        if key in meter.inputs:
            given = ", ".join(f"{name} = {json.dumps(value)}" for name, value in meter.inputs[key].items())
            lines.append(f"input = {{ {given} }}")
        if key in menu:
            lines.append(f"unit = {_text(meter.units[key])}")
        if key in meter.references:
            lines.append(f"reference = {_text(meter.references[key])}")
    for variable in meter.variables:
        lines += [
            f"[meters.variables.{variable.key}]",
            f"id = {_text(variable.id)}",
            f"quantity = {_text(variable.quantity)}",
            f"unit = {_text(variable.unit)}",
        ]
        if variable.reference:
            lines.append(f"reference = {_text(variable.reference)}")
    return "\n".join(lines)


def _text(value: str) -> str:
    """Return a TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(value, ensure_ascii=False)

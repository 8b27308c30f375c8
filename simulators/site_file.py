"""The gateway's site file for a simulated site: same meters, the ports that were free."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from simulators.faults import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.plan import MeterPlan, Plan


def site_toml(
    plan: Plan,
    ports: Mapping[str, int],
    *,
    gateway_id: str = "demo",
    state_dir: str = "state",
    sinks: str = "",
    period: str = "",
) -> str:
    """Return a site file (docs/specs/site-file.md) that reads every meter of the plan.

    ports: link id -> loopback port. sinks: TOML text, taken as it is. period: instead of the plan's.
    """
    parts = [
        f"# Written by the simulator for: {plan.name}",
        f"[gateway]\nid = {_text(gateway_id)}\nname = {_text(plan.name)}\nstate_dir = {_text(state_dir)}",
    ]
    if plan.profile_dirs:
        parts[-1] += f"\nprofile_dirs = [{', '.join(_text(str(f.resolve())) for f in plan.profile_dirs)}]"
    parts.append(f'[site]\nname = {_text(plan.name)}\ntimezone = "Asia/Shanghai"')
    for link in plan.links:
        where = f'host = "{LOOPBACK}"\nport = {ports[link.id]}\ntimeout = "1s"'
        if link.kind == "opcua":
            where = f'url = "opc.tcp://{LOOPBACK}:{ports[link.id]}"\ntimeout = "4s"'
        parts.append(
            f'[[links]]\nid = {_text(link.id)}\nkind = {_text(link.kind)}\n{where}\nretry_max = "5s"'
        )
    parts += [_meter(meter, period or meter.period or plan.period) for meter in plan.meters]
    parts.append(sinks.strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _meter(meter: MeterPlan, period: str) -> str:
    lines = [
        "[[meters]]",
        f"id = {_text(meter.id)}",
        f"name = {_text(meter.name)}",
        f"link = {_text(meter.link)}",
        f"energy_kind = {_text(meter.energy_kind)}",
        f"period = {_text(period)}",
    ]
    if meter.profile:
        lines += [f"unit = {meter.unit}", f"profile = {_text(meter.profile)}"]
    if meter.channels:
        lines.append(f"channels = [{', '.join(map(_text, meter.channels))}]")
    if meter.ratios:
        lines.append(
            f"ratios = {{ {', '.join(f'{name} = {value}' for name, value in meter.ratios.items())} }}"
        )
    if meter.variant:
        lines.append(f"variant = {_text(meter.variant)}")
    if meter.labels:
        pairs = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in meter.labels.items())
        lines.append(f"labels = {{ {pairs} }}")
    for key, unit in meter.units.items():
        lines += [f"[meters.override.{key}]", f"unit = {_text(unit)}"]
    for variable in meter.variables:
        lines += [
            f"[meters.variables.{variable.key}]",
            f"id = {_text(variable.id)}",
            f"quantity = {_text(variable.quantity)}",
            f"unit = {_text(variable.unit)}",
        ]
    return "\n".join(lines)


def _text(value: str) -> str:
    """Return a TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(value, ensure_ascii=False)

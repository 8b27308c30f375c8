"""From variables of an OPC UA server to channels that may be right: a proposal for people to check. Pure.

Nothing is guessed without a unit: the unit a server states decides which quantities are possible, the name picks one.
Sources: OPC 34100 (Energy Consumption Management 1.0.1), OPC 30141 (PROFIenergy 1.00), the logical node names of
IEC 61850 that are often copied into OPC UA names (from general knowledge, confidence one-source); UnitId of
EUInformation: Part 8, 5.6.3.3 with the two codes OPC 34100 uses.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.quantity import QUANTITIES
from gateway.units import UnitError, conversion

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES: dict[str, tuple[str, str]] = {
    "AcActivePowerTotal": ("power_active_total", "power_active"),
    "AcActiveEnergyTotalImportLp": ("energy_active_import", "energy_active_import"),
    "AcActiveEnergyTotalImportHp": ("energy_active_import", "energy_active_import"),
    "AcActiveEnergyTotalExportLp": ("energy_active_export", "energy_active_export"),
    "AcActiveEnergyTotalExportHp": ("energy_active_export", "energy_active_export"),
    "AcReactiveEnergyTotalImportHp": ("energy_reactive_import", "energy_reactive_import"),
    "AcReactiveEnergyTotalImporttHp": ("energy_reactive_import", "energy_reactive_import"),
    "AcReactiveEnergyTotalExportHp": ("energy_reactive_export", "energy_reactive_export"),
    "NeEnergyImportHp": ("energy_heat", "energy_heat"),
    "TotW": ("power_active_total", "power_active"),
    "TotVAr": ("power_reactive_total", "power_reactive"),
    "TotVA": ("power_apparent_total", "power_apparent"),
    "Hz": ("frequency", "frequency"),
    "PhV.phsA": ("voltage_ln_l1", "voltage_ln"),
    "PPV.phsAB": ("voltage_ll_l12", "voltage_ll"),
    "A.phsA": ("current_l1", "current"),
    "W.phsA": ("power_active_l1", "power_active"),
    "TotWh": ("energy_active_total", "energy_active_total"),
}
"""Browse name, or the end of a path -> (channel key, quantity)."""
UNIT_CODES = {5723220: "W", 5720146: "Wh"}
# SupWh and DmdWh of IEC 61850 count from the busbar; which of them is the import of this meter is for people to say.
_PHASES = {"a": "_l1", "b": "_l2", "c": "_l3", "l1": "_l1", "l2": "_l2", "l3": "_l3"}
_WORDS: tuple[
    tuple[str, str], ...
] = (  # in a name -> quantity, where the unit allows it; the first that fits
    (r"steam.*flow|flow.*mass|mass.*flow|蒸汽流量|质量流量", "flow_mass"),
    (r"import|forward|正向|supplied.to.load", "energy_active_import"),
    (r"export|reverse|反向", "energy_active_export"),
    (r"heat|thermal|热", "energy_heat"),
    (r"heat|thermal|热", "power_thermal"),
    (r"cool|冷", "energy_cooling"),
    (r"phase.to.phase|line.to.line|u_?(12|23|31)|v_?(12|23|31)|线电压", "voltage_ll"),
    (r"u_?l?[123]\b|v_?l?[123]\b|phase.voltage|相电压", "voltage_ln"),
    (r"level|液位", "level"),
    (r"humid|湿度", "humidity"),
)
_BY_DIMENSION = {
    "current": "current", "frequency": "frequency", "active power": "power_active",
    "reactive power": "power_reactive", "apparent power": "power_apparent", "volume flow": "flow_volume",
    "mass flow": "flow_mass", "temperature": "temperature", "pressure": "pressure", "velocity": "velocity",
    "density": "density", "specific enthalpy": "enthalpy", "conductivity": "conductivity", "volume": "volume",
    "mass": "mass",
}  # fmt: skip


class Variable(NamedTuple):
    """One variable of a server. path: browse names from the start. type: built-in type, "Double[3]" for an array.

    value: number, truth or text; None if there is none. status: name of its StatusCode. unit: as the server states it.
    """

    id: str
    path: tuple[str, ...]
    type: str
    value: float | int | bool | str | None
    status: str
    unit: str


class Proposal(NamedTuple):
    """A channel a variable may be. key: channel key. reason: what it was told by."""

    key: str
    quantity: str
    unit: str
    reason: str


def unit_of_code(unit_id: int) -> str:
    """Return the unit of an EUInformation's UnitId, "" for one that is not known here."""
    return UNIT_CODES.get(unit_id, "")


def guess(variable: Variable) -> Proposal | None:
    """Return what a variable may be, None where unit and name do not tell."""
    if not isinstance(variable.value, int | float) or isinstance(variable.value, bool) or not variable.unit:
        return None
    last = variable.path[-1] if variable.path else ""
    for name in (last, ".".join(variable.path[-2:]), last.rpartition(".")[2], ".".join(last.split(".")[-2:])):
        key, quantity = NAMES.get(name, ("", ""))
        if key and _fits(variable.unit, quantity):
            return Proposal(key, quantity, variable.unit, f"name {name}")
    text = " ".join(variable.path[-2:]).lower()
    for word, quantity in _WORDS:
        if re.search(word, text) and _fits(variable.unit, quantity):
            return Proposal(quantity, quantity, variable.unit, "unit and name")
    for quantity in _BY_DIMENSION.values():
        if _fits(variable.unit, quantity):
            phase = re.search(r"[^a-z0-9](?:phs|phase)?([abc]|l[123])$", last.lower())
            return Proposal(
                quantity + (_PHASES[phase[1]] if phase else ""), quantity, variable.unit, "unit alone"
            )
    return None


def propose(variables: Iterable[Variable]) -> str:
    """Return `[meters.variables.…]` tables as TOML for a site file; what is not known stays a comment.

    Each table is to be checked: the comment says what its quantity was told by and what the variable shows.
    """
    lines: list[str] = []
    used: dict[str, int] = {}
    for variable in variables:
        found = guess(variable)
        shown = f"{variable.type or 'no value'} {_shown(variable)}".strip()
        path = _comment("/".join(variable.path))
        if found is None:
            lines.append(f"# {path}: {shown}; id = {_quoted(variable.id)}; quantity and unit not known")
            continue
        used[found.key] = used.get(found.key, 0) + 1
        key = found.key if used[found.key] == 1 else f"{found.key}_{used[found.key]}"
        lines += [
            f"[meters.variables.{key}]  # {path}: {shown}; quantity by {found.reason}",
            f"id = {_quoted(variable.id)}",
            f"quantity = {_quoted(found.quantity)}",
            f"unit = {_quoted(found.unit)}",
        ]
        if QUANTITIES[found.quantity].reference:
            lines.append('# reference = "0 °C, 101.325 kPa"')
        lines.append("")
    return "\n".join(lines).rstrip() + "\n" if lines else ""


def _fits(unit: str, quantity: str) -> bool:
    try:
        conversion(unit, QUANTITIES[quantity])
    except UnitError:
        return False
    return True


def _shown(variable: Variable) -> str:
    value = "" if variable.value is None else _comment(str(variable.value))
    doubt = "" if variable.status == "Good" else f" ({variable.status})"
    return f"{value} {_comment(variable.unit)}".strip() + doubt


def _comment(text: str) -> str:
    """Return text without what would end a comment or move a terminal's cursor."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _quoted(text: str) -> str:
    """Return a TOML basic string; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

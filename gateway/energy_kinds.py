"""The closed list of energy kinds: what flows through the pipe or feeder of a meter.

Source: docs/specs/energy-kinds.md, which a test compares with this table.
"""

from __future__ import annotations

ENERGY_KINDS: dict[str, tuple[str, str]] = {
    "electricity": ("电力", "electricity"),
    "coal": ("煤炭", "coal"),
    "coke": ("焦炭", "coke"),
    "crude_oil": ("原油", "crude oil"),
    "heavy_oil": ("重油", "heavy fuel oil"),
    "residual_oil": ("渣油", "residual oil"),
    "refined_oil": ("成品油", "refined oil products"),
    "lpg": ("液化石油气", "liquefied petroleum gas"),
    "natural_gas": ("天然气", "natural gas"),
    "coal_gas": ("煤气", "manufactured gas"),
    "steam": ("蒸汽", "steam"),
    "hot_water": ("热水", "hot water (heat)"),
    "water": ("水", "water"),
    "compressed_air": ("压缩空气", "compressed air"),
    "cooling": ("冷量", "chilled water (cooling)"),
    "oxygen": ("氧气", "oxygen"),
    "nitrogen": ("氮气", "nitrogen"),
    "hydrogen": ("氢气", "hydrogen"),
    "biomass": ("生物质", "biomass"),
    "waste_energy": ("可回收利用的余能", "recoverable waste energy"),
    "other": ("其他", "other"),
    "carbon": ("碳排放", "stack gas and carbon instruments (no fitting requirement)"),
}
"""Key -> (Chinese, English), in the order of GB 17167-2006 table 3."""

_GASES = frozenset(
    {"natural_gas", "coal_gas", "lpg", "compressed_air", "oxygen", "nitrogen", "hydrogen", "biomass"}
)
_HEAT = frozenset({"hot_water", "cooling", "steam"})
_LIQUIDS = frozenset({"crude_oil", "heavy_oil", "residual_oil", "refined_oil", "lpg", "biomass"})
_WATERS = frozenset({"water", "hot_water", "cooling", "steam"})  # steam: condensate and feed water

_CARRIED: dict[str, frozenset[str]] = {
    "electricity": frozenset({"electricity"}),
    "water": _WATERS,
    "heat": _HEAT | {"water"},
    "gas": _GASES,
    "steam": frozenset({"steam"}),
    "liquid": _LIQUIDS | _WATERS,
    "compressed_air": _GASES,
    "gas_analysis": _GASES | {"carbon"},
}


def plausible(medium: str) -> frozenset[str]:
    """Return the energy kinds a meter type made for `medium` can stand in; all of them if the medium is not known.

    `other` and `waste_energy` can flow through anything. A stack's gas flow meter is `carbon`.
    """
    kinds = _CARRIED.get(medium)
    if kinds is None:
        return frozenset(ENERGY_KINDS)
    return kinds | {"other", "waste_energy"} | ({"carbon"} if medium == "gas" else set())

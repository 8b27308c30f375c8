"""Kinds of instruments (计量器具类别): what they are called, which one usually measures an energy kind, which one measures a flow. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.fitting.grounds import Words

if TYPE_CHECKING:
    from gateway.inventory.model import Category, Instrument

CATEGORIES: dict[Category, Words] = {
    "weighing": Words("a weighing instrument", "衡器"),
    "electricity_meter": Words("an electricity meter", "电能表"),
    "oil_flow_meter": Words("an oil flow meter", "油流量表(装置)"),
    "gas_flow_meter": Words("a gas flow meter", "气体流量表(装置)"),
    "steam_flow_meter": Words("a steam flow meter", "蒸汽流量表(装置)"),
    "water_flow_meter": Words("a water meter", "水流量表(装置)"),
    "heat_meter": Words("a heat meter", "热量表"),
    "temperature": Words("a temperature instrument", "温度仪表"),
    "pressure": Words("a pressure instrument", "压力仪表"),
    "gas_analyser": Words("a gas analyser", "气体分析仪"),
    "other": Words("an instrument", "计量器具"),
}
"""计量器具类别 as people call them."""

_USUAL: dict[str, Category] = {
    "electricity": "electricity_meter",
    "coal": "weighing",
    "coke": "weighing",
    "biomass": "weighing",
    "crude_oil": "oil_flow_meter",
    "heavy_oil": "oil_flow_meter",
    "residual_oil": "oil_flow_meter",
    "refined_oil": "oil_flow_meter",
    "lpg": "gas_flow_meter",
    "natural_gas": "gas_flow_meter",
    "coal_gas": "gas_flow_meter",
    "compressed_air": "gas_flow_meter",
    "oxygen": "gas_flow_meter",
    "nitrogen": "gas_flow_meter",
    "hydrogen": "gas_flow_meter",
    "steam": "steam_flow_meter",
    "hot_water": "heat_meter",
    "cooling": "heat_meter",
    "water": "water_flow_meter",
    "carbon": "gas_analyser",
}


def category_for(energy_kind: str) -> Category:
    """Return the kind of instrument that usually measures an energy kind."""
    return _USUAL.get(energy_kind, "other")


def measures_flow(instrument: Instrument, energy_kind: str) -> bool:
    """Return whether an instrument can measure how much flows. Temperature and pressure only go into what another one computes."""
    if instrument.category == "gas_analyser":
        return energy_kind == "carbon"
    return instrument.category not in ("temperature", "pressure")


def is_unnamed(instrument: Instrument) -> bool:
    """Return whether nobody has said what kind of instrument it is."""
    return instrument.category == "other"

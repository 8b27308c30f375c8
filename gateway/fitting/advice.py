"""What to fit where a need is not met, in English and Chinese. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.fitting.grounds import Words, kind_name
from gateway.inventory.model import Instrument

if TYPE_CHECKING:
    from gateway.fitting.classes import Classes
    from gateway.fitting.outcome import Need
    from gateway.fitting.plant import Plant
    from gateway.inventory.model import Category

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


def advice(need: Need, plant: Plant, classes: Classes) -> Words:
    """Return what to fit where, with the class the ruleset demands there."""
    category = category_for(need.energy_kind)
    what = CATEGORIES[category]
    usual = Instrument(id="x", name="x", category=category, flows=(need.flow,))
    demand = classes.demand(usual, need.energy_kind, need.level)
    of_class = f", class {demand.accuracy_class} or better" if demand.accuracy_class else ""
    of_class_zh = f", 准确度等级不低于 {demand.accuracy_class} 级" if demand.accuracy_class else ""
    kind = kind_name(need.energy_kind)
    where = plant.route(need.flow)
    if need.flow in plant.flows:
        return Words(
            f"fit {what.en}{of_class} on {need.flow}: {where}",
            f"在 {need.flow} ({where}) 上配备{what.zh}{of_class_zh}",
        )
    return Words(
        f"enter the flow of {kind.en} into {where} in the inventory and fit {what.en}{of_class} on it",
        f"在台账中登记 {where} 的{kind.zh}输入, 并配备{what.zh}{of_class_zh}",
    )

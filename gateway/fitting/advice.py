"""What to fit where a need is not met, in English and Chinese. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway.fitting.categories import CATEGORIES, category_for
from gateway.fitting.grounds import Words, kind_name
from gateway.inventory.model import Instrument

if TYPE_CHECKING:
    from gateway.fitting.classes import Classes
    from gateway.fitting.outcome import Need
    from gateway.fitting.plant import Plant
    from gateway.inventory.model import Category


def advice(need: Need, plant: Plant, classes: Classes) -> Words:
    """Return what to fit where, with the class the ruleset demands there."""
    category = category_for(need.energy_kind)
    what = CATEGORIES[category]
    is_outward = plant.is_outward(need.flow)
    of_class, of_class_zh = _of_class(need, category, classes, is_outward=is_outward)
    kind = kind_name(need.energy_kind)
    where, where_zh = plant.route(need.flow), plant.route_zh(need.flow)
    if need.flow in plant.flows:
        return Words(
            f"fit {what.en}{of_class} on {need.flow}: {where}",
            f"在 {need.flow} ({where_zh}) 上配备{what.zh}{of_class_zh}",
        )
    return Words(
        f"enter the flow of {kind.en} into {where} in the inventory and fit {what.en}{of_class} on it",
        f"在台账中登记 {where_zh} 的{kind.zh}输入, 并配备{what.zh}{of_class_zh}",
    )


def _of_class(need: Need, category: Category, classes: Classes, *, is_outward: bool) -> Words:
    """Return which class to fit; over the boundary the one for settlement."""
    purpose: Literal["settlement", "internal"] = "settlement" if need.level == 1 else "internal"
    usual = Instrument(id="x", name="x", category=category, flows=(need.flow,), purpose=purpose)
    demand = classes.demand(usual, need.energy_kind, need.level, is_outward=is_outward)
    if demand.unknown:
        return Words(
            f", of the class that follows from {demand.unknown}", f", 准确度等级按 {demand.unknown} 确定"
        )
    if demand.accuracy_class:
        return Words(
            f", class {demand.accuracy_class} or better", f", 准确度等级不低于 {demand.accuracy_class} 级"
        )
    return Words("", "")

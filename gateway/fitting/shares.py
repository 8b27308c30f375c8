"""The metered share by quantity (水计量率): metered amount ÷ total amount at a level. Pure.

Amounts are those of the statistics year in the inventory; a difference or an estimate never counts as metered.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from gateway.fitting.limits import common_unit, convert
from gateway.fitting.outcome import ShareRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.fitting.instruments import Instruments
    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Ruleset, Share
    from gateway.inventory.model import Flow

LEVELS = (1, 2, 3)


def shares(plant: Plant, ruleset: Ruleset, fitted: Instruments) -> tuple[ShareRow, ...]:
    """Return the share of every level the ruleset demands one at."""
    rows = [row for row in ruleset.shares if ruleset.holds(row, plant.on)]
    return tuple(_share(row, _flows(plant, row), ruleset, fitted, plant) for row in rows)


def _flows(plant: Plant, row: Share) -> list[Flow]:
    """Return the flows whose amounts are the total of a level: into the organisation, into accounting units, into equipment."""
    live = [flow for flow in plant.live if flow.energy_kind == row.energy_kind]
    if row.level == LEVELS[0]:
        return [flow for flow in live if plant.level_of(flow) == row.level and flow.from_end == "outside"]
    if row.level == LEVELS[2]:
        return [flow for flow in live if flow.to_end in plant.equipment]
    accounting = {unit for unit, found in plant.units.items() if found.role == "accounting"}
    return [
        flow
        for flow in live
        if any(
            unit in accounting and unit not in plant.around(flow.from_end)
            for unit in plant.around(flow.to_end)
        )
    ]


def _share(
    row: Share, flows: Sequence[Flow], ruleset: Ruleset, fitted: Instruments, plant: Plant
) -> ShareRow:
    amounts = [flow.yearly for flow in flows if flow.yearly is not None]
    unit = common_unit(amounts, row.energy_kind, ruleset, plant)
    total = metered = Decimal(0)
    unknown: list[str] = []
    for flow in flows:
        value = None if flow.yearly is None else convert(flow.yearly, unit, row.energy_kind, ruleset, plant)
        if value is None:
            unknown.append(flow.id)
            continue
        total += value
        metered += value if fitted.on_flow.get(flow.id) else 0
    is_known = bool(flows) and not unknown and total > 0
    return ShareRow(
        ruleset=ruleset.ruleset.id,
        level=row.level,
        energy_kind=row.energy_kind,
        total=total if is_known else None,
        metered=metered if is_known else None,
        unit=unit,
        share=Fraction(metered) / Fraction(total) if is_known else None,
        required=row.percent,
        clauses=(f"{ruleset.ruleset.id} {row.clause}",),
        confidence=row.confidence,
        unknown=tuple(unknown),
    )

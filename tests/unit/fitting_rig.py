"""Small plants to evaluate: an inventory in a few lines, the ruleset of 2006 as shipped, and the counts of a row."""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

from gateway.fitting.evaluate import evaluate
from gateway.fitting.evidence import Evidence, window_before
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.model import Inventory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.fitting.outcome import Judged, Outcome, Row, ShareRow
    from gateway.fitting.ruleset import Ruleset

AS_OF = date(2026, 11, 15)
WINDOW = window_before(AS_OF)
"""October 2026."""
CATEGORIES = {
    "electricity": "electricity_meter",
    "coal": "weighing",
    "coke": "weighing",
    "refined_oil": "oil_flow_meter",
    "heavy_oil": "oil_flow_meter",
    "lpg": "gas_flow_meter",
    "natural_gas": "gas_flow_meter",
    "coal_gas": "gas_flow_meter",
    "steam": "steam_flow_meter",
    "hot_water": "heat_meter",
    "water": "water_flow_meter",
}
SUPPLY = {"monthly_kwh": "2000000", "transformer_kva": "5000"}
"""User class Ⅱ."""
CLASSES = {"electricity": "0.5", "coal": "0.1", "coke": "0.1", "refined_oil": "0.5", "heavy_oil": "1.0"}
"""Good enough at every level for a user of class Ⅱ; 1.0 for whatever is not named."""


@cache
def shipped(name: str = "GB17167-2006") -> Ruleset:
    return Rulesets([]).get(name)


def unit(id_: str, parent: str = "", role: str = "accounting", **yearly: str) -> dict[str, Any]:
    """Return a unit; yearly: what it uses of a kind, declared."""
    amounts = [{"energy_kind": kind, "yearly": text} for kind, text in yearly.items()]
    return {"id": id_, "name": id_, "parent": parent, "role": role, "amounts": amounts}


def process(id_: str, parent: str = "") -> dict[str, Any]:
    return unit(id_, parent, "process")


def machine(id_: str, where: str = "", **rated: str) -> dict[str, Any]:
    """Return equipment; rated: kind -> amount at the rated load, "" where nobody knows it."""
    amounts = [{"energy_kind": kind, "rated": text} for kind, text in rated.items()]
    return {"id": id_, "name": id_, "unit": where, "amounts": amounts}


def flow(id_: str, ends: str, kind: str, amount: str = "", **more: Any) -> dict[str, Any]:
    """Return a flow; ends: "from>to". amount: of a year, or a rated one if it is an hour's or a power."""
    from_end, to_end = ends.split(">")
    key = "rated" if amount.endswith(("/h", "W")) else "yearly"
    return {"id": id_, "from": from_end, "to": to_end, "energy_kind": kind, key: amount} | more


def instrument(id_: str, *flows: str, kind: str = "electricity", **more: Any) -> dict[str, Any]:
    """Return an instrument in its period, confirmed, of a class that will do."""
    return {
        "id": id_,
        "name": id_,
        "category": CATEGORIES.get(kind, "other"),
        "flows": list(flows),
        "accuracy_class": CLASSES.get(kind, "1.0"),
        "verifications": [{"on": "2026-03-01", "period_months": 12}],
        "confirmation": {"by": "Li", "on": "2026-03-05"},
    } | more


def instruments(kind: str, *flows: str) -> list[dict[str, Any]]:
    """Return an instrument of its own for each flow."""
    return [instrument(f"m-{one}", one, kind=kind) for one in flows]


def plant(**parts: Any) -> Inventory:
    """Return an inventory of units, equipment, flows, instruments; electricity: facts of its supply."""
    organization = {"name": "plant", "electricity": parts.pop("electricity", SUPPLY)}
    return Inventory.model_validate({"organization": organization} | parts)


def delivered(good: int, expected: int = 1000, **more: Any) -> dict[str, Any]:
    return {"expected": expected, "good": good} | more


def evidence(**by_instrument: Mapping[str, Any]) -> Evidence:
    """Return evidence of October 2026; "_" in a name stands for "-" in the id."""
    found = {name.replace("_", "-"): dict(one) for name, one in by_instrument.items()}
    window = WINDOW.as_json()
    return Evidence.model_validate(window | {"timezone": "Asia/Shanghai", "instruments": found})


def judge(
    inventory: Inventory,
    proof: Evidence | None = None,
    as_of: date = AS_OF,
    ruleset: Ruleset | None = None,
    water: str = "",
) -> Outcome:
    return evaluate(inventory, ruleset or shipped(), shipped(water) if water else None, as_of, proof)


def find(rows: Iterable[Row], kind: str, level: int) -> Row | None:
    found = [row for row in rows if (row.energy_kind, row.level) == (kind, level)]
    assert len(found) <= 1
    return found[0] if found else None


def row(outcome: Outcome, kind: str, level: int) -> Row:
    found = find(outcome.rows, kind, level)
    assert found is not None, (kind, level)
    return found


def counts(outcome: Outcome, kind: str, level: int) -> tuple[int, int]:
    """Return (need, fitted) of a row; (0, 0) where there is none, which says the same."""
    found = find(outcome.rows, kind, level)
    if found is None:
        return 0, 0
    assert found.fitted <= found.need
    assert (found.rate is None) == (found.need == 0)
    return found.need, found.fitted


def needs(outcome: Outcome, kind: str, level: int) -> list[str]:
    """Return the flows that are counted in a row, each as often as it is."""
    found = find(outcome.rows, kind, level)
    return sorted(one.need.flow for one in found.judged if one.counts) if found else []


def exempt(outcome: Outcome, kind: str, level: int) -> list[str]:
    found = find(outcome.rows, kind, level)
    return sorted(one.need.flow for one in found.judged if not one.counts) if found else []


def missing(outcome: Outcome, kind: str, level: int) -> list[str]:
    found = find(outcome.rows, kind, level)
    return sorted(one.need.flow for one in found.judged if one.counts and not one.is_fitted) if found else []


def judged(outcome: Outcome, kind: str, level: int, flow_id: str) -> Judged:
    (one,) = (one for one in row(outcome, kind, level).judged if one.need.flow == flow_id)
    return one


def share(outcome: Outcome, level: int) -> ShareRow:
    (found,) = (one for one in outcome.water_shares if one.level == level)
    return found


def each_once(flows: Iterable[str]) -> bool:
    return max(Counter(flows).values(), default=0) <= 1

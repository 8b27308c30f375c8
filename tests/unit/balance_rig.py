"""Small plants whose balances can be computed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.fitting.balance import Balances, balances
from gateway.fitting.evidence import Evidence
from gateway.fitting.ruleset import Ruleset
from gateway.inventory.model import Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

CITED = {"id": "x", "clause": "x", "source": "test", "confidence": "A"}
RULES = Ruleset.model_validate(
    {
        "ruleset": {"id": "T", "title": "Test", "title_zh": "测试"},
        "proof": {**CITED, "good_percent": "90"},
        "ladder": {
            **CITED,
            "classes": ["0.5", "1"],
            "categories": ["electricity_meter"],
            "equivalents": {"B": "1"},
        },
    }
)
GOOD = {"expected": 100, "good": 100}


def flow(id_: str, from_: str, to: str, kind: str = "electricity", **more: Any) -> dict[str, Any]:
    return {"id": id_, "from": from_, "to": to, "energy_kind": kind, **more}


def meter(id_: str, *flows: str, of_class: str = "1", **more: Any) -> dict[str, Any]:
    verified = [{"on": "2026-01-01", "until": "2030-01-01"}]
    fields = {"category": "electricity_meter", "accuracy_class": of_class, "verifications": verified}
    return {"id": id_, "name": id_, "flows": list(flows), **fields, **more}


def plant(flows: list[dict[str, Any]], meters: list[dict[str, Any]], **tables: Any) -> Inventory:
    return Inventory.model_validate(
        {"organization": {"name": "Plant"}, "flows": flows, "instruments": meters, **tables}
    )


def delivered(amounts: Mapping[str, str | None], **odd: Mapping[str, int]) -> Evidence:
    """Return the evidence of August 2026. odd: id of an instrument -> counts that are not all good."""
    rows = {id_: {**GOOD, "amount": amount, **odd.get(id_, {})} for id_, amount in amounts.items()}
    return Evidence.model_validate({"from": "2026-08-01", "to": "2026-08-31", "instruments": rows})


def balanced(inventory: Inventory, evidence: Evidence, rules: Ruleset = RULES) -> Balances:
    return balances(inventory, rules, evidence)


def bus(amounts: tuple[str, str, str], **tables: Any) -> tuple[Inventory, Evidence]:
    """Return a plant with one feeder in and two out, meters of class 1, and what they counted."""
    flows = [
        flow("in", "outside", "organization"),
        flow("a", "organization", "ua"),
        flow("b", "organization", "ub"),
    ]
    units = [{"id": id_, "name": id_, "role": "accounting"} for id_ in ("ua", "ub")]
    inventory = plant(flows, [meter(f"m-{id_}", id_) for id_ in ("in", "a", "b")], units=units, **tables)
    return inventory, delivered(dict(zip(("m-in", "m-a", "m-b"), amounts, strict=True)))

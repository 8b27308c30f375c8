"""Exemptions that rested on an instrument, with their days: it was removed, another one beside it, own ones, another revision."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from gateway.evidence import exemptions as module
from gateway.evidence.exemptions import InForce, exempted
from gateway.fitting.evaluate import evaluate
from gateway.inventory.model import Inventory
from tests.unit.fitting_rig import flow, machine, process, shipped, unit

if TYPE_CHECKING:
    import pytest

RULES = shipped(), None
FIRST, UNTIL = date(2026, 3, 1), date(2026, 11, 22)
ALWAYS = date.min


def plant(*instruments: dict[str, Any]) -> Inventory:
    """Return a process unit with two feeders and two machines; an instrument "in" is at the boundary."""
    meters = [{"id": "in", "flows": ["in"]}, *instruments]
    return Inventory.model_validate(
        {
            "organization": {"name": "Plant"},
            "units": [unit("shop", electricity="5000000 kWh"), process("house", "shop")],
            "equipment": [
                machine("pump-1", "house", electricity="150 kW"),
                machine("pump-2", "house", electricity="150 kW"),
            ],
            "flows": [
                flow("in", "outside>shop", "electricity"),
                flow("f-1", "shop>house", "electricity"),
                flow("f-2", "shop>house", "electricity"),
                flow("p-1", "house>pump-1", "electricity"),
                flow("p-2", "house>pump-2", "electricity"),
            ],
            "instruments": [{"name": one["id"], "category": "electricity_meter"} | one for one in meters],
        }
    )


def spans(name: str, *plans: InForce) -> list[tuple[str, str, str]]:
    found = exempted(name, plans, RULES, FIRST, UNTIL)
    return [(one.need.flow, one.since.isoformat(), one.until.isoformat()) for one in found]


def central(name: str, flow_: str = "f-1", **more: Any) -> dict[str, Any]:
    return {"id": name, "flows": [flow_]} | more


def test_one_that_was_removed_is_remembered() -> None:
    found = plant(central("e-1", removed="2026-07-15"), central("e-2", "f-2"))
    assert not module.exemptions(evaluate(found, *RULES, UNTIL, None), "e-1")
    whole = [("p-1", "2026-03-01", "2026-07-15"), ("p-2", "2026-03-01", "2026-07-15")]
    assert spans("e-1", InForce(ALWAYS, found)) == whole
    assert spans("e-2", InForce(ALWAYS, found)) == whole, "the unit was not metered as a whole any more"


def test_it_rests_on_the_other_feeder_and_on_nothing_at_the_machine_itself() -> None:
    found = plant(
        central("e-1"),
        central("e-2", "f-2", installed="2026-04-01", removed="2026-06-01"),
        central("e-3", "f-2", installed="2026-08-01"),
        central("own", "p-2", installed="2026-09-01"),
    )
    assert spans("e-1", InForce(ALWAYS, found)) == [
        ("p-1", "2026-04-01", "2026-06-01"),
        ("p-2", "2026-04-01", "2026-06-01"),
        ("p-1", "2026-08-01", "2026-11-22"),
        ("p-2", "2026-08-01", "2026-09-01"),
    ]


def test_each_day_is_of_the_inventory_that_was_gone_by() -> None:
    both = plant(central("e-1"), central("e-2", "f-2"))
    alone = plant(central("e-1"), central("e-2", "f-1"))
    plans = (
        InForce(date(2026, 5, 1), both),
        InForce(date(2026, 6, 10), alone),
        InForce(date(2026, 10, 1), both),
    )
    assert spans("e-1", *plans) == [
        ("p-1", "2026-03-01", "2026-06-10"),
        ("p-2", "2026-03-01", "2026-06-10"),
        ("p-1", "2026-10-01", "2026-11-22"),
        ("p-2", "2026-10-01", "2026-11-22"),
    ]
    without = plant(central("e-2", "f-2"))
    ended = [one[1:] for one in spans("e-1", plans[0], InForce(date(2026, 6, 10), without))]
    assert ended == [("2026-03-01", "2026-06-10")] * 2


def test_only_days_that_change_something_near_are_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[date] = []

    def counted(inventory: Inventory, *more: Any) -> Any:
        asked.append(more[2])
        return evaluate(inventory, *more)

    monkeypatch.setattr(module, "evaluate", counted)
    found = plant(
        central("e-1"),
        central("e-2", "f-2"),
        central("e-3", "in", installed="2026-05-01", removed="2026-05-07"),
        central("own", "p-1", installed="2026-09-01"),
    )
    assert spans("in", InForce(ALWAYS, found)) == []
    assert asked == [], "nothing can rest on one at the boundary"
    assert len(spans("e-1", InForce(ALWAYS, found))) == 2
    assert asked == [FIRST, date(2026, 9, 1)]

"""A small inventory for tests of what the running gateway does with one: an instrument a meter, fitted to a feeder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.inventory.model import Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

VERIFIED = {"on": "2023-01-01", "period_months": 72, "certificate": "C-1", "body": "institute"}


def inventory(*instruments: Mapping[str, Any]) -> Inventory:
    """Return an inventory of instruments named E-1, E-2, …; each on the meter m-001, m-002, … unless it says otherwise."""
    rows = []
    for n, given in enumerate(instruments, 1):
        usual = {
            "id": f"e-{n}",
            "name": f"feeder {n}",
            "category": "electricity_meter",
            "meter": f"m-{n:03d}",
            "flows": [f"f-{n}"],
            "accuracy_class": "0.5S",
            "verifications": [VERIFIED],
        }
        rows.append(usual | dict(given))
    flows = [
        {"id": f"f-{n}", "from": "outside", "to": "organization", "energy_kind": "electricity"}
        for n in range(1, len(instruments) + 1)
    ]
    body = {"organization": {"name": "plant"}, "flows": flows, "instruments": rows}
    return Inventory.model_validate(body)

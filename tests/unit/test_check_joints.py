"""One instrument measures several flows only if nothing goes off between them, also nothing that no flow shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConfigError
from gateway.inventory.reading import from_body

if TYPE_CHECKING:
    from gateway.errors import Finding

KIND = "electricity"


def found(body: dict[str, Any]) -> tuple[Finding, ...]:
    try:
        from_body({"organization": {"name": "x"}, **body}, "x.json")
    except ConfigError as error:
        return tuple(error.findings)
    return ()


def line(*more: dict[str, Any], at: str = "hall", kind: str = KIND, **machine: Any) -> dict[str, Any]:
    """Return outside → hall → sub with one instrument on both, and a machine at a place."""
    units = [
        {"id": "hall", "parent": ""},
        {"id": "sub", "parent": "hall"},
        {"id": "corner", "parent": "hall"},
    ]
    amounts = [{"energy_kind": kind, "rated": "90 kW" if kind == KIND else "1 t/h"}]
    return {
        "units": [one | {"name": one["id"], "role": "accounting"} for one in units],
        "equipment": [{"id": "saw", "name": "saw", "unit": at, "amounts": amounts, **machine}],
        "flows": [
            {"id": "in", "from": "outside", "to": "hall", "energy_kind": KIND},
            {"id": "on", "from": "hall", "to": "sub", "energy_kind": KIND},
            *more,
        ],
        "instruments": [{"id": "m", "name": "m", "category": "electricity_meter", "flows": ["in", "on"]}],
    }


@pytest.mark.parametrize("at", ["hall", "corner"])
def test_equipment_that_takes_between_two_flows_by_none_is_a_branch(at: str) -> None:
    (finding,) = found(line(at=at))
    assert finding.path == "instruments.m.flows"
    assert finding.found == "saw at hall, which takes electricity by no flow of the inventory"
    assert "enter the flow" in finding.suggestion


@pytest.mark.parametrize("at", ["sub", ""])
def test_equipment_elsewhere_takes_nothing_between(at: str) -> None:
    assert found(line(at=at)) == ()


def test_what_takes_another_kind_or_is_shown_by_a_flow_is_no_hidden_branch() -> None:
    assert found(line(kind="water")) == ()
    own = {"id": "own", "from": "outside", "to": "saw", "energy_kind": KIND}
    assert found(line(own)) == ()
    cut = {"id": "cut", "from": "hall", "to": "saw", "energy_kind": KIND, "state": "disconnected"}
    assert found(line(cut)) == ()


def test_a_flow_that_cannot_be_read_may_be_the_one_that_leads_there() -> None:
    body = line({"id": "own", "from": "hall", "to": "saw", "energy_kind": "electrons"})
    assert [one.path for one in found(body)] == ["flows.own.energy_kind"]


def test_an_instrument_that_names_many_flows_costs_no_seconds() -> None:
    names = [f"f-{i}" for i in range(20_000)]
    flows = [{"id": name, "from": "outside", "to": "organization", "energy_kind": KIND} for name in names]
    meter = {"id": "m", "name": "m", "category": "electricity_meter", "flows": names}
    begun = time.process_time()
    assert len(found({"flows": flows, "instruments": [meter]})) == 1
    assert time.process_time() - begun < 5

"""The plant of the benchmark is as large as it says, and one an inventory's checks take."""

from __future__ import annotations

from gateway.fitting.evidence import Evidence
from gateway.inventory.check import check
from gateway.inventory.model import Inventory
from tests.bench import fitting
from tests.unit.fitting_rig import judge


def test_the_plant_of_the_benchmark() -> None:
    body = fitting.inventory()
    inventory = Inventory.model_validate(body)
    assert check(inventory) == []
    assert len(inventory.equipment) == 2000
    assert len(inventory.flows) == 6000
    assert len(inventory.instruments) == 5000
    outcome = judge(inventory, Evidence.model_validate(fitting.evidence(body)), water="GBT24789-2022")
    assert sum(row.need for row in outcome.rows) > 4000
    # Rows of every level, some exempt by central metering, some fitted and not effective: nothing is trivially empty.
    assert {row.level for row in outcome.rows} == {1, 2, 3}
    assert any(one.need.rests_on for row in outcome.rows for one in row.judged)
    assert all(0 < (row.effective or 0) < row.fitted for row in outcome.rows if row.need > 100)

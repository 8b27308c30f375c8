"""Supplier bills: entered, put right, damaged, and compared with the meters by hand-computed figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import MetergateError, StorageError
from gateway.evidence.bill_comparison import Comparison, compare, row
from gateway.evidence.bills import FILE, Bill, Bills, Entered, refuse_unfit
from tests.unit.balance_rig import RULES, bus, delivered, flow, meter, plant

if TYPE_CHECKING:
    from pathlib import Path


def _bill(**fields: Any) -> Bill:
    given = {
        "energy_kind": "electricity",
        "from": "2026-08-01",
        "to": "2026-08-31",
        "amount": "1000 kWh",
        "supplier": "State Grid",
        "number": "8-2026",
        "flows": ["in"],
        "by": "Li",
        "entered_ns": 1,
    }
    return Bill.model_validate(given | fields)


def test_correction_is_a_new_entry_and_the_old_one_stays(tmp_path: Path) -> None:
    bills = Bills(tmp_path)
    first = bills.enter(_bill())
    with pytest.raises(MetergateError, match="--replaces 1"):
        bills.enter(_bill(amount="1100 kWh"))
    second = bills.enter(_bill(amount="1100 kWh", replaces=1, why="typing error"))
    assert [one.number for one in bills.all()] == [1, 2]
    assert bills.all()[0].replaced_by == 2
    assert [str(one.bill.amount) for one in bills.standing()] == ["1100 kWh"]
    assert first.digest != second.digest
    with pytest.raises(MetergateError, match="replace that one"):
        bills.enter(_bill(number="x", replaces=1))
    with pytest.raises(MetergateError, match="no entry 7"):
        bills.enter(_bill(number="x", replaces=7))


def test_tampered_bills_are_told(tmp_path: Path) -> None:
    bills = Bills(tmp_path)
    bills.enter(_bill())
    bills.enter(_bill(number="9-2026"))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"1000 kWh", b"1001 kWh", 1))
    with pytest.raises(StorageError, match="line 1 is damaged"):
        bills.standing()
    with pytest.raises(StorageError, match="line 1 is damaged"):
        bills.enter(_bill(number="10-2026"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"flows": ["a"]}, 'flow "a" is no electricity over the boundary; there are: in'),
        ({"flows": ["x"]}, 'flow "x" is not in the inventory'),
        ({"energy_kind": "water"}, "is no water over the boundary"),
        ({"to": "2026-07-31"}, "is before --from"),
    ],
)
def test_bill_that_does_not_fit_the_inventory(fields: dict[str, Any], said: str) -> None:
    inventory, _ = bus(("1 kWh", "1 kWh", "0 kWh"))
    with pytest.raises(MetergateError, match=said):
        refuse_unfit(_bill(**fields), inventory)


def test_bill_of_both_directions() -> None:
    inventory = plant([flow("in", "outside", "organization"), flow("out", "organization", "outside")], [])
    with pytest.raises(MetergateError, match="enter two"):
        refuse_unfit(_bill(flows=["in", "out"]), inventory)


def _compared(metered: str | None, **fields: Any) -> Comparison:
    inventory = plant([flow("in", "outside", "organization")], [meter("m", "in", of_class="0.5S")])
    return compare(Entered(1, "x", _bill(**fields)), inventory, RULES, delivered({"m": metered}))


def test_comparison_by_hand() -> None:
    # U of our meter alone: 1010 · 0.5 % · 2/√3 = 5.831: 10 differs. With the supplier's class 1 (1000 · 1 % · 2/√3 = 11.547):
    # √(5.831² + 11.547²) = 12.936: 10 agrees.
    alone = _compared("1.01 MWh")
    assert (alone.metered, alone.difference, alone.judged) == (1010, 10, "differs")  # type: ignore[comparison-overlap]
    assert f"{alone.uncertainty:.3f}" == "5.831"
    assert f"{alone.percent:.2f}" == "1.00"
    assert "supplier's meter is not known" in alone.doubts[0]
    both = _compared("1010 kWh", supplier_class="1")
    assert f"{both.uncertainty:.3f}" == "12.936"
    assert (both.judged, both.doubts) == ("agrees", ())
    assert row(both)["difference_percent"] == "1.0000"


def test_incomplete_evidence_is_not_judged() -> None:
    assert _compared(None).why == ("instrument m has no amount",)
    assert _compared("1000 kWh", **{"from": "2026-07-01"}).judged is None
    inventory = plant([flow("in", "outside", "organization")], [])
    assert compare(Entered(1, "x", _bill()), inventory, RULES, delivered({})).why == (
        "flow in is not measured",
    )
    gone = compare(Entered(1, "x", _bill()), plant([], []), RULES, delivered({}))
    assert gone.why == ("flow in is not in the inventory any more",)
    assert compare(Entered(1, "x", _bill()), inventory, RULES, None).judged is None

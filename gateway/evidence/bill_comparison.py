"""A supplier's bill against the meters at the boundary, over the same days. Pure but for what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Literal

from gateway.fitting.balance import Side, spread
from gateway.fitting.balance_rows import figure
from gateway.fitting.flow_amounts import FlowAmounts
from gateway.fitting.uncertainty import COVERAGE, DIGITS, PERCENT, RECTANGULAR, class_percent

if TYPE_CHECKING:
    from gateway.evidence.bills import Bill, Entered
    from gateway.fitting.evidence import Evidence
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Inventory


@dataclass(frozen=True, slots=True)
class Comparison:
    """One bill and what the meters counted, in the bill's unit. judged: None: refused, for the reasons in `why`.

    difference: metered - billed. uncertainty: expanded (k = 2), of the difference; without the supplier's meter if its class is
    not known, which `doubts` then says.
    """

    entered: Entered
    metered: Decimal | None
    difference: Decimal | None
    uncertainty: Decimal | None
    judged: Literal["agrees", "differs"] | None
    why: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    @property
    def percent(self) -> Decimal | None:
        """Return the difference in percent of the bill."""
        billed = _billed(self.entered.bill)
        return None if self.difference is None or not billed else self.difference / billed * PERCENT


def compare(
    entered: Entered, inventory: Inventory, ruleset: Ruleset, evidence: Evidence | None
) -> Comparison:
    """Return how a bill stands against the meters. evidence: of the days of the bill, None if nothing is known of them."""
    bill = entered.bill
    if evidence is None:
        return Comparison(entered, None, None, None, None, ("the history has nothing of these days",))
    if evidence.window != bill.window:
        said = (
            f"the evidence is of {evidence.first} to {evidence.last}, the bill of {bill.first} to {bill.last}"
        )
        return Comparison(entered, None, None, None, None, (said,))
    flows = {flow.id: flow for flow in inventory.flows}
    missing = [id_ for id_ in bill.flows if id_ not in flows]
    if missing:
        said = f"flow {', '.join(missing)} is not in the inventory any more"
        return Comparison(entered, None, None, None, None, (said,))
    with localcontext() as context:
        context.prec = DIGITS
        return _compared(
            entered, [flows[id_] for id_ in bill.flows], FlowAmounts(inventory, evidence, ruleset)
        )


def _compared(entered: Entered, flows: list[Any], amounts: FlowAmounts) -> Comparison:
    bill = entered.bill
    assert bill.amount is not None  # a bill without one is refused when it is entered
    unit, billed = bill.amount.unit, bill.amount.value
    found = [amounts.of(flow) for flow in flows]
    why = [text.en for one in found for text in one.why]
    doubts = [text.en for one in found for text in one.doubts]
    sides = [Side(one.flow, True, one, one.value(unit)) for one in found]
    why += [
        f"flow {side.flow} is not in a unit that converts to {unit}"
        for side in sides
        if side.amount.is_known and side.value is None
    ]
    values = [side.value for side in sides if side.value is not None]
    metered = sum(values, Decimal(0)) if len(values) == len(sides) else None
    difference = None if metered is None else metered - billed
    own = None if metered is None else spread(sides, unit)
    supplier = _of_supplier(bill, billed)
    if supplier is None:
        doubts.append(
            "the class of the supplier's meter is not known: the uncertainty is of our meters alone"
        )
    uncertainty = None if own is None else (own**2 + (supplier or Decimal(0)) ** 2).sqrt()
    judged: Literal["agrees", "differs"] | None = None
    if not why and difference is not None and uncertainty is not None:
        judged = "differs" if abs(difference) > uncertainty else "agrees"
    return Comparison(
        entered,
        metered,
        difference,
        uncertainty,
        judged,
        tuple(dict.fromkeys(why)),
        tuple(dict.fromkeys(doubts)),
    )


def _billed(bill: Bill) -> Decimal | None:
    return None if bill.amount is None else bill.amount.value


def _of_supplier(bill: Bill, billed: Decimal) -> Decimal | None:
    """Return the expanded uncertainty of the supplier's meter, None if its class is not known."""
    percent = class_percent(bill.supplier_class)
    return None if percent is None else COVERAGE * billed * percent / PERCENT / RECTANGULAR.sqrt()


def bill_row(entered: Entered) -> dict[str, Any]:
    """Return a bill as JSON."""
    body = entered.bill.model_dump(mode="json", by_alias=True)
    return {
        "entry": entered.number,
        "digest": entered.digest,
        "replaced_by": entered.replaced_by or None,
    } | body


def row(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON; figures in the unit of the bill."""
    percent = found.percent
    return bill_row(found.entered) | {
        "metered": figure(found.metered),
        "difference": figure(found.difference),
        "difference_percent": None if percent is None else f"{percent:.4f}",
        "uncertainty": figure(found.uncertainty),
        "judged": found.judged,
        "why_not_judged": list(found.why),
        "doubts": list(found.doubts),
    }

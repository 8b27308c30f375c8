"""Energy balance (能量平衡): what comes in less what goes out, where flows of one kind meet, against its uncertainty. Pure.

Contract: docs/specs/balance.md. A balance is judged only if every flow there is measured and its readings are whole: what an
unmetered consumer takes is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Literal

from gateway.fitting.flow_amounts import FlowAmount, FlowAmounts
from gateway.fitting.grounds import Words
from gateway.fitting.places import Places
from gateway.fitting.uncertainty import DIGITS, PERCENT, expanded
from gateway.inventory.model import ORGANIZATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.fitting.evidence import Evidence, Window
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Flow, Inventory

Verdict = Literal["balanced", "flagged"]


@dataclass(frozen=True, slots=True)
class Side:
    """One flow at a place. value: amount in the balance's unit, None if it is not known."""

    flow: str
    is_in: bool
    amount: FlowAmount
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Balance:
    """One place and energy kind. judged: None: refused, for the reasons in `why`. Figures are exact, None where not known.

    loss: declared, of the intake. residual: in - out - loss. uncertainty: expanded, of the residual. difference_uncertainty: of
    in - out.
    """

    place: str
    energy_kind: str
    unit: str
    sides: tuple[Side, ...]
    taken: Decimal | None
    given: Decimal | None
    loss_percent: Decimal
    loss: Decimal | None
    residual: Decimal | None
    uncertainty: Decimal | None
    difference_uncertainty: Decimal | None
    judged: Verdict | None
    why: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    why_zh: tuple[str, ...] = ()
    doubts_zh: tuple[str, ...] = ()

    @property
    def difference(self) -> Decimal | None:
        """Return in - out."""
        return None if self.taken is None or self.given is None else self.taken - self.given

    @property
    def percent(self) -> Decimal | None:
        """Return in - out as percent of the intake."""
        difference = self.difference
        return None if difference is None or not self.taken else difference / self.taken * PERCENT


@dataclass(frozen=True, slots=True)
class Balances:
    """Every balance of an inventory in a window."""

    window: Window
    rows: tuple[Balance, ...]

    @property
    def flagged(self) -> tuple[Balance, ...]:
        """Return those that do not balance."""
        return tuple(row for row in self.rows if row.judged == "flagged")


def balances(inventory: Inventory, ruleset: Ruleset, evidence: Evidence) -> Balances:
    """Return the balance of every place in which a kind of energy both arrives and goes on, in the order of the inventory."""
    places = Places(inventory)
    amounts = FlowAmounts(inventory, evidence, ruleset)
    ids = [ORGANIZATION, *(one.id for one in inventory.units), *(one.id for one in inventory.equipment)]
    rows = []
    for place in ids:
        for kind in places.passing(place):
            rows.append(_balance(places, amounts, place, kind))
    return Balances(evidence.window, tuple(rows))


def _balance(places: Places, amounts: FlowAmounts, place: str, kind: str) -> Balance:
    pairs = [
        *((flow, True) for flow in places.ins(place, kind)),
        *((flow, False) for flow in places.outs(place, kind)),
    ]
    why = list(places.unseen(place, kind))
    found: list[tuple[Flow, bool, FlowAmount]] = []
    for flow, is_in in pairs:
        amount = amounts.of(flow)
        if flow.state == "disconnected":
            if any(share.amount.value for share in amount.shares):
                why.append(
                    Words(
                        f"flow {flow.id} is disconnected, yet its instrument counted",
                        f"流向 {flow.id} 已断开, 其器具仍有计量",
                    )
                )
            continue
        found.append((flow, is_in, amount))
        why += amount.why
    unit = next((amount.shares[0].amount.unit for _, _, amount in found if amount.shares), "")
    with localcontext() as context:
        context.prec = DIGITS
        sides = tuple(Side(flow.id, is_in, amount, amount.value(unit)) for flow, is_in, amount in found)
        why += [*_unlike(sides, unit), *_together(sides)]
        return _judged(place, kind, unit, sides, places.loss_percent(place, kind), why)


def _unlike(sides: Iterable[Side], unit: str) -> Iterable[Words]:
    for side in sides:
        if side.amount.is_known and side.value is None:
            other = next(share.amount.unit for share in side.amount.shares if share.amount.to(unit) is None)
            yield Words(
                f"flow {side.flow} is in {other}, which does not convert to {unit}",
                f"流向 {side.flow} 的单位为 {other}, 不能换算为 {unit}",
            )


def _together(sides: Iterable[Side]) -> Iterable[Words]:
    """Yield which instrument measures several flows of one side: what each of them carried is not known."""
    seen: dict[tuple[bool, str], str] = {}
    for side in sides:
        for share in side.amount.shares:
            other = seen.setdefault((side.is_in, share.instrument), side.flow)
            if other != side.flow:
                yield Words(
                    f"instrument {share.instrument} measures flows {other} and {side.flow} together: their parts are not known",
                    f"器具 {share.instrument} 合计计量流向 {other} 和 {side.flow}, 各自多少不详",
                )


def _judged(
    place: str, kind: str, unit: str, sides: tuple[Side, ...], loss_percent: Decimal, why: list[Words]
) -> Balance:
    taken = _sum([side.value for side in sides if side.is_in])
    given = _sum([side.value for side in sides if not side.is_in])
    loss = None if taken is None else taken * loss_percent / PERCENT
    residual = None if taken is None or given is None or loss is None else taken - given - loss
    uncertainty = None if residual is None else spread(sides, unit, 1 - loss_percent / PERCENT)
    of_difference = None if residual is None else spread(sides, unit)
    if not any(side.is_in for side in sides) or all(side.is_in for side in sides):
        why.append(Words("only disconnected flows lead to it or from it", "其输入或输出流向均已断开"))
    judged: Verdict | None = None
    doubts = [doubt for side in sides for doubt in side.amount.doubts]
    if not why and taken is not None and given is not None and residual is not None:
        judged = _verdict(taken - given, of_difference, residual, uncertainty)
        if judged == "balanced" and uncertainty is not None and residual < -uncertainty:
            doubts.append(
                Words(
                    f"less is lost than the {loss_percent:f} % declared", f"损耗少于申报的 {loss_percent:f} %"
                )
            )
    return Balance(
        place,
        kind,
        unit,
        sides,
        taken,
        given,
        loss_percent,
        loss,
        residual,
        uncertainty,
        of_difference,
        judged,
        tuple(dict.fromkeys(one.en for one in why)),
        tuple(dict.fromkeys(one.en for one in doubts)),
        tuple(dict.fromkeys(one.zh for one in why)),
        tuple(dict.fromkeys(one.zh for one in doubts)),
    )


def _verdict(
    difference: Decimal, of_difference: Decimal | None, residual: Decimal, of_residual: Decimal | None
) -> Verdict | None:
    """Return whether more is gone than was declared lost, or more goes out than comes in; None where no uncertainty is known.

    A declared loss only ever allows for a difference: it never makes one.
    """
    if of_difference is None or of_residual is None:
        return None
    return "flagged" if residual > of_residual or difference < -of_difference else "balanced"


def spread(sides: Iterable[Side], unit: str, intake: Decimal = Decimal(1)) -> Decimal | None:
    """Return the expanded uncertainty of a sum of flows, None if a class is not known.

    intake: factor of what comes in (less than 1 where a part of it is declared lost); what goes out has -1.
    """
    factors: dict[str, Decimal] = {}
    errors: dict[str, tuple[Decimal, Decimal]] = {}
    for side in sides:
        for share in side.amount.shares:
            value = share.amount.to(unit)
            if value is None or share.accuracy.variance is None:
                return None
            factor = intake if side.is_in else Decimal(-1)
            factors[share.instrument] = factors.get(share.instrument, Decimal(0)) + factor
            errors[share.instrument] = value, share.accuracy.variance
    return expanded(factors, errors)


def _sum(values: Sequence[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(values) else None

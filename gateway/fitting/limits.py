"""Amounts against the limits of a ruleset: who is a main unit, who is main equipment. Pure.

Kinds are never summed. An amount that is unknown, or in a unit that does not convert, makes a verdict unknown unless
what is known already reaches the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.fitting.outcome import Owner, Reach
from gateway.inventory.values import Measured

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.fitting.outcome import Verdict
    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Limit, Ruleset
    from gateway.inventory.model import Equipment, Flow, KindAmount, Unit


@dataclass(frozen=True, slots=True)
class Sum:
    """What is known of an amount, in the unit of its limit. missing: ids of what is not known."""

    how: str
    total: Decimal
    missing: tuple[str, ...] = ()


class Limits:
    """The limits of a ruleset on one day, and the verdicts they give over a plant."""

    def __init__(self, plant: Plant, ruleset: Ruleset) -> None:
        """plant: on the day that the ruleset is asked for."""
        self._plant = plant
        self._ruleset = ruleset
        self._limits: dict[tuple[int, str], Limit] = {
            (row.level, kind): row
            for row in ruleset.limits
            if ruleset.holds(row, plant.on)
            for kind in row.energy_kinds
        }

    def limit(self, level: int, energy_kind: str) -> Limit | None:
        """Return the limit of an energy kind at a level, None if there is none."""
        return self._limits.get((level, energy_kind))

    def units(self) -> list[Owner]:
        """Return every accounting unit with its verdict, in the order of the inventory."""
        kinds: dict[str, set[str]] = {unit: set() for unit in self._plant.units}
        for crossing in (self._plant.inflows, self._plant.outflows, self._plant.produced):
            for end, kind in crossing:
                if end in kinds:
                    kinds[end].add(kind)
        for end, inside in self._plant.inside.items():
            kinds[end] |= {amount.energy_kind for one in inside for amount in one.amounts}
        return [
            self._unit(unit, kinds[unit.id] | {amount.energy_kind for amount in unit.amounts})
            for unit in self._plant.inventory.units
            if unit.role == "accounting"
        ]

    def equipment(self) -> list[Owner]:
        """Return every piece of equipment with its verdict, in the order of the inventory."""
        kinds: dict[str, set[str]] = {one: set() for one in self._plant.equipment}
        for end, kind in self._plant.inflows:
            if end in kinds:
                kinds[end].add(kind)
        return [self._equipment(one, kinds[one.id]) for one in self._plant.inventory.equipment]

    def _unit(self, unit: Unit, kinds: Iterable[str]) -> Owner:
        every = self._ruleset.choice("unit_main") == "every"
        reaches = tuple(self._reach(2, kind, self._of_unit(unit, kind), every) for kind in _sorted(kinds))
        return _owner(unit.id, 2, reaches)

    def _equipment(self, one: Equipment, kinds: set[str]) -> Owner:
        plant = self._plant
        listed = {
            amount.energy_kind
            for amount in one.amounts
            if (one.id, amount.energy_kind) not in plant.ever_into or amount.energy_kind in kinds
        }
        every = self._ruleset.choice("equipment_main") == "every"
        reaches = tuple(
            self._reach(3, kind, self._of_equipment(one, kind), every) for kind in _sorted(kinds | listed)
        )
        return _owner(one.id, 3, reaches)

    def _reach(self, level: int, kind: str, sums: Sequence[Sum], every: bool) -> Reach:
        limit = self.limit(level, kind)
        if limit is None:
            return Reach(kind, "every" if every else "no_limit")
        measure = limit.rated or limit.yearly
        assert measure is not None
        clause = f"{self._ruleset.ruleset.id} {limit.clause}"
        best = max(sums, key=lambda one: one.total, default=None)
        missing = tuple(dict.fromkeys(name for one in sums for name in one.missing))
        verdict: Verdict = "below"
        if every:
            verdict = "every"
        elif best is not None and best.total >= measure.value:
            verdict = "reached"
        elif missing or best is None:
            verdict = "unknown"
        known = best is not None and (best.total > 0 or not best.missing)
        return Reach(
            energy_kind=kind,
            verdict=verdict,
            amount=f"{best.total:f} {measure.unit}" if known and best is not None else "",
            limit=str(measure),
            clause=clause,
            how=best.how if known and best is not None else "",
            missing=() if verdict == "reached" else missing,
        )

    def _of_unit(self, unit: Unit, kind: str) -> list[Sum]:
        limit = self.limit(2, kind)
        if limit is None:
            return []
        plant, key = self._plant, (unit.id, kind)
        amount = next((one for one in unit.amounts if one.energy_kind == kind), None)
        used = None if amount is None else self._of(amount, limit, kind)
        candidates = {"inflows": plant.inflows, "outflows": plant.outflows, "production": plant.produced}
        if (
            used is not None
        ):  # what it uses is declared; what it brings forth or passes on still counts beside
            del candidates["inflows"]
        sums = [
            self._sum(how, [(flow.id, flow) for flow in flows[key]], limit, kind)
            for how, flows in candidates.items()
            if flows.get(key)
        ]
        if used is not None:
            return [Sum("declared", used), *sums]
        inside = ((one.id, _amount(one, kind)) for one in plant.inside.get(unit.id, []))
        machines = [(name, found) for name, found in inside if found is not None]
        if machines and limit.rated is not None:
            load = self._sum("equipment", machines, limit, kind)
            # Where feeders tell the load, a machine without a figure adds no doubt; what is known may still reach the limit.
            sums.append(Sum("equipment", load.total) if plant.inflows.get(key) else load)
        if amount is not None and not sums:
            return [Sum("declared", Decimal(0), (unit.id,))]
        return sums

    def _of_equipment(self, one: Equipment, kind: str) -> list[Sum]:
        limit = self.limit(3, kind)
        if limit is None:
            return []
        amount = _amount(one, kind)
        value = None if amount is None else self._of(amount, limit, kind)
        if value is not None:
            return [Sum("declared", value)]
        flows = self._plant.inflows.get((one.id, kind), [])
        if flows:
            return [self._sum("inflows", [(flow.id, flow) for flow in flows], limit, kind)]
        return [Sum("declared", Decimal(0), (one.id,))]

    def _sum(self, how: str, parts: Sequence[tuple[str, KindAmount | Flow]], limit: Limit, kind: str) -> Sum:
        """Return what parts amount to. A rated load in hot standby takes the place of another, it is not added to it."""
        total = reserve = Decimal(0)
        missing = []
        for name, amount in parts:
            value = self._of(amount, limit, kind)
            if value is None:
                missing.append(name)
            elif limit.rated is not None and getattr(amount, "state", "in_use") == "standby":
                reserve = max(reserve, value)
            else:
                total += value
        return Sum(how, max(total, reserve), tuple(missing))

    def _of(self, amount: KindAmount | Flow, limit: Limit, kind: str) -> Decimal | None:
        """Return an amount in the unit of the limit, None if it is unknown or does not convert."""
        measure = limit.rated or limit.yearly
        given = amount.rated if limit.rated is not None else amount.yearly
        assert measure is not None
        return None if given is None else convert(given, measure.unit, kind, self._ruleset, self._plant)


def convert(given: Measured, unit: str, kind: str, ruleset: Ruleset, plant: Plant) -> Decimal | None:
    """Return an amount in another unit, also by an equivalent of the ruleset, read either way; None if nothing leads there."""
    direct = given.to(unit)
    if direct is not None:
        return direct
    for row in ruleset.equivalents:
        if kind not in row.energy_kinds or not ruleset.holds(row, plant.on) or row.equals is None:
            continue
        one = Measured(Decimal(1), row.unit)
        for known, wanted in ((one, row.equals), (row.equals, one)):
            base, value = given.to(known.unit), wanted.to(unit)
            if base is not None and value is not None:
                return base * value / known.value
    return None


def common_unit(amounts: Iterable[Measured], kind: str, ruleset: Ruleset, plant: Plant) -> str:
    """Return the unit of one of some amounts that most of them convert to, "" without amounts; their order says nothing."""
    known = list(amounts)

    def lost(unit: str) -> tuple[int, str]:
        return sum(1 for one in known if convert(one, unit, kind, ruleset, plant) is None), unit

    return min({one.unit for one in known}, key=lost, default="")


def _amount(one: Equipment, kind: str) -> KindAmount | None:
    return next((amount for amount in one.amounts if amount.energy_kind == kind), None)


def _owner(name: str, level: int, reaches: tuple[Reach, ...]) -> Owner:
    verdicts = {one.verdict for one in reaches}
    certain = bool(verdicts & {"reached", "every"})
    unknown = not certain and "unknown" in verdicts
    return Owner(name, level, certain or unknown, unknown, reaches)


def _sorted(kinds: Iterable[str]) -> list[str]:
    return sorted(kinds)

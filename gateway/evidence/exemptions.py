"""The exemptions by central metering that rested on an instrument, day by day over a span. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from gateway.fitting.evaluate import evaluate
from gateway.fitting.plant import Plant
from gateway.inventory.validity import doubts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.fitting.outcome import Need, Outcome
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Instrument, Inventory

DAY = timedelta(days=1)


class Exempted(NamedTuple):
    """A need that was waived from `since` up to, not including, `until`."""

    need: Need
    since: date
    until: date


class InForce(NamedTuple):
    """An inventory and the first day it is gone by."""

    since: date
    inventory: Inventory


def exempted(
    name: str, plans: Sequence[InForce], rulesets: tuple[Ruleset, Ruleset | None], first: date, until: date
) -> list[Exempted]:
    """Return what rested on an instrument from a day up to another, itself excluded, in order of time.

    plans: by day; before the first of them that one is gone by. It is evaluated on the first day and on each on which something
    changes that central metering stands on. Raises MetergateError.
    """
    found: list[Exempted] = []
    going: dict[Need, date] = {}
    for on, inventory in _looks(name, plans, rulesets, first, until):
        found_now = [] if inventory is None else exemptions(evaluate(inventory, *rulesets, on, None), name)
        now = dict.fromkeys(
            replace(need, kept=False) for need in found_now
        )  # which one is kept counts nothing here
        for need in [need for need in going if need not in now]:
            found.append(Exempted(need, going.pop(need), on))
        for need in now:
            going.setdefault(need, on)
    found += [Exempted(need, since, until) for need, since in going.items()]
    return sorted(found, key=lambda one: (one.since, one.need.level, one.need.energy_kind, one.need.flow))


def exemptions(outcome: Outcome, instrument: str) -> list[Need]:
    """Return the needs that were waived by central metering that rests on an instrument, each once."""
    rows = (*outcome.rows, *outcome.water_rows)
    needs = (one.need for row in rows for one in row.judged)
    return list(dict.fromkeys(need for need in needs if need.exempt and instrument in need.rests_on))


def _looks(
    name: str, plans: Sequence[InForce], rulesets: tuple[Ruleset, Ruleset | None], first: date, until: date
) -> Iterator[tuple[date, Inventory | None]]:
    """Yield the days to evaluate, and the inventory; None from where on nothing can rest on the instrument."""
    for number, plan in enumerate(plans):
        begin = first if number == 0 else max(plan.since, first)
        end = until if number + 1 == len(plans) else min(plans[number + 1].since, until)
        if begin >= end:
            continue
        near = _near(name, plan.inventory)
        if not near:
            yield begin, None
            continue
        changes = {day for one in near for day in _changes(one, rulesets, end)}
        changes |= {day for rules in rulesets if rules is not None for day in _rows_change(rules)}
        for on in sorted({begin, *(day for day in changes if begin < day < end)}):
            yield on, plan.inventory


def _near(name: str, inventory: Inventory) -> list[Instrument]:
    """Return the instruments that decide with one whether its process units are metered, and what in them has an own one."""
    flows = {flow for one in inventory.instruments if one.id == name for flow in one.flows}
    plant = Plant(inventory, date.min)
    decisive: set[str] = set()
    for (end, kind), inflows in plant.inflows.items():
        is_process = end in plant.units and plant.units[end].role != "accounting"
        if not is_process or flows.isdisjoint(flow.id for flow in inflows):
            continue
        decisive |= {flow.id for flow in inflows}
        for machine in plant.inside[end]:
            decisive |= {flow.id for flow in plant.inflows.get((machine.id, kind), ())}
    return [one for one in inventory.instruments if not decisive.isdisjoint(one.flows)]


def _changes(one: Instrument, rulesets: tuple[Ruleset, Ruleset | None], until: date) -> Iterator[date]:
    """Yield the days on which an instrument begins to count or ceases to."""
    yield from (day for day in (one.installed, one.removed) if day is not None)
    if any(rules is not None and rules.choice("expired_instruments") == "do_not_count" for rules in rulesets):
        for doubt in doubts(one, until):
            yield from (day for day in (doubt.since, doubt.until) if day is not None)


def _rows_change(rules: Ruleset) -> Iterator[date]:
    """Yield the days on which a row comes into force or has ceased to be."""
    for row in (*rules.limits, *rules.rates, *rules.notes):
        yield from (day for day in (row.valid_from,) if day is not None)
        yield from (day + DAY for day in (row.valid_to,) if day is not None)

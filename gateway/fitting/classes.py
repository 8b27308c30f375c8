"""Accuracy classes: which one a row of the ruleset demands, which one an instrument has, and whether that is enough. Pure."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import ClassRow, Ruleset, UserClass
    from gateway.inventory.model import Electricity, Instrument

CHAIN_PARTS = frozenset({"sensor", "transmitter", "computer"})
"""Parts whose errors add up to the class of a chain; those of current and voltage transformers enter its uncertainty instead."""


class Demand(NamedTuple):
    """The least accurate class allowed, "" if none is demanded. clause: where that is written.

    unknown: one is demanded, but which follows from this fact, which nobody has entered; "" if all is known.
    """

    accuracy_class: str = ""
    clause: str = ""
    unknown: str = ""


class Stated(NamedTuple):
    """The class of an instrument. text: as shown, "" if unknown."""

    text: str = ""
    value: Decimal | None = None
    is_s: bool = False


class Classes:
    """The class tables of a ruleset on one day for one organisation. user_class: of its incoming electricity, "" if unknown."""

    def __init__(self, plant: Plant, ruleset: Ruleset) -> None:
        """plant: on the day that is asked for."""
        self._ruleset = ruleset
        self._rows = [row for row in ruleset.classes if ruleset.holds(row, plant.on)]
        users = [row for row in ruleset.user_classes if ruleset.holds(row, plant.on)]
        self.user_class = _user_class(users, plant.inventory.organization.electricity)

    def demand(self, instrument: Instrument, energy_kind: str, level: int) -> Demand:
        """Return which class the ruleset demands of an instrument on a flow of that kind at that level."""
        unknown = ""
        for row in self._rows:
            if not _fits(row, instrument, energy_kind, level):
                continue
            lacks = self._lacks(row, instrument)
            if lacks is None:
                continue
            if not lacks:
                clause = f"{self._ruleset.ruleset.id} {row.clause}"
                return Demand(self._stepped(row.accuracy_class, instrument, level), clause)
            unknown = unknown or lacks
        return Demand(unknown=unknown)

    def _lacks(self, row: ClassRow, instrument: Instrument) -> str | None:
        """Return which fact is missing to tell whether a row holds, "" if it does, None if it does not."""
        dn_mm = instrument.dn_mm
        if row.weighing and instrument.weighing != row.weighing:
            return None if instrument.weighing else "weighing"
        if dn_mm is None:
            if row.dn_min_mm is not None or row.dn_max_mm is not None:
                return "dn_mm"
        elif (row.dn_min_mm is not None and dn_mm <= row.dn_min_mm) or (
            row.dn_max_mm is not None and dn_mm > row.dn_max_mm
        ):
            return None
        if row.user_classes and self.user_class not in row.user_classes:
            return None if self.user_class else "organization.electricity"
        return ""

    def _stepped(self, demanded: str, instrument: Instrument, level: int) -> str:
        """Return a class as many steps down the ladder as the level allows, no further than its end."""
        ladder = self._ruleset.ladder
        if ladder is None or instrument.category not in ladder.categories:
            return demanded
        steps = ladder.steps_down.get(str(level), 0)
        if not steps:
            return demanded
        keys = [_key(self.read(one)) for one in ladder.classes]
        key = _key(self.read(demanded))
        if key not in keys:
            return demanded
        return ladder.classes[min(keys.index(key) + steps, len(keys) - 1)]

    def stated(self, instrument: Instrument) -> Stated:
        """Return the class of an instrument: of its certificate; else of its chain, by root sum of squares."""
        if instrument.accuracy_class:
            return self.read(instrument.accuracy_class)
        parts = [self.read(one.accuracy_class) for one in instrument.chain if one.part in CHAIN_PARTS]
        values = [part.value for part in parts if part.value is not None]
        if not parts or len(values) < len(parts):
            return Stated()
        with localcontext() as context:
            context.prec = 28
            value = sum((one * one for one in values), Decimal(0)).sqrt()
        return Stated(f"{value:.3g}" if len(values) > 1 else parts[0].text, value)

    def is_enough(self, stated: Stated, demanded: str) -> bool:
        """Return whether a class is at least as accurate as the one demanded; an unknown one is not."""
        return stated.value is not None and _key(stated) <= _key(self.read(demanded))

    def read(self, text: str) -> Stated:
        """Return a class as it is compared; letters by the equivalents of the ruleset, unknown without one."""
        ladder = self._ruleset.ladder
        if text and not text[0].isdigit():
            found = "" if ladder is None else ladder.equivalents.get(text, "")
            return self.read(found)._replace(text=f"{text} ({found})") if found else Stated(text)
        if not text:
            return Stated()
        return Stated(text, Decimal(text.removesuffix("S")), text.endswith("S"))


def _key(stated: Stated) -> tuple[Decimal, bool]:
    """Return what classes are ordered by, the most accurate first: 0.5S before 0.5."""
    assert stated.value is not None
    return stated.value, not stated.is_s


def _fits(row: ClassRow, instrument: Instrument, energy_kind: str, level: int) -> bool:
    """Return whether a row speaks of such an instrument, as far as facts go that are always known."""
    conditions: Sequence[bool] = (
        instrument.category in row.categories,
        not row.energy_kinds or energy_kind in row.energy_kinds,
        not row.levels or level in row.levels,
        not row.current or instrument.current == row.current,
        not row.purpose or instrument.purpose == row.purpose,
    )
    return all(conditions)


def _user_class(rows: Sequence[UserClass], facts: Electricity) -> str:
    """Return the first user class of which a stated condition holds, "" if the facts name none."""
    return next((row.user_class for row in rows if _is_of(row, facts)), "")


def _is_of(row: UserClass, facts: Electricity) -> bool:
    if row.phases is not None and facts.phases == row.phases:
        return True
    monthly = facts.monthly_kwh
    if row.monthly_kwh_min is not None and monthly is not None and monthly >= row.monthly_kwh_min:
        return True
    kva = facts.transformer_kva
    if kva is None or (
        row.high_voltage_billed is not None and row.high_voltage_billed != facts.high_voltage_billed
    ):
        return False
    if row.transformer_kva_min is not None and kva >= row.transformer_kva_min:
        return True
    return row.transformer_kva_below is not None and kva < row.transformer_kva_below

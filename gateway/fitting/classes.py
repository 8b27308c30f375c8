"""Accuracy classes: which one a row of the ruleset demands, which one an instrument has, and whether that is enough. Pure."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, localcontext
from typing import TYPE_CHECKING, NamedTuple

from gateway.fitting.categories import category_for, is_unnamed
from gateway.fitting.result import PLACES

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
        self.user_class, self._unknown = _user_class(users, plant.inventory.organization.electricity)

    def demand(
        self, instrument: Instrument, energy_kind: str, level: int, *, is_outward: bool = False
    ) -> Demand:
        """Return which class the ruleset demands of an instrument on a flow of that kind at that level.

        is_outward: whether the flow leaves the organisation.
        """
        if is_unnamed(instrument) and self._speaks_of(category_for(energy_kind)):
            return Demand(unknown="category")
        unknown = ""
        for row in self._rows:
            if not _fits(row, instrument, energy_kind, level, is_outward=is_outward):
                continue
            lacks = self._lacks(row, instrument)
            if lacks is None:
                continue
            if not lacks:
                clause = f"{self._ruleset.ruleset.id} {row.clause}"
                return Demand(self._stepped(row.accuracy_class, instrument, level), clause)
            unknown = unknown or lacks
        return Demand(unknown=unknown)

    def _speaks_of(self, category: str) -> bool:
        return any(category in row.categories for row in self._rows)

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
            return None if self.user_class else self._unknown or "organization.electricity"
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
        """Return the class of an instrument: of its certificate; else of its chain.

        Of sensor, transmitter and computer by root sum of squares, if the sensor is among them; else of the meter in it,
        behind its transformers.
        """
        category = instrument.category
        if instrument.accuracy_class:
            return self.read(instrument.accuracy_class, category)
        known = [(one.part, self.read(one.accuracy_class, category)) for one in instrument.chain]
        parts = [stated for part, stated in known if part in CHAIN_PARTS]
        if not parts:
            return next((stated for part, stated in known if part == "meter"), Stated())
        values = [part.value for part in parts if part.value is not None]
        if len(values) < len(parts) or all(part != "sensor" for part, _ in known):
            return Stated()
        with localcontext() as context:
            context.prec = 28
            value = sum((one * one for one in values), Decimal(0)).sqrt()
        shown = value.quantize(PLACES, ROUND_CEILING).normalize()  # a miss is not rounded away
        return Stated(f"{shown:f}" if len(values) > 1 else parts[0].text, value)

    def is_enough(self, stated: Stated, demanded: str) -> bool:
        """Return whether a class is at least as accurate as the one demanded; an unknown one is not."""
        return stated.value is not None and _key(stated) <= _key(self.read(demanded))

    def read(self, text: str, category: str = "") -> Stated:
        """Return a class as it is compared; letters by the ladder of the category, unknown without one. category: "": any."""
        ladder = self._ruleset.ladder
        if text and not text[0].isdigit():
            is_on_it = ladder is not None and (not category or category in ladder.categories)
            found = ladder.equivalents.get(text, "") if ladder is not None and is_on_it else ""
            return self.read(found)._replace(text=f"{text} ({found})") if found else Stated(text)
        if not text:
            return Stated()
        return Stated(text, Decimal(text.removesuffix("S")), text.endswith("S"))


def _key(stated: Stated) -> tuple[Decimal, bool]:
    """Return what classes are ordered by, the most accurate first: 0.5S before 0.5."""
    assert stated.value is not None
    return stated.value, not stated.is_s


def _fits(row: ClassRow, instrument: Instrument, energy_kind: str, level: int, *, is_outward: bool) -> bool:
    """Return whether a row speaks of such an instrument, as far as facts go that are always known."""
    conditions: Sequence[bool] = (
        instrument.category in row.categories,
        not row.energy_kinds or energy_kind in row.energy_kinds,
        not row.levels or level in row.levels,
        not row.current or instrument.current == row.current,
        not row.purpose or instrument.purpose == row.purpose,
        not row.flows or (row.flows == "outward") == is_outward,
    )
    return all(conditions)


def _user_class(rows: Sequence[UserClass], facts: Electricity) -> tuple[str, str]:
    """Return the first user class of which a stated condition holds, and "" or the facts that could make it an earlier one.

    Without that certainty the class is "". A supply whose phases nobody has entered is not taken for a single-phase one.
    """
    unknown: dict[str, None] = {}
    for row in rows:
        if row.phases is not None and facts.phases == row.phases:
            return row.user_class, ""
        holds, missing = _is_of(row, facts)
        if holds:
            return ("", ", ".join(unknown)) if unknown else (row.user_class, "")
        unknown |= dict.fromkeys(f"organization.electricity.{name}" for name in missing)
    return "", ", ".join(unknown)


def _is_of(row: UserClass, facts: Electricity) -> tuple[bool, list[str]]:
    """Return whether a condition of a row holds for certain, and the facts that are missing to tell of the others."""
    missing: list[str] = []
    if row.monthly_kwh_min is not None:
        if facts.monthly_kwh is None:
            missing.append("monthly_kwh")
        elif facts.monthly_kwh >= row.monthly_kwh_min:
            return True, []
    least, below, kva = row.transformer_kva_min, row.transformer_kva_below, facts.transformer_kva
    if least is None and below is None:
        return False, missing
    if kva is None:
        return False, [*missing, "transformer_kva"]
    is_within = (least is None or kva >= least) and (below is None or kva < below)
    if not is_within or row.high_voltage_billed in (None, facts.high_voltage_billed):
        return is_within, [] if is_within else missing
    return False, missing + (["high_voltage_billed"] if facts.high_voltage_billed is None else [])

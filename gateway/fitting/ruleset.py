"""A ruleset: a standard's tables as data; contract: docs/specs/ruleset.md. The engine itself knows no number of any standard."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
from pydantic import Field, PrivateAttr

from gateway.config.base import Table
from gateway.config.values import EnergyKind
from gateway.inventory.model import Category, Rows
from gateway.inventory.values import ClassText, Day, Number, Rated, Yearly

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

Level = Literal[1, 2, 3]
Confidence = Literal["S", "S2", "R", "r", "U", "A"]
"""S seen in a public source, S2 seen second-hand, R recalled with high confidence, r with medium, U unsure, A checked by arithmetic."""
Kinds = Rows[EnergyKind]

SWITCHES: Mapping[str, tuple[str, ...]] = {
    "boundary_states": ("in_use_and_standby", "in_use"),
    "unit_trigger": ("any", "own_kind"),
    "unit_main": ("limit", "every"),
    "equipment_trigger": ("any", "own_kind"),
    "equipment_main": ("limit", "every"),
    "unknown_amount": ("needed", "not_needed"),
    "central_metering": ("all_inflows", "none"),
    "central_row": ("keep_one", "not_applicable"),
    "seasonal_heating": ("notes", "none"),
    "small_auxiliary": ("below_limit", "none"),
    "expired_instruments": ("count", "do_not_count"),
    "hot_water_row": ("steam", "none"),
}
"""Every question the text of a standard leaves open that the engine answers, and the answers it knows."""


class Cited(Table):
    """What every row of a ruleset carries."""

    id: str = Field(
        min_length=1, description="Id of the row; a ruleset built on another replaces rows by it."
    )
    clause: str = Field(min_length=1, description="Clause or table.")
    clause_zh: str = Field(default="", description="The same in Chinese, where it has words.")
    source: str = Field(min_length=1, description="Where the figure was found.")
    confidence: Confidence = Field(description="How far to trust it: S, S2, R, r, U or A.")
    valid_from: Day = Field(default=None, description="First day it is in force; none: as the ruleset.")
    valid_to: Day = Field(default=None, description="Last day it is in force; none: as the ruleset.")
    when: str = Field(default="", description='Interpretation it holds under: "hot_water_row=steam".')
    conflict: str = Field(default="", description="What another source says.")
    conflict_zh: str = Field(default="", description="The same in Chinese.")

    def is_in_force(self, on: date) -> bool:
        """Return whether the row holds on a day."""
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_to is None or on <= self.valid_to
        )


class Meta(Table):
    """`[ruleset]`: which standard it is."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,47}$", description="Id, as the file is named.")
    title: str = Field(min_length=1, description="Title in English.")
    title_zh: str = Field(min_length=1, description="Title in Chinese.")
    base: str = Field(default="", description="Id of the ruleset this one changes.")
    remove: Rows[str] = Field(default=(), description="Ids of rows of the base that do not hold.")
    valid_from: Day = Field(default=None, description="First day in force.")
    superseded_on: Day = Field(default=None, description="Day another edition took its place.")
    superseded_by: str = Field(default="", description="That edition.")
    note: str = Field(default="", description="What whoever uses it must know.")
    note_zh: str = Field(default="", description="The same in Chinese.")
    water: str = Field(default="", description="Id of the ruleset of water that goes with it.")

    def is_superseded(self, on: date) -> bool:
        """Return whether another edition holds on a day."""
        return self.superseded_on is not None and self.superseded_on <= on


class Interpretation(Table):
    """`[interpretations.<switch>]`: how an open question is answered."""

    choice: str = Field(description="The answer.")
    text: str = Field(min_length=1, description="What it means, for the report.")
    text_zh: str = Field(default="", description="The same in Chinese.")
    clause: str = Field(default="", description="Clause it interprets.")
    clause_zh: str = Field(default="", description="The same in Chinese.")


class Limit(Cited):
    """`[[limits]]`: from how much on a unit (level 2) or a piece of equipment (level 3) is a main one."""

    level: Level
    energy_kinds: Kinds = Field(description="Energy kinds of the column.")
    column: str = Field(default="", description="Heading of the column.")
    rated: Rated = Field(default=None, validate_default=True, description="Limit of the rated load.")
    yearly: Yearly = Field(default=None, validate_default=True, description="Limit of a year.")


class Rate(Cited):
    """`[[rates]]`: the rate demanded of an energy kind at a level."""

    level: Level
    energy_kinds: Kinds = Field(description="Energy kinds of the row.")
    percent: Number = Field(description="Rate demanded, %.")


class Share(Cited):
    """`[[shares]]`: the metered share by quantity (计量率) demanded at a level."""

    level: Level
    energy_kind: EnergyKind
    percent: Number = Field(description="Share demanded, %.")


class ClassRow(Cited):
    """`[[classes]]`: the class demanded of an instrument; the first row that fits holds. An empty condition fits all."""

    categories: Rows[Category] = Field(description="Kinds of instrument.")
    accuracy_class: ClassText = Field(description="Least accurate class allowed.")
    energy_kinds: Kinds = Field(default=())
    levels: Rows[Level] = Field(default=())
    user_classes: Rows[str] = Field(default=())
    current: Literal["", "ac", "dc"] = Field(default="")
    weighing: Literal["", "static", "dynamic"] = Field(default="")
    purpose: Literal["", "settlement", "internal"] = Field(default="")
    flows: Literal["", "inward", "outward"] = Field(
        default="", description="outward: of what leaves the organisation; inward: of all else."
    )
    dn_min_mm: int | None = Field(default=None, description="Larger than this.")
    dn_max_mm: int | None = Field(default=None, description="At most this.")


class UserClass(Cited):
    """`[[user_classes]]`: class of the electricity user; the first row of which a stated condition holds."""

    user_class: str
    phases: Literal[1, 3] | None = None
    monthly_kwh_min: Number | None = None
    transformer_kva_min: Number | None = None
    transformer_kva_below: Number | None = None
    high_voltage_billed: bool | None = Field(
        default=None, description="Must be so for the capacity to count; unset: it does not matter."
    )


class Ladder(Cited):
    """`[ladder]`: classes from best to worst, and how many steps down some levels may go."""

    classes: Rows[ClassText]
    categories: Rows[Category]
    steps_down: Mapping[str, int] = Field(default={}, description='Level -> steps: { "2" = 1, "3" = 1 }.')
    equivalents: Mapping[str, str] = Field(
        default={}, description="Other names of classes -> class of the ladder."
    )


class Note(Cited):
    """`[[notes]]`: a note that changes the need."""

    kind: Literal["central_metering", "seasonal_heating", "small_auxiliary"]
    level: Level
    energy_kinds: Kinds = Field(description="Energy kinds it speaks of.")
    text: str = Field(min_length=1, description="What it says, in our words.")
    text_zh: str = Field(default="")


class Equivalent(Cited):
    """`[[equivalents]]`: how much of one unit stands for another, for one energy kind."""

    energy_kinds: Kinds
    unit: str
    equals: Annotated[Rated | Yearly, Field(description="What one of `unit` stands for.")]


class Proof(Cited):
    """`[proof]`: what counts as proved by data."""

    good_percent: Number = Field(description="Least share of good readings, %.")


class Ruleset(Table):
    """A whole ruleset; `gateway.fitting.rulesets` finds and reads them."""

    ruleset: Meta
    interpretations: Mapping[str, Interpretation] = Field(default={})
    limits: Rows[Limit] = ()
    rates: Rows[Rate] = ()
    shares: Rows[Share] = ()
    classes: Rows[ClassRow] = ()
    user_classes: Rows[UserClass] = ()
    ladder: Ladder | None = None
    notes: Rows[Note] = ()
    equivalents: Rows[Equivalent] = ()
    proof: Proof | None = None
    _changed: tuple[str, ...] = PrivateAttr(default=())

    @property
    def changed(self) -> tuple[str, ...]:
        """Return where it differs from what is shipped: ids of rows, switches; "*" of one that builds on nothing shipped."""
        return self._changed

    def differing(self, changed: Iterable[str]) -> Ruleset:
        """Return it with what `changed` returns; said by who reads it, never by the file."""
        self._changed = tuple(changed)
        return self

    @cached_property
    def digest(self) -> str:
        """Return SHA-256 (hex) over the content."""
        body = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @property
    def is_empty(self) -> bool:
        """Return whether it has no table: nothing can be judged by it."""
        return not (self.limits or self.rates or self.classes)

    def choice(self, switch: str) -> str:
        """Return the answer to an open question: the ruleset's, else the first the engine knows."""
        found = self.interpretations.get(switch)
        return SWITCHES[switch][0] if found is None else found.choice

    def holds(self, row: Cited, on: date) -> bool:
        """Return whether a row is in force on a day and under the interpretations chosen."""
        if not row.is_in_force(on):
            return False
        switch, _, wanted = row.when.partition("=")
        return not switch or self.choice(switch) == wanted


PERCENT = Decimal(100)

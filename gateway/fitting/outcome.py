"""What an evaluation brings: every need with its verdict, and the rows that count them. Shapes: docs/specs/fitting.md."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from decimal import Decimal

    from gateway.fitting.evidence import Evidence, Window
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Inventory


Verdict = Literal["reached", "below", "unknown", "no_limit", "every"]
"""Of an amount against its limit; every: whatever the amount, as the ruleset reads the standard."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one energy kind of a unit or piece of equipment amounts to, against the limit.

    how: declared, inflows, outflows, production, equipment; "" if nothing is known. limit: "" without one. missing: ids of
    flows or equipment whose amount is not known, or not in a unit that converts.
    """

    energy_kind: str
    verdict: Verdict
    amount: str = ""
    limit: str = ""
    clause: str = ""
    how: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Owner:
    """A unit (level 2) or piece of equipment (level 3), and whether it is a main one. is_undetermined: only because an amount is unknown."""

    id: str
    level: int
    is_main: bool
    is_undetermined: bool
    reaches: tuple[Reach, ...]

    @property
    def reached(self) -> tuple[str, ...]:
        """Return the energy kinds that make it a main one, for certain."""
        return tuple(one.energy_kind for one in self.reaches if one.verdict in ("reached", "every"))


@dataclass(frozen=True, slots=True)
class Need:
    """One flow that a clause wants measured at a level.

    flow: id of the flow; "<equipment>:<energy kind>" where equipment takes a kind no flow of the inventory brings.
    owners: ids of the units (level 2) or the equipment (level 3) it is needed for, none at level 1.
    because: why, in words, with the amount and the limit. undetermined: what is not known, "" if all is.
    exempt: ground on which it needs no instrument, "" if it does. exempt_clause: of that ground. rests_on: instruments the
    exemption stands on.
    """

    level: int
    energy_kind: str
    flow: str
    owners: tuple[str, ...]
    because: str
    clause: str
    because_zh: str = ""
    undetermined: str = ""
    undetermined_zh: str = ""
    exempt: str = ""
    exempt_zh: str = ""
    exempt_clause: str = ""
    rests_on: tuple[str, ...] = ()
    kept: bool = False
    """Whether it is counted although exempt: the one need by which central metering keeps its row."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is to be said of one instrument on the day of the evaluation; None: nobody can tell.

    why: what speaks against it, in words. required_class: "" if no row demands one. stated_class: of its certificate or chain.
    """

    instrument: str
    is_fitted: bool
    is_intact: bool
    is_verified: bool
    is_accurate: bool
    is_confirmed: bool
    is_connected: bool | None
    is_delivering: bool | None
    good_share: Fraction | None = None
    required_class: str = ""
    required_clause: str = ""
    required_unknown: str = ""
    """The fact, not entered, that decides which class is demanded; "" if all is known."""
    stated_class: str = ""
    verification: str = ""
    why: tuple[str, ...] = ()
    why_zh: tuple[str, ...] = ()

    @property
    def is_effective(self) -> bool | None:
        """Return whether it is fitted, delivers, is verified, accurate and confirmed; None without evidence."""
        if self.is_delivering is None:
            return None
        return (
            self.is_fitted
            and self.is_delivering
            and self.is_verified
            and self.is_accurate
            and self.is_confirmed
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """A need and the instruments on it. best: the standing that speaks for it, None if nothing is fitted."""

    need: Need
    instruments: tuple[str, ...]
    best: Standing | None
    advice: str = ""
    """What to fit where, "" if it is fitted."""
    advice_zh: str = ""

    @property
    def counts(self) -> bool:
        """Return whether it is counted in the need."""
        return not self.need.exempt or self.need.kept

    @property
    def is_fitted(self) -> bool:
        """Return whether it is counted as fitted."""
        return self.best is not None


@dataclass(frozen=True, slots=True)
class Row:
    """One energy kind at one level. Rates are exact; None: not applicable, or not to be told without evidence."""

    ruleset: str
    level: int
    energy_kind: str
    judged: tuple[Judged, ...]
    required: Decimal | None
    clauses: tuple[str, ...]
    confidence: str
    conflict: str
    surplus: tuple[str, ...]
    need: int
    fitted: int
    connected: int | None
    effective: int | None
    rate: Fraction | None
    intact: Fraction | None
    verified: Fraction | None
    accurate: Fraction | None
    auto_collected: Fraction | None
    completeness: Fraction | None
    completeness_of: int
    covered: Fraction | None

    @property
    def certain(self) -> Fraction | None:
        """Return the rate of the needs that are certain alone; None if there is none."""
        certain = [one for one in self.judged if one.counts and not one.need.undetermined]
        return Fraction(sum(one.is_fitted for one in certain), len(certain)) if certain else None

    @property
    def meets(self) -> bool | None:
        """Return whether the rate is what is demanded, un-rounded, also without what is not certain to be needed."""
        if self.rate is None or self.required is None:
            return None
        certain = self.rate if self.certain is None else self.certain
        return min(self.rate, certain) * 100 >= self.required


@dataclass(frozen=True, slots=True)
class ShareRow:
    """The metered share of water (水计量率) at a level. unknown: ids of flows whose amount nobody knows."""

    ruleset: str
    level: int
    energy_kind: str
    total: Decimal | None
    metered: Decimal | None
    unit: str
    share: Fraction | None
    required: Decimal | None
    clauses: tuple[str, ...]
    confidence: str
    unknown: tuple[str, ...]

    @property
    def meets(self) -> bool | None:
        """Return whether the share is what is demanded."""
        if self.share is None or self.required is None:
            return None
        return self.share * 100 >= self.required


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole evaluation. standings: by instrument. water: rows of the water ruleset, beside those of the main one."""

    inventory: Inventory
    ruleset: Ruleset
    water_ruleset: Ruleset | None
    as_of: date
    window: Window
    evidence: Evidence | None
    user_class: str
    standings: Mapping[str, Standing]
    owners: Mapping[str, Owner]
    rows: tuple[Row, ...]
    water_rows: tuple[Row, ...] = ()
    water_shares: tuple[ShareRow, ...] = ()
    unassigned: tuple[str, ...] = ()
    """Instruments without requirement or flow: carbon, media without a row, portable and spare ones."""
    doubts: tuple[str, ...] = ()
    """What whoever reads the result must know first: superseded, unsure rows, undetermined amounts."""
    doubts_zh: tuple[str, ...] = ()

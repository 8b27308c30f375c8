"""The fitting rates (配备率) as the feed has them; the whole result is that of `metergate fitting --json` (docs/specs/fitting.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.feed.contract_values import DayText, DecimalText, Model

_NAMES = "a long message leaves names out: `left_out`."


class FittingRow(Model):
    """One energy kind at one level by one ruleset. Shares in %, rounded down to four decimals; null: not applicable or unknown."""

    ruleset: str = Field(description="Id of the ruleset: that of the message, or that of water beside it.")
    level: Literal[1, 2, 3] = Field(
        description="1: the organisation, 2: main accounting units (次级用能单位), 3: main equipment."
    )
    energy_kind: str = Field(description="Of the closed list docs/specs/energy-kinds.md.")
    need: int = Field(ge=0, description="Flows that must be measured (应配).")
    fitted: int = Field(ge=0, description="Of them, those with an installed instrument (实配).")
    connected: int | None = Field(
        default=None, description="Of them, those with a good reading in the window; null: no history."
    )
    effective: int | None = Field(
        default=None,
        description="Of them, those that deliver, are verified, of the class demanded and confirmed; null: no history.",
    )
    rate_percent: DecimalText | None = Field(
        default=None, description="fitted / need (配备率); null: nothing is needed.", examples=["97.5000"]
    )
    required_percent: DecimalText | None = Field(
        default=None, description="What the ruleset demands; null: nothing."
    )
    meets: bool | None = Field(
        default=None,
        description="Whether the un-rounded rate is what the ruleset demands; read `superseded` and `doubts` with it.",
    )
    superseded: bool = Field(
        description="Another edition holds on the day: `meets` speaks of the old one alone."
    )
    intact_percent: DecimalText | None = Field(default=None, description="完好率, of those fitted.")
    verified_percent: DecimalText | None = Field(default=None, description="检定率, of those fitted.")
    accurate_percent: DecimalText | None = Field(default=None, description="准确度合格率, of those fitted.")
    auto_collected_percent: DecimalText | None = Field(
        default=None, description="自动采集率: of the need, those with enough good readings."
    )
    completeness_percent: DecimalText | None = Field(
        default=None, description="Good of the readings that were due, of the instruments any was due from."
    )
    completeness_of: int = Field(default=0, ge=0, description="So many instruments are those.")
    covered_percent: DecimalText | None = Field(
        default=None, description="Share of the yearly energy that is measured."
    )
    confidence: str | None = Field(
        default=None,
        description="How far the figure demanded can be trusted: S seen, S2 second-hand, R and r recalled, U unsure, A computed.",
    )
    clauses: list[str] = Field(default=[], description="Clauses it follows from.")
    missing: list[str] = Field(
        default=[], description=f"Flows that are needed and have no instrument; {_NAMES}"
    )
    exempt: list[str] = Field(
        default=[], description=f"Flows a note exempts and that are not counted; {_NAMES}"
    )
    surplus: list[str] = Field(default=[], description=f"Instruments nothing demands; {_NAMES}")
    undetermined: list[str] = Field(
        default=[], description=f"Flows counted because an amount is not known; {_NAMES}"
    )


class FittingShare(Model):
    """The metered share by quantity (计量率) at one level."""

    ruleset: str = Field(description="Id of the ruleset.")
    level: Literal[1, 2, 3] = Field(description="As in a row.")
    energy_kind: str = Field(description="Of the closed list docs/specs/energy-kinds.md.")
    share_percent: DecimalText | None = Field(
        default=None, description="Metered of the total; null: unknown."
    )
    required_percent: DecimalText | None = Field(default=None, description="What the ruleset demands.")
    meets: bool | None = Field(default=None, description="Whether the un-rounded share is what is demanded.")
    confidence: str | None = Field(default=None, description="As in a row.")
    superseded: bool = Field(description="As in a row.")


class FittingResult(Model):
    """What an evaluation came to. A result of a ruleset that is superseded says so here; nothing then meets what is in force."""

    window_from: DayText = Field(description="First day of the window evidence is of.")
    window_to: DayText = Field(description="Last day of it.")
    whole: bool | None = Field(
        default=None,
        description="The evidence covers the whole window; false: shares of good readings are null; null: no evidence.",
    )
    superseded_on: DayText | None = Field(
        default=None, description="Day the ruleset was superseded; null: it is in force."
    )
    superseded_by: str = Field(default="", description="By which edition.")
    doubts: list[str] = Field(
        description="What whoever reads it must know first: superseded, unsure rows, amounts nobody knows. A rate that `meets` is settled only without."
    )
    rates: list[FittingRow] = Field(description="By ruleset, energy kind and level.")
    water_shares: list[FittingShare] = Field(default=[], description="Of the ruleset of water.")
    left_out: int = Field(default=0, ge=0, description="Names left out of lists because of the length.")

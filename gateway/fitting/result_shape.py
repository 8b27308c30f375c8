"""The shape of a result: docs/specs/fitting.md; its JSON Schema is made of these types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

Percent = Annotated[
    float | None, Field(description="In %, rounded down to four places; null: not applicable or not known.")
]
Verification = Literal["valid", "expired", "nonconforming", "undated", "unverified"]


class AboutBody(TypedDict):
    """Which ruleset it is. digest: SHA-256 over its content, bases merged."""

    id: str
    title: str
    title_zh: str
    digest: str


class SupersededBody(TypedDict):
    """Since when another edition holds."""

    on: str
    by: str
    note: str


WindowBody = TypedDict("WindowBody", {"from": str, "to": str})
"""First and last day of the evidence, both included."""


class EvidenceBody(TypedDict):
    """Where the evidence is from. source: its own words; origin: what the program knows. sha256: of the file, null: no file."""

    source: str
    timezone: str
    origin: Literal["history", "file"]
    sha256: str | None


class InterpretationBody(TypedDict):
    """How a question that the standard leaves open is answered."""

    ruleset: str
    switch: str
    choice: str
    text: str
    text_zh: str
    clause: str


class MissingBody(TypedDict):
    """A needed flow without instrument. owners: the units or equipment it is needed for."""

    flow: str
    owners: list[str]
    because: str
    clause: str
    advice: str


class ExemptBody(TypedDict):
    """A flow that needs no instrument. rests_on: the instruments the exemption stands on. counted: it keeps its row."""

    flow: str
    owners: list[str]
    ground: str
    clause: str
    rests_on: list[str]
    counted: bool


class UndeterminedBody(TypedDict):
    """A flow counted because an amount is not known."""

    flow: str
    why: str


class RateBody(TypedDict):
    """One energy kind at one level. completeness_of: how many instruments completeness_percent is of."""

    ruleset: str
    energy_kind: str
    level: Literal[1, 2, 3]
    need: int
    fitted: int
    connected: int | None
    effective: int | None
    rate_percent: Percent
    required_percent: Percent
    meets: bool | None
    intact_percent: Percent
    verified_percent: Percent
    accurate_percent: Percent
    auto_collected_percent: Percent
    completeness_percent: Percent
    completeness_of: int
    covered_percent: Percent
    clauses: list[str]
    confidence: str | None
    conflict: str | None
    missing: list[MissingBody]
    exempt: list[ExemptBody]
    surplus: list[str]
    undetermined: list[UndeterminedBody]


class ShareBody(TypedDict):
    """The metered share by quantity at one level; amounts as decimal strings in `unit`. unknown: flows without an amount."""

    ruleset: str
    energy_kind: str
    level: Literal[1, 2, 3]
    total: str | None
    metered: str | None
    unit: str | None
    share_percent: Percent
    required_percent: Percent
    meets: bool | None
    clauses: list[str]
    confidence: str
    unknown: list[str]


class WaterBody(TypedDict):
    """What the ruleset of water says."""

    ruleset: AboutBody
    rates: list[RateBody]
    shares: list[ShareBody]


class StandingBody(TypedDict):
    """How one instrument stands on the day. why: what speaks against it."""

    fitted: bool
    connected: bool | None
    effective: bool | None
    intact: bool
    verification: Verification
    accurate: bool
    confirmed: bool
    good_percent: Percent
    accuracy_class: str | None
    required_class: str | None
    required_clause: str | None
    required_unknown: str | None
    why: list[str]


class ResultBody(TypedDict):
    """The result of an evaluation. revision: of the inventory, null: not applied."""

    organization: str
    ruleset: AboutBody
    superseded: SupersededBody | None
    inventory_digest: str
    revision: int | None
    as_of: str
    window: WindowBody
    statistics_year: int | None
    evidence: EvidenceBody | None
    good_percent_min: Percent
    user_class: str | None
    interpretations: list[InterpretationBody]
    doubts: list[str]
    rates: list[RateBody]
    water: WaterBody | None
    unassigned: list[str]
    instruments: dict[str, StandingBody]

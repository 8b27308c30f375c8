"""The messages of the regulators' feed, as models: JSON Schemas, AsyncAPI document and examples are generated from them.

Contract in words: docs/specs/feed.md. Readings and amounts are decimal strings, exact, in canonical units; what is unknown
is null, never 0. Times are ISO 8601 with offset in the site's zone. A reader passes over keys it does not know.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
TYP = "metergate-feed+jws"
GENESIS = "sha256:" + 64 * "0"
"""`prev` of the first message of a chain."""

Kind = Literal["birth", "meter", "data", "summary", "event", "checkpoint", "fitting"]
RETAINED: tuple[Kind, ...] = ("birth", "meter", "checkpoint", "fitting")
"""Kinds a broker keeps: the newest one of each topic."""

_Decimal = Field(pattern=r"^-?\d+(\.\d+)?$", examples=["2935.600"])
_Time = Field(examples=["2026-08-01T08:45:00.000+08:00"])


class Model(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Clock(Model):
    """What the system said of its clock when the message was signed."""

    synchronised: bool = Field(description="The system calls its clock synchronised.")
    offset_ms: float | None = Field(default=None, description="Against its time source, if it says.")
    max_error_ms: float | None = Field(default=None, description="Largest error it admits, if it says.")


class Boundary(Model):
    """A good reading next to a boundary; never interpolated."""

    value: str = _Decimal
    at: str = Field(description="When it was read.", examples=["2026-08-01T08:45:00.012+08:00"])
    source: Literal["meter", "manual"] = Field(default="meter", description="Who read it.")
    flags: int = Field(default=0, description="Doubts it carries, docs/specs/flags.md.")


class ChannelBody(Model):
    """One channel in one interval."""

    unit: str = Field(examples=["kWh"])
    kind: Literal["counter", "gauge"]
    expected: int = Field(ge=0, description="Readings that were due.")
    received: int = Field(ge=0, description="Of them, those that came.")
    good: int = Field(ge=0, description="Of them, those without a doubt that counts.")
    gaps: dict[str, int] = Field(
        default={}, description="Reason -> readings; the sum is expected - good. Docs/specs/gap-reasons.md."
    )
    worst: str = Field(default="", description='Worst flag that occurred, "" if none.', examples=["range"])
    opening: Boundary | None = Field(default=None, description="Counters: reading at t0.")
    closing: Boundary | None = Field(default=None, description="Counters: reading at t1.")
    delta: str | None = Field(default=None, description="Counters: exact amount; null: unknown.")
    how: Literal["normal", "rollover", "swap", "reset", "missing"] | None = Field(
        default=None, description="Counters: how the amount came about."
    )
    mean: str | None = Field(default=None, description="Gauges: mean of good readings; null: there is none.")
    low: str | None = Field(default=None, description="Gauges: least good reading.")
    high: str | None = Field(default=None, description="Gauges: greatest good reading.")


class IntervalBody(Model):
    """One meter in [t0, t1). Identity: (gateway, meter, epoch, t0, rev)."""

    meter: str
    t0: str = _Time
    t1: str = _Time
    epoch: int = Field(ge=0, description="Stretch of wall time without a step; a step begins the next.")
    rev: int = Field(ge=0, description="0 for the first; a later one takes the place of all before it.")
    cause: Literal["", "late", "replay", "meter_swap", "ratio_change", "clock_step", "manual"] = Field(
        default="", description='Why it was made anew; "" for rev 0.'
    )
    swapped: bool = Field(default=False, description="The meter was exchanged in this interval.")
    certificate: str = Field(default="", description='State of the instrument\'s verification; "": not told.')
    channels: dict[str, ChannelBody]


class AggregateBody(Model):
    """A reported quantity: the declared sum of meters, signed and weighted, over [t0, t1). Identity: (gateway, aggregate, period, t0, rev)."""

    aggregate: str
    period: Literal["interval", "day", "month"]
    t0: str = _Time
    t1: str = _Time
    rev: int = Field(ge=0)
    unit: str = Field(examples=["kWh"])
    value: str | None = Field(description="Exact sum; null if one of its terms is unknown.")
    missing: list[str] = Field(default=[], description="Meters whose term is unknown.")
    codes: dict[str, str] = Field(
        default={}, description="The platform's codes: dataCode, inputType, statType, scope, coefficient."
    )


class ManualBody(Model):
    """A reading somebody entered by hand; its own source, never mixed with what a meter sent."""

    meter: str
    channel: str
    at: str = _Time
    value: str = _Decimal
    unit: str
    by: str
    why: str
    entered: str = Field(description="When it was entered.")


class CompletenessBody(Model):
    """How complete one meter, or all (meter null), was in a period."""

    meter: str | None
    due: int = Field(ge=0, description="Interval values that were due: one a reported channel and interval.")
    known: int = Field(ge=0, description="Of them, those with an amount or a mean.")
    expected: int = Field(ge=0, description="Readings that were due.")
    received: int = Field(ge=0)
    good: int = Field(ge=0)
    gaps: dict[str, int] = Field(default={}, description="Reason -> readings.")
    percent: str | None = Field(
        description="known / due, cut to two decimals; null if nothing was due.", examples=["98.95"]
    )
    revised: int = Field(default=0, ge=0, description="Intervals with rev > 0.")
    manual: int = Field(default=0, ge=0, description="Readings at boundaries that were entered by hand.")


class TotalBody(Model):
    """The amount of one channel over a longer period, from readings at its ends, not from a sum of parts."""

    meter: str
    channel: str
    period: Literal["day", "month", "shift", "tariff"]
    name: str = Field(default="", description="Of the shift or tariff period.", examples=["peak"])
    t0: str = _Time
    t1: str = _Time
    rev: int = Field(ge=0)
    unit: str
    amount: str | None = Field(description="Exact; null: unknown.")
    known: str = Field(description="What of it is known: the sum of the known parts.")
    opening: Boundary | None = None
    closing: Boundary | None = None


class Consistency(Model):
    """Day against month, and how far the readings of day boundaries were from them."""

    deviation_percent: str | None = Field(
        description="|sum of days - month| / month, the greatest of all channels; null: unknown."
    )
    boundary_error_s: str | None = Field(
        description="Greatest distance of a boundary reading from its boundary."
    )


class Key(Model):
    """A public key. fingerprint: SHA-256 of its 32 raw bytes, hexadecimal; compare it with the one on paper."""

    kid: str
    alg: Literal["Ed25519"] = "Ed25519"
    x: str = Field(description="The key itself, base64url as in RFC 8037.")
    fingerprint: str


class ChannelInfo(Model):
    """What a channel of a meter means."""

    key: str
    quantity: str
    unit: str
    ucum: str = ""
    kind: Literal["counter", "gauge"]
    period_s: float = Field(gt=0, description="How often it is read.")
    reference: str = Field(default="", description="Condition a gas volume is stated at.")


class Cadence(Model):
    """When what is sent."""

    interval_s: int = Field(gt=0)
    grace_s: float = Field(ge=0, description="An interval closes so long after its end.")
    day_start: str = Field(description="When a day begins, HH:MM.")
    month_day: int = Field(ge=1, le=28, description="Day a month begins.")


class BirthMeter(Model):
    """A meter in the index. digest: SHA-256 of its own birth message's `about`, as canonical as it was sent."""

    id: str
    digest: str


class AggregateInfo(Model):
    """What an aggregate is the sum of."""

    id: str
    name: str = ""
    unit: str
    terms: list[dict[str, str]] = Field(description="meter, channel, sign, weight.")
    codes: dict[str, str] = {}


class EventBody(Model):
    """A transition. kinds and details: docs/specs/journal.md."""

    at: str = _Time
    kind: str = Field(examples=["meter_swap"])
    subject: str
    detail: dict[str, Any] = {}


class Payload(Model):
    """What every signed message begins with."""

    v: Literal[1] = 1
    kind: Kind
    gateway: str
    region: str = Field(description="Administrative code of the site.")
    enterprise: str = Field(description="Unified social credit code.")
    chain: str = Field(description="Id of the chain; a new one if the gateway's state was lost.")
    seq: str = Field(pattern=r"^\d{1,20}$", description="Place in the chain: from 1, without gaps.")
    prev: str = Field(
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="SHA-256 of the message before it, as sent (ASCII of the JWS); zeros for the first.",
    )
    issued: str = Field(description="When it was signed.")
    clock: Clock
    config: str = Field(description="Digest of the site file in force.")


class Birth(Payload):
    """Index of what this gateway measures: retained."""

    kind: Literal["birth"] = "birth"
    software: str
    timezone: str
    key: Key
    cadence: Cadence
    meters: list[BirthMeter]
    aggregates: list[AggregateInfo] = []


class About(Model):
    """A meter's details."""

    id: str
    name: str = ""
    energy_kind: str
    profile: str = ""
    channels: list[ChannelInfo]
    labels: dict[str, str] = {}
    accuracy_class: str | None = Field(default=None, description="From the certificate; null: not told.")
    certificate: dict[str, str] | None = Field(default=None, description="null: no inventory tells.")


class MeterBirth(Payload):
    """Details of one meter: retained."""

    kind: Literal["meter"] = "meter"
    about: About


class ClosedIntervals(Payload):
    """Closed intervals."""

    kind: Literal["data"] = "data"
    intervals: list[IntervalBody] = []
    aggregates: list[AggregateBody] = []
    readings: list[ManualBody] = []


class Summary(Payload):
    """An hour, a day or a month: completeness with reasons, totals."""

    kind: Literal["summary"] = "summary"
    period: Literal["hour", "day", "month"]
    t0: str = _Time
    t1: str = _Time
    rev: int = Field(ge=0)
    site: CompletenessBody
    meters: list[CompletenessBody]
    totals: list[TotalBody] = []
    aggregates: list[AggregateBody] = []
    consistency: Consistency | None = None
    part: int = Field(default=1, ge=1, description="A long summary comes in parts.")
    parts: int = Field(default=1, ge=1)


class EventMessage(Payload):
    """What happened."""

    kind: Literal["event"] = "event"
    events: list[EventBody]


class Checkpoint(Payload):
    """Where the chain stands, once a day: retained, to be kept by whoever wants to prove later that nothing was rewritten."""

    kind: Literal["checkpoint"] = "checkpoint"
    covers: str = Field(pattern=r"^\d{1,20}$", description="Newest seq before this message.")
    head: str = Field(description="SHA-256 of the message `covers`: the same as prev.")


class Fitting(Payload):
    """The fitting rates (配备率) and the ruleset they stand on: retained."""

    kind: Literal["fitting"] = "fitting"
    ruleset: str
    as_of: str
    inventory: str = Field(description="Digest of the inventory.")
    result: dict[str, Any]


MESSAGES: dict[Kind, type[Payload]] = {
    "birth": Birth,
    "meter": MeterBirth,
    "data": ClosedIntervals,
    "summary": Summary,
    "event": EventMessage,
    "checkpoint": Checkpoint,
    "fitting": Fitting,
}


class State(Model):
    """Online or offline: retained, the last will, and the only message that is not signed."""

    v: Literal[1] = 1
    gateway: str
    online: bool
    at: str | None = Field(default=None, description="When; absent in the last will.")
    chain: str = ""
    seq: str = Field(default="0", description="Newest seq of the chain when it was said.")


def topic(kind: Kind, subject: str = "") -> str:
    """Return the last levels of the topic a message of this kind goes to when it is not late. subject: the meter of a `meter` message."""
    return f"birth/{subject}" if kind == "meter" else kind

"""The messages of the regulators' feed, as models: JSON Schemas, AsyncAPI document and examples are generated from them.

Contract in words: docs/specs/feed.md. Readings and amounts are decimal strings, exact, in canonical units; what is unknown
is null, never 0. Times are ISO 8601 with offset in the site's zone. A reader passes over keys it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from gateway.feed.contract_fitting import FittingResult
from gateway.feed.contract_values import DayText, DecimalText, Model, TimeText
from gateway.intervals.model import Reason

VERSION = 1
TYP = "metergate-feed+jws"
GENESIS = "sha256:" + 64 * "0"
"""`prev` of the first message of a chain."""

Kind = Literal["birth", "meter", "data", "summary", "event", "checkpoint", "fitting"]
RETAINED: tuple[Kind, ...] = ("birth", "meter", "checkpoint", "fitting")
"""Kinds a broker keeps: the newest one of each topic."""

SeqText = Annotated[str, Field(pattern=r"^[0-9]{1,20}$", examples=["184467"])]
HashText = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_REASONS: dict[str, Any] = {"propertyNames": {"enum": list(get_args(Reason))}}
_Gaps: Any = Field(
    default={},
    json_schema_extra=_REASONS,
    description="Reason -> readings; the sum is expected - good. Docs/specs/gap-reasons.md.",
)
_Rev = Field(ge=0, description="0 for the first; a later one takes the place of all before it.")
_T0 = Field(description="Begin; inside the period.")
_T1 = Field(description="End; not inside the period.")


class Clock(Model):
    """What the system said of its clock when the message was signed."""

    synchronised: bool = Field(description="The system calls its clock synchronised.")
    offset_ms: float | None = Field(default=None, description="Against its time source, if it says.")
    max_error_ms: float | None = Field(default=None, description="Largest error it admits, if it says.")


class Boundary(Model):
    """A good reading next to a boundary; never interpolated."""

    value: DecimalText = Field(description="The reading, in the channel's unit.")
    at: TimeText = Field(description="When it was read.")
    source: str = Field(
        default="meter", description="Who read it: `meter`, `manual`; later versions may add others."
    )
    flags: int = Field(default=0, description="Doubts it carries, docs/specs/flags.md.")


class ChannelBody(Model):
    """One channel in one interval."""

    unit: str = Field(description="Canonical unit of all its amounts and readings.", examples=["kW·h"])
    kind: Literal["counter", "gauge"] = Field(description="What it is: an amount that adds up, or a value.")
    expected: int = Field(ge=0, description="Readings that were due.")
    received: int = Field(ge=0, description="Of them, those that came.")
    good: int = Field(ge=0, description="Of them, those without a doubt that counts.")
    gaps: dict[str, int] = _Gaps
    worst: str = Field(default="", description='Worst flag that occurred, "" if none.', examples=["range"])
    opening: Boundary | None = Field(default=None, description="Counters: reading at t0.")
    closing: Boundary | None = Field(default=None, description="Counters: reading at t1.")
    delta: DecimalText | None = Field(default=None, description="Counters: exact amount; null: unknown.")
    how: str | None = Field(
        default=None,
        description="Counters: how the amount came about: `normal`, `rollover`, `swap`, `reset`, `missing`; later versions may add others.",
    )
    mean: DecimalText | None = Field(
        default=None, description="Gauges: mean of good readings; null: there is none."
    )
    low: DecimalText | None = Field(default=None, description="Gauges: least good reading.")
    high: DecimalText | None = Field(default=None, description="Gauges: greatest good reading.")


class IntervalBody(Model):
    """One meter in [t0, t1). Identity: (gateway, meter, epoch, t0, rev)."""

    meter: str = Field(description="Id of the meter.")
    t0: TimeText = _T0
    t1: TimeText = _T1
    epoch: int = Field(ge=0, description="Stretch of wall time without a step; a step begins the next.")
    rev: int = _Rev
    cause: str = Field(
        default="",
        description='Why it was made anew: `late`, `replay`, `meter_swap`, `ratio_change`; "" for rev 0; later versions may add others.',
    )
    swapped: bool = Field(default=False, description="The meter was exchanged in this interval.")
    verification: str = Field(
        default="",
        description="How the verification of the meter's instrument stands on the day of t0: `valid`, `expired`, "
        '`nonconforming`, `undated`, `unverified`; "": not told. As known when it was made; later versions may add others.',
    )
    channels: dict[str, ChannelBody] = Field(description="Reported channel -> what it came to.")


class AggregateBody(Model):
    """A reported quantity: the declared sum of meters, signed and weighted, over [t0, t1). Identity: (gateway, aggregate, period, t0, rev)."""

    aggregate: str = Field(description="Id of the aggregate.")
    period: Literal["interval", "day", "month"] = Field(description="What it is summed over.")
    t0: TimeText = _T0
    t1: TimeText = _T1
    rev: int = _Rev
    unit: str = Field(description="Unit of the value.", examples=["kW·h"])
    value: DecimalText | None = Field(description="Exact sum; null if one of its terms is unknown.")
    missing: list[str] = Field(default=[], description="Meters whose term is unknown.")
    codes: dict[str, str] = Field(
        default={}, description="The platform's codes: dataCode, inputType, statType, scope, coefficient."
    )


class ManualBody(Model):
    """A reading somebody entered by hand; its own source, never mixed with what a meter sent."""

    meter: str = Field(description="Id of the meter.")
    channel: str = Field(description="Key of the channel.")
    at: TimeText = Field(description="When the meter showed it.")
    value: DecimalText = Field(description="What the meter showed.")
    unit: str = Field(description="Unit of the value.")
    by: str = Field(description="Who entered it.")
    why: str = Field(description="Why by hand.")
    entered: TimeText = Field(description="When it was entered.")


class CompletenessBody(Model):
    """How complete one meter, or all (meter null), was in a period."""

    meter: str | None = Field(description="Id of the meter; null: all of the site.")
    due: int = Field(ge=0, description="Interval values that were due: one a reported channel and interval.")
    known: int = Field(ge=0, description="Of them, those with an amount or a mean.")
    expected: int = Field(ge=0, description="Readings that were due.")
    received: int = Field(ge=0, description="Of them, those that came.")
    good: int = Field(ge=0, description="Of them, those without a doubt that counts.")
    gaps: dict[str, int] = _Gaps
    percent: DecimalText | None = Field(
        description="known / due, cut to two decimals; null if nothing was due.", examples=["98.95"]
    )
    revised: int = Field(default=0, ge=0, description="Intervals with rev > 0.")
    manual: int = Field(default=0, ge=0, description="Readings at boundaries that were entered by hand.")


class TotalBody(Model):
    """The amount of one channel over a longer period, from readings at its ends, not from a sum of parts."""

    meter: str = Field(description="Id of the meter.")
    channel: str = Field(description="Key of the channel, a counter.")
    period: Literal["day", "month", "shift", "tariff"] = Field(description="What it is the total of.")
    name: str = Field(
        default="", description="Id of the shift, or kind of the tariff period.", examples=["peak"]
    )
    t0: TimeText = _T0
    t1: TimeText = _T1
    rev: int = _Rev
    unit: str = Field(description="Unit of the amounts.")
    amount: DecimalText | None = Field(description="Exact; null: unknown.")
    known: DecimalText = Field(description="What of it is known: the sum of the known parts.")
    opening: Boundary | None = Field(default=None, description="Reading at the first boundary; null: none.")
    closing: Boundary | None = Field(default=None, description="Reading at the last boundary; null: none.")


class Consistency(Model):
    """Day against month, and how far the readings of day boundaries were from them."""

    deviation_percent: DecimalText | None = Field(
        description="|sum of days - month| / month, the greatest of all channels; null: unknown."
    )
    boundary_error_s: DecimalText | None = Field(
        description="Greatest distance of a boundary reading from its boundary."
    )


class Key(Model):
    """A public key. fingerprint: SHA-256 of its 32 raw bytes, hexadecimal; compare it with the one on paper."""

    kid: str = Field(min_length=1, description="Its name in the header of what it signs.")
    alg: Literal["Ed25519"] = Field(default="Ed25519", description="Algorithm it is for.")
    x: str = Field(
        pattern=r"^[A-Za-z0-9_-]{43}$", description="The 32 bytes of the key, base64url as in RFC 8037."
    )
    fingerprint: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="SHA-256 of these 32 bytes; compare it with paper."
    )


class ChannelInfo(Model):
    """What a channel of a meter means."""

    key: str = Field(description="Key of the channel in intervals and totals.")
    quantity: str = Field(description="Of the closed list docs/reference/quantities.md.")
    unit: str = Field(description="Canonical unit.")
    ucum: str = Field(default="", description="The unit as UCUM code.")
    kind: Literal["counter", "gauge"] = Field(description="What it is: an amount that adds up, or a value.")
    period_s: float = Field(gt=0, description="How often it is read.")
    reference: str = Field(default="", description="Condition a gas volume is stated at.")


class Cadence(Model):
    """When what is sent."""

    interval_s: int = Field(gt=0, description="Length of an interval.")
    grace_s: float = Field(ge=0, description="An interval closes so long after its end.")
    day_start: str = Field(description="When a day begins, HH:MM.")
    month_day: int = Field(ge=1, le=28, description="Day a month begins.")


class BirthMeter(Model):
    """A meter in the index; its details are a message of their own."""

    id: str = Field(description="Id of the meter.")
    digest: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of `about` of its own birth message: compact JSON, UTF-8, keys in the order sent.",
    )


class AggregateInfo(Model):
    """What an aggregate is the sum of."""

    id: str = Field(description="Id of the aggregate.")
    name: str = Field(default="", description="Free text shown to people.")
    unit: str = Field(description="Unit of its values.")
    terms: list[dict[str, str]] = Field(
        description="meter, channel, sign, weight: value = Σ sign × weight × amount."
    )
    codes: dict[str, str] = Field(
        default={}, description="The platform's codes: dataCode, inputType, scope, coefficient."
    )


class EventBody(Model):
    """A transition. Kinds and details: docs/specs/journal.md."""

    at: TimeText = Field(description="When it happened.")
    kind: str = Field(description="Which transition.", examples=["meter_swap"])
    subject: str = Field(description="What it happened to: a meter, a link, a task, gateway.")
    detail: dict[str, Any] = Field(
        default={}, description="By kind. Keys that end in _ns are integers of 64 bits, beyond 2^53."
    )


class Payload(Model):
    """What every signed message begins with."""

    v: Literal[1] = Field(default=1, description="Version of this contract.")
    kind: Kind = Field(description="Which message.")
    gateway: str = Field(description="Id of the gateway.")
    region: str = Field(description="Administrative code of the site.")
    enterprise: str = Field(description="Unified social credit code.")
    chain: str = Field(description="Id of the chain; a new one if the gateway's state was lost.")
    seq: SeqText = Field(description="Place in the chain: from 1, without gaps.")
    prev: HashText = Field(
        description="SHA-256 of the message before it, as sent (ASCII of the JWS); zeros for the first.",
    )
    issued: TimeText = Field(description="When it was signed.")
    clock: Clock = Field(description="What the system said of its clock then.")
    config: str = Field(description="Digest of the site file in force.")


class Birth(Payload):
    """Index of what this gateway measures: retained."""

    kind: Literal["birth"] = "birth"
    software: str = Field(description="Version of Metergate.")
    timezone: str = Field(description="IANA time zone of the site.", examples=["Asia/Shanghai"])
    key: Key = Field(description="The key this and the following messages are signed with.")
    cadence: Cadence = Field(description="When what is sent.")
    meters: list[BirthMeter] = Field(description="Every meter in force.")
    aggregates: list[AggregateInfo] = Field(default=[], description="Every aggregate in force.")


class Verification(Model):
    """The last verification (检定) or calibration of the instrument behind a meter, and how it stands on the day of the message."""

    instrument: str = Field(description="Id of the instrument in the inventory.")
    state: str = Field(
        description="`valid`, `expired`, `nonconforming`, `undated`, `unverified`; later versions may add others."
    )
    kind: str = Field(
        default="", description='`verification`, `calibration`, `self_calibration`; "": there was none.'
    )
    on: DayText | None = Field(default=None, description="Day it was done.")
    until: DayText | None = Field(default=None, description="Last day it is valid; null: nothing tells.")
    certificate: str = Field(default="", description="Number of the certificate.")
    body: str = Field(default="", description="Who issued it.")


class About(Model):
    """A meter's details."""

    id: str = Field(description="Id of the meter; never changes.")
    name: str = Field(default="", description="Free text shown to people.")
    energy_kind: str = Field(description="Of the closed list docs/specs/energy-kinds.md.")
    profile: str = Field(default="", description="Meter type, docs/reference/profiles.md.")
    channels: list[ChannelInfo] = Field(description="Reported channels.")
    labels: dict[str, str] = Field(default={}, description="Free labels of the site file.")
    accuracy_class: str | None = Field(
        default=None, description="From the verification certificate (检定证书); null: not told."
    )
    verification: Verification | None = Field(
        default=None,
        description="The last verification (检定) of its instrument; null: no inventory tells.",
    )


class MeterBirth(Payload):
    """Details of one meter: retained."""

    kind: Literal["meter"] = "meter"
    about: About = Field(description="The meter.")


class ClosedIntervals(Payload):
    """Closed intervals."""

    kind: Literal["data"] = "data"
    intervals: list[IntervalBody] = Field(default=[], description="One a meter, epoch and period.")
    aggregates: list[AggregateBody] = Field(default=[], description="Of the same periods.")
    readings: list[ManualBody] = Field(default=[], description="Entered by hand.")


class Summary(Payload):
    """An hour, a day or a month: completeness with reasons, totals."""

    kind: Literal["summary"] = "summary"
    period: Literal["hour", "day", "month"] = Field(description="What it sums up.")
    t0: TimeText = _T0
    t1: TimeText = _T1
    rev: int = _Rev
    site: CompletenessBody = Field(description="All meters together.")
    meters: list[CompletenessBody] = Field(description="Each meter; of a long summary those of this part.")
    totals: list[TotalBody] = Field(default=[], description="Days and months: amounts of counters.")
    aggregates: list[AggregateBody] = Field(default=[], description="Of the same period.")
    consistency: Consistency | None = Field(default=None, description="Months: day against month.")
    part: int = Field(default=1, ge=1, description="A long summary comes in parts.")
    parts: int = Field(default=1, ge=1, description="So many.")


class EventMessage(Payload):
    """What happened."""

    kind: Literal["event"] = "event"
    events: list[EventBody] = Field(description="In the order they happened.")


class Checkpoint(Payload):
    """Where the chain stands, once a day: retained, to be kept by whoever wants to prove later that nothing was rewritten."""

    kind: Literal["checkpoint"] = "checkpoint"
    covers: SeqText = Field(description="Newest seq before this message.")
    head: HashText = Field(description="SHA-256 of the message `covers`: the same as prev.")


class Fitting(Payload):
    """The fitting rates (配备率) and the ruleset they stand on: retained, once a day and when inventory or ruleset have changed."""

    kind: Literal["fitting"] = "fitting"
    ruleset: str = Field(description="Id of the ruleset.", examples=["GB17167-2006"])
    ruleset_digest: str = Field(default="", description="SHA-256 of its content.")
    as_of: DayText = Field(description="Day the rates stand for, in the site's zone.")
    at: TimeText = Field(description="When they were worked out.")
    inventory: str = Field(description="Digest of the inventory, `inventory_digest` of `metergate fitting`.")
    revision: int = Field(default=0, ge=0, description="Number of the inventory's revision that is applied.")
    result: FittingResult = Field(description="What they came to.")


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

    v: Literal[1] = Field(default=1, description="Version of this contract.")
    gateway: str = Field(description="Id of the gateway.")
    online: bool = Field(description="Whether it is connected.")
    at: TimeText | None = Field(default=None, description="When; absent in the last will.")
    chain: str = Field(default="", description="Id of the chain.")
    seq: SeqText = Field(default="0", description="Newest seq of the chain when it was said.")


def topic(kind: Kind, subject: str = "") -> str:
    """Return the last levels of the topic a message of this kind goes to when it is not late. subject: the meter of a `meter` message."""
    return f"birth/{subject}" if kind == "meter" else kind

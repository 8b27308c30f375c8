"""The tables of an inventory as frozen objects; contract: docs/specs/inventory.md.

Source of the fields: GB 17167-2006 5.3.1, JJF 1356-2012 form B.3, the meter ledger of the provincial platforms.
"""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Literal, TypeVar

import orjson
from pydantic import ConfigDict, Field, Strict

from gateway.config.base import Table
from gateway.config.values import EnergyKind, Id
from gateway.inventory.values import ClassText, Day, Number, Rated, RequiredDay, Sha256, Text, Yearly

T = TypeVar("T")
Rows = Annotated[tuple[T, ...], Strict(False)]
"""A list of TOML or JSON, kept as a tuple."""

OUTSIDE = "outside"
ORGANIZATION = "organization"
RESERVED_IDS = frozenset({OUTSIDE, ORGANIZATION})
"""Ends of a flow that are neither unit nor equipment: beyond the boundary; the distribution of the whole organisation."""

Role = Literal["main", "check", "portable", "spare"]
State = Literal["in_use", "standby", "disconnected"]
Status = Literal["qualified", "limited", "stopped"]
"""合格, 准用, 停用."""
Category = Literal[
    "weighing",
    "electricity_meter",
    "oil_flow_meter",
    "gas_flow_meter",
    "steam_flow_meter",
    "water_flow_meter",
    "heat_meter",
    "temperature",
    "pressure",
    "gas_analyser",
    "other",
]
"""计量器具类别: 衡器, 电能表, 油流量表(装置), 气体流量表(装置), 蒸汽流量表, 水流量表(装置), 热量表, 温度仪表, 压力仪表, 气体分析仪, 其他."""
Year = Annotated[int, Field(ge=1990, le=2100)]


class Electricity(Table):
    """`[organization.electricity]`: what the user class (Ⅰ–Ⅴ) of the incoming electricity follows from."""

    monthly_kwh: Number | None = Field(default=None, description="Average consumption of a month, kW·h.")
    transformer_kva: Number | None = Field(default=None, description="Installed transformer capacity, kVA.")
    high_voltage_billed: bool | None = Field(default=None, description="Billed at high voltage (高压计量).")
    phases: Literal[1, 3] | None = Field(default=None, description="Phases of the supply.")


class Organization(Table):
    """`[organization]`: the key energy-using unit (重点用能单位)."""

    name: Text = Field(min_length=1, description="Name as registered.")
    credit_code: Text = Field(default="", description="Unified social credit code, 18 characters.")
    industry: Text = Field(default="", description="Industry, as reported.")
    address: Text = Field(default="", description="Address.")
    statistics_year: Year | None = Field(default=None, description="Year the amounts are of.")
    prepared_by: Text = Field(default="", description="Who keeps this inventory.")
    electricity: Electricity = Field(default=Electricity(), description="Facts of the electricity supply.")


class KindAmount(Table):
    """How much of one energy kind a unit or a piece of equipment takes."""

    energy_kind: EnergyKind = Field(description="Energy kind.")
    rated: Rated = Field(
        default=None, description="At the rated load: power, mass or volume an hour.", validate_default=True
    )
    yearly: Yearly = Field(default=None, description="In the statistics year.", validate_default=True)
    year: Year | None = Field(default=None, description="Year of the yearly amount.")
    source: Text = Field(default="", description="Where the figures come from: name plate, bill, record.")


class Unit(Table):
    """`[[units]]`: a part of the organisation, at any depth."""

    id: Id = Field(description="Id, unlike that of any equipment.")
    name: Text = Field(min_length=1, description="Name.")
    parent: str = Field(default="", description="Id of the unit it belongs to; empty: the organisation.")
    role: Literal["accounting", "process"] = Field(
        description="accounting: 次级用能单位, keeps accounts of its energy. process: 用能单元, only assessed or managed centrally."
    )
    amounts: Rows[KindAmount] = Field(
        default=(),
        description="What it uses, where that is known; else the flows over its boundary are added.",
    )


class Equipment(Table):
    """`[[equipment]]`: one machine that uses energy (用能设备)."""

    id: Id = Field(description="Id, unlike that of any unit.")
    name: Text = Field(min_length=1, description="Name.")
    unit: str = Field(default="", description="Id of the unit it stands in; empty: the organisation itself.")
    model: Text = Field(default="", description="Type.")
    location: Text = Field(default="", description="Where it stands.")
    amounts: Rows[KindAmount] = Field(default=(), description="One for each energy kind it takes.")


class Flow(Table):
    """`[[flows]]`: one feeder, pipe or gate; energy of one kind goes from one end to the other."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: Id = Field(description="Id.")
    name: Text = Field(default="", description="Name.")
    from_end: str = Field(
        alias="from", description='"outside", "organization", or the id of a unit or equipment.'
    )
    to_end: str = Field(
        alias="to", description='"outside", "organization", or the id of a unit or equipment.'
    )
    energy_kind: EnergyKind = Field(description="What flows.")
    state: State = Field(default="in_use", description="In use, hot standby (热备用) or disconnected.")
    seasonal_heating: bool = Field(
        default=False, description="Steam or hot water for seasonal heating (季节性采暖)."
    )
    other_settlement: Text = Field(
        default="", description="How seasonal heating is settled without an instrument, with its document."
    )
    origin: Literal["bought", "self_produced", "recovered"] = Field(
        default="bought", description="Where it comes from (外购, 自产, 余能回收)."
    )
    rated: Rated = Field(
        default=None, description="At the rated load: power, mass or volume an hour.", validate_default=True
    )
    yearly: Yearly = Field(default=None, description="In the statistics year.", validate_default=True)
    year: Year | None = Field(default=None, description="Year of the yearly amount.")
    source: Text = Field(default="", description="Where the figures come from.")

    @property
    def ends(self) -> tuple[str, str]:
        """Return where it comes from and where it goes."""
        return self.from_end, self.to_end


class Verification(Table):
    """`[[instruments.verifications]]`: one verification (检定) or calibration (校准) and its certificate."""

    on: RequiredDay = Field(description="Day it was done.")
    kind: Literal["verification", "calibration", "self_calibration"] = Field(
        default="verification", description="检定, 校准 or 自校."
    )
    conforming: bool = Field(default=True, description="Whether the instrument conformed.")
    period_months: int | None = Field(
        default=None, ge=1, le=240, description="Verification period or calibration interval."
    )
    until: Day = Field(
        default=None, description="Last day it is valid; default: `on` + `period_months` - 1 day."
    )
    certificate: Text = Field(default="", description="Certificate number.")
    body: Text = Field(default="", description="Who issued it.")
    file: Text = Field(default="", description="File of the certificate, relative to the inventory's folder.")
    sha256: Sha256 = Field(default="", description="SHA-256 of that file.")

    @property
    def last_day(self) -> date | None:
        """Return the last day it is valid, None if nothing tells."""
        if self.until is not None or self.period_months is None:
            return self.until
        return months_later(self.on, self.period_months) - timedelta(days=1)


class Nonconformity(Table):
    """`[[instruments.nonconformities]]`: the instrument was found not to conform (不合格)."""

    found: RequiredDay = Field(description="Day it was found.")
    since: Day = Field(
        default=None,
        description="Day from which its readings are doubted; default: its last verification before.",
    )
    until: Day = Field(default=None, description="Day it was put right; none: not yet.")
    why: Text = Field(min_length=1, description="What was found.")
    document: Text = Field(default="", description="Record of it.")


class Confirmation(Table):
    """`[instruments.confirmation]`: metrological confirmation (计量确认) that it is fit for its use."""

    by: Text = Field(min_length=1, description="Who confirmed.")
    on: RequiredDay = Field(description="When.")
    fit: bool = Field(default=True, description="Whether it is fit for use.")
    document: Text = Field(default="", description="Record of it.")


class ChainPart(Table):
    """`[[instruments.chain]]`: one part of a measuring chain."""

    part: Literal["ct", "vt", "meter", "sensor", "transmitter", "computer"] = Field(
        description="Current or voltage transformer, meter; sensor, transmitter, flow computer."
    )
    model: Text = Field(default="", description="Type.")
    serial: Text = Field(default="", description="Serial number.")
    accuracy_class: ClassText = Field(default="", description="Class from its certificate.")
    ratio: Text = Field(default="", description="Ratio of a transformer, as 400/5.")


class Instrument(Table):
    """`[[instruments]]`: one measuring instrument (计量器具), with or without a meter of the site file behind it."""

    id: Id = Field(description="Id; never changes.")
    name: Text = Field(min_length=1, description="Name.")
    category: Category = Field(description="Kind of instrument.")
    meter: str = Field(default="", description="Id of the meter of the site file; empty: not connected.")
    channel: str = Field(default="", description="Counter of that meter; empty: its only one that counts.")
    flows: Rows[str] = Field(default=(), description="Ids of the flows it measures.")
    role: Role = Field(default="main", description="main, check, portable or spare.")
    measurement: Literal["measured", "derived", "estimated"] = Field(
        default="measured", description="Whether it measures, or its value is a difference or an estimate."
    )
    status: Status = Field(default="qualified", description="合格, 准用 or 停用.")
    running: Literal["good", "repair"] = Field(default="good", description="良好 or 维护.")
    purpose: Literal["settlement", "internal"] = Field(
        default="internal", description="Trade settlement or internal."
    )
    accuracy_class: ClassText = Field(
        default="", description="Class from the certificate, of the whole chain if it states one."
    )
    chain: Rows[ChainPart] = Field(default=(), description="Parts of the chain.")
    range: Text = Field(default="", description="Measuring range with unit.")
    current: Literal["ac", "dc"] = Field(default="ac", description="Electricity meters: kind of current.")
    weighing: Literal["", "static", "dynamic"] = Field(default="", description="Weighing: static or dynamic.")
    dn_mm: int | None = Field(default=None, ge=1, le=5000, description="Flow meters: nominal diameter, mm.")
    model: Text = Field(default="", description="Type.")
    manufacturer: Text = Field(default="", description="Maker.")
    serial: Text = Field(default="", description="Serial number (出厂编号).")
    own_number: Text = Field(default="", description="The organisation's own number (管理编号).")
    barcode: Text = Field(default="", description="Bar code.")
    location: Text = Field(default="", description="Where it is installed.")
    params: Text = Field(
        default="", description="What it measures, as the platform's ledger calls it (计量参数)."
    )
    installer: Text = Field(default="", description="Who installed it.")
    installed: Day = Field(
        default=None, description="Day it was installed; none: before the inventory began."
    )
    removed: Day = Field(default=None, description="Day it was taken away for good.")
    system: Text = Field(default="", description="System it reports to (接入系统).")
    unverified_reason: Text = Field(default="", description="Why it is not verified (未检定原因).")
    remark: Text = Field(default="", description="Remark.")
    verifications: Rows[Verification] = Field(
        default=(), description="Verifications and calibrations, the last two at least."
    )
    confirmation: Confirmation | None = Field(default=None, description="Metrological confirmation.")
    nonconformities: Rows[Nonconformity] = Field(default=(), description="When it was found not to conform.")

    def verification(self, on: date) -> Verification | None:
        """Return the newest verification done by that day, None if there is none; of one day the last that is listed."""
        done = [one for one in self.verifications if one.on <= on]
        return max(reversed(done), key=lambda one: one.on, default=None)

    def is_installed(self, on: date) -> bool:
        """Return whether it was in its place on a day, whatever its state."""
        return (self.installed is None or self.installed <= on) and (
            self.removed is None or on < self.removed
        )


class Loss(Table):
    """`[[losses]]`: a share of a unit's intake that is lost on the way, as declared."""

    unit: str = Field(default="", description="Id of a unit or equipment; empty: the organisation.")
    energy_kind: EnergyKind = Field(description="Energy kind.")
    percent: Number = Field(description="Share of the intake, %.")
    source: Text = Field(min_length=1, description="Where the figure comes from.")


class Staff(Table):
    """`[[staff]]`: a person of energy metering, as declared (form B.1)."""

    name: Text = Field(min_length=1, description="Name.")
    post: Text = Field(default="", description="Post and duties.")
    department: Text = Field(default="", description="Department.")
    training: Text = Field(default="", description="Training and certificates.")
    document: Text = Field(min_length=1, description="Appointment paper.")


class Stock(Table):
    """`[[stocks]]`: purchase, consumption and stock of a year, as declared (form B.10)."""

    energy_kind: EnergyKind = Field(description="Energy kind.")
    year: Year = Field(description="Year.")
    purchased: Yearly = Field(default=None, description="Purchased.", validate_default=True)
    consumed: Yearly = Field(default=None, description="Consumed.", validate_default=True)
    stock: Yearly = Field(default=None, description="In stock at the end of the year.", validate_default=True)
    document: Text = Field(min_length=1, description="Document the figures are from.")


class Answer(Table):
    """`[[answers]]`: an answer of the management to an item of a form or check list, as declared."""

    item: Text = Field(min_length=1, description="Key of the item.")
    answer: Literal["yes", "no", "not_applicable"] = Field(description="√, × or —.")
    document: Text = Field(min_length=1, description="Document that shows it.")


class Inventory(Table):
    """A whole inventory; `gateway.inventory.reading` gives one that holds together."""

    organization: Organization = Field(description="The organisation.")
    units: Rows[Unit] = Field(default=(), description="Its parts.")
    equipment: Rows[Equipment] = Field(default=(), description="Its machines.")
    flows: Rows[Flow] = Field(default=(), description="Feeders, pipes and gates.")
    instruments: Rows[Instrument] = Field(default=(), description="Measuring instruments.")
    losses: Rows[Loss] = Field(default=(), description="Declared losses.")
    staff: Rows[Staff] = Field(default=(), description="Declared staff.")
    stocks: Rows[Stock] = Field(default=(), description="Declared purchase, consumption and stock.")
    answers: Rows[Answer] = Field(default=(), description="Declared answers.")

    @cached_property
    def digest(self) -> str:
        """Return SHA-256 (hex) over the content: equal for equal content, whatever file it came from."""
        body = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def months_later(start: date, months: int) -> date:
    """Return the same day of a later month, its last day if it is shorter."""
    year, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + year, month + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    return date(year, month, min(start.day, (following - timedelta(days=1)).day))

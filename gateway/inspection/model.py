"""What is kept of an inspection on site (现场检查): the sample, what was found at each instrument, findings and their closure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.base import Table
from gateway.config.values import EnergyKind
from gateway.inventory.model import Rows
from gateway.inventory.values import Day, RequiredDay, Sha256

Mark = Literal["ok", "wrong", "not_seen"]
"""符合, 不符, 未见."""
ITEMS: dict[str, tuple[str, str]] = {
    "serial": ("出厂编号", "serial number as in the ledger"),
    "label": ("标识", "label as in the ledger"),
    "seal": ("铅封", "seal whole"),
    "location": ("安装地点", "stands where the ledger says"),
    "diagram": ("网络图", "on the flow that ledger and diagram say"),
    "range": ("测量范围", "range as in the ledger"),
    "accuracy_class": ("准确度等级", "class as in the ledger and on the certificate"),
    "ct_ratio": ("互感器变比", "ratio of the transformers as in the ledger"),
    "display": ("表码", "display agrees with the gateway's reading"),
}
"""Item -> (Chinese, English)."""


class Chosen(Table):
    """One instrument of a sample. level, energy_kind: of the stratum it stands for."""

    instrument: str
    level: Annotated[int, Field(ge=0, le=3)]
    energy_kind: str


class Drawn(Table):
    """`drawn`: a sample, which anyone can draw again from the same inventory with the same seed."""

    record: Literal["drawn"] = "drawn"
    seed: str = Field(min_length=1, description="What the order of the draw follows from.")
    size: int = Field(ge=1, description="How many were asked for.")
    levels: Rows[int] = Field(default=(), description="Levels it was drawn from, none: all.")
    energy_kinds: Rows[EnergyKind] = Field(default=(), description="Kinds it was drawn from, none: all.")
    population: int = Field(ge=1, description="Instruments it was drawn from.")
    inventory_digest: Sha256
    revision: int | None = None
    ruleset: str = Field(default="", description="Ruleset whose needs say the level of an instrument.")
    ruleset_digest: str = ""
    on: RequiredDay = Field(description="Day of the draw: instruments in their place then.")
    instruments: Rows[Chosen]
    by: str = Field(min_length=1)
    at_ns: int


class Shown(Table):
    """What the display showed, beside the gateway's last reading. difference: display - gateway, null: it has none to compare.

    digit: what one count of the display's last place is worth. lapse: the most the counter can have counted since that reading,
    by its fastest interval of the last two days; null: not known. agrees: what follows from these, not_seen: nothing does.
    """

    display: str
    channel: str = ""
    gateway: str = ""
    gateway_time_ns: int | None = None
    difference: str | None = None
    digit: str | None = None
    lapse: str | None = None
    agrees: Mark = "not_seen"
    unit: str = ""
    note: str = Field(default="", description="Why nothing could be compared.")


class Photo(Table):
    """A photograph. kept: name of the copy in the inspection's folder, "" if only its hash is kept."""

    file: str
    sha256: Sha256
    kept: str = ""


class Found(Table):
    """`found`: what was found at one instrument. ledger: what the inventory said of it at that time."""

    record: Literal["found"] = "found"
    instrument: str
    marks: dict[str, Mark]
    display: Shown | None = None
    photos: Rows[Photo] = ()
    note: str = ""
    ledger: dict[str, str] = Field(default={})
    inventory_digest: Sha256
    by: str = Field(min_length=1)
    at_ns: int


class Opened(Table):
    """`finding_opened`: what does not conform, by which clause, who mends it until when."""

    record: Literal["finding_opened"] = "finding_opened"
    finding: int = Field(ge=1)
    instrument: str = ""
    items: Rows[str] = ()
    text: str = Field(min_length=1)
    clause: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    due: RequiredDay
    by: str = Field(min_length=1)
    at_ns: int


class Closed(Table):
    """`finding_closed`: a finding was put right. on: day it was."""

    record: Literal["finding_closed"] = "finding_closed"
    finding: int = Field(ge=1)
    how: str = Field(min_length=1, description="What was done.")
    document: str = Field(default="", description="What shows it.")
    on: Day = None
    by: str = Field(min_length=1)
    at_ns: int


RECORDS: dict[str, type[Drawn | Found | Opened | Closed]] = {
    "drawn": Drawn,
    "found": Found,
    "finding_opened": Opened,
    "finding_closed": Closed,
}

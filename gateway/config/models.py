"""The tables of the site file as frozen objects; contract: docs/specs/site-file.md.

A key that stands for a duration or a size is parsed at the edge: the attribute carries the unit
(`period = "10s"` becomes `period_s`). Descriptions go into the JSON Schema and docs/reference/site-file.md.

Links and sinks: `links`, `sinks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from gateway.config.base import Table, Timeout
from gateway.config.inputs import InputConfig
from gateway.config.inventory import InventoryConfig
from gateway.config.links import LinkConfig
from gateway.config.periods import AggregateConfig, FeedConfig, HistoryConfig, IntervalsConfig
from gateway.config.sinks import SinkConfig
from gateway.config.values import (
    Address,
    Bytes,
    ChannelKeys,
    EnergyKind,
    File,
    Folder,
    Folders,
    Id,
    Key,
    NodeId,
    Period,
    PositiveDecimal,
    Seconds,
    Zone,
    at_least,
    within,
)

if TYPE_CHECKING:
    from pathlib import Path

STATE_DIR = "/var/lib/metergate"


class GatewayConfig(Table):
    """`[gateway]`: the box itself."""

    id: Id = Field(description="Id of this gateway, part of every topic and line; never changes.")
    name: str = Field(default="", description="Free text shown to people.")
    state_dir: Folder = Field(
        default=STATE_DIR,
        validate_default=True,
        description="Folder of the journal and everything else kept.",
    )
    socket: File = Field(
        default="",
        validate_default=True,
        description="Control socket of the commands; empty: `<state_dir>/control.sock`.",
    )
    profile_dirs: Folders = Field(
        default=(), description="Folders of your own profiles, searched before the profiles shipped."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )

    @property
    def socket_path(self) -> Path:
        """Return the control socket."""
        return self.socket or self.state_dir / "control.sock"


class PlaceConfig(Table):
    """`[site]`: the place that is metered."""

    name: str = Field(default="", description="Free text shown to people.")
    timezone: Zone = Field(description="IANA zone; days and intervals follow it.", examples=["Asia/Shanghai"])
    region: str = Field(default="", description="Administrative code, for the feed.")
    enterprise: str = Field(default="", description="Unified social credit code, for the feed.")


class JournalConfig(Table):
    """`[journal]`: the durable log of samples."""

    size_max_bytes: Annotated[Bytes, at_least("16MiB")] = Field(
        default="2GiB",
        validate_default=True,
        alias="size_max",
        description="Size at which the oldest records go; 16MiB at least.",
    )
    free_min_bytes: Bytes = Field(
        default="512MiB",
        validate_default=True,
        alias="free_min",
        description="Free space that is left to the system.",
    )
    group_s: Annotated[Seconds, within("1ms", "10s")] = Field(
        default="50ms",
        validate_default=True,
        alias="group",
        description="Longest time a commit group stays open; no more than one commit in this time.",
    )


class OverrideConfig(Table):
    """`[meters.override.<channel>]`: what this site knows better than the profile."""

    unit: str = Field(
        default="", description="Unit as the device's menu sets it; only where the profile says so."
    )
    period_s: Period | None = Field(default=None, alias="period", description="Period of this channel.")
    low: float | None = Field(default=None, description="Plausible limit, canonical unit.")
    high: float | None = Field(default=None, description="Plausible limit, canonical unit.")
    rate_max: float | None = Field(
        default=None, gt=0, description="Largest plausible rise of a counter, canonical unit per second."
    )
    modulus: PositiveDecimal | None = Field(
        default=None, description="The counter rolls over at this value, canonical unit."
    )
    reference: str = Field(
        default="", description="Condition a gas volume is stated at, where the device's menu decides."
    )
    report: bool | None = Field(default=None, description="Enters intervals and feed; default: counters do.")
    input: InputConfig | None = Field(
        default=None,
        description="Register and meaning of an I/O module's input; only where the profile says so.",
    )


class VariableConfig(Table):
    """`[meters.variables.<channel>]`: one OPC UA variable that is a channel of this meter."""

    id: NodeId = Field(description="OPC UA node id.", examples=["ns=2;s=Boiler1.Flow"])
    quantity: str = Field(description="Quantity of the closed vocabulary.")
    unit: str = Field(description="Unit as the server gives it.")
    factor: PositiveDecimal = Field(default="1", description="Value in `unit` = variable x factor.")
    reference: str = Field(
        default="", description="Condition a gas volume is stated at.", examples=["0 °C, 101.325 kPa"]
    )


class ReadConfig(Table):
    """`[meters.read]`: how this meter may be asked, where it differs from its profile; Modbus."""

    registers_max: int | None = Field(
        default=None, ge=1, le=125, description="Registers in one request at most; default: the profile's."
    )
    hole_max: int | None = Field(
        default=None,
        ge=0,
        le=2000,
        description="Addresses without a channel that may be read at a stretch; 0: none. Only where the profile says "
        "that such addresses answer zeros.",
    )
    pause_s: Annotated[Seconds, within("0s", "10s")] | None = Field(
        default=None, alias="pause", description="Rest between two requests; default: the profile's."
    )
    delay_s: Annotated[Seconds, within("0s", "10s")] | None = Field(
        default=None,
        alias="delay",
        description="How long the meter takes to answer, as measured; for `metergate plan` alone.",
    )


class MeterConfig(Table):
    """`[[meters]]`: one device on a link."""

    id: Id = Field(description="Id of the meter, unlike that of any link; never changes.")
    name: str = Field(default="", description="Free text shown to people.")
    link: str = Field(description="Id of the link it hangs on.")
    unit: int | None = Field(
        default=None, ge=0, le=255, description="Modbus unit id; required there, absent elsewhere."
    )
    address: Address = Field(
        default="",
        description="Meter number as its plate shows it: 12 digits for DL/T 645, 14 for CJ/T 188; required there.",
        examples=["000012345678"],
    )
    profile: str = Field(default="", description="Id of the meter type.")
    variant: str = Field(default="", description="Firmware or model variant, where the profile has some.")
    energy_kind: EnergyKind = Field(description="What flows through it.")
    period_s: Period = Field(alias="period", description="How often it is read; divides a day evenly.")
    channels: ChannelKeys = Field(
        default=(), description='Channel keys; empty: the profile\'s default set; "*": all.'
    )
    ratios: Mapping[Key, PositiveDecimal] = Field(
        default={}, description="Ratios the profile leaves to the site, such as CT and PT."
    )
    timeout_s: Timeout | None = Field(default=None, alias="timeout", description="Default: the link's.")
    enabled: bool = Field(default=True, description="Disabled meters are known but not read.")
    labels: Mapping[str, str] = Field(
        default={}, description="Free key-value pairs, announced in birth messages."
    )
    read: ReadConfig = Field(
        default=ReadConfig(), description="How this meter may be asked, where it differs from its profile."
    )
    override: Mapping[Key, OverrideConfig] = Field(
        default={}, description="What this site knows better, per channel."
    )
    variables: Mapping[Key, VariableConfig] = Field(
        default={}, description="OPC UA: channels without a profile."
    )


class Site(Table):
    """A whole site file; `gateway.config.load` is the way to get one that holds together."""

    gateway: GatewayConfig = Field(description="The box itself.")
    site: PlaceConfig = Field(description="The place that is metered.")
    journal: JournalConfig = Field(
        default=JournalConfig.model_validate({}), description="The durable log of samples."
    )
    links: tuple[Annotated[LinkConfig, Field(discriminator="kind")], ...] = Field(
        default=(), description="Physical connections."
    )
    meters: tuple[MeterConfig, ...] = Field(default=(), description="Devices on links.")
    sinks: tuple[Annotated[SinkConfig, Field(discriminator="kind")], ...] = Field(
        default=(), description="Destinations."
    )
    intervals: IntervalsConfig = Field(
        default=IntervalsConfig.model_validate({}),
        description="Closed periods and the longer ones above them.",
    )
    history: HistoryConfig = Field(
        default=HistoryConfig.model_validate({}),
        description="Intervals, events and signed messages, kept for months.",
    )
    feed: FeedConfig = Field(default=FeedConfig(), description="The regulators' feed.")
    aggregates: tuple[AggregateConfig, ...] = Field(
        default=(), description="Declared sums of meters, signed and weighted."
    )
    inventory: InventoryConfig = Field(
        default=InventoryConfig(),
        description="The ledger of measuring instruments, and what it is held against.",
    )

    _digest: str = PrivateAttr(default="")
    _body: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return SHA-256 (hex) over the file's content: equal for equal keys and values, whatever the comments."""
        return self._digest

    @property
    def body(self) -> Mapping[str, Any]:
        """Return the file's content as plain JSON values; without secrets, since a site file only names their files."""
        return self._body

    def seal(self, digest: str, body: Mapping[str, Any]) -> Site:
        """Return this site with its digest and content set; for `gateway.config` alone."""
        self._digest, self._body = digest, body
        return self

    def link(self, link_id: str) -> LinkConfig:
        """Return the link of that id. Raises KeyError."""
        for link in self.links:
            if link.id == link_id:
                return link
        raise KeyError(link_id)

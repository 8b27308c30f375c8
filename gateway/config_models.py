"""The tables of the site file as frozen objects; contract: docs/specs/site-file.md.

A key that stands for a duration or a size is parsed at the edge: the attribute carries the unit
(`period = "10s"` becomes `period_s`). Descriptions go into the JSON Schema and docs/reference/site-file.md.

A new kind of link or sink is one class here and its name in the union `LinkConfig` or `SinkConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from gateway.config_values import (
    Bytes,
    ChannelKeys,
    EnergyKind,
    File,
    Folder,
    Folders,
    Host,
    HttpUrl,
    Id,
    Key,
    NodeId,
    OpcuaUrl,
    Period,
    PositiveDecimal,
    Seconds,
    Topic,
    Zone,
    at_least,
    within,
)

if TYPE_CHECKING:
    from pathlib import Path

STATE_DIR = "/var/lib/metergate"
RESERVED: Mapping[str, type] = {"aggregates": list, "inventory": dict, "feed": dict}
"""Keys that are known and must be an empty list or table for now."""

Timeout = Annotated[Seconds, within("10ms", "10min")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Table(BaseModel):
    """One table of the site file: unknown keys refused, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


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


class LinkTable(Table):
    """What every kind of link has."""

    protocols: ClassVar[frozenset[str]]  # those of the profiles that can be read on it
    endpoint_key: ClassVar[str]  # the key that says where it leads

    id: Id = Field(description="Id of the link, named by its meters.")
    retry_max_s: Annotated[Seconds, within("100ms", "1d")] = Field(
        default="60s",
        validate_default=True,
        alias="retry_max",
        description="Longest pause between attempts to reconnect.",
    )

    def endpoint(self) -> str:
        """Return what two links may not share, written as a user would."""
        raise NotImplementedError


class ModbusTcpConfig(LinkTable):
    """`[[links]]` of kind `modbus-tcp`: one TCP connection to a meter or to a serial server."""

    protocols: ClassVar[frozenset[str]] = frozenset({"modbus"})
    endpoint_key: ClassVar[str] = "host"

    kind: Literal["modbus-tcp"] = Field(description="Modbus TCP, read only.")
    host: Host = Field(description="Name or address.")
    port: Port = Field(default=502, description="TCP port.")
    timeout_s: Timeout = Field(
        default="1s", validate_default=True, alias="timeout", description="Longest wait for one answer."
    )

    def endpoint(self) -> str:
        """Return host and port; the loopback's names are one host."""
        host = self.host.lower().rstrip(".")
        return f"{'127.0.0.1' if host in {'localhost', '::1'} else host}:{self.port}"


class OpcuaConfig(LinkTable):
    """`[[links]]` of kind `opcua`: one session with an OPC UA server."""

    protocols: ClassVar[frozenset[str]] = frozenset({"opcua"})
    endpoint_key: ClassVar[str] = "url"

    kind: Literal["opcua"] = Field(description="OPC UA over TCP.")
    url: OpcuaUrl = Field(description="Endpoint of the server.", examples=["opc.tcp://127.0.0.1:4840"])
    timeout_s: Timeout = Field(
        default="4s", validate_default=True, alias="timeout", description="Longest wait for one answer."
    )
    user: str = Field(default="", description="User name; empty: anonymous.")
    password_file: File = Field(
        default="", validate_default=True, description="File that holds the password."
    )
    password_credential: str = Field(default="", description="systemd credential that holds the password.")
    stale_after_s: Annotated[Seconds, within("0s", "7d")] = Field(
        default="0s",
        validate_default=True,
        alias="stale_after",
        description="A source time older than this flags STALE; 0s: never, for servers that stamp the last change.",
    )

    def endpoint(self) -> str:
        """Return the URL in one spelling."""
        parts = urlsplit(self.url)
        host = (parts.hostname or "").rstrip(".")
        return f"opc.tcp://{'127.0.0.1' if host in {'localhost', '::1'} else host}:{parts.port or 4840}{parts.path.rstrip('/')}"


LinkConfig = ModbusTcpConfig | OpcuaConfig


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


class VariableConfig(Table):
    """`[meters.variables.<channel>]`: one OPC UA variable that is a channel of this meter."""

    id: NodeId = Field(description="OPC UA node id.", examples=["ns=2;s=Boiler1.Flow"])
    quantity: str = Field(description="Quantity of the closed vocabulary.")
    unit: str = Field(description="Unit as the server gives it.")
    factor: PositiveDecimal = Field(default="1", description="Value in `unit` = variable x factor.")
    reference: str = Field(
        default="", description="Condition a gas volume is stated at.", examples=["0 °C, 101.325 kPa"]
    )


class MeterConfig(Table):
    """`[[meters]]`: one device on a link."""

    id: Id = Field(description="Id of the meter; never changes.")
    name: str = Field(default="", description="Free text shown to people.")
    link: str = Field(description="Id of the link it hangs on.")
    unit: int | None = Field(
        default=None, ge=0, le=255, description="Modbus unit id; required there, absent elsewhere."
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
    override: Mapping[Key, OverrideConfig] = Field(
        default={}, description="What this site knows better, per channel."
    )
    variables: Mapping[Key, VariableConfig] = Field(
        default={}, description="OPC UA: channels without a profile."
    )


class SinkTable(Table):
    """What every kind of sink has."""

    id: Id = Field(description="Id of the sink, names its reader of the journal.")
    backlog_rate: int = Field(
        default=50_000, gt=0, description="Readings per second at most while catching up."
    )


class TlsConfig(Table):
    """`tls` of a sink: certificates and keys."""

    enabled: bool = Field(default=False, description="Speak TLS.")
    ca_file: File = Field(
        default="", validate_default=True, description="Certificates trusted; empty: the system's."
    )
    cert_file: File = Field(default="", validate_default=True, description="Client certificate.")
    key_file: File = Field(default="", validate_default=True, description="Key of the client certificate.")


class MqttConfig(SinkTable):
    """`[[sinks]]` of kind `mqtt`: telemetry for the plant."""

    kind: Literal["mqtt"] = Field(description="MQTT telemetry, docs/specs/telemetry.md.")
    host: Host = Field(description="Name or address of the broker.")
    port: Port = Field(default=1883, description="TCP port; 8883 is usual with TLS.")
    protocol: Literal["5", "3.1.1"] = Field(
        default="5", description="MQTT version; 5 where the broker speaks it."
    )
    group: Literal["commit", "meter"] = Field(
        default="commit", description="Frames of one commit group, or of one meter, a message."
    )
    prefix: Topic = Field(default="metergate/v1", description="What the topics begin with.")
    user: str = Field(default="", description="User name; empty: none.")
    password_file: File = Field(
        default="", validate_default=True, description="File that holds the password."
    )
    password_credential: str = Field(default="", description="systemd credential that holds the password.")
    tls: TlsConfig = Field(default=TlsConfig(), description="Transport security.")


class InfluxConfig(SinkTable):
    """`[[sinks]]` of kind `influx`: an InfluxDB v2 write endpoint."""

    kind: Literal["influx"] = Field(description="InfluxDB v2, docs/specs/influx-schema.md.")
    url: HttpUrl = Field(description="Base address of the server.", examples=["http://127.0.0.1:8086"])
    org: str = Field(min_length=1, description="Organisation.")
    bucket: str = Field(min_length=1, description="Bucket.")
    token_file: File = Field(default="", validate_default=True, description="File that holds the token.")
    token_credential: str = Field(default="", description="systemd credential that holds the token.")
    measurement: str = Field(default="meter", min_length=1, description="Measurement of every line.")
    tls: TlsConfig = Field(
        default=TlsConfig(),
        description="Own CA or client certificate of an https URL; enabled where one is named.",
    )
    gzip: bool = Field(default=True, description="Compress requests.")
    flush_s: Annotated[Seconds, within("0s", "10min")] = Field(
        default="1s",
        validate_default=True,
        alias="flush",
        description="Frames are collected this long before a request.",
    )
    timeout_s: Timeout = Field(
        default="10s", validate_default=True, alias="timeout", description="Longest wait for one request."
    )


SinkConfig = MqttConfig | InfluxConfig


class ReservedConfig(Table):
    """A table, or an entry of a list, that is reserved: known, and empty or absent for now."""


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
    aggregates: tuple[ReservedConfig, ...] = Field(
        default=(), max_length=0, description="Reserved: declared sums of meters, signed and weighted."
    )
    inventory: ReservedConfig = Field(
        default=ReservedConfig(), description="Reserved: the ledger of measuring instruments."
    )
    feed: ReservedConfig = Field(default=ReservedConfig(), description="Reserved: the regulators' feed.")

    _digest: str = PrivateAttr(default="")

    @property
    def digest(self) -> str:
        """Return SHA-256 (hex) over the file's content: equal for equal keys and values, whatever the comments."""
        return self._digest

    def seal(self, digest: str) -> Site:
        """Return this site with its digest set; for `gateway.config` alone."""
        self._digest = digest
        return self

    def link(self, link_id: str) -> LinkConfig:
        """Return the link of that id. Raises KeyError."""
        for link in self.links:
            if link.id == link_id:
                return link
        raise KeyError(link_id)


def kinds(union: object) -> dict[str, type[Table]]:
    """Return the classes of a union of tables by the `kind` they stand for."""
    return {get_args(table.model_fields["kind"].annotation)[0]: table for table in get_args(union)}


LINK_KINDS = kinds(LinkConfig)
SINK_KINDS = kinds(SinkConfig)

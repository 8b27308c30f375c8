"""`[[sinks]]`: one class for each kind of destination.

A new kind of sink is one class here and its name in the union `SinkConfig`.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from gateway.config.base import Port, Table, Timeout, kinds
from gateway.config.urls import HttpUrl, is_this_machine
from gateway.config.values import File, Host, Id, Seconds, Topic, within


class SinkTable(Table):
    """What every kind of sink has."""

    id: Id = Field(description="Id of the sink, names its reader of the journal.")
    backlog_rate: int = Field(
        default=50_000, gt=0, description="Readings per second at most while catching up."
    )


class TlsConfig(Table):
    """`tls` of a sink: certificates and keys."""

    enabled: bool | None = Field(
        default=None,
        description="Speak TLS; default: to every host but this machine. An InfluxDB's URL says so itself.",
    )
    ca_file: File = Field(
        default="", validate_default=True, description="Certificates trusted; empty: the system's."
    )
    cert_file: File = Field(default="", validate_default=True, description="Client certificate.")
    key_file: File = Field(default="", validate_default=True, description="Key of the client certificate.")


class BrokerTable(Table):
    """What every kind of sink has that speaks to an MQTT broker."""

    host: Host = Field(description="Name or address of the broker.")
    protocol: Literal["5", "3.1.1"] = Field(
        default="5", description="MQTT version; 5 where the broker speaks it."
    )
    user: str = Field(default="", description="User name; empty: none.")
    password_file: File = Field(
        default="", validate_default=True, description="File that holds the password."
    )
    password_credential: str = Field(default="", description="systemd credential that holds the password.")
    tls: TlsConfig = Field(default=TlsConfig(), description="Transport security.")

    @property
    def uses_tls(self) -> bool:
        """Return whether TLS is spoken: as the table says, else to every host but this machine."""
        return not self.is_local if self.tls.enabled is None else self.tls.enabled

    @property
    def is_local(self) -> bool:
        """Return whether the broker is on this machine."""
        return is_this_machine(self.host)


class ServerTable(Table):
    """What every kind of sink has that writes to an InfluxDB v2."""

    url: HttpUrl = Field(description="Base address of the server.", examples=["http://127.0.0.1:8086"])
    org: str = Field(min_length=1, description="Organisation.")
    bucket: str = Field(min_length=1, description="Bucket.")
    token_file: File = Field(default="", validate_default=True, description="File that holds the token.")
    token_credential: str = Field(default="", description="systemd credential that holds the token.")
    tls: TlsConfig = Field(default=TlsConfig(), description="Own CA or client certificate of an https URL.")
    gzip: bool = Field(default=True, description="Compress requests.")
    timeout_s: Timeout = Field(
        default="10s", validate_default=True, alias="timeout", description="Longest wait for one request."
    )

    @property
    def uses_tls(self) -> bool:
        """Return whether TLS is spoken: the URL decides."""
        return urlsplit(self.url).scheme == "https"

    @property
    def is_local(self) -> bool:
        """Return whether the server is on this machine."""
        return is_this_machine(urlsplit(self.url).hostname or "")


class MqttConfig(SinkTable, BrokerTable):
    """`[[sinks]]` of kind `mqtt`: telemetry for the plant."""

    kind: Literal["mqtt"] = Field(description="MQTT telemetry, docs/specs/telemetry.md.")
    port: Port = Field(default=1883, description="TCP port; 8883 is usual with TLS.")
    group: Literal["commit", "meter"] = Field(
        default="commit", description="Frames of one commit group, or of one meter, a message."
    )
    prefix: Topic = Field(default="metergate/v1", description="What the topics begin with.")


class InfluxConfig(SinkTable, ServerTable):
    """`[[sinks]]` of kind `influx`: an InfluxDB v2 write endpoint."""

    kind: Literal["influx"] = Field(description="InfluxDB v2, docs/specs/influx-schema.md.")
    measurement: str = Field(default="meter", min_length=1, description="Measurement of every line.")
    flush_s: Annotated[Seconds, within("0s", "10min")] = Field(
        default="1s",
        validate_default=True,
        alias="flush",
        description="Frames are collected this long before a request.",
    )


class FeedTable(Table):
    """What every kind of sink has that takes signed messages from the outbox."""

    id: Id = Field(description="Id of the sink, names its place in the outbox.")
    backlog_rate: int = Field(default=50, gt=0, description="Messages per second at most while catching up.")


class FeedMqttConfig(FeedTable, BrokerTable):
    """`[[sinks]]` of kind `feed`: the regulators' feed to one broker. A feed may have several."""

    kind: Literal["feed"] = Field(description="The regulators' feed, docs/specs/feed.md.")
    port: Port = Field(default=8883, description="TCP port; 1883 is usual without TLS.")


class FeedInfluxConfig(FeedTable, ServerTable):
    """`[[sinks]]` of kind `feed-influx`: intervals, totals and completeness into an InfluxDB v2 write endpoint."""

    kind: Literal["feed-influx"] = Field(description="InfluxDB v2, docs/specs/influx-schema.md.")


FEED_KINDS = (FeedMqttConfig, FeedInfluxConfig)
"""Sinks that take signed messages from the outbox instead of readings from the journal."""
SinkConfig = MqttConfig | InfluxConfig | FeedMqttConfig | FeedInfluxConfig
SINK_KINDS = kinds(SinkConfig)

"""`[[sinks]]`: one class for each kind of destination.

A new kind of sink is one class here and its name in the union `SinkConfig`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.base import Port, Table, Timeout, kinds
from gateway.config.urls import HttpUrl
from gateway.config.values import File, Host, Id, Seconds, Topic, within


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


class FeedMqttConfig(Table):
    """`[[sinks]]` of kind `feed`: the regulators' feed to one broker. A feed may have several."""

    kind: Literal["feed"] = Field(description="The regulators' feed, docs/specs/feed.md.")
    id: Id = Field(description="Id of the sink, names its place in the outbox.")
    host: Host = Field(description="Name or address of the broker.")
    port: Port = Field(default=8883, description="TCP port; 1883 is usual without TLS.")
    protocol: Literal["5", "3.1.1"] = Field(
        default="5", description="MQTT version; 5 where the broker speaks it."
    )
    user: str = Field(default="", description="User name; empty: none.")
    password_file: File = Field(
        default="", validate_default=True, description="File that holds the password."
    )
    password_credential: str = Field(default="", description="systemd credential that holds the password.")
    tls: TlsConfig = Field(default=TlsConfig(), description="Transport security.")
    backlog_rate: int = Field(default=50, gt=0, description="Messages per second at most while catching up.")


class FeedInfluxConfig(Table):
    """`[[sinks]]` of kind `feed-influx`: intervals, totals and completeness into an InfluxDB v2 write endpoint."""

    kind: Literal["feed-influx"] = Field(description="InfluxDB v2, docs/specs/influx-schema.md.")
    id: Id = Field(description="Id of the sink, names its place in the outbox.")
    url: HttpUrl = Field(description="Base address of the server.", examples=["http://127.0.0.1:8086"])
    org: str = Field(min_length=1, description="Organisation.")
    bucket: str = Field(min_length=1, description="Bucket.")
    token_file: File = Field(default="", validate_default=True, description="File that holds the token.")
    token_credential: str = Field(default="", description="systemd credential that holds the token.")
    tls: TlsConfig = Field(
        default=TlsConfig(),
        description="Own CA or client certificate of an https URL; enabled where one is named.",
    )
    gzip: bool = Field(default=True, description="Compress requests.")
    timeout_s: Timeout = Field(
        default="10s", validate_default=True, alias="timeout", description="Longest wait for one request."
    )
    backlog_rate: int = Field(default=50, gt=0, description="Messages per second at most while catching up.")


FEED_KINDS = (FeedMqttConfig, FeedInfluxConfig)
"""Sinks that take signed messages from the outbox instead of readings from the journal."""
SinkConfig = MqttConfig | InfluxConfig | FeedMqttConfig | FeedInfluxConfig
SINK_KINDS = kinds(SinkConfig)

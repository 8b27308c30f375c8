"""`[[links]]`: one class for each kind of physical connection.

A new kind of link is one class here and its name in the union `LinkConfig`.
"""

from __future__ import annotations

import os
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from gateway.config.base import Port, Table, Timeout, kinds
from gateway.config.urls import OpcuaUrl
from gateway.config.values import Device, File, Host, Id, Seconds, within


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


def host_and_port(host: str, port: int) -> str:
    """Return a TCP endpoint in one spelling; the loopback's names are one host."""
    host = host.lower().rstrip(".")
    return f"{'127.0.0.1' if host in {'localhost', '::1'} else host}:{port}"


CONNECT_PAUSE = "Wait after opening, before the first request: some converters lose what is sent at once."


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
    timeout_min_s: Timeout = Field(
        default="100ms",
        validate_default=True,
        alias="timeout_min",
        description="Shortest wait, however fast a meter has answered so far.",
    )
    connect_pause_s: Annotated[Seconds, within("0s", "30s")] = Field(
        default="0s", validate_default=True, alias="connect_pause", description=CONNECT_PAUSE
    )
    pipeline: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Requests that may be outstanding at once; more than 1 only where the meter's manual allows it.",
    )

    def endpoint(self) -> str:
        """Return host and port; the loopback's names are one host."""
        return host_and_port(self.host, self.port)


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
    mode: Literal["poll", "subscribe"] = Field(
        default="poll",
        description="Ask for the values at every period, or let the server report what changed.",
    )
    reporting_s: Annotated[Seconds, within("50ms", "1h")] = Field(
        default="1s",
        validate_default=True,
        alias="reporting",
        description="subscribe: how often the server reports (publishing interval); it may choose a longer one.",
    )
    sampling_s: Annotated[Seconds, within("0s", "1h")] = Field(
        default="0s",
        validate_default=True,
        alias="sampling",
        description="subscribe: how often the server looks at a variable; 0s: as often as it reports.",
    )
    queue: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=10, description="subscribe: changes of one variable the server keeps between two reports."
    )
    deadband: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="subscribe: changes up to this size, in the server's own unit, are not reported; 0: every change is.",
    )
    security: Literal["none", "basic256sha256", "aes128_sha256_rsaoaep", "aes256_sha256_rsapss"] = Field(
        default="none", description="Security policy of the session."
    )
    security_mode: Literal["sign", "sign_and_encrypt"] = Field(
        default="sign_and_encrypt", description="What a security policy does with each message."
    )
    cert_file: File = Field(
        default="",
        validate_default=True,
        description="Own application certificate, PEM or DER; empty: made and kept in `<state_dir>/opcua/own`.",
    )
    key_file: File = Field(
        default="", validate_default=True, description="Key of cert_file, RSA, without password."
    )
    user_cert_file: File = Field(
        default="",
        validate_default=True,
        description="Certificate to log in with, instead of user and password.",
    )
    user_key_file: File = Field(default="", validate_default=True, description="Key of user_cert_file.")

    def endpoint(self) -> str:
        """Return the URL in one spelling."""
        parts = urlsplit(self.url)
        host = (parts.hostname or "").rstrip(".")
        return f"opc.tcp://{'127.0.0.1' if host in {'localhost', '::1'} else host}:{parts.port or 4840}{parts.path.rstrip('/')}"


class LineTable(LinkTable):
    """What serial lines have, with a port of this machine or behind a serial device server."""

    protocols: ClassVar[frozenset[str]] = frozenset({"modbus", "dlt645", "cjt188"})

    baud: Literal[300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = Field(
        default=9600, description="Baud rate of the line, the same for all its meters."
    )
    parity: Literal["N", "E", "O"] = Field(
        default="E", description="None, even (what Modbus and DL/T 645 prescribe) or odd."
    )
    stop: Literal[1, 2] = Field(default=1, description="Stop bits.")
    timeout_s: Timeout = Field(
        default="1s",
        validate_default=True,
        alias="timeout",
        description="Longest wait for the first byte of an answer; the time on the wire comes on top.",
    )
    timeout_min_s: Timeout = Field(
        default="100ms",
        validate_default=True,
        alias="timeout_min",
        description="Shortest wait, however fast a meter has answered so far; for this long at least a late answer is expected.",
    )
    turnaround_s: Annotated[Seconds, within("0s", "10s")] = Field(
        default="0s",
        validate_default=True,
        alias="turnaround",
        description="Extra silence before another meter is asked, on top of the protocol's own.",
    )
    connect_pause_s: Annotated[Seconds, within("0s", "30s")] = Field(
        default="0s", validate_default=True, alias="connect_pause", description=CONNECT_PAUSE
    )
    late_max_s: Annotated[Seconds, within("0s", "10min")] = Field(
        default="10s",
        validate_default=True,
        alias="late_max",
        description="How late an answer may come after its time was up; until then it cannot be taken for another.",
    )
    echo: bool = Field(
        default=False, description="The adapter hears what it sends; its own bytes are taken off."
    )


class SerialConfig(LineTable):
    """`[[links]]` of kind `serial`: one serial port with its line of meters."""

    endpoint_key: ClassVar[str] = "port"

    kind: Literal["serial"] = Field(
        description="RS-485 or RS-232 line: Modbus RTU, DL/T 645, CJ/T 188, also mixed."
    )
    port: Device = Field(
        description="Device of the port; a name under /dev/serial/by-id survives replugging.",
        examples=["/dev/ttyUSB0"],
    )

    def endpoint(self) -> str:
        """Return the device the port's name leads to."""
        return os.path.realpath(self.port)


class TcpSerialConfig(LineTable):
    """`[[links]]` of kind `tcp-serial`: a line behind a serial device server that passes bytes on as they are."""

    endpoint_key: ClassVar[str] = "host"

    kind: Literal["tcp-serial"] = Field(
        description="Raw TCP to a serial device server: Modbus RTU over TCP, DL/T 645, CJ/T 188."
    )
    host: Host = Field(description="Name or address of the serial device server.")
    port: Port = Field(description="TCP port of the line.")

    def endpoint(self) -> str:
        """Return host and port; the loopback's names are one host."""
        return host_and_port(self.host, self.port)


LinkConfig = ModbusTcpConfig | SerialConfig | TcpSerialConfig | OpcuaConfig
LINK_KINDS = kinds(LinkConfig)

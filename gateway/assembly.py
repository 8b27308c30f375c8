"""From the site file to links, targets and sinks: the one place that knows which class serves which kind.

A new protocol is one folder in `drivers/` and one line in `LINKS`, or in `LINE_READERS` if it is spoken on serial lines;
a new sink one module and one line in `SINKS`.
Heavy libraries are imported only when a link or sink of their kind is configured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.links import ModbusTcpConfig, OpcuaConfig, SerialConfig, TcpSerialConfig
from gateway.config.meters import profile_library
from gateway.config.sinks import FeedInfluxConfig, FeedMqttConfig, InfluxConfig, MqttConfig
from gateway.config.summary import channels, period_of
from gateway.model import MeterInfo
from gateway.secret_files import read_secret
from gateway.targets import ProfileTarget, RatioReader, VariablesTarget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from drivers.lines.contract import Line, Reader
    from drivers.lines.line import HalfDuplexLine
    from drivers.lines.port import Port as LinePort
    from drivers.profiles import Library
    from gateway.config.links import LineTable, LinkConfig
    from gateway.config.models import MeterConfig, Site
    from gateway.config.sinks import SinkConfig
    from gateway.feed.entries import Destination
    from gateway.interfaces import Clock, Directory, Link, Notice, Sink
    from gateway.polling.target import Target
    from gateway.sinks.tls import TlsFiles
    from gateway.targets import SiteDirectory


def _modbus_tcp(config: ModbusTcpConfig, clock: Clock) -> Link:
    from drivers.modbus.driver import ModbusTcpLink

    return ModbusTcpLink(
        config.host,
        config.port,
        timeout_s=config.timeout_s,
        clock=clock,
        name=config.id,
        timeout_min_s=config.timeout_min_s,
        pipeline=config.pipeline,
        connect_pause_s=config.connect_pause_s,
    )


def _serial(config: SerialConfig, clock: Clock) -> Link:
    from drivers.lines.port import SerialPort
    from drivers.lines.timing import Timing

    port = SerialPort(config.port, Timing(config.baud, config.parity, config.stop))
    return _line(config, port, clock, own_gaps=True)


def _tcp_serial(config: TcpSerialConfig, clock: Clock) -> Link:
    from drivers.lines.port import TcpPort

    return _line(config, TcpPort(config.host, config.port), clock, own_gaps=False)


def _line(config: LineTable, port: LinePort, clock: Clock, *, own_gaps: bool) -> Link:
    from drivers.lines.line import HalfDuplexLine, LineSettings
    from drivers.lines.link import LineLink
    from drivers.lines.timing import Timing

    settings = LineSettings(
        timing=Timing(config.baud, config.parity, config.stop),
        own_gaps=own_gaps,
        turnaround_s=config.turnaround_s,
        timeout_min_s=config.timeout_min_s,
        late_max_s=config.late_max_s,
        echo=config.echo,
        connect_pause_s=config.connect_pause_s,
    )
    line = HalfDuplexLine(port, settings, clock, config.id)
    return LineLink(line, clock, config.id, LINE_READERS)


def _modbus_reader(line: HalfDuplexLine, clock: Clock, name: str, notice: Notice) -> Reader:
    from drivers.modbus.line import line_reader

    return line_reader(line, clock, name, notice)


def _opcua(config: OpcuaConfig, clock: Clock, state_dir: Path | None = None) -> Link:
    from drivers.opcua.driver import OpcUaLink
    from drivers.opcua.session import Security
    from drivers.opcua.subscription import Reporting

    password = read_secret(config.password_file, config.password_credential)
    by_time = config.stale_after_s > 0
    how = Reporting(config.reporting_s, config.sampling_s, config.queue, config.deadband, by_time)
    return OpcUaLink(
        config.url,
        timeout_s=config.timeout_s,
        clock=clock,
        name=config.id,
        user=config.user,
        password=password,
        stale_after_s=config.stale_after_s,
        security=Security(
            config.security,
            config.security_mode,
            state_dir,
            config.cert_file,
            config.key_file,
            config.user_cert_file,
            config.user_key_file,
        ),
        reporting=how if config.mode == "subscribe" else None,
    )


def _dlt645_reader(line: Line, clock: Clock, name: str, notice: Notice) -> Reader:
    from drivers.dlt645.reader import reader

    return reader(line, clock, name, notice)


def _cjt188_reader(line: Line, clock: Clock, name: str, notice: Notice) -> Reader:
    from drivers.cjt188.reader import reader

    return reader(line, clock, name, notice)


def _mqtt(config: MqttConfig, directory: Directory, clock: Clock) -> Sink:
    from gateway.sinks.mqtt import MqttSink

    return MqttSink(
        id=config.id,
        host=config.host,
        port=config.port,
        directory=directory,
        clock=clock,
        prefix=config.prefix,
        protocol=config.protocol,
        group=config.group,
        user=config.user or None,
        password=read_secret(config.password_file, config.password_credential),
        tls=_tls(config),
    )


def _tls(config: SinkConfig) -> TlsFiles | None:
    from gateway.sinks.tls import TlsFiles

    files = config.tls
    return TlsFiles(files.ca_file, files.cert_file, files.key_file) if config.uses_tls else None


def _influx(config: InfluxConfig, directory: Directory, clock: Clock) -> Sink:
    from gateway.sinks.influx import InfluxSink

    return InfluxSink(
        id=config.id,
        url=config.url,
        org=config.org,
        bucket=config.bucket,
        token=read_secret(config.token_file, config.token_credential) or "",
        directory=directory,
        clock=clock,
        measurement=config.measurement,
        tls=_tls(config),
        gzip=config.gzip,
        timeout_s=config.timeout_s,
    )


def _feed(config: FeedMqttConfig, site: Site, clock: Clock) -> Destination:
    from gateway.sinks.feed_mqtt import FeedMqtt

    return FeedMqtt(
        id=config.id,
        host=config.host,
        port=config.port,
        gateway=site.gateway.id,
        region=site.site.region,
        enterprise=site.site.enterprise,
        zone=site.site.timezone,
        clock=clock,
        prefix=site.feed.prefix,
        protocol=config.protocol,
        user=config.user,
        password=read_secret(config.password_file, config.password_credential),
        tls=_tls(config),
    )


def _feed_influx(config: FeedInfluxConfig, _site: Site, clock: Clock) -> Destination:
    from gateway.sinks.feed_influx import FeedInflux
    from gateway.sinks.influx_connection import InfluxLines

    lines = InfluxLines(
        id=config.id,
        url=config.url,
        org=config.org,
        bucket=config.bucket,
        token=read_secret(config.token_file, config.token_credential) or "",
        clock=clock,
        tls=_tls(config),
        gzip=config.gzip,
        timeout_s=config.timeout_s,
    )
    return FeedInflux(lines)


LINKS: dict[type[LinkConfig], Callable[..., Link]] = {
    ModbusTcpConfig: _modbus_tcp,
    SerialConfig: _serial,
    TcpSerialConfig: _tcp_serial,
    OpcuaConfig: _opcua,
}
LINE_READERS: dict[str, Callable[..., Reader]] = {
    "modbus": _modbus_reader,
    "dlt645": _dlt645_reader,
    "cjt188": _cjt188_reader,
}
"""Protocol -> its reader on a line, made of (line, clock, link id, notice)."""
SINKS: dict[type[SinkConfig], Callable[..., Sink]] = {MqttConfig: _mqtt, InfluxConfig: _influx}
DESTINATIONS: dict[type, Callable[..., Destination]] = {
    FeedMqttConfig: _feed,
    FeedInfluxConfig: _feed_influx,
}
"""What takes signed messages from the outbox."""


def library(site: Site | None) -> Library:
    """Return the profiles a site may use: its own folders first, then those shipped."""
    own = () if site is None else site.gateway.profile_dirs
    return profile_library(own)


def link(config: LinkConfig, clock: Clock, state_dir: Path | None = None) -> Link:
    """Return the link a `[[links]]` table describes, not yet open.

    state_dir: where a link may keep files (certificates of OPC UA); without one it trusts no server.
    """
    if isinstance(config, OpcuaConfig):
        return _opcua(config, clock, state_dir)
    return LINKS[type(config)](config, clock)


def sink(config: SinkConfig, directory: Directory, clock: Clock) -> Sink:
    """Return the sink a `[[sinks]]` table describes, not yet open."""
    return SINKS[type(config)](config, directory, clock)


def destination(config: FeedMqttConfig | FeedInfluxConfig, site: Site, clock: Clock) -> Destination:
    """Return the destination of the feed a `[[sinks]]` table describes, not yet open."""
    return DESTINATIONS[type(config)](config, site, clock)


def meter_infos(site: Site) -> tuple[MeterInfo, ...]:
    """Return what may be announced of every enabled meter, in site-file order."""
    return tuple(
        MeterInfo(m.id, m.name, m.link, m.profile, m.energy_kind, dict(m.labels))
        for m in site.meters
        if m.enabled
    )


def targets(site: Site, library: Library, directory: SiteDirectory, clock: Clock) -> dict[str, list[Target]]:
    """Return the targets of every link, in site-file order: first by meter, then by period."""
    found: dict[str, list[Target]] = {link_.id: [] for link_ in site.links}
    for meter in site.meters:
        if meter.enabled:
            timeout_s = meter.timeout_s or site.link(meter.link).timeout_s
            found[meter.link] += _of_meter(meter, library, timeout_s, directory, clock)
    return found


def _of_meter(
    meter: MeterConfig, library: Library, timeout_s: float, directory: SiteDirectory, clock: Clock
) -> list[Target]:
    parts = by_period(meter, channels(meter, library)).items()
    if meter.variables:
        return [VariablesTarget(meter, own, period_s, timeout_s, directory) for period_s, own in parts]
    profile = library.get(meter.profile)
    ratios = RatioReader(meter, profile, timeout_s, clock)
    return [
        ProfileTarget(meter, profile, own, period_s, timeout_s, ratios, directory) for period_s, own in parts
    ]


def by_period(meter: MeterConfig, keys: tuple[str, ...]) -> dict[float, tuple[str, ...]]:
    """Return period → channel keys, the meter's own period first."""
    found: dict[float, list[str]] = {meter.period_s: []}
    for key in keys:
        found.setdefault(period_of(meter, key), []).append(key)
    return {period_s: tuple(own) for period_s, own in found.items() if own}

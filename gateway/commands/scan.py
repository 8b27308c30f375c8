"""`metergate scan`: which unit ids answer, at which baud rate and parity, and what to write into the site file."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import typer

from gateway.assembly import library
from gateway.clock import SystemClock
from gateway.commands.bus_tables import print_scan
from gateway.commands.bus_work import STOPPED, execute, politely
from gateway.commands.options import link_of, print_json
from gateway.commands.probe_identified import ANSWER_WAIT_S
from gateway.commands.scan_pace import Pace, progress
from gateway.commands.scan_types import Types, cjt188_meter_types, probe_found, tell_by_type
from gateway.commissioning.bus import LiveBus, connect, offline, standalone
from gateway.commissioning.scan import (
    DLT645_PROFILE,
    Scan,
    cjt188_types,
    proposal,
    remarks,
    scan_cjt188,
    scan_dlt645,
    scan_units,
    units,
)
from gateway.config.links import LineTable, ModbusTcpConfig, OpcuaConfig, SerialConfig, TcpSerialConfig
from gateway.config.meters import address_of
from gateway.config.site_file import load
from gateway.energy_kinds import ENERGY_KINDS, plausible
from gateway.errors import ConfigError, Finding, LinkDown, MetergateError
from gateway.polling.errand_queue import Busy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.progress import Progress

    from drivers.profiles import Library
    from gateway.commissioning.bus import Bus
    from gateway.config.links import LinkConfig
    from gateway.config.models import Site

NEW_LINK = "line-1"
MODBUS_PORT = 502
PROTOCOLS = ("modbus", "dlt645", "cjt188")


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What was typed; exactly one of link, host and port is given. protocol: "" for all the link may carry."""

    link: str
    host: str
    rtu: bool
    port: str
    first: int
    last: int
    timeout_s: float
    bauds: tuple[int, ...]
    parities: tuple[str, ...]
    probe: bool
    protocol: str = ""

    def asks(self, protocol: str) -> bool:
        """Return whether meters of a protocol are looked for."""
        return self.protocol in ("", protocol)


class Where(NamedTuple):
    """What is scanned. site: None for a link no site file names."""

    site: Site | None
    config: LinkConfig


def scan(path: Path, options: ScanOptions, *, as_json: bool, config_given: bool) -> int:
    """Print who answers and return the exit code."""
    where = _where(path, options, config_given)
    if isinstance(where.config, OpcuaConfig):
        raise MetergateError(
            f"link {where.config.id} is an OPC UA server, which has no unit ids: `metergate probe {where.config.id}` lists its variables"
        )
    if options.protocol not in ("", *PROTOCOLS):
        raise MetergateError(f'--protocol: no "{options.protocol}"; expected {", ".join(PROTOCOLS)}')
    if options.protocol not in ("", "modbus") and not isinstance(where.config, LineTable):
        raise MetergateError(
            f"link {where.config.id} is of kind {where.config.kind}: {options.protocol} meters are on serial lines"
        )
    settings = _settings(where.config, options)
    known_types = library(where.site)
    figures = execute(_run(where, options, settings, known_types))
    print_json(figures) if as_json else print_scan(figures)
    return 0 if figures["is_whole"] else STOPPED


def _where(path: Path, options: ScanOptions, config_given: bool) -> Where:
    """Return the link to scan; one without a name is looked up in the site file, whose gateway may own it."""
    site = load(path) if options.link or config_given or path.exists() else None
    if options.link:
        assert site is not None
        return Where(site, site.link(link_of(site, options.link)))
    config = _described(options)
    for link in () if site is None else site.links:
        if type(link) is type(config) and link.endpoint() == config.endpoint():
            return Where(site, link)
    return Where(None, config)


def _described(options: ScanOptions) -> LinkConfig:
    """Return the link that --host or --port describes. Raises ConfigError."""
    body: dict[str, Any] = {"id": NEW_LINK, "late_max": "1s"}
    if options.port:
        return SerialConfig.model_validate(body | {"kind": "serial", "port": options.port})
    host, colon, digits = options.host.rpartition(":")
    if not colon or "]" in digits:
        host, digits = options.host, str(MODBUS_PORT)
    if not digits.isdecimal() or not 0 < int(digits) < 65536:
        raise ConfigError([Finding("--host", options.host, "HOST or HOST:PORT, such as 10.0.0.5:502")])
    where = {"host": host.strip("[]"), "port": int(digits)}
    if options.rtu:
        return TcpSerialConfig.model_validate(body | {"kind": "tcp-serial"} | where)
    return ModbusTcpConfig.model_validate({"id": NEW_LINK, "kind": "modbus-tcp"} | where)


def _settings(config: LinkConfig, options: ScanOptions) -> list[LinkConfig]:
    """Return the link in every setting to try. Raises MetergateError."""
    if not options.bauds and not options.parities:
        return [config]
    if not isinstance(config, SerialConfig):
        raise MetergateError(
            "--bauds and --parities set a serial port of this machine; a device server keeps its own settings: change them there"
        )
    parities = options.parities or (config.parity,)
    found: list[LinkConfig] = []
    for baud in options.bauds or (config.baud,):
        for parity in parities:
            stop = config.stop if parity == config.parity else 1
            wish: dict[str, Any] = {"baud": baud, "parity": parity, "stop": stop}
            try:
                SerialConfig.model_validate({"id": config.id, "kind": "serial", "port": config.port} | wish)
            except ValueError as error:
                known = "300 … 115200 baud as serial ports have them, parity N, E or O"
                raise MetergateError(f"--bauds {baud} --parities {parity}: expected {known}") from error
            found.append(config.model_copy(update=wish))
    return found


def _words(config: LinkConfig) -> str:
    return f"{config.baud} {config.parity}{config.stop}" if isinstance(config, LineTable) else ""


async def _run(
    where: Where, options: ScanOptions, settings: list[LinkConfig], known_types: Library
) -> dict[str, Any]:
    found, clock = Scan(), SystemClock()
    types = Types()
    used = settings[0]
    with progress() as bar, politely() as stop:
        for config in settings:
            async with AsyncExitStack() as held:
                bus = await _opened(held, where, config, own=bool(options.bauds or options.parities))
                asked = cjt188_meter_types(known_types) if options.protocol == "cjt188" else ()
                await _one_setting(bus, config, options, asked, found, bar, stop.is_set)
                if found.meters() and options.probe:
                    task = bar.add_task("probe", total=len(found.meters()))
                    told = partial(bar.update, task, advance=1)
                    await probe_found(bus, found, known_types, types, told, stop.is_set, options.timeout_s)
            if found.meters() or not found.is_whole:
                used = config
                break
    tell_by_type(found, known_types, types)
    return _figures(where, used, found, types, known_types, clock.wall_ns())


async def _opened(held: AsyncExitStack, where: Where, config: LinkConfig, *, own: bool) -> Bus:
    """Open the link in a setting that was asked for (own), or in its own, or reach it through the gateway. Raises MetergateError, LinkDown."""
    clock = SystemClock()
    if where.site is None:
        return await held.enter_async_context(standalone(config, clock))
    bus = await held.enter_async_context(connect(where.site, config.id, clock))
    if not own:
        return bus
    if isinstance(bus, LiveBus):
        raise MetergateError(
            f"link {config.id}: a gateway runs on it, so its port keeps its settings: stop the gateway to try others, or scan "
            "without --bauds and --parities"
        )
    await held.aclose()
    return await held.enter_async_context(offline(where.site, config.id, clock, config=config))


async def _one_setting(
    bus: Bus,
    config: LinkConfig,
    options: ScanOptions,
    meter_types: tuple[int, ...],
    found: Scan,
    bar: Progress,
    stopped: Callable[[], bool],
) -> None:
    """Ask everybody once. A line is asked for a lone DL/T 645 and CJ/T 188 meter first: that is three requests.

    meter_types: of CJ/T 188, asked one by one beside the one that stands for all.
    """
    words = _words(config)
    is_line = isinstance(config, LineTable)
    wanted = units(options.first, options.last) if options.asks("modbus") else ()
    asks_dlt, asks_cjt = is_line and options.asks("dlt645"), is_line and options.asks("cjt188")
    clock = SystemClock()
    alone_s = max(options.timeout_s, ANSWER_WAIT_S)
    alone_count = asks_dlt + asks_cjt * len(cjt188_types(meter_types))
    waits_s = [alone_s] * alone_count + [options.timeout_s] * len(wanted)
    pace = Pace(waits_s, clock, is_live=isinstance(bus, LiveBus))
    if pace.words():
        typer.echo(f"scan {config.id}: {pace.words()}", err=True)
    name = f"scan {config.id} {words}".strip() + (" beside the gateway" if pace.is_live else "")
    task = bar.add_task(name, total=len(waits_s), pace=pace)

    def told(scan: Scan) -> None:
        pace.step()
        bar.update(task, advance=1, description=f"{name}: {len(scan.meters())} found")

    alone = _Asking(timeout_s=alone_s, scan=found, settings=words, told=told)
    try:
        if asks_dlt and not stopped():
            await scan_dlt645(bus, clock, stopped=stopped, **alone)
        if asks_cjt:
            await scan_cjt188(bus, clock, meter_types=meter_types, stopped=stopped, **alone)
        each = _Asking(timeout_s=options.timeout_s, scan=found, settings=words, told=told)
        await scan_units(bus, wanted, clock, stopped=stopped, **each)
    except (LinkDown, Busy, ConnectionError) as error:
        if not found.found:
            raise
        found.is_whole = False
        found.ended = str(error)


class _Asking(TypedDict):
    """What every kind of scan takes."""

    timeout_s: float
    scan: Scan
    settings: str
    told: Callable[[Scan], None]


def _figures(
    where: Where,
    config: LinkConfig,
    found: Scan,
    types: Types,
    known_types: Library,
    time_ns: int,
) -> dict[str, Any]:
    """Return the result as plain JSON values."""
    meters = () if where.site is None else where.site.meters
    known = {address_of(meter): meter.id for meter in meters if meter.link == config.id}
    kinds = {name: _kind(known_types.get(name).medium) for best in types.profiles.values() for name in best}
    named = {name for best in types.profiles.values() for name in best} | {DLT645_PROFILE}
    typed = {
        name: [ratio for ratio, table in known_types.get(name).ratios.items() if table.configured]
        for name in named
    }
    text = proposal(
        found,
        config.id,
        known=known,
        profiles=types.profiles,
        kinds=kinds,
        ratios=typed,
        variants=types.variants,
        link=config if where.site is None else None,
    )
    rows = [
        one._asdict()
        | {"meter": known.get(one.address, ""), "profiles": list(types.profiles.get(one.address, ()))}
        for one in found.found
    ]
    return {
        "link": config.id,
        "endpoint": config.endpoint(),
        "time_ns": time_ns,
        "asked": found.asked,
        "is_whole": found.is_whole,
        "found": rows,
        "remarks": remarks(found, config.kind) + _of_settings(where, config, found),
        "proposal": text,
    }


def _of_settings(where: Where, used: LinkConfig, found: Scan) -> list[str]:
    """Return what to know of a setting that was tried and is not the link's own."""
    if used == where.config or not isinstance(used, LineTable) or not found.meters():
        return []
    said = []
    if where.site is not None:
        own = f'baud = {used.baud}, parity = "{used.parity}", stop = {used.stop}'
        said.append(
            f"link {used.id} of the site file has {_words(where.config)}, but they answer at {_words(used)}: write {own}"
        )
    if used.parity == "N":
        said.append(
            "8N1 and 8N2 cannot be told apart by asking: stop = 1 was tried; write stop = 2 if the meter's manual says so"
        )
    return said


def _kind(medium: str) -> str:
    """Return the energy kind that is most likely for a medium."""
    fitting = plausible(medium)
    return medium if medium in fitting else next(kind for kind in ENERGY_KINDS if kind in fitting)

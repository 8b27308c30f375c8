"""What the commands that talk to meters have in common, and `metergate read`."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.clock import SystemClock, iso, local
from gateway.commands.bus_tables import print_identified, print_raw, print_reading
from gateway.commands.loop import run
from gateway.commands.options import link_of, meter_of, print_json
from gateway.commissioning.bus import connect
from gateway.config.links import OpcuaConfig
from gateway.config.site_file import load
from gateway.config.summary import MANUAL_FIRST, MANUAL_HOLDING
from gateway.control.errands import Question
from gateway.errors import DeviceError, MetergateError
from gateway.log import configure
from gateway.wire import BYTE_TYPES, ORDERS, TYPES, order_of
from gateway.wire import exact as exact_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from pathlib import Path

    from gateway.config.models import MeterConfig, Site
    from gateway.control.errands import Answer

T = TypeVar("T")

STOPPED = 130
"""Exit code of a search that Ctrl-C ended; what was found so far is printed. Source: 128 + SIGINT, as shells have it."""
_BITS = (1, 2)
ILLEGAL_ADDRESS = 2  # Modbus exception code; Source: Modbus application protocol V1.1b3, 7
DIGITS = {12: "dlt645", 14: "cjt188"}
"""Digits of a meter's number -> protocol, as in the site file (docs/specs/site-file.md)."""
CJT_VALUES_AT = 3  # of a CJ/T 188 reply's data field: identifier and serial come first


def execute(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what drivers log of single requests is not for those who look at a table."""
    configure("error", "text")
    return run(main)


@contextmanager
def politely() -> Iterator[asyncio.Event]:
    """Yield an event that Ctrl-C sets; a second Ctrl-C ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_interrupt() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def progress() -> Progress:
    """Return a progress bar on stderr; silent where stderr is no terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def unit_of(meter: MeterConfig) -> int:
    """Return a meter's Modbus unit id. Raises MetergateError."""
    if meter.unit is None:
        raise MetergateError(f"meter {meter.id} has no Modbus unit id; `metergate read {meter.id}` reads it")
    return meter.unit


def _meter_named(site: Site, names: list[str]) -> MeterConfig:
    link = next((link for link in site.links if [link.id] == names), None)
    if link is not None:
        how = (
            f"`metergate probe {link.id}` lists its variables"
            if isinstance(link, OpcuaConfig)
            else "or for a raw read add --unit and --register (DL/T 645, CJ/T 188: --address and --di)"
        )
        raise MetergateError(f"{link.id} is a link: name a meter on it, {how}")
    meter = meter_of(site, names[-1])
    if len(names) > 1 and meter.link != link_of(site, names[0]):
        raise MetergateError(f"meter {meter.id} is on link {meter.link}, not on {names[0]}")
    if not meter.enabled:
        raise MetergateError(f"meter {meter.id} is disabled in the site file: set enabled = true")
    return meter


async def _again(work: Callable[[], Awaitable[bool]], every_s: float | None, zone: str) -> bool:
    """Do something once, or every so often until Ctrl-C; return whether the last time was good. zone: the site's.

    Once: Ctrl-C cancels it at once, for nothing was found that might be shown.
    """
    if every_s is None:
        return await work()
    with politely() as stop:
        while True:
            try:
                good = await work()
            except MetergateError as error:
                good = False
                typer.echo(f"{local(SystemClock().wall_ns(), zone)} metergate: {error}", err=True)
            try:
                async with asyncio.timeout(every_s):
                    await stop.wait()
            except TimeoutError:
                continue
            return good


def read_meter(path: Path, names: list[str], *, every_s: float | None, as_json: bool) -> int:
    """Print what a meter shows and return the exit code: 1 if it did not answer."""
    site = load(path)
    meter = _meter_named(site, names)
    sources = {key: variable.id for key, variable in meter.variables.items()}

    async def work() -> bool:
        async with connect(site, meter.link, SystemClock()) as bus:

            async def once() -> bool:
                found = await bus.poll(meter.id)
                if as_json:
                    print_json(found)
                else:
                    print_reading(found, site.site.timezone, SystemClock().wall_ns(), sources)
                return bool(found["channels"])

            return await _again(once, every_s, site.site.timezone)

    return 0 if execute(work()) else 1


@dataclass(frozen=True, slots=True)
class RawRead:
    """One raw read as typed. unit: None for a meter's own."""

    unit: int | None
    function: int
    address: int
    count: int
    type: str
    order: str
    timeout_s: float


def read_raw(path: Path, names: list[str], wanted: RawRead, *, every_s: float | None, as_json: bool) -> int:
    """Print registers that no profile describes and return the exit code. Raises MetergateError, DeviceError."""
    site = load(path)
    if len(names) > 1 or any(meter.id == names[0] for meter in site.meters):
        meter = _meter_named(site, names)
        link, unit = meter.link, unit_of(meter) if wanted.unit is None else wanted.unit
    else:
        link, unit = link_of(site, names[0]), wanted.unit if wanted.unit is not None else -1
    if unit < 0:
        raise MetergateError(
            f"link {link}: which meter? Add --unit; `metergate scan {link}` shows who answers"
        )
    wanted = _checked(wanted)
    source = (wanted.function, wanted.address, wanted.count)
    question = Question("modbus", unit, (source,), timeout_s=wanted.timeout_s)

    async def work() -> bool:
        async with connect(site, link, SystemClock()) as bus:

            async def once() -> bool:
                try:
                    answer = await bus.ask(question)
                except DeviceError as error:
                    raise _of_a_manual(error, wanted) from error
                found = raw_figures(wanted, link, unit, answer)
                print_json(found) if as_json else print_raw(found)
                return True

            return await _again(once, every_s, site.site.timezone)

    return 0 if execute(work()) else 1


def _of_a_manual(error: DeviceError, wanted: RawRead) -> MetergateError:
    """Return the error, with what to try where the address refused looks like a number of a manual."""
    if error.code != ILLEGAL_ADDRESS or wanted.address < MANUAL_FIRST:
        return error
    first = MANUAL_HOLDING if wanted.address >= MANUAL_HOLDING else MANUAL_FIRST
    function = 3 if first == MANUAL_HOLDING else 4
    return MetergateError(
        f"{error}; if {wanted.address} is the manual's number, it is {wanted.address - first} on the wire: try --function {function} "
        f"--register {wanted.address - first}"
    )


@dataclass(frozen=True, slots=True)
class IdentifiedRead:
    """One raw read by data identifier as typed. address: "" for a meter's own; meter_type: CJ/T 188 only."""

    address: str
    di: int
    count: int
    meter_type: int | None
    timeout_s: float


def read_identified(
    path: Path, names: list[str], wanted: IdentifiedRead, *, every_s: float | None, as_json: bool
) -> int:
    """Print a value that no profile describes and return the exit code. Raises MetergateError, DeviceError."""
    site = load(path)
    if len(names) > 1 or any(meter.id == names[0] for meter in site.meters):
        meter = _meter_named(site, names)
        link, address = meter.link, wanted.address or meter.address
    else:
        link, address = link_of(site, names[0]), wanted.address
    question = _identified(wanted, address)

    async def work() -> bool:
        async with connect(site, link, SystemClock()) as bus:

            async def once() -> bool:
                found = identified_figures(wanted, link, question, await bus.ask(question))
                print_json(found) if as_json else print_identified(found)
                return True

            return await _again(once, every_s, site.site.timezone)

    return 0 if execute(work()) else 1


def _identified(wanted: IdentifiedRead, address: str) -> Question:
    """Return the question by identifier, the protocol told by the length of the meter's number. Raises MetergateError."""
    protocol = DIGITS.get(len(address)) if address.isdecimal() else None
    if protocol is None:
        raise MetergateError(
            f'--address: "{address}" is no meter number; expected 12 digits (DL/T 645) or 14 (CJ/T 188), as on the plate'
        )
    if protocol == "dlt645":
        return Question(protocol, address, ((wanted.di, wanted.count),), timeout_s=wanted.timeout_s)
    if wanted.meter_type is None:
        raise MetergateError("--meter-type: CJ/T 188 asks for it: 0x10 cold water, 0x11 hot water, 0x20 heat")
    source = (wanted.meter_type, wanted.di, CJT_VALUES_AT, wanted.count)
    return Question(protocol, address, (source,), timeout_s=wanted.timeout_s)


def identified_figures(wanted: IdentifiedRead, link: str, asked: Question, answer: Answer) -> dict[str, Any]:
    """Return a raw value as plain JSON values, interpreted in all ways that fit."""
    size = len(answer.raw)
    names = [name for name, kind in BYTE_TYPES.items() if kind.size == size]
    return {
        "link": link,
        "protocol": asked.protocol,
        "address": asked.address,
        "di": wanted.di,
        "count": size,
        "raw": answer.raw.hex(),
        "readings": {name: _exactly(name, "ABCD", answer.raw) for name in names},
        "flags": list(answer.flags),
        "time": iso(answer.time_ns),
        "round_trip_ms": answer.round_trip_ms,
    }


def _checked(wanted: RawRead) -> RawRead:
    """Return a raw read whose count fits its type. Raises MetergateError."""
    if wanted.order not in ORDERS:
        raise MetergateError(f'--order: "{wanted.order}" is none of {", ".join(ORDERS)}')
    if not wanted.type:
        return wanted
    kind = TYPES.get(wanted.type)
    if kind is None or kind.size % 2 or wanted.function in _BITS:
        raise MetergateError(
            f'--type: "{wanted.type}" is no type of registers; u16, s16, u32, s32, u64, f32, f64 are'
        )
    if wanted.count == 1:
        return replace(wanted, count=kind.size // 2)
    if wanted.count * 2 % kind.size:
        raise MetergateError(f"--count: {wanted.count} registers are no whole number of {wanted.type}")
    return wanted


def raw_figures(wanted: RawRead, link: str, unit: int, answer: Answer) -> dict[str, Any]:
    """Return a raw read as plain JSON values, interpreted as asked, or in all ways that fit."""
    rows = []
    size = TYPES[wanted.type].size if wanted.type else 2
    for at in range(0, len(answer.raw), size):
        piece = answer.raw[at : at + size]
        value = _exactly(wanted.type or "u16", wanted.order if wanted.type else "ABCD", piece)
        rows.append({"address": wanted.address + at // 2, "raw": piece.hex(), "value": value})
    return {
        "link": link,
        "unit": unit,
        "function": wanted.function,
        "address": wanted.address,
        "count": wanted.count,
        "type": wanted.type or "u16",
        "raw": answer.raw.hex(),
        "registers": rows,
        "readings": {} if wanted.type or wanted.function in _BITS else interpretations(answer.raw),
        "time": iso(answer.time_ns),
        "round_trip_ms": answer.round_trip_ms,
    }


def interpretations(raw: bytes) -> dict[str, str | None]:
    """Return "type order" -> number for everything two or four registers may mean; nothing for other lengths."""
    names = {2: ("s16",), 4: ("u32", "s32", "f32"), 8: ("u64", "s64", "f64")}.get(len(raw), ())
    orders = ("ABCD",) if len(raw) <= len(ORDERS["ABCD"]) else tuple(ORDERS)
    return {f"{name} {order}": _exactly(name, order, raw) for name in names for order in orders}


def _exactly(type_name: str, order: str, raw: bytes) -> str | None:
    """Return a number as text, None where the bytes hold none."""
    number = exact_of(type_name, bytes(raw[place] for place in order_of(type_name, order)))
    return None if number is None else str(number)

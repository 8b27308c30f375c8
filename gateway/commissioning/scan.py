"""Who is there: unit ids that answer on a link, and the tables to put into the site file for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from drivers.cjt188.frame import ANY_TYPE
from drivers.identifiers import ANY_ADDRESS, CJT_ADDRESS_DI, CJT_ANY_ADDRESS, CJT_TOLD_BYTES
from gateway.commissioning.reads import Stopped, ask_steadily, is_silence, never
from gateway.config.meters import PROTOCOL_NAMES
from gateway.control.errands import Question
from gateway.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.commissioning.bus import Bus
    from gateway.config.links import LinkConfig
    from gateway.interfaces import Clock

FIRST, LAST = 1, 247
"""Unit ids a meter may have. Source: Modbus over serial line V1.02, 2.2."""
MANY = 4  # so many different unit ids, all answering, are one device that does not look at them
PERIOD = "10s"
DLT645_PROFILE = "dlt645-2007"
CJT_ORDERS = 2  # an identifier goes high or low byte first, by edition or maker


class Answered(NamedTuple):
    """One meter that answered. how: "values", "exception" or "garbled" (something spoke, but not like a meter should).

    settings: baud rate and parity it was found at, where several were tried. meter_type: the byte T of CJ/T 188.
    """

    protocol: str
    address: int | str
    how: str
    text: str
    round_trip_ms: float | None
    settings: str = ""
    meter_type: int | None = None


@dataclass(slots=True)
class Scan:
    """What a scan found. is_whole: False if it was stopped before its end; ended: by what, if not by whoever asked."""

    found: list[Answered] = field(default_factory=list)
    asked: int = 0
    is_whole: bool = True
    noise: list[str] = field(default_factory=list)
    ended: str = ""

    def meters(self) -> list[Answered]:
        """Return what is proved to be a meter."""
        return [one for one in self.found if one.how != "garbled"]


_OTHER_KIND = {
    "modbus-tcp": (
        'a device server may pass the bytes of the line on as they are (raw TCP, 透传): then it is kind = "tcp-serial", '
        "and `metergate scan --host HOST:PORT --rtu` asks that way"
    ),
    "tcp-serial": (
        'a device server may translate to Modbus TCP (Modbus 网关): then it is kind = "modbus-tcp", and '
        "`metergate scan --host HOST:PORT` without --rtu asks that way"
    ),
}
"""Link kind -> what it is easily mistaken for, told where nobody answers."""


def units(first: int, last: int) -> range:
    """Return the unit ids from first to last."""
    return range(first, last + 1)


async def scan_units(
    bus: Bus,
    wanted: Iterable[int],
    clock: Clock,
    *,
    timeout_s: float,
    scan: Scan,
    settings: str = "",
    told: Callable[[Scan], None] = lambda _: None,
    stopped: Callable[[], bool] = never,
) -> None:
    """Ask every Modbus unit id for one register and add to `scan` those that answer. Raises LinkDown, Busy.

    An answer of any kind proves a meter, a refusal too; only exceptions 10 and 11 say that nobody is there.
    """
    for unit in wanted:
        if stopped():
            scan.is_whole = False
            return
        question = Question("modbus", unit, ((3, 0, 1),), timeout_s=timeout_s)
        await _ask(bus, question, clock, scan, settings, stopped)
        told(scan)


async def scan_dlt645(
    bus: Bus,
    clock: Clock,
    *,
    timeout_s: float,
    scan: Scan,
    settings: str = "",
    told: Callable[[Scan], None],
    stopped: Callable[[], bool] = never,
) -> None:
    """Ask the one DL/T 645 meter of a line for its address (通信地址) and add it to `scan`. Raises LinkDown, Busy.

    With two such meters or more on the line their answers collide and nothing can be read.
    """
    if stopped():
        scan.is_whole = False
        return
    question = Question("dlt645", ANY_ADDRESS, ("address",), timeout_s=timeout_s)
    await _ask(bus, question, clock, scan, settings, stopped)
    told(scan)


async def scan_cjt188(
    bus: Bus,
    clock: Clock,
    *,
    timeout_s: float,
    scan: Scan,
    settings: str = "",
    meter_types: Sequence[int] = (),
    told: Callable[[Scan], None],
    stopped: Callable[[], bool] = never,
) -> None:
    """Ask the one CJ/T 188 meter of a line for its type and address (读地址) and add it to `scan`. Raises LinkDown, Busy.

    Asked with the meter type AA, then with each of `meter_types`, until one answers; the reader sends the identifier high
    byte first and low byte first in turn. With two such meters or more on the line their answers collide.
    """
    before = len(scan.found)
    source = CJT_ADDRESS_DI, 0, CJT_TOLD_BYTES
    for meter_type in cjt188_types(meter_types):
        if stopped():
            scan.is_whole = False
            return
        if len(scan.found) == before:
            question = Question("cjt188", CJT_ANY_ADDRESS, ((meter_type, *source),), timeout_s=timeout_s)
            await _ask(bus, question, clock, scan, settings, stopped)
        told(scan)


def cjt188_types(meter_types: Sequence[int]) -> list[int]:
    """Return the meter types of the requests of `scan_cjt188`, in order."""
    return [meter_type for meter_type in (ANY_TYPE, *meter_types) for _ in range(CJT_ORDERS)]


async def _ask(
    bus: Bus, question: Question, clock: Clock, scan: Scan, settings: str, stopped: Callable[[], bool]
) -> None:
    scan.asked += 1
    protocol, address = question.protocol, question.address
    try:
        answer = await ask_steadily(bus, question, clock, stopped)
    except Stopped:
        scan.asked -= 1  # nobody knows what would have come
        scan.is_whole = False
        return
    except DeviceError as error:
        if error.reason == "exception" and not is_silence(error):
            text = "refuses what was asked, so it is there"
            text = f"exception {error.code}: {text}" if error.code is not None else text
            scan.found.append(Answered(protocol, address, "exception", text, None, settings))
        elif error.reason == "garbage":
            text = f"garbled: {error.raw.hex(' ')[:60]}"
            scan.found.append(Answered(protocol, address, "garbled", text, None, settings))
        elif error.reason == "timeout" and error.raw:
            where = f"{protocol} {address}" + (f" at {settings}" if settings else "")
            scan.noise.append(f"{where}: {error.raw.hex(' ')[:60]}")
        return
    meter_type = None
    if protocol == "dlt645":
        address = answer.raw[::-1].hex()
        text = "tells its address 通信地址"
    elif protocol == "cjt188":
        meter_type, address = answer.raw[0], answer.raw[:0:-1].hex()
        text = f"tells its address 通信地址, meter type {meter_type:02X}H"
    else:
        text = f"holding register 0 holds {int.from_bytes(answer.raw, 'big')}"
    scan.found.append(Answered(protocol, address, "values", text, answer.round_trip_ms, settings, meter_type))


def remarks(scan: Scan, kind: str) -> list[str]:
    """Return what a commissioning engineer should know of this result. kind: of the link."""
    found = [f"it ended early: {scan.ended}"] if scan.ended else []
    meters = [one for one in scan.meters() if one.protocol == "modbus"]
    if kind == "modbus-tcp" and len(meters) >= MANY and len(meters) == scan.asked:
        found.append(
            "every unit id answers: this device does not look at the unit id; it is most likely one meter: take unit 1"
        )
    for one in scan.found:
        if one.how == "garbled" and one.address in (ANY_ADDRESS, CJT_ANY_ADDRESS):
            name = PROTOCOL_NAMES[one.protocol]
            found.append(
                f"something garbled answers the number AA…AA of {name}: most likely several such meters at once; connect one "
                "at a time, or enter the numbers from their plates (表号)"
            )
    if any(one.how == "garbled" and isinstance(one.address, int) for one in scan.found):
        found.append(
            "a garbled answer means two meters with the same unit id, a wrong baud rate or parity, or a bad line: "
            "disconnect one meter, or try --bauds 9600,19200 --parities E,N"
        )
    if scan.noise:
        found.append(
            f"bytes came that are no answer ({scan.noise[0]}): baud rate or parity may be wrong, A and B may be swapped, or "
            "another master is on the line"
        )
    if not scan.found and scan.asked:
        found.append(
            "nobody answers: check power, A and B (A/B 线), termination, baud rate and parity (--bauds, --parities), unit ids "
            "beyond the range asked, and give slow meters time (--timeout 1s); DL/T 645 and CJ/T 188 meters answer a scan "
            "only if they are alone on the line: enter others from their plates"
            if kind != "modbus-tcp"
            else "nobody answers: check the address, unit ids beyond the range asked, and give slow meters time (--timeout 1s)"
        )
        found += [_OTHER_KIND[kind]] if kind in _OTHER_KIND else []
    return found


def proposal(
    scan: Scan,
    link_id: str,
    *,
    known: Mapping[object, str],
    profiles: Mapping[object, Sequence[str]],
    kinds: Mapping[str, str],
    ratios: Mapping[str, Sequence[str]],
    variants: Mapping[object, str] | None = None,
    link: LinkConfig | None = None,
) -> str:
    """Return TOML tables for the meters found that the site file does not have yet; "" if there are none.

    A table that lacks what only a person knows is a comment, so that the file with all of it stays lawful.

    known: address -> meter id. profiles: address -> profile ids that fit, best first. kinds: profile -> energy kind.
    ratios: profile -> ratios that must be typed in. variants: address -> variant of its first profile.
    link: described too, where the site file does not name it.
    """
    lines: list[str] = []
    taken = set(known.values())
    for one in scan.meters():
        if one.address in known:
            continue
        fitting = profiles.get(one.address, (DLT645_PROFILE,) if one.protocol == "dlt645" else ())
        meter_id = _free(f"meter-{one.address}", taken)
        settings = f"   # answers at {one.settings}" if one.settings else ""
        table = ["[[meters]]", f'id = "{meter_id}"', f'link = "{link_id}"{settings}']
        table += [f'address = "{one.address}"' if isinstance(one.address, str) else f"unit = {one.address}"]
        table += [_profile_line(fitting, one.protocol)]
        if variant := (variants or {}).get(one.address):
            table += [f'variant = "{variant}"']
        table += [f'energy_kind = "{kinds.get(fitting[0], "electricity") if fitting else "electricity"}"']
        table += [f'period = "{PERIOD}"']
        typed = ratios.get(fitting[0], ()) if fitting else ()
        if typed:
            table += [
                f"ratios = {{ {', '.join(f'{name} = ?' for name in typed)} }}   # from the plates; 1 without transformers"
            ]
        lines += ["", *_unless_whole(table, _lacking(one, fitting, typed, link_id))]
    if lines:
        lines[:0] = ["", f"# then `metergate plan`: has the link the time for a period of {PERIOD}?"]
    if lines and link is not None:
        lines = ["", *_link_lines(link), *lines]
    return "\n".join(lines[1:]) + "\n" if lines else ""


def _lacking(one: Answered, fitting: Sequence[str], typed: Sequence[str], link_id: str) -> str:
    """Return the next step where a table cannot be used as it is, "" where it can."""
    if not fitting:
        return (
            f"which type is it? `metergate probe {link_id} {one.address}` tells, or the plate and `metergate profiles`; "
            "put its id into `profile`"
        )
    plates = "nameplates of the current and voltage transformers (互感器变比)"
    return f"put the ratios of the {plates} into `ratios`" if typed else ""


def _unless_whole(table: list[str], lacking: str) -> list[str]:
    if not lacking:
        return table
    return [
        f"# {lacking}, then remove the # at the beginning of these lines:",
        *(f"# {line}" for line in table),
    ]


def _profile_line(fitting: Sequence[str], protocol: str) -> str:
    if not fitting:
        return 'profile = "?"'
    if len(fitting) == 1 and protocol != "modbus":
        return f'profile = "{fitting[0]}"'
    if len(fitting) == 1:
        return f'profile = "{fitting[0]}"   # as its registers read; compare with the plate'
    return f'profile = "{fitting[0]}"   # or {", ".join(fitting[1:])}: the plate decides'


def _link_lines(link: LinkConfig) -> list[str]:
    keys = [key for key in ("id", "kind", "host", "port", "baud", "parity", "stop") if hasattr(link, key)]
    values = [(key, getattr(link, key)) for key in keys]
    return ["[[links]]", *(f"{k} = {v}" if isinstance(v, int) else f'{k} = "{v}"' for k, v in values)]


def _free(wish: str, taken: set[str]) -> str:
    found, n = wish, 2
    while found in taken:
        found, n = f"{wish}-{n}", n + 1
    taken.add(found)
    return found

"""What commands ask of a link or a meter: one raw read, or one extra read of a meter.

The work is the same while the gateway runs (done by the link's owner between two polls) and while it does not
(`gateway.commissioning.bus`). An extra read is never journaled and never checked: it has the flags of the driver and the layout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from drivers.identifiers import (
    ADDRESS_BYTES,
    ANY_ADDRESS,
    CJT_ADDRESS_DI,
    CJT_ANY_ADDRESS,
    CJT_TOLD_BYTES,
    CjtSettings,
    CjtSource,
    DltSettings,
    DltSource,
)
from drivers.registers import ReadLimits, RegisterSource
from gateway.control.requests import BadRequest, number, one_of, only, text
from gateway.errors import DeviceError, LinkDown
from gateway.interfaces import Poll
from gateway.layout import Layout, Part, Slot
from gateway.model import ABSENT, Channel
from gateway.polling.errand_queue import ERRAND_SHARE, Busy
from gateway.wire import BYTE_TYPES, TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from gateway.interfaces import Clock, Link
    from gateway.model import Sample
    from gateway.polling.poll import LinkPoller
    from gateway.polling.target import Target

SOURCES_MAX = 64
TIMEOUT_MAX_S = 10.0
WAIT_S = 20.0  # for its turn, beside the time an errand may take
ERRAND_MAX_S = 50.0  # less than the link's watch allows
BROWSED_MAX = 2000
BROWSE_MAX_S = 40.0
PREAMBLE = 4
PREAMBLE_MAX = 16
CJT_TOLD = CjtSource(CJT_ADDRESS_DI, 0, CJT_TOLD_BYTES)
"""What a CJ/T 188 meter that is alone on the line is asked for."""

Parsed = tuple[Slot, "Hashable"]


class SourceKind(NamedTuple):
    """How one protocol writes a source in a request. parse: (source, wire type or "") -> slot and parts' sources.

    address: int or str. settings: of the poll.
    """

    parse: Callable[[object, str], Parsed]
    address: type
    settings: Callable[[Question], Hashable]


@dataclass(frozen=True, slots=True)
class Question:
    """One raw read. sources: as the protocol writes them in JSON (Modbus: [function, address, count]).

    types: a wire type for each source, or empty: whole registers. timeout_s: of each request.
    preamble: bytes FE before it (DL/T 645, CJ/T 188). echoes_ser: a CJ/T 188 meter sends the serial number back.
    """

    protocol: str
    address: int | str
    sources: tuple[tuple[int, ...] | str, ...]
    types: tuple[str, ...] = ()
    timeout_s: float = 1.0
    preamble: int = PREAMBLE
    echoes_ser: bool = True

    def to_request(self) -> dict[str, object]:
        """Return it as the keys of a request; those that are as usual are left out."""
        unusual: dict[str, object] = {} if self.preamble == PREAMBLE else {"preamble": self.preamble}
        unusual |= {} if self.echoes_ser else {"echoes_ser": False}
        return unusual | {
            "protocol": self.protocol,
            "address": self.address,
            "sources": [list(source) if isinstance(source, tuple) else source for source in self.sources],
            "types": list(self.types),
            "timeout_s": self.timeout_s,
        }


class Answer(NamedTuple):
    """What came back. time_ns: when it was complete; raw: the sources' bytes one after another, as the wire has them.

    flags: one `Flag` value a source. round_trip_ms: of the whole read, without the wait for its turn.
    """

    time_ns: int
    raw: bytes
    flags: tuple[int, ...]
    round_trip_ms: float


def registers(source: object, type_: str) -> Parsed:
    """Return slot and sources of [function, address, count]. Raises BadRequest."""
    match source:
        case [int(function), int(address), int(count)] if (
            function in {1, 2, 3, 4} and 0 <= address <= 0xFFFF and 1 <= count <= min(125, 0x10000 - address)
        ):
            pass
        case _:
            expected = "[function 1 to 4, address 0 to 65535, count 1 to 125]"
            raise BadRequest(f"sources: expected {expected}, found {source!r:.80}")
    if not type_:
        parts = tuple(RegisterSource(function, address + n, 1) for n in range(count))
        return Slot((Part("u16"),) * count), parts
    if type_ not in TYPES or TYPES[type_].size != 2 * count or function in {1, 2}:
        raise BadRequest(f'types: "{type_}" does not fit {count} of function {function}')
    return Slot((Part(type_),)), (RegisterSource(function, address, count),)


def _bytes(size: int, type_: str) -> Slot:
    """Return the slot of a value of so many bytes. Raises BadRequest."""
    if not type_:
        return Slot((Part("u8"),) * size)
    if type_ not in BYTE_TYPES or BYTE_TYPES[type_].size != size:
        raise BadRequest(f'types: "{type_}" does not fit {size} bytes; known: {", ".join(BYTE_TYPES)}')
    return Slot((Part(type_),))


def identified(source: object, type_: str) -> Parsed:
    """Return slot and source of [identifier, bytes], or of "address" asked of the address AA…AA. Raises BadRequest."""
    match source:
        case "address":
            return _bytes(ADDRESS_BYTES, type_), DltSource(0, ADDRESS_BYTES)
        case [int(di), int(size)] if 0 <= di <= 0xFFFF_FFFF and 1 <= size <= VALUE_BYTES_MAX:
            return _bytes(size, type_), DltSource(di, size)
    raise BadRequest(f'sources: expected [identifier, bytes 1 to 196] or "address", found {source!r:.80}')


def placed(source: object, type_: str) -> Parsed:
    """Return slot and source of [meter type, identifier, byte, bytes]. Raises BadRequest."""
    match source:
        case [int(meter_type), int(di), int(at), int(size)] if (
            0 <= meter_type <= 0xFF and 0 <= di <= 0xFFFF and at >= 0 and 1 <= size <= 0xFF - at
        ):
            return _bytes(size, type_), CjtSource(di, at, size)
    raise BadRequest(f"sources: expected [meter type, identifier, byte, bytes], found {source!r:.80}")


VALUE_BYTES_MAX = 196
_ANY_LENGTH = tuple(range(3, 256))
_SINGLE = ReadLimits(registers_max=125, split="single")


def _cjt_settings(asked: Question) -> CjtSettings:
    meter_type = asked.sources[0][0]
    assert isinstance(meter_type, int)
    return CjtSettings(meter_type, _ANY_LENGTH, asked.echoes_ser, asked.preamble)


SOURCES: dict[str, SourceKind] = {
    "modbus": SourceKind(registers, int, lambda _: _SINGLE),
    "dlt645": SourceKind(identified, str, lambda asked: DltSettings(asked.preamble)),
    "cjt188": SourceKind(placed, str, _cjt_settings),
}
"""Protocol -> how its sources are written. A new protocol is one line here."""


def question(request: Mapping[str, object]) -> Question:
    """Return a request's question. Raises BadRequest."""
    protocol = one_of(request, "protocol", SOURCES)
    address = request.get("address")
    if isinstance(address, bool) or not isinstance(address, int | str):
        raise BadRequest(f"address: expected a number or text, found {address!r:.80}")
    sources, types = request.get("sources"), request.get("types", [])
    if not isinstance(sources, list) or not 1 <= len(sources) <= SOURCES_MAX:
        raise BadRequest(f"sources: expected a list of 1 to {SOURCES_MAX}")
    if not isinstance(types, list) or len(types) not in {0, len(sources)}:
        raise BadRequest("types: expected none, or one for each source")
    timeout_s = number(request, "timeout_s", 0.01, TIMEOUT_MAX_S)
    frozen = tuple(tuple(source) if isinstance(source, list) else str(source) for source in sources)
    preamble = round(number(request, "preamble", 0, PREAMBLE_MAX)) if "preamble" in request else PREAMBLE
    echoes_ser = request.get("echoes_ser", True)
    if not isinstance(echoes_ser, bool):
        raise BadRequest(f"echoes_ser: expected true or false, found {echoes_ser!r:.80}")
    found = Question(protocol, address, frozen, tuple(map(str, types)), timeout_s, preamble, echoes_ser)
    poll_of(found)
    return found


def poll_of(asked: Question) -> Poll:
    """Return the poll that answers a question: one channel a source. Raises BadRequest."""
    kind = SOURCES.get(asked.protocol)
    if kind is None:
        raise BadRequest(f"{asked.protocol}: no raw reads; known: {', '.join(SOURCES)}")
    if not isinstance(asked.address, kind.address):
        raise BadRequest(f"address: {asked.address!r} is none of {asked.protocol}")
    types = asked.types or ("",) * len(asked.sources)
    raw_sources = [list(source) if isinstance(source, tuple) else source for source in asked.sources]
    parsed = [kind.parse(source, type_) for source, type_ in zip(raw_sources, types, strict=True)]
    meter = f"{asked.protocol} {asked.address}"
    channels = tuple(Channel(f"raw_{n}", "code", "1", "gauge") for n in range(len(parsed)))
    layout = Layout(meter, 0.0, channels, tuple(slot for slot, _ in parsed))
    sources = tuple(source for _, source in parsed)
    _check_anybody(asked, sources)
    return Poll(meter, asked.protocol, asked.address, layout, sources, asked.timeout_s, kind.settings(asked))


def _check_anybody(asked: Question, sources: Sequence[Hashable]) -> None:
    """Ask whoever is alone on the line for the address and for nothing else. Raises BadRequest."""
    if (asked.address == ANY_ADDRESS) != ("address" in asked.sources):
        raise BadRequest(f'address: {ANY_ADDRESS} is asked for its "address" and nothing else is')
    if asked.address == CJT_ANY_ADDRESS and sources != (CJT_TOLD,):
        raise BadRequest(f"address: {CJT_ANY_ADDRESS} is asked for {CJT_TOLD} and nothing else")


async def ask(link: Link, poll: Poll, clock: Clock) -> Answer:
    """Return the answer to one raw read on an open link. Raises DeviceError, LinkDown."""
    began_s = clock.monotonic()
    (sample,) = await link.read(poll)
    took_ms = round((clock.monotonic() - began_s) * 1e3, 3)
    return Answer(sample.time_ns, sample.raw, tuple(sample.flags), took_ms)


async def poll_meter(link: Link, targets: Sequence[Target], clock: Clock) -> dict[str, Any]:
    """Return an extra read of all targets of a meter: {"channels": [...], "errors": [...]}. Raises LinkDown."""
    channels: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for target in targets:
        try:
            poll = _apart(await target.poll(link))
            began_s = clock.monotonic()
            samples = await link.read(poll)
        except DeviceError as error:
            errors.append({"period_s": target.period_s, "keys": list(target.keys)} | error_figures(error))
            continue
        took_ms = round((clock.monotonic() - began_s) * 1e3, 3)
        for sample in samples[-1:]:
            channels += readings(poll.layout, sample, took_ms)
    return {"channels": channels, "errors": errors}


@lru_cache(1024)  # the same object again, for drivers cache by it
def _apart(poll: Poll) -> Poll:
    """Return the poll for an extra read: one of period 0 takes nothing away from a subscription."""
    if poll.protocol != "opcua":
        return poll  # the same object, so that what its reader learned of the meter holds
    return replace(poll, layout=replace(poll.layout, period_s=0.0))


def readings(layout: Layout, sample: Sample, round_trip_ms: float) -> list[dict[str, Any]]:
    """Return one sample channel by channel, as plain JSON values."""
    values = layout.decode(sample.raw, sample.flags)
    found = []
    for i, (channel, slot, start) in enumerate(
        zip(layout.channels, layout.slots, layout.starts, strict=True)
    ):
        flags = sample.flags[i]
        exact = None if flags & ABSENT else layout.exact(sample.raw, i)
        found.append(
            {
                "key": channel.key,
                "kind": channel.kind,
                "value": None if math.isnan(values[i]) else values[i],
                "exact": None if exact is None else f"{exact:f}",
                "unit": channel.unit,
                "flags": flags,
                "raw": sample.raw[start : start + slot.size].hex(),
                "time_ns": sample.time_ns,
                "round_trip_ms": round_trip_ms,
            }
        )
    return found


async def browse_link(link: Link, below: str, clock: Clock) -> dict[str, Any]:
    """Return the variables of an OPC UA server: {"variables": [...], "is_whole"}. Raises BadRequest, LinkDown."""
    if not hasattr(link, "session"):
        raise BadRequest("link: only OPC UA servers have variables to browse; others are scanned and probed")
    from drivers.opcua.browse import OBJECTS, browse

    try:
        found = await browse(
            link,  # type: ignore[arg-type]  # the only kind with a session
            clock,
            below=below or OBJECTS,
            variables_max=BROWSED_MAX,
            time_max_s=BROWSE_MAX_S,
        )
    except ValueError as error:
        raise BadRequest(f'below: expected a node id such as "ns=2;s=Plant", found {below!r:.80}') from error
    return {"variables": [one._asdict() for one in found.variables], "is_whole": found.is_whole}


def error_figures(error: DeviceError | LinkDown | Busy) -> dict[str, Any]:
    """Return why a read brought nothing: reason (that of the meter, or `link_down`, `busy`), code, text, raw."""
    if isinstance(error, DeviceError):
        return {"reason": error.reason, "code": error.code, "text": str(error), "raw": error.raw.hex()}
    reason = "link_down" if isinstance(error, LinkDown) else "busy"
    return {"reason": reason, "code": None, "text": str(error), "raw": ""}


class Errands:
    """The verbs `ask`, `poll` and `browse` of a running gateway."""

    def __init__(
        self, pollers: Mapping[str, LinkPoller], targets: Mapping[str, Collection[Target]], clock: Clock
    ) -> None:
        """pollers, targets: by link."""
        self._pollers, self._clock = pollers, clock
        self._of_meter: dict[str, tuple[str, list[Target]]] = {}
        for link, own in targets.items():
            for target in own:
                self._of_meter.setdefault(target.meter, (link, []))[1].append(target)

    async def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Answer {"link", "protocol", "address", "sources", "types", "timeout_s"}, "preamble" and "echoes_ser" if unusual. Raises BadRequest."""
        known = ("link", "protocol", "address", "sources", "types", "timeout_s", "preamble", "echoes_ser")
        only(request, *known)
        poller = self._pollers[one_of(request, "link", self._pollers)]
        asked = question(request)
        poll = poll_of(asked)
        work_s = asked.timeout_s * len(asked.sources)
        limit_s = min(
            WAIT_S + (3 + 1 / ERRAND_SHARE) * work_s, ERRAND_MAX_S
        )  # the last one may have cost as much
        try:
            answer = await poller.errand(lambda link: ask(link, poll, self._clock), timeout_s=limit_s)
        except (DeviceError, LinkDown, Busy) as error:
            return {"error": error_figures(error)}
        return answer._asdict() | {"raw": answer.raw.hex(), "flags": list(answer.flags)}

    async def browse(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Answer {"link", "below"}: the variables of an OPC UA server. Raises BadRequest."""
        only(request, "link", "below")
        poller = self._pollers[one_of(request, "link", self._pollers)]
        below = text(request, "below", "")
        try:
            return await poller.errand(
                lambda link: browse_link(link, below, self._clock), timeout_s=ERRAND_MAX_S
            )
        except (LinkDown, Busy) as error:
            return {"error": error_figures(error)}

    async def poll(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Answer {"meter"}: an extra read of all it is read for, not journaled. Raises BadRequest."""
        only(request, "meter")
        return await self.read_meter(one_of(request, "meter", self._of_meter))

    async def read_meter(self, meter: str) -> dict[str, Any]:
        """Return an extra read of a meter, or {"error": ...}."""
        link, targets = self._of_meter[meter]
        try:
            found = await self._pollers[link].errand(
                lambda link: poll_meter(link, targets, self._clock), timeout_s=ERRAND_MAX_S
            )
        except (LinkDown, Busy) as error:
            return {"meter": meter, "error": error_figures(error)}
        return {"meter": meter} | found

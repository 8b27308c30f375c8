"""Simulated DL/T 645-2007 meters, from the profile's TOML alone: shares nothing with drivers.dlt645, drivers.frames or gateway.wire.

Beside the profile's values they keep a clock (04000101, 04000102) and freeze their totals at midnight (05060001, 0506xx01).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulators.encode import DoesNotFit
from simulators.measures import UNITS, exact, from_si
from simulators.station import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from fractions import Fraction

    from gateway.interfaces import Clock
    from simulators.site import SimulatedMeter, Site

DELAY_S = 0.02
"""Shortest answer delay. Source: DL/T 645-2007, 20 ms <= Td <= 500 ms (from memory of the standard)."""
NO_SUCH_VALUE = 0x02
ANYBODY = bytes([0x68, *[0xAA] * 6, 0x68])
ADDRESS_WANTED = bytes([0x13, 0])
"""Asked of address AA…AA. Source: DL/T 645-2007, control code 13H (读通信地址), by public articles."""
HOURS_AHEAD = 8
ASKED_MAX = 1000
NS = 1_000_000_000


def low_first(digits: str) -> list[int]:
    """Return packed decimal digits, the last two in the first byte."""
    return [int(digits[i : i + 2], 16) for i in range(len(digits) - 2, -1, -2)]


@dataclass(frozen=True)
class Item:
    """One value as its meter holds it: value in `unit` = count x scale, as `digits` decimal digits.

    place: identifier (DL/T 645) or byte in the reply (CJ/T 188). modulus: where a counter rolls over, in `unit`.
    digits 0: a binary number of `size` bytes. frozen: (identifier, byte) of the total frozen at midnight.
    """

    key: str
    quantity: str
    unit: str
    place: int
    size: int
    digits: int
    scale: Fraction
    signed: bool = False
    frozen: tuple[int, int] | None = None

    @property
    def modulus(self) -> Fraction | None:
        """Return where a counter rolls over: after its last digit."""
        return self.scale * self._limit if self.digits else None

    @property
    def _limit(self) -> int:
        full: int = 10**self.digits if self.digits else 256**self.size
        return full * 8 // 10 if self.signed and self.digits else full

    def encode(self, si: float, *, counter: bool, leading: bool = False) -> tuple[bytes, int]:
        """Return (the bytes, the count they hold) for a value in SI; counters wrap. Raises DoesNotFit."""
        counts = from_si(si, self.unit) / float(self.scale)
        count = math.floor(counts + 1e-9) if counter else round(counts)
        if counter:
            count %= self._limit
        if abs(count) >= self._limit or (count < 0 and not self.signed):
            raise DoesNotFit(f"{count} counts in {self.size} bytes")
        if not self.digits:
            return count.to_bytes(self.size, "little"), count
        raw = low_first(f"{abs(count):0{self.digits}d}")
        raw[-1] |= 0x80 if count < 0 else 0
        return bytes(raw), count

    def shown(self, numbers: int) -> Fraction:
        """Return the value shown for a count, in `unit`, exactly."""
        return numbers * self.scale


@dataclass(frozen=True)
class Items:
    """What a meter type shows, and how it is asked."""

    registers: tuple[Item, ...]
    read: Mapping[str, Any]
    unit_bytes: Mapping[int, int]
    meter_type: int = 0
    length: int = 0


def item_of(
    key: str, channel: Mapping[str, Any], unit: str, ratios: Mapping[str, Fraction], place: int
) -> Item:
    """Return a channel as its meter holds it. Raises KeyError for a unit nobody knows."""
    if unit not in UNITS:
        raise KeyError(f"{key} has unit {unit!r}, which the simulators do not know")
    scale = exact(channel.get("factor", "1"))
    for name in channel.get("multiply", ()):
        scale *= ratios[name]
    form = channel.get("format", "")
    digits = form.count("X")
    scale /= 10 ** len(form.partition(".")[2])
    size = digits // 2 if digits else {"u8": 1, "u16_le": 2}[channel["type"]]
    frozen = (channel["frozen"], channel.get("frozen_at", 0)) if "frozen" in channel else None
    signed = channel.get("signed", False)
    return Item(key, channel["quantity"], unit, place, size, digits, scale, signed, frozen)


def read_profile(
    profile: Mapping[str, Any],
    *,
    ratios: Mapping[str, str],
    units: Mapping[str, str],
    variant: str = "",
    channels: Sequence[str] = (),
) -> Items:
    """Return what a meter of this type shows. Raises KeyError or DoesNotFit for what cannot be served."""
    values = {name: exact(ratios.get(name, "1")) for name in profile.get("ratios", {})}
    items = tuple(
        item_of(key, channel, channel["unit"], values, channel["di"])
        for key, channel in profile["channels"].items()
        if not channel.get("variants") or variant in channel["variants"]
    )
    return Items(items, profile.get("read", {}), {})


def local(time_ns: int, offset_s: float = 0.0) -> datetime:
    """Return what a meter's own clock shows, whole seconds, as if it were UTC."""
    seconds = math.floor(time_ns / NS + offset_s)
    return datetime.fromtimestamp(seconds, UTC) + timedelta(hours=HOURS_AHEAD)


def heard(request: bytes, start: bytes) -> bytes | None:
    """Return control, length and data of a request that begins with `start`, its sum right; None for anything else."""
    frame = request.lstrip(b"\xfe")
    if not frame.startswith(start) or len(frame) < len(start) + 4 or frame[-1] != 0x16:
        return None
    body = frame[len(start) : -2]
    if len(body) < 2 or body[1] != len(body) - 2 or sum(frame[:-2]) % 256 != frame[-2]:
        return None
    return body


def framed(start: bytes, control: int, field: bytes) -> bytes:
    """Return a whole frame with a preamble of two, as many meters send it."""
    body = bytearray(start)
    body += bytes([control, len(field)])
    body += field
    body += bytes([sum(body) % 256, 0x16])
    return b"\xfe\xfe" + bytes(body)


class Dlt645Station:
    """One meter. clock_offset_s: how far its clock is ahead; absent: identifiers it does not have; requests: for it.

    asked: the last `ASKED_MAX` identifiers.
    """

    def __init__(self, site: Site, meter: SimulatedMeter, clock: Clock) -> None:
        """meter: with an address of 12 digits."""
        assert isinstance(meter.map, Items)
        self.clock_offset_s = 0.0
        self.absent: set[int] = set()
        self.requests = 0
        self.asked: deque[int] = deque(maxlen=ASKED_MAX)
        self._site, self._meter, self._clock = site, meter, clock
        self._start = bytes([0x68, *low_first(meter.plan.address), 0x68])
        self._items = {item.place: item for item in meter.map.registers}
        self._delay_s = DELAY_S if meter.plan.delay_s is None else meter.plan.delay_s
        self._own: dict[int, Callable[[], bytes]] = {
            0x04000101: self._date,
            0x04000102: self._time,
            0x05060001: self._frozen_time,
        }

    def hear(self, request: bytes) -> Reply | None:
        """Return the reply to a read request for this meter, or for the address of whoever is there; None for anything else."""
        if heard(request, ANYBODY) == ADDRESS_WANTED:
            self.requests += 1
            own = bytes((byte + 0x33) % 256 for byte in self._start[1:7])
            return Reply(framed(self._start, 0x93, own), self._delay_s)
        body = heard(request, self._start)
        if body is None or body[0] != 0x11 or body[1] != 4:
            return None
        self.requests += 1
        di = sum(((byte - 0x33) % 256) << 8 * i for i, byte in enumerate(body[2:]))
        self.asked.append(di)
        value = None if di in self.absent else self._value(di)
        if value is None:
            return self.refuse(request, NO_SUCH_VALUE)
        field = body[2:] + bytes((byte + 0x33) % 256 for byte in value)
        return Reply(framed(self._start, 0x91, field), self._delay_s)

    def refuse(self, request: bytes, code: int) -> Reply | None:
        """Return a refusal with this error byte, None for a frame that is not for this meter."""
        if heard(request, self._start) is None:
            return None
        return Reply(framed(self._start, 0xD1, bytes([(code + 0x33) % 256])), self._delay_s)

    def _value(self, di: int) -> bytes | None:
        own = self._own.get(di)
        if own is not None:
            return own()
        if di in self._items:
            return self._held(self._items[di], self._site.measured_ns(self._clock.wall_ns()))
        return self._frozen(di)

    def _held(self, item: Item, time_ns: int) -> bytes:
        value, counter = self._meter.state(self._site.seconds(time_ns))[item.key]
        return item.encode(value, counter=counter)[0]

    def _now(self) -> datetime:
        return local(self._clock.wall_ns(), self.clock_offset_s)

    def _date(self) -> bytes:
        now = self._now()
        return bytes(low_first(f"{now:%y%m%d}{now.isoweekday() % 7:02d}"))

    def _time(self) -> bytes:
        return bytes(low_first(f"{self._now():%H%M%S}"))

    def _frozen_time(self) -> bytes:
        return bytes(low_first(f"{self._now():%y%m%d}0000"))

    def midnight_ns(self) -> int:
        """Return when the totals were frozen, as wall time."""
        now = self._now()
        start = now.replace(hour=0, minute=0, second=0) - timedelta(hours=HOURS_AHEAD)
        return round((start.timestamp() - self.clock_offset_s) * NS)

    def _frozen(self, di: int) -> bytes | None:
        items = {i.frozen[1]: i for i in self._items.values() if i.frozen is not None and i.frozen[0] == di}
        if not items:
            return None
        block = bytearray(max(at + item.size for at, item in items.items()))
        for at, item in items.items():
            block[at : at + item.size] = self._held(item, self.midnight_ns())
        return bytes(block)


def station(site: Site, meter: SimulatedMeter, clock: Clock) -> Dlt645Station:
    """Return the meter as a station of a line."""
    return Dlt645Station(site, meter, clock)

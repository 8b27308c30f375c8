"""A layout: the channels of one (meter, period) and how a sample's raw bytes become columns.

Compiled once and journaled whole, ratio values included, before the first sample that uses it, so a
sample can be decoded years later without the profile. There is no normalise stage: register scale, unit
change, CT/VT ratio and sign are one coefficient a column.

Two ways out of raw bytes:

* `decode` gives float64 columns for telemetry, checks and gauges (C speed where every slot is plain);
* `exact` gives one channel as Decimal, integer x decimal coefficient or the shortest decimal that
  still is the same float, for boundary readings and counters above 2^53.

Slots lie in channel order, fixed length, bytes as the wire carried them (docs/specs/journal.md).
"""

from __future__ import annotations

import hashlib
import math
import struct
from array import array
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal
from operator import itemgetter, mul, truediv
from typing import TYPE_CHECKING, Any

import orjson

from gateway import wire
from gateway.model import ABSENT, Channel, Flag

if TYPE_CHECKING:
    from collections.abc import Mapping

NAN = math.nan
EXACT_BELOW = 2**53  # whole numbers below it are exact as float64
# plain integers: an IntFlag costs a microsecond each
_ABSENT, _SENTINEL, _DEVICE = int(ABSENT), int(Flag.SENTINEL), int(Flag.DEVICE)
UNSIGNED = ("u8hi", "u8lo", "u16", "u32", "u64", "u8", "u16_le")
"""Types whose numbers have bits to look at."""
_EXACT = Context(prec=60)  # wider than any register times any coefficient, so nothing is rounded


def _fields(entry: Channel | Slot | Part | Gate) -> dict[str, Any]:
    """Return an object's fields by name; `asdict` copies deeply and took two thirds of compiling a layout."""
    return {name: getattr(entry, name) for name in _FIELDS[type(entry)]}


@dataclass(frozen=True, slots=True)
class Part:
    """One value on the wire. type: a name of `wire.TYPES`; order: byte order, most significant byte = A.

    factor: weight inside a slot of several parts (integer part + fraction part), as a decimal string.
    """

    type: str
    order: str = "ABCD"
    factor: str = "1"


@dataclass(frozen=True, slots=True)
class Gate:
    """When a value counts: (number of channel `status`) & mask == equals; else, or if it cannot be told, `flag`.

    status: index of the channel that says so, one unsigned integer of one part, in the same layout.
    flag: bits of `Flag`; with one of `ABSENT` there is no value, with another it is kept and doubted.
    """

    status: int
    mask: int
    equals: int
    flag: int


@dataclass(frozen=True, slots=True)
class Slot:
    """How one channel lies in the raw bytes: value = transform(sum of parts) x coefficient + offset.

    coefficient, offset: decimal strings; everything that scales is folded in (register scale, unit, ratios).
    sentinels: raw bytes of the first part, most significant first, hexadecimal, that mean "no value".
    transform: "" or a name of `wire.TRANSFORMS`. gate: when the value counts; None: always.
    window: decimal strings; the number on the wire must lie between them, or the signal has failed (DEVICE: no value).
    """

    parts: tuple[Part, ...]
    coefficient: str = "1"
    offset: str = "0"
    sentinels: tuple[str, ...] = ()
    transform: str = ""
    gate: Gate | None = None
    window: tuple[str, str] | None = None

    @property
    def size(self) -> int:
        """Return the slot's length in bytes."""
        return sum(wire.TYPES[part.type].size for part in self.parts)


_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(entry.name for entry in fields(kind)) for kind in (Channel, Slot, Part, Gate)
}


def _known(kind: type, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without the keys this version does not know."""
    return {key: value for key, value in entry.items() if key in _FIELDS[kind]}


def _slot_dict(slot: Slot) -> dict[str, Any]:
    """Return a slot as plain JSON values; gate and window only where there is one, so that digests without stay the same."""
    body = _fields(slot) | {"parts": [_fields(part) for part in slot.parts]}
    gate, window = body.pop("gate"), body.pop("window")
    body |= {"gate": _fields(gate)} if gate is not None else {}
    return body | ({"window": list(window)} if window is not None else {})


def _ratio(coefficient: Decimal) -> tuple[float, float]:
    """Return a coefficient as a quotient of whole numbers, so that 2312 x 0.1 is 231.2 and not 231.20000000000002.

    A coefficient whose quotient does not fit into float64 exactly is (itself, 1).
    """
    top, bottom = coefficient.as_integer_ratio()
    return (float(top), float(bottom)) if max(abs(top), bottom) < EXACT_BELOW else (float(coefficient), 1.0)


@dataclass(frozen=True, eq=False)
class Layout:
    """Channels of one (meter, period) with the rule that turns raw bytes into their values.

    ratios: name -> decimal string as read or configured; already inside the coefficients, kept as evidence.
    profile: "name@digest" of the profile it was compiled from. Equal digests mean equal meaning.
    energy_kind: what flows through the meter; here, and not looked up in the site file of the day, so that
    what a sink makes of a journaled sample never depends on when it is delivered. "": not told.
    sources: where each channel lies in the meter, as text ("3:4096:2"); evidence, not used for decoding. (): not told.
    """

    meter: str
    period_s: float
    channels: tuple[Channel, ...]
    slots: tuple[Slot, ...]
    ratios: Mapping[str, str] = field(default_factory=dict)
    profile: str = ""
    energy_kind: str = ""
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Compile the fast path. Raises ValueError if channels and slots do not match."""
        if len(self.channels) != len(self.slots) or not self.slots:
            raise ValueError(f"{self.meter}: {len(self.channels)} channels for {len(self.slots)} slots")
        setattr_ = object.__setattr__
        parts = [part for slot in self.slots for part in slot.parts]
        permutation: list[int] = []
        starts: list[int] = []
        position = 0
        for slot in self.slots:
            starts.append(position)
            for part in slot.parts:
                permutation += [position + i for i in wire.order_of(part.type, part.order)]
                position += wire.TYPES[part.type].size
        plain = all(
            len(slot.parts) == 1 and wire.TYPES[slot.parts[0].type].number and not slot.transform
            for slot in self.slots
        )
        setattr_(self, "size", position)
        setattr_(self, "starts", tuple(starts))
        setattr_(self, "_permute", None if permutation == list(range(position)) else itemgetter(*permutation))
        setattr_(self, "_struct", struct.Struct(">" + "".join(wire.TYPES[part.type].code for part in parts)))
        setattr_(self, "_plain", plain)
        ratios = [_ratio(Decimal(slot.coefficient)) for slot in self.slots]
        setattr_(self, "_coefficients", array("d", (top for top, _ in ratios)))
        divided = any(bottom != 1 for _, bottom in ratios)
        setattr_(self, "_divisors", array("d", (bottom for _, bottom in ratios)) if divided else None)
        setattr_(
            self, "_offsets", [(i, float(s.offset)) for i, s in enumerate(self.slots) if Decimal(s.offset)]
        )
        sentinels = [(i, frozenset(map(bytes.fromhex, s.sentinels))) for i, s in enumerate(self.slots)]
        setattr_(self, "_sentinels", [entry for entry in sentinels if entry[1]])
        setattr_(self, "_gates", self._compile_gates())
        setattr_(self, "_windows", self._compile_windows())
        body = orjson.dumps(self.to_dict(), option=orjson.OPT_SORT_KEYS)
        setattr_(self, "digest", hashlib.sha256(body).hexdigest()[:16])
        setattr_(self, "no_flags", array("H", bytes(2 * len(self.slots))))

    size: int = field(init=False, repr=False)
    starts: tuple[int, ...] = field(init=False, repr=False)
    digest: str = field(init=False)
    no_flags: array[int] = field(init=False, repr=False)
    _permute: Any = field(init=False, repr=False)
    _struct: struct.Struct = field(init=False, repr=False)
    _plain: bool = field(init=False, repr=False)
    _coefficients: array[float] = field(init=False, repr=False)
    _divisors: array[float] | None = field(init=False, repr=False)
    _offsets: list[tuple[int, float]] = field(init=False, repr=False)
    _sentinels: list[tuple[int, frozenset[bytes]]] = field(init=False, repr=False)
    _gates: list[tuple[int, int, Gate]] = field(init=False, repr=False)
    _windows: list[tuple[int, int, float, float]] = field(init=False, repr=False)

    def _compile_gates(self) -> list[tuple[int, int, Gate]]:
        """Return (channel, place of its status among the unpacked numbers, gate). Raises ValueError on a wrong one."""
        gates = []
        for i, slot in enumerate(self.slots):
            gate = slot.gate
            if gate is None:
                continue
            parts = self.slots[gate.status].parts if 0 <= gate.status < len(self.slots) else ()
            if len(parts) != 1 or parts[0].type not in UNSIGNED:
                raise ValueError(f"{self.meter}: channel {gate.status} cannot say whether channel {i} counts")
            gates.append((i, sum(len(before.parts) for before in self.slots[: gate.status]), gate))
        return gates

    def _compile_windows(self) -> list[tuple[int, int, float, float]]:
        """Return (channel, place among the unpacked numbers, ends). Raises ValueError on a slot that is no plain number."""
        windows = []
        for i, slot in enumerate(self.slots):
            if slot.window is None:
                continue
            if len(slot.parts) != 1 or not wire.TYPES[slot.parts[0].type].number:
                raise ValueError(f"{self.meter}: channel {i} has a window but no plain number")
            low, high = map(float, slot.window)
            windows.append((i, sum(len(before.parts) for before in self.slots[:i]), low, high))
        return windows

    def decode(self, raw: bytes, flags: array[int]) -> array[float]:
        """Return one float64 per channel in canonical units, NaN where there is no value.

        Adds to `flags`: SENTINEL where the bytes say "no value" or are not a finite number, DEVICE where the number
        is outside the slot's window, and a gate's flag where it is shut; changes no other flag, so decoding a journaled sample again gives the same. Raises ValueError on a wrong length.
        """
        if len(raw) != self.size:
            raise ValueError(f"{self.meter}: sample of {len(raw)} bytes for a layout of {self.size}")
        big = raw if self._permute is None else bytes(self._permute(raw))
        numbers = self._struct.unpack(big)
        scaled = map(mul, numbers if self._plain else self._combine(numbers), self._coefficients)
        values = array("d", scaled if self._divisors is None else map(truediv, scaled, self._divisors))
        for i, offset in self._offsets:
            values[i] += offset
        for i, patterns in self._sentinels:
            start = self.starts[i]
            if big[start : start + len(next(iter(patterns)))] in patterns:
                flags[i] |= _SENTINEL
        for i, place, low, high in self._windows:
            if not low < numbers[place] < high:
                flags[i] |= _DEVICE
        for i, place, gate in self._gates:
            if flags[gate.status] & _ABSENT or numbers[place] & gate.mask != gate.equals:
                flags[i] |= gate.flag
        if any(flags) or not math.isfinite(sum(values)):
            self._blank(values, flags)
        return values

    def exact(self, raw: bytes, i: int) -> Decimal | None:
        """Return channel `i` as an exact decimal in canonical units; None where the bytes say "no value".

        Integers are exact; a float is the shortest decimal that reads back as the same float, which is what
        the meter's maker printed. Flags, and so gates, are the caller's to look at.
        """
        slot = self.slots[i]
        position = self.starts[i]
        total = Decimal(0)
        for n, part in enumerate(slot.parts):
            kind = wire.TYPES[part.type]
            big = bytes(raw[position + k] for k in wire.order_of(part.type, part.order))
            position += kind.size
            if n == 0 and big.hex() in slot.sentinels:
                return None
            number = wire.exact(part.type, big)
            if number is None:
                return None
            total = _EXACT.add(total, _EXACT.multiply(number, Decimal(part.factor)))
        if slot.transform:
            total = wire.TRANSFORMS[slot.transform](total)
        return _EXACT.add(_EXACT.multiply(total, Decimal(slot.coefficient)), Decimal(slot.offset))

    def _combine(self, numbers: tuple[Any, ...]) -> list[float]:
        """Return one float per slot from the parts' unpacked values."""
        values = []
        position = 0
        for slot in self.slots:
            total = 0.0
            for part in slot.parts:
                convert = wire.TYPES[part.type].convert
                number = numbers[position] if convert is None else convert(numbers[position])
                total += float(part.factor) * number
                position += 1
            values.append(wire.TRANSFORMS[slot.transform](total) if slot.transform else total)
        return values

    def _blank(self, values: array[float], flags: array[int]) -> None:
        for i, value in enumerate(values):
            if flags[i] & _ABSENT:
                values[i] = NAN
            elif not math.isfinite(value):
                flags[i] |= _SENTINEL
                values[i] = NAN

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as plain JSON values, whole: `from_dict` gives an equal layout back."""
        body = {
            "meter": self.meter,
            "period_s": self.period_s,
            "profile": self.profile,
            "ratios": dict(self.ratios),
            "channels": [_fields(channel) for channel in self.channels],
            "slots": [_slot_dict(slot) for slot in self.slots],
        }
        body |= {"energy_kind": self.energy_kind} if self.energy_kind else {}
        return body | ({"sources": list(self.sources)} if self.sources else {})

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Layout:
        """Return the layout a journal holds. Raises KeyError, TypeError or ValueError on a damaged one.

        Keys a later version added are ignored: one that changes how bytes are read comes with a new type or transform.
        """
        return cls(
            meter=body["meter"],
            period_s=body["period_s"],
            channels=tuple(Channel(**_known(Channel, channel)) for channel in body["channels"]),
            slots=tuple(
                Slot(
                    parts=tuple(Part(**_known(Part, part)) for part in slot["parts"]),
                    coefficient=slot["coefficient"],
                    offset=slot["offset"],
                    sentinels=tuple(slot["sentinels"]),
                    transform=slot["transform"],
                    gate=Gate(**_known(Gate, slot["gate"])) if slot.get("gate") else None,
                    window=tuple(slot["window"]) if slot.get("window") else None,
                )
                for slot in body["slots"]
            ),
            ratios=body["ratios"],
            profile=body["profile"],
            energy_kind=body.get("energy_kind", ""),
            sources=tuple(body.get("sources", ())),
        )

"""Register images of simulated Modbus meters, from the profile's TOML alone.

Shares nothing with drivers.modbus, gateway.layout and gateway.wire: the two sides of the wire may agree only
if both read the profile alike. A channel becomes a `Register`: it encodes a value and says which value the
meter then shows (a meter with 0.1 V resolution shows 230.1 V, whatever the physics says).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from simulators.measures import UNITS, exact, from_si

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_INTEGERS = {  # name -> (bytes, signed)
    "u8hi": (1, False),
    "u8lo": (1, False),
    "u16": (2, False),
    "s16": (2, True),
    "u32": (4, False),
    "s32": (4, True),
    "u64": (8, False),
    "s64": (8, True),
}
_FLOATS = {"f32": ">f", "f64": ">d"}
_WORDS = {name: max(1, size // 2) for name, (size, _) in _INTEGERS.items()} | {"f32": 2, "f64": 4}
_WORDS |= {"bit": 1, "mod10k2": 2, "mod10k3": 3, "mod10k4": 4, "bcd16": 1, "bcd32": 2, "bcd48": 3}

Writes = list[tuple[int, int, int]]
"""(address, mask, bits): what to put into which register."""
Fixed = list[tuple[int, int, int, int]]
"""(function, address, mask, bits): registers that never change."""
Numbers = list[float]
"""What the pieces of one channel hold, before weight, scale and offset."""
_BITS = (1, 2)  # Modbus functions that read bits


class DoesNotFit(ValueError):
    """A physical value the meter's register cannot hold: the simulation file asks for an impossible meter."""


@dataclass(frozen=True)
class Piece:
    """One number in registers. weight: what one count of it is worth."""

    address: int
    type: str
    order: str = "ABCD"
    weight: Fraction = Fraction(1)

    @cached_property
    def words(self) -> int:
        """Return how many registers it takes."""
        return _WORDS[self.type]

    @cached_property
    def worth(self) -> float:
        """Return the weight as a float."""
        return float(self.weight)


@dataclass(frozen=True)
class Register:
    """One channel in registers: value in `unit` = transform(number) x scale + offset.

    scale: factor and ratios. modulus: where a counter rolls over, in `unit`, None = at the size of the number.
    """

    key: str
    quantity: str
    function: int
    pieces: tuple[Piece, ...]
    unit: str
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    transform: str = ""
    modulus: Fraction | None = None

    @cached_property
    def _line(self) -> tuple[float, float, float]:
        """Return scale, offset and modulus as floats (0 = none), for the fast path."""
        return float(self.scale), float(self.offset), float(self.modulus or 0)

    def encode(self, si: float, *, counter: bool, leading: bool = False) -> tuple[Writes, Numbers]:
        """Return the registers for a value in SI units, and the numbers they hold. Raises DoesNotFit."""
        scale, offset, modulus = self._line
        value = from_si(si, self.unit)
        if counter and modulus:
            value %= modulus
        rest = _inverse(self.transform, (value - offset) / scale, leading)
        writes: Writes = []
        numbers: Numbers = []
        for piece in self.pieces[
            :-1
        ]:  # whole counts, and the last piece takes the rest; a float takes it all
            part = rest / piece.worth
            part = part if piece.type in _FLOATS else math.trunc(part)
            numbers.append(_encode_one(piece, part, writes, counter=counter))
            rest -= part * piece.worth
        numbers.append(_encode_one(self.pieces[-1], rest / self.pieces[-1].worth, writes, counter=counter))
        return writes, numbers

    def shown(self, numbers: Numbers) -> Fraction:
        """Return the value a meter shows that holds these numbers, in `unit`, exactly."""
        total = sum((Fraction(n) * p.weight for n, p in zip(numbers, self.pieces, strict=True)), Fraction(0))
        return _forward(self.transform, total) * self.scale + self.offset


def _encode_one(piece: Piece, number: float, writes: Writes, *, counter: bool) -> float:
    """Add the piece's registers to `writes`; return the number they hold."""
    held: float
    if piece.type in _FLOATS:
        big = struct.pack(_FLOATS[piece.type], number)
        (held,) = struct.unpack(_FLOATS[piece.type], big)
    else:
        big, held = _integer(piece.type, math.floor(number) if counter else round(number), counter=counter)
    writes += _place(piece, big)
    return held


def _integer(kind: str, count: int, *, counter: bool) -> tuple[bytes, int]:
    """Return an integer's bytes, most significant first, and the integer they hold (counters wrap)."""
    if kind == "bit":
        if count not in (0, 1):
            raise DoesNotFit(f"{count} does not fit a bit")
        return bytes((count,)), count
    if kind in _INTEGERS:
        size, signed = _INTEGERS[kind]
        top = 1 << (8 * size - signed)
        if counter:
            count %= top
        if not -top * signed <= count < top:
            raise DoesNotFit(f"{count} does not fit {kind}")
        return count.to_bytes(size, "big", signed=signed), count
    digits = 4 * _WORDS[kind]
    if counter:
        count %= 10**digits
    if not 0 <= count < 10**digits:
        raise DoesNotFit(f"{count} does not fit {kind}")
    text = f"{count:0{digits}d}"
    if kind.startswith("bcd"):
        return bytes.fromhex(text), count
    words = [int(text[i : i + 4]) for i in range(0, digits, 4)]  # mod10k: four decimal digits a register
    return b"".join(struct.pack(">H", word) for word in words), count


def _place(piece: Piece, big: bytes) -> Writes:
    if piece.type == "u8hi":
        return [(piece.address, 0xFF00, big[0] << 8)]
    if piece.type == "u8lo":
        return [(piece.address, 0x00FF, big[0])]
    if piece.type == "bit":
        return [(piece.address, 1, big[0])]
    words = list(struct.unpack(f">{len(big) // 2}H", big))
    if piece.order in {"CDAB", "DCBA"}:
        words.reverse()
    if piece.order in {"BADC", "DCBA"}:
        words = [(word & 0xFF) << 8 | word >> 8 for word in words]
    return [(piece.address + i, 0xFFFF, word) for i, word in enumerate(words)]


def _inverse(transform: str, value: float, leading: bool) -> float:
    """Return the number that a meter with this transform would hold for a value."""
    if transform == "pf_4q" and leading:
        return 2 - value if value >= 0 else -2 - value
    if transform == "signed_magnitude" and value < 0:
        return 32_768 - value
    return value


def _forward(transform: str, number: Fraction) -> Fraction:
    if transform == "pf_4q" and abs(number) > 1:
        return 2 - number if number > 0 else -2 - number
    if transform == "signed_magnitude" and number >= 32_768:
        return 32_768 - number
    return number


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """What a meter type answers. functions: Modbus functions served, each with the function it mirrors.

    holes: zero, error or unknown; extent: (first, last + 1) register per function; constants: the registers that
    never change (ratios, units). align, split, registers_max: limits the meter enforces.
    statuses: status channel -> what it holds while the channels it speaks for count.
    """

    profile: str
    registers: tuple[Register, ...]
    functions: Mapping[int, int]
    extent: Mapping[int, tuple[int, int]]
    constants: Fixed
    holes: str
    align: int
    split: str
    registers_max: int | None
    statuses: Mapping[str, float]


def read_profile(
    profile: Mapping[str, Any],
    *,
    ratios: Mapping[str, str],
    units: Mapping[str, str],
    variant: str = "",
    channels: Sequence[str] = (),
) -> RegisterMap:
    """Return the registers of a meter type with these ratios and menu settings.

    ratios: name -> decimal string, 1 where it is not named. units: channel -> unit where the menu decides (such
    channels without one are not served) or a register says it (the first it knows, where none is named). channels: those the site reads; where the meter's setting decides which of
    two channels a register holds, it is the one named here, else in the default set, else the first.
    Raises KeyError or DoesNotFit for a profile or setting the simulators cannot serve.
    """
    read = profile["read"]
    function = int(read["function"])
    values = {name: exact(ratios.get(name, "1")) for name in profile.get("ratios", {})}
    table = {
        key: {**c, **c.get("alternatives", {}).get(variant, {})} for key, c in profile["channels"].items()
    }
    named = [key for key in (*channels, *units, *profile.get("default", ())) if key in table]
    codes, menu = _menu(profile, table, units)
    single = read.get("split") == "single"
    there = {
        key: table[key]
        for key in dict.fromkeys((*named, *table))
        if _is_there(key, table[key], units, variant)
    }
    registers = _settled(
        (_register(key, channel, read, values, menu, profile["id"]) for key, channel in there.items()), single
    )
    constants = _ratio_registers(profile, values) + codes
    served_by = {register.function for register in registers} | {f for f, *_ in constants}
    functions = {f: f for f in (*served_by, function)}
    if "function_alt" in read:
        functions.setdefault(int(read["function_alt"]), function)
    align = int(read.get("align", 1))
    extent = {}
    for served in set(functions.values()):
        places = [(p.address, p.words) for r in registers if r.function == served for p in r.pieces]
        places += [(address, 1) for f, address, _, _ in constants if f == served]
        first, end = (min(a for a, _ in places), max(a + n for a, n in places)) if places else (0, 1)
        extent[served] = (first // align * align, -(-end // align) * align)
    return RegisterMap(
        profile=profile["id"],
        registers=registers,
        functions=functions,
        extent=extent,
        constants=constants,
        holes=read.get("holes", "unknown"),
        align=align,
        split=read.get("split", "merge"),
        registers_max=read.get("registers_max"),
        statuses=_statuses(there),
    )


def _menu(
    profile: Mapping[str, Any], table: Mapping[str, Mapping[str, Any]], units: Mapping[str, str]
) -> tuple[Fixed, dict[str, str]]:
    """Return the registers that say a unit, and channel -> unit where the profile alone does not say it."""
    codes: Fixed = []
    menu = dict(units)
    for name, rule in profile.get("units", {}).items():
        keys = [key for key, channel in table.items() if channel["unit"] == f"units.{name}"]
        wanted = {units[key] for key in keys if key in units} or {next(iter(rule["map"].values()))}
        code = next((code for code, unit in rule["map"].items() if {unit} == wanted), None)
        if code is None:
            raise DoesNotFit(f"{profile['id']}: units.{name} cannot say {', '.join(sorted(wanted))}")
        menu |= dict.fromkeys(keys, rule["map"][code])
        codes += _constant(profile, rule, float(code), f"units.{name} = {code}")
    return codes, menu


def _statuses(table: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return what each status channel holds while everything it speaks for counts."""
    held: dict[str, int] = {}
    for channel in table.values():
        if "valid_when" in channel:
            valid = channel["valid_when"]
            held[valid["channel"]] = held.get(valid["channel"], 0) | valid["equals"]
    return {key: float(number) for key, number in held.items()}


def _is_there(key: str, channel: Mapping[str, Any], units: Mapping[str, str], variant: str) -> bool:
    """Return whether a meter of this variant and with these menu settings has the channel."""
    if channel.get("variants") and variant not in channel["variants"]:
        return False
    return channel["unit"] != "configured" or key in units


def _settled(registers: Iterable[Register], single: bool) -> tuple[Register, ...]:
    """Return the registers without those whose place an earlier one has taken with another meaning.

    single: each address holds a value of its own, however long.
    """
    taken: dict[tuple[int, int, str], Register] = {}
    kept: list[Register] = []
    for register in registers:
        places = [
            (register.function, piece.address + i, half)
            for piece in register.pieces
            for i in range(1 if single else piece.words)
            for half in {"u8hi": "h", "u8lo": "l"}.get(piece.type, "hl")
        ]
        meaning = (register.quantity, register.pieces, register.unit, register.scale, register.transform)
        others = [taken[place] for place in places if place in taken]
        if all((o.quantity, o.pieces, o.unit, o.scale, o.transform) == meaning for o in others):
            kept.append(register)
            taken |= dict.fromkeys(places, register)
    return tuple(kept)


def _register(
    key: str,
    channel: Mapping[str, Any],
    read: Mapping[str, Any],
    ratios: Mapping[str, Fraction],
    units: Mapping[str, str],
    profile: str,
) -> Register:
    unit = (
        units[key]
        if channel["unit"] == "configured" or channel["unit"].startswith("units.")
        else channel["unit"]
    )
    if unit not in UNITS:
        raise KeyError(f"{profile}: {key} has unit {unit!r}, which the simulators do not know")
    order = channel.get("order", read.get("order", "ABCD"))
    factor = exact(channel.get("factor", "1"))
    scale = factor
    for name in channel.get("multiply", ()):
        scale *= ratios[name]
    parts = channel.get("parts") or [{"address": channel["address"]}]
    function = int(channel.get("function", read["function"]))
    default = "bit" if function in _BITS else channel.get("type", read.get("type"))
    modulus = exact(channel["modulus"]) if "modulus" in channel else None
    if "modulus_raw" in channel:
        modulus = exact(channel["modulus_raw"]) * scale
    return Register(
        key=key,
        quantity=channel["quantity"],
        function=function,
        pieces=tuple(
            Piece(
                int(p["address"]), p.get("type", default), p.get("order", order), exact(p.get("factor", "1"))
            )
            for p in parts
        ),
        unit=unit,
        scale=scale,
        offset=exact(channel.get("offset", "0")),
        transform=channel.get("transform", ""),
        modulus=modulus,
    )


def _ratio_registers(profile: Mapping[str, Any], values: Mapping[str, Fraction]) -> Fixed:
    """Return the registers a meter keeps its ratios in."""
    out: Fixed = []
    for name, rule in profile.get("ratios", {}).items():
        if "address" not in rule:
            continue
        if rule.get("as") == "exp10":
            exponent = round(math.log10(values[name]))
            if Fraction(10) ** exponent != values[name]:
                raise DoesNotFit(f"{profile['id']}: ratio {name} = {values[name]} is not a power of ten")
            number = float(exponent - int(rule.get("exponent_offset", 0)))
        else:
            number = float(values[name] / exact(rule.get("factor", "1")))
        out += _constant(profile, rule, number, f"ratio {name} = {values[name]}")
    return out


def _constant(profile: Mapping[str, Any], rule: Mapping[str, Any], number: float, what: str) -> Fixed:
    """Return the registers of one number that never changes. Raises DoesNotFit."""
    read = profile["read"]
    order = rule.get("order", read.get("order", "ABCD"))
    piece = Piece(int(rule["address"]), rule.get("type", read.get("type")), order)
    writes: Writes = []
    if _encode_one(piece, number, writes, counter=False) != number:
        raise DoesNotFit(f"{profile['id']}: {what} cannot be held in {piece.type}")
    return [(int(rule.get("function", read["function"])), *write) for write in writes]

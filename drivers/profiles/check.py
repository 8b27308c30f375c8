"""What the tables of a profile must say together: every finding, in the writer's words. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from drivers.profiles import check_identified
from drivers.profiles.golden import verify
from drivers.profiles.identified import IDENTIFIED
from drivers.profiles.model import BIT_FUNCTIONS, CONFIGURED, REGISTERS_UNKNOWN, UNITS
from gateway import wire
from gateway.config.values import nearest
from gateway.errors import Finding
from gateway.layout import UNSIGNED
from gateway.quantity import QUANTITIES
from gateway.units import UnitError, conversion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from drivers.profiles.model import ChannelTable, GateTable, Profile, SmallTable
    from gateway.quantity import Quantity

MEDIA = ("electricity", "water", "heat", "gas", "steam", "liquid", "compressed_air", "gas_analysis", "any")
PROTOCOLS = ("modbus", *IDENTIFIED, "opcua")
REGISTERS = 65536
QUANTITY_CUTOFF = 0.8
KEY_HINT = "keys begin with a quantity, such as power_active_total; `docs/reference/quantities.md`"
_INTEGERS = (*UNSIGNED, "s16", "s32", "s64", "bcd16", "bcd32", "bcd48")
_REGISTER_TYPES = tuple(name for name in wire.TYPES if name != "ua" and name not in wire.BYTE_TYPES)


def check(profile: Profile, stem: str) -> list[Finding]:
    """Return everything wrong with a parsed profile; stem: the file's name without its ending."""
    findings = list(_identity(profile, stem))
    if profile.protocol == "modbus":
        findings += _reading(profile)
    elif profile.protocol in IDENTIFIED:
        findings += check_identified.reading(profile)
    for key in profile.channels:
        findings += _channel(profile, key)
    for variant in ("", *profile.variants):
        findings += _overlaps(profile, variant)
    findings += _golden(profile)
    if not findings:  # a capture can be decoded only by a profile that holds together
        findings += verify(profile)
    return list({str(finding): finding for finding in findings}.values())


def one_of(path: str, found: str, options: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding if a name is not one of `options`, with the nearest one as suggestion."""
    known = list(options)
    if found not in known:
        near = nearest(found, known)
        listed = (
            "one of " + ", ".join(name or '""' for name in known)
            if known
            else "none: the profile declares none"
        )
        yield Finding(path, f'"{found}"', listed, f'did you mean "{near}"?' if near else "")


def _identity(profile: Profile, stem: str) -> Iterator[Finding]:
    if profile.id != stem:
        yield Finding("id", f'"{profile.id}"', f'"{stem}", as the file is named')
    yield from one_of("medium", profile.medium, MEDIA)
    yield from one_of("protocol", profile.protocol, PROTOCOLS)
    for i, key in enumerate(profile.default, 1):
        yield from one_of(f"default[{i}]", key, profile.channels)
    if len(set(profile.default)) < len(profile.default):
        yield Finding("default", "a channel twice", "each channel once")
    if profile.golden and profile.protocol == "opcua":
        yield Finding("golden", "captures", "none: they hold registers, and OPC UA sends typed values")
    if not profile.golden and profile.protocol != "opcua":
        yield Finding("golden", "nothing", "at least one [[golden]] capture: bytes and the values they mean")
    if profile.probe is None and not profile.no_probe and profile.protocol != "opcua":
        yield Finding("probe", "nothing", 'a [probe], or no_probe = "why nothing proves this meter"')
    if profile.probe is not None and profile.no_probe:
        yield Finding("no_probe", "a reason", "no reason where there is a [probe]")


def _reading(profile: Profile) -> Iterator[Finding]:
    read = profile.read
    if read.function is None:
        yield Finding("read.function", "nothing", "the function code to read with, 1 to 4")
    yield from one_of("read.order", read.order, wire.ORDERS)
    if read.type:
        yield from one_of("read.type", read.type, _REGISTER_TYPES)
    for name, patterns in profile.sentinels.items():
        yield from one_of(f"sentinels.{name}", name, _REGISTER_TYPES)
        yield from _patterns(f"sentinels.{name}", name, patterns)
    for name, ratio in profile.ratios.items():
        path = f"ratios.{name}"
        if ratio.configured == (ratio.address is not None):
            yield Finding(path, "both or neither", "either an address to read it from or configured = true")
        elif not ratio.configured:
            yield from _value(profile, path, ratio)
    for name, unit in profile.units.items():
        if unit.address is None or unit.at is not None:
            yield Finding(
                f"units.{name}.address", "nothing", "wire address of the register that says the unit"
            )
        yield from _value(profile, f"units.{name}", unit)
        yield from _integer(profile, f"units.{name}", unit)
    for i, detect in enumerate(profile.detect, 1):
        yield from _value(profile, f"detect[{i}]", detect)
        yield from _integer(profile, f"detect[{i}]", detect)
        if (detect.equals is None) == (not detect.among):
            yield Finding(f"detect[{i}]", "both or neither", "either equals = a number or among = [numbers]")
    if profile.probe is not None:
        yield from _value(profile, "probe", profile.probe)
        if profile.probe.low > profile.probe.high:
            yield Finding("probe.low", str(profile.probe.low), f"at most probe.high, {profile.probe.high}")


def _integer(profile: Profile, path: str, table: SmallTable) -> Iterator[Finding]:
    """Yield a finding if a register that holds a code is read as something else."""
    name = table.type or profile.read.type
    if name in _REGISTER_TYPES and name not in _INTEGERS:
        yield Finding(f"{path}.type", f'"{name}"', "an integer type, for a code")


def _patterns(path: str, name: str, patterns: Iterable[str]) -> Iterator[Finding]:
    kind = wire.TYPES.get(name)
    for pattern in patterns:
        if kind is not None and len(pattern) != 2 * kind.size:
            yield Finding(path, f'"{pattern}"', f"{kind.size} bytes, as {name} has")


def _channel(profile: Profile, key: str) -> Iterator[Finding]:
    channel, path = profile.channels[key], f"channels.{key}"
    known = channel.quantity in QUANTITIES
    if not known:
        yield _no_quantity(f"{path}.quantity", channel.quantity)
    if known and key != channel.quantity and not key.startswith(channel.quantity + "_"):
        yield Finding(path, f'key "{key}"', f'"{channel.quantity}", alone or followed by "_" and the part')
    for name in channel.variants:
        yield from one_of(f"{path}.variants", name, ("", *profile.variants))
    for name in channel.alternatives:
        yield from one_of(f"{path}.alternatives.{name}", name, profile.variants)
    quantity = QUANTITIES.get(channel.quantity)
    if quantity is not None:
        yield from _meaning(channel, path)
        yield from _units(profile, path, channel.unit, quantity)
    if channel.valid_when is not None:
        yield from _valid(profile, key, channel.valid_when)
    if channel.low is not None and channel.high is not None and channel.low > channel.high:
        yield Finding(f"{path}.low", str(channel.low), f"at most high, {channel.high}")
    for variant in ("", *channel.alternatives):
        where = path if not variant else f"{path}.alternatives.{variant}"
        yield from _place(profile, where, profile.channel(key, variant))


def _no_quantity(path: str, found: str) -> Finding:
    """Return the finding of a word that is no quantity; a guess only where it is a slip of the pen."""
    near = nearest(found, QUANTITIES, QUANTITY_CUTOFF)
    hint = f'did you mean "{near}"?' if near else KEY_HINT
    return Finding(path, f'"{found}"', f"one of the {len(QUANTITIES)} quantities", hint)


def _units(profile: Profile, path: str, unit: str, quantity: Quantity) -> Iterator[Finding]:
    """Yield a finding for each unit a channel may have that does not fit its quantity."""
    if unit == CONFIGURED:
        return
    places = {f"{path}.unit": unit}
    if unit.startswith(UNITS):
        name = unit.removeprefix(UNITS)
        yield from one_of(f"{path}.unit", name, profile.units)
        table = profile.units.get(name)
        places = {f"units.{name}.map.{code}": u for code, u in table.map.items()} if table else {}
    for place, found in places.items():
        try:
            conversion(found, quantity)
        except UnitError as error:
            hint = f'did you mean "{error.suggestion}"?' if error.suggestion else ""
            yield Finding(place, f'"{found}"', str(error), hint)


def _valid(profile: Profile, key: str, valid: GateTable) -> Iterator[Finding]:
    """Yield what keeps a status channel from saying whether channel `key` counts."""
    path = f"channels.{key}.valid_when"
    if valid.equals & ~valid.mask:
        yield Finding(f"{path}.equals", str(valid.equals), f"bits of the mask {valid.mask:#x}")
    status = profile.channels.get(valid.channel)
    if status is None or valid.channel == key:
        others = [other for other in profile.channels if other != key]
        yield from one_of(f"{path}.channel", valid.channel, others)
        return
    if profile.protocol == "opcua" or (status.type or profile.read.type) not in UNSIGNED or status.transform:
        yield Finding(f"{path}.channel", f'"{valid.channel}"', "a register of " + ", ".join(UNSIGNED))
    elif status.valid_when is not None:
        yield Finding(f"{path}.channel", f'"{valid.channel}"', "a status that counts always")
    for variant in ("", *profile.variants):
        if key in profile.keys(variant) and valid.channel not in profile.keys(variant):
            expected = f'a channel that every variant with {key} has; "{variant}" has it not'
            yield Finding(f"{path}.channel", f'"{valid.channel}"', expected)


def _meaning(channel: ChannelTable, path: str) -> Iterator[Finding]:
    quantity = QUANTITIES[channel.quantity]
    if channel.input and (channel.input == "pulses") != (quantity.kind == "counter"):
        yield Finding(f"{path}.input", f'"{channel.input}"', "pulses for a counter, loop for a gauge")
    if quantity.reference and not channel.reference:
        expected = f'the condition it is stated at ("0 °C, 101.325 kPa"), or "{CONFIGURED}"'
        yield Finding(f"{path}.reference", "nothing", expected)
    for name in ("modulus", "modulus_raw", "rate_max"):
        if quantity.kind == "gauge" and getattr(channel, name) is not None:
            yield Finding(f"{path}.{name}", "a value", f"nothing: {quantity.name} is a gauge")


def _place(profile: Profile, path: str, channel: ChannelTable) -> Iterator[Finding]:
    for name in channel.multiply:
        yield from one_of(f"{path}.multiply", name, profile.ratios)
    if channel.modulus is not None and channel.modulus_raw is not None:
        yield Finding(f"{path}.modulus", "modulus and modulus_raw", "one of them")
    if profile.protocol in IDENTIFIED:
        yield from check_identified.place(profile, path, channel)
        return
    yield from check_identified.misplaced(path, channel)
    if profile.protocol == "opcua":
        if not channel.id or channel.address is not None or channel.parts or channel.type not in ("", "ua"):
            yield Finding(path, "no OPC UA variable", "id = a node id; no address, no parts")
        return
    if channel.id:
        yield Finding(f"{path}.id", f'"{channel.id}"', "address = a register; id belongs to OPC UA")
    if bool(channel.parts) != (channel.type == "split"):
        yield Finding(f"{path}.type", f'"{channel.type}"', '"split" with parts, and only with them')
    elif channel.input:
        if channel.address is not None or channel.type or channel.unit != CONFIGURED:
            yield Finding(
                path, "an address, type or unit", f'none, and unit = "{CONFIGURED}": the site file says them'
            )
    elif not channel.parts and channel.address is None:
        yield Finding(f"{path}.address", "nothing", "the wire address")
    elif channel.parts and channel.address is not None:
        yield Finding(f"{path}.address", str(channel.address), "nothing: each part has its own")
    else:
        yield from _value(profile, path, channel)


def _value(profile: Profile, path: str, channel: ChannelTable | SmallTable) -> Iterator[Finding]:
    """Yield what is wrong with where and how a value lies in the registers."""
    named = list(_named(profile, path, channel))
    yield from named
    if named or not _readable(profile):
        return
    parts = profile.resolve(channel)
    limit, align = profile.read.registers_max or REGISTERS_UNKNOWN, profile.read.align
    for part, source in parts:
        end = source.address + source.count
        if end > REGISTERS:
            yield Finding(
                f"{path}.address", str(source.address), f"an address whose value ends below {REGISTERS}"
            )
        if source.function in BIT_FUNCTIONS:
            if part.type != "u16":
                yield Finding(f"{path}.type", part.type, "u16 (0 or 1) for a bit, functions 1 and 2")
        elif source.address % align or source.count % align:
            found = f"{source.count} registers at {source.address}"
            yield Finding(
                f"{path}.address", found, f"address and count that are multiples of {align} (read.align)"
            )
    low = min(source.address for _, source in parts)
    high = max(source.address + source.count for _, source in parts)
    if high - low > limit:
        yield Finding(path, f"{high - low} registers in one value", f"at most {limit} (read.registers_max)")
    yield from _one_request(profile, path, channel)


def _readable(profile: Profile) -> bool:
    """Return whether the defaults for all values are known; if not, `_reading` has said so."""
    read = profile.read
    return read.type in ("", *_REGISTER_TYPES) and read.order in wire.ORDERS


def _named(profile: Profile, path: str, channel: ChannelTable | SmallTable) -> Iterator[Finding]:
    parts = getattr(channel, "parts", ())
    if not parts and not (channel.type or profile.read.type):
        yield Finding(f"{path}.type", "nothing", "a type here or in read.type")
    for place, owner in ((path, channel), *((f"{path}.parts[{i}]", p) for i, p in enumerate(parts, 1))):
        if owner.type and not (parts and owner is channel):
            yield from one_of(f"{place}.type", owner.type, _REGISTER_TYPES)
        elif owner is not channel and not profile.read.type:
            yield Finding(f"{place}.type", "nothing", "a type here or in read.type")
        if owner.order:
            yield from one_of(f"{place}.order", owner.order, wire.ORDERS)
    transform = getattr(channel, "transform", "")
    if transform:
        yield from one_of(f"{path}.transform", transform, wire.TRANSFORMS)
        if parts:
            yield Finding(f"{path}.transform", f'"{transform}"', "one value, not parts")
        elif transform == "signed_magnitude" and (channel.type or profile.read.type) != "u16":
            yield Finding(f"{path}.type", "another type", "u16 with signed_magnitude")
    patterns = getattr(channel, "sentinels", None)
    if patterns:
        name = parts[0].type if parts else channel.type
        yield from _patterns(f"{path}.sentinels", name or profile.read.type, patterns)


def _one_request(profile: Profile, path: str, channel: ChannelTable | SmallTable) -> Iterator[Finding]:
    """Yield a finding if the parts of a value cannot come in one answer."""
    parts = [source for _, source in profile.resolve(channel)]
    if len(parts) == 1:
        return
    if profile.read.split == "single":
        yield Finding(
            f"{path}.parts", f"{len(parts)} parts", 'one: with read.split = "single" they are read apart'
        )
    if profile.read.holes == "zero":
        return
    listed = {
        place
        for other in profile.channels.values()
        if other.type in (*_REGISTER_TYPES, "", "split") and (other.type or profile.read.type)
        for place in _addresses(profile, other)
    }
    span = range(min(p.address for p in parts), max(p.address + p.count for p in parts))
    gap = [address for address in span if (parts[0].function, address) not in listed]
    if gap:
        expected = f'parts without a hole between them, or read.holes = "zero" (it is "{profile.read.holes}")'
        yield Finding(f"{path}.parts", f"unlisted register {gap[0]} between the parts", expected)


def _addresses(profile: Profile, channel: ChannelTable) -> Iterator[tuple[int, int]]:
    """Yield (function, address) of each register a channel covers, as far as its types are known."""
    names = [p.type or profile.read.type for p in channel.parts] or [channel.type or profile.read.type]
    if all(name in _REGISTER_TYPES for name in names):
        for _, source in profile.resolve(channel):
            for address in range(source.address, source.address + source.count):
                yield source.function, address


def _overlaps(profile: Profile, variant: str) -> Iterator[Finding]:
    """Yield values that share registers; the very same registers may be read as two channels."""
    if profile.protocol in IDENTIFIED:
        yield from check_identified.overlaps(profile, variant)
    if profile.protocol != "modbus" or profile.read.split == "single":
        return
    extents: dict[tuple[int, int, int], str] = {}
    for key in profile.keys(variant):
        channel = profile.channel(key, variant)
        if channel.input or not _readable(profile) or any(_named(profile, key, channel)):
            continue
        for _, source in profile.resolve(channel):
            extents.setdefault((source.function, source.address, source.address + source.count), key)
    for (place, key), (after, other) in pairwise(sorted(extents.items())):
        if place[0] == after[0] and after[1] < place[2]:
            found = f"registers {after[1]} to {after[2] - 1}, of which channels.{key} uses {after[1]}"
            yield Finding(f"channels.{other}.address", found, 'no overlap, or read.split = "single"')


def _golden(profile: Profile) -> Iterator[Finding]:
    if profile.protocol in IDENTIFIED:
        yield from check_identified.golden(profile)
    for i, golden in enumerate(profile.golden, 1):
        path = f"golden[{i}]"
        names: tuple[tuple[str, Iterable[str], Mapping[str, object]], ...] = (
            ("expect", golden.expect, profile.channels),
            ("units", golden.units, profile.channels),
            ("inputs", golden.inputs, profile.channels),
            ("ratios", golden.ratios, profile.ratios),
            ("variant", (golden.variant,) if golden.variant else (), profile.variants),
        )
        for table, found, known in names:
            for name in found:
                yield from one_of(f"{path}.{table}.{name}", name, known)
        if profile.protocol == "modbus" and (golden.frames or not golden.blocks):
            yield Finding(
                f"{path}.blocks", "nothing", "answers: function, address and the bytes of the registers"
            )
        for n, block in enumerate(golden.blocks, 1):
            if block.function not in BIT_FUNCTIONS and len(block.hex) % 4:
                yield Finding(
                    f"{path}.blocks[{n}].hex",
                    f"{len(block.hex) // 2} bytes",
                    "whole registers, two bytes each",
                )

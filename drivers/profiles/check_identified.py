"""What profiles of DL/T 645 and CJ/T 188 must say, beside what every profile must. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from drivers.profiles.identified import IDENTIFIED, type_of
from gateway import wire
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.profiles.model import ChannelTable, Profile

HEAD_BYTES = 3
"""Identifier and serial number, which begin the data field of a CJ/T 188 reply."""
CLOCK_BYTES = 7
DI_MAX = 0xFFFF
_FORMAT_HINT = 'such as "XXXXXX.XX": packed decimal digits, an even number of them, 16 at most'
_NEW_KEYS = ("di", "at", "format", "signed", "frozen")


def misplaced(path: str, channel: ChannelTable) -> Iterator[Finding]:
    """Yield the keys of a Modbus or OPC UA channel that belong to the protocols of this module."""
    for name in _NEW_KEYS:
        if getattr(channel, name) not in (None, "", False):
            yield Finding(f"{path}.{name}", "a value", f"nothing: it belongs to {' and '.join(IDENTIFIED)}")


def reading(profile: Profile) -> Iterator[Finding]:
    """Yield what is wrong with how the meter type is asked."""
    read, own = profile.read, profile.protocol
    for name in ("function", "function_alt", "registers_max"):
        if getattr(read, name) is not None:
            yield Finding(f"read.{name}", "a value", "nothing: it belongs to Modbus")
    if profile.detect:
        yield Finding("detect", "registers", "nothing: the answer carries the meter's own number")
    if profile.probe is not None:
        yield Finding("probe", "a register", 'no_probe = "…": only the meter with this number answers')
    for name, ratio in profile.ratios.items():
        if not ratio.configured:
            yield Finding(f"ratios.{name}", "an address", "configured = true: such a meter has no registers")
    if own == "dlt645":
        for name in profile.units:
            yield Finding(f"units.{name}", "a unit byte", "nothing: DL/T 645 values have fixed units")
        for name in ("di", "meter_type", "clock_at"):
            if getattr(read, name) is not None:
                yield Finding(f"read.{name}", "a value", "nothing: it belongs to CJ/T 188")
    else:
        yield from _cjt188(profile)


def _cjt188(profile: Profile) -> Iterator[Finding]:
    read = profile.read
    if read.di is None or read.di > DI_MAX:
        found = "nothing" if read.di is None else f"{read.di:#x}"
        yield Finding("read.di", found, "the identifier that is read, such as 0x901F")
    if read.meter_type is None:
        yield Finding("read.meter_type", "nothing", "the byte T of the meter, such as 0x10 for cold water")
    for name in read.meter_types:
        if name not in profile.variants:
            yield Finding(f"read.meter_types.{name}", f'"{name}"', "a variant of the profile")
    if not read.lengths:
        yield Finding(
            "read.lengths", "nothing", "the byte counts a reply's data field may have, such as [22]"
        )
    for name, unit in profile.units.items():
        if unit.at is None or unit.address is not None:
            yield Finding(
                f"units.{name}.at", "nothing", "the place of the unit byte in the reply's data field"
            )
        else:
            yield from _inside(profile, f"units.{name}.at", unit.at, 1)
    if read.clock_at is not None:
        yield from _inside(profile, "read.clock_at", read.clock_at, CLOCK_BYTES)


def _inside(profile: Profile, path: str, at: int, size: int) -> Iterator[Finding]:
    longest = max(profile.read.lengths, default=0)
    if at < HEAD_BYTES or (longest and at + size > longest):
        expected = f"a place from {HEAD_BYTES} on whose {size} bytes end within {longest} (read.lengths)"
        yield Finding(path, str(at), expected)


def place(profile: Profile, path: str, channel: ChannelTable) -> Iterator[Finding]:
    """Yield what is wrong with where a channel lies and what it is."""
    for name in ("address", "id", "function", "order", "parts", "transform"):
        if getattr(channel, name):
            yield Finding(f"{path}.{name}", "a value", f"nothing: it does not belong to {profile.protocol}")
    found = type_of(channel)
    if bool(channel.type) == bool(channel.format):
        yield Finding(f"{path}.format", "both or neither of format and type", _FORMAT_HINT)
    elif found is None and channel.format:
        yield Finding(f"{path}.format", f'"{channel.format}"', _FORMAT_HINT)
    elif found is None:
        yield Finding(f"{path}.type", f'"{channel.type}"', "one of " + ", ".join(wire.BYTE_TYPES))
    if channel.signed and not channel.format:
        yield Finding(f"{path}.signed", "true", "a format: its topmost bit is the sign")
    if profile.protocol == "dlt645":
        if channel.di is None:
            yield Finding(f"{path}.di", "nothing", "the identifier, such as 0x00010000")
        if channel.at is not None:
            yield Finding(f"{path}.at", str(channel.at), "nothing: a DL/T 645 answer holds one value")
        return
    for name in ("di", "frozen"):
        if getattr(channel, name) is not None:
            yield Finding(f"{path}.{name}", "a value", "nothing: read.di is read, at says where in its reply")
    if channel.at is None:
        yield Finding(f"{path}.at", "nothing", "the byte in the reply's data field, DI and SER counted")
    elif found is not None:
        yield from _inside(profile, f"{path}.at", channel.at, wire.TYPES[found[0]].size)


def overlaps(profile: Profile, variant: str) -> Iterator[Finding]:
    """Yield values that share bytes of a CJ/T 188 reply, or an identifier of DL/T 645."""
    extents: dict[tuple[int, int], str] = {}
    for key in profile.keys(variant):
        channel = profile.channel(key, variant)
        found = type_of(channel)
        start = channel.di if profile.protocol == "dlt645" else channel.at
        if found is None or start is None:
            continue
        size = 1 if profile.protocol == "dlt645" else wire.TYPES[found[0]].size
        other = extents.setdefault((start, start + size), key)
        if other != key:
            yield Finding(f"channels.{key}", f"the same place as channels.{other}", "a place of its own")
    for (one, key), (after, other) in pairwise(sorted(extents.items())):
        if after[0] < one[1]:
            yield Finding(f"channels.{other}.at", str(after[0]), f"no byte that channels.{key} uses")


def golden(profile: Profile) -> Iterator[Finding]:
    """Yield what is wrong with the form of the captures: frames, not registers."""
    for i, capture in enumerate(profile.golden, 1):
        if capture.blocks:
            yield Finding(f"golden[{i}].blocks", "registers", "frames = [whole answers as hexadecimal bytes]")
        if not capture.frames:
            yield Finding(f"golden[{i}].frames", "nothing", "whole answers as hexadecimal bytes")

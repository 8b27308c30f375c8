"""Profiles of protocols that ask by identifier, DL/T 645 and CJ/T 188: where a value lies and how it is asked."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from drivers.identifiers import CjtSettings, CjtSource, DltSettings, DltSource, FrozenPlace
from gateway import wire
from gateway.layout import Part

if TYPE_CHECKING:
    from drivers.profiles.model import Place, Profile, UnitTable

IDENTIFIED = ("dlt645", "cjt188")
_FORMAT = re.compile(r"(X+)(?:\.(X+))?")
UNIT_TYPE = "u8"


class Located(NamedTuple):
    """Where one value lies, what it is on the wire, and what one count of it is worth."""

    part: Part
    source: DltSource | CjtSource
    scale: Decimal


def type_of(table: Place) -> tuple[str, int] | None:
    """Return (type on the wire, decimal places) of a value; None if its format is none.

    A format such as XXXXXX.XX is packed decimal digits, two a byte, with the point before the last two.
    """
    if not table.format:
        return (table.type, 0) if table.type in wire.BYTE_TYPES else None
    match = _FORMAT.fullmatch(table.format)
    if match is None:
        return None
    places = len(match[2] or "")
    digits = len(match[1]) + places
    if digits % 2 or digits > 2 * wire.BCD_BYTES_MAX:
        return None
    return f"{'sbcd' if table.signed else 'bcd'}_le{digits // 2}", places


def locate(profile: Profile, table: Place, unit_code: int = -1) -> Located:
    """Return where a channel lies. unit_code: what its unit byte held at connecting, -1: none. The profile is checked."""
    found = type_of(table)
    assert found is not None
    name, places = found
    size = wire.TYPES[name].size
    scale = Decimal(1).scaleb(-places)
    if profile.protocol == "dlt645":
        frozen = None if table.frozen is None else FrozenPlace(table.frozen, table.frozen_at)
        return Located(Part(name), DltSource(table.di or 0, size, frozen), scale)
    unit = profile.units.get(getattr(table, "unit", "").removeprefix("units."))
    unit_at = -1 if unit is None or unit.at is None or unit_code < 0 else unit.at
    source = CjtSource(profile.read.di or 0, table.at or 0, size, unit_at, unit_code)
    return Located(Part(name), source, scale)


def locate_unit(profile: Profile, table: UnitTable) -> Located:
    """Return where a unit byte lies."""
    return Located(Part(UNIT_TYPE), CjtSource(profile.read.di or 0, table.at or 0, 1), Decimal(1))


def meter_types(profile: Profile) -> frozenset[int]:
    """Return the bytes T that meters of this profile may have."""
    own = () if profile.read.meter_type is None else (profile.read.meter_type,)
    return frozenset((*own, *profile.read.meter_types.values()))


def settings(profile: Profile, variant: str = "") -> DltSettings | CjtSettings:
    """Return how a meter of this type and variant may be asked."""
    read = profile.read
    if profile.protocol == "dlt645":
        return DltSettings(read.preamble, read.utc_offset_min)
    return CjtSettings(
        meter_type=read.meter_types.get(variant, read.meter_type or 0),
        lengths=read.lengths,
        echoes_ser=read.ser == "echoed",
        preamble=read.preamble,
        clock_at=-1 if read.clock_at is None else read.clock_at,
        utc_offset_min=read.utc_offset_min,
    )

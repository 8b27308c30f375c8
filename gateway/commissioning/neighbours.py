"""Values of a profile as checks, and where a meter keeps one that is not where its profile says.

The usual reasons are registers counted from 1 and not from 0, function 3 for 4, and words the other way round.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from drivers.profiles.compile import channel_keys
from drivers.profiles.model import BIT_FUNCTIONS, CONFIGURED
from gateway.errors import DeviceError
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel
from gateway.quantity import QUANTITIES
from gateway.units import UnitError, conversion
from gateway.wire import ORDERS, TYPES

if TYPE_CHECKING:
    from drivers.profiles.model import Profile, Resolved
    from drivers.registers import RegisterSource
    from gateway.commissioning.reads import MeterReads

TELLING: dict[str, tuple[float, float]] = {
    "voltage_ln": (80, 500),
    "voltage_ll": (80, 1000),
    "frequency": (45, 65),
}
"""Quantities whose value on a live low-voltage meter is known beforehand, canonical unit; what most meters hang on."""
MIXED = (3, 4)
ONE = Decimal(1)
CONFIRM_MAX = 3
TABLES = {1: "coil", 2: "discrete input", 3: "holding", 4: "input"}


class Check(NamedTuple):
    """One value that must lie between low and high, in `unit`. own: it is the profile's [probe]."""

    name: str
    part: Part
    source: RegisterSource
    slot: Slot
    low: float
    high: float
    unit: str
    own: bool = False


class Place(NamedTuple):
    """Another place where a check holds, relative to its own. confirmed: how many of `asked` other values fit there too."""

    function: int
    shift: int
    order: str
    value: float
    confirmed: int
    asked: int


def slot_of(resolved: Resolved, factor: Decimal = ONE, sentinels: tuple[str, ...] = ()) -> Slot:
    """Return the slot of one value."""
    return Slot((resolved.part,), format(factor, "f"), "0", sentinels)


def value_in(slot: Slot, raw: bytes) -> float:
    """Return the number bytes mean; NaN where they are none."""
    layout = Layout("", 0.0, (Channel("value", "code", "1", "gauge"),), (slot,))
    return layout.decode(raw, layout.no_flags[:])[0]


def probe_check(profile: Profile) -> Check | None:
    """Return a profile's own probe; None if it has none."""
    probe = profile.probe
    if probe is None:
        return None
    (found,) = profile.resolve(probe)
    slot = slot_of(found, probe.factor, profile.sentinels.get(found.part.type, ()))
    return Check("probe", found.part, found.source, slot, probe.low, probe.high, probe.unit, own=True)


def telling_checks(profile: Profile, variant: str = "") -> list[Check]:
    """Return the channels whose value is known beforehand: voltages and frequency, without ratios."""
    if profile.protocol != "modbus":
        return []
    found = []
    keys = dict.fromkeys((*channel_keys(profile, (), variant), *profile.keys(variant)))
    for key in keys:
        table = profile.channel(key, variant)
        window = TELLING.get(table.quantity)
        plain = not (table.multiply or table.transform or table.parts or table.input or table.offset)
        if window is None or not plain or table.unit == CONFIGURED:
            continue
        try:
            scale = conversion(table.unit, QUANTITIES[table.quantity]).factor
        except UnitError:
            continue
        (resolved,) = profile.resolve(table)
        slot = slot_of(resolved, table.factor * scale, profile.sentinels.get(resolved.part.type, ()))
        unit = QUANTITIES[table.quantity].unit
        found.append(Check(key, resolved.part, resolved.source, slot, *window, unit))
    return found


def fits(check: Check, raw: bytes) -> bool:
    """Return whether the value lies where it must."""
    value = value_in(check.slot, raw)
    return not math.isnan(value) and check.low <= value <= check.high


async def look_around(reads: MeterReads, checks: list[Check]) -> list[Place]:
    """Return where else the first check holds, those most confirmed by the others first. Raises Stopped, LinkDown, Busy."""
    first, others = checks[0], checks[1 : 1 + CONFIRM_MAX]
    found = []
    own = first.source.function
    functions = [own, *(f for f in MIXED if f != own and own in MIXED)]
    for shift in (0, -1, 1):
        for function in functions:
            for order in _orders(first):
                if (shift, function, order) == (0, own, first.part.order):
                    continue
                value = await _elsewhere(reads, first, function, shift, order)
                if value is None or not first.low <= value <= first.high:
                    continue
                held = [await _elsewhere(reads, c, function, shift, order) for c in others]
                confirmed = sum(
                    v is not None and c.low <= v <= c.high for v, c in zip(held, others, strict=True)
                )
                found.append(Place(function, shift, order, value, confirmed, len(others)))
    best = max((place.confirmed for place in found), default=0)
    return sorted((p for p in found if p.confirmed == best), key=lambda place: _oddness(place, first))


def _oddness(place: Place, check: Check) -> tuple[int, bool]:
    """Return how far a place is from the profile's; of one change, registers counted from 1 are the commonest."""
    changes = bool(place.shift), place.function != check.source.function, place.order != check.part.order
    return sum(changes), not place.shift


def _orders(check: Check) -> tuple[str, ...]:
    own = check.part.order
    if check.source.function in BIT_FUNCTIONS or TYPES[check.part.type].size <= 2:
        return (own,)
    return (own, *(order for order in ORDERS if order != own))


async def _elsewhere(reads: MeterReads, check: Check, function: int, shift: int, order: str) -> float | None:
    """Return what the check's value would be there; None where nothing is."""
    raw = await reads.registers(function, check.source.address + shift, check.source.count)
    if isinstance(raw, DeviceError):
        return None
    part = Part(check.part.type, order, check.part.factor)
    value = value_in(Slot((part,), check.slot.coefficient, check.slot.offset, check.slot.sentinels), raw)
    return None if math.isnan(value) else value


def on_the_wire(profile: Profile, source: RegisterSource) -> str:
    """Return a register as the manual and the wire call it."""
    manual = source.address + profile.read.doc_offset
    return f"register {manual} in the manual is {TABLES[source.function]} {source.address} on the wire"


def advice(profile: Profile, check: Check, place: Place) -> str:
    """Return what was found instead, and what to change."""
    source = check.source
    where = f"{TABLES[place.function]} {source.address + place.shift}"
    also = f", and {place.confirmed} of {place.asked} other values fit there too" if place.asked else ""
    text = f"{where}, order {place.order}, holds {place.value:.6g} {check.unit}, which fits{also}"
    changes = []
    if place.shift:
        offset = profile.read.doc_offset - place.shift
        way = "higher" if place.shift > 0 else "lower"
        changes.append(
            f"this meter's registers lie one {way} than the profile says: the profile's doc_offset {profile.read.doc_offset} "
            f"would have to be {offset} and every address one {way}"
        )
    if place.function != source.function:
        changes.append(f"read.function would have to be {place.function} instead of {source.function}")
    if place.order != check.part.order:
        changes.append(f"read.order would have to be {place.order} instead of {check.part.order}")
    step = "copy the profile into a folder of gateway.profile_dirs and change it there"
    return f"{text}: {'; '.join(changes)}; {step}"

"""Inputs of I/O modules: the site file says the register and what its number means; all of it goes into the layout.

pulses: value = number / pulses per unit + base. loop: value = straight line through (number at 4 mA, value there) and
(number at 20 mA, value there); at and beyond the failure currents there is no value.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from gateway import wire
from gateway.errors import Finding
from gateway.units import to_decimal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drivers.profiles.model import ChannelTable
    from gateway.config.inputs import InputConfig

PULSES, LOOP = "pulses", "loop"
REGISTERS = 65536
# At or below the one, at or above the other, the current is no measurement: wire break, short circuit, failed sensor.
# Source: NAMUR NE 43 (failure information <= 3.6 mA or >= 21 mA; measurement 3.8 to 20.5 mA).
FAILED_MA = (Fraction("3.6"), Fraction(21))
_LOW_MA, _SPAN_MA = 4, 16
_EXAMPLE = {
    PULSES: 'such as input = { address = 0, type = "u32", pulses_per_unit = 1600, base = "12345.6" }',
    LOOP: 'such as input = { address = 0, type = "u16", range = [0, 100], raw = [4000, 20000] }',
}
_WANTED = {
    PULSES: ("pulses_per_unit", "the pulse constant on the meter's plate: pulses for one unit"),
    LOOP: ("range", "the values at 4 mA and at 20 mA"),
}
_OWN = {PULSES: ("pulses_per_unit", "base"), LOOP: ("range", "raw", "cut_off")}


class Settled(NamedTuple):
    """A channel with its input filled in. window: numbers on the wire between which there is a value.

    evidence: what the layout keeps beside the ratios.
    """

    table: ChannelTable
    window: tuple[str, str] | None
    evidence: Mapping[str, str]


def settle(
    key: str, table: ChannelTable, given: InputConfig | None, findings: list[Finding]
) -> Settled | None:
    """Return a channel as its input makes it, unchanged if it has none; adds findings and returns None if it cannot."""
    path = f"override.{key}.input"
    if not table.input:
        if given is None:
            return Settled(table, None, {})
        findings.append(
            Finding(path, "a value", "nothing: this meter says itself where the channel is", "remove the key")
        )
        return None
    if given is None:
        findings.append(
            Finding(path, "nothing", "which register it is, and what its number means", _EXAMPLE[table.input])
        )
        return None
    found = list(_wrong(path, table.input, given))
    findings += found
    if found:
        return None
    line, window = _pulses(given) if table.input == PULSES else _loop(given)
    place = {"address": given.address, "type": given.type, "order": given.order, "function": given.function}
    changes = place | {"factor": to_decimal(line[0]), "offset": to_decimal(line[1])}
    evidence = {
        f"{key}.{name}": str(getattr(given, name)) for name in _KEPT if name in given.model_fields_set
    }
    return Settled(table.model_copy(update=changes), window, evidence)


_KEPT = ("pulses_per_unit", "base", "cut_off")


def _wrong(path: str, kind: str, given: InputConfig) -> Iterator[Finding]:
    name, expected = _WANTED[kind]
    if getattr(given, name) is None:
        yield Finding(f"{path}.{name}", "nothing", expected, _EXAMPLE[kind])
    other = LOOP if kind == PULSES else PULSES
    for strange in _OWN[other]:
        if strange in given.model_fields_set:
            what = "counts pulses" if kind == PULSES else "measures a current"
            yield Finding(f"{path}.{strange}", "a value", f"nothing: this input {what}", "remove the key")
    if given.address + wire.TYPES[given.type].size // 2 > REGISTERS:
        yield Finding(f"{path}.address", str(given.address), f"an address whose value ends below {REGISTERS}")
    if kind != LOOP:
        return
    if given.raw is None:
        yield Finding(f"{path}.raw", "nothing", "the numbers at 4 mA and at 20 mA", _EXAMPLE[kind])
    for ends in ("range", "raw"):
        pair = getattr(given, ends)
        if pair is not None and Decimal(pair[0]) == Decimal(pair[1]):
            yield Finding(f"{path}.{ends}", f"{pair[0]} twice", "two numbers that differ")


def _pulses(given: InputConfig) -> tuple[tuple[Fraction, Fraction], None]:
    """Return (factor, offset) and no window: every count is a value."""
    assert given.pulses_per_unit is not None
    return (1 / Fraction(given.pulses_per_unit), Fraction(given.base)), None


def _loop(given: InputConfig) -> tuple[tuple[Fraction, Fraction], tuple[str, str]]:
    """Return (factor, offset), and the numbers of the failure currents, the lower first."""
    assert given.range is not None
    assert given.raw is not None
    (low, high), (raw_low, raw_high) = map(Fraction, given.range), map(Fraction, given.raw)
    factor = (high - low) / (raw_high - raw_low)
    ends = sorted(raw_low + (raw_high - raw_low) * (ma - _LOW_MA) / _SPAN_MA for ma in FAILED_MA)
    return (factor, low - raw_low * factor), (
        format(to_decimal(ends[0]), "f"),
        format(to_decimal(ends[1]), "f"),
    )

"""From a profile and a site's numbers to a layout: every scale folded into one exact coefficient a channel.

value on the wire  = transform(sum of parts) x factor + offset, in the channel's `unit`
value of the meter = value on the wire x product of the ratios in `multiply`
canonical value    = value of the meter x unit factor + unit offset
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from drivers.profiles.identified import IDENTIFIED, locate
from drivers.profiles.inputs import settle
from drivers.profiles.model import CONFIGURED, UNITS
from drivers.profiles.places import source_text
from gateway.config.values import nearest
from gateway.errors import ConfigError, Finding
from gateway.layout import Gate, Layout, Part, Slot
from gateway.model import Channel, Flag
from gateway.quantity import QUANTITIES
from gateway.units import Conversion, UnitError, conversion

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from drivers.profiles.model import ChannelTable, Profile
    from gateway.config.inputs import InputConfig
    from gateway.quantity import Quantity

COMPILED_MAX = 256  # kept results of `compile`; a site has a handful of meter types, each with a few ratios
_WIDE = Context(prec=120)  # wider than any product of factors here, so nothing is rounded
_OPCUA_VALUE = (Part("ua"),)
_GATE_FLAGS = {"device": Flag.DEVICE, "maintenance": Flag.MAINTENANCE}


@dataclass(frozen=True, slots=True)
class ChannelOverride:
    """What a site knows better of one channel. Limits and modulus in canonical units, unit as on the wire."""

    unit: str = ""
    low: float | None = None
    high: float | None = None
    rate_max: float | None = None
    modulus: str | None = None
    report: bool | None = None
    reference: str = ""
    input: InputConfig | None = None


@dataclass(frozen=True, slots=True)
class VariableSpec:
    """One OPC UA variable of a meter without a profile. factor: decimal string, value in `unit` = variable x factor."""

    id: str
    quantity: str
    unit: str
    factor: str = "1"
    low: float | None = None
    high: float | None = None
    rate_max: float | None = None
    modulus: str | None = None
    report: bool | None = None
    reference: str = ""


_NOTHING = ChannelOverride()


def text_of(number: Decimal) -> str:
    """Return a decimal as plain digits: no exponent, no trailing zeros."""
    return format(number.normalize(_WIDE), "f")


def channel_keys(profile: Profile, selection: Sequence[str], variant: str = "") -> tuple[str, ...]:
    """Return the channels to read: none selected gives the default set, "*" all; in file order or as selected.

    Status channels that say whether one of them counts come along at the end.
    Raises ConfigError with a finding for each key the profile (in this variant) does not have.
    """
    if variant and variant not in profile.variants:
        near = nearest(variant, profile.variants)
        raise ConfigError([_unknown("variant", variant, profile.variants, near)])
    return with_status(profile, _selected(profile, selection, variant))


def with_status(profile: Profile, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return channel keys, followed by the status channels that say whether some of them count."""
    gates = (profile.channels[key].valid_when for key in keys)
    return tuple(dict.fromkeys((*keys, *(gate.channel for gate in gates if gate is not None))))


def _selected(profile: Profile, selection: Sequence[str], variant: str) -> tuple[str, ...]:
    known = profile.keys(variant)
    if tuple(selection) == ("*",) or (not selection and not profile.default):
        return known
    if not selection:
        return tuple(key for key in profile.default if key in known)
    findings = []
    for i, key in enumerate(selection, 1):
        if key in profile.channels and key not in known:
            only = ", ".join(profile.channels[key].variants)
            findings.append(
                Finding(f"channels[{i}]", f'"{key}"', f"a channel of this variant; it is one of {only}")
            )
        elif key not in known:
            findings.append(_unknown(f"channels[{i}]", key, known, nearest(key, known)))
        elif key in selection[: i - 1]:
            findings.append(Finding(f"channels[{i}]", f'"{key}" again', "each channel once"))
    if findings:
        raise ConfigError(findings)
    return tuple(selection)


def _unknown(path: str, found: str, known: Sequence[str] | Mapping[str, object], near: str) -> Finding:
    expected = "one of " + ", ".join(known) if known else "nothing: the profile has none"
    return Finding(path, f'"{found}"', expected, f'did you mean "{near}"?' if near else "")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a compiled layout depends on; the profile counts by its digest, since its tables cannot be hashed."""

    profile: Profile = field(compare=False)
    digest: str
    keys: tuple[str, ...]
    ratios: tuple[tuple[str, Decimal], ...]
    overrides: tuple[tuple[str, ChannelOverride], ...]
    variant: str


class _Compiled(NamedTuple):
    """What every meter of one type, with equal ratios and overrides, has in common."""

    channels: tuple[Channel, ...]
    slots: tuple[Slot, ...]
    evidence: Mapping[str, str]
    name: str
    sources: tuple[Hashable, ...]


def compile(
    profile: Profile,
    meter_id: str,
    period_s: float,
    keys: Sequence[str],
    ratios: Mapping[str, Decimal],
    overrides: Mapping[str, ChannelOverride] | None = None,
    variant: str = "",
    energy_kind: str = "",
) -> tuple[Layout, tuple[Hashable, ...]]:
    """Return the layout of `keys` and where each comes from: tuples of RegisterSource, a DltSource or CjtSource, or OPC UA node ids.

    ratios: what `ratio_values` returned; kept whole in the layout as evidence. energy_kind: of the meter.
    Raises ConfigError with every missing ratio, unit or reference, and every unit that does not fit.
    """
    better = tuple((overrides or {}).items())
    found = _compile(_Wanted(profile, profile.digest, tuple(keys), tuple(ratios.items()), better, variant))
    where = tuple(map(source_text, found.sources))
    layout = Layout(
        meter_id, period_s, found.channels, found.slots, found.evidence, found.name, energy_kind, where
    )
    return layout, found.sources


@lru_cache(COMPILED_MAX)
def _compile(wanted: _Wanted) -> _Compiled:
    """Return the common part. Kept: a site compiles each meter twice (check, first poll), hundreds of them alike."""
    profile, keys, variant = wanted.profile, wanted.keys, wanted.variant
    ratios, overrides = dict(wanted.ratios), dict(wanted.overrides)
    findings: list[Finding] = []
    channels: list[Channel] = []
    slots: list[Slot] = []
    sources: list[Hashable] = []
    evidence = {name: text_of(value) for name, value in wanted.ratios}
    missing = {name for key in keys for name in _needed(profile.channel(key, variant)) if name not in ratios}
    findings += [_ratio_missing(name) for name in sorted(missing)]
    for key in keys:
        override = overrides.get(key, _NOTHING)
        settled = settle(key, profile.channel(key, variant), override.input, findings)
        if settled is None or settled.table.unit in missing:
            continue
        table = settled.table
        converted = _converted(key, table, override, findings, _unit_of(profile, table, ratios))
        if converted is None or missing:
            continue
        ratio = _product(ratios[name] for name in table.multiply)
        slot = _slot(profile, table, converted, ratio, _gate(key, table, keys, findings), settled.window)
        evidence |= settled.evidence
        slots.append(slot)
        channels.append(
            _channel(key, table, override, Decimal(slot.coefficient), _WIDE.multiply(converted.factor, ratio))
        )
        sources.append(_source(profile, table, ratios))
    if findings:
        raise ConfigError(findings)
    name = f"{profile.id}@{wanted.digest}" + (f"/{variant}" if variant else "")
    return _Compiled(tuple(channels), tuple(slots), evidence, name, tuple(sources))


def _needed(table: ChannelTable) -> tuple[str, ...]:
    """Return the names of the registers whose values a channel's scale needs."""
    return (*table.multiply, table.unit) if table.unit.startswith(UNITS) else table.multiply


def _unit_of(profile: Profile, table: ChannelTable, ratios: Mapping[str, Decimal]) -> str:
    """Return the unit on the wire: as the profile says, or as its unit register does."""
    if not table.unit.startswith(UNITS):
        return table.unit
    return profile.units[table.unit.removeprefix(UNITS)].map[str(ratios[table.unit])]


def _source(profile: Profile, table: ChannelTable, ratios: Mapping[str, Decimal]) -> Hashable:
    """Return where a channel comes from, as its protocol has it."""
    if profile.protocol in IDENTIFIED:
        unit_code = int(ratios[table.unit]) if table.unit.startswith(UNITS) else -1
        return locate(profile, table, unit_code).source
    return table.id or tuple(source for _, source in profile.resolve(table))


def _gate(key: str, table: ChannelTable, keys: Sequence[str], findings: list[Finding]) -> Gate | None:
    valid = table.valid_when
    if valid is None:
        return None
    if valid.channel not in keys:
        wanted = f"{valid.channel} read with it, at the same period: it says whether {key} counts"
        findings.append(Finding(f"override.{key}.period", f"{key} without it", wanted))
        return None
    return Gate(keys.index(valid.channel), valid.mask, valid.equals, int(_GATE_FLAGS[valid.flag]))


def _product(factors: Iterable[Decimal]) -> Decimal:
    product = Decimal(1)
    for factor in factors:
        product = _WIDE.multiply(product, factor)
    return product


def _converted(
    key: str, table: ChannelTable, override: ChannelOverride, findings: list[Finding], unit: str
) -> Conversion | None:
    """Return the conversion of a channel's unit; adds findings and returns None if there is none."""
    quantity = QUANTITIES[table.quantity]
    path = f"override.{key}"
    before = len(findings)
    if table.reference == CONFIGURED and not override.reference:
        wanted = "the condition set in the device's menu"
        findings.append(
            Finding(f"{path}.reference", "nothing", wanted, 'such as reference = "0 °C, 101.325 kPa"')
        )
    if table.unit != CONFIGURED and override.unit:
        says = "says its unit itself" if table.unit.startswith(UNITS) else f"always sends {table.unit}"
        wanted = f"nothing: this meter {says}"
        findings.append(Finding(f"{path}.unit", f'"{override.unit}"', wanted, "remove the key"))
    if table.unit == CONFIGURED and not override.unit:
        wanted = f"the unit set in the device's menu, as {quantity.name} takes it"
        findings.append(Finding(f"{path}.unit", "nothing", wanted, f'such as unit = "{quantity.unit}"'))
    if len(findings) > before:
        return None
    return _conversion(f"{path}.unit", override.unit or unit, quantity, findings)


def _conversion(path: str, unit: str, quantity: Quantity, findings: list[Finding]) -> Conversion | None:
    try:
        return conversion(unit, quantity)
    except UnitError as error:
        hint = f'did you mean "{error.suggestion}"?' if error.suggestion else ""
        findings.append(Finding(path, f'"{unit}"', str(error), hint))
        return None


def _slot(
    profile: Profile,
    table: ChannelTable,
    converted: Conversion,
    ratio: Decimal,
    gate: Gate | None,
    window: tuple[str, str] | None,
) -> Slot:
    scale = _WIDE.multiply(converted.factor, ratio)
    offset = _WIDE.add(_WIDE.multiply(table.offset, scale), converted.offset)
    factor = table.factor
    if profile.protocol == "opcua":
        return Slot(_OPCUA_VALUE, text_of(_WIDE.multiply(factor, scale)), text_of(offset))
    if profile.protocol in IDENTIFIED:
        place = locate(profile, table)
        parts: tuple[Part, ...] = (place.part,)
        factor = _WIDE.multiply(factor, place.scale)
    else:
        parts = tuple(part for part, _ in profile.resolve(table))
    if table.transform == "pf_4q":  # bends at 1, so it needs the scaled value
        parts = (Part(parts[0].type, parts[0].order, text_of(factor)),)
        factor = Decimal(1)
    sentinels = table.sentinels if table.sentinels is not None else profile.sentinels.get(parts[0].type, ())
    coefficient = text_of(_WIDE.multiply(factor, scale))
    return Slot(parts, coefficient, text_of(offset), sentinels, table.transform, gate, window)


def _channel(
    key: str, table: ChannelTable, override: ChannelOverride, coefficient: Decimal, scale: Decimal
) -> Channel:
    """Return the channel in canonical units. Limits: the site's before the profile's before the quantity's."""
    quantity = QUANTITIES[table.quantity]
    modulus = override.modulus
    if modulus is None and table.modulus is not None:
        modulus = text_of(_WIDE.multiply(table.modulus, scale))
    elif modulus is None and table.modulus_raw is not None:
        modulus = text_of(_WIDE.multiply(table.modulus_raw, coefficient))
    return Channel(
        key,
        quantity.name,
        quantity.unit,
        quantity.kind,
        low=_first(override.low, table.low, quantity.low),
        high=_first(override.high, table.high, quantity.high),
        rate_max=_first(override.rate_max, table.rate_max),
        modulus=modulus,
        reference=override.reference or table.reference,
        report=quantity.is_reported(override.report, table.report),
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def compile_variables(
    meter_id: str, period_s: float, variables: Mapping[str, VariableSpec], energy_kind: str = ""
) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout of a meter whose OPC UA variables the site file names, and their node ids.

    Raises ConfigError with every unknown quantity, unit that does not fit and reference left out.
    """
    findings: list[Finding] = []
    channels, slots = [], []
    for key, variable in variables.items():
        path = f"variables.{key}"
        quantity = QUANTITIES.get(variable.quantity)
        if quantity is None:
            near = nearest(variable.quantity, QUANTITIES)
            findings.append(_unknown(f"{path}.quantity", variable.quantity, QUANTITIES, near))
            continue
        if quantity.reference and not variable.reference:
            wanted = "the condition the volume is stated at"
            findings.append(
                Finding(f"{path}.reference", "nothing", wanted, 'such as reference = "0 °C, 101.325 kPa"')
            )
        converted = _conversion(f"{path}.unit", variable.unit, quantity, findings)
        factor = _number(f"{path}.factor", variable.factor, findings)
        if converted is None or factor is None:
            continue
        slots.append(
            Slot(_OPCUA_VALUE, text_of(_WIDE.multiply(factor, converted.factor)), text_of(converted.offset))
        )
        channels.append(
            Channel(
                key,
                quantity.name,
                quantity.unit,
                quantity.kind,
                low=_first(variable.low, quantity.low),
                high=_first(variable.high, quantity.high),
                rate_max=variable.rate_max,
                modulus=variable.modulus,
                reference=variable.reference,
                report=quantity.is_reported(variable.report),
            )
        )
    if findings:
        raise ConfigError(findings)
    ids = tuple(variable.id for variable in variables.values())
    layout = Layout(meter_id, period_s, tuple(channels), tuple(slots), energy_kind=energy_kind, sources=ids)
    return layout, ids


def _number(path: str, text: str, findings: list[Finding]) -> Decimal | None:
    """Return a positive decimal; adds a finding and returns None if the text is none."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if number.is_finite() and number > 0:
        return number
    findings.append(Finding(path, f'"{text}"', 'a decimal above 0, such as "40"'))
    return None


def _ratio_missing(name: str) -> Finding:
    return Finding(
        f"ratios.{name}",
        "nothing",
        "the ratio as set on site",
        f'add "{name}" to ratios, such as {name} = 40',
    )

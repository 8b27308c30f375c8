"""Ratios and the probe: small layouts a driver reads at connecting with the ordinary `Link.read`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from drivers.profiles.identified import IDENTIFIED, locate_unit
from drivers.profiles.model import UNITS, UnitTable
from gateway.config.values import nearest
from gateway.errors import ConfigError, DeviceError, Finding
from gateway.layout import Layout, Slot
from gateway.model import Channel

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from drivers.profiles.model import Profile, RatioTable, SmallTable

RegisterSources = tuple["Hashable", ...]

REGISTER_EVIDENCE = ".register"
"""Ending of the name under which a register's ratio is kept when the site file overrides it."""
EXPONENT_MAX = 18  # 10^18 of any unit is beyond every meter, so a larger exponent is a wrong register
_RATIO = "code"  # quantity of a ratio register: a number of the meter's own


def check_ratios(profile: Profile, configured: Mapping[str, str]) -> list[Finding]:
    """Return what is wrong with the ratios of a site file: unknown, missing, or not above 0."""
    findings = []
    for name, text in configured.items():
        if name not in profile.ratios:
            expected = (
                "one of " + ", ".join(profile.ratios)
                if profile.ratios
                else "nothing: this meter has no ratios"
            )
            near = nearest(name, profile.ratios)
            findings.append(
                Finding(f"ratios.{name}", text, expected, f"did you mean {near}?" if near else "")
            )
        elif _positive(text) is None:
            findings.append(Finding(f"ratios.{name}", f'"{text}"', "a number above 0, such as 40"))
    for name, ratio in profile.ratios.items():
        if ratio.configured and name not in configured:
            asked = ", ".join(
                f"{n} = {40 if n == 'ct' else 1}" for n, r in profile.ratios.items() if r.configured
            )
            hint = f"from the transformers' plates, such as ratios = {{ {asked} }}"
            findings.append(Finding(f"ratios.{name}", "nothing", "the ratio as set on site", hint))
    return findings


def _positive(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None


def ratio_layout(profile: Profile, meter_id: str) -> tuple[Layout, RegisterSources] | None:
    """Return the layout of the ratio and unit registers (period 0) and their sources; None if the meter has none."""
    read: dict[str, SmallTable] = {n: ratio for n, ratio in profile.ratios.items() if not ratio.configured}
    read |= {UNITS + name: table for name, table in profile.units.items()}
    if not read:
        return None
    channels = tuple(Channel(name, _RATIO, "1", "gauge") for name in read)
    slots, sources = zip(*(_slot(profile, ratio) for ratio in read.values()), strict=True)
    return Layout(meter_id, 0.0, channels, slots, profile=f"{profile.id}@{profile.digest}"), sources


def probe_layout(profile: Profile, meter_id: str) -> tuple[Layout, RegisterSources] | None:
    """Return the layout of the probe (period 0, limits low and high in its own unit); None if there is none."""
    probe = profile.probe
    if probe is None:
        return None
    channel = Channel("probe", _RATIO, probe.unit, "gauge", low=probe.low, high=probe.high)
    slot, source = _slot(profile, probe)
    return Layout(meter_id, 0.0, (channel,), (slot,), profile=f"{profile.id}@{profile.digest}"), (source,)


def _slot(profile: Profile, table: SmallTable) -> tuple[Slot, Hashable]:
    if profile.protocol in IDENTIFIED and isinstance(table, UnitTable):
        place = locate_unit(profile, table)
        return Slot((place.part,)), place.source
    resolved = profile.resolve(table)
    parts = tuple(part for part, _ in resolved)
    sentinels = profile.sentinels.get(parts[0].type, ())
    factor = getattr(table, "factor", Decimal(1))
    return Slot(parts, format(factor, "f"), "0", sentinels), tuple(source for _, source in resolved)


def ratio_values(
    profile: Profile, layout: Layout | None, raw: bytes, configured: Mapping[str, str]
) -> dict[str, Decimal]:
    """Return every ratio of the meter, as the site file says, else as its register says, and what its unit registers hold.

    layout, raw: of `ratio_layout` and the sample read with it (None and b"" where there is none). Where the site
    file overrides a register, the register's value is kept under the name + ".register".
    A unit register's number is kept under "units." + name. Raises ConfigError on a ratio the site file lacks or gives
    wrongly, DeviceError (refused) on a register that holds no usable ratio, or no unit the profile knows.
    """
    findings = check_ratios(profile, configured)
    if findings:
        raise ConfigError(findings)
    values: dict[str, Decimal] = {}
    places = {channel.key: i for i, channel in enumerate(layout.channels)} if layout is not None else {}
    for name, ratio in profile.ratios.items():
        number = layout.exact(raw, places[name]) if layout is not None and name in places else None
        found = _ratio(ratio, number)
        if name in configured:
            values[name] = Decimal(configured[name])
            if found is not None:
                values[name + REGISTER_EVIDENCE] = found
        elif found is None:
            held = "no value" if number is None else f"{number:f}"
            expected = (
                f"an exponent of -{EXPONENT_MAX} to {EXPONENT_MAX}"
                if ratio.as_ == "exp10"
                else "a ratio above 0"
            )
            who = layout.meter if layout is not None else profile.id
            raise DeviceError(
                f"{who}: ratio {name!r} in {_place(profile, ratio)} holds {held}, not {expected}; "
                f"set it in the meter, or put ratios.{name} into the site file",
                reason="refused",
                raw=raw,
            )
        else:
            values[name] = found
    for name, table in profile.units.items():
        place = places.get(UNITS + name)
        number = layout.exact(raw, place) if layout is not None and place is not None else None
        if number is None or str(number) not in table.map:
            held = "no value" if number is None else str(number)
            known = ", ".join(f"{code} ({unit})" for code, unit in table.map.items())
            raise DeviceError(
                f"{layout.meter if layout is not None else profile.id}: the unit in {_place(profile, table)} is {held}, "
                f"none the profile knows: {known}; set the meter to one of them, or complete units.{name} of the profile",
                reason="refused",
                raw=raw,
            )
        values[UNITS + name] = number
    return values


def stand_ins(profile: Profile) -> dict[str, Decimal]:
    """Return what `ratio_values` might, for checks without the meter: ratios of 1, the first unit of each register."""
    units = {UNITS + name: Decimal(next(iter(table.map))) for name, table in profile.units.items()}
    return dict.fromkeys(profile.ratios, Decimal(1)) | units


def _place(profile: Profile, table: SmallTable) -> str:
    if profile.protocol in IDENTIFIED and isinstance(table, UnitTable):
        return f"byte {table.at} of the reply (a unit byte)"
    place = profile.resolve(table)[0].source
    manual = place.address + profile.read.doc_offset
    return f"function {place.function} address {place.address} (register {manual} in the manual)"


def _ratio(ratio: RatioTable, number: Decimal | None) -> Decimal | None:
    """Return the ratio a register's number means; None if it cannot be one."""
    if number is None:
        return None
    if ratio.as_ == "factor":
        return number if number > 0 else None
    exponent = number + ratio.exponent_offset
    if exponent != exponent.to_integral_value() or abs(exponent) > EXPONENT_MAX:
        return None
    return Decimal(1).scaleb(int(exponent))

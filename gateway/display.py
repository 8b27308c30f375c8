"""A number as somebody read it off a meter's display: "1234.5", "1234.5 kWh". Pure."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import MetergateError
from gateway.quantity import QUANTITIES
from gateway.units import UnitError, conversion

if TYPE_CHECKING:
    from drivers.profiles import Library
    from gateway.config.models import MeterConfig

_GROUPED = re.compile(
    r"\s*[+-]?[0-9]{1,3}(?:[ \u202f'’,，_][0-9]{3})+(?:\.[0-9]+)?(?![0-9])|.*[0-9][,，'’_][0-9]"
)
_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,30}(?:\.[0-9]{1,15})?)\s*(.*?)\s*")


class Shown(NamedTuple):
    """What a display shows, in the channel's canonical unit. digit: what one count of its last place is worth."""

    value: Decimal
    digit: Decimal


def quantity_names(meter: MeterConfig, library: Library) -> dict[str, str]:
    """Return channel -> quantity of all a meter type has."""
    if meter.variables:
        return {key: variable.quantity for key, variable in meter.variables.items()}
    profile = library.get(meter.profile)
    return {key: profile.channel(key, meter.variant).quantity for key in profile.keys(meter.variant)}


def shown(text: str, quantity: str) -> Shown:
    """Return a number with or without its unit (without: the canonical one). Raises MetergateError."""
    found = _NUMBER.fullmatch(text)
    kind = QUANTITIES[quantity]
    if _GROUPED.match(text):
        raise MetergateError(
            f'"{text}": no thousands separators, and a point before the decimals: write 1234.5 or "1234.5 {kind.unit}"'
        )
    if found is None:
        raise MetergateError(
            f'"{text}" is no number as a display shows it, such as 1234.5 or "1234.5 {kind.unit}"'
        )
    digits, unit = found.groups()
    try:
        scale = conversion(unit or kind.unit, kind)
    except UnitError as error:
        meant = f"did you mean {error.suggestion}? " if error.suggestion and not error.is_of_another else ""
        raise MetergateError(f'"{text}": {meant}{error}') from error
    value = Decimal(digits)
    digit = Decimal(1).scaleb(int(value.as_tuple().exponent))
    return Shown(value * scale.factor + scale.offset, digit * scale.factor)


def pairs(texts: list[str], what: str) -> dict[str, str]:
    """Return KEY -> VALUE of arguments KEY=VALUE. Raises MetergateError."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise MetergateError(
                f'{what} "{text}": write NAME=VALUE, such as energy_active_import_total=1234.5'
            )
        if key.strip() in found:
            raise MetergateError(f'{what} "{text}": {key.strip()} is there twice')
        found[key.strip()] = value.strip()
    return found


def ratio(text: str) -> Decimal:
    """Return a ratio as a plate has it, "200/5", or worked out, "40". Raises MetergateError."""
    top, slash, bottom = text.partition("/")
    try:
        value = Decimal(top.strip()) / Decimal(bottom.strip()) if slash else Decimal(top.strip())
    except (InvalidOperation, ZeroDivisionError):
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise MetergateError(f'"{text}" is no ratio: write 40, or as on the plate 200/5')
    return value.normalize()

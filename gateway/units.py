"""Units as meters put them on the wire, and their exact conversion into canonical units.

Each unit is an exact rational number of its dimension's base unit, so a conversion is a quotient of integers. Where
that quotient has a finite decimal it is exact (all but a few: the canonical units were chosen for it); where it has
none, such as °F or a count of hours per minute, the factor is rounded once to 40 significant digits, far below the
last digit of any register.
"""

from __future__ import annotations

import difflib
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from gateway.quantity import UNITS

if TYPE_CHECKING:
    from gateway.quantity import Quantity

ROUNDED_DIGITS = 40
_NEAR = 0.5
_WIDE = Context(prec=120, rounding=ROUND_HALF_EVEN)


class UnitError(ValueError):
    """The unit is unknown, or measures something else than the quantity; suggestion: nearest fitting unit, or "".

    is_of_another: it is a unit, of something else: whoever wrote it did not misspell it.
    """

    def __init__(self, message: str, suggestion: str = "", *, is_of_another: bool = False) -> None:
        """message: names unit and quantity and lists what would do."""
        super().__init__(message)
        self.suggestion, self.is_of_another = suggestion, is_of_another


class Conversion(NamedTuple):
    """canonical = wire x factor + offset."""

    factor: Decimal
    offset: Decimal


_SCALE = {"": "1", "k": "1e3", "M": "1e6", "G": "1e9"}


def _prefixed(unit: str, prefixes: str = "kMG") -> dict[str, str]:
    return {prefix + unit: _SCALE[prefix] for prefix in ("", *prefixes)}


def _per_time(units: dict[str, str]) -> dict[str, str]:
    """Return flows (base: per second) of amounts: /s, /min, /h, /d."""
    seconds = {"s": "1", "min": "60", "h": "3600", "d": "86400"}
    return {
        f"{unit}/{time}": str(Fraction(factor) / Fraction(seconds[time]))
        for unit, factor in units.items()
        for time in seconds
    }


_VOLUME = {"m3": "1", "L": "1e-3", "l": "1e-3", "mL": "1e-6", "dm3": "1e-3", "hL": "1e-1"}
_MASS = {"kg": "1", "t": "1e3", "g": "1e-3"}
_ENERGY = _prefixed("J") | {unit: str(Fraction(f) * 3600) for unit, f in _prefixed("Wh").items()}
_FRACTION = {"1": "1", "%": "1e-2"}

# Dimension -> unit on the wire -> factor to the dimension's base unit, as an exact rational.
# Source: BIPM SI brochure (9th ed.); ft = 0.3048 m and lb = 0.45359237 kg by the 1959 agreement; psi from lb, in and
# standard gravity. Units of several meanings (cal, kcal, gallon, ton) are left out on purpose.
_FACTORS: dict[str, dict[str, str]] = {
    "voltage": {**_prefixed("V", "k"), "mV": "1e-3"},
    "current": {**_prefixed("A", "k"), "mA": "1e-3"},
    "frequency": {**_prefixed("Hz", "k"), "mHz": "1e-3"},
    "charge": {"Ah": "3600", "kAh": "3.6e6", "C": "1"},
    "active power": _prefixed("W"),
    "reactive power": _prefixed("var"),
    "apparent power": _prefixed("VA"),
    "active energy": _ENERGY,
    "reactive energy": {unit: str(Fraction(f) * 3600) for unit, f in _prefixed("varh").items()},
    "apparent energy": {unit: str(Fraction(f) * 3600) for unit, f in _prefixed("VAh").items()},
    "angle": {"deg": "1"},
    "1": _FRACTION,
    "ratio": _FRACTION,
    "volume fraction": {**_FRACTION, "%vol": "1e-2", "ppm": "1e-6", "ppb": "1e-9"},
    "mass concentration": {"kg/m3": "1", "g/m3": "1e-3", "mg/m3": "1e-6", "ug/m3": "1e-9"},
    "heat": _ENERGY,
    "heat flow": {**_prefixed("W"), **_per_time(_prefixed("J"))},
    "volume": _VOLUME,
    "volume flow": _per_time(_VOLUME),
    "mass": _MASS,
    "mass flow": _per_time(_MASS),
    "temperature": {"degC": "1", "K": "1", "degF": "5/9"},
    "temperature difference": {"K": "1", "degC": "1", "degF": "5/9"},
    "pressure": {
        "Pa": "1",
        "hPa": "100",
        "kPa": "1e3",
        "MPa": "1e6",
        "mbar": "100",
        "bar": "1e5",
        "psi": "8896443230521/1290320000",
    },
    "velocity": {"m/s": "1", "m/min": "1/60", "m/h": "1/3600", "km/h": "1/3.6", "ft/s": "0.3048"},
    "length": {"m": "1", "cm": "1e-2", "mm": "1e-3"},
    "density": {"kg/m3": "1", "g/cm3": "1e3", "kg/L": "1e3", "g/L": "1"},
    "specific enthalpy": {"J/kg": "1", "kJ/kg": "1e3", "MJ/kg": "1e6"},
    "heating value by mass": {"J/kg": "1", "kJ/kg": "1e3", "MJ/kg": "1e6", "GJ/t": "1e6"},
    "heating value by volume": {"J/m3": "1", "kJ/m3": "1e3", "MJ/m3": "1e6", "kWh/m3": "3.6e6"},
    "conductivity": {"S/m": "1", "mS/cm": "1e-1", "uS/cm": "1e-4"},
    "time": {"s": "1", "ms": "1e-3", "min": "60", "h": "3600", "d": "86400"},
}

# Zero of a unit in the base unit (base = wire x factor + zero); the base of temperature is °C.
_ZEROS = {("temperature", "K"): "-273.15", ("temperature", "degF"): "-160/9"}

_ALIASES = str.maketrans({"³": "3", "²": "2", "·": "", "℃": "C", "µ": "u", "μ": "u", " ": ""})
_RESPELLED = {"C": "degC", "F": "degF", "°": "deg"}


def _fraction(text: str) -> Fraction:
    numerator, _, denominator = text.partition("/")
    return Fraction(numerator) / Fraction(denominator or "1")


def _plain(unit: str, dimension: str) -> str:
    """Return the spelling of a unit our tables use: "m³/h" and "kW·h" become "m3/h" and "kWh"."""
    plain = unit.translate(_ALIASES)
    if dimension.startswith("temperature"):
        plain = plain.replace("°", "")
    elif dimension != "angle":
        return plain
    return _RESPELLED.get(plain, plain)


def to_decimal(value: Fraction) -> Decimal:
    """Return a rational as a decimal: exact where it ends, else rounded to `ROUNDED_DIGITS` significant digits."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    with localcontext(_WIDE) as context:
        if rest != 1:
            context.prec = ROUNDED_DIGITS
        quotient = Decimal(value.numerator) / Decimal(value.denominator)
    return quotient.normalize(_WIDE)


@cache
def conversion(unit: str, quantity: Quantity) -> Conversion:
    """Return how a value in `unit` becomes one in the quantity's canonical unit: wire x factor + offset.

    "m³" and "m3", "kW·h" and "kWh", "°C" and "degC" are the same. Raises UnitError if the unit is unknown or
    measures something else.
    """
    dimension = quantity.dimension
    factors = _FACTORS[dimension]
    plain = _plain(unit, dimension)
    if plain not in factors:
        raise _refused(unit, plain, quantity)
    canonical = _plain(UNITS[dimension][0], dimension)
    base = _fraction(factors[canonical])
    zero = _fraction(_ZEROS.get((dimension, plain), "0"))
    return Conversion(to_decimal(_fraction(factors[plain]) / base), to_decimal(zero / base))


_WORDS = {
    "度": "kWh",
    "千瓦时": "kWh",
    "千瓦": "kW",
    "安": "A",
    "伏": "V",
    "吨": "t",
    "立方米": "m3",
    "立方": "m3",
}
"""What people in China write for a unit."""


def _refused(unit: str, plain: str, quantity: Quantity) -> UnitError:
    factors = _FACTORS[quantity.dimension]
    canonical = _plain(quantity.unit, quantity.dimension)
    near = {name: difflib.SequenceMatcher(None, plain.lower(), name.lower()).ratio() for name in factors}
    best = max(factors, key=lambda name: (near[name], name == canonical))
    suggestion = _WORDS.get(unit.strip(), "") or (best if near[best] >= _NEAR else "")
    if suggestion not in factors:
        suggestion = ""
    elsewhere = sorted(dimension for dimension in _FACTORS if _plain(unit, dimension) in _FACTORS[dimension])
    what = f"measures {' or '.join(elsewhere)}" if elsewhere else "is unknown"
    fitting = ", ".join(factors)
    text = f"unit {unit!r} {what}; {quantity.name} takes {fitting}"
    return UnitError(text, suggestion, is_of_another=bool(elsewhere))

"""Units of the simulators: unit symbol -> (SI factor, SI offset), exact decimals, apart from gateway.units.

A value in SI = value in unit x factor + offset. The two tables are kept apart on purpose: a wrong factor in
one of them must turn a test red.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

_HOUR = Fraction(1, 3600)
_PREFIX: dict[str, Fraction | int] = {
    "": 1,
    "m": Fraction(1, 1000),
    "k": 1000,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "h": 100,
}


def _prefixed(symbol: str, prefixes: str, factor: Fraction | int = 1) -> dict[str, tuple[Fraction, Fraction]]:
    table = {prefix + symbol: (Fraction(factor) * _PREFIX[prefix], Fraction(0)) for prefix in prefixes}
    return table | {symbol: (Fraction(factor), Fraction(0))}


def _plain(table: dict[str, Fraction | int | str]) -> dict[str, tuple[Fraction, Fraction]]:
    return {symbol: (Fraction(factor), Fraction(0)) for symbol, factor in table.items()}


UNITS: dict[str, tuple[Fraction, Fraction]] = {
    **_prefixed("V", "mk"),
    **_prefixed("A", "mk"),
    **_prefixed("W", "mkMG"),
    **_prefixed("VA", "mkM"),
    **_prefixed("var", "mkM"),
    **_prefixed("Wh", "kMGT", 3600),
    **_prefixed("VAh", "kMG", 3600),
    **_prefixed("varh", "kMG", 3600),
    **_prefixed("Ah", "mk", 3600),
    **_prefixed("J", "kMGT"),
    **_prefixed("J/h", "kMG", _HOUR),
    **_prefixed("J/kg", "kM"),
    **_prefixed("Hz", "mk"),
    **_prefixed("Pa", "hkM"),
    **_prefixed("bar", "m", 100_000),
    **_prefixed("s", "m"),
    **_prefixed("g", "mk", Fraction(1, 1000)),
    **_prefixed("g/m3", "m", Fraction(1, 1_000_000)),
    **_plain(
        {
            "1": 1, "": 1, "%": Fraction(1, 100), "‰": Fraction(1, 1000), "ppm": Fraction(1, 10**6),
            "%RH": Fraction(1, 100), "%vol": Fraction(1, 100), "ppb": Fraction(1, 10**9), "vol%": Fraction(1, 100), "rad": 1,
            "°": "0.01745329251994329577", "deg": "0.01745329251994329577",
            "m3": 1, "m³": 1, "L": Fraction(1, 1000), "l": Fraction(1, 1000), "Nm3": 1, "km3": 1000,
            "m3/h": _HOUR, "m³/h": _HOUR, "m3/min": Fraction(1, 60), "m³/min": Fraction(1, 60),
            "m3/s": 1, "m³/s": 1, "L/h": _HOUR / 1000, "l/h": _HOUR / 1000,
            "L/min": Fraction(1, 60_000), "l/min": Fraction(1, 60_000), "L/s": Fraction(1, 1000), "l/s": Fraction(1, 1000),
            "kg": 1, "t": 1000, "kg/h": _HOUR, "kg/s": 1, "kg/min": Fraction(1, 60), "t/h": 1000 * _HOUR, "g/s": Fraction(1, 1000),
            "m/s": 1, "km/h": Fraction(5, 18), "ft/s": "0.3048", "kg/m3": 1, "kg/m³": 1, "g/cm3": 1000,
            "mg/m³": Fraction(1, 10**6), "g/m³": Fraction(1, 1000), "kg/L": 1000, "kg/l": 1000,
            "m": 1, "MJ/kg": 10**6, "MJ/m3": 10**6, "MJ/m³": 10**6,
            "min": 60, "h": 3600, "d": 86_400, "K": 1, "S/m": 1, "mS/cm": Fraction(1, 10), "µS/cm": Fraction(1, 10_000),
            "uS/cm": Fraction(1, 10_000),
        }
    ),
    "mg/m3": (Fraction(1, 10**6), Fraction(0)),
    "g/m3": (Fraction(1, 1000), Fraction(0)),
    "kWh/t": (Fraction(3600), Fraction(0)),
    "°C": (Fraction(1), Fraction("273.15")),
    "degC": (Fraction(1), Fraction("273.15")),
}  # fmt: skip
for _hours in ("Wh", "VAh", "varh", "Ah"):  # the printed form of the same unit
    for _prefix in ("", "k", "M", "G", "m"):
        if _prefix + _hours in UNITS:
            UNITS[f"{_prefix}{_hours[:-1]}·h"] = UNITS[_prefix + _hours]
_FLOAT = {symbol: (float(factor), float(offset)) for symbol, (factor, offset) in UNITS.items()}


def from_si(value: float, unit: str) -> float:
    """Return a value in `unit`. Raises KeyError for a unit the simulators do not know."""
    factor, offset = _FLOAT[unit]
    return (value - offset) / factor


def to_si(value: Fraction, unit: str) -> float:
    """Return a value given in `unit` in SI."""
    factor, offset = UNITS[unit]
    return float(value * factor + offset)


def convert(value: Fraction, unit: str, to: str) -> Fraction:
    """Return a value in another unit of the same kind, exactly."""
    factor, offset = UNITS[unit]
    to_factor, to_offset = UNITS[to]
    return (value * factor + offset - to_offset) / to_factor


def exact(text: str | float | Fraction) -> Fraction:
    """Return a decimal number exactly, as written."""
    if isinstance(text, Fraction):
        return text
    return Fraction(Decimal(str(text)))

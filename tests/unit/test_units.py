"""Conversions are exact decimals; what does not fit is refused with the nearest unit that does."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from gateway.quantity import QUANTITIES
from gateway.units import ROUNDED_DIGITS, UnitError, conversion, to_decimal


@pytest.mark.parametrize(
    ("unit", "quantity", "factor", "offset"),
    [
        ("W", "power_active", "0.001", "0"),
        ("MW", "power_active", "1000", "0"),
        ("var", "power_reactive", "0.001", "0"),
        ("Wh", "energy_active_import", "0.001", "0"),
        ("kW·h", "energy_active_import", "1", "0"),
        ("MWh", "energy_active_import", "1000", "0"),
        ("VAh", "energy_apparent", "0.001", "0"),
        ("kWh", "energy_heat", "0.0036", "0"),
        ("MWh", "energy_heat", "3.6", "0"),
        ("MJ", "energy_heat", "0.001", "0"),
        ("GJ/h", "power_thermal", "1", "0"),
        ("kW", "power_thermal", "0.0036", "0"),
        ("MW", "power_thermal", "3.6", "0"),
        ("L", "volume", "0.001", "0"),
        ("m3/min", "flow_volume", "60", "0"),
        ("m³/s", "flow_volume", "3600", "0"),
        ("L/s", "flow_volume", "3.6", "0"),
        ("kg", "mass", "0.001", "0"),
        ("kg/s", "flow_mass", "3.6", "0"),
        ("K", "temperature", "1", "-273.15"),
        ("℃", "temperature", "1", "0"),
        ("degC", "temperature_difference", "1", "0"),
        ("bar", "pressure", "100", "0"),
        ("MPa", "pressure_gauge", "1000", "0"),
        ("Pa", "pressure_absolute", "0.001", "0"),
        ("ppm", "concentration_co2", "0.0001", "0"),
        ("%vol", "concentration_o2", "1", "0"),
        ("1", "thd_current", "100", "0"),
        ("%", "power_factor", "0.01", "0"),
        ("g/m3", "concentration_mass_dust", "1000", "0"),
        ("ft/s", "velocity", "0.3048", "0"),
        ("h", "operating_time", "3600", "0"),
        ("uS/cm", "conductivity", "0.0001", "0"),
        ("°", "phase_angle", "1", "0"),
    ],
)
def test_exact(unit: str, quantity: str, factor: str, offset: str) -> None:
    assert conversion(unit, QUANTITIES[quantity]) == (Decimal(factor), Decimal(offset))


def test_without_a_finite_decimal_forty_digits_are_kept() -> None:
    factor, offset = conversion("degF", QUANTITIES["temperature"])
    assert len(factor.as_tuple().digits) == ROUNDED_DIGITS
    assert abs(Fraction(factor) - Fraction(5, 9)) < Fraction(1, 10**ROUNDED_DIGITS)
    assert round(212 * factor + offset, 25) == 100
    assert to_decimal(Fraction(1, 3)) == Decimal("0." + 40 * "3")
    assert to_decimal(Fraction(-160, 9)) < 0


@pytest.mark.parametrize(
    ("unit", "quantity", "suggestion", "says"),
    [
        ("kwh", "energy_active_import", "kWh", "is unknown"),
        ("kw", "power_active", "kW", "is unknown"),
        ("Nm3", "volume_normal", "m3", "is unknown"),
        ("V", "current", "", "measures voltage"),
        ("m3", "flow_volume", "m3/h", "measures volume"),
        ("kcal", "energy_heat", "", "is unknown"),
        ("", "voltage_ln", "", "is unknown"),
    ],
)
def test_what_does_not_fit_is_refused(unit: str, quantity: str, suggestion: str, says: str) -> None:
    with pytest.raises(UnitError, match=says) as caught:
        conversion(unit, QUANTITIES[quantity])
    assert isinstance(caught.value, ValueError)
    if suggestion:
        assert caught.value.suggestion == suggestion

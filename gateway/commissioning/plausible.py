"""Whether a number may be a reading: what every search for a meter type asks of a value. Pure."""

from __future__ import annotations

from gateway.quantity import QUANTITIES

TINY = 1e-6
HUGE = 1e12
"""What is not zero and smaller, or larger, is a float of other bytes and no reading."""
SANE: dict[str, tuple[float, float]] = {
    "temperature": (-100, 1500),
    "velocity": (0, 200),
    "pressure": (-1000, 100_000),
    "humidity": (0, 100),
    "power_factor": (-1, 1),
    "concentration_co2": (0, 100),
    "concentration_o2": (0, 100),
}
"""Beginning of a quantity's name -> beyond these it is no reading, canonical unit."""


def within(value: float, low: float | None, high: float | None) -> bool:
    """Return whether a value lies within its declared limits; 0 always does."""
    return not value or ((low is None or value >= low) and (high is None or value <= high))


def is_sane(value: float, quantity: str) -> bool:
    """Return whether a value of this quantity may be a reading, canonical unit."""
    low, high = next((w for start, w in SANE.items() if quantity.startswith(start)), (-HUGE, HUGE))
    return not value or (abs(value) >= TINY and low <= value <= high)


def with_unit(value: float, quantity: str) -> str:
    """Return a value in words."""
    unit = QUANTITIES[quantity].unit
    return f"{value:.6g}" if unit == "1" else f"{value:.6g} {unit}"

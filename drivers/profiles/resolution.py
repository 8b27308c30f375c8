"""Where a float counter gets coarse: a 32-bit float has 24 bits, so a large total moves in steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from drivers.profiles.model import CONFIGURED, UNITS
from gateway.quantity import QUANTITIES
from gateway.units import conversion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from drivers.profiles.model import Profile

F32_STEPS = (
    1 << 24
)  # from here on a float32 cannot hold every whole number (IEEE 754: 24 bits of significand)


class CoarseCounter(NamedTuple):
    """A counter that, above `limit`, moves in steps of more than `step`; both in `unit`, before the site's ratios."""

    key: str
    limit: Decimal
    step: Decimal
    unit: str


def coarse_counters(profile: Profile, keys: Iterable[str], variant: str = "") -> list[CoarseCounter]:
    """Return the float32 counters among `keys` that may pass 2^24 steps of less than their canonical unit (Wh, not kWh).

    Left out: one that rolls over before, and one whose unit only the device knows.
    """
    found = []
    for key in keys:
        table = profile.channel(key, variant)
        quantity = QUANTITIES[table.quantity]
        type_ = table.type or profile.read.type
        if (
            quantity.kind != "counter"
            or type_ != "f32"
            or table.unit == CONFIGURED
            or table.unit.startswith(UNITS)
        ):
            continue
        step = table.factor * conversion(table.unit, quantity).factor
        rolls_in_time = (table.modulus is not None and table.modulus <= F32_STEPS * table.factor) or (
            table.modulus_raw is not None and table.modulus_raw <= F32_STEPS
        )
        if step < 1 and not rolls_in_time:
            found.append(CoarseCounter(key, F32_STEPS * step, step, quantity.unit))
    return found

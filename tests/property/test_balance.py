"""What holds of every balance: amounts that add up are never flagged, and the verdict does not depend on the scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.balance_rig import balanced, bus

if TYPE_CHECKING:
    from decimal import Decimal

AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=3, allow_nan=False, allow_infinity=False)


@given(a=AMOUNTS, b=AMOUNTS)
def test_amounts_that_add_up_are_never_flagged(a: Decimal, b: Decimal) -> None:
    row = balanced(*bus((f"{a + b:f} kWh", f"{a:f} kWh", f"{b:f} kWh"))).rows[0]
    assert row.residual == 0
    assert row.judged == "balanced"


@given(taken=AMOUNTS, a=AMOUNTS, b=AMOUNTS, power=st.integers(1, 3))
def test_scale_does_not_change_the_verdict(taken: Decimal, a: Decimal, b: Decimal, power: int) -> None:
    factor = 10**power
    small = balanced(*bus((f"{taken:f} kWh", f"{a:f} kWh", f"{b:f} kWh"))).rows[0]
    large = balanced(*bus((f"{taken * factor:f} kWh", f"{a * factor:f} kWh", f"{b * factor:f} kWh"))).rows[0]
    assert small.residual is not None
    assert small.uncertainty is not None
    assert large.uncertainty is not None
    assert large.residual == small.residual * factor
    assert abs(large.uncertainty - small.uncertainty * factor) <= large.uncertainty / 10**20
    assert large.judged == small.judged


@given(taken=AMOUNTS, a=AMOUNTS, b=AMOUNTS)
def test_unit_does_not_change_the_verdict(taken: Decimal, a: Decimal, b: Decimal) -> None:
    in_kwh = balanced(*bus((f"{taken:f} kWh", f"{a:f} kWh", f"{b:f} kWh"))).rows[0]
    in_mwh = balanced(*bus((f"{taken / 1000:f} MWh", f"{a:f} kWh", f"{b:f} kWh"))).rows[0]
    assert in_mwh.judged == in_kwh.judged

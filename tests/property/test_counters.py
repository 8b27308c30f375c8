"""The amount between two readings of a counter, against a counter that really turns."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.counters import delta

amounts = st.decimals(0, 10**15, places=3, allow_nan=False)


@given(opening=amounts, rise=amounts)
def test_a_rise_is_exact(opening: Decimal, rise: Decimal) -> None:
    assert delta(opening, opening + rise, None) == (rise, "normal")


@given(modulus=st.integers(2, 10**12), opening=st.integers(0, 10**12), rise=st.integers(0, 10**12))
def test_a_turn_by_less_than_half_the_register_is_found_exactly(
    modulus: int, opening: int, rise: int
) -> None:
    opening, rise = opening % modulus, rise % ((modulus + 1) // 2)
    closing = (opening + rise) % modulus
    amount, kind = delta(Decimal(opening), Decimal(closing), Decimal(modulus))
    assert amount == rise
    assert kind == ("normal" if closing >= opening else "rollover")


@given(opening=amounts, closing=amounts, modulus=st.none() | amounts)
def test_an_amount_is_never_negative_and_a_fall_without_a_reason_has_none(
    opening: Decimal, closing: Decimal, modulus: Decimal | None
) -> None:
    amount, kind = delta(opening, closing, modulus)
    assert (amount is None) == (kind in {"reset", "missing"})
    assert amount is None or amount >= 0
    if modulus is None and closing < opening:
        assert kind == "reset"
    if kind == "rollover":
        assert modulus is not None
        assert amount is not None
        assert 2 * amount < modulus

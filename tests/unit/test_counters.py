"""The table of docs/specs/counters.md, row by row."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.counters import delta


@pytest.mark.parametrize(
    ("opening", "closing", "modulus", "amount", "kind"),
    [
        ("5", "5", None, "0", "normal"),
        ("5", "7.5", "10", "2.5", "normal"),
        ("9.5", "0.5", "10", "1.0", "rollover"),
        ("6", "0.9", "10", "4.9", "rollover"),
        ("6", "1", "10", None, "reset"),
        ("3", "0", "10", None, "reset"),
        ("9.5", "0.5", None, None, "reset"),
        ("10", "0.5", "10", None, "reset"),
        ("3", "10", "10", None, "reset"),
        ("9", "-1", "10", None, "reset"),
        (None, "1", "10", None, "missing"),
        ("1", None, None, None, "missing"),
    ],
)
def test_the_amount_between_two_readings(
    opening: str | None, closing: str | None, modulus: str | None, amount: str | None, kind: str
) -> None:
    def number(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    assert delta(number(opening), number(closing), number(modulus)) == (number(amount), kind)

"""What amount lies between two readings of a counter: one function, used by everything that needs one.

The rules and their reasons: docs/specs/counters.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal


class Delta(NamedTuple):
    """amount: exact, canonical unit, None where it is unknown (never zero instead)."""

    amount: Decimal | None
    kind: Literal["normal", "rollover", "reset", "missing"]


def delta(opening: Decimal | None, closing: Decimal | None, modulus: Decimal | None) -> Delta:
    """Return the amount between two readings of the same meter, exact.

    modulus: the declared value at which the counter falls to 0; None if it is not documented.
    A fall is a rollover only if the amount across it is below half the modulus; any other fall is a reset.
    """
    if opening is None or closing is None:
        return Delta(None, "missing")
    if modulus is not None and (opening >= modulus or closing >= modulus):
        return Delta(None, "reset")
    if closing >= opening:
        return Delta(closing - opening, "normal")
    if modulus is None or closing < 0:
        return Delta(None, "reset")
    across = modulus - opening + closing
    if 2 * across >= modulus:
        return Delta(None, "reset")
    return Delta(across, "rollover")

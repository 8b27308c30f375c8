"""Reported quantities: declared sums of meters, signed and weighted, each with the platform's codes. Pure."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXACT = Context(prec=60)  # wider than any sum of readings, so nothing is rounded


class Term(NamedTuple):
    """One term: weight is signed."""

    meter: str
    channel: str
    weight: Decimal


class Sum(NamedTuple):
    """value: exact, None if a term is unknown. missing: meters whose term is."""

    value: Decimal | None
    missing: tuple[str, ...]


def value(terms: Sequence[Term], amounts: Mapping[tuple[str, str], Decimal | None]) -> Sum:
    """Return the sum of the terms. amounts: (meter, channel) -> its amount in the period; absent or None: unknown."""
    total = Decimal(0)
    missing = []
    for term in terms:
        amount = amounts.get((term.meter, term.channel))
        if amount is None:
            missing.append(term.meter)
        else:
            total = EXACT.add(total, EXACT.multiply(amount, term.weight))
    return Sum(None if missing else total, tuple(dict.fromkeys(missing)))

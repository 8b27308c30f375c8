"""Figures of an outcome as reports show them: counts added by level, and shares rounded down, never up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from gateway.fitting.result import rounded_down

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.fitting.outcome import Row

SHOWN = Decimal("0.01")
EXACT = Decimal("0.000001")
LEVELS = (1, 2, 3)
SUBTOTAL = "小计 Subtotal"
OF_THESE = "其中有配备率要求 of these, rate demanded"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of some rows, added. intact, verified, accurate: of those fitted. connected, effective, collected: None if of any row nobody can tell."""

    need: int
    fitted: int
    intact: int
    verified: int
    accurate: int
    connected: int | None
    effective: int | None
    collected: int | None

    def of_need(self, part: int | None) -> Fraction | None:
        """Return a count as a share of the need; None where there is no need."""
        return Fraction(part, self.need) if self.need and part is not None else None

    def of_fitted(self, part: int) -> Fraction | None:
        """Return a count as a share of what is fitted; None where nothing is."""
        return Fraction(part, self.fitted) if self.fitted else None


def tally(rows: Iterable[Row]) -> Tally:
    """Return the counts of rows, added; rates are never averaged."""
    listed = list(rows)
    return Tally(
        need=sum(row.need for row in listed),
        fitted=sum(row.fitted for row in listed),
        intact=sum(_part(row.intact, row.fitted) for row in listed),
        verified=sum(_part(row.verified, row.fitted) for row in listed),
        accurate=sum(_part(row.accurate, row.fitted) for row in listed),
        connected=_sum((row.connected, row.need) for row in listed),
        effective=_sum((row.effective, row.need) for row in listed),
        collected=_sum(
            (None if row.auto_collected is None else _part(row.auto_collected, row.need), row.need)
            for row in listed
        ),
    )


def demanded(rows: Iterable[Row], level: int) -> list[Row]:
    """Return the rows of a level for which a rate is demanded."""
    return [row for row in rows if row.level == level and row.required is not None]


def subtotals(rows: Iterable[Row], level: int) -> list[tuple[str, Tally]]:
    """Return what a level comes to, labelled: all its kinds, then, if there are others, those alone for which a rate is demanded."""
    own = [row for row in rows if row.level == level]
    wanted = demanded(own, level)
    found = [(SUBTOTAL, tally(own))]
    if wanted and len(wanted) < len(own):
        found.append((OF_THESE, tally(wanted)))
    return found


def percent(share: Fraction | None) -> Decimal | None:
    """Return a share in % with two decimals, rounded down: 94.997 is 94.99. None stays None."""
    return None if share is None else rounded_down(share, SHOWN)


def hidden_miss(share: Fraction | None, required: Decimal | None) -> str:
    """Return the exact share where rounding to two decimals would make a miss look met, "" elsewhere."""
    if share is None or required is None or share * 100 >= required:
        return ""
    if _decimal(share).quantize(SHOWN, ROUND_HALF_UP) < required:
        return ""
    exact = f"{rounded_down(share, EXACT):f}".rstrip("0")
    return f"{exact} % < {required} %: 四舍五入会掩盖未达标 rounding would hide the miss"


def _decimal(share: Fraction) -> Decimal:
    return Decimal(share.numerator * 100) / Decimal(share.denominator)


def _part(share: Fraction | None, whole: int) -> int:
    return 0 if share is None else int(share * whole)


def _sum(counts: Iterable[tuple[int | None, int]]) -> int | None:
    """Return the sum of counts; None if one with a need is not known."""
    total = 0
    for count, need in counts:
        if count is not None:
            total += count
        elif need:
            return None
    return total

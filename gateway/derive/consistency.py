"""Day against month, and how far readings at boundaries of days were off: what acceptance of a site asks for. Pure."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.derive.sums import Sums
    from gateway.intervals.totals import Run

_HUNDREDTH = Decimal("0.01")
_MILLI = Decimal("0.001")


class Consistency(NamedTuple):
    """deviation_percent: |sum of days - month| / month, the greatest of all counters, rounded up. boundary_error_s: rounded up. None: unknown."""

    deviation_percent: Decimal | None
    boundary_error_s: Decimal | None


def consistency(period: str, sums: Sums, days: Sequence[Sums]) -> Consistency:
    """Return both figures of a day or a month. days: those of a month; a reading that stands in at its ends is no day's boundary."""
    each = days if period == "month" else [sums]
    runs = (run for day in each for own in day.values() for run in own.runs.values())
    return Consistency(deviation(sums, days) if period == "month" else None, boundary_error_s(runs))


def boundary_error_s(runs: Iterable[Run]) -> Decimal | None:
    """Return the greatest distance of a boundary reading from its boundary, None if there is no such reading."""
    worst_ns = max(
        (
            abs(end.time_ns - at_ns)
            for run in runs
            for is_there, end, at_ns in (
                (run.opens, run.first, run.start_ns),
                (run.closes, run.last, run.end_ns),
            )
            if is_there and end is not None
        ),
        default=None,
    )
    return None if worst_ns is None else (Decimal(worst_ns) / NS).quantize(_MILLI, ROUND_UP)


def deviation(month: Sums, days: Sequence[Sums]) -> Decimal | None:
    """Return |sum of days - month| / month in percent, rounded up, the greatest of all counters; None: no month is known.

    A day that is unknown counts as 0, so that the deviation shows it.
    """
    found: Decimal | None = None
    for meter, own in month.items():
        for key, run in own.runs.items():
            amount = run.amount
            if amount is None:
                continue
            total = sum((_amount(day, meter, key) for day in days), Decimal(0))
            if not amount and total:
                continue  # nothing to compare with
            off = 100 * abs(total - amount) / abs(amount) if amount else Decimal(0)
            off = off.quantize(_HUNDREDTH, ROUND_UP)
            found = off if found is None else max(found, off)
    return found


def _amount(day: Sums, meter: str, key: str) -> Decimal:
    run = day[meter].runs.get(key) if meter in day else None
    return Decimal(0) if run is None else run.amount or Decimal(0)

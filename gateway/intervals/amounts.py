"""The amount between two boundary readings, across swaps and changed ratios too; rules: docs/specs/intervals.md. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from gateway.counters import delta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.intervals.model import Boundary, How
    from gateway.layout import Layout
    from gateway.model import Event

_EXACT = Context(prec=60)  # wider than any sum of readings of an interval, so nothing is rounded
_QUOTIENT = Context(prec=28)
MEAN_DIGITS = 12
_ROUNDED = Context(prec=MEAN_DIGITS)


class Split(NamedTuple):
    """A declared break in a meter's counting: old side up to effective_ns, new side from there on.

    closing, opening: channel -> exact reading in the canonical unit; None, or no entry: nobody knows it.
    """

    kind: Literal["meter_swap", "ratio_change"]
    epoch: int
    effective_ns: int
    serial: str
    closing: Mapping[str, Decimal | None]
    opening: Mapping[str, Decimal | None]


class Amount(NamedTuple):
    """delta: exact, None where it is unknown (never zero instead). how: how it came about."""

    delta: Decimal | None
    how: How


def _side(found: object) -> dict[str, Decimal | None]:
    """Return channel -> reading of one side of an event; what cannot be read is known to nobody."""
    readings: dict[str, Decimal | None] = {}
    for key, row in (found if isinstance(found, Mapping) else {}).items():
        try:
            readings[key] = None if row is None else Decimal(row["reading"])
        except (InvalidOperation, KeyError, TypeError, ValueError):
            readings[key] = None
    return readings


def split_of(event: Event, epoch: int, effective_ns: int) -> Split:
    """Return what a `meter_swap` or `ratio_change` declares, as of effective_ns of an epoch."""
    kind = cast("Literal['meter_swap', 'ratio_change']", event.kind)
    serial = str(event.detail.get("serial", ""))
    sides = _side(event.detail.get("closing")), _side(event.detail.get("opening"))
    return Split(kind, epoch, effective_ns, serial, *sides)


def split_row(split: Split) -> list[Any]:
    """Return a split as plain JSON values; `split_from` gives an equal one back."""
    sides = [
        {key: None if reading is None else str(reading) for key, reading in side.items()}
        for side in (split.closing, split.opening)
    ]
    return [split.kind, split.epoch, split.effective_ns, split.serial, *sides]


def split_from(row: Sequence[Any]) -> Split:
    """Return the split a row stands for. Raises ArithmeticError, TypeError or ValueError on a damaged one."""
    kind, epoch, effective_ns, serial, *sides = row
    closing, opening = (
        {key: None if text is None else Decimal(text) for key, text in side.items()} for side in sides
    )
    return Split(kind, epoch, effective_ns, serial, closing, opening)


def lies_between(split: Split, opening: Boundary | None, closing: Boundary | None) -> bool:
    """Return whether `opening` is a reading of the old side and `closing` one of the new."""
    if opening is None or closing is None:
        return False
    return opening.time_ns < split.effective_ns <= closing.time_ns


def between(
    key: str,
    opening: Boundary | None,
    closing: Boundary | None,
    splits: Sequence[Split],
    modulus: Decimal | None,
    *,
    same_scale: bool = True,
) -> Amount:
    """Return what a counter counted between two readings of one epoch.

    splits: of the meter and epoch, those outside the readings are passed over. same_scale: both readings came by the same
    coefficient; if not and nothing was declared between them, their difference is no amount.
    """
    if opening is None or closing is None:
        return Amount(None, "missing")
    inside = sorted(
        (split for split in splits if lies_between(split, opening, closing)), key=lambda s: s.effective_ns
    )
    if not inside:
        if not same_scale:
            return Amount(None, "reset")
        amount, kind = delta(opening.reading, closing.reading, modulus)
        return Amount(amount, kind)
    total, hows = Decimal(0), set()
    since: Decimal | None = opening.reading
    for until, following in [(s.closing.get(key), s.opening.get(key)) for s in inside] + [
        (closing.reading, None)
    ]:
        amount, kind = delta(since, until, modulus)
        hows.add(kind)
        total = _EXACT.add(total, amount or Decimal(0))
        since = following
    if "missing" in hows:
        return Amount(None, "swap")
    return Amount(None, "reset") if "reset" in hows else Amount(total, "swap")


class Tally:
    """Exact sum, least and greatest of a gauge's good readings in an interval.

    Readings are counted as the bytes they came as and decoded when somebody asks: most gauges show few different values.
    """

    __slots__ = ("counts", "high", "layout", "low", "number", "place", "total")

    def __init__(self) -> None:
        """No readings."""
        self.number, self.total = 0, Decimal(0)
        self.low: Decimal | None = None
        self.high: Decimal | None = None
        self.layout: Layout | None = None
        self.place = 0
        self.counts: dict[bytes, int] = {}

    def read_by(self, layout: Layout, place: int) -> None:
        """Let the readings that follow be channel `place` of a layout."""
        self.settle()
        self.layout, self.place = layout, place

    def settle(self) -> None:
        """Decode what was only counted so far."""
        if self.layout is None or not self.counts:
            return
        start = self.layout.starts[self.place]
        for piece, number in self.counts.items():
            reading = self.layout.exact(bytes(start) + piece, self.place)
            if reading is None:
                continue
            self.number += number
            self.total = _EXACT.add(self.total, _EXACT.multiply(reading, Decimal(number)))
            self.low = reading if self.low is None else min(self.low, reading)
            self.high = reading if self.high is None else max(self.high, reading)
        self.counts = {}

    def mean(self) -> Decimal | None:
        """Return Σ/n to 28 digits, rounded to 12 significant ones; None without readings."""
        self.settle()
        return _ROUNDED.plus(_QUOTIENT.divide(self.total, Decimal(self.number))) if self.number else None

    def add(self, other: Tally) -> None:
        """Count another's readings too."""
        self.settle()
        other.settle()
        self.number += other.number
        self.total = _EXACT.add(self.total, other.total)
        self.low = min((x for x in (self.low, other.low) if x is not None), default=None)
        self.high = max((x for x in (self.high, other.high) if x is not None), default=None)

    def row(self) -> list[Any]:
        """Return everything as plain JSON values."""
        self.settle()
        return [self.number, str(self.total), *(None if x is None else str(x) for x in (self.low, self.high))]

    @classmethod
    def of(cls, row: Sequence[Any]) -> Tally:
        """Return the tally a row stands for. Raises ArithmeticError, TypeError or ValueError on a damaged one."""
        tally = cls()
        tally.number, tally.total = row[0], Decimal(row[1])
        tally.low, tally.high = (None if text is None else Decimal(text) for text in row[2:4])
        return tally

"""What a counter counted over longer periods: from readings at boundaries, across gaps. Rules: docs/specs/intervals.md, Totals.

A `Run` says what is known of one counter from a start to an end; runs of consecutive periods join into that of the whole, so a month
follows from its days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.counters import delta
from gateway.intervals.aggregates import EXACT
from gateway.intervals.model import Boundary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.intervals.grid import Span
    from gateway.intervals.model import ChannelInterval, Interval


@dataclass(frozen=True, slots=True)
class Run:
    """A counter in [start_ns, end_ns). first, last: its first and last known boundary readings.

    known: exact sum of what is known between them. is_broken: something between is unknown for good (a reset, a swap nobody
    recorded, another ratio). opens, closes: `first` is the reading at the start, `last` the one at the end. opened_by, closed_by:
    the layouts of the intervals `first` and `last` are from.
    """

    unit: str
    start_ns: int
    end_ns: int
    first: Boundary | None = None
    last: Boundary | None = None
    known: Decimal = Decimal(0)
    is_broken: bool = False
    opens: bool = False
    closes: bool = False
    opened_by: tuple[str, ...] = ()
    closed_by: tuple[str, ...] = ()

    @property
    def amount(self) -> Decimal | None:
        """Return the exact amount of the whole period, None if it is unknown."""
        return self.known if self.opens and self.closes and not self.is_broken else None

    def then(self, following: Run) -> Run:
        """Return the run of both, the other beginning where this one ends, or later."""
        if (
            self.unit != following.unit
        ):  # the key means something else now: nothing can be said of both together
            return Run("", self.start_ns, following.end_ns, is_broken=True)
        is_broken = self.is_broken or following.is_broken
        if following.first is None:
            return replace(self, end_ns=following.end_ns, is_broken=is_broken, closes=False)
        if self.first is None or self.last is None:
            return replace(following, start_ns=self.start_ns, is_broken=is_broken, opens=False)
        if (
            self.unit != following.unit
        ):  # the channel means something else: what it was before is nothing of this
            return replace(following, start_ns=self.start_ns, is_broken=True, opens=False)
        across = self._across(following)
        return Run(
            unit=self.unit,
            start_ns=self.start_ns,
            end_ns=following.end_ns,
            first=self.first,
            last=following.last,
            known=EXACT.add(EXACT.add(self.known, following.known), across or Decimal(0)),
            is_broken=is_broken or across is None,
            opens=self.opens,
            closes=following.closes,
            opened_by=self.opened_by,
            closed_by=following.closed_by,
        )

    def _across(self, following: Run) -> Decimal | None:
        """Return what was counted between both; None: unknown, it fell or was read by another layout (its ratio may be another)."""
        assert self.last is not None
        assert following.first is not None
        if self.last.reading == following.first.reading:
            return Decimal(0)
        before, after = set(self.closed_by), set(following.opened_by)
        if not (before <= after or after <= before):
            return None
        return delta(self.last.reading, following.first.reading, None).amount

    def over(self, span: Span) -> Run:
        """Return it as the run of a whole period; it opens or closes that only if it reaches there."""
        opens = self.opens and self.start_ns == span.start_ns
        closes = self.closes and self.end_ns == span.end_ns
        return replace(self, start_ns=span.start_ns, end_ns=span.end_ns, opens=opens, closes=closes)

    def row(self) -> dict[str, Any]:
        """Return the run as plain JSON values; `run_of_row` gives an equal one back."""
        body: dict[str, Any] = {
            "unit": self.unit,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "known": f"{self.known:f}",
        }
        for name, found in (("first", self.first), ("last", self.last)):
            if found is not None:
                body[name] = [f"{found.reading:f}", found.time_ns, found.flags, found.source]
        for name, layouts in (("opened_by", self.opened_by), ("closed_by", self.closed_by)):
            if layouts:
                body[name] = list(layouts)
        return body | {name: True for name in ("is_broken", "opens", "closes") if getattr(self, name)}


def run_of_row(row: Mapping[str, Any]) -> Run:
    """Return the run a row stands for. Raises KeyError, TypeError or ArithmeticError on a damaged one."""
    ends = {
        name: Boundary(Decimal(row[name][0]), *row[name][1:]) for name in ("first", "last") if name in row
    }
    return Run(
        unit=row["unit"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        known=Decimal(row["known"]),
        is_broken=row.get("is_broken", False),
        opens=row.get("opens", False),
        closes=row.get("closes", False),
        opened_by=tuple(row.get("opened_by", ())),
        closed_by=tuple(row.get("closed_by", ())),
        **ends,
    )


def run_of(channel: ChannelInterval, interval: Interval) -> Run:
    """Return the run of a counter in one interval."""
    opening, closing = channel.opening, channel.closing
    ends = [end for end in (opening, closing) if end is not None]
    is_broken = channel.delta is None and (interval.swapped or channel.how in ("reset", "swap"))
    return Run(
        unit=channel.unit,
        start_ns=interval.start_ns,
        end_ns=interval.end_ns,
        first=ends[0] if ends else None,
        last=ends[-1] if ends else None,
        known=channel.delta or Decimal(0),
        is_broken=is_broken,
        opens=opening is not None,
        closes=closing is not None,
        opened_by=interval.layouts if ends else (),
        closed_by=interval.layouts if ends else (),
    )


def runs(intervals: Iterable[Interval]) -> dict[str, Run]:
    """Return counter -> its run over the intervals of one meter, which are consecutive and in order of epoch and start."""
    found: dict[str, Run] = {}
    for interval in intervals:
        for channel in interval.channels:
            if channel.kind == "counter":
                run = run_of(channel, interval)
                before = found.get(channel.key)
                found[channel.key] = run if before is None else before.then(run)
    return found


def joined(parts: Iterable[Mapping[str, Run]]) -> dict[str, Run]:
    """Return counter -> its run over consecutive periods."""
    found: dict[str, Run] = {}
    for part in parts:
        for key, run in part.items():
            before = found.get(key)
            found[key] = run if before is None else before.then(run)
    return found


@dataclass(frozen=True, slots=True)
class Parted:
    """Amounts of the hours of one tariff period. amount: None if one is unknown; known: the sum of what is known."""

    unit: str
    amount: Decimal | None = Decimal(0)
    known: Decimal = Decimal(0)

    def plus(self, other: Parted) -> Parted:
        """Return the sum; unknown if one part is, or their units differ."""
        if self.unit != other.unit:
            return Parted("", None)
        amount = None if self.amount is None or other.amount is None else EXACT.add(self.amount, other.amount)
        return Parted(self.unit, amount, EXACT.add(self.known, other.known))


def parted(run: Run) -> Parted:
    """Return what a run over hours of one tariff period adds to it."""
    return Parted(run.unit, run.amount, run.known)

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
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.intervals.amounts import Split
    from gateway.intervals.grid import Span
    from gateway.intervals.model import ChannelInterval, Interval


@dataclass(frozen=True, slots=True)
class Run:
    """A counter in [start_ns, end_ns). first, last: its first and last known boundary readings.

    known: exact sum of what is known between them. is_broken: something between is unknown for good (a reset, a swap nobody
    recorded, another ratio). opens, closes: `first` is the reading at the start, `last` the one at the end. opened_by, closed_by:
    the layouts of the intervals `first` and `last` are from; opened_in, closed_in: their epochs.
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
    opened_in: int = 0
    closed_in: int = 0

    @property
    def amount(self) -> Decimal | None:
        """Return the exact amount of the whole period, None if it is unknown."""
        return self.known if self.opens and self.closes and not self.is_broken else None

    def then(self, following: Run, key: str = "", splits: Sequence[Split] = ()) -> Run:
        """Return the run of both, the other beginning where this one ends, or later.

        splits: what was declared of the meter; one with the epoch -1 was while it had no interval. key: of the counter.
        """
        if (
            self.unit != following.unit
        ):  # the key means something else now: nothing can be said of both together
            return Run("", self.start_ns, following.end_ns, is_broken=True)
        is_broken = self.is_broken or following.is_broken
        if following.first is None:
            return replace(self, end_ns=following.end_ns, is_broken=is_broken, closes=False)
        if self.first is None or self.last is None:
            return replace(following, start_ns=self.start_ns, is_broken=is_broken, opens=False)
        across = self._across(following, key, splits)
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
            opened_in=self.opened_in,
            closed_in=following.closed_in,
        )

    def _across(self, following: Run, key: str, splits: Sequence[Split]) -> Decimal | None:
        """Return what was counted between both; None: unknown.

        That is so if it fell, if it was read by another layout (its ratio may be another) and nothing was declared between, or
        if of what was declared between a side is known to nobody.
        """
        assert self.last is not None
        assert following.first is not None
        begin, end = (self.closed_in, self.last.time_ns), (following.opened_in, following.first.time_ns)
        inside = [split for split in splits if _lies_between(split, begin, end)]
        if inside:
            return self._through(following.first.reading, key, inside)
        if self.last.reading == following.first.reading:
            return Decimal(0)
        before, after = set(self.closed_by), set(following.opened_by)
        if not (before <= after or after <= before):
            return None
        return delta(self.last.reading, following.first.reading, None).amount

    def _through(self, until: Decimal, key: str, inside: Sequence[Split]) -> Decimal | None:
        """Return what was counted from the last reading to another one, by way of both sides of all that was declared between."""
        assert self.last is not None
        if any(split.epoch < 0 for split in inside) and len({split.epoch for split in inside}) > 1:
            return None  # nobody knows which came first
        ordered = sorted(inside, key=lambda split: (split.epoch, split.effective_ns))
        ends = [
            self.last.reading,
            *(side for one in ordered for side in (one.closing.get(key), one.opening.get(key))),
            until,
        ]
        amounts = [delta(ends[n], ends[n + 1], None).amount for n in range(0, len(ends), 2)]
        total = Decimal(0)
        for amount in amounts:
            if amount is None:
                return None
            total = EXACT.add(total, amount)
        return total

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
        epochs = {"opened_in": self.opened_in, "closed_in": self.closed_in}
        body |= {name: epoch for name, epoch in epochs.items() if epoch}
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
        opened_in=row.get("opened_in", 0),
        closed_in=row.get("closed_in", 0),
        **ends,
    )


def _lies_between(split: Split, begin: tuple[int, int], end: tuple[int, int]) -> bool:
    """Return whether something declared lies between two (epoch, time); one of any epoch does if it may."""
    if split.epoch >= 0:
        return begin < (split.epoch, split.effective_ns) <= end
    if begin[0] == end[0]:
        return begin[1] < split.effective_ns <= end[1]
    return split.effective_ns > begin[1] or split.effective_ns <= end[1]


def _is_recorded(key: str, interval: Interval, splits: Sequence[Split]) -> bool:
    """Return whether both sides of every swap in an interval are known: a run that goes across counts with them."""
    inside = [
        split
        for split in splits
        if split.kind == "meter_swap"
        and split.epoch == interval.epoch
        and interval.start_ns <= split.effective_ns < interval.end_ns
    ]
    return bool(inside) and all(
        one.closing.get(key) is not None is not one.opening.get(key) for one in inside
    )


def run_of(channel: ChannelInterval, interval: Interval, splits: Sequence[Split] = ()) -> Run:
    """Return the run of a counter in one interval. splits: what was declared of the meter."""
    opening, closing = channel.opening, channel.closing
    ends = [end for end in (opening, closing) if end is not None]
    is_broken = channel.delta is None and (
        channel.how in ("reset", "swap")
        or (interval.swapped and not _is_recorded(channel.key, interval, splits))
    )
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
        opened_in=interval.epoch if ends else 0,
        closed_in=interval.epoch if ends else 0,
    )


def runs(intervals: Iterable[Interval], splits: Sequence[Split] = ()) -> dict[str, Run]:
    """Return counter -> its run over the intervals of one meter, which are consecutive and in order of epoch and start."""
    found: dict[str, Run] = {}
    for interval in intervals:
        for channel in interval.channels:
            if channel.kind == "counter":
                run = run_of(channel, interval, splits)
                before = found.get(channel.key)
                if before is None:
                    found[channel.key] = run
                    continue
                if not interval.layouts and run.first is not None and run.first == before.last:
                    by = before.closed_by  # a reading both share; this one has no other frame
                    run = replace(run, opened_by=by, closed_by=by if run.last == run.first else ())
                found[channel.key] = before.then(run, channel.key, splits)
    return found


def joined(parts: Iterable[Mapping[str, Run]], splits: Sequence[Split] = ()) -> dict[str, Run]:
    """Return counter -> its run over consecutive periods of one meter."""
    found: dict[str, Run] = {}
    for part in parts:
        for key, run in part.items():
            before = found.get(key)
            found[key] = run if before is None else before.then(run, key, splits)
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

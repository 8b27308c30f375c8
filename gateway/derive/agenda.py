"""Which hours, days and months are over and not summed up yet, or to be summed up anew; and which intervals' reported quantities are.

Pure; plain JSON in and out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gateway.config.periods import clock_time_s
from gateway.derive.stand_ins import TOLERANCE_NS
from gateway.intervals.remaking import DECLARED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gateway.config.periods import IntervalsConfig
    from gateway.intervals.grid import Grid, Span
    from gateway.model import Event

Period = Literal["interval", "hour", "day", "month"]
PERIODS: tuple[Period, ...] = ("interval", "hour", "day", "month")
RANGES_MAX = 500
"""Stretches of time kept apart; of more, near ones become one: what lies between is looked at in vain, and nothing is forgotten."""


class Due(NamedTuple):
    """A summary that can be made; of an interval: its reported quantities anew."""

    period: Period
    span: Span


class Agenda:
    """Every period in which an interval closed, for the first time or anew, is due once it is over; shorter ones first.

    Kept as stretches of time, so that a month replayed is one entry. A period is over when an interval of the newest epoch
    closed at its end or later, or when all of that epoch lies before it: the clock was set back.
    """

    def __init__(
        self,
        grid: Grid,
        body: Mapping[str, Any] | None = None,
        settings: IntervalsConfig | None = None,
        *,
        aggregates: Collection[str] = (),
    ) -> None:
        """body: as `body` gave it; None: nothing was summed up yet. settings: for shifts that end on the day after.

        aggregates: those that are told; they are due anew when an interval closes again.
        """
        self._grid = grid
        body = body or {}
        todo = body.get("todo", {})
        self._todo: dict[Period, list[tuple[int, int]]] = {
            period: [(begin, end) for begin, end in todo.get(period, ())] for period in PERIODS
        }
        self._later: list[int] = list(body.get("later", ()))
        self.closed_ns, self._epoch = int(body.get("closed_ns", 0)), int(body.get("epoch", 0))
        self._before_ns = int(body.get("before_ns", 0))  # so far epochs before this one reached
        self._aggregates = tuple(aggregates)
        self._told = {
            name: [(begin, end) for begin, end in ranges] for name, ranges in body.get("told", {}).items()
        }
        shifts = () if settings is None else settings.shifts
        self._reaches_back = any(clock_time_s(one.end) <= clock_time_s(one.start) for one in shifts) or (
            grid.day_start_s > 0 and bool(shifts)
        )

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        todo = {period: [list(one) for one in ranges] for period, ranges in self._todo.items()}
        return {
            "todo": todo,
            "later": list(self._later),
            "closed_ns": self.closed_ns,
            "epoch": self._epoch,
            "before_ns": self._before_ns,
            "told": {name: [list(one) for one in ranges] for name, ranges in self._told.items()},
        }

    def span(self, period: Period, time_ns: int) -> Span:
        """Return the interval, hour, day or month a time lies in."""
        grid = self._grid
        return {"interval": grid.interval, "hour": grid.hour, "day": grid.day, "month": grid.month}[period](
            time_ns
        )

    def closed(self, start_ns: int, end_ns: int, epoch: int = 0, rev: int = 0) -> bool:
        """Note that an interval has closed; return whether its time is told for the first time: not anew, nor in another epoch."""
        self._turn(end_ns, epoch)
        is_first = not rev and epoch == self._epoch and start_ns >= self._before_ns
        for period in PERIODS:
            if period != "interval" or (self._aggregates and not is_first):
                self._add(period, start_ns)
        if self._reaches_back:  # a shift that ends on the next day may have begun before this interval
            day = self.span("day", self.span("day", start_ns).end_ns)
            if day.end_ns <= self.closed_ns:
                self._add("day", day.start_ns)
        if is_first:
            self._tell(start_ns, end_ns)
        return is_first

    def _tell(self, start_ns: int, end_ns: int) -> None:
        for name in self._aggregates:
            if not self.was_told(name, start_ns):
                self._told[name] = _tidy([*self._told.get(name, ()), (start_ns, end_ns)])

    def was_told(self, aggregate: str, start_ns: int) -> bool:
        """Return whether a reported quantity of an interval was told when that closed first."""
        return any(begin <= start_ns < end for begin, end in reversed(self._told.get(aggregate, [])))

    def _turn(self, end_ns: int, epoch: int) -> None:
        if epoch > self._epoch:
            self._before_ns = max(self._before_ns, self.closed_ns)
            self._epoch, self.closed_ns = epoch, end_ns
        elif epoch == self._epoch:
            self.closed_ns = max(self.closed_ns, end_ns)

    def entered(self, time_ns: int) -> None:
        """Note that a reading was entered by hand: months whose ends it may stand in at are summed up anew."""
        for at_ns in (time_ns - TOLERANCE_NS, time_ns, time_ns + TOLERANCE_NS):
            span = self.span("month", at_ns)
            ends = (span.start_ns, span.end_ns)
            if span.end_ns <= self.closed_ns and any(abs(time_ns - end) <= TOLERANCE_NS for end in ends):
                self._add("month", at_ns)

    def declared(self, events: Iterable[Event]) -> None:
        """Note swaps and changed ratios among events: what they lie in is summed up anew, also where no interval is made anew."""
        for event in events:
            if event.kind in DECLARED:
                undone = event.detail.get("undoes")
                at_ns = (undone if isinstance(undone, Mapping) else event.detail).get("effective_ns")
                if isinstance(at_ns, int) and 0 < at_ns <= event.time_ns:
                    self._anew(at_ns)

    def _anew(self, at_ns: int) -> None:
        for period in PERIODS[1:]:
            self._add(period, at_ns)
        if self._reaches_back:
            self._add("day", self.span("day", at_ns).end_ns)
        for time_ns in (at_ns - TOLERANCE_NS, at_ns + TOLERANCE_NS):  # a reading may stand in across it
            if self.span("month", time_ns).end_ns <= self.closed_ns:
                self._add("month", time_ns)

    def _add(self, period: Period, time_ns: int) -> None:
        ranges = self._todo[period]
        if any(begin <= time_ns < end for begin, end in reversed(ranges)):
            return
        span = self.span(period, time_ns)
        self._todo[period] = _tidy([*ranges, (span.start_ns, span.end_ns)])

    def due(self) -> Due | None:
        """Return the next summary to make, shorter periods first; None: there is none."""
        for start_ns in self._later:
            if self.span("month", start_ns).end_ns + TOLERANCE_NS <= self.closed_ns:
                self._later.remove(start_ns)
                self._add("month", start_ns)
                break
        for period in PERIODS:
            for begin, _ in self._todo[period]:
                span = self.span(period, begin)
                if span.end_ns <= self.closed_ns or span.start_ns > self.closed_ns:
                    return Due(period, span)
        return None

    def done(self, due: Due, *, again: bool = False) -> None:
        """Note that a summary has been made. again: of a month; a reading may come within a day that closes it."""
        start_ns, end_ns = due.span
        left: list[tuple[int, int]] = []
        for begin, end in self._todo[due.period]:
            left += [(begin, min(end, start_ns)), (max(begin, end_ns), end)]
        self._todo[due.period] = [one for one in left if one[0] < one[1]]
        is_late = end_ns + TOLERANCE_NS <= self.closed_ns
        if again and not is_late and start_ns not in self._later:
            self._later.append(start_ns)


def _tidy(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the stretches in order, those that touch as one, and no more of them than is allowed."""
    tidy: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if tidy and begin <= tidy[-1][1]:
            tidy[-1] = (tidy[-1][0], max(tidy[-1][1], end))
        else:
            tidy.append((begin, end))
    while len(tidy) > RANGES_MAX:
        nearest = min(range(1, len(tidy)), key=lambda n: tidy[n][0] - tidy[n - 1][1])
        tidy[nearest - 1 : nearest + 1] = [(tidy[nearest - 1][0], tidy[nearest][1])]
    return tidy

"""Which summaries are due, and what a summary says on the feed."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gateway.derive.sums import MONTH_TOLERANCE_NS, of_day, of_intervals, of_month, of_row, spanned, to_row
from gateway.feed import bodies
from gateway.intervals.aggregates import Term, value
from gateway.intervals.completeness import summed
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.config.periods import AggregateConfig, IntervalsConfig
    from gateway.derive.sums import Sums
    from gateway.history.read import Queries
    from gateway.intervals.grid import Grid, Span
    from gateway.intervals.totals import Run

Period = Literal["hour", "day", "month"]
PERIODS: tuple[Period, ...] = ("hour", "day", "month")
REDONE_MAX = 100
"""Summaries that wait to be made anew; older ones are made anew by hand: `metergate completeness` computes."""
_HUNDREDTH = Decimal("0.01")
STAT_TYPES = {"interval": "0", "day": "1", "month": "2"}
"""采集频率 statType. Source: NHJC-04 as implemented in public code: 0 real time, 1 day, 2 month."""


class Due(NamedTuple):
    """A summary that can be made."""

    period: Period
    span: Span


class Agenda:
    """Which hours, days and months are over and not summed up yet. Plain JSON in and out."""

    def __init__(self, grid: Grid, body: Mapping[str, Any] | None = None) -> None:
        """body: as `body` gave it; None: nothing was summed up yet."""
        self._grid = grid
        body = body or {}
        self._next: dict[Period, int] = {period: int(body.get(period, 0)) for period in PERIODS}
        self._anew: set[tuple[Period, int]] = {(period, start) for period, start in body.get("anew", [])}
        self._closed_ns = int(body.get("closed_ns", 0))

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        anew = [list(entry) for entry in sorted(self._anew)]
        return {"anew": anew, "closed_ns": self._closed_ns} | {str(key): at for key, at in self._next.items()}

    def span(self, period: Period, time_ns: int) -> Span:
        """Return the hour, day or month a time lies in."""
        grid = self._grid
        return {"hour": grid.hour, "day": grid.day, "month": grid.month}[period](time_ns)

    def closed(self, start_ns: int, end_ns: int) -> None:
        """Note that an interval has closed, for the first time or anew."""
        for period in PERIODS:
            span = self.span(period, start_ns)
            if not self._next[period]:
                self._next[period] = span.start_ns
            elif span.start_ns < self._next[period] and len(self._anew) < REDONE_MAX:
                self._anew.add((period, span.start_ns))
        self._closed_ns = max(self._closed_ns, end_ns)

    def due(self) -> Due | None:
        """Return the next summary to make, shorter periods first; None: there is none."""
        for period in PERIODS:
            redo = min((start for kind, start in self._anew if kind == period), default=None)
            if redo is not None:
                return Due(period, self.span(period, redo))
            span = self.span(period, self._next[period])
            if self._next[period] and span.end_ns <= self._closed_ns:
                return Due(period, span)
        return None

    def done(self, due: Due) -> None:
        """Note that a summary has been made."""
        if (due.period, due.span.start_ns) in self._anew:
            self._anew.discard((due.period, due.span.start_ns))
        else:
            self._next[due.period] = due.span.end_ns


class Summed(NamedTuple):
    """A period read from the history. rev: of the summary to be made. days: of a month."""

    rev: int
    sums: Sums
    days: Sequence[Sums]


def read_sums(store: Queries, grid: Grid, due: Due, settings: IntervalsConfig) -> Summed:
    """Return the sums of a period. Raises StorageError."""
    span = due.span
    before = store.total(due.period, span.start_ns)
    rev = 0 if before is None else before.rev + 1
    if due.period == "hour":
        return Summed(rev, of_intervals(store.intervals(span.start_ns, span.end_ns)), ())
    if due.period == "day":
        return Summed(rev, of_day(store, grid, span, settings), ())
    days = [of_row(row.body["meters"]) for row in store.totals("day", span.start_ns, span.end_ns)]
    return Summed(rev, of_month(days), days)


class Words:
    """What a summary says: lists for its message."""

    def __init__(self, grid: Grid, due: Due, found: Summed) -> None:
        """found: as `read_sums` gave it."""
        self._grid, self._due = grid, due
        self._rev, self._sums, self._days = found
        self._tolerance_ns = MONTH_TOLERANCE_NS if due.period == "month" else 0

    def row(self) -> dict[str, Any]:
        """Return what the history keeps of it."""
        return {"meters": to_row(self._sums)}

    def messages(self, aggregates: Sequence[AggregateConfig]) -> Iterator[dict[str, Any]]:
        """Yield the bodies of the summary's messages, part by part."""
        meters = [
            {"meter": meter, **own.completeness.row(), "totals": list(self._totals(meter))}
            for meter, own in self._sums.items()
        ]
        parts = list(bodies.cut(meters)) or [[]]
        site = {"meter": None, **summed(own.completeness for own in self._sums.values()).row()}
        head = {
            "period": self._due.period,
            "t0": self._grid.iso(self._due.span.start_ns),
            "t1": self._grid.iso(self._due.span.end_ns),
            "rev": self._rev,
            "site": site,
        }
        for number, part in enumerate(parts, 1):
            body = {**head, "meters": [{k: v for k, v in one.items() if k != "totals"} for one in part]}
            body["totals"] = [total for one in part for total in one["totals"]]
            if number == 1 and self._due.period != "hour":
                body["aggregates"] = self.aggregates(aggregates)
                body["consistency"] = self.consistency()
            yield {**body, "part": number, "parts": len(parts)}

    def amounts(self) -> dict[tuple[str, str], Decimal | None]:
        """Return (meter, counter) -> exact amount of the period, None: unknown."""
        return {
            (meter, key): spanned(run, self._due.span, self._tolerance_ns)
            for meter, own in self._sums.items()
            for key, run in own.runs.items()
        }

    def aggregates(self, aggregates: Sequence[AggregateConfig]) -> list[dict[str, Any]]:
        """Return the reported quantities of the period."""
        amounts = self.amounts()
        units = {(meter, key): run.unit for meter, own in self._sums.items() for key, run in own.runs.items()}
        return [
            aggregate_body(one, self._due.period, self._due.span, self._rev, amounts, units, self._grid)
            for one in aggregates
        ]

    def consistency(self) -> dict[str, Any]:
        """Return day against month, and how far boundary readings were off."""
        worst_s: Decimal | None = None
        for own in self._sums.values():
            for run in own.runs.values():
                for is_there, end, at_ns in (
                    (run.opens, run.first, self._due.span.start_ns),
                    (run.closes, run.last, self._due.span.end_ns),
                ):
                    if is_there and end is not None:
                        off_s = Decimal(abs(end.time_ns - at_ns)) / NS
                        worst_s = off_s if worst_s is None else max(worst_s, off_s)
        deviation = self._deviation()
        return {
            "deviation_percent": None if deviation is None else f"{deviation:f}",
            "boundary_error_s": None
            if worst_s is None
            else f"{worst_s.quantize(Decimal('0.001'), ROUND_UP):f}",
        }

    def _deviation(self) -> Decimal | None:
        """Return |sum of days - month| / month in percent, rounded up, the greatest of all counters; None: unknown."""
        found: Decimal | None = None
        for (meter, key), amount in self.amounts().items():
            if not amount or not self._days:
                continue
            total = sum((_amount_of(day, meter, key, self._grid) for day in self._days), Decimal(0))
            off = (100 * abs(total - amount) / abs(amount)).quantize(_HUNDREDTH, ROUND_UP)
            found = off if found is None else max(found, off)
        return found

    def _totals(self, meter: str) -> Iterator[dict[str, Any]]:
        if self._due.period == "hour":
            return
        own, span = self._sums[meter], self._due.span
        for key, run in own.runs.items():
            amount = spanned(run, span, self._tolerance_ns)
            yield self._total(meter, key, self._due.period, "", run, amount)
        for name, channels in own.shifts.items():
            for key, run in channels.items():
                yield self._total(meter, key, "shift", name, run, run.amount)
        for kind, parts in own.tariffs.items():
            for key, part in parts.items():
                yield {
                    **self._head(meter, key, "tariff", kind, span.start_ns, span.end_ns),
                    "unit": part.unit,
                    "amount": bodies.decimal(part.amount),
                    "known": bodies.decimal(part.known),
                }

    def _total(
        self, meter: str, key: str, period: str, name: str, run: Run, amount: Decimal | None
    ) -> dict[str, Any]:
        return {
            **self._head(meter, key, period, name, run.start_ns, run.end_ns),
            "unit": run.unit,
            "amount": bodies.decimal(amount),
            "known": bodies.decimal(run.known),
            "opening": bodies.boundary(run.first, self._grid),
            "closing": bodies.boundary(run.last, self._grid),
        }

    def _head(
        self, meter: str, key: str, period: str, name: str, start_ns: int, end_ns: int
    ) -> dict[str, Any]:
        return {
            "meter": meter,
            "channel": key,
            "period": period,
            "name": name,
            "t0": self._grid.iso(start_ns),
            "t1": self._grid.iso(end_ns),
            "rev": self._rev,
        }


def _amount_of(day: Sums, meter: str, key: str, grid: Grid) -> Decimal:
    """Return a day's amount; 0 where it is unknown, so that the deviation shows it."""
    run = day[meter].runs.get(key) if meter in day else None
    return Decimal(0) if run is None else spanned(run, grid.day(run.start_ns)) or Decimal(0)


def aggregate_body(
    config: AggregateConfig,
    period: str,
    span: Span,
    rev: int,
    amounts: Mapping[tuple[str, str], Decimal | None],
    units: Mapping[tuple[str, str], str],
    grid: Grid,
) -> dict[str, Any]:
    """Return a reported quantity of one period. units: (meter, channel) -> canonical unit."""
    terms = [
        Term(term.meter, term.channel, Decimal(term.weight) * (1 if term.sign == "+" else -1))
        for term in config.terms
    ]
    found = value(terms, amounts)
    return {
        "aggregate": config.id,
        "period": period,
        "t0": grid.iso(span.start_ns),
        "t1": grid.iso(span.end_ns),
        "rev": rev,
        "unit": next(
            (units[term.meter, term.channel] for term in terms if (term.meter, term.channel) in units), ""
        ),
        "value": bodies.decimal(found.value),
        "missing": list(found.missing),
        "codes": config.codes.as_sent() | {"statType": STAT_TYPES[period]},
    }

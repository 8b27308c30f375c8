"""What a summary says on the feed, and what the history keeps of it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.derive.consistency import consistency
from gateway.derive.declarations import declared_around
from gateway.derive.stand_ins import has_open_end, with_stand_ins
from gateway.derive.sums import of_day, of_intervals, of_month, parts_of_month, to_row
from gateway.feed import bodies
from gateway.intervals.aggregates import Term, value
from gateway.intervals.completeness import summed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.config.periods import AggregateConfig, IntervalsConfig
    from gateway.derive.agenda import Due
    from gateway.derive.sums import Sums
    from gateway.history.read import Queries
    from gateway.intervals.grid import Grid, Span
    from gateway.intervals.model import Interval
    from gateway.intervals.totals import Run

STAT_TYPES = {"interval": "0", "day": "1", "month": "2"}
"""采集频率 statType. Source: NHJC-04 as implemented in public code: 0 real time, 1 day, 2 month."""


class Summed(NamedTuple):
    """A period read from the history. rev: of the summary to be made. days: of a month. together: intervals of an interval.

    before: the newest summary there is, None if there is none. has_open_end: a reading that comes later may still close it.
    retold: of an interval; what `Teller.anew` gave the last time.
    """

    rev: int
    sums: Sums
    days: Sequence[Sums] = ()
    before: Mapping[str, Any] | None = None
    has_open_end: bool = False
    together: Sequence[Interval] = ()
    retold: Mapping[str, Sequence[int]] = {}


def retold_state(start_ns: int) -> str:
    """Return the name of the history's state that says which reported quantities of an interval were told anew."""
    return f"aggregates {start_ns:019}"


def read_sums(store: Queries, grid: Grid, due: Due, settings: IntervalsConfig) -> Summed:
    """Return the sums of a period. Raises StorageError."""
    span = due.span
    if due.period == "interval":
        retold = store.state(retold_state(span.start_ns)) or {}
        return Summed(0, {}, together=list(store.intervals(*span)), retold=retold)
    newest = store.total(due.period, span.start_ns)
    rev, before = (0, None) if newest is None else (newest.rev + 1, newest.body)
    if due.period == "hour":
        sums = of_intervals(store.intervals(*span), span, declared_around(store, span))
        return Summed(rev, sums, before=before)
    if due.period == "day":
        return Summed(rev, of_day(store, grid, span, settings), before=before)
    days, splits = parts_of_month(store, grid, span, settings), declared_around(store, span)
    month = of_month(days, span, splits)
    return Summed(rev, with_stand_ins(store, span, month, splits), days, before, has_open_end(month))


class Words:
    """What a summary says: lists for its message."""

    def __init__(
        self,
        grid: Grid,
        due: Due,
        found: Summed,
        aggregates: Sequence[AggregateConfig] = (),
        *,
        is_told: bool = True,
    ) -> None:
        """found: as `read_sums` gave it. aggregates: those it tells. is_told: there is a feed; what it tells begins at rev 0."""
        self._grid, self._due = grid, due
        self._told = -1 if found.before is None else int(found.before.get("told", found.rev - 1))
        self._told += is_told
        self.rev, self._sums, self._days = self._told, found.sums, found.days
        self._before, self._own = found.before, () if due.period == "hour" else tuple(aggregates)
        told: Mapping[str, int] = {} if found.before is None else found.before.get("aggregates", {})
        self._revs = {**told, **{one.id: told.get(one.id, -1) + 1 for one in self._own}}

    def row(self) -> dict[str, Any]:
        """Return what the history keeps of it: with its newest rev and that of every aggregate it told, now or before."""
        return {"meters": to_row(self._sums), "aggregates": self._revs, "told": self._told}

    @property
    def is_news(self) -> bool:
        """Return whether it says anything else than the summary before it."""
        if self._before is None:
            return bool(self._sums)
        return _told(self._before.get("meters", {})) != _told(to_row(self._sums))

    def messages(self) -> Iterator[dict[str, Any]]:
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
            "rev": self.rev,
            "site": site,
        }
        for number, part in enumerate(parts, 1):
            body = {**head, "meters": [{k: v for k, v in one.items() if k != "totals"} for one in part]}
            body["totals"] = [total for one in part for total in one["totals"]]
            if number == 1 and self._due.period != "hour":
                body["aggregates"] = self.aggregates()
                body["consistency"] = self.consistency()
            yield {**body, "part": number, "parts": len(parts)}

    def amounts(self) -> dict[tuple[str, str], Decimal | None]:
        """Return (meter, counter) -> exact amount of the period, None: unknown."""
        return {
            (meter, key): run.amount for meter, own in self._sums.items() for key, run in own.runs.items()
        }

    def aggregates(self) -> list[dict[str, Any]]:
        """Return the reported quantities of the period; the revisions of each begin at 0, also of one added later."""
        amounts = self.amounts()
        units = {(meter, key): run.unit for meter, own in self._sums.items() for key, run in own.runs.items()}
        return [
            aggregate_body(
                one, self._due.period, self._due.span, self._revs[one.id], amounts, units, self._grid
            )
            for one in self._own
        ]

    def consistency(self) -> dict[str, Any]:
        """Return day against month, and how far readings at boundaries of days were off."""
        found = consistency(self._due.period, self._sums, self._days)
        return {
            "deviation_percent": bodies.decimal(found.deviation_percent),
            "boundary_error_s": bodies.decimal(found.boundary_error_s),
        }

    def _totals(self, meter: str) -> Iterator[dict[str, Any]]:
        if self._due.period == "hour":
            return
        own, span = self._sums[meter], self._due.span
        for key, run in own.runs.items():
            yield self._total(meter, key, self._due.period, "", run)
        for name, channels in own.shifts.items():
            for key, run in channels.items():
                yield self._total(meter, key, "shift", name, run)
        for kind, parts in own.tariffs.items():
            for key, part in parts.items():
                yield {
                    **self._head(meter, key, "tariff", kind, span.start_ns, span.end_ns),
                    "unit": part.unit,
                    "amount": bodies.decimal(part.amount),
                    "known": bodies.decimal(part.known),
                }

    def _total(self, meter: str, key: str, period: str, name: str, run: Run) -> dict[str, Any]:
        return {
            **self._head(meter, key, period, name, run.start_ns, run.end_ns),
            "unit": run.unit,
            "amount": bodies.decimal(run.amount),
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
            "rev": self.rev,
        }


def _told(meters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a row the feed tells: counts by channel are the history's own."""
    return {
        meter: {name: part for name, part in own.items() if name != "channels"}
        for meter, own in meters.items()
    }


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

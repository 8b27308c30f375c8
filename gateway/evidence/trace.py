"""What rests on an instrument: intervals, totals and reported quantities of its meter (不合格测量设备追溯)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.derive.site_grid import grid_of
from gateway.derive.sums import of_row
from gateway.evidence.days import span_of
from gateway.evidence.messages import entries, first_since, intervals_told
from gateway.feed.lines import time_ms
from gateway.intervals.aggregates import EXACT, Term, value
from gateway.intervals.grid import Span
from gateway.model import MS_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import date

    from gateway.config.models import Site
    from gateway.config.periods import AggregateConfig
    from gateway.derive.sums import Sums
    from gateway.history.read import Queries
    from gateway.history.work import TotalRow
    from gateway.intervals.grid import Grid
    from gateway.inventory.model import Instrument

PERIODS = ("day", "month")


class TracedInterval(NamedTuple):
    """One channel in the newest revision of an interval. seqs: the messages of the feed that told it, those of its earlier revisions among them."""

    channel: str
    epoch: int
    start_ns: int
    end_ns: int
    rev: int
    unit: str
    expected: int
    good: int
    delta: Decimal | None
    how: str
    verification: str
    seqs: tuple[int, ...]


class Stretch(NamedTuple):
    """Intervals of one channel and epoch that follow one another. intervals: how many; known: of them, how many have an amount; amount: the sum of these.

    told: how many of them the outbox shows in messages; first_seq, last_seq: of these messages, 0 if there are none.
    """

    channel: str
    epoch: int
    start_ns: int
    end_ns: int
    intervals: int
    known: int
    amount: Decimal
    unit: str
    told: int
    first_seq: int
    last_seq: int


class TracedTotal(NamedTuple):
    """A total or reported quantity. of: `meter` or `aggregate`; name: its id; rev: on the feed. amount None: unknown."""

    of: str
    name: str
    channel: str
    period: str
    start_ns: int
    end_ns: int
    rev: int
    amount: Decimal | None
    unit: str


@dataclass(frozen=True, slots=True)
class Trace:
    """All that rests on an instrument in [span.start_ns, span.end_ns).

    oldest_ns: begin of the history's oldest interval, 0: none. oldest_seq: from which message on the outbox is there; what was
    told before cannot be found any more.
    """

    span: Span
    oldest_ns: int
    oldest_seq: int
    intervals: tuple[TracedInterval, ...]
    totals: tuple[TracedTotal, ...]

    @property
    def stretches(self) -> list[Stretch]:
        """Return the intervals put together, channel by channel in order of time."""
        found: list[Stretch] = []
        for one in sorted(self.intervals, key=lambda one: (one.channel, one.epoch, one.start_ns)):
            last = found[-1] if found else None
            if last is not None and (last.channel, last.epoch, last.end_ns, last.unit) == (
                one.channel,
                one.epoch,
                one.start_ns,
                one.unit,
            ):
                found[-1] = _grown(last, one)
            else:
                empty = Stretch(
                    one.channel, one.epoch, one.start_ns, one.end_ns, 0, 0, Decimal(0), one.unit, 0, 0, 0
                )
                found.append(_grown(empty, one))
        return found


def _grown(stretch: Stretch, one: TracedInterval) -> Stretch:
    seqs = [seq for seq in (stretch.first_seq, stretch.last_seq, *one.seqs) if seq]
    return stretch._replace(
        end_ns=one.end_ns,
        intervals=stretch.intervals + 1,
        known=stretch.known + (one.delta is not None),
        amount=EXACT.add(stretch.amount, one.delta or Decimal(0)),
        told=stretch.told + bool(one.seqs),
        first_seq=min(seqs, default=0),
        last_seq=max(seqs, default=0),
    )


def span_of_days(site: Site, instrument: Instrument, since: date, until: date) -> Span:
    """Return the time from a day up to another, itself excluded, in which an instrument was in its place; it may be empty."""
    grid = grid_of(site)
    first = since if instrument.installed is None else max(since, instrument.installed)
    last = until if instrument.removed is None else min(until, instrument.removed)
    start_ns = span_of(grid, first).start_ns
    return Span(start_ns, max(span_of(grid, last).start_ns, start_ns))


def trace(
    instrument: Instrument,
    site: Site,
    history: Queries,
    span: Span,
    advance: Callable[[float], None] = lambda _: None,
) -> Trace:
    """Return what rests on an instrument with a meter. span: from `span_of_days`. Raises StorageError."""
    oldest = next(iter(history.intervals()), None)
    told = _told(history, instrument.meter, span, lambda part: advance(part / 2))
    intervals = tuple(_intervals(history, instrument, span, told))
    totals = tuple(_totals(history, site, instrument, span, lambda part: advance(0.5 + part / 2)))
    return Trace(span, 0 if oldest is None else oldest.start_ns, history.oldest_seq(), intervals, totals)


def _told(
    history: Queries, meter: str, span: Span, advance: Callable[[float], None]
) -> dict[tuple[int, int], list[int]]:
    """Return (epoch, start) -> messages that told that interval of a meter; one is told when it has closed, or later."""
    until = int(history.meta().get("seq", 0)) + 1
    first = first_since(history, history.oldest_seq(), until, span.start_ns)
    found: dict[tuple[int, int], list[int]] = {}
    for entry in entries(history, first, until):
        for one in intervals_told(entry, meter):
            start_ns = time_ms(one["t0"]) * MS_NS
            if span.start_ns <= start_ns < span.end_ns:
                found.setdefault((one["epoch"], start_ns), []).append(entry.seq)
        advance((entry.seq - first + 1) / max(until - first, 1))
    return found


def _intervals(
    history: Queries, instrument: Instrument, span: Span, told: dict[tuple[int, int], list[int]]
) -> Iterator[TracedInterval]:
    for one in history.intervals(*span, [instrument.meter]):
        seqs = tuple(told.get((one.epoch, one.start_ns), ()))
        for channel in one.channels:
            if instrument.channel in ("", channel.key):
                yield TracedInterval(
                    channel.key,
                    one.epoch,
                    one.start_ns,
                    one.end_ns,
                    one.rev,
                    channel.unit,
                    channel.expected,
                    channel.good,
                    channel.delta,
                    channel.how or "",
                    one.verification,
                    seqs,
                )


def _totals(
    history: Queries, site: Site, instrument: Instrument, span: Span, advance: Callable[[float], None]
) -> Iterator[TracedTotal]:
    """Yield days and months that lie in the time or cross its ends, with the reported quantities of them."""
    grid = grid_of(site)
    resting = [one for one in site.aggregates if _rests(one, instrument)]
    meters = {instrument.meter, *(term.meter for one in resting for term in one.terms)}
    for period in PERIODS:
        for part in _periods(grid, period, span):
            row = history.total(period, part.start_ns)
            sums = None if row is None else _sums(history, row, meters)
            if row is not None and sums is not None:
                yield from _of_meter(row, sums, instrument)
                for one in resting:
                    yield _of_aggregate(row, sums, one)
            if period == "day":
                advance((part.end_ns - span.start_ns) / max(span.end_ns - span.start_ns, 1))


def _sums(history: Queries, row: TotalRow, meters: Collection[str]) -> Sums | None:
    """Return the sums of a few meters of a summary, None if it is damaged; to make those of thousands takes a second."""

    def made(one: TotalRow) -> Sums:
        rows = one.body["meters"]
        return of_row({meter: rows[meter] for meter in meters if meter in rows})

    found: Sums | None = history.made(made, row)
    return found


def _rests(aggregate: AggregateConfig, instrument: Instrument) -> bool:
    return any(
        term.meter == instrument.meter and instrument.channel in ("", term.channel)
        for term in aggregate.terms
    )


def _periods(grid: Grid, period: str, span: Span) -> Iterable[Span]:
    find = grid.day if period == "day" else grid.month
    part = find(span.start_ns)
    while part.start_ns < span.end_ns:
        yield part
        part = find(part.end_ns)


def _of_meter(row: TotalRow, sums: Sums, instrument: Instrument) -> Iterator[TracedTotal]:
    own = sums.get(instrument.meter)
    rev = int(row.body.get("told", row.rev))
    for key, run in own.runs.items() if own is not None else ():
        if instrument.channel in ("", key):
            yield TracedTotal(
                "meter", instrument.meter, key, row.period, row.start_ns, row.end_ns, rev, run.amount, run.unit
            )  # fmt: skip


def _of_aggregate(row: TotalRow, sums: Sums, config: AggregateConfig) -> TracedTotal:
    terms = [
        Term(term.meter, term.channel, Decimal(term.weight) * (1 if term.sign == "+" else -1))
        for term in config.terms
    ]
    runs = {
        (term.meter, term.channel): sums[term.meter].runs[term.channel]
        for term in terms
        if term.meter in sums and term.channel in sums[term.meter].runs
    }
    found = value(terms, {name: run.amount for name, run in runs.items()})
    unit = next((run.unit for run in runs.values()), "")
    told: dict[str, Any] = row.body.get("aggregates", {})
    return TracedTotal(
        "aggregate", config.id, "", row.period, row.start_ns, row.end_ns, int(told.get(config.id, -1)), found.value, unit
    )  # fmt: skip

"""Rows of an export: one by one, so that months of history need no memory. Columns: docs/how-to/prove-completeness.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from gateway.derive.sums import of_total
from gateway.intervals.completeness import summed
from gateway.intervals.model import Reason, worst
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from decimal import Decimal

    from gateway.derive.marks import Marks
    from gateway.derive.sums import MeterSums
    from gateway.history.read import Queries
    from gateway.history.work import TotalRow
    from gateway.intervals.completeness import Completeness
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Boundary, ChannelInterval, Interval
    from gateway.intervals.totals import Run

REASONS: tuple[str, ...] = get_args(Reason)
_GAPS = tuple(f"gap_{reason}" for reason in REASONS)


def _ends(name: str) -> tuple[str, ...]:
    return name, f"{name}_at", f"{name}_source", f"{name}_flags"


COLUMNS: dict[str, tuple[str, ...]] = {
    "intervals": (
        *("meter", "epoch", "t0", "t1", "rev", "cause", "closed", "energy_kind", "swapped", "verification"),
        "verification_now",
        *("channel", "unit", "kind", "expected", "received", "good", *_GAPS, "flags", "worst"),
        *(*_ends("opening"), *_ends("closing"), "delta", "how", "mean", "low", "high", "layouts"),
    ),
    "totals": (
        *("meter", "channel", "period", "name", "t0", "t1", "rev", "closed", "unit", "amount", "known"),
        *(*_ends("opening"), *_ends("closing")),
    ),
    "events": ("at", "kind", "subject", "detail"),
    "manual": ("meter", "channel", "at", "reading", "unit", "by", "why", "entered"),
    "completeness": (
        *("meter", "period", "t0", "t1", "rev", "closed", "due", "known", "percent"),
        *("expected", "received", "good", *_GAPS, "revised", "manual"),
    ),
}


class Asked(NamedTuple):
    """What is asked for: times in [from_ns, to_ns); meters None: all. marks: of the inventory in force now, None: there is none."""

    from_ns: int
    to_ns: int
    meters: Collection[str] | None
    revisions: bool
    marks: Marks | None = None

    def bounds(self, store: Queries) -> tuple[int, int]:
        """Return about where the rows begin and end, for a progress bar. Raises StorageError."""
        oldest = next(iter(store.intervals(self.from_ns, self.to_ns)), None)
        closed_ns = int((store.state("agenda") or {}).get("closed_ns", 0))
        first_ns = self.from_ns if oldest is None else oldest.start_ns
        return first_ns, max(min(self.to_ns, closed_ns), first_ns + NS)

    def has(self, meter: str) -> bool:
        """Return whether a meter is asked for."""
        return self.meters is None or meter in self.meters


def columns(what: str) -> tuple[str, ...]:
    """Return the columns of an export, in order."""
    return COLUMNS[what]


def rows(store: Queries, grid: Grid, what: str, asked: Asked) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (time, row) in order of time, of totals and completeness period by period. Raises StorageError."""
    make = {
        "intervals": _intervals,
        "totals": _totals,
        "events": _events,
        "manual": _manual,
        "completeness": _completeness,
    }
    return make[what](store, grid, asked)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _end(name: str, found: Boundary | None, grid: Grid) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(_ends(name))
    values = (_text(found.reading), grid.iso(found.time_ns), found.source, found.flags)
    return dict(zip(_ends(name), values, strict=True))


def _gaps(gaps: Mapping[Any, int]) -> dict[str, int]:
    return {f"gap_{reason}": gaps.get(reason, 0) for reason in REASONS}


def _intervals(store: Queries, grid: Grid, asked: Asked) -> Iterator[tuple[int, dict[str, Any]]]:
    for found in store.intervals(asked.from_ns, asked.to_ns, asked.meters, asked.revisions):
        now = "" if asked.marks is None else asked.marks.of(found.meter, found.start_ns)
        head = _interval(found, grid) | {"verification_now": now}
        for channel in found.channels:
            yield found.start_ns, head | _channel(channel, grid)


def _interval(found: Interval, grid: Grid) -> dict[str, Any]:
    return {
        "meter": found.meter,
        "epoch": found.epoch,
        "t0": grid.iso(found.start_ns),
        "t1": grid.iso(found.end_ns),
        "rev": found.rev,
        "cause": found.cause,
        "closed": grid.iso(found.closed_ns),
        "energy_kind": found.energy_kind,
        "swapped": found.swapped,
        "verification": found.verification,
        "layouts": " ".join(found.layouts),
    }


def _channel(found: ChannelInterval, grid: Grid) -> dict[str, Any]:
    return {
        "channel": found.key,
        "unit": found.unit,
        "kind": found.kind,
        "expected": found.expected,
        "received": found.received,
        "good": found.good,
        **_gaps(found.gaps),
        "flags": found.flags,
        "worst": worst(found.flags) if found.flags else "",
        **_end("opening", found.opening, grid),
        **_end("closing", found.closing, grid),
        "delta": _text(found.delta),
        "how": found.how,
        "mean": _text(found.mean),
        "low": _text(found.low),
        "high": _text(found.high),
    }


def _summaries(
    store: Queries, asked: Asked, periods: tuple[str, ...]
) -> Iterator[tuple[TotalRow, dict[str, MeterSums]]]:
    for period in periods:
        for row in store.totals(period, asked.from_ns, asked.to_ns, asked.revisions):
            sums = of_total(store, row)
            if sums is not None:
                yield row, sums


def _head(row: TotalRow, grid: Grid) -> dict[str, Any]:
    return {"rev": row.rev, "closed": grid.iso(row.closed_ns)}


def _totals(store: Queries, grid: Grid, asked: Asked) -> Iterator[tuple[int, dict[str, Any]]]:
    for row, sums in _summaries(store, asked, ("day", "month")):
        head, span = _head(row, grid), (row.start_ns, row.end_ns)
        for meter, own in sums.items():
            if not asked.has(meter):
                continue
            of = head | {"meter": meter}
            for key, run in own.runs.items():
                yield row.start_ns, of | _run(key, row.period, "", run, grid)
            for name, channels in own.shifts.items():
                for key, run in channels.items():
                    yield row.start_ns, of | _run(key, "shift", name, run, grid)
            for kind, parts in own.tariffs.items():
                for key, part in parts.items():
                    named = _named(key, "tariff", kind, *span, grid)
                    sums_ = {"unit": part.unit, "amount": _text(part.amount), "known": _text(part.known)}
                    yield row.start_ns, of | named | sums_ | _end("opening", None, grid) | _end("closing", None, grid)  # fmt: skip


def _named(key: str, period: str, name: str, start_ns: int, end_ns: int, grid: Grid) -> dict[str, Any]:
    times = {"t0": grid.iso(start_ns), "t1": grid.iso(end_ns)}
    return {"channel": key, "period": period, "name": name, **times}


def _run(key: str, period: str, name: str, run: Run, grid: Grid) -> dict[str, Any]:
    return {
        **_named(key, period, name, run.start_ns, run.end_ns, grid),
        "unit": run.unit,
        "amount": _text(run.amount),
        "known": _text(run.known),
        **_end("opening", run.first, grid),
        **_end("closing", run.last, grid),
    }


def _events(store: Queries, grid: Grid, asked: Asked) -> Iterator[tuple[int, dict[str, Any]]]:
    for found in store.events(asked.from_ns, asked.to_ns, None, asked.meters):
        body = {"at": grid.iso(found.time_ns), "kind": found.kind, "subject": found.subject}
        yield found.time_ns, body | {"detail": dict(found.detail)}


def _manual(store: Queries, grid: Grid, asked: Asked) -> Iterator[tuple[int, dict[str, Any]]]:
    for found in store.manual(asked.from_ns, asked.to_ns, asked.meters):
        times = {"at": grid.iso(found.time_ns), "entered": grid.iso(found.entered_ns)}
        body = {name: value for name, value in found._asdict().items() if name in COLUMNS["manual"]}
        yield found.time_ns, body | times | {"reading": _text(found.reading)}


def _completeness(store: Queries, grid: Grid, asked: Asked) -> Iterator[tuple[int, dict[str, Any]]]:
    for row, sums in _summaries(store, asked, ("hour", "day", "month")):
        head = _head(row, grid) | {
            "period": row.period,
            "t0": grid.iso(row.start_ns),
            "t1": grid.iso(row.end_ns),
        }
        if asked.meters is None:
            yield row.start_ns, head | _counts("", summed(own.completeness for own in sums.values()))
        for meter, own in sums.items():
            if asked.has(meter):
                yield row.start_ns, head | _counts(meter, own.completeness)


def _counts(meter: str, found: Completeness) -> dict[str, Any]:
    body = found.row()
    gaps = _gaps(body.pop("gaps"))
    return {"meter": meter, **body, **gaps}

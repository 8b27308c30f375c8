"""Readings that were due while no interval was made of a meter: before it was in the site file, and since nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.evidence.last_good import due_count
from gateway.intervals.grid import Span
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from gateway.config.models import Site
    from gateway.config.reports import Reported
    from gateway.history.read import Queries
    from gateway.intervals.grid import Grid


def due_ns(now_ns: int | None, closed_ns: int, span: Span, site: Site, grid: Grid) -> int:
    """Return until when readings of a span were due: a running gateway is an interval and its grace behind. now_ns: None: it is over."""
    if now_ns is None:
        return span.end_ns
    lag_ns = 2 * grid.length_ns + round(site.intervals.grace_s * NS)
    return min(span.end_ns, now_ns if now_ns - closed_ns > lag_ns else closed_ns)


def due(known: Iterable[Reported], key: str, span: Span) -> int:
    """Return how many readings are due in a span by the present periods. key: of the one channel that counts, "": all."""
    if span.start_ns >= span.end_ns:
        return 0
    return sum(due_count(*span, round(one.period_s * NS)) for one in known if key in ("", one.key))


def both(one: Span, other: Span) -> Span:
    """Return what lies in both spans; it may be empty."""
    start_ns = max(one.start_ns, other.start_ns)
    return Span(start_ns, max(min(one.end_ns, other.end_ns), start_ns))


def uncovered(store: Queries, span: Span, meters: Collection[str]) -> dict[str, Sequence[Span]]:
    """Return meter -> stretches of a span in which it has no interval; a damaged one is none. Raises StorageError."""
    reached = dict.fromkeys(meters, span.start_ns)
    found: dict[str, list[Span]] = {meter: [] for meter in meters}
    for one in store.intervals(*span, meters):
        if one.start_ns > reached[one.meter]:
            found[one.meter].append(Span(reached[one.meter], one.start_ns))
        reached[one.meter] = max(reached[one.meter], one.end_ns)
    for meter, end_ns in reached.items():
        if end_ns < span.end_ns:
            found[meter].append(Span(end_ns, span.end_ns))
    return dict(found)

"""What was declared of meters, for sums: a total across a gap must know of a swap or another ratio in it, also where no interval was."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.intervals.amounts import split_of
from gateway.intervals.remaking import DECLARED, declared, distrusted, effective_ns
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gateway.history.read import Queries
    from gateway.intervals.amounts import Split
    from gateway.intervals.grid import Span
    from gateway.model import Event

REACH_NS = (86_400 + 60) * NS
"""What lies so far outside a period may still be between two readings of it: those that stand in at its ends are a day off at most."""
_HOUR_NS = 3600 * NS  # no interval is longer

Splits = dict[str, list["Split"]]
"""By meter."""
ANY_EPOCH = -1
"""Epoch of what was declared of a time in which the meter had no interval."""


def declared_around(store: Queries, span: Span, meters: Collection[str] | None = None) -> Splits:
    """Return the swaps and changed ratios that may lie between two readings of a period. Raises StorageError."""
    by_meter: dict[str, list[Event]] = defaultdict(list)
    for event in store.events(max(span.start_ns - REACH_NS, 0), kinds=DECLARED, subjects=meters):
        by_meter[event.subject].append(event)  # none is told before it is effective
    found: Splits = {}
    for meter, events in by_meter.items():
        near = [
            event
            for event in declared(events)
            if span.start_ns - REACH_NS <= effective_ns(event) < span.end_ns + REACH_NS
        ]
        if near:
            spans = _replayed(store, meter)
            trusted = [distrusted(event, spans, _keys(event)) for event in near]
            found[meter] = [
                split_of(one, _epoch(store, meter, effective_ns(one)), effective_ns(one)) for one in trusted
            ]
    return found


def _epoch(store: Queries, meter: str, at_ns: int) -> int:
    """Return the newest epoch with an interval of the meter around a time."""
    around = store.intervals(max(at_ns - _HOUR_NS, 0), at_ns + 1, [meter])
    return max((one.epoch for one in around if at_ns < one.end_ns), default=ANY_EPOCH)


def _replayed(store: Queries, meter: str) -> Sequence[tuple[int, int]]:
    """Return the stretches whose readings were read by a rule found wrong; of which channels is not looked at."""
    found = []
    for event in store.events(kinds=["replay"], subjects=[meter]):
        from_ns, to_ns = event.detail.get("from_ns"), event.detail.get("to_ns")
        if isinstance(from_ns, int) and isinstance(to_ns, int):
            found.append((from_ns, to_ns))
    return found


def _keys(event: Event) -> frozenset[str]:
    sides: Sequence[object] = (event.detail.get("closing"), event.detail.get("opening"))
    return frozenset(key for side in sides if isinstance(side, dict) for key in side)


def of_meter(splits: Mapping[str, Sequence[Split]], meter: str) -> Sequence[Split]:
    """Return what was declared of one meter."""
    return splits.get(meter, ())

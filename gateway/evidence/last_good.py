"""When the last good reading of a stretch of time came, as exactly as its intervals tell."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.history.read import Queries
    from gateway.intervals.grid import Span
    from gateway.intervals.model import ChannelInterval, Interval

Name = tuple[str, str]
"""Meter and channel; channel "": all of them."""


def due_count(from_ns: int, to_ns: int, period_ns: int) -> int:
    """Return how many readings are due in from_ns <= time < to_ns: multiples of the period since 1970."""
    return -(-to_ns // period_ns) + -from_ns // period_ns


def last_good(
    store: Queries, span: Span, names: Collection[Name], periods: Mapping[Name, int]
) -> dict[Name, int]:
    """Return the time of the last good reading of the intervals that begin in a span, of those that have one.

    Where an interval has every reading it is when the last was due; else a reading at its boundary, or its begin, which is never too
    late. periods: (meter, channel) -> period, ns. Raises StorageError.
    """
    by_meter: dict[str, list[str]] = defaultdict(list)
    for meter, key in names:
        by_meter[meter].append(key)
    found: dict[Name, int] = {}
    for interval in store.intervals(*span, by_meter):
        for key in by_meter[interval.meter]:
            times = [
                _latest(interval, channel, periods.get((interval.meter, channel.key), 0))
                for channel in interval.channels
                if key in ("", channel.key) and channel.good
            ]
            name = interval.meter, key
            if times:
                found[name] = max(found.get(name, 0), *times)
    return found


def _latest(interval: Interval, channel: ChannelInterval, period_ns: int) -> int:
    ends = [end.time_ns for end in (channel.opening, channel.closing) if end is not None]
    times = [interval.start_ns, *(time_ns for time_ns in ends if time_ns < interval.end_ns)]
    if period_ns and channel.good == channel.expected == due_count(*_span(interval), period_ns):
        times.append((interval.end_ns - 1) // period_ns * period_ns)
    return max(times)


def _span(interval: Interval) -> tuple[int, int]:
    return interval.start_ns, interval.end_ns

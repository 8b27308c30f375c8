"""What signed messages say, as plain JSON values in the order of the contract's fields. Pure; shapes: gateway/feed/contract.py.

Values are decimal strings, exact; what is unknown is null. A message that would be too long is cut between meters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.intervals.model import worst
from gateway.model import Gap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from decimal import Decimal

    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Boundary, ChannelInterval, Interval
    from gateway.model import Event

BODY_MAX = 96 * 1024
"""Bytes of the lists of one payload; signed and in base64 that stays below 256 KiB, whatever one entry adds."""

Body = dict[str, Any]


def decimal(value: Decimal | None) -> str | None:
    """Return an exact decimal as it is written in messages."""
    return None if value is None else f"{value:f}"


def boundary(found: Boundary | None, grid: Grid) -> Body | None:
    """Return a boundary reading."""
    if found is None:
        return None
    body: Body = {"value": decimal(found.reading), "at": grid.iso(found.time_ns)}
    if found.source != "meter":
        body["source"] = found.source
    if found.flags:
        body["flags"] = found.flags
    return body


def channel(found: ChannelInterval, grid: Grid) -> Body:
    """Return one channel of an interval."""
    body: Body = {
        "unit": found.unit,
        "kind": found.kind,
        "expected": found.expected,
        "received": found.received,
        "good": found.good,
    }
    if found.gaps:
        body["gaps"] = dict(found.gaps)
    if found.flags:
        body["worst"] = worst(found.flags)
    if found.kind == "counter":
        return body | {
            "opening": boundary(found.opening, grid),
            "closing": boundary(found.closing, grid),
            "delta": decimal(found.delta),
            "how": found.how,
        }
    return body | {"mean": decimal(found.mean), "low": decimal(found.low), "high": decimal(found.high)}


def interval(found: Interval, grid: Grid) -> Body:
    """Return one interval."""
    body: Body = {
        "meter": found.meter,
        "t0": grid.iso(found.start_ns),
        "t1": grid.iso(found.end_ns),
        "epoch": found.epoch,
        "rev": found.rev,
    }
    if found.cause:
        body["cause"] = found.cause
    if found.swapped:
        body["swapped"] = True
    if found.verification:
        body["verification"] = found.verification
    return body | {"channels": {one.key: channel(one, grid) for one in found.channels}}


def event(found: Event | Gap, grid: Grid) -> Body:
    """Return an event; a gap record is one of kind `gap`."""
    at = grid.iso(found.time_ns)
    if isinstance(found, Gap):
        detail = {
            "reason": found.reason,
            "from": grid.iso(found.first_ns),
            "to": grid.iso(found.last_ns),
            "readings": found.readings,
        }
        return {"at": at, "kind": "gap", "subject": found.subject or "journal", "detail": detail}
    return {"at": at, "kind": found.kind, "subject": found.subject, "detail": dict(found.detail)}


def cut(entries: Iterable[Body], size_max: int = BODY_MAX) -> Iterator[list[Body]]:
    """Yield the entries in lists whose JSON stays below `size_max` bytes; one entry alone may be longer."""
    part: list[Body] = []
    size = 0
    for entry in entries:
        length = len(orjson.dumps(entry)) + 1
        if part and size + length > size_max:
            yield part
            part, size = [], 0
        part.append(entry)
        size += length
    if part:
        yield part


def closed(
    intervals: Sequence[Interval], aggregates: Sequence[Body], readings: Sequence[Body], grid: Grid
) -> Iterator[Body]:
    """Yield what messages of kind `data` add: intervals, then aggregates, then readings entered by hand."""
    for part in cut(interval(one, grid) for one in intervals):
        yield {"intervals": part}
    for part in cut(aggregates):
        yield {"aggregates": part}
    for part in cut(readings):
        yield {"readings": part}

"""The signed messages of the outbox, read back: which one told which interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.feed.jws import Malformed, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.feed.entries import Entry
    from gateway.history.read import Queries

BATCH_BYTES = 8 << 20


def first_since(store: Queries, first: int, until: int, time_ns: int) -> int:
    """Return the first message first <= seq < until signed at that time or later; messages are signed in order of time."""
    while first < until:
        middle = (first + until) // 2
        found = store.entries(middle, middle + 1, 1)
        if found and found[0].time_ns < time_ns:
            first = middle + 1
        else:
            until = middle
    return first


def entries(store: Queries, first: int, until: int) -> Iterator[Entry]:
    """Yield messages first <= seq < until in order, batch by batch. Raises StorageError."""
    while first < until:
        batch = store.entries(first, until, BATCH_BYTES)
        if not batch:
            return
        yield from batch
        first = batch[-1].seq + 1


def intervals_told(entry: Entry, meter: str = "") -> list[dict[str, Any]]:
    """Return the intervals a message tells, as of docs/specs/feed.md; none if it is no message of that kind or spoilt.

    meter: only those of this one.
    """
    if entry.kind != "data":
        return []
    try:
        payload = parse(entry.jws).payload
        if meter and meter.encode() not in payload:
            return []
        found: list[dict[str, Any]] = orjson.loads(payload).get("intervals", [])
    except (Malformed, orjson.JSONDecodeError):
        return []
    return [one for one in found if not meter or one.get("meter") == meter]

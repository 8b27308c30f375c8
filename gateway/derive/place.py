"""The place in the journal up to which intervals have been made, as the history keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.journal.store import ReaderState, Span

if TYPE_CHECKING:
    from gateway.journal.journal import Journal


class Within(NamedTuple):
    """How far a batch that is not acknowledged was derived: groups before `group`, and so many records of that one.

    before: readings journaled before that group.
    """

    group: int
    records: int
    before: int


def reader_body(state: ReaderState, within: Within | None) -> dict[str, Any]:
    """Return a place in the journal as the history keeps it."""
    return {
        **({} if within is None else {"within": list(within)}),
        "live": state.live,
        "live_before": state.live_before,
        "backlog": [list(span) for span in state.backlog],
        "missed": state.missed,
    }


def read_before(body: Any, journal: Journal) -> int:
    """Return how many readings were journaled before the place that is read next."""
    if not isinstance(body, dict):
        return journal.oldest_before
    into = within(body)
    return min(int(body["live_before"]) if into is None else into.before, journal.readings)


def within(body: Any) -> Within | None:
    """Return how far into a batch a place is, None if it is at its beginning."""
    return Within(*body["within"]) if isinstance(body, dict) and "within" in body else None


def reader_state(body: Any) -> ReaderState | None:
    """Return the place a body stands for, None if there is none."""
    if not isinstance(body, dict):
        return None
    spans = [Span(*span) for span in body["backlog"]]
    return ReaderState("intervals", body["live"], body["live_before"], spans, missed=body["missed"])

"""The place in the journal up to which intervals have been made, as the history keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.journal.store import ReaderState, Span

if TYPE_CHECKING:
    from gateway.journal.journal import Journal


def reader_body(state: ReaderState) -> dict[str, Any]:
    """Return a place in the journal as the history keeps it."""
    return {
        "live": state.live,
        "live_before": state.live_before,
        "backlog": [list(span) for span in state.backlog],
        "missed": state.missed,
    }


def read_before(body: Any, journal: Journal) -> int:
    """Return how many readings were journaled before the place that is read next."""
    return (
        min(int(body["live_before"]), journal.readings) if isinstance(body, dict) else journal.oldest_before
    )


def reader_state(body: Any) -> ReaderState | None:
    """Return the place a body stands for, None if there is none."""
    if not isinstance(body, dict):
        return None
    spans = [Span(*span) for span in body["backlog"]]
    return ReaderState("intervals", body["live"], body["live_before"], spans, missed=body["missed"])

"""A reader: one consumer of the journal with a live position and backlog ranges.

Each advances over contiguous acknowledgements only. After an outage the lag becomes a backlog range, so that live
readings go first and the backlog follows behind them; order holds within each.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.journal_store import ReaderState
from gateway.model import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.journal import Journal

SHIFT_GROUPS = 20  # a lag of more groups than this is backlog: a second of the busiest gateway
LIVE_READINGS = 100_000  # most readings in one live batch
BACKLOG_READINGS = 20_000  # and in one backlog batch, so that live readings never wait long behind it


@dataclass(slots=True)
class _Range:
    """Groups start <= id < until; *_before: readings journaled before that group."""

    start: int
    until: int
    start_before: int
    until_before: int


class Reader:
    """Positions of one sink. Used by one task."""

    def __init__(self, journal: Journal, state: ReaderState, before: Mapping[int, int]) -> None:
        """before: readings journaled before each group id that `state` names and the journal still has."""
        self._journal = journal
        self.name = state.name
        self.delivered, self.refused, self.missed = state.delivered, state.refused, state.missed
        self.awake = asyncio.Event()
        self.dirty = False

        def known(id_: int) -> int:
            if id_ >= journal.following:
                return journal.readings
            return before.get(id_, journal.oldest_before)

        self.live = min(state.live, journal.following)
        self._live_before = known(self.live)
        self._backlog = [_Range(a, b, known(a), known(b)) for a, b in state.backlog]
        self._taken: tuple[bool, int, int, int] | None = None
        self.move_up(journal.oldest, journal.oldest_before)

    @property
    def pending(self) -> int:
        """Return how many journaled readings are still to be delivered."""
        return self._journal.readings - self._live_before + self.backlog

    @property
    def backlog(self) -> int:
        """Return how many of the pending readings are backlog."""
        return sum(r.until_before - r.start_before for r in self._backlog)

    def snapshot(self) -> ReaderState:
        """Return the positions as they are to be made durable."""
        ranges = [(r.start, r.until) for r in self._backlog]
        return ReaderState(self.name, self.live, ranges, self.delivered, self.refused, self.missed)

    def shift(self) -> None:
        """After an outage: make the lag a backlog range, so that live readings go first."""
        following = self._journal.following
        if following - self.live > SHIFT_GROUPS:
            before = self._journal.readings
            self._backlog.append(_Range(self.live, following, self._live_before, before))
            self.live, self._live_before = following, before
            self.dirty = True

    async def take(self, *, backlog: bool) -> Batch | None:
        """Return the next batch: live first, else backlog if allowed, else None. Ask `awake` for more."""
        self.awake.clear()
        journal = self._journal
        if self.live < journal.following:
            groups = await journal.fetch(self.live, journal.following, LIVE_READINGS)
            late = False
        elif backlog and self._backlog:
            span = self._backlog[0]
            groups = await journal.fetch(span.start, span.until, BACKLOG_READINGS)
            late = True
        else:
            return None
        if not groups:  # dropped at the cap while we asked
            self.move_up(journal.oldest, journal.oldest_before)
            return None
        damaged = sum(group.readings for group in groups if group.damaged)
        self._taken = (late, groups[-1].id + 1, groups[-1].readings_after, damaged)
        frames = [frame for group in groups for frame in group.frames]
        return Batch(frames, groups[0].id, groups[-1].id, late)

    def acknowledge(self, delivered: int, refused: int) -> None:
        """Advance over the batch taken last; counts are readings."""
        assert self._taken is not None, "nothing taken"
        late, until, before, damaged = self._taken
        self._taken = None
        self.delivered += delivered
        self.refused += refused
        self.missed += damaged
        self.dirty = True
        if not late:
            self.live, self._live_before = max(self.live, until), max(self._live_before, before)
            return
        if not self._backlog:  # dropped at the cap while the sink was writing
            return
        span = self._backlog[0]
        span.start, span.start_before = max(span.start, until), max(span.start_before, before)
        if span.start >= span.until:
            del self._backlog[0]

    def move_up(self, oldest: int, oldest_before: int) -> int:
        """Skip groups below `oldest`, which are gone; return how many undelivered readings that lost."""
        lost = 0
        for span in self._backlog:
            if span.start < oldest:
                reached = min(oldest_before, span.until_before)
                lost += max(0, reached - span.start_before)
                span.start, span.start_before = min(oldest, span.until), max(reached, span.start_before)
        self._backlog = [span for span in self._backlog if span.start < span.until]
        if self.live < oldest:
            lost += max(0, oldest_before - self._live_before)
            self.live, self._live_before = oldest, max(oldest_before, self._live_before)
        if lost:
            self.missed += lost
            self.dirty = True
        return lost

"""Readers: each one consumer of the journal with a live position and backlog ranges.

Each advances over contiguous acknowledgements only. After an outage the lag becomes a backlog range, so that live
readings go first and the backlog follows behind them; order holds within each.

Every journaled reading below a position is delivered, refused or missed, and nothing else: `missed` is what the
position passed without an acknowledgement (dropped at the cap, damaged, gone with a lost file).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.journal.store import ReaderState, Span
from gateway.model import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.journal.groups import Committed
    from gateway.journal.journal import Journal

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

    def advance(self, start: int, start_before: int) -> int:
        """Move the start on; return how many readings it passed. Never moves back."""
        if start <= self.start:
            return 0
        passed = min(start_before, self.until_before) - self.start_before
        self.start = min(start, self.until)
        self.start_before += max(passed, 0)
        return max(passed, 0)


class _Taken(NamedTuple):
    """A batch on its way: which range it came from and what it covers."""

    span: _Range
    until: int
    until_before: int


class Reader:
    """Positions of one sink. Used by one task."""

    def __init__(self, journal: Journal, state: ReaderState) -> None:
        """state: as it was made durable; positions the journal has not or no longer are corrected."""
        self._journal = journal
        self.name = state.name
        self.delivered, self.refused, self.missed = state.delivered, state.refused, state.missed
        self.awake = asyncio.Event()
        self.dirty = False
        live_before = min(state.live_before, journal.readings)
        self._live = _Range(state.live, journal.following, live_before, journal.readings)
        if state.live >= journal.following:
            self._live.start, self._live.start_before = journal.following, journal.readings
        spans = (span for span in state.backlog if span.until <= journal.following)
        self._backlog = [_Range(*span) for span in spans]
        self._taken: _Taken | None = None
        self.move_up(journal.oldest, journal.oldest_before)

    @property
    def live(self) -> int:
        """Return the id of the first live group that is not acknowledged."""
        return self._live.start

    @property
    def pending(self) -> int:
        """Return how many journaled readings are still to be delivered."""
        return self._journal.readings - self._live.start_before + self.backlog

    @property
    def backlog(self) -> int:
        """Return how many of the pending readings are backlog."""
        return sum(span.until_before - span.start_before for span in self._backlog)

    @property
    def full(self) -> bool:
        """Return whether a whole live batch waits: collecting longer would only put it off."""
        return self._journal.readings - self._live.start_before >= LIVE_READINGS

    def snapshot(self) -> ReaderState:
        """Return the positions as they are to be made durable."""
        spans = [Span(s.start, s.until, s.start_before, s.until_before) for s in self._backlog]
        live = self._live
        counts = (self.delivered, self.refused, self.missed)
        return ReaderState(self.name, live.start, live.start_before, spans, *counts)

    def shift(self, *, outage: bool = False) -> None:
        """Make the lag a backlog range, so that live readings go first: after an outage, or if it is long."""
        self._taken = None
        self._extend()
        live = self._live
        if live.until - live.start > (0 if outage else SHIFT_GROUPS):
            self._backlog.append(live)
            self._live = _Range(live.until, live.until, live.until_before, live.until_before)
            self.dirty = True

    def _extend(self) -> None:
        self._live.until, self._live.until_before = self._journal.following, self._journal.readings

    async def take(self, *, backlog: bool, live: bool = True) -> Batch | None:
        """Return the frames of `take_groups`, for a sink.

        A batch without frames covers events, or groups that are gone: acknowledge it all the same.
        """
        groups = await self.take_groups(backlog=backlog, live=live)
        if groups is None:
            return None
        assert self._taken is not None
        last = self._taken.until - 1
        frames = [frame for group in groups for frame in group.frames]
        return Batch(frames, groups[0].id if groups else last, last, self._taken.span is not self._live)

    async def take_groups(self, *, backlog: bool, live: bool = True) -> list[Committed] | None:
        """Return the next groups: live first (if wanted), else backlog if allowed, else None. Ask `awake` for more.

        Their records are all there, in order. An empty list stands for groups that are gone: acknowledge it all the
        same. Raises StorageError if the disk cannot be read.
        """
        self.awake.clear()
        self._extend()
        if live and self._live.start < self._live.until:
            span, most = self._live, LIVE_READINGS
        elif backlog and self._backlog:
            span, most = self._backlog[0], BACKLOG_READINGS
        else:
            return None
        until, until_before = span.until, span.until_before
        groups = await self._journal.fetch(span.start, until, most)
        if groups:
            until, until_before = groups[-1].id + 1, groups[-1].readings_after
        self._taken = _Taken(span, until, until_before)
        return groups

    def acknowledge(self, delivered: int, refused: int) -> None:
        """Advance over the batch taken last; counts are readings."""
        assert self._taken is not None, "nothing taken"
        span, until, until_before = self._taken
        self._taken = None
        # Less than 0 if the cap dropped groups of this batch while the sink was writing it: not missed after all.
        self._miss(span.advance(until, until_before) - delivered - refused)
        self.delivered += delivered
        self.refused += refused
        self.dirty = True
        self._backlog = [s for s in self._backlog if s.start < s.until]

    def move_up(self, oldest: int, oldest_before: int) -> int:
        """Skip groups below `oldest`, which are gone; return how many undelivered readings that lost."""
        self._extend()
        lost = sum(span.advance(oldest, oldest_before) for span in (*self._backlog, self._live))
        self._backlog = [span for span in self._backlog if span.start < span.until]
        self._miss(lost)
        return lost

    def _miss(self, readings: int) -> None:
        if readings:
            self.missed += readings
            self.dirty = True


class Readers:
    """Every reader of a journal, by name; those of one kind begin alike: `sink:influx`."""

    def __init__(self, found: dict[str, ReaderState]) -> None:
        """found: positions as they were made durable."""
        self.found = found
        self._readers: dict[str, Reader] = {}
        self._own: list[Reader] = []

    @property
    def _all(self) -> list[Reader]:
        return [*self, *self._own]

    def __iter__(self) -> Iterator[Reader]:
        """Iterate over the readers asked for since the start."""
        return iter(self._readers.values())

    def get(self, journal: Journal, name: str) -> Reader:
        """Return the reader of that name, at its durable positions; a new one starts at the live end."""
        state = self.found.pop(name, None) or ReaderState(name, journal.following, journal.readings)
        reader = self._readers[name] = Reader(journal, state)
        reader.dirty = True
        return reader

    def at(self, journal: Journal, name: str, state: ReaderState | None) -> Reader:
        """Return a reader whose positions its owner keeps, together with what it made of the groups; None: at the oldest group.

        What it misses is its owner's to tell: it counts in no sum here. Its lag is never made backlog: it reads in order.
        """
        reader = Reader(journal, state or ReaderState(name, journal.oldest, journal.oldest_before))
        self._own = [one for one in self._own if one.name != name] + [reader]
        return reader

    def others(self, kind: str) -> list[str]:
        """Return the names that begin with `kind`, are in the file and were not asked for."""
        return [name for name in self.found if name.startswith(kind)]

    def forget(self, names: Iterable[str]) -> None:
        """Let go of readers that are not in the file any more."""
        for name in names:
            self.found.pop(name, None)

    @property
    def dirty(self) -> bool:
        """Return whether the positions of some reader are not durable."""
        return any(reader.dirty for reader in self)

    def take(self) -> list[ReaderState]:
        """Return positions that are not durable, to be made so; `failed` must follow if they were not."""
        dirty = [reader for reader in self if reader.dirty]
        for reader in dirty:
            reader.dirty = False
        return [reader.snapshot() for reader in dirty]

    def failed(self, states: Iterable[ReaderState]) -> None:
        """Note that positions taken are not durable after all."""
        for state in states:
            self._readers[state.name].dirty = True

    def begin_anew(self, oldest: int, oldest_before: int) -> None:
        """Move every reader up, and have all positions written: the file is a new one."""
        self.move_up(oldest, oldest_before)
        for reader in self:
            reader.dirty = True

    @property
    def pending(self) -> int:
        """Return how many readings are still to be delivered, summed over readers."""
        return sum(reader.pending for reader in self)

    @property
    def missed(self) -> int:
        """Return how many were passed without delivery, summed over readers."""
        return sum(reader.missed for reader in self)

    def first_live(self, following: int) -> int:
        """Return the first group some reader still wants live, `following` if none does."""
        return min((reader.live for reader in self._all), default=following)

    def move_up(self, oldest: int, oldest_before: int) -> int:
        """Move every reader up to the oldest group there is; return how many undelivered readings that lost."""
        for reader in self._own:
            reader.move_up(oldest, oldest_before)
        return sum(reader.move_up(oldest, oldest_before) for reader in self)

    def wake(self) -> None:
        """Tell every reader of new groups."""
        for reader in self._all:
            reader.awake.set()

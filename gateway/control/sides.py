"""The readings on both sides of a change: those in the journal next to its time, which nobody can ask the meter for later.

Closing is the last good reading at or before the change, opening the first at or after it; never one from the other side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.model import ABSENT, Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from decimal import Decimal

    from gateway.interfaces import Clock
    from gateway.journal.journal import Journal
    from gateway.layout import Layout
    from gateway.model import Frame

SEARCH_S = 5.0  # on each side; what lies further from the change is typed
CHUNK_READINGS = 5_000
WINDOW_FIRST, WINDOW_MAX = 32, 512  # groups looked at together, backwards
SLACK = 8  # groups around the change whose times may overlap
NO_CLOSING = int(ABSENT | Flag.STALE | Flag.RANGE | Flag.JUMP | Flag.ROLLBACK)
NO_OPENING = int(ABSENT | Flag.STALE | Flag.RANGE)
"""The first reading of another meter falls or jumps against the old one's, and is what it shows."""


class Reading(NamedTuple):
    """One exact counter reading in its canonical unit. origin: journal, read (an extra read) or typed."""

    exact: Decimal
    unit: str
    time_ns: int
    origin: str

    def to_json(self) -> dict[str, object]:
        """Return it as events have it."""
        return {
            "reading": f"{self.exact:f}",
            "unit": self.unit,
            "time_ns": self.time_ns,
            "from": self.origin,
        }


def any_layout(_: Layout) -> bool:
    """Return true: every layout will do."""
    return True


class Sides:
    """Searches the journal for the readings of one meter's counters around a time."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        meter: str,
        keys: Collection[str],
        fits: Callable[[Layout], bool] = any_layout,
    ) -> None:
        """keys: the counters. fits: whether readings of a layout count."""
        self._journal, self._clock = journal, clock
        self._meter, self._keys, self._fits = meter, frozenset(keys), fits

    async def closing(self, at_ns: int) -> dict[str, Reading]:
        """Return counter -> its last good reading at or before `at_ns`, where there is one near enough. Raises StorageError."""
        journal, found = self._journal, dict[str, Reading]()
        end_s = self._clock.monotonic() + SEARCH_S
        until = min(await self._crossing(at_ns) + SLACK, journal.following)
        window = WINDOW_FIRST
        while until > journal.oldest and found.keys() < self._keys and self._clock.monotonic() < end_s:
            first = max(until - window, journal.oldest)
            newest: dict[str, Reading] = {}
            at = first
            while at < until:
                groups = await journal.fetch(at, until, CHUNK_READINGS)
                if not groups:
                    break
                at = groups[-1].id + 1
                for frame in self._own(frame for group in groups for frame in group.frames):
                    if frame.time_ns <= at_ns:
                        newest |= self._good(frame, NO_CLOSING)
            found = newest | found
            until, window = first, min(2 * window, WINDOW_MAX)
        return found

    async def opening(self, at_ns: int) -> dict[str, Reading]:
        """Return counter -> its first good reading at or after `at_ns`, where there is one near enough. Raises StorageError."""
        journal, found = self._journal, dict[str, Reading]()
        end_s = self._clock.monotonic() + SEARCH_S
        at = max(await self._crossing(at_ns) - SLACK, journal.oldest)
        until = journal.following
        while at < until and found.keys() < self._keys and self._clock.monotonic() < end_s:
            groups = await journal.fetch(at, until, CHUNK_READINGS)
            if not groups:
                break
            at = groups[-1].id + 1
            for frame in self._own(frame for group in groups for frame in group.frames):
                if frame.time_ns >= at_ns:
                    found = self._good(frame, NO_OPENING) | found
        return found

    def _own(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        return (frame for frame in frames if frame.layout.meter == self._meter and self._fits(frame.layout))

    def _good(self, frame: Frame, doubts: int) -> dict[str, Reading]:
        """Return the readings of a frame that carry none of these flags."""
        found = {}
        for i, channel in enumerate(frame.layout.channels):
            if channel.key in self._keys and not frame.flags[i] & doubts:
                exact = frame.layout.exact(frame.raw, i)
                if exact is not None:
                    found[channel.key] = Reading(exact, channel.unit, frame.time_ns, "journal")
        return found

    async def _crossing(self, at_ns: int) -> int:
        """Return the id of the first group that reaches `at_ns`; times rise with ids, but for a step of the clock."""
        low, high = self._journal.oldest, self._journal.following
        while low < high:
            middle = (low + high) // 2
            rows = await self._journal.spans(middle, high, 1)
            if not rows or rows[0][2] >= at_ns:
                high = middle
            else:
                low = rows[0][0] + 1
        return low

"""The watch over one link: what it is at, since when, and whether that takes longer than anything may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import LinkDown

if TYPE_CHECKING:
    from gateway.interfaces import Clock

HANG_CYCLES = 3  # times the shortest period or the longest timeout that one thing on a link may take
HANG_MIN_S = 60.0
HANG_MAX_S = 600.0  # if no timeout is longer than a third of it
LOOK_S = 15.0  # between two looks
CLOSE_S = 2.0  # patience with a driver that closes, or ends what it is at
END_S = 1.0  # patience with an errand that was given up: less, or its link would be taken for one that obeys no more


class Hung(LinkDown):
    """One thing on the link took longer than anything may."""

    reason = "hang"


class Watch:
    """Knows what the link's owner is at: opening, one poll, one errand, or nothing."""

    def __init__(self, clock: Clock, shortest_s: float, timeout_s: float) -> None:
        """shortest_s: the shortest period of the link. timeout_s: the longest in use."""
        self._clock, self._shortest_s, self.timeout_s = clock, shortest_s, timeout_s
        self.began_s = 0.0  # the thing under way, or the last one
        self.is_busy = False

    @property
    def limit_s(self) -> float:
        """Return how long one thing may take."""
        return max(HANG_MIN_S, min(HANG_CYCLES * self._shortest_s, HANG_MAX_S), HANG_CYCLES * self.timeout_s)

    @property
    def cost_s(self) -> float:
        """Return what the thing under way has taken until now."""
        return self._clock.monotonic() - self.began_s

    def begin(self) -> None:
        """Note that something begins."""
        self.began_s, self.is_busy = self._clock.monotonic(), True

    async def over(self, task: asyncio.Task[None]) -> None:
        """Return when the task has ended, however it did. Raises Hung if one thing takes too long; the task goes on then."""
        while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
            cost_s = round(self.cost_s, 3)
            if self.is_busy and cost_s >= self.limit_s:
                raise Hung(f"nothing was completed for {cost_s:g} s; the link is closed and opened anew")


async def ended(task: asyncio.Task[None]) -> bool:
    """Return whether a task has ended, by itself or because it was told to."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CLOSE_S)
    if task.done() and not task.cancelled():
        task.exception()  # looked at: it was raised to whoever waited, or came too late for anybody
    return task.done()

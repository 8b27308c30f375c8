"""When something on a link takes longer than anything may."""

from __future__ import annotations

import asyncio

from gateway.errors import LinkDown

HANG_CYCLES = 3  # times the shortest period or the longest timeout that one thing on a link may take
HANG_MIN_S = 60.0
HANG_MAX_S = 600.0  # if no timeout is longer than a third of it
CLOSE_S = 2.0  # patience with a driver that closes, or ends what it is at


class Hung(LinkDown):
    """One thing on the link took longer than anything may."""

    reason = "hang"


def limit_s(shortest_s: float, timeout_s: float) -> float:
    """Return how long one thing on a link may take. shortest_s: its shortest period; timeout_s: the longest in use."""
    return max(HANG_MIN_S, min(HANG_CYCLES * shortest_s, HANG_MAX_S), HANG_CYCLES * timeout_s)


async def ended(task: asyncio.Task[None]) -> bool:
    """Return whether a task has ended, by itself or because it was told to."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CLOSE_S)
    if task.done() and not task.cancelled():
        task.exception()  # looked at: it was raised to whoever waited, or came too late for anybody
    return task.done()

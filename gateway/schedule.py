"""The wall grid: polls fall on …:00, :10, :20, so samples of different meters belong to the same moment.

Due times are multiples of the period since 1970 UTC. Missed ones are skipped, never caught up in a burst.
"""

from __future__ import annotations

from heapq import heappush, heapreplace


def next_due(now_ns: int, period_ns: int) -> int:
    """Return the first grid time strictly after `now_ns`."""
    return (now_ns // period_ns + 1) * period_ns


class Timetable:
    """Which target is due next; targets due together come in the order they were added."""

    def __init__(self, periods_ns: list[int], now_ns: int, *, at_once: bool = False) -> None:
        """periods_ns: one per target. The first due time of each is the next on its grid; at_once: the last one was."""
        self._periods_ns = periods_ns
        self._heap: list[tuple[int, int]] = []
        for target, period_ns in enumerate(periods_ns):
            heappush(self._heap, (next_due(now_ns, period_ns) - (period_ns if at_once else 0), target))

    def head(self) -> tuple[int, int]:
        """Return (due_ns, target) of what is due first."""
        return self._heap[0]

    def done(self, now_ns: int, pause_ns: int = 0) -> int:
        """Move the first target on to its next due time after now (+ pause); return the due times skipped."""
        due_ns, target = self._heap[0]
        period_ns = self._periods_ns[target]
        following = next_due(max(now_ns + pause_ns, due_ns), period_ns)
        heapreplace(self._heap, (following, target))
        return 0 if pause_ns else (following - due_ns) // period_ns - 1

    def restart(self, now_ns: int) -> None:
        """Forget all due times and take the next on each grid: after a step of the clock or a lost link."""
        targets = sorted(target for _, target in self._heap)
        self._heap = []
        for target in targets:
            heappush(self._heap, (next_due(now_ns, self._periods_ns[target]), target))

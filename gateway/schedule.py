"""The wall grid: polls fall on …:00, :10, :20, so samples of different meters belong to the same moment.

Due times are multiples of the period since 1970 UTC. Missed ones are skipped, never caught up in a burst.
"""

from __future__ import annotations

from heapq import heapify, heapreplace


def next_due(now_ns: int, period_ns: int) -> int:
    """Return the first grid time strictly after `now_ns`."""
    return (now_ns // period_ns + 1) * period_ns


class Timetable:
    """Which target is due next; targets due together come in the order they were added."""

    def __init__(self, periods_ns: list[int], now_ns: int) -> None:
        """periods_ns: one per target. The first due time of each is the next on its grid."""
        self._periods_ns = periods_ns
        self._asked_ns = [now_ns] * len(periods_ns)  # when each was asked last
        self._dues_ns = [next_due(now_ns, period_ns) for period_ns in periods_ns]
        self._heap: list[tuple[int, int]] = []  # (when to look at it, target)
        self.held: set[int] = set()  # targets whose turn is put off until others have had theirs
        self._sort()

    def _sort(self) -> None:
        self.held.clear()
        self._heap = [(due_ns, target) for target, due_ns in enumerate(self._dues_ns)]
        heapify(self._heap)

    def head(self) -> tuple[int, int]:
        """Return (when_ns, target) of what is to be looked at first."""
        return self._heap[0]

    def due_ns(self, target: int) -> int:
        """Return for when a target is due, whether it is held or not."""
        return self._dues_ns[target]

    def due_by(self, until_ns: int) -> list[int]:
        """Return the targets whose turn comes until then, those that are held left out."""
        return [target for when_ns, target in self._heap if when_ns <= until_ns and target not in self.held]

    def done(self, now_ns: int, pause_ns: int = 0, *, was_asked: bool = True) -> int:
        """Move the first target on to its next due time after now (+ pause); return the due times it passes unasked.

        was_asked: its due time was made use of; else that passes, too. After a pause `resume` tries it at once.
        """
        target = self._heap[0][1]
        due_ns, period_ns = self._dues_ns[target], self._periods_ns[target]
        following = next_due(max(now_ns + pause_ns, due_ns), period_ns)
        heapreplace(self._heap, (following, target))
        self._dues_ns[target] = following
        if self.held:
            self.held.discard(target)
        if not pause_ns:
            self._asked_ns[target] = now_ns
        return (following - due_ns) // period_ns - was_asked

    def catch_up(self, now_ns: int) -> int:
        """Let the first target be due for the last due time that has come; return how many passed before it."""
        target = self._heap[0][1]
        due_ns, period_ns = self._dues_ns[target], self._periods_ns[target]
        count = max((now_ns - due_ns) // period_ns, 0)
        self._dues_ns[target] = due_ns + count * period_ns
        return count

    def hold(self, until_ns: int) -> None:
        """Put the first target's turn off until then, or until `release`; it stays due."""
        target = self._heap[0][1]
        heapreplace(self._heap, (until_ns, target))
        self.held.add(target)

    def release(self) -> None:
        """Give all that are held their turn."""
        self._sort()

    def resume(self, now_ns: int, lost_ns: int) -> list[tuple[int, int, int]]:
        """After a lost link: what was not asked at its last due time is due now, once, in place of all it missed.

        lost_ns: when the link was lost. Returns (target, first due time, count) of what had passed before that.
        """
        passed = []
        for target, period_ns in enumerate(self._periods_ns):
            due_ns, last_ns = self._dues_ns[target], now_ns // period_ns * period_ns
            if self._asked_ns[target] < last_ns:
                count = (min(lost_ns, last_ns - 1) - due_ns) // period_ns + 1
                if count > 0:
                    passed.append((target, due_ns, count))
                self._dues_ns[target] = last_ns
        self._sort()
        return passed

    def lapsed(self, until_ns: int) -> list[tuple[int, int, int]]:
        """Return (target, first due time, count) of what was due until then and was not asked."""
        return [
            (target, due_ns, (until_ns - due_ns) // period_ns + 1)
            for target, (due_ns, period_ns) in enumerate(zip(self._dues_ns, self._periods_ns, strict=True))
            if due_ns <= until_ns
        ]

    def restart(self, now_ns: int) -> None:
        """Forget all due times and take the next on each grid: the clock was stepped."""
        self._asked_ns = [now_ns] * len(self._periods_ns)
        self._dues_ns = [next_due(now_ns, period_ns) for period_ns in self._periods_ns]
        self._sort()

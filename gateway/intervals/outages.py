"""States over time, and how they explain due times that have no frame. Times are on the line (`timeline`). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Span = tuple[int, int]  # half-open

EVER = 1 << 62


class Turns:
    """The states of one thing; each holds from its time on until the next."""

    __slots__ = ("states", "times")

    def __init__(self, times: Sequence[int] = (), states: Sequence[str] = ()) -> None:
        """In order of time."""
        self.times, self.states = list(times), list(states)

    @property
    def now(self) -> str:
        """Return the newest state, "" if there is none."""
        return self.states[-1] if self.states else ""

    def turn(self, at: int, state: str) -> None:
        """Take a new state from `at` on."""
        if self.times and self.times[-1] >= at:
            at = self.times.pop()
            self.states.pop()
        if self.now != state:
            self.times.append(at)
            self.states.append(state)

    def spans(self, *states: str) -> list[Span]:
        """Return when it was in one of these states."""
        return [
            (time, self.times[i + 1] if i + 1 < len(self.times) else EVER)
            for i, time in enumerate(self.times)
            if self.states[i] in states
        ]

    def forget(self, before: int) -> None:
        """Forget what ended before."""
        count = 0
        while count + 1 < len(self.times) and self.times[count + 1] <= before:
            count += 1
        if count:
            del self.times[:count], self.states[:count]

    def clamp(self, line: int) -> None:
        """Let nothing be later than `line`."""
        for i in range(len(self.times) - 1, -1, -1):
            if self.times[i] <= line:
                break
            self.times[i] = line

    def row(self) -> list[Any]:
        """Return it as plain JSON values, in the constructor's order."""
        return [self.times.copy(), self.states.copy()]


def in_slots(spans: Iterable[Span], shift: int, period_ns: int) -> list[Span]:
    """Return which due times (as multiples of the period, half-open) lie in spans of the line, in order."""
    found = [(-(-(a + shift) // period_ns), -(-(b + shift) // period_ns)) for a, b in spans]
    return sorted((a, b) for a, b in found if a < b)


def within(slots: Iterable[Span], first: int, until: int) -> list[Span]:
    """Return the parts of slots that lie in [first, until)."""
    return [(max(a, first), min(b, until)) for a, b in slots if a < until and b > first]


def without(slots: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """Return the parts of slots that are not in `taken`; both in order, `taken` may overlap."""
    found: list[Span] = []
    i, size = 0, len(taken)
    for start, until in slots:
        first = start
        while i < size and taken[i][1] <= first:  # over before this part and all that follow
            i += 1
        k = i
        while k < size and taken[k][0] < until and first < until:
            a, b = taken[k]
            if a > first:
                found.append((first, a))
            first = max(first, b)
            k += 1
        if first < until:
            found.append((first, until))
    return found


def count(slots: Iterable[Span]) -> int:
    """Return how many there are."""
    return sum(b - a for a, b in slots)

"""What closed while no feed was configured: nobody was told, and a receiver must not take a later revision for a hole. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.intervals.model import Interval

STRETCHES_MAX = 50


class Untold:
    """Stretches of time with intervals nobody was told of, and how many have closed since a feed was configured last."""

    def __init__(self, body: Mapping[str, Any] | None = None) -> None:
        """body: as `body` gave it; None: everything was told."""
        body = body or {}
        self._stretches: list[tuple[int, int]] = [
            (first, until) for first, until in body.get("stretches", ())
        ]
        paused = body.get("paused", (0, 0, 0))
        self._paused = (int(paused[0]), int(paused[1]), int(paused[2]))

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"stretches": [list(one) for one in self._stretches], "paused": list(self._paused)}

    def more(self, intervals: Sequence[Interval]) -> Untold:
        """Return it with intervals that are committed and not told."""
        if not intervals:
            return self
        first = min(one.start_ns for one in intervals)
        until = max(one.end_ns for one in intervals)
        begin, end, count = self._paused
        paused = (min(begin, first) if count else first, max(end, until), count + len(intervals))
        return Untold({"stretches": _joined([*self._stretches, (first, until)]), "paused": paused})

    def resume(self) -> dict[str, Any]:
        """Return the detail of the event that tells of the pause, {} if there was none; it is over."""
        first, until, count = self._paused
        self._paused = (0, 0, 0)
        return {"first_ns": first, "until_ns": until, "intervals": count} if count else {}

    def revised(self, intervals: Iterable[Interval]) -> list[Interval]:
        """Return those that revise what may never have been told."""
        return [
            one
            for one in intervals
            if one.rev and any(first <= one.start_ns < until for first, until in self._stretches)
        ]


def _joined(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches in order, joined where they touch; of too many near ones become one: telling twice harms nobody."""
    joined: list[tuple[int, int]] = []
    for first, until in sorted(stretches):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((first, until))
    while len(joined) > STRETCHES_MAX:
        nearest = min(range(1, len(joined)), key=lambda n: joined[n][0] - joined[n - 1][1])
        joined[nearest - 1 : nearest + 1] = [(joined[nearest - 1][0], joined[nearest][1])]
    return joined

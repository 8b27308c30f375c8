"""Which interval a time lies in, also while those of another length or time zone still run out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.intervals.grid import Grid, Span
from gateway.model import NS


class Turn(NamedTuple):
    """A grid that was in force, and until when: a boundary of the one after it."""

    until_ns: int
    grid: Grid


class Lengths:
    """The grid in force, and in `turns` those before it, oldest first.

    Nothing is left out and nothing overlaps: each ends where the next one has a boundary, its last interval shorter if need be.
    """

    def __init__(self, grid: Grid) -> None:
        """grid: the site's."""
        self._grid = grid
        self.turns: list[Turn] = []

    def span(self, time_ns: int) -> Span:
        """Return the interval a time lies in."""
        grid, until_ns = self._grid, None
        for turn in reversed(self.turns):
            if time_ns >= turn.until_ns:
                break
            until_ns, grid = turn
        start_ns = grid.start_of(time_ns)
        end_ns = start_ns + grid.length_ns
        return Span(start_ns, end_ns if until_ns is None else min(end_ns, until_ns))

    def first(self, from_ns: int) -> int:
        """Return the first boundary at that time or later."""
        span = self.span(from_ns)
        return from_ns if span.start_ns == from_ns else span.end_ns

    def turn(self, before: Grid, from_ns: int) -> None:
        """Let the grid before go on until the one in force has a boundary at `from_ns` or later."""
        from_ns = max([from_ns, *(turn.until_ns for turn in self.turns)])
        start_ns = self._grid.start_of(from_ns)
        until_ns = from_ns if start_ns == from_ns else start_ns + self._grid.length_ns
        if not self.turns or until_ns > self.turns[-1].until_ns:
            self.turns.append(Turn(until_ns, before))

    def passed(self, before_ns: int) -> None:
        """Forget grids that are asked for no more."""
        self.turns = [turn for turn in self.turns if turn.until_ns > before_ns]

    def rows(self) -> list[list[int | str]]:
        """Return the turns as plain JSON values."""
        return [[turn.until_ns, turn.grid.zone, turn.grid.length_ns] for turn in self.turns]


def turn_from(until_ns: int, zone: str, length_ns: int) -> Turn:
    """Return a turn of its row."""
    return Turn(until_ns, Grid(zone, length_ns // NS))

"""Frames of one meter out of the journal, collected again as the engine does it; what counts as a boundary reading is the same. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.intervals.collecting import Candidate, Fact, Lane, Stretch
from gateway.intervals.model import NOT_GOOD

if TYPE_CHECKING:
    from gateway.intervals.collecting import Cell
    from gateway.intervals.grid import Grid
    from gateway.layout import Layout
    from gateway.model import Frame

Key = tuple[int, int]  # epoch, start of an interval or boundary
_BAD = int(NOT_GOOD)


def lane_of(layout: Layout, reported: Layout) -> Lane:
    """Return the lane of a corrected layout. reported: of the same channels; those it reports enter intervals, whatever is said today."""
    channels = tuple(
        replace(own, report=was.report) for own, was in zip(layout.channels, reported.channels, strict=True)
    )
    lane = Lane(replace(layout, channels=channels))
    lane.layout = layout
    return lane


class Collected:
    """Cells and boundary readings of a stretch of time, by one rule.

    there: cell -> due times with a frame. times: boundary -> when the frames near it were taken.
    """

    def __init__(self, grid: Grid, after_ns: int) -> None:
        """after_ns: a boundary reading is no longer after it than this."""
        self._grid, self._after_ns = grid, after_ns
        self.stretches: dict[Key, Stretch] = {}
        self.edges: dict[Key, dict[str, Candidate]] = {}
        self.times: dict[Key, set[int]] = {}
        self.there: dict[Cell, int] = {}
        self.facts: dict[str, Fact] = {}

    def boundary(self, time_ns: int) -> int | None:
        """Return the boundary a time is near to, None if to none."""
        start_ns = self._grid.start_of(time_ns)
        end_ns = start_ns + self._grid.length_ns
        if time_ns - start_ns <= self._after_ns:
            return start_ns
        return end_ns if end_ns - time_ns <= self._grid.tolerance_ns else None

    def take(self, frame: Frame, lane: Lane) -> None:
        """Take the next frame of a lane's layout."""
        slot_ns = frame.time_ns - frame.time_ns % lane.period_ns
        cell = lane.cell
        if frame.epoch != lane.epoch or not cell.start_ns <= slot_ns < cell.end_ns:
            cell = self._enter(lane, frame.epoch, slot_ns)
        if slot_ns != cell.last_ns:
            self.there[cell] += 1
        lane.put(frame, cell, slot_ns)
        if lane.counters:
            self._near(lane, frame)

    def _enter(self, lane: Lane, epoch: int, slot_ns: int) -> Cell:
        for tally in lane.cell.tallies.values():
            tally.settle()  # sums are small, what they are made of is not
        key = epoch, self._grid.start_of(slot_ns)
        if key not in self.stretches:
            self.stretches[key] = Stretch(*key, key[1] + self._grid.length_ns)
        cell = self.stretches[key].cell(lane.meter, lane.period_s)
        self.there.setdefault(cell, 0)
        self.facts |= {fact.key: fact for fact in lane.facts.channels}
        lane.epoch = epoch
        lane.enter(cell)
        return cell

    def _near(self, lane: Lane, frame: Frame) -> None:
        time_ns = frame.time_ns
        boundary_ns = self.boundary(time_ns)
        if boundary_ns is None:
            return
        key = frame.epoch, boundary_ns
        self.times.setdefault(key, set()).add(time_ns)
        known = self.edges.setdefault(key, {})
        distance_ns = abs(time_ns - boundary_ns)
        for i, name in lane.counters:
            flags = frame.flags[i]
            old = known.get(name)
            if flags & _BAD:
                continue
            if old is None or (distance_ns, time_ns) < (abs(old.time_ns - boundary_ns), old.time_ns):
                known[name] = Candidate(time_ns, flags, frame.layout, frame.raw, i)

    def cells(self, meter: str, key: Key, channel: str) -> list[Cell]:
        """Return the cells of an interval that bring a channel."""
        stretch = self.stretches.get(key)
        cells = stretch.cells.get(meter, {}) if stretch else {}
        return [cell for _, cell in sorted(cells.items()) if cell.brings(channel)]

    def periods(self, meter: str, key: Key) -> dict[float, Cell]:
        """Return the cells of an interval by period."""
        stretch = self.stretches.get(key)
        return stretch.cells.get(meter, {}) if stretch else {}

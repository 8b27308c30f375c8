"""What the engine remembers, and frames on their way into it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.intervals.collecting import NO_CELL, Candidate, Edge, Lane, Stretch, Table
from gateway.intervals.expected import Expectation
from gateway.intervals.model import NOT_GOOD
from gateway.intervals.turns import Lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.intervals.amounts import Split
    from gateway.intervals.collecting import Cell, Facts
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Cause, Interval
    from gateway.intervals.redoing import Redo
    from gateway.layout import Layout
    from gateway.model import Frame

NEVER = 2**63 - 1
_BAD = int(NOT_GOOD)


def _unmarked(_meter: str, _start_ns: int) -> str:
    return ""


class Intake:
    """What is open, and what of the newest closed intervals is needed to make them anew.

    progress_ns: newest time of the epoch in force. redo: what only journal and history can make anew; take and clear.
    too_late: (meter, time_ns) of frames for intervals that are kept no more; take and clear. keep_ns: what is due further behind
    the progress is not made unless something was collected for it. skipped: [epoch, from, to) of such; take and clear.
    mark: meter and start -> state of its instrument's verification, for intervals made from now on.
    """

    def __init__(self, grid: Grid, grace_ns: int, expectation: Expectation | None = None) -> None:
        """grace_ns: an interval closes so long after its end."""
        self.grid, self.grace_ns = grid, grace_ns
        self.lengths = Lengths(grid)
        self.keep_ns = NEVER
        self.skipped: list[tuple[int, int, int]] = []
        self.mark: Callable[[str, int], str] = _unmarked
        self.expectation = Expectation() if expectation is None else expectation
        self.epoch, self.progress_ns = -1, 0
        self.redo: list[Redo] = []
        self.too_late: list[tuple[str, int]] = []
        self.after_ns = min(grid.tolerance_ns, grace_ns)
        self.open_ns: int | None = None  # start of the first interval that is open
        self.begins: dict[int, int] = {}  # epoch -> when it began
        self.open: dict[tuple[int, int], Stretch] = {}
        self.kept: dict[tuple[int, int], Stretch] = {}
        self.edges: dict[tuple[int, int], Edge] = {}  # (epoch, boundary)
        self.learned: dict[str, dict[float, Facts]] = {}
        self.splits: dict[str, list[Split]] = {}
        self.dirty: dict[tuple[int, int, str], Cause] = {}  # (epoch, start, meter)
        self.revise_ns = NEVER
        self.waiting: list[tuple[int, int, Redo]] = []  # (epoch, until, replay)
        self.made: list[Interval] = []
        self._lanes: dict[Layout, Lane] = {}
        self.names: Table[str] = Table()
        self.facts: Table[Facts] = Table()
        self._wake_ns = NEVER
        self._note_frame = self.expectation.frame

    @property
    def behind(self) -> bool:
        """Return whether intervals are due that `close` has not made yet, because it was given a limit."""
        return self.progress_ns >= self._wake_ns

    def _frame(self, frame: Frame) -> None:
        lane = self._lanes.get(frame.layout)
        if lane is None or frame.epoch != lane.epoch:
            lane = self._lane(frame)
        time_ns = frame.time_ns
        self._note_frame(lane.meter, lane.period_s, lane.epoch, time_ns)
        slot_ns = time_ns - time_ns % lane.period_ns
        cell = lane.cell
        if not cell.from_ns <= slot_ns < cell.end_ns:
            cell = self._cell(lane, slot_ns, time_ns)
        if cell is not NO_CELL:
            lane.put(frame, cell, slot_ns)
        if lane.counters and not lane.calm_from_ns < time_ns < lane.calm_to_ns:
            self._near_boundary(lane, frame)
        if time_ns > self.progress_ns and lane.epoch == self.epoch:
            self.progress_ns = time_ns

    def _lane(self, frame: Frame) -> Lane:
        """Return the lane of a frame whose layout or epoch is another one than before."""
        if frame.epoch != self.epoch:
            self._note_frame(frame.layout.meter, frame.layout.period_s, frame.epoch, frame.time_ns)
            self._follow_epoch(frame.time_ns)
        lane = self._lanes.get(frame.layout)
        if lane is None:
            lane = self._lanes[frame.layout] = Lane(frame.layout)
            learned = self.learned.setdefault(lane.meter, {})
            lane.facts = learned[lane.period_s] = self.facts.same(lane.facts)
        lane.epoch, lane.cell = frame.epoch, NO_CELL
        lane.calm_from_ns = lane.calm_to_ns = 0
        return lane

    def _cell(self, lane: Lane, slot_ns: int, time_ns: int) -> Cell:
        """Return where a frame of that due time belongs; NO_CELL if nowhere any more. A closed interval is made anew."""
        start_ns = self.lengths.span(slot_ns).start_ns
        key = lane.epoch, start_ns
        begin_ns = self.begins.get(lane.epoch, -1)
        if slot_ns < begin_ns:
            return NO_CELL  # never due: the epoch had no such time
        stretch = self.kept.get(key)
        if stretch is not None and slot_ns < stretch.end_ns:
            cell = stretch.cell(lane.meter, lane.period_s)
            cell.from_ns = cell.end_ns
            stretch.text = None
            self._revise_later(key, lane.meter, "late")
        elif lane.epoch == self.epoch and self.open_ns is not None and start_ns >= self.open_ns:
            cell = self._stretch(key).cell(lane.meter, lane.period_s)
            cell.from_ns = max(start_ns, begin_ns)
        else:
            self.too_late.append((lane.meter, time_ns))
            return NO_CELL
        lane.enter(cell)
        return cell

    def _stretch(self, key: tuple[int, int]) -> Stretch:
        if key not in self.open:
            self.open[key] = Stretch(*key, self.lengths.span(key[1]).end_ns)
        return self.open[key]

    def _near_boundary(self, lane: Lane, frame: Frame) -> None:
        """Keep a frame's good counters if none was nearer to the boundary it is near to; else say how long it is calm."""
        time_ns = frame.time_ns
        start_ns, end_ns = self.lengths.span(time_ns)
        if time_ns - start_ns <= self.after_ns:
            boundary_ns, before_ns = start_ns, self.lengths.span(start_ns - 1).start_ns
        elif end_ns - time_ns <= self.grid.tolerance_ns:
            boundary_ns, before_ns = end_ns, start_ns
        else:
            lane.calm_from_ns = start_ns + self.after_ns
            lane.calm_to_ns = end_ns - self.grid.tolerance_ns
            return
        key = lane.epoch, boundary_ns
        before = lane.epoch, before_ns
        edge = self.edges.get(key)
        if edge is None:
            if not (self._is_there(key) or self._is_there(before)):
                return
            edge = self.edges[key] = Edge()
        known = edge.known.setdefault(lane.meter, {})
        distance_ns, nearer = abs(time_ns - boundary_ns), False
        for i, name in lane.counters:
            flags = frame.flags[i]
            if flags & _BAD:
                continue
            old = known.get(name)
            if old is None or (distance_ns, time_ns) < (abs(old.time_ns - boundary_ns), old.time_ns):
                known[name] = Candidate(time_ns, flags, frame.layout, frame.raw, i)
                nearer = True
        if nearer:
            edge.text = None
            for neighbour in (before, key):
                if neighbour in self.kept:
                    self._revise_later(neighbour, lane.meter, "late")

    def _is_there(self, key: tuple[int, int]) -> bool:
        """Return whether an interval is open, is to come, or is kept."""
        epoch, start_ns = key
        is_open = epoch == self.epoch and self.open_ns is not None and start_ns >= self.open_ns
        return is_open or key in self.kept

    def _neighbours(
        self, meter: str, stretch: Stretch
    ) -> tuple[Mapping[str, Candidate], Mapping[str, Candidate]]:
        """Return the candidates at start and end of an interval."""
        ends = ((stretch.epoch, stretch.start_ns), (stretch.epoch, stretch.end_ns))
        first, last = (self.edges[end].known.get(meter, {}) if end in self.edges else {} for end in ends)
        return first, last

    def _set_alarm(self) -> None:
        """Set the time at which there is something to close or to make anew."""
        self._wake_ns = self.revise_ns
        if self.open_ns is not None:
            self._wake_ns = min(self._wake_ns, self.lengths.span(self.open_ns).end_ns + self.grace_ns)

    def _revise_later(self, key: tuple[int, int], meter: str, cause: Cause) -> None:
        """Make a closed interval anew once a grace has passed, so that what comes together makes one revision."""
        entry = *key, meter
        if cause != "late" or entry not in self.dirty:
            self.dirty[entry] = cause
        if self.revise_ns == NEVER:
            self.revise_ns = self.progress_ns + self.grace_ns
            self._set_alarm()

    def _follow_epoch(self, time_ns: int) -> None:
        raise NotImplementedError

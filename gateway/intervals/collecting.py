"""What is collected of the frames of an interval until it closes: doubts by due time, gauges, readings near boundaries. Pure.

Made for the hot path: what is the same for every frame of a layout is found out once (`Lane`), and nothing is decoded before an
interval closes or is stored.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from gateway.intervals.amounts import Tally
from gateway.intervals.model import NOT_GOOD, Boundary, Reason
from gateway.model import NS, Flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from decimal import Decimal

    from gateway.layout import Layout
    from gateway.model import Frame, Kind

_BAD = int(NOT_GOOD)
_MAINTENANCE, _COMMS = int(Flag.MAINTENANCE), int(Flag.COMMS)


def reason_of(flags: int) -> Reason:
    """Return why a reading with these flags, not good ones, is missing: the first line of gap-reasons.md that applies."""
    if flags & _MAINTENANCE:
        return "maintenance"
    return "meter_off" if flags & _COMMS else "rejected"


class Fact(NamedTuple):
    """What is known of a reported channel. modulus: decimal text, None where it is not documented."""

    key: str
    unit: str
    kind: Kind
    period_s: float
    modulus: str | None


class Facts(NamedTuple):
    """What an interval says of a meter beside readings: its reported channels, in order of their keys."""

    energy_kind: str
    channels: tuple[Fact, ...]


class Candidate:
    """A good reading near a boundary, decoded when it is wanted. scale: coefficient it is read with."""

    __slots__ = ("_layout", "_place", "_raw", "_reading", "flags", "scale", "time_ns")

    def __init__(self, time_ns: int, flags: int, layout: Layout, raw: bytes, place: int) -> None:
        """raw: the sample's; place: the channel's number in the layout."""
        self.time_ns, self.flags = time_ns, flags
        self._layout: Layout | None = layout
        self._raw, self._place = raw, place
        self.scale = layout.slots[place].coefficient
        self._reading: Decimal | None = None

    @classmethod
    def of(cls, time_ns: int, flags: int, reading: Decimal | None, scale: str) -> Candidate:
        """Return one that is decoded already."""
        self = cls.__new__(cls)
        self.time_ns, self.flags, self.scale = time_ns, flags, scale
        self._layout, self._raw, self._place, self._reading = None, b"", 0, reading
        return self

    def boundary(self) -> Boundary | None:
        """Return the reading; None where the bytes hold none after all."""
        if self._layout is not None:
            self._reading = self._layout.exact(self._raw, self._place)
            self._layout, self._raw = None, b""
        return None if self._reading is None else Boundary(self._reading, self.time_ns, self.flags)


class Cell:
    """One period of one meter in one interval of an epoch.

    from_ns: start while the interval is open, its end once it is closed, so that what is late takes the slow way.
    last_ns: newest due time with a frame, -1 before the first. flags: channel -> all that occurred. bad: channel -> runs of
    due times whose reading was not good, [first, last, reason]. tallies: of gauges. layouts: digests, in order. facts: of them.
    """

    __slots__ = ("bad", "end_ns", "facts", "flags", "from_ns", "last_ns", "layouts", "start_ns", "tallies")

    def __init__(self, start_ns: int, end_ns: int) -> None:
        """Nothing has come."""
        self.start_ns = self.from_ns = start_ns
        self.end_ns = end_ns
        self.last_ns = -1
        self.flags: dict[str, int] = {}
        self.bad: dict[str, list[list[Any]]] = {}
        self.tallies: dict[str, Tally] = {}
        self.layouts: list[str] = []
        self.facts: list[Facts] = []

    def brings(self, key: str) -> bool:
        """Return whether a channel is among those its layouts report."""
        return any(key == fact.key for facts in self.facts for fact in facts.channels)

    def bad_of(self, key: str, due: Sequence[int]) -> Iterator[tuple[Reason, int]]:
        """Yield how many of the due times had a reading that was not good, by reason, one run after another."""
        for first_ns, last_ns, reason in self.bad.get(key, ()):
            number = bisect_right(due, last_ns) - bisect_left(due, first_ns)
            if number > 0:
                yield cast("Reason", reason), number


T = TypeVar("T", bound=Hashable)


class Table(Generic[T]):
    """Values, each once, by the number they got when they first came."""

    def __init__(self, values: Iterable[T] = ()) -> None:
        """values: in order of their numbers."""
        self.values = list(values)
        self._numbers = {value: i for i, value in enumerate(self.values)}

    def number(self, value: T) -> int:
        """Return a value's number."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values)
            self.values.append(value)
        return found

    def same(self, value: T) -> T:
        """Return the one of all equal values that is kept."""
        return self.values[self.number(value)]


class Edge:
    """A boundary: meter -> channel -> the nearest good reading. text: as it was stored, None since it changed."""

    __slots__ = ("known", "text")

    def __init__(self) -> None:
        """No reading is near."""
        self.known: dict[str, dict[str, Candidate]] = {}
        self.text: str | None = None


class Stretch:
    """One interval of one epoch, all meters. cells: meter -> period -> cell.

    made: meter -> (facts, newest revision), once it is closed; None while it is open. text: as it was stored, None since it changed.
    """

    __slots__ = ("cells", "end_ns", "epoch", "made", "start_ns", "text")

    def __init__(self, epoch: int, start_ns: int, end_ns: int) -> None:
        """Nothing has come."""
        self.epoch, self.start_ns, self.end_ns = epoch, start_ns, end_ns
        self.cells: dict[str, dict[float, Cell]] = {}
        self.made: dict[str, tuple[Facts, int]] | None = None
        self.text: str | None = None

    def cell(self, meter: str, period_s: float) -> Cell:
        """Return the cell of a period of a meter, a new one if there is none."""
        cells = self.cells.setdefault(meter, {})
        if period_s not in cells:
            cells[period_s] = Cell(self.start_ns, self.end_ns)
        return cells[period_s]

    def set_made(self, meter: str, facts: Facts, rev: int) -> None:
        """Keep as what the interval of a meter was made last."""
        assert self.made is not None
        self.made[meter], self.text = (facts, rev), None

    def shut(self) -> None:
        """Let what comes from now on be late."""
        self.made, self.text = {}, None
        for cells in self.cells.values():
            for cell in cells.values():
                cell.from_ns = cell.end_ns


NO_CELL = Cell(0, 0)
"""Holds no time, so a lane with it looks for its cell."""


class Lane:
    """Frames of one layout on their way into cells. cell: the one the last frame went into.

    calm: no boundary is near while calm_from_ns < time < calm_to_ns.
    """

    __slots__ = (
        "calm_from_ns",
        "calm_to_ns",
        "cell",
        "counters",
        "epoch",
        "facts",
        "gauges",
        "layout",
        "meter",
        "period_ns",
        "period_s",
        "reported",
    )

    def __init__(self, layout: Layout) -> None:
        """layout: of the frames."""
        self.layout = layout
        self.meter, self.period_s = layout.meter, layout.period_s
        self.period_ns = max(round(layout.period_s * NS), 1)
        reported = [(i, channel) for i, channel in enumerate(layout.channels) if channel.report]
        self.reported = tuple((i, channel.key) for i, channel in reported)
        self.counters = tuple((i, channel.key) for i, channel in reported if channel.kind == "counter")
        self.gauges = tuple(
            (i, channel.key, layout.starts[i], layout.starts[i] + layout.slots[i].size)
            for i, channel in reported
            if channel.kind == "gauge"
        )
        channels = (Fact(c.key, c.unit, c.kind, self.period_s, c.modulus) for _, c in reported)
        self.facts = Facts(layout.energy_kind, tuple(sorted(channels)))
        self.epoch, self.cell = -1, NO_CELL
        self.calm_from_ns = self.calm_to_ns = 0

    def enter(self, cell: Cell) -> None:
        """Go on in a cell."""
        self.cell = cell
        if self.layout.digest not in cell.layouts:
            cell.layouts.append(self.layout.digest)
        if self.facts not in cell.facts:
            cell.facts.append(self.facts)
        for _, key, _, _ in self.gauges:
            cell.tallies.setdefault(key, Tally())

    def put(self, frame: Frame, cell: Cell, slot_ns: int) -> None:
        """Collect a frame that stands for a due time; a second one for it counts where the first was not good."""
        flags = frame.flags
        if slot_ns == cell.last_ns:
            self._again(frame, cell, slot_ns)
            return
        cell.last_ns = slot_ns
        for i, key in self.reported:
            found = flags[i]
            if found:
                cell.flags[key] = cell.flags.get(key, 0) | found
                if found & _BAD:
                    self._note_bad(cell, key, slot_ns, found)
        for i, key, begin, end in self.gauges:
            if not flags[i] & _BAD:
                self._count(cell.tallies[key], i, frame.raw[begin:end])

    def _count(self, tally: Tally, place: int, piece: bytes) -> None:
        if tally.layout is not self.layout:  # what another layout's frames left is decoded by its own rule
            tally.read_by(self.layout, place)
        tally.counts[piece] = tally.counts.get(piece, 0) + 1

    def _note_bad(self, cell: Cell, key: str, slot_ns: int, flags: int) -> None:
        reason = reason_of(flags)
        runs = cell.bad.setdefault(key, [])
        if runs and runs[-1][1] == slot_ns - self.period_ns and runs[-1][2] == reason:
            runs[-1][1] = slot_ns
        else:
            runs.append([slot_ns, slot_ns, reason])

    def _again(self, frame: Frame, cell: Cell, slot_ns: int) -> None:
        gauges = {key: (begin, end) for _, key, begin, end in self.gauges}
        for i, key in self.reported:
            found = frame.flags[i]
            if found:
                cell.flags[key] = cell.flags.get(key, 0) | found
            runs = cell.bad.get(key)
            if found & _BAD or not runs or runs[-1][1] != slot_ns:
                continue
            if runs[-1][0] == slot_ns:
                runs.pop()
            else:
                runs[-1][1] = slot_ns - self.period_ns
            if key in gauges:
                begin, end = gauges[key]
                self._count(cell.tallies[key], i, frame.raw[begin:end])

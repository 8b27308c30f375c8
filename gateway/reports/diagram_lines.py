"""The lines of a network diagram: from each box one trunk in the gap to the next layer, from it a branch to each target. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.reports.diagram_model import BOX_WIDTH, Placed, PlacedArrow, PlacedBox

if TYPE_CHECKING:
    from gateway.reports.diagram_model import Cell, Piece

LEAD = 18
"""Of a line before its trunk."""
TRACK = 12
"""Between two trunks."""
LABEL_WIDTH = 140
"""Of the last stretch before a box: circle and labels."""
PASS_WIDTH = 14
MARGIN = 5
"""Lines of different arrows are never nearer than this along their way."""

UPON_COST = 1000


@dataclass(slots=True)
class Trunk:
    """The lines that leave one cell towards the next layer."""

    source: str
    exit: float
    entries: list[float]
    track: int = 0

    @property
    def span(self) -> tuple[float, float]:
        """Return its upper and lower end."""
        return min(self.exit, *self.entries), max(self.exit, *self.entries)


def route(layers: list[list[Cell]], pieces: list[Piece], cells: dict[str, Cell]) -> Placed:
    """Return the drawing: x of each layer, and the lines."""
    leaving: dict[int, list[Piece]] = defaultdict(list)
    for piece in pieces:
        leaving[cells[piece.source].layer].append(piece)
    xs = [0.0]
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    labels: dict[str, tuple[float, float]] = {}
    junctions: list[tuple[float, float]] = []
    for layer in range(len(layers) - 1):
        trunks = _trunks(leaving[layer], cells)
        left = xs[-1] + BOX_WIDTH
        first = left + LEAD
        tracks = 1 + max((trunk.track for trunk in trunks.values()), default=0)
        labelled = any(not cells[piece.target].is_slot for piece in leaving[layer])
        right = first + TRACK * tracks + (LABEL_WIDTH if labelled else PASS_WIDTH)
        for piece in leaving[layer]:
            trunk, entry = trunks[piece.source], cells[piece.target].ins[piece.key]
            x = first + TRACK * trunk.track
            lines[piece.arrow] += [(left, trunk.exit), (x, trunk.exit), (x, entry), (right, entry)]
            if cells[piece.target].is_slot:
                lines[piece.arrow].append((right + BOX_WIDTH, entry))
            labels[piece.arrow] = (right - LABEL_WIDTH / 2, entry)
        for trunk in trunks.values():
            junctions += [(first + TRACK * trunk.track, y) for y in _branchings(trunk)]
        xs.append(right)
    boxes = [
        PlacedBox(cell.key, xs[n], cell.y, BOX_WIDTH, cell.height)
        for n, layer_cells in enumerate(layers)
        for cell in layer_cells
        if not cell.is_slot
    ]
    height = max(cell.y + cell.height for cell in cells.values())
    arrows = [PlacedArrow(key, _corners(line), labels[key]) for key, line in lines.items()]
    return Placed(xs[-1] + BOX_WIDTH, height, tuple(boxes), tuple(arrows), tuple(junctions))


def _trunks(pieces: list[Piece], cells: dict[str, Cell]) -> dict[str, Trunk]:
    """Return the trunk of each cell that something leaves, with its track, the first being the leftmost."""
    by_source: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_source[piece.source].append(piece)
    trunks: list[Trunk] = []
    for source, own in by_source.items():
        entries = sorted(cells[piece.target].ins[piece.key] for piece in own)
        foreign = [cells[piece.target].ins[piece.key] for piece in pieces if piece.source != source]
        trunks.append(Trunk(source, _exit(cells[source], entries, foreign), entries))
    trunks.sort(key=lambda trunk: trunk.exit)
    _swap(trunks)
    for n, trunk in enumerate(trunks):
        low, high = trunk.span
        beside = [
            one.track + 1
            for one in trunks[:n]
            if one.span[0] <= high + MARGIN and low <= one.span[1] + MARGIN
        ]
        trunk.track = max(beside, default=0)
    return {trunk.source: trunk for trunk in trunks}


def _exit(cell: Cell, entries: list[float], foreign: list[float]) -> float:
    """Return where lines leave a cell: level with an entry of theirs if one is, never level with a foreign one."""
    if cell.is_slot:
        return next(iter(cell.ins.values()))
    room = cell.height / 2 - 8
    level = [y for y in entries if abs(y - cell.middle) <= room]
    nearest = sorted(level, key=lambda y: abs(y - cell.middle))
    steps = [sign * step for step in range(0, int(room), MARGIN) for sign in (1, -1)]
    for y in [*nearest, *(cell.middle + step for step in steps)]:
        if all(abs(y - other) >= MARGIN for other in foreign):
            return y
    return cell.middle


def _swap(trunks: list[Trunk]) -> None:
    """Bring trunks into an order with few crossings: neighbours change places as long as that saves some."""
    for _ in trunks:
        swapped = False
        for i in range(len(trunks) - 1):
            one, other = trunks[i], trunks[i + 1]
            if _cost(other, one) < _cost(one, other):
                trunks[i], trunks[i + 1] = other, one
                swapped = True
        if not swapped:
            return


def _cost(left: Trunk, right: Trunk) -> int:
    """Return how often the lines of two trunks cross if one stands left of the other; lying upon each other is worse."""
    low, high = left.span
    right_low, right_high = right.span
    upon = sum(abs(right.exit - y) < MARGIN for y in left.entries)
    return (
        UPON_COST * upon + (low < right.exit < high) + sum(right_low < y < right_high for y in left.entries)
    )


def _branchings(trunk: Trunk) -> list[float]:
    """Return where a branch leaves a trunk that goes on."""
    if len(trunk.entries) < 2:
        return []
    low, high = trunk.span
    inner = {y for y in [*trunk.entries, trunk.exit] if low < y < high}
    return sorted(inner | ({trunk.exit} if trunk.exit in trunk.entries else set()))


def _corners(line: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return a line without corners at which it does not turn."""
    kept: list[tuple[float, float]] = []
    for corner in line:
        if kept and kept[-1] == corner:
            continue
        if len(kept) > 1 and (
            kept[-2][1] == kept[-1][1] == corner[1] or kept[-2][0] == kept[-1][0] == corner[0]
        ):
            kept.pop()
        kept.append(corner)
    return tuple(kept)

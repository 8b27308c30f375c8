"""Where boxes and arrows of a network diagram lie: layers from left to right, nothing overlaps. Pure, deterministic.

Boxes stand in layers so that every arrow leads to the right; an arrow that crosses a layer passes through a slot of its own.
Order within layers by barycentre, places by isotonic regression, lines along one trunk for each source and gap.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.reports.diagram_lines import route
from gateway.reports.diagram_model import BOX_GAP, BOX_HEIGHT_MIN, PITCH, Cell, Piece

if TYPE_CHECKING:
    from gateway.reports.diagram_model import Arrow, Box, Placed

SWEEPS = 6


def place(boxes: list[Box], arrows: list[Arrow]) -> Placed:
    """Return where everything lies. The arrows must have no cycle and no arrow from a box to itself."""
    layer_of = _layers(boxes, arrows)
    cells, pieces = _cells(boxes, arrows, layer_of)
    layers = _ordered(cells)
    _set_heights(cells, pieces)
    _set_places(layers, cells)
    _set_entries(cells, pieces)
    return route(layers, pieces, cells)


def _layers(boxes: list[Box], arrows: list[Arrow]) -> dict[str, int]:
    """Return the layer of each box; without empty layers. What only gives stands directly before whom it gives to."""
    into: dict[str, list[str]] = defaultdict(list)
    out: dict[str, list[str]] = defaultdict(list)
    for arrow in arrows:
        into[arrow.target].append(arrow.source)
        out[arrow.source].append(arrow.target)
    waiting = {box.key: len(into[box.key]) for box in boxes}
    rank = {box.key: box.rank for box in boxes}
    ready = [box.key for box in boxes if not waiting[box.key]]
    found: dict[str, int] = {}
    for key in ready:  # grows while it is walked
        found[key] = max([rank[key], *(found[one] + 1 for one in into[key])]) if into[key] else 0
        for one in out[key]:
            waiting[one] -= 1
            if not waiting[one]:
                ready.append(one)
    for key in ready:
        if not into[key] and rank[key] and out[key]:
            found[key] = min(found[one] for one in out[key]) - 1
    used = sorted(set(found.values()))
    return {key: used.index(layer) for key, layer in found.items()}


def _cells(
    boxes: list[Box], arrows: list[Arrow], layer_of: dict[str, int]
) -> tuple[dict[str, Cell], list[Piece]]:
    cells = {box.key: Cell(box.key, False, layer_of[box.key]) for box in boxes}
    pieces: list[Piece] = []
    for arrow in arrows:
        previous = arrow.source
        for layer in range(layer_of[arrow.source] + 1, layer_of[arrow.target] + 1):
            is_last = layer == layer_of[arrow.target]
            key = arrow.target if is_last else f"{arrow.key}\0{layer}"
            if not is_last:
                cells[key] = Cell(key, True, layer)
            pieces.append(Piece(f"{arrow.key}\0{layer}", arrow.key, previous, key))
            cells[previous].targets.append(key)
            cells[key].sources.append(previous)
            previous = key
    return cells, pieces


def _ordered(cells: dict[str, Cell]) -> list[list[Cell]]:
    """Return the layers, each in the order with the fewest crossings that a few sweeps find."""
    layers: list[list[Cell]] = [[] for _ in range(max(cell.layer for cell in cells.values()) + 1)]
    for cell in cells.values():
        layers[cell.layer].append(cell)
    best = [list(layer) for layer in layers]
    fewest = _crossings(layers)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        walk = range(1, len(layers)) if down else range(len(layers) - 2, -1, -1)
        for i in walk:
            beside = {cell.key: float(n) for n, cell in enumerate(layers[i - 1 if down else i + 1])}
            _sort_layer(layers[i], beside, down)
        crossings = _crossings(layers)
        if crossings < fewest:
            fewest, best = crossings, [list(layer) for layer in layers]
    return best


def _sort_layer(layer: list[Cell], beside: dict[str, float], down: bool) -> None:
    """Sort a layer by the mean place of each cell's neighbours; one without neighbours keeps its place."""
    wanted = {}
    for n, cell in enumerate(layer):
        near = [beside[key] for key in (cell.sources if down else cell.targets)]
        wanted[cell.key] = sum(near) / len(near) if near else float(n)
    layer.sort(key=lambda cell: wanted[cell.key])


def _crossings(layers: list[list[Cell]]) -> int:
    total = 0
    for i in range(len(layers) - 1):
        place_of = {cell.key: n for n, cell in enumerate(layers[i + 1])}
        ends = [place_of[key] for cell in layers[i] for key in sorted(cell.targets, key=place_of.__getitem__)]
        total += sum(ends[b] < ends[a] for a in range(len(ends)) for b in range(a + 1, len(ends)))
    return total


def _set_heights(cells: dict[str, Cell], pieces: list[Piece]) -> None:
    entries: dict[str, int] = defaultdict(int)
    for piece in pieces:
        entries[piece.target] += 1
    for cell in cells.values():
        if not cell.is_slot:
            cell.height = max(BOX_HEIGHT_MIN, PITCH * entries[cell.key])


def _set_places(layers: list[list[Cell]], cells: dict[str, Cell]) -> None:
    """Set y of every cell: as near to its neighbours as order and distance allow, the lowest at 0."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for sweep in range(2 * SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for cell in layer:
                near = cell.sources if sweep % 2 == 0 else cell.targets
                near = near or cell.targets or cell.sources
                wanted.append(sum(cells[key].middle for key in near) / len(near) if near else cell.middle)
            _settle(layer, wanted)
    top = min(cell.y for cell in cells.values())
    for cell in cells.values():
        cell.y = round(cell.y - top, 1)


def _settle(layer: list[Cell], wanted: list[float]) -> None:
    """Set y of a layer's cells so that the squares of what they miss their wanted middles by are least in sum."""
    offset, offsets = 0.0, []
    for before, cell in zip([None, *layer[:-1]], layer, strict=True):
        if before is not None:
            offset += before.height / 2 + BOX_GAP + cell.height / 2
        offsets.append(offset)
    pools: list[tuple[float, int]] = []  # (sum, count): neighbours that push one another
    for want, shift in zip(wanted, offsets, strict=True):
        total, count = want - shift, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            before_total, before_count = pools.pop()
            total, count = total + before_total, count + before_count
        pools.append((total, count))
    means = [total / count for total, count in pools for _ in range(count)]
    for cell, mean, shift in zip(layer, means, offsets, strict=True):
        cell.y = mean + shift - cell.height / 2


def _set_entries(cells: dict[str, Cell], pieces: list[Piece]) -> None:
    """Set where each piece enters its target: in the order of where it comes from."""
    by_target: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_target[piece.target].append(piece)
    for key, entering in by_target.items():
        cell = cells[key]
        entering.sort(key=lambda piece: cells[piece.source].middle)
        first = cell.middle - PITCH * (len(entering) - 1) / 2
        for n, piece in enumerate(entering):
            cell.ins[piece.key] = round(first + n * PITCH, 1)

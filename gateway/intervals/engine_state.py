"""The engine as plain JSON values, to go on after a restart: small, since it is stored every minute. Pure.

Names and facts lie in tables, rows have their numbers; times are told from the start of their interval. Closed intervals and
boundaries are kept as text, since they hardly ever change.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from gateway.intervals.amounts import Tally, split_from, split_row
from gateway.intervals.collecting import Candidate, Cell, Edge, Fact, Facts, Stretch, Table
from gateway.intervals.grid import Grid
from gateway.intervals.model import interval_of, interval_row
from gateway.intervals.pieces import pieces
from gateway.intervals.redoing import redo_from
from gateway.intervals.turns import turn_from
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.intervals.engine import Engine
    from gateway.intervals.model import Interval
    from gateway.intervals.pieces import Steps

VERSION = 1


def _cell_row(cell: Cell, engine: Engine) -> list[Any]:
    start_ns, number = cell.start_ns, engine.names.number
    bad: dict[tuple[tuple[int, int, int], ...], list[int]] = {}
    for key, runs in cell.bad.items():
        if runs:
            row = tuple((first - start_ns, last - start_ns, number(why)) for first, last, why in runs)
            bad.setdefault(row, []).append(number(key))
    flags: dict[int, list[int]] = {}
    for key, found in cell.flags.items():
        flags.setdefault(found, []).append(number(key))
    return [
        cell.last_ns - start_ns if cell.last_ns >= 0 else None,
        [number(digest) for digest in cell.layouts],
        [engine.facts.number(one) for one in cell.facts],
        list(flags.items()),
        list(bad.items()),
        [[number(key), *tally.row()] for key, tally in cell.tallies.items()],
    ]


def _cell(row: Sequence[Any], stretch: Stretch, engine: Engine) -> Cell:
    cell, names = Cell(stretch.start_ns, stretch.end_ns), engine.names.values
    start_ns = cell.start_ns
    last, layouts, facts, flags, bad, tallies = row
    cell.last_ns = -1 if last is None else start_ns + last
    cell.layouts = [names[i] for i in layouts]
    cell.facts = [engine.facts.values[i] for i in facts]
    cell.flags = {names[i]: found for found, keys in flags for i in keys}
    cell.bad = {
        names[i]: [[start_ns + first, start_ns + until, names[why]] for first, until, why in runs]
        for runs, keys in bad
        for i in keys
    }
    cell.tallies = {names[i]: Tally.of(tally) for i, *tally in tallies}
    open_ns = max(start_ns, engine.begins.get(stretch.epoch, start_ns))
    cell.from_ns = open_ns if stretch.made is None else cell.end_ns
    return cell


def _stretch_text(stretch: Stretch, engine: Engine) -> Steps[str]:
    """Make one interval's cells and what was made of them, as JSON; a closed one is written once."""
    if stretch.text is None or stretch.made is None:
        number = engine.names.number
        rows: list[Any] = []
        for piece in pieces(stretch.cells.items()):
            rows += [
                [number(meter), [[period_s, *_cell_row(cell, engine)] for period_s, cell in cells.items()]]
                for meter, cells in piece
            ]
            yield
        made = None
        if stretch.made is not None:
            made = [
                [number(meter), engine.facts.number(one), rev] for meter, (one, rev) in stretch.made.items()
            ]
        stretch.text = orjson.dumps([rows, made]).decode()
        yield
    return stretch.text


def _stretch(row: Sequence[Any], engine: Engine) -> Stretch:
    epoch, start_ns, end_ns, text = row
    stretch, names = Stretch(epoch, start_ns, end_ns), engine.names.values
    cells, made = orjson.loads(text)
    if made is not None:
        stretch.made = {names[meter]: (engine.facts.values[i], rev) for meter, i, rev in made}
        stretch.text = text
    stretch.cells = {
        names[meter]: {period_s: _cell(cell, stretch, engine) for period_s, *cell in rows}
        for meter, rows in cells
    }
    return stretch


def _edge_text(edge: Edge, at_ns: int, engine: Engine) -> Steps[str]:
    """Make the readings near a boundary as JSON, those of one frame together; written anew if one has changed."""
    if edge.text is None:
        rows: list[Any] = []
        for piece in pieces(edge.known.items()):
            rows += [_known_row(meter, known, at_ns, engine) for meter, known in piece]
            yield
        edge.text = orjson.dumps(rows).decode()
    return edge.text


def _known_row(meter: str, known: Mapping[str, Candidate], at_ns: int, engine: Engine) -> list[Any]:
    number = engine.names.number
    frames: dict[tuple[int, int, int], list[Any]] = {}
    for key, candidate in known.items():
        boundary = candidate.boundary()
        reading = None if boundary is None else str(boundary.reading)
        of = candidate.time_ns - at_ns, candidate.flags, number(candidate.scale)
        frames.setdefault(of, []).extend((number(key), reading))
    return [number(meter), list(frames.items())]


def _edge(at_ns: int, text: str, engine: Engine) -> Edge:
    edge, names = Edge(), engine.names.values
    edge.text = text
    for meter, frames in orjson.loads(text):
        known = edge.known.setdefault(names[meter], {})
        for (offset, flags, scale), row in frames:
            for key, reading in zip(row[::2], row[1::2], strict=True):
                exact = None if reading is None else Decimal(reading)
                known[names[key]] = Candidate.of(at_ns + offset, flags, exact, names[scale])
    return edge


def _made_row(one: Interval) -> list[Any]:
    identity = [one.meter, one.epoch, one.start_ns, one.end_ns, one.rev, one.closed_ns, one.cause]
    return [*identity, interval_row(one)]


def snapshot_of(engine: Engine) -> Steps[dict[str, Any]]:
    """Make an engine plain JSON values, its expectation too."""
    stretches, edges = [], []
    for one in (*engine.kept.values(), *engine.open.values()):
        text = yield from _stretch_text(one, engine)
        stretches.append([one.epoch, one.start_ns, one.end_ns, text])
    for (epoch, at_ns), edge in engine.edges.items():
        text = yield from _edge_text(edge, at_ns, engine)
        edges.append([epoch, at_ns, text])
    body: dict[str, Any] = {
        "version": VERSION,
        "grid": [engine.grid.zone, engine.grid.length_ns],
        "turns": engine.lengths.rows(),
        "skipped": [list(one) for one in engine.skipped],
        "expectation": engine.expectation.snapshot(),
        "epoch": engine.epoch,
        "progress_ns": engine.progress_ns,
        "open_ns": engine.open_ns,
        "begins": list(engine.begins.items()),
        "stretches": stretches,
        "edges": edges,
        "learned": {
            meter: [[period_s, engine.facts.number(one)] for period_s, one in learned.items()]
            for meter, learned in engine.learned.items()
        },
        "splits": {meter: [split_row(one) for one in splits] for meter, splits in engine.splits.items()},
        "dirty": [[*entry, cause] for entry, cause in engine.dirty.items()],
        "revise_ns": engine.revise_ns,
        "waiting": [[epoch, until, redo.row()] for epoch, until, redo in engine.waiting],
        "redo": [redo.row() for redo in engine.redo],
        "too_late": list(map(list, engine.too_late)),
        "made": [_made_row(one) for one in engine.made],
    }
    body["facts"] = [[one.energy_kind, [list(fact) for fact in one.channels]] for one in engine.facts.values]
    body["names"] = engine.names.values.copy()
    return body


def restore_into(engine: Engine, body: Mapping[str, Any]) -> None:
    """Fill a new engine from a snapshot. Raises ValueError on one of another version."""
    if body["version"] != VERSION:
        raise ValueError(f"intervals of version {body['version']}, this one knows {VERSION}")
    engine.names = Table(body["names"])
    engine.facts = Table(
        Facts(kind, tuple(Fact(*fact) for fact in channels)) for kind, channels in body["facts"]
    )
    engine.epoch, engine.progress_ns = body["epoch"], body["progress_ns"]
    engine.open_ns, engine.revise_ns = body["open_ns"], body["revise_ns"]
    engine.begins = dict(body["begins"])
    for row in body["stretches"]:
        stretch = _stretch(row, engine)
        (engine.open if stretch.made is None else engine.kept)[stretch.epoch, stretch.start_ns] = stretch
    engine.edges = {(epoch, at_ns): _edge(at_ns, text, engine) for epoch, at_ns, text in body["edges"]}
    engine.learned = {
        meter: {period_s: engine.facts.values[i] for period_s, i in rows}
        for meter, rows in body["learned"].items()
    }
    engine.splits = {meter: [split_from(row) for row in rows] for meter, rows in body["splits"].items()}
    engine.dirty = {(epoch, start_ns, meter): cause for epoch, start_ns, meter, cause in body["dirty"]}
    engine.waiting = [(epoch, until, redo_from(row)) for epoch, until, row in body["waiting"]]
    engine.redo = [redo_from(row) for row in body["redo"]]
    engine.too_late = [(meter, time_ns) for meter, time_ns in body["too_late"]]
    engine.made = [interval_of(*row) for row in body["made"]]
    engine.skipped = [(epoch, from_ns, to_ns) for epoch, from_ns, to_ns in body.get("skipped", ())]
    engine.lengths.turns = [turn_from(*row) for row in body.get("turns", ())]
    zone, length_ns = body["grid"]
    if engine.open_ns is not None and (zone, length_ns) != (engine.grid.zone, engine.grid.length_ns):
        ends = (one.end_ns for one in engine.open.values() if one.epoch == engine.epoch)
        engine.lengths.turn(Grid(zone, length_ns // NS), max(engine.open_ns, *ends, 0))

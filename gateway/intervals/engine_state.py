"""The engine as plain JSON values, to go on after a restart: small, since it is stored every minute. Pure.

Names and facts lie in tables, rows have their numbers; times are told from the start of their interval.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.intervals.amounts import Tally, split_from, split_row
from gateway.intervals.collecting import Candidate, Cell, Fact, Facts, Stretch
from gateway.intervals.model import interval_of, interval_row
from gateway.intervals.redoing import redo_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.intervals.engine import Engine
    from gateway.intervals.model import Interval

VERSION = 1


class _Table:
    """Values by number, each once."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def values(self) -> list[Any]:
        return list(self._numbers)


def _cell_row(cell: Cell, names: _Table, facts: _Table) -> list[Any]:
    start_ns = cell.start_ns
    bad = {
        str(names.number(key)): [
            [first - start_ns, last - start_ns, names.number(why)] for first, last, why in runs
        ]
        for key, runs in cell.bad.items()
        if runs
    }
    return [
        cell.last_ns - start_ns if cell.last_ns >= 0 else None,
        [names.number(digest) for digest in cell.layouts],
        [facts.number(one) for one in cell.facts],
        {str(names.number(key)): flags for key, flags in cell.flags.items()},
        bad,
        {str(names.number(key)): tally.row() for key, tally in cell.tallies.items()},
    ]


def _cell(row: list[Any], stretch: Stretch, names: list[str], facts: list[Facts]) -> Cell:
    cell = Cell(stretch.start_ns, stretch.end_ns)
    start_ns = cell.start_ns
    last, layouts, own_facts, flags, bad, tallies = row
    cell.last_ns = -1 if last is None else start_ns + last
    cell.layouts = [names[i] for i in layouts]
    cell.facts = [facts[i] for i in own_facts]
    cell.flags = {names[int(i)]: found for i, found in flags.items()}
    cell.bad = {
        names[int(i)]: [[start_ns + first, start_ns + until, names[why]] for first, until, why in runs]
        for i, runs in bad.items()
    }
    cell.tallies = {names[int(i)]: Tally.of(tally) for i, tally in tallies.items()}
    if stretch.made is not None:
        cell.from_ns = cell.end_ns
    return cell


def _stretch_row(stretch: Stretch, names: _Table, facts: _Table) -> list[Any]:
    cells = {
        meter: [[period_s, *_cell_row(cell, names, facts)] for period_s, cell in cells.items()]
        for meter, cells in stretch.cells.items()
    }
    made = stretch.made
    rows = None if made is None else {meter: [facts.number(one), rev] for meter, (one, rev) in made.items()}
    return [stretch.epoch, stretch.start_ns, stretch.end_ns, cells, rows]


def _stretch(row: list[Any], names: list[str], facts: list[Facts]) -> Stretch:
    stretch = Stretch(*row[:3])
    if row[4] is not None:
        stretch.made = {meter: (facts[i], rev) for meter, (i, rev) in row[4].items()}
    stretch.cells = {
        meter: {cell[0]: _cell(cell[1:], stretch, names, facts) for cell in cells}
        for meter, cells in row[3].items()
    }
    return stretch


def _near_rows(engine: Engine, names: _Table) -> list[Any]:
    rows = []
    for (epoch, at_ns), meters in engine.near.items():
        body: dict[str, Any] = {}
        for meter, known in meters.items():
            found = []
            for key, candidate in known.items():
                boundary = candidate.boundary()
                reading = None if boundary is None else str(boundary.reading)
                scale = names.number(candidate.scale)
                found.append([names.number(key), candidate.time_ns - at_ns, candidate.flags, scale, reading])
            body[meter] = found
        rows.append([epoch, at_ns, body])
    return rows


def _near(rows: list[Any], names: list[str]) -> dict[tuple[int, int], dict[str, dict[str, Candidate]]]:
    return {
        (epoch, at_ns): {
            meter: {
                names[key]: Candidate.of(
                    at_ns + offset, flags, None if reading is None else Decimal(reading), names[scale]
                )
                for key, offset, flags, scale, reading in found
            }
            for meter, found in body.items()
        }
        for epoch, at_ns, body in rows
    }


def _made_row(one: Interval) -> list[Any]:
    identity = [one.meter, one.epoch, one.start_ns, one.end_ns, one.rev, one.closed_ns, one.cause]
    return [*identity, interval_row(one)]


def snapshot_of(engine: Engine) -> dict[str, Any]:
    """Return an engine as plain JSON values, its expectation too."""
    names, facts = _Table(), _Table()
    body: dict[str, Any] = {
        "version": VERSION,
        "grid": [engine.grid.zone, engine.grid.length_ns],
        "expectation": engine.expectation.snapshot(),
        "epoch": engine.epoch,
        "progress_ns": engine.progress_ns,
        "open_ns": engine.open_ns,
        "firsts": list(engine.firsts.items()),
        "stretches": [
            _stretch_row(one, names, facts) for one in (*engine.kept.values(), *engine.open.values())
        ],
        "near": _near_rows(engine, names),
        "learned": {
            meter: [[period_s, facts.number(one)] for period_s, one in learned.items()]
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
    body["facts"] = [[one.energy_kind, [list(fact) for fact in one.channels]] for one in facts.values()]
    body["names"] = names.values()
    return body


def restore_into(engine: Engine, body: Mapping[str, Any]) -> None:
    """Fill a new engine from a snapshot. Raises ValueError on one of another version or grid."""
    if body["version"] != VERSION:
        raise ValueError(f"intervals of version {body['version']}, this one knows {VERSION}")
    if body["grid"] != [engine.grid.zone, engine.grid.length_ns]:
        raise ValueError(f"intervals of another grid: {body['grid']}")
    names: list[str] = body["names"]
    facts = [Facts(kind, tuple(Fact(*fact) for fact in channels)) for kind, channels in body["facts"]]
    engine.epoch, engine.progress_ns = body["epoch"], body["progress_ns"]
    engine.open_ns, engine.revise_ns = body["open_ns"], body["revise_ns"]
    engine.firsts = dict(body["firsts"])
    for row in body["stretches"]:
        stretch = _stretch(row, names, facts)
        (engine.open if stretch.made is None else engine.kept)[stretch.epoch, stretch.start_ns] = stretch
    engine.near = _near(body["near"], names)
    engine.learned = {
        meter: {period_s: facts[i] for period_s, i in rows} for meter, rows in body["learned"].items()
    }
    engine.splits = {meter: [split_from(row) for row in rows] for meter, rows in body["splits"].items()}
    engine.dirty = {(epoch, start_ns, meter): cause for epoch, start_ns, meter, cause in body["dirty"]}
    engine.waiting = [(epoch, until, redo_from(row)) for epoch, until, row in body["waiting"]]
    engine.redo = [redo_from(row) for row in body["redo"]]
    engine.too_late = [(meter, time_ns) for meter, time_ns in body["too_late"]]
    engine.made = [interval_of(*row) for row in body["made"]]

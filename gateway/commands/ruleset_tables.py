"""Tables of rulesets for people: what `metergate rulesets` prints without `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group

from gateway.commands.grid import Col, Grid, figures, note, words
from gateway.commands.plain import plain
from gateway.fitting.ruleset_text import CONFIDENCE, HEADINGS, answers, lines, state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date
    from pathlib import Path

    from rich.console import RenderableType

    from gateway.fitting.ruleset import Ruleset
    from gateway.fitting.ruleset_text import Line


def list_table(rows: Iterable[dict[str, Any]]) -> RenderableType:
    """Return the rulesets, a line each; what is wrong with one that cannot be used stands beneath."""
    file = Col("file", drop=1)
    grid = Grid("ruleset", words("title"), words("state"), figures("rows"), file, title="Rulesets 规则集")
    beneath = []
    for row in rows:
        whose = "" if row["shipped"] else "yours"
        if row["usable"]:
            said = ", ".join(filter(None, (whose, row["state"])))
            grid.add_row(row["id"], plain(row["title_zh"]), said, str(row["rows"]), row["file"])
        else:
            grid.add_row(row["id"], "", "cannot be used", "", row["file"], style="red")
            found = (f"{f['path']}: found {f['found']}, expected {f['expected']}" for f in row["findings"])
            beneath += [note(plain(line), "red") for line in found]
    return Group(grid, *beneath)


def whole_text(ruleset: Ruleset, path: Path, on: date) -> RenderableType:
    """Return one ruleset with every row and every open question."""
    told = list(lines(ruleset))
    parts: list[RenderableType] = [*_head(ruleset, path, on)]
    for table, heading in HEADINGS.items():
        found = [line for line in told if line.table == table]
        if found:
            parts += ["", *_rows(heading, found)]
    parts += ["", *_answers(ruleset)]
    marks = dict.fromkeys(line.row.confidence for line in told)
    parts += ["", *(note(f"{mark}: {CONFIDENCE[mark]}", "dim", indent=0) for mark in marks)]
    return Group(*parts)


def _head(ruleset: Ruleset, path: Path, on: date) -> Iterator[RenderableType]:
    meta, standing = ruleset.ruleset, state(ruleset, on)
    yield note(plain(meta.title), "bold", indent=0)
    yield note(plain(meta.title_zh), "bold", indent=0)
    base = f", built on {meta.base}" if meta.base else ""
    yield note(f"{path}{base}", "dim", indent=0)
    if standing:
        by = f" by {meta.superseded_by}" if meta.superseded_by else ""
        since = f" since {meta.superseded_on}{by}" if "superseded" in standing else ""
        yield note(f"{standing}{since}", "bold red", indent=0)
    for text in filter(None, (meta.note, meta.note_zh)):
        yield note(plain(text), "yellow", indent=0)


def _rows(heading: str, found: list[Line]) -> Iterator[RenderableType]:
    leveled = any(line.level for line in found)
    levels = ["level"] if leveled else []
    trust = Col("trust")
    grid = Grid(
        "id",
        *levels,
        words("of"),
        words("says"),
        trust,
        words("clause"),
        words("source", drop=1),
        title=heading,
    )
    beneath = []
    for line in found:
        row = line.row
        cells = [row.id, *([line.level] if leveled else []), line.of, line.says, row.confidence]
        grid.add_row(*map(plain, (*cells, row.clause, row.source)))
        said = [f"only under {row.when}"] if row.when else []
        said += (
            [f"in force {row.valid_from or '…'} to {row.valid_to or '…'}"]
            if row.valid_from or row.valid_to
            else []
        )
        said += [f"conflict: {row.conflict} {row.conflict_zh}".rstrip()] if row.conflict else []
        beneath += [note(plain(f"{row.id}: {text}"), "yellow") for text in said]
    yield grid
    yield from beneath


def _answers(ruleset: Ruleset) -> Iterator[RenderableType]:
    grid = Grid(
        "switch",
        "choice",
        words("or"),
        words("meaning"),
        words("clause", drop=1),
        title="Interpretations 释义",
    )
    for answer in answers(ruleset):
        meaning = " ".join(filter(None, (answer.text, answer.text_zh))) or "not stated: the usual choice"
        grid.add_row(
            *map(plain, (answer.switch, answer.choice, ", ".join(answer.others), meaning, answer.clause))
        )
    yield grid

"""Inspections on site (现场检查) in the HTML report. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.inspection.summary import newest
from gateway.reports.on_site import NOTED_KEYS, SEEN_KEYS, mark, noted_lines, seen_lines
from gateway.reports.page_cells import Cell, Table, heads, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.fitting.outcome import Outcome
    from gateway.inspection.summary import OnSite
    from gateway.reports.on_site import Line
    from gateway.reports.texts import Words


def seen_tables(inspections: Sequence[OnSite], words: Words) -> list[Table]:
    """Return what was found at each instrument; none without an inspection."""
    table = Table(words("o_seen"), heads(words, SEEN_KEYS), look="dense", has_row_heads=False)
    return _filled(table, seen_lines(inspections, words)) if inspections else []


def noted_tables(outcome: Outcome, inspections: Sequence[OnSite], words: Words) -> list[Table]:
    """Return the findings of inspections; none without an inspection."""
    table = Table(words("o_noted"), heads(words, NOTED_KEYS), has_row_heads=False)
    return _filled(table, noted_lines(inspections, words, outcome.as_of)) if inspections else []


def _filled(table: Table, lines: Iterable[Line]) -> list[Table]:
    for line in lines:
        cells = texts(line.cells)
        table.rows.append([*cells[:-1], cells[-1]._replace(look="bad")] if line.is_bad else cells)
    return [table]


def fill_marks(table: Table, outcome: Outcome, inspections: Sequence[OnSite], words: Words) -> None:
    """Put what was found on site into the last column of the table of instruments."""
    found = newest(inspections)
    listed = [one.id for one in outcome.inventory.instruments if one.id in outcome.standings]
    for id_, row in zip(listed, table.rows, strict=True):
        text = mark(found.get(id_), words)
        row[-1] = Cell(text, "bad" if text.startswith("✗") else "")

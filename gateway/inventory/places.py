"""Findings of an inventory as whoever fills in its workbook finds the place: sheet, row, column, and the words of its cells. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.errors import Finding
from gateway.inventory.cells import near_word, value_of
from gateway.inventory.sheets import SHEETS
from gateway.inventory.slips import number_hint

if TYPE_CHECKING:
    from gateway.inventory.sheets import Column, Sheet

HEADING_ROWS = 3
_WRITE = re.compile(r'write (\w+) = "(.*)"')


def where(sheet: Sheet, row: int, letter: str, column: Column | None) -> str:
    """Return a place as people find it: sheet, row, column with its heading."""
    place = f"{sheet.title}, row {row}"
    if column is None:
        return place
    return (
        f"{place}, column {letter} {column.heading} {column.key}"
        if letter
        else f"{place}, {column.heading} {column.key}"
    )


NO_ORGANIZATION = Finding(
    where(SHEETS[0], HEADING_ROWS, "A", SHEETS[0].columns[0]),
    "nothing",
    "the name of the organisation as registered",
    "fill in this row",
)
"""What a workbook without its organisation lacks."""


def in_cells(finding: Finding, column: Column, expected: str, suggestion: str) -> tuple[str, str]:
    """Return what is expected and what to try in the words of a column's cells. expected, suggestion: of the inventory's keys."""
    found = finding.found.strip('"')
    if column.holds in ("integer", "number"):
        return expected, suggestion or number_hint(found, column.key)
    if column.holds == "id" and column.words:
        for key, word in column.words.items():
            expected = expected.replace(f'"{key}"', word)
    elif column.words and (expected.startswith("one of ") or column.holds == "flag"):
        expected = "one of " + ", ".join(column.words.values())
        known = next((word for key, word in column.words.items() if suggestion == f'try "{key}"'), "")
        near = known or near_word(found, column)
        suggestion = f"try {near}" if near else ""
    return expected, suggestion


def filled(suggestion: str, sheet: Sheet) -> str:
    """Return a suggestion to write a key of TOML as one to fill in its column."""
    match = _WRITE.fullmatch(suggestion)
    column = next((one for one in sheet.columns if match is not None and one.key == match[1]), None)
    if match is None or column is None:
        return suggestion
    value = "" if match[2] == "…" else f": {match[2]}"
    return f"fill in {column.heading} {column.key}{value}"


def in_toml(finding: Finding) -> Finding:
    """Return a finding of TOML that says which word of a closed list a Chinese word of the workbook stands for."""
    key, word = finding.path.rpartition(".")[2], finding.found.strip('"')
    options = finding.expected.removeprefix("one of ").split(", ")
    if word.isascii() or finding.suggestion:
        return finding
    columns = (one for sheet in SHEETS for one in sheet.columns if one.key == key and one.words)
    meant = next((own for own in (value_of(word, one) for one in columns) if own in options), "")
    return Finding(finding.path, finding.found, finding.expected, f'try "{meant}"') if meant else finding


def rank(finding: Finding) -> tuple[int, int]:
    """Return sheet and row of a place; what is about the whole workbook comes first."""
    title, _, rest = finding.path.partition(", row ")
    number = re.match(r"\d+", rest)
    order = next((i for i, sheet in enumerate(SHEETS) if sheet.title == title), -1)
    return order, int(number[0]) if number else 0

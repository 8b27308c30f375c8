"""Cells and tables of the HTML report, and how figures stand in them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from gateway.fitting.result import rounded_down

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction

    from gateway.reports.texts import Words

SHOWN = Decimal("0.01")
DIGITS_MAX = 40
LONG_CHARS = 40
"""A longer text may be broken anywhere."""


class Cell(NamedTuple):
    """Text of a cell. look: its class. note: letter of the remark under the table that says why it is empty."""

    text: str
    look: str = ""
    note: str = ""


class Head(NamedTuple):
    """Heading of a column. look: class of its cells."""

    text: str
    look: str = ""


@dataclass
class Table:
    """A table. notes: letter and text of the remarks under it. has_row_heads: whether the first cell heads its row."""

    caption: str
    heads: list[Head]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    look: str = ""
    has_row_heads: bool = True


def body(table: Table) -> str:
    """Return the rows of a table as HTML, everything in them escaped; thousands of them at once."""
    return "".join(_row(row, table.has_row_heads) for row in table.rows)


def _row(row: list[Cell], has_head: bool) -> str:
    cells = []
    for n, (text, look, note) in enumerate(row):
        shown = look or ("long" if len(text) > LONG_CHARS else "")
        name, scope = ("th", ' scope="row"') if has_head and n == 0 else ("td", "")
        looks = f' class="{shown}"' if shown else ""
        mark = f"<sup>{escape(note)}</sup>" if note else ""
        cells.append(f"<{name}{scope}{looks}>{escape(text)}{mark}</{name}>")
    return f"<tr>{''.join(cells)}</tr>\n"


def percent(share: Fraction | None) -> str:
    """Return a share in %, rounded down to two decimals so that none looks reached that is not; "—" for None."""
    return "—" if share is None else f"{rounded_down(share, SHOWN):f}"


def number(value: Decimal | None) -> str:
    """Return a number without needless zeros, "—" for None."""
    if value is None:
        return "—"
    text = f"{value.quantize(Decimal('0.001'), rounding=ROUND_DOWN) if value != value.to_integral() else value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text)[:DIGITS_MAX]


class Remarks:
    """Why cells of a table are empty: each reason gets a letter, and stands once under the table."""

    def __init__(self, words: Words) -> None:
        """Take the words the reasons are told in."""
        self._words = words
        self._letters: dict[str, str] = {}

    def empty(self, reason: str) -> Cell:
        """Return the cell of what cannot be told. reason: key of its text."""
        letter = self._letters.setdefault(reason, "abcdefgh"[len(self._letters)])
        return Cell("—", "num", letter)

    def share(self, share: Fraction | None, reason: str) -> Cell:
        """Return the cell of a share."""
        return self.empty(reason) if share is None else Cell(percent(share), "num")

    def count(self, count: int | None, reason: str) -> Cell:
        """Return the cell of a count."""
        return self.empty(reason) if count is None else Cell(str(count), "num")

    def notes(self) -> list[tuple[str, str]]:
        """Return letters and reasons."""
        return [(letter, self._words(reason)) for reason, letter in self._letters.items()]


def heads(words: Words, keys: Iterable[str]) -> list[Head]:
    """Return headings by the keys of their texts; one with a leading "#" is of numbers."""
    return [Head(words(key.lstrip("#")), "num" if key.startswith("#") else "") for key in keys]


def texts(values: Sequence[str]) -> list[Cell]:
    """Return a row of plain cells; "—" for what is empty."""
    return [Cell(value or "—") for value in values]

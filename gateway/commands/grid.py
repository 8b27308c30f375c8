"""Tables that fit a terminal without cutting anything: what one copies stays whole, words are wrapped, little use goes first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from gateway.commands.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult

GAP = 2  # columns of the terminal between two of a table
WORDS_MIN = 14  # a column of words is not made narrower, unless ids still do not fit
FOLDED_MIN = 6
KEPT = "\n\t"  # controls a cell may hold


@dataclass(frozen=True, slots=True)
class Col:
    """One column. As it is, for ids, keys, addresses and figures: as wide as its longest cell.

    words: text that may be wrapped. brief: one line that a live view may shorten. drop: the narrower the terminal the more columns
    go, the lowest number first; 0: never.
    """

    heading: str
    words: bool = False
    brief: bool = False
    justify: JustifyMethod = "left"
    drop: int = 0

    @property
    def gives(self) -> bool:
        """Return whether it may be narrower than its longest cell."""
        return self.words or self.brief


def words(heading: str, drop: int = 0) -> Col:
    """Return a column of text that is wrapped at words."""
    return Col(heading, words=True, drop=drop)


def figures(heading: str, drop: int = 0) -> Col:
    """Return a column of numbers."""
    return Col(heading, justify="right", drop=drop)


class Grid:
    """A table whose columns are laid out by what they hold; sections have a heading of their own."""

    def __init__(self, *columns: str | Col, title: str = "", has_rule: bool = True) -> None:
        """columns: a heading alone is a column of ids. has_rule: a line beneath the headings."""
        self._columns = [Col(column) if isinstance(column, str) else column for column in columns]
        self._title, self._has_rule = title, has_rule
        self._sections: list[tuple[str, list[tuple[list[Text], str]]]] = [("", [])]

    @property
    def row_count(self) -> int:
        """Return how many rows it has."""
        return sum(len(rows) for _, rows in self._sections)

    def add_section(self, heading: str) -> None:
        """Begin a group of rows under a heading of their own."""
        self._sections.append((heading, []))

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row; text is taken without markup, and what would steer the terminal is shown."""
        row = [_shown(cell) for cell in cells]
        self._sections[-1][1].append((row, style))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts of the table for the width there is."""
        shown, widths = self._fitted(options.max_width)
        if self._title:
            yield Text(self._title, style="bold")
        for n, (heading, rows) in enumerate(self._sections):
            if heading:
                yield Text(heading, style="bold")
            if rows or not n:
                yield self._part(shown, widths, rows, heads=not n)
        dropped = [column.heading for n, column in enumerate(self._columns) if n not in shown]
        if dropped:
            yield Text(f"(a wider terminal also shows: {', '.join(dropped)})", style="dim")

    def _part(
        self, shown: Sequence[int], widths: Sequence[int], rows: list[tuple[list[Text], str]], *, heads: bool
    ) -> Table:
        has_rule = heads and self._has_rule
        table = Table(
            *(_column(self._columns[n], width) for n, width in zip(shown, widths, strict=True)),
            box=box.SIMPLE_HEAD if has_rule else None,
            show_header=heads,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1 if has_rule else GAP, 0, 0),
        )
        for row, style in rows:
            table.add_row(*(row[n] for n in shown), style=style)
        return table

    def _fitted(self, room: int) -> tuple[list[int], list[int]]:
        """Return the columns shown and their widths, which together fit the room."""
        wide = [max(_width(Text(c.heading)), *self._widths(n), 1) for n, c in enumerate(self._columns)]
        least = [min(w, WORDS_MIN) if c.gives else w for c, w in zip(self._columns, wide, strict=True)]
        shown = list(range(len(self._columns)))
        for n in sorted((n for n in shown if self._columns[n].drop), key=lambda n: self._columns[n].drop):
            if sum(least[n] for n in shown) + GAP * (len(shown) - 1) <= room:
                break
            shown.remove(n)
        room -= GAP * (len(shown) - 1)
        widths = {n: wide[n] for n in shown}
        _shrink(widths, {n: least[n] for n in shown}, room)
        _shrink(widths, {n: min(least[n], FOLDED_MIN) for n in shown}, room)
        return shown, [widths[n] for n in shown]

    def _widths(self, column: int) -> Iterator[int]:
        yield 0
        for _, rows in self._sections:
            for row, _ in rows:
                yield _width(row[column])


def _shown(cell: str | Text) -> Text:
    """Return a cell in which nothing steers; one with colours of its own loses them if something does."""
    if isinstance(cell, str):
        return Text(plain(cell, KEPT))
    safe = plain(cell.plain, KEPT)
    return cell if safe == cell.plain else Text(safe, style=cell.style)


def _column(column: Col, width: int) -> Column:
    how = Column(column.heading, justify=column.justify, width=width, overflow="fold")
    return replace(how, no_wrap=True, overflow="ellipsis") if column.brief else how


def _width(text: Text) -> int:
    return max((line.cell_len for line in text.split("\n")), default=0)


def _shrink(widths: dict[int, int], least: dict[int, int], room: int) -> None:
    """Take from the widest column that has something to give until they fit the room, or none has."""
    while sum(widths.values()) > room:
        giving = [n for n in widths if widths[n] > least[n]]
        if not giving:
            return
        widths[max(giving, key=lambda n: widths[n])] -= 1


def note(text: str, style: str = "", indent: int = 2) -> Padding:
    """Return a line beneath a table, wrapped at words and set in."""
    return Padding(Text(plain(text, KEPT), style=style, overflow="fold"), (0, 0, 0, indent), expand=False)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 meter, 2 meters."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

"""A workbook of tables: openpyxl makes the book, its styles and each sheet's set-up; the rows are rendered here.

Half a million cells through openpyxl take eleven seconds, rendered as text one. Whatever is text stays text: a name that
begins with "=" never becomes a formula. Imports openpyxl: import this only to write one.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
FORMULA_LIKE = ("=", "+", "-", "@", "\t", "\r")
CELL_CHARS_MAX = 32_767
"""Source: Excel specifications and limits."""
FOOTER_CHARS_MAX = 100
"""A header or footer has 255 characters in all (same source), and "&" takes two."""
FIRST_DAY = date(1899, 12, 30)
"""Day 0 of the 1900 date system, as far as days after February 1900 go."""
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
LINE_HEIGHT = 14
LINES_MAX = 28
"""A row is at most 409 high (same source)."""
SHEET_PATH = re.compile(r"xl/worksheets/sheet(\d+)\.xml")
MODIFIED = re.compile(rb"(<dcterms:modified[^>]*>)[^<]*(</dcterms:modified>)")
HEAD_FONTS = '<r><rPr><b/><sz val="10"/></rPr><t>{}</t></r><r><rPr><sz val="8"/><color rgb="FF666666"/></rPr><t xml:space="preserve">\n{}</t></r>'


class Heading(NamedTuple):
    """A heading: Chinese, and English small below."""

    zh: str
    en: str


class Column(NamedTuple):
    """A column of a table. width: in characters."""

    zh: str
    en: str
    width: int


Value = str | int | Decimal | date | Heading | None
"""What a cell holds. Decimal: a percentage with two decimals. None: empty, never 0."""


@dataclass
class Sheet:
    """One sheet: a title, banners (what must not be overlooked), notes, then a table. has_head: whether it has column headings."""

    name: str
    zh: str
    en: str
    columns: Sequence[Column]
    notes: Sequence[str] = ()
    banners: Sequence[str] = ()
    has_head: bool = True
    rows: list[tuple[str, Sequence[Value]]] = field(default_factory=list)

    def add(self, *cells: Value, kind: str = "body") -> None:
        """Append a row. kind: body, strong (subtotals) or bad (what is missed)."""
        self.rows.append((kind, cells))

    def head(self, *columns: Column) -> None:
        """Append a row of headings: another table begins."""
        self.rows.append(("head", [Heading(one.zh, one.en) for one in columns]))

    def say(self, text: str) -> None:
        """Append a note over the whole width."""
        self.rows.append(("note", (text,)))

    def section(self, text: str) -> None:
        """Append a heading over the whole width."""
        self.rows.append(("section", (text,)))


def save(sheets: Sequence[Sheet], path: Path, title: str, footer: str, made: datetime | None) -> None:
    """Write sheets as a workbook; equal sheets make an equal file. made: goes into the properties."""
    book = Workbook()
    book.properties.title = CONTROL.sub("�", title)
    book.properties.creator = "Metergate"
    book.properties.created = (made or datetime(1980, 1, 1, tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)
    book.remove(book.worksheets[0])
    bodies = {}
    styles: _Styles | None = None
    for number, sheet in enumerate(sheets, 1):
        page = book.create_sheet(sheet.name)
        styles = styles or _Styles(page)
        body = _Body(styles, sheet)
        _set_up(page, sheet, body, footer)
        bodies[number] = body
    raw, whole = BytesIO(), BytesIO()
    book.save(raw)
    stamp = book.properties.created.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with (
        zipfile.ZipFile(raw) as made_by_openpyxl,
        zipfile.ZipFile(whole, "w") as final,
    ):
        for name in made_by_openpyxl.namelist():
            content = made_by_openpyxl.read(name)
            match = SHEET_PATH.fullmatch(name)
            if match is not None:
                content = bodies[int(match[1])].put_into(content)
            elif name == "docProps/core.xml":
                content = MODIFIED.sub(rb"\g<1>" + stamp + rb"\g<2>", content)
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            final.writestr(entry, content, compresslevel=4)
    path.write_bytes(whole.getvalue())


class _Styles:
    """Numbers of the cell styles of a book, by kind of row and kind of value, and its texts as XML."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self.numbers: dict[str, dict[str, int]] = {}
        self.texts: dict[str, str] = {}
        self.heights: dict[tuple[str, int], int] = {}
        for kind in ("body", "strong", "bad"):
            values = ("text", "quoted", "count", "percent", "date")
            self.numbers[kind] = {value: self._style(kind, value) for value in values}
        for kind in ("title", "banner", "note", "section", "head"):
            number = self._style(kind, "text")
            self.numbers[kind] = {"text": number, "quoted": number}

    def inline(self, text: str) -> str:
        """Return the inside of a cell with a text; most texts of a ledger come many times."""
        known = self.texts.get(text)
        if known is None:
            keep = ' xml:space="preserve"' if text != text.strip() or "\n" in text else ""
            known = self.texts[text] = f"<is><t{keep}>{_clean(text)}</t></is></c>"
        return known

    def lines(self, text: str, width: int) -> int:
        """Return how many lines a text takes in a column."""
        known = self.heights.get((text, width))
        if known is None:
            known = self.heights[text, width] = sum(_lines(part, width) for part in text.split("\n"))
        return known

    def _style(self, kind: str, value: str) -> int:
        fonts = {
            "title": Font(size=14, bold=True),
            "banner": Font(size=11, bold=True, color="FFC00000"),
            "note": Font(size=9, italic=True, color="FF666666"),
            "section": Font(size=11, bold=True),
            "head": Font(size=10, bold=True),
            "strong": Font(size=10, bold=True),
        }
        fills = {"head": "FFE2EFDA", "banner": "FFFFF2CC", "strong": "FFF2F2F2", "bad": "FFFCE4D6"}
        cell = WriteOnlyCell(self._page)
        cell.font = fonts.get(kind, Font(size=10))
        if kind in fills:
            cell.fill = PatternFill("solid", fgColor=fills[kind])
        if kind in ("body", "strong", "bad", "head"):
            side = Side(style="thin", color="FFBFBFBF")
            cell.border = Border(left=side, right=side, top=side, bottom=side)
        cell.alignment = Alignment(
            wrap_text=True, vertical="center", horizontal="center" if kind == "head" else None
        )
        formats = {"count": "0", "percent": "0.00", "date": "yyyy-mm-dd", "quoted": "@"}
        cell.number_format = formats.get(value, "General")  # long text in the format "@" shows as ###
        if value == "quoted":
            cell.quotePrefix = True  # stays text also when somebody edits the cell
        return int(cell.style_id)


class _Body:
    """The rows of a sheet as XML. head_row: number of the row of column headings, 0 without one.

    repeated_rows: those to print on every page, banners and headings; "" if there are none.
    """

    def __init__(self, styles: _Styles, sheet: Sheet) -> None:
        self._styles = styles
        self._letters = [_letter(n) for n in range(max(len(sheet.columns), 16))]
        self._widths = [column.width for column in sheet.columns]
        self._width = sum(self._widths)
        self._last = self._letters[len(sheet.columns) - 1]
        self._xml: list[str] = []
        self._merged: list[str] = []
        self.head_row = 0
        self._line("title", f"{sheet.zh}  {sheet.en}")
        for text in sheet.notes:
            self._line("note", text)
        first = len(self._xml) + 1
        for text in sheet.banners:
            self._line("banner", text)
        if sheet.has_head:
            self._row("head", [Heading(column.zh, column.en) for column in sheet.columns])
            self.head_row = len(self._xml)
        self.repeated_rows = f"{first}:{len(self._xml)}" if len(self._xml) >= first else ""
        for kind, cells in sheet.rows:
            if kind in ("note", "section"):
                self._line(kind, str(cells[0]))
            else:
                self._row(kind, cells)

    @property
    def last_cell(self) -> str:
        """Return the address of the lower right cell."""
        return f"{self._last}{len(self._xml)}"

    def put_into(self, sheet_xml: bytes) -> bytes:
        """Return the XML of the empty sheet with these rows in it."""
        spans = "".join(f'<mergeCell ref="{span}"/>' for span in self._merged)
        merged = f'<mergeCells count="{len(self._merged)}">{spans}</mergeCells>' if spans else ""
        rows = f"<sheetData>{''.join(self._xml)}</sheetData>{merged}".encode()
        head, empty, tail = re.split(rb"(<sheetData\s*/>|<sheetData></sheetData>)", sheet_xml)
        assert empty
        span = f'<dimension ref="A1:{self.last_cell}"'.encode()
        return re.sub(rb'<dimension ref="[^"]*"', span, head) + rows + tail

    def _line(self, kind: str, text: str) -> None:
        """Append a text over the whole width, as high as it needs: merged cells do not find their height themselves."""
        number = len(self._xml) + 1
        wide = sum(_lines(part, self._width) for part in text.split("\n"))
        height = 22 if kind == "title" and wide == 1 else wide * LINE_HEIGHT + 4
        cell = self._cell("A", str(number), self._styles.numbers[kind], text)
        self._xml.append(f'<row r="{number}" ht="{height}" customHeight="1">{cell}</row>')
        if self._last != "A":
            self._merged.append(f"A{number}:{self._last}{number}")

    def _row(self, kind: str, cells: Sequence[Value]) -> None:
        number = str(len(self._xml) + 1)
        styles, cell = self._styles.numbers[kind], self._cell
        row = [
            cell(letter, number, styles, value) for letter, value in zip(self._letters, cells, strict=False)
        ]
        height = self._height(cells) * LINE_HEIGHT + 2
        self._xml.append(f'<row r="{number}" ht="{height}">{"".join(row)}</row>')

    def _height(self, cells: Iterable[Value]) -> int:
        """Return how many lines a row takes; only Excel would find that out by itself."""
        most = 1
        for width, value in zip(self._widths, cells, strict=False):
            if isinstance(value, Heading):
                most = max(most, _lines(value.zh, width) + _lines(value.en, width))
            elif isinstance(value, str) and (len(value) * 2 > width or "\n" in value):
                most = max(most, self._styles.lines(value, width))
        return min(most, LINES_MAX)

    def _cell(self, letter: str, number: str, styles: dict[str, int], value: Value) -> str:
        if not value and (value is None or value == ""):
            return f'<c r="{letter}{number}" s="{styles["text"]}"/>'
        if isinstance(value, str):
            style = styles["quoted" if value.startswith(FORMULA_LIKE) else "text"]
            return f'<c r="{letter}{number}" s="{style}" t="inlineStr">{self._styles.inline(value)}'
        if isinstance(value, Heading):
            rich = HEAD_FONTS.format(_clean(value.zh), _clean(value.en))
            return f'<c r="{letter}{number}" s="{styles["text"]}" t="inlineStr"><is>{rich}</is></c>'
        if isinstance(value, date):
            return f'<c r="{letter}{number}" s="{styles["date"]}"><v>{(value - FIRST_DAY).days}</v></c>'
        if isinstance(value, Decimal):
            return f'<c r="{letter}{number}" s="{styles["percent"]}"><v>{value:f}</v></c>'
        return f'<c r="{letter}{number}" s="{styles["count"]}"><v>{value}</v></c>'


def _set_up(page: Any, sheet: Sheet, body: _Body, footer: str) -> None:
    """Give a sheet its widths, panes and print layout."""
    for n, column in enumerate(sheet.columns):
        page.column_dimensions[_letter(n)].width = column.width
    if body.head_row:
        page.freeze_panes = f"A{body.head_row + 1}"
    if body.repeated_rows:
        page.print_title_rows = body.repeated_rows
    page.page_setup.orientation = "landscape"
    page.page_setup.paperSize = 9  # A4
    page.page_setup.fitToWidth = 1
    page.page_setup.fitToHeight = 0
    page.sheet_properties.pageSetUpPr.fitToPage = True
    page.page_margins.left = page.page_margins.right = 0.4
    left = CONTROL.sub("�", " ".join(footer.split()))[:FOOTER_CHARS_MAX]
    page.oddFooter.left.text = left.replace("&", "&&")
    page.oddFooter.right.text = f"{sheet.name}  第 &P 页 共 &N 页"
    page.oddFooter.left.size = page.oddFooter.right.size = 8


def _letter(number: int) -> str:
    """Return the letters of a column, from 0."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _lines(text: str, width: int) -> int:
    """Return how many lines a text takes; a Chinese character is two wide."""
    wide = sum(2 if ord(one) > 0x2E7F else 1 for one in text)
    return max(1, -(-wide // max(width - 2, 1)))


def _clean(text: str) -> str:
    """Return a text as XML that Excel reads back as it is; what it cannot hold becomes U+FFFD."""
    text = CONTROL.sub("�", text[:CELL_CHARS_MAX])
    return escape(ESCAPED.sub("_x005F_", text) if "_x" in text else text)

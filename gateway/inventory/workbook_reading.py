"""An inventory's workbook as plain values, with the cell each came from, so that findings name sheet, row and column."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from gateway.config.values import nearest
from gateway.errors import ConfigError, Finding, MetergateError
from gateway.findings import shown
from gateway.inventory.cells import value_of
from gateway.inventory.draft import Names, by_name
from gateway.inventory.places import HEADING_ROWS, NO_ORGANIZATION, filled, in_cells, rank, where
from gateway.inventory.sheets import SHEETS, Column, Sheet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FILE_MAX_BYTES = 64 << 20
UNPACKED_MAX_BYTES = 256 << 20
"""Bound of what a workbook unpacks to; a bomb is refused."""
ROWS_MAX = 100_000
NUMBER_MAX = 1_048_576
"""Rows of a sheet. Source: Excel specifications and limits, support.microsoft.com."""
BLANK_MAX = 10_000
_FORMULA = re.compile(rb"<f[\s/>]")
_LIST = re.compile(r"\[\d+\]$")
BROKEN = (zipfile.BadZipFile, zlib.error, ParseError, KeyError, ValueError, TypeError, EOFError, IndexError)
"""What openpyxl raises for files that are no workbooks, or broken ones."""


@dataclass(slots=True)
class _Row:
    """Where an entry came from. columns: key -> letter."""

    sheet: Sheet
    number: int
    letters: dict[str, str]


@dataclass(slots=True)
class Sheets:
    """What a workbook holds: the body of an inventory, and findings that need no more than the workbook."""

    body: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    formulas: set[tuple[str, int, int]] = field(default_factory=set)
    """(sheet, row, place in it) of each cell that is computed."""
    entries: dict[tuple[str, str], tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """(table, id) -> place in the table and entry."""
    _rows: dict[str, _Row] = field(default_factory=dict)

    def remember(self, path: str, row: _Row) -> None:
        """Keep which row an entry of the inventory came from."""
        self._rows.setdefault(path, row)

    def placed(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return findings with sheet, row and column in place of the inventory's keys, in the order of the sheets."""
        return sorted((self._placed(finding) for finding in findings), key=rank)

    def _placed(self, finding: Finding) -> Finding:
        path, row = self._row(finding.path)
        if row is None:
            return NO_ORGANIZATION if finding.path == "organization" else finding
        key = _LIST.sub("", finding.path[len(path) :].lstrip("."))
        column = next((one for one in row.sheet.columns if one.key == key), None)
        other, earlier = self._row(finding.suggestion.partition(" ")[0])
        suggestion = finding.suggestion
        if earlier is not None:
            suggestion = suggestion.replace(other, f"{earlier.sheet.title} row {earlier.number}", 1)
        place = where(row.sheet, row.number, row.letters.get(key, ""), column)
        words = (finding.expected, filled(suggestion, row.sheet))
        return Finding(
            place, finding.found, *(words if column is None else in_cells(finding, column, *words))
        )

    def _row(self, path: str) -> tuple[str, _Row | None]:
        """Return the entry a path leads into or to, and its row."""
        while path and path not in self._rows:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return path, self._rows.get(path)


def read_workbook(path: Path) -> Sheets:
    """Return what a workbook holds. Raises ConfigError if it is none, MetergateError if openpyxl is not installed."""
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError as error:
        raise missing_extra() from error
    try:
        has_formulas = _examined(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what other programs put into a workbook besides cells
            found = Sheets()
            if has_formulas:
                with closing(load_workbook(path, read_only=True)) as book:
                    found.formulas = _formulas(book)
            with closing(load_workbook(path, read_only=True, data_only=True)) as book:
                _read(book, found)
    except FileNotFoundError:
        raise ConfigError([Finding(str(path), "no such file", "an Excel workbook (.xlsx)")]) from None
    except OSError as error:
        found_is = error.strerror or "a failure"
        raise ConfigError([Finding(str(path), found_is, "a file that can be read")]) from None
    except (*BROKEN, InvalidFileException) as error:
        text = f"a broken file ({type(error).__name__})"
        hint = "save it as .xlsx; an .xls has to be converted"
        raise ConfigError([Finding(str(path), text, "an Excel workbook (.xlsx)", hint)]) from None
    return found


def missing_extra() -> MetergateError:
    """Return what to do when openpyxl is not installed."""
    return MetergateError(
        "openpyxl is not installed; workbooks need: pip install 'metergate[report]', or make env"
    )


def _examined(path: Path) -> bool:
    """Return whether a workbook has formulas. Raises ConfigError if it is larger than any inventory."""
    if path.stat().st_size > FILE_MAX_BYTES:
        raise ConfigError([Finding(str(path), "a larger file", f"at most {FILE_MAX_BYTES} bytes")])
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > UNPACKED_MAX_BYTES:
            raise ConfigError(
                [Finding(str(path), "a file that unpacks to more", f"at most {UNPACKED_MAX_BYTES} bytes")]
            )
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(_FORMULA.search(archive.read(name)) for name in sheets)


def _formulas(book: Any) -> set[tuple[str, int, int]]:
    """Return where a workbook has formulas."""
    of = _tabs(book, Sheets())
    return {
        (key, number, place)
        for key, tab in of.items()
        for number, cells in enumerate(islice(_cells(book[tab]), NUMBER_MAX), 1)
        for place, cell in enumerate(cells)
        if cell.data_type == "f"
    }


def _cells(tab: Any) -> Iterator[Any]:
    """Return the rows of cells of a sheet."""
    tab.reset_dimensions()  # some programs write wrong ones
    rows: Iterator[Any] = tab.iter_rows()
    return rows


def _read(book: Any, found: Sheets) -> None:
    of = _tabs(book, found)
    for sheet in SHEETS:
        if sheet.key in of:
            for row, values in _rows(sheet, book[of[sheet.key]], found):
                _take(sheet, row, values, found)


def _tabs(book: Any, found: Sheets) -> dict[str, str]:
    """Return the tab of each sheet; a tab whose name comes near a sheet's is a finding, others are the user's own."""
    tabs: dict[str, str] = {}
    names = {name: sheet for sheet in SHEETS for name in (sheet.title, sheet.key, sheet.name)}
    for tab in book.sheetnames:
        sheet = names.get(tab.strip())
        if sheet is None:
            near = nearest(tab.strip(), names, 0.75)
            if near:
                title = names[near].title
                found.findings.append(
                    Finding(
                        f"sheet {tab}",
                        "an unknown sheet",
                        "the names of the template",
                        f'rename it to "{title}"',
                    )
                )
        elif sheet.key in tabs:
            found.findings.append(Finding(f"sheet {tab}", f"{sheet.title} again", "each sheet once"))
        else:
            tabs[sheet.key] = tab
    return tabs


def _rows(sheet: Sheet, tab: Any, found: Sheets) -> Iterator[tuple[_Row, dict[str, Any]]]:
    """Yield each row that is not blank, with the values of its cells by column."""
    rows = enumerate(_cells(tab), 1)
    heads = list(islice(rows, HEADING_ROWS))
    at, columns = _headings(sheet, heads, found)
    letters = {column.key: letter for letter, column in columns.values()}
    count, last = 0, at
    for number, cells in chain(heads[at:], rows):  # one by one: a gap is as long as a row's number says
        if number > NUMBER_MAX:
            hint = "no spreadsheet has such a row"
            found.findings.append(
                Finding(where(sheet, number, "", None), "a row", f"rows up to {NUMBER_MAX}", hint)
            )
            return
        values = _values(sheet, number, cells, columns, found) if cells else {}
        if not values:
            continue
        if number - last > BLANK_MAX:
            blank = f"a row after {number - last - 1} blank ones"
            expected = f"at most {BLANK_MAX} blank rows between"
            found.findings.append(Finding(where(sheet, number, "", None), blank, expected, "move it up"))
            return
        last = number
        count += 1
        if count > ROWS_MAX:
            found.findings.append(Finding(where(sheet, number, "", None), "more rows", f"at most {ROWS_MAX}"))
            return
        yield _Row(sheet, number, letters), values


def _values(
    sheet: Sheet, number: int, cells: Any, columns: dict[int, tuple[str, Column]], found: Sheets
) -> dict[str, Any]:
    """Return what the cells of a row mean, by column; blank ones are left out."""
    values = {}
    for place, (letter, column) in columns.items():
        cell = cells[place] if place < len(cells) else None
        if cell is None:
            continue
        path = where(sheet, number, letter, column)
        if cell.data_type == "e":
            hint = "correct the formula, or write the value"
            found.findings.append(Finding(path, shown(cell.value), "a value", hint))
        elif (value := value_of(_seen(cell, column), column)) is not None:
            values[column.key] = value
        elif (sheet.key, number, place) in found.formulas:
            hint = "open and save the workbook in a spreadsheet, or write the value"
            found.findings.append(Finding(path, "a formula that was never computed", "a value", hint))
    return values


def _seen(cell: Any, column: Column) -> Any:
    """Return a cell's value; of a number that is shown as a percentage the text one sees: 2% is kept as 0.02."""
    value = cell.value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and column.holds in ("integer", "number") and "%" in str(cell.number_format):
        return f"{(Decimal(str(value)) * 100).normalize():f}%"
    return value


def _headings(
    sheet: Sheet, heads: list[tuple[int, Any]], found: Sheets
) -> tuple[int, dict[int, tuple[str, Column]]]:
    """Return how many rows are headings, and (letter, column) by place; English keys count, else the Chinese headings."""
    from openpyxl.utils import get_column_letter

    keys = {column.key: column for column in sheet.columns}
    titles = {column.heading: column for column in sheet.columns}
    for names in (keys, titles):
        for at, (number, cells) in enumerate(heads, 1):
            texts = [str(cell.value).strip() if cell.value is not None else "" for cell in cells]
            if not any(text in names for text in texts):
                continue
            columns: dict[int, tuple[str, Column]] = {}
            for place, text in enumerate(texts):
                letter = get_column_letter(place + 1)
                column = names.get(text)
                if column is not None and all(column is not own for _, own in columns.values()):
                    columns[place] = letter, column
                elif text:
                    found.findings.append(_heading(sheet, number, letter, text, names))
            missing = [
                one
                for one in sheet.columns
                if one.required and all(one is not own for _, own in columns.values())
            ]
            for one in missing:
                found.findings.append(
                    Finding(f"{sheet.title}, row {number}", "no such column", f"{one.heading} {one.key}")
                )
            return at, columns
    if any(cell.value is not None for _, cells in heads for cell in cells):
        hint = "begin with a workbook of `metergate inventory export`"
        found.findings.append(
            Finding(f"{sheet.title}, row 1", "no heading of the template", ", ".join(keys), hint)
        )
    return len(heads), {}


def _heading(sheet: Sheet, row: int, letter: str, text: str, names: dict[str, Column]) -> Finding:
    place = f"{sheet.title}, row {row}, column {letter}"
    if text in names:
        return Finding(place, f"{text} again", "each column once", "remove one")
    near = nearest(text, names, 0.7)
    return Finding(
        place,
        f'"{text}", an unknown column',
        "the headings of the template",
        f'did you mean "{near}"?' if near else "remove the heading if it is your own note",
    )


def _take(sheet: Sheet, row: _Row, values: dict[str, Any], found: Sheets) -> None:
    """Put a row into the body."""
    if sheet.inside:
        _put_inside(sheet, row, values, found)
        return
    if sheet.key == "organization":
        if "organization" in found.body:
            found.findings.append(
                Finding(where(sheet, row.number, "", None), "a second row", "one organisation")
            )
            return
        entry: dict[str, Any] = {}
        for key, value in values.items():
            table, _, name = key.rpartition(".")
            (entry.setdefault(table, {}) if table else entry)[name] = value
        found.body["organization"] = entry
        found.remember("organization", row)
        return
    rows = found.body.setdefault(sheet.table, [])
    rows.append(values)
    found.remember(f"{sheet.table}[{len(rows)}]", row)
    if isinstance(own := values.get("id"), str):
        found.remember(f"{sheet.table}.{own}", row)
        found.entries.setdefault((sheet.table, own), (len(rows), values))


def _put_inside(sheet: Sheet, row: _Row, values: dict[str, Any], found: Sheets) -> None:
    """Put a row into the entry its first column names."""
    column = sheet.columns[0]
    own = values.pop(column.key, None)
    tables = (sheet.table,) if sheet.table else ("units", "equipment")
    place = where(sheet, row.number, row.letters.get(column.key, ""), column)
    for table in tables:
        if (table, own) in found.entries:
            i, entry = found.entries[table, own]
            _put(sheet, row, values, found, (entry, (f"{table}.{own}", f"{table}[{i}]")))
            return
    if own is None:
        found.findings.append(Finding(place, "nothing", f"whose row it is: {column.heading}"))
        return
    ids = [known for table, known in found.entries if table in tables]
    named = by_name(entry for (table, _), (_, entry) in found.entries.items() if table in tables)
    finding = Names().unknown(place, str(own), ids, f"an id of {' or '.join(tables)}", named)
    found.findings.append(finding)


def _put(
    sheet: Sheet,
    row: _Row,
    values: dict[str, Any],
    found: Sheets,
    into: tuple[dict[str, Any], tuple[str, str]],
) -> None:
    entry, paths = into
    if sheet.inside == "confirmation":
        if "confirmation" in entry:
            place = where(sheet, row.number, "", None)
            found.findings.append(
                Finding(place, f"a second one of {entry['id']}", "one confirmation, the newest")
            )
            return
        entry["confirmation"] = values
        ends = [f"{path}.confirmation" for path in paths]
    else:
        rows = entry.setdefault(sheet.inside, [])
        rows.append(values)
        ends = [f"{path}.{sheet.inside}[{len(rows)}]" for path in paths]
    for end in ends:
        found.remember(end, row)

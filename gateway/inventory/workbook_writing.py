"""An inventory written as a workbook that reads back equal: headings in Chinese and English, lists to choose from, a guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError, Finding, MetergateError
from gateway.inventory.answers import MANAGEMENT, SELF_CHECK
from gateway.inventory.cells import CELL_MAX, cell_of
from gateway.inventory.sheets import GUIDE, SHEETS, Column, Sheet
from gateway.inventory.workbook_reading import missing_extra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.inventory.model import Inventory

BLANK_ROWS = 500
"""Rows below the last one that offer their lists too."""
WIDTH_MIN, WIDTH_MAX = 10, 42
HOLDS = {
    "text": "文字 text",
    "id": "标识 id: a-z 0-9 -",
    "ids": "标识, 可多个, 以逗号分隔 ids, commas between",
    "word": "从列表选择 choose",
    "flag": "是/否 yes/no",
    "integer": "整数 integer",
    "number": "数 number",
    "day": "日期 2026-08-31",
    "amount": "数值与单位 with its unit: 1200 t, 55 kW",
}
GUIDE_TEXT = (
    ("计量器具台账填写说明", "How to fill in the inventory"),
    (
        "每张表前两行为表头, 不得改动; 列的顺序可以改变, 空行忽略。",
        "The first two rows of a sheet are headings; columns may be moved, blank rows are skipped.",
    ),
    (
        "标识由小写字母、数字和连字符组成, 一经使用不再改变; 单位与设备的标识不得相同。",
        "Ids are lower-case letters, digits and hyphens, and never change; units and equipment share them.",
    ),
    (
        "流向的起点和终点: 外部、用能单位, 或单位、设备的标识。",
        "Ends of flows: outside 外部, organization 用能单位, or the id of a unit or equipment.",
    ),
    (
        "准确度等级按有效证书填写, 不按铭牌。",
        "Accuracy class: of the valid certificate, not of the name plate.",
    ),
    ("数量须带单位。", "Amounts carry their unit."),
    (
        "填写后: metergate inventory import 文件.xlsx --out inventory.toml",
        "When done: metergate inventory import FILE.xlsx --out inventory.toml",
    ),
)


def write_workbook(inventory: Inventory, path: Path) -> None:
    """Write an inventory as a workbook, whole or not at all.

    Raises ConfigError for text no cell keeps as it is, MetergateError if openpyxl is not installed or the file cannot be written.
    """
    try:
        from openpyxl import Workbook
    except ModuleNotFoundError as error:
        raise missing_extra() from error
    findings: list[Finding] = []
    rows = {
        sheet.key: [_cells(path, values, sheet, findings) for path, values in _rows(inventory, sheet)]
        for sheet in SHEETS
    }
    if findings:
        raise ConfigError(findings)
    book = Workbook(write_only=True)  # from here on nothing may fail but the disk: it keeps temporary files
    style = _Style()
    _guide(book, style)
    for sheet in SHEETS:
        _sheet(book, sheet, rows[sheet.key], style)
    new = path.with_name(path.name + ".new")
    try:
        book.save(new)
        new.replace(path)
    except OSError as error:
        raise MetergateError(f"{path}: {error.strerror}") from error
    finally:
        new.unlink(missing_ok=True)


class _Style:
    """How cells look."""

    def __init__(self) -> None:
        from openpyxl.styles import Alignment, Font, PatternFill

        self.title = Font(bold=True, color="FFFFFF")
        self.filled = PatternFill("solid", fgColor="1F4E78")
        self.required = PatternFill("solid", fgColor="C55A11")
        self.key = Font(color="808080", size=9)
        self.wrapped = Alignment(wrap_text=True, vertical="top")


def _sheet(book: Any, sheet: Sheet, cells: list[list[Any]], style: _Style) -> None:
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    tab = book.create_sheet(sheet.title)
    tab.freeze_panes = "C3"
    for place, column in enumerate(sheet.columns):
        widest = max((_width(str(row[place])) for row in cells if row[place] is not None), default=0)
        letter = get_column_letter(place + 1)
        wide = max(WIDTH_MIN, _width(column.heading), len(column.key), widest) + 2
        tab.column_dimensions[letter].width = min(wide, WIDTH_MAX)
    last = get_column_letter(len(sheet.columns))
    tab.auto_filter.ref = f"A2:{last}{len(cells) + 2}"
    tab.append([_heading(tab, column, style) for column in sheet.columns])
    tab.append([_cell(tab, column.key, font=style.key) for column in sheet.columns])
    for row in cells:
        tab.append([_written(tab, value, column) for value, column in zip(row, sheet.columns, strict=True)])
    for place, column in enumerate(sheet.columns):
        if column.holds in ("word", "flag"):
            letter = get_column_letter(place + 1)
            choice = DataValidation("list", formula1=f'"{",".join(column.words.values())}"', allow_blank=True)
            choice.errorStyle = "warning"  # other spellings are understood too
            choice.add(f"{letter}3:{letter}{len(cells) + 2 + BLANK_ROWS}")
            tab.data_validations.append(choice)


def _heading(tab: Any, column: Column, style: _Style) -> Any:
    return _cell(
        tab, column.heading, font=style.title, fill=style.required if column.required else style.filled
    )


def _cell(tab: Any, value: Any, **looks: Any) -> Any:
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(tab, value)
    for name, look in looks.items():
        setattr(cell, name, look)
    return cell


def _written(tab: Any, value: Any, column: Column) -> Any:
    """Return a cell; text that looks like a formula stays text, also when somebody edits it."""
    if column.holds == "day" and value is not None:
        return _cell(tab, value, number_format="yyyy-mm-dd")
    if not isinstance(value, str):
        return value
    if value[0] not in "=+-@":
        return value if column.holds != "text" else _cell(tab, value, number_format="@")
    return _cell(tab, value, number_format="@", quotePrefix=True, data_type="s")


def _cells(path: str, values: dict[str, Any], sheet: Sheet, findings: list[Finding]) -> list[Any]:
    """Return the cells of a row; text no cell keeps as it is goes into `findings`."""
    row = []
    for column in sheet.columns:
        try:
            row.append(cell_of(values.get(column.key), column))
        except ValueError:
            expected = f"text a cell of a workbook keeps: no control characters, not only blanks, at most {CELL_MAX} characters"
            findings.append(Finding(f"{path}.{column.key}", "text a workbook would change", expected))
            row.append(None)
    return row


def _rows(inventory: Inventory, sheet: Sheet) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, values) of each row of a sheet."""
    if sheet.key == "organization":
        of = inventory.organization
        inner = {f"electricity.{key}": value for key, value in of.electricity}
        yield sheet.key, dict(of) | inner
        return
    tables = (sheet.table,) if sheet.table else ("units", "equipment")
    for table in tables:
        for i, entry in enumerate(getattr(inventory, table), 1):
            path = f"{table}.{entry.id}" if hasattr(entry, "id") else f"{table}[{i}]"
            if not sheet.inside:
                yield path, _values(entry)
                continue
            inside = getattr(entry, sheet.inside)
            inner_rows = inside if isinstance(inside, tuple) else [inside] if inside is not None else []
            for one in inner_rows:
                yield f"{path}.{sheet.inside}", {sheet.columns[0].key: entry.id} | _values(one)


def _values(entry: Any) -> dict[str, Any]:
    return {field.alias or name: getattr(entry, name) for name, field in type(entry).model_fields.items()}


def _guide(book: Any, style: _Style) -> None:
    tab = book.create_sheet(GUIDE)
    for letter, width in zip("ABCDE", (22, 26, 24, 44, 60), strict=True):
        tab.column_dimensions[letter].width = width
    for chinese, english in GUIDE_TEXT:
        tab.append([chinese])
        tab.append([_cell(tab, english, font=style.key)])
    tab.append([])
    heads = ("工作表 sheet", "列 column", "键 key", "填写内容 holds", "可选值 choices")
    tab.append([_cell(tab, head, font=style.title, fill=style.filled) for head in heads])
    for sheet in SHEETS:
        for column in sheet.columns:
            must = " *" if column.required else ""
            words = ", ".join(f"{word} {key}" for key, word in column.words.items())
            row = (sheet.title, column.heading + must, column.key, column.hint or HOLDS[column.holds], words)
            tab.append([_cell(tab, text, alignment=style.wrapped) for text in row])
    tab.append([])
    heads = ("管理项答复 answers", "项目 item", "", "问题 question", "")
    tab.append([_cell(tab, head, font=style.title, fill=style.filled) for head in heads])
    form = [
        (key, "表 1-8-1", f"第 {n} 项", "原文措辞未见 wording not seen")
        for n, key in enumerate(MANAGEMENT, 1)
    ]
    for key, of, zh, en in (*form, *SELF_CHECK):
        tab.append([_cell(tab, text, alignment=style.wrapped) for text in (key, of, "", zh, en)])


def _width(text: str) -> int:
    """Return columns of a terminal's width, Chinese counted twice."""
    return sum(2 if ord(char) > 0x2E80 else 1 for char in text)

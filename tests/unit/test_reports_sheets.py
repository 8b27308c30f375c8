"""The writer of workbooks: what is text stays text, and equal tables make an equal file."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from openpyxl import load_workbook

from gateway.reports.sheets import Column, Sheet, save

if TYPE_CHECKING:
    from pathlib import Path

MADE = datetime(2026, 11, 15, tzinfo=UTC)


def _sheet(*values: Any, name: str = "a") -> Sheet:
    columns = [Column("栏", f"column {n}", 12) for n in range(max(len(values), 1))]
    sheet = Sheet(name, "标题", "Title", columns, ("一个说明 a note",), ("当心 mind",))
    sheet.add(*values)
    return sheet


def _read(path: Path, *values: Any) -> Any:
    save([_sheet(*values)], path, "t", "footer & co", MADE)
    return load_workbook(path)["a"]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "=cmd|' /C calc'!A0", "#N/A", "TRUE"]
)
def test_text_never_becomes_a_formula(tmp_path: Path, text: str) -> None:
    cell = _read(tmp_path / "x.xlsx", text)["A5"]
    assert (cell.value, cell.data_type) == (text, "s")
    assert cell.quotePrefix == (text[0] in "=+-@\t")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<a & b>", "<a & b>"),
        ("  two\nlines ", "  two\nlines "),
        ("bell\x07", "bell�"),
        ("_x0041_", "_x005F_x0041_"),  # openpyxl does not undo what Excel does
        ("x" * 40_000, "x" * 32_767),
    ],
)
def test_text_is_kept_as_far_as_a_cell_can_hold_it(tmp_path: Path, text: str, read: str) -> None:
    assert _read(tmp_path / "x.xlsx", text)["A5"].value == read


def test_values_keep_their_kind(tmp_path: Path) -> None:
    page = _read(tmp_path / "x.xlsx", 7, Decimal("94.99"), date(2026, 8, 31), None, "")
    assert page["A5"].value == 7
    assert (page["B5"].value, page["B5"].number_format) == (94.99, "0.00")
    assert (page["C5"].value.date(), page["C5"].number_format) == (date(2026, 8, 31), "yyyy-mm-dd")
    assert page["D5"].value is None
    assert page["E5"].value is None
    assert page["D5"].border.left.style == "thin"


def test_headings_banner_and_print_layout(tmp_path: Path) -> None:
    page = _read(tmp_path / "x.xlsx", 1, 2)
    assert page["A1"].value == "标题  Title"
    assert page["A3"].value == "当心 mind"
    assert page["B4"].value == "栏\ncolumn 1"
    assert page.freeze_panes == "A5"
    assert page.print_title_rows == "$3:$4"  # the banner goes onto every page
    assert (page.page_setup.orientation, page.page_setup.paperSize) == ("landscape", 9)
    assert (page.page_setup.fitToHeight, page.sheet_properties.pageSetUpPr.fitToPage) == (0, True)
    assert "&P" in page.oddFooter.right.text
    assert page.column_dimensions["A"].width == 12
    assert "A3:B3" in {str(one) for one in page.merged_cells.ranges}
    assert page.dimensions == "A1:B5"


def test_a_long_or_strange_name_does_no_harm_outside_the_cells(tmp_path: Path) -> None:
    name = "&D\x07\n" + "厂" * 300
    save([_sheet(1)], tmp_path / "x.xlsx", name, name, MADE)
    page = load_workbook(tmp_path / "x.xlsx")["a"]
    assert page.oddFooter is not None
    footer = "".join(str(part.text) for part in (page.oddFooter.left, page.oddFooter.right))
    assert len(footer) < 200  # Excel refuses a footer of more than 255
    assert "&D" not in footer.replace("&&", "")


def test_equal_tables_make_an_equal_file(tmp_path: Path) -> None:
    one, two = tmp_path / "1.xlsx", tmp_path / "2.xlsx"
    for path in (one, two):
        save([_sheet("a", 1), _sheet(2, name="b")], path, "t", "f", MADE)
    assert one.read_bytes() == two.read_bytes()
    book = load_workbook(one)
    assert book.sheetnames == ["a", "b"]
    assert book.properties.modified == book.properties.created == datetime(2026, 11, 15)  # noqa: DTZ001 (openpyxl's own)

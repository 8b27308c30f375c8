"""A workbook with rows far below the others is told, and costs neither memory nor minutes."""

from __future__ import annotations

import time
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import openpyxl
import pytest

from gateway.errors import ConfigError
from gateway.inventory.reading import load
from gateway.inventory.workbook import write_workbook
from tests.unit.inventory_plant import plant

if TYPE_CHECKING:
    from pathlib import Path

CELL = '<row r="{0}"><c r="A{0}" t="inlineStr"><is><t>x</t></is></c></row></sheetData>'


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Return the plant as a workbook."""
    path = tmp_path / "plant.xlsx"
    write_workbook(plant(), path)
    return path


def with_row(path: Path, number: int) -> Path:
    """Return it with one more row, written as a program may that counts as it likes."""
    book = openpyxl.load_workbook(path)
    (place,) = (i for i, name in enumerate(book.sheetnames, 1) if name.endswith("units"))
    changed = path.with_name("gap.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            text = old.read(name)
            if name == f"xl/worksheets/sheet{place}.xml":
                text = text.replace(b"</sheetData>", CELL.format(number).encode())
            new.writestr(name, text)
    return changed


@pytest.mark.parametrize(
    ("number", "found", "expected"),
    [(99_999_999, "a row", "rows up to 1048576"), (12_000, "blank ones", "at most 10000 blank rows between")],
)
def test_a_row_far_below_is_a_finding(ledger: Path, number: int, found: str, expected: str) -> None:
    path = with_row(ledger, number)
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert time.process_time() - begun < 20
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()
    (finding,) = [one for one in caught.value.findings if one.expected == expected]
    assert found in finding.found
    assert "units" in finding.path


def test_blank_rows_at_the_end_and_small_gaps_are_passed_over(ledger: Path) -> None:
    book = openpyxl.load_workbook(ledger)
    for name in book.sheetnames:
        if name.endswith("units"):
            book[name].cell(row=9_000, column=1, value=" ")
            book[name].cell(row=200, column=1, value="late")
            book[name].cell(row=200, column=2, value="后来的车间")
    book.save(ledger)
    with pytest.raises(ConfigError) as caught:
        load(ledger)
    assert all("row 200" in one.path for one in caught.value.findings), "its row is read, and lacks a role"

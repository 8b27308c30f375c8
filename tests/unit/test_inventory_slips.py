"""Common slips in an inventory's workbook: what to write is said in the cell's own words, and never the opposite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from gateway.errors import ConfigError
from gateway.inventory.answers import ITEMS
from gateway.inventory.model import Inventory, Organization
from gateway.inventory.reading import load
from gateway.inventory.sheets import GUIDE, SHEETS
from gateway.inventory.workbook import write_workbook
from tests.unit.inventory_plant import changed, findings, plant

if TYPE_CHECKING:
    from pathlib import Path

TITLES = {sheet.key: sheet.title for sheet in SHEETS}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Return the plant as a workbook."""
    path = tmp_path / "book.xlsx"
    write_workbook(plant(), path)
    return path


def put(path: Path, sheet: str, key: str, row: int, value: Any, looks: str = "General") -> Path:
    """Write one cell of the workbook. looks: its number format."""
    (columns,) = [one.columns for one in SHEETS if one.key == sheet]
    edited = openpyxl.load_workbook(path)
    cell = edited[TITLES[sheet]].cell(row, [one.key for one in columns].index(key) + 1)
    cell.value = value
    cell.number_format = looks
    edited.save(path)
    return path


def told(path: Path) -> list[str]:
    """Return (expected, suggestion) of everything found, as one text each."""
    with pytest.raises(ConfigError) as error:
        load(path)
    return [f"{one.path} | {one.found} | {one.expected} | {one.suggestion}" for one in error.value.findings]


@pytest.mark.parametrize(
    ("sheet", "key", "cell", "hint"),
    [
        ("amounts", "yearly", "2,400,000 kWh", "write 2400000 kWh"),
        ("amounts", "yearly", "50万 m3", "write 500000 m3"),
        ("amounts", "yearly", "1.25亿度", "write 125000000 kWh"),
        ("amounts", "yearly", 120, "write 120 and its unit: kWh, "),
        ("amounts", "yearly", "1200 吨", "write 1200 t"),
        ("amounts", "rated", "15 千瓦", "write 15 kW"),
        ("amounts", "rated", "2吨/小时", "write 2 t/h"),
        ("amounts", "rated", "300 Nm3/h", "write 300 m3/h and the reference condition (标准状态) into `source`; it is not"),
        ("amounts", "rated", "300 kVA", "units: W, kW"),
        ("amounts", "year", "2025年", "write 2025"),
        ("organization", "statistics_year", "2025年度", "write 2025"),
        ("organization", "electricity.transformer_kva", "315 kVA", "write 315"),
        ("losses", "percent", "2%", "write 2"),
        ("instruments", "dn_mm", "DN100", "write 100"),
        ("instruments", "accuracy_class", "一级", "write 1 if that is the class"),
        ("instruments", "accuracy_class", "0.5 S级", "write 0.5S"),
        ("verifications", "period_months", "24个月", "write 24"),
        ("verifications", "period_months", "2年", "write 24"),
        ("verifications", "conforming", "大概", "one of 是, 否 | "),
        ("flows", "from", "烧成车间", "外部, 用能单位, or the id of a unit or equipment | that is its name; its id is kilns"),
        ("equipment", "unit", "一号窑", "its id is kiln-hall"),
        ("amounts", "owner", "烧成车间", "its id is kilns"),
        ("instruments", "flows", "GRID", 'did you mean "grid"?'),
        ("instruments", "category", "电能表计量装置", "try 电能表"),
        ("answers", "item", "1-8-1", "1-8-1.1 to 1-8-1.8, or one of the self-check list"),
    ],
)  # fmt: skip
def test_what_to_write_instead(sheet: str, key: str, cell: Any, hint: str, book: Path) -> None:
    (one,) = told(put(book, sheet, key, 3, cell))
    assert TITLES[sheet] in one
    assert hint in one


def test_an_id_in_other_capitals_is_that_id(book: Path) -> None:
    put(book, "instruments", "id", 3, "em-e1")
    put(book, "instruments", "id", 4, "em-1")
    for row in (3, 4):
        put(book, "verifications", "instrument", row, "em-E1")
    for sheet in ("chain", "confirmations"):
        put(book, sheet, "instrument", 3, "em-e1")
    put(book, "nonconformities", "instrument", 3, "em-1")
    assert [one.rpartition("| ")[2] for one in told(book)] == ['did you mean "em-e1"?'] * 2


@pytest.mark.parametrize(
    ("sheet", "key", "cell"),
    [
        ("verifications", "kind", "送检"),  # a verification or a calibration
        ("verifications", "kind", "外检"),
        ("instruments", "status", "不合格"),
        ("instruments", "status", "合恪"),
        ("units", "role", "非次级用能单位"),
    ],
)
def test_nothing_is_suggested_that_may_be_the_opposite(sheet: str, key: str, cell: str, book: Path) -> None:
    (one,) = told(put(book, sheet, key, 3, cell))
    assert one.endswith("| ")


@pytest.mark.parametrize(
    ("sheet", "key", "cell", "shown"),
    [
        ("verifications", "conforming", "不合格", "否"),
        ("verifications", "conforming", "合格", "是"),
        ("verifications", "kind", "外校", "校准"),
        ("verifications", "kind", "内校", "自校"),
        ("chain", "part", "CT", "电流互感器"),
        ("chain", "part", "PT", "电压互感器"),
        ("chain", "part", "vt", "电压互感器"),
        ("flows", "origin", "外购", "外购"),
        ("flows", "origin", "自产", "自产"),
        ("flows", "origin", "余热/余能回收", "余能回收"),
        ("flows", "origin", "Bought", "外购"),
        ("flows", "energy_kind", "电", "电力"),
        ("instruments", "status", "停用", "停用"),
    ],
)
def test_usual_words_are_understood(sheet: str, key: str, cell: str, shown: str, book: Path) -> None:
    write_workbook(load(put(book, sheet, key, 3, cell)), book)
    (columns,) = [one.columns for one in SHEETS if one.key == sheet]
    place = [one.key for one in columns].index(key) + 1
    assert openpyxl.load_workbook(book)[TITLES[sheet]].cell(3, place).value == shown


def test_a_percentage_a_spreadsheet_made_of_it_is_not_taken_for_its_hundredth(book: Path) -> None:
    (one,) = told(put(book, "losses", "percent", 3, 0.02, "0%"))
    assert '"2%"' in one
    assert one.endswith("write 2")


def test_an_amount_that_cannot_be_read_is_not_told_again_by_its_year(book: Path) -> None:
    assert len(told(put(book, "flows", "yearly", 3, "4200000 度电力"))) == 1


def test_a_year_without_an_amount_names_the_column(book: Path) -> None:
    (one,) = told(put(book, "flows", "yearly", 3, None))
    assert one.endswith("fill in 年量 yearly")


def test_words_of_the_workbook_in_toml(tmp_path: Path) -> None:
    (one,) = findings(changed(('status = "limited"', 'status = "准用"')), tmp_path)
    assert one.suggestion == 'try "limited"'


def test_a_blank_workbook_is_refused_until_it_is_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "blank.xlsx"
    write_workbook(Inventory.model_construct(organization=Organization.model_construct(name="")), path)
    assert openpyxl.load_workbook(path)[TITLES["organization"]]["A3"].value is None
    (one,) = told(path)
    assert one.startswith(f"{TITLES['organization']}, row 3, column A 名称 name | nothing")


def test_the_guide_tells_what_a_channel_is_and_every_item_of_the_answers(book: Path) -> None:
    rows = list(openpyxl.load_workbook(book)[GUIDE].iter_rows(values_only=True))
    held = {row[2]: row[3] for row in rows if row[0] == TITLES["instruments"]}
    assert "_" in str(held["channel"])
    assert "energy_active_import_total" in str(held["channel"])
    assert "站点文件" in str(held["meter"])
    assert {row[0] for row in rows} >= set(ITEMS)

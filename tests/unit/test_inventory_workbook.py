"""The workbook audit teams fill in: fixed sheets, cells as people write them, findings by sheet, row and column."""

from __future__ import annotations

import datetime
import zipfile
from typing import TYPE_CHECKING, Any, get_args

import openpyxl
import pytest

from gateway.errors import ConfigError, MetergateError
from gateway.inventory import model, workbook_reading
from gateway.inventory.reading import from_body, load
from gateway.inventory.sheets import GUIDE, SHEETS
from gateway.inventory.workbook import write_workbook
from tests.unit.inventory_plant import plant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config.base import Table
    from gateway.inventory.model import Inventory

MODELS: dict[str, type[Table]] = {
    "organization": model.Organization,
    "units": model.Unit,
    "equipment": model.Equipment,
    "amounts": model.KindAmount,
    "flows": model.Flow,
    "instruments": model.Instrument,
    "chain": model.ChainPart,
    "verifications": model.Verification,
    "confirmations": model.Confirmation,
    "nonconformities": model.Nonconformity,
    "losses": model.Loss,
    "staff": model.Staff,
    "stocks": model.Stock,
    "answers": model.Answer,
}
ELSEWHERE = {"electricity", "amounts", "chain", "verifications", "confirmation", "nonconformities"}
"""Fields with a sheet or columns of their own."""
NOON = datetime.datetime(2019, 5, 1, 12)  # noqa: DTZ001 - a cell knows no zone
INSTRUMENTS, VERIFICATIONS = "计量器具 instruments", "检定校准 verifications"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Return the plant as a workbook."""
    path = tmp_path / "ledger.xlsx"
    write_workbook(plant(), path)
    return path


def edited(path: Path, **cells: Any) -> Path:
    """Return the workbook with cells of the instruments set; sheet by sheet with `edit`."""
    return edit(path, INSTRUMENTS, cells)


def edit(path: Path, sheet: str, cells: dict[str, Any]) -> Path:
    book = openpyxl.load_workbook(path)
    for place, value in cells.items():
        book[sheet][place] = value
    book.save(path)
    return path


def column(sheet: str, key: str) -> str:
    """Return the letter of a column."""
    (found,) = [one for one in SHEETS if one.title == sheet]
    return openpyxl.utils.get_column_letter([one.key for one in found.columns].index(key) + 1)


def refused(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(path)
    return [str(one) for one in error.value.findings]


def test_the_sheets_have_every_key_of_every_table() -> None:
    assert [sheet.key for sheet in SHEETS] == list(MODELS)
    for sheet in SHEETS:
        keys = {field.alias or name for name, field in MODELS[sheet.key].model_fields.items()}
        own = [one.key for one in sheet.columns if "." not in one.key]
        assert set(own) - {"owner", "instrument"} == keys - ELSEWHERE, sheet.key
        assert len({one.heading for one in sheet.columns}) == len(sheet.columns)
        for one in sheet.columns:
            field = MODELS[sheet.key].model_fields.get(one.key)
            if one.holds == "word" and field is not None and one.key != "energy_kind":
                assert set(one.words) == set(get_args(field.annotation)) - {""}, one.key
    electricity = {one.key.partition(".")[2] for one in SHEETS[0].columns if "." in one.key}
    assert electricity == set(model.Electricity.model_fields)


def test_what_a_workbook_looks_like(ledger: Path) -> None:
    book = openpyxl.load_workbook(ledger)
    assert book.sheetnames == [GUIDE, *(sheet.title for sheet in SHEETS)]
    tab = book[INSTRUMENTS]
    assert [tab["A1"].value, tab["A2"].value, tab["A3"].value] == ["标识", "id", "em-101"]
    assert tab.freeze_panes == "C3"
    status = column(INSTRUMENTS, "status")
    assert tab[f"{status}4"].value == "准用"
    lists = {str(one.sqref).partition(":")[0]: one.formula1 for one in tab.data_validations.dataValidation}
    assert lists[f"{status}3"] == '"合格,准用,停用"'
    assert book[VERIFICATIONS]["B3"].value == NOON.replace(2024, 3, 1, 0)
    assert book[VERIFICATIONS]["B3"].number_format == "yyyy-mm-dd"
    assert tab.column_dimensions["B"].width > 10


def test_it_reads_back_equal(ledger: Path) -> None:
    assert load(ledger) == plant()


@pytest.mark.parametrize(
    ("sheet", "key", "cell", "meant"),
    [
        (INSTRUMENTS, "status", "准用", "limited"),
        (INSTRUMENTS, "status", " qualified ", "qualified"),
        (INSTRUMENTS, "category", "电能表", "electricity_meter"),
        (INSTRUMENTS, "running", "维护", "repair"),
        (INSTRUMENTS, "serial", 20190001, "20190001"),
        (INSTRUMENTS, "serial", 1.5, "1.5"),
        (INSTRUMENTS, "accuracy_class", 0.5, "0.5"),
        (INSTRUMENTS, "accuracy_class", "0.5s级", "0.5S"),
        (INSTRUMENTS, "flows", "kilns-power、kiln-power", ("kilns-power", "kiln-power")),
        (INSTRUMENTS, "flows", "kilns-power,kiln-power,", ("kilns-power", "kiln-power")),
        (INSTRUMENTS, "installed", "2019/5/1", datetime.date(2019, 5, 1)),
        (INSTRUMENTS, "installed", "2019年5月1日", datetime.date(2019, 5, 1)),
        (INSTRUMENTS, "installed", NOON, datetime.date(2019, 5, 1)),
        (INSTRUMENTS, "dn_mm", 80.0, 80),
        (INSTRUMENTS, "dn_mm", "80", 80),
        (INSTRUMENTS, "remark", "=1+1 is text", "=1+1 is text"),
    ],
)
def test_cells_as_people_write_them(sheet: str, key: str, cell: Any, meant: Any, ledger: Path) -> None:
    book = openpyxl.load_workbook(ledger)
    place = book[sheet][f"{column(sheet, key)}4"]
    place.value = cell
    if isinstance(cell, str):
        place.data_type = "s"
    book.save(ledger)
    assert getattr(load(ledger).instruments[1], key) == meant


def test_words_of_ends_and_flags(ledger: Path) -> None:
    flows = "流向 flows"
    edit(ledger, flows, {"C3": "外部", "D3": "本单位", f"{column(flows, 'state')}4": "停用断开", "G3": False})
    edit(ledger, VERIFICATIONS, {f"{column(VERIFICATIONS, 'conforming')}3": "否"})
    back = load(ledger)
    assert back.flows[0].ends == ("outside", "organization")
    assert back.flows[1].state == "disconnected"
    assert [one.conforming for one in back.instruments[0].verifications] == [False, True]


@pytest.mark.parametrize(
    ("sheet", "key", "row", "cell", "told"),
    [
        (INSTRUMENTS, "status", 4, "合恪", ("row 4, column E 检定校准状态 status", "one of 合格, 准用, 停用")),
        (INSTRUMENTS, "category", 3, None, ("row 3, column C 计量器具类别 category", "nothing")),
        (INSTRUMENTS, "flows", 3, "gird", ("row 3, column D 所测流向标识 flows", '"gird"', '"grid"')),
        (INSTRUMENTS, "own_number", 4, "E-001", ("row 4, column L 管理编号 own_number", "instruments row 3 has it already")),
        (INSTRUMENTS, "installed", 3, "43586", ("row 3, column Y 安装日期 installed", "a day such as")),
        (VERIFICATIONS, "until", 4, "2026-01-01", ("row 4, column F 有效期至 until", "not before")),
        (VERIFICATIONS, "instrument", 4, "em-110", ("row 4, column A 器具标识 instrument", '"em-110"', "em-10")),
        (VERIFICATIONS, "instrument", 4, None, ("row 4, column A 器具标识 instrument", "nothing")),
        (VERIFICATIONS, "until", 4, "=DATE(2028,1,1)", ("row 4, column F", "never computed", "save")),
        (VERIFICATIONS, "until", 4, "#N/A", ("row 4, column F", "#N/A")),
        ("计量确认 confirmations", "by", 3, None, ("计量确认 confirmations, row 3, column B 确认人 by", "nothing")),
        ("用能单位 organization", "credit_code", 3, "9135", ("用能单位 organization, row 3, column B", "18")),
        ("用能单位 organization", "electricity.phases", 3, 2, ("electricity.phases", "1, 3")),
        ("用能量 amounts", "yearly", 3, 2400000, ("用能量 amounts, row 3", "with its unit")),
        (INSTRUMENTS, "status", 2, "state", ("row 2, column E", '"state"', "unknown column")),
        (INSTRUMENTS, "serial", 2, "model", ("row 2", "model again")),
        (INSTRUMENTS, "category", 2, None, ("no such column", "计量器具类别 category")),
    ],
)  # fmt: skip
def test_findings_name_sheet_row_and_column(
    sheet: str, key: str, row: int, cell: Any, told: tuple[str, ...], ledger: Path
) -> None:
    found = refused(edit(ledger, sheet, {f"{column(sheet, key)}{row}": cell}))
    assert all(text in found[0] for text in (sheet, *told)), found


def test_columns_may_be_moved_and_rows_be_blank(ledger: Path) -> None:
    book = openpyxl.load_workbook(ledger)
    tab = book[INSTRUMENTS]
    tab.move_range("B1:B4", cols=60)
    tab.move_range("A4:BJ4", rows=700)
    book.create_sheet("我的备注")["A1"] = "notes of our own"
    book.save(ledger)
    assert load(ledger) == plant()


def test_a_second_row_of_the_organization_and_a_misspelt_sheet(ledger: Path) -> None:
    book = openpyxl.load_workbook(ledger)
    book["用能单位 organization"]["A4"] = "another"
    book["流向 flows"].title = "流向 flow"
    book.save(ledger)
    found = refused(ledger)
    assert any("unknown sheet" in one and "流向 flows" in one for one in found)
    assert any("row 4" in one and "one organisation" in one for one in found)


def test_text_that_looks_like_a_formula_stays_text(tmp_path: Path) -> None:
    texts = ["=HYPERLINK(1)", "+1", "-1", "@x"]
    for text in texts:
        path = tmp_path / "x.xlsx"
        write_workbook(from_body({"organization": {"name": text}}, "x"), path)
        cell = openpyxl.load_workbook(path)["用能单位 organization"]["A3"]
        assert (cell.data_type, cell.value, cell.quotePrefix) == ("s", text, True)


@pytest.mark.parametrize("text", ["a\x07b", " ", "x" * 40_000, "a_x0041_b", "a\rb"])
def test_text_no_cell_keeps_is_refused_and_nothing_is_written(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    with pytest.raises(ConfigError) as error:
        write_workbook(from_body({"organization": {"name": text}}, "x"), path)
    assert error.value.findings[0].path == "organization.name"
    assert list(tmp_path.iterdir()) == []


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet99.xml", b"0" * (1 << 20))


@pytest.mark.parametrize(("damage", "told"), [(_cut, "a broken file"), (_bomb, "unpacks to more")])
def test_files_that_are_no_workbooks(
    damage: Callable[[Path], None], told: str, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook_reading, "UNPACKED_MAX_BYTES", 1 << 20)
    damage(ledger)
    assert told in refused(ledger)[0]


def test_without_openpyxl_it_says_what_to_install(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    inventory: Inventory = plant()
    for attempt in (lambda: load(ledger), lambda: write_workbook(inventory, ledger)):
        with pytest.raises(MetergateError, match="report"):
            attempt()

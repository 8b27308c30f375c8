"""What inspections on site found reaches page, workbook and pack: who, when, item, result; findings until they are closed."""

from __future__ import annotations

import html
import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner

from gateway.commands.cli import app
from tests.unit.ledger_site import make_site, run

if TYPE_CHECKING:
    from pathlib import Path

SAID = "--text", "no label", "--clause", "GB 17167-2006 5.3.7", "--owner", "Zhao"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    made = make_site(tmp_path)
    run(made, "inspect", "draw", "--size", "15", "--seed", "s", "--by", "Wang")
    seen = (
        "--serial",
        "ok",
        "--label",
        "wrong",
        "--seal",
        "wrong",
        "--display",
        "12.5 kWh",
        "--display-verdict",
        "wrong",
    )
    run(made, "inspect", "record", "1", "m-in", *seen, "--by", "Li", "--note", "behind a pipe")
    run(made, "inspect", "record", "1", "m-to-ua", "--serial", "ok", "--by", "Li")
    for item in ("label", "display"):
        about = "--instrument", "m-in", "--item", item, "--due", "2020-10-01"
        run(made, "inspect", "finding", "open", "1", *about, *SAID)
    run(
        made,
        "inspect",
        "finding",
        "close",
        "1",
        "1",
        "--how",
        "label put on",
        "--document",
        "photo 17",
        "--by",
        "Wang",
    )
    return made


def _written(site: Path, *words: str) -> None:
    done = CliRunner().invoke(app, ["fitting", "--config", str(site), *words])
    assert done.exit_code in (0, 1), done.output


def test_the_page_tells_them(site: Path, tmp_path: Path) -> None:
    _written(site, "--html", str(tmp_path / "page.html"), "--lang", "en")
    text = html.unescape((tmp_path / "page.html").read_text())
    second = text[text.index('<section id="s_inspection">') : text.index('<section id="s_calculation">')]
    fourth = text[text.index('<section id="s_findings">') : text.index('<section id="s_diagrams">')]
    for words in (
        "behind a pipe",
        "12.5 kWh / – / –",
        "seal whole",
        "✗ label as in the ledger",
        "Li",
        "not inspected yet",
    ):
        assert words in second, words
    for words in (
        "no label",
        "GB 17167-2006 5.3.7",
        "Zhao",
        "2020-10-01",
        "label put on (Wang) photo 17",
        "open, overdue",
    ):
        assert words in fourth, words
    assert "wrong, no finding opened yet" in fourth


def _sheets(content: bytes) -> dict[str, list[str]]:
    book = load_workbook(io.BytesIO(content))
    return {page.title: [str(cell.value) for row in page for cell in row if cell.value] for page in book}


def test_the_workbook_tells_them(site: Path, tmp_path: Path) -> None:
    _written(site, "--workbook", str(tmp_path / "book.xlsx"))
    sheets = _sheets((tmp_path / "book.xlsx").read_bytes())
    assert {"behind a pipe", "标识 label, 铅封 seal, 表码 display", "Li"} <= set(sheets["2 检查 Inspection"])
    fourth = sheets["4 问题 Findings"]
    assert {"no label", "GB 17167-2006 5.3.7", "Zhao", "2020-10-01"} <= set(fourth)
    assert any("label put on" in one for one in fourth)
    assert any("已逾期" in one for one in fourth)


def test_a_pack_has_reports_that_tell_them(site: Path, tmp_path: Path) -> None:
    run(site, "evidence", "pack", "--out", str(tmp_path / "pack.zip"), "--unsigned")
    with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
        assert "behind a pipe" in pack.read("report.zh.html").decode()
        assert "behind a pipe" in _sheets(pack.read("workbook.xlsx"))["2 检查 Inspection"]


def test_without_an_inspection_nothing_is_added(tmp_path: Path) -> None:
    _written(make_site(tmp_path), "--html", str(tmp_path / "page.html"), "--lang", "en")
    text: Any = (tmp_path / "page.html").read_text()
    assert "Found on site</caption>" not in text
    assert "Findings of inspections" not in text

"""Yearly form 1-8-1 and the self-check list: counted, declared or proved, never inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.fitting_rig import instrument
from tests.unit.workbook_rig import OLD, Reader, works

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("book") / "x.xlsx", works())


def _after(book: Reader, title: str) -> list[tuple[Any, ...]]:
    """Return the lines of a part of the form, up to the next part."""
    lines = list(book.sheet("1-8-1").iter_rows(values_only=True))
    start = next(n for n, line in enumerate(lines) if str(line[0]).startswith(title))
    found = []
    for line in lines[start + 1 :]:
        if str(line[0])[:2] in ("一、", "二、", "三、", "四、"):
            break
        found.append(line)
    return found


def test_flows_of_levels_1_and_2(book: Reader) -> None:
    head, power, water, subtotal_head, subtotal = _after(book, "一、")
    assert head[2].startswith("能源种类及限定值")
    assert power[:5] == (1, "f1", "电力 electricity", "电能表 electricity meter", "良好 good")
    assert power[6] == "是 yes"
    assert water[3:7] == ("未配备 not fitted", None, None, None)
    assert [one.split("\n")[0] for one in subtotal_head[:6]] == [
        "小计",
        "应配数量",
        "实配数量",
        "配备率 %",
        "完好率 %",
        "检定率 %",
    ]
    assert subtotal[:6] == ("小计 Subtotal", 2, 1, 50, 100, 100)
    expired = _after(book, "二、")[1]
    assert expired[2] == "电力 electricity (10 kW)"
    assert expired[6] == "否 no"
    assert _after(book, "二、")[-1][:6] == ("小计 Subtotal", 2, 1, 50, 100, 0)


def test_main_equipment_has_no_rate_of_verification(book: Reader) -> None:
    _, machine, head, subtotal = _after(book, "三、")
    assert machine[:7] == (1, "e1", "电力 electricity (100 kW)", "未配备 not fitted", 1, 0, 0)
    assert len([one for one in head if one is not None]) == 5
    assert subtotal[:6] == ("小计 Subtotal", 1, 0, 0, None, None)


def test_management_items_are_declared_by_key(book: Reader) -> None:
    items = _after(book, "四、")[2:]
    assert len(items) == 8
    assert items[0][2:4] == ("是 yes", "制度-01")
    assert all("wording not seen" in item[1] for item in items)
    assert [item[2] for item in items[1:]] == [None] * 7


def _answers(book: Reader) -> dict[str, tuple[Any, Any, Any]]:
    rows = book.rows("自查表", "类别")
    return {row["键"]: (row["答案"], row["答案来源"], row["依据文件"]) for row in rows}


def test_declared_answers_stand_as_declared(book: Reader) -> None:
    answers = _answers(book)
    assert len(answers) == 33
    assert answers["2017.3.1.1"] == ("×", "申报 declared", "会议纪要")
    assert answers["2017.3.6.1"] == ("—", "申报 declared", "说明")
    assert any("house-rule" in text for text in book.texts("自查表"))


def test_what_is_neither_declared_nor_proved_stays_empty(book: Reader) -> None:
    answers = _answers(book)
    for key in ("2017.1.1", "2017.2.1", "2017.3.2.1", "2017.3.4.3", "2017.3.5.3", "2017.3.4.5"):
        assert answers[key] == (None, None, None)


def test_a_declared_answer_against_the_evidence_is_marked(book: Reader) -> None:
    """m2 is in use and out of its period, so not all equipment in use is confirmed."""
    mark, by, _ = _answers(book)["2017.2.3"]
    assert mark == "√"
    assert by == "申报,与证据不符 declared, against the evidence"


def test_what_the_gateway_proves_is_marked_as_its_own(tmp_path: Path) -> None:
    good = works(instruments=[instrument("m1", "f1")], answers=[])
    answers = _answers(Reader(tmp_path / "x.xlsx", good, revision=3))
    proved = ("√", "网关证明 proved by the gateway", None)
    for key in ("2017.1.4.2", "2017.1.5", "2017.2.3", "2017.3.4.1", "2017.3.4.2", "2017.3.4.7", "2017.3.7.1"):
        assert answers[key] == proved, key
    assert answers["2017.3.4.4"] == (None, None, None)  # nothing was ever found nonconforming


def test_a_file_handed_in_proves_nothing_by_itself(tmp_path: Path) -> None:
    handed_in = works(instruments=[instrument("m1", "f1")], answers=[], handed_in=True)
    answers = _answers(Reader(tmp_path / "x.xlsx", handed_in, revision=3))
    assert answers["2017.1.4.2"] == answers["2017.3.7.1"] == (None, None, None)


def test_without_a_revision_or_history_less_is_proved(tmp_path: Path) -> None:
    bad = works(instruments=[instrument("m1", "f1", verifications=OLD)], answers=[], proved=False)
    answers = _answers(Reader(tmp_path / "x.xlsx", bad, revision=None))
    for key in ("2017.1.4.2", "2017.2.3", "2017.3.4.1", "2017.3.4.7", "2017.3.7.1"):
        assert answers[key] == (None, None, None), key

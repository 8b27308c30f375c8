"""The workbook of an evaluation against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from gateway.fitting.result import result
from gateway.reports.forms import write_workbook
from tests.unit.fitting_rig import flow, instrument, shipped
from tests.unit.workbook_rig import MADE_AT, Reader, works

if TYPE_CHECKING:
    from pathlib import Path

SHEETS = ["封面", "1", "2", "3", "4", "水", *(f"B.{n}" for n in range(1, 11)), "1-8-1", "自查表"]
L1, L2, L3 = "一级 进出用能单位 L1", "二级 进出主要次级用能单位 L2", "三级 主要用能设备 L3"
POWER, WATER = "电力 electricity", "水 water"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("book") / "x.xlsx", works())


def _by_kind(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["级别"], row["能源种类"]): row for row in rows}


def test_sheets_stand_in_the_order_of_the_inspection_standard(book: Reader) -> None:
    assert [name.split(" ")[0] for name in book.book.sheetnames] == SHEETS


def test_rates_are_those_worked_out_by_hand(book: Reader) -> None:
    rows = _by_kind(book.rows("B.8", "级别"))
    expected = {
        (L1, POWER): (1, 1, 100, "符合 meets", 1, 1, 100),
        (L1, WATER): (1, 0, 0, "不符合 misses", 0, 0, None),
        (L1, "小计 Subtotal"): (2, 1, 50, None, 1, 1, 100),
        (L2, POWER): (2, 1, 50, "不符合 misses", 1, 0, 0),
        (L2, "小计 Subtotal"): (2, 1, 50, None, 1, 0, 0),
        (L3, POWER): (1, 0, 0, "不符合 misses", 0, 0, None),
        (L3, "小计 Subtotal"): (1, 0, 0, None, 0, 0, None),
    }
    heads = ("应配", "实配", "配备率 %", "判定", "在线", "有效", "检定率 %")
    assert {key: tuple(row[head] for head in heads) for key, row in rows.items()} == expected


def test_rows_say_what_the_json_says(book: Reader) -> None:
    rows = _by_kind(book.rows("3", "级别"))
    levels = {1: L1, 2: L2, 3: L3}
    for body in result(works())["rates"]:
        (row,) = (
            row
            for key, row in rows.items()
            if key[0] == levels[body["level"]] and body["energy_kind"] in key[1]
        )
        assert (row["应配 Nl"], row["实配 Ns"]) == (body["need"], body["fitted"])
        assert row["配备率 Rp %"] == body["rate_percent"]
        assert row["要求 %"] == body["required_percent"]


def test_a_rate_that_rounding_would_lift_is_shown_as_missed(tmp_path: Path) -> None:
    outcome = works()
    rows = tuple(
        replace(row, need=100_000, fitted=94_997, rate=Fraction(94_997, 100_000), required=Decimal(95))
        if (row.level, row.energy_kind) == (3, "electricity")
        else row
        for row in outcome.rows
    )
    book = Reader(tmp_path / "x.xlsx", replace(outcome, rows=rows))
    row = _by_kind(book.rows("B.8", "级别"))[L3, POWER]
    assert (row["配备率 %"], row["判定"]) == (94.99, "不符合 misses")
    assert "94.997 % < 95 %" in row["说明"]


def test_without_history_connected_and_effective_stay_empty(tmp_path: Path) -> None:
    book = Reader(tmp_path / "x.xlsx", works(proved=False))
    for row in book.rows("B.8", "级别"):
        assert (row["在线"], row["有效"], row["自动采集率 Rz %"]) == (None, None, None)
    (first, *_) = book.rows("2", "序号")
    assert (first["已配备"], first["在线"], first["有效"]) == ("是 yes", None, None)


def test_no_verdict_without_the_banner_of_a_superseded_edition(book: Reader) -> None:
    banner = "GB17167-2006 已于 2026-02-01 被 GB17167-2025 代替"
    texts = {page.title.split(" ")[0]: book.texts(page.title) for page in book.book.worksheets}
    bannered = {name for name, told in texts.items() if any(text.startswith(banner) for text in told)}
    judging = {
        name for name, told in texts.items() if any("meets" in text or "misses" in text for text in told)
    }
    assert {"3", "水", "B.8"} <= judging <= bannered
    assert {"封面", "1", "2", "4", "B.2", "B.9", "1-8-1", "自查表"} <= bannered


def test_an_edition_in_force_has_no_banner(tmp_path: Path) -> None:
    outcome = works()
    current = outcome.ruleset.model_copy(
        update={"ruleset": outcome.ruleset.ruleset.model_copy(update={"superseded_on": None})}
    )
    book = Reader(tmp_path / "x.xlsx", replace(outcome, ruleset=current))
    assert not [text for text in book.texts("B.8") if "Superseded" in text]


def test_an_empty_ruleset_judges_nothing_and_says_so(tmp_path: Path) -> None:
    outcome = works()
    empty = replace(outcome, ruleset=shipped("GB17167-2025"), rows=())
    book = Reader(tmp_path / "x.xlsx", empty)
    assert book.rows("B.8", "级别") == []
    assert any("nothing can be judged" in text for text in book.texts("B.8"))


def test_needs_name_flow_reason_and_clause(book: Reader) -> None:
    rows = book.rows("1", "序号")
    assert [(row["级别"], row["流向"], row["计入应配"]) for row in rows] == [
        (L1, "f1", "是 yes"),
        (L1, "w1", "是 yes"),
        (L2, "f2", "是 yes"),
        (L2, "f3", "是 yes"),
        (L3, "f4", "是 yes"),
    ]
    assert rows[0]["从 → 至"] == "外部 outside → 用能单位 organisation"
    assert "GB17167-2006" in rows[0]["依据"]
    assert "150 kW ≥ 100 kW" in rows[4]["理由"]


def test_findings_say_what_to_do(book: Reader) -> None:
    rows = book.rows("4", "序号")
    found = {(row["类型"].split(" ")[0], row["流向或器具"]) for row in rows}
    assert {
        ("未配备", "f3"),
        ("未配备", "f4"),
        ("未配备", "w1"),
        ("超期", "m2"),
        ("不计入实配", "m-spare"),
    } <= found
    assert ("未配备", "f1") not in found
    assert ("无足够有效数据", "m2") in found
    (expired,) = (row for row in rows if row["类型"].startswith("超期"))
    assert "2021-02-28" in expired["事实"]
    assert "5.3.6" in expired["依据"]
    assert all(row["建议"] for row in rows if row["类型"].startswith("未配备"))


def test_what_no_rate_is_demanded_of_is_told_apart(tmp_path: Path) -> None:
    flows = [
        flow("f1", "outside>organization", "electricity"),
        flow("f2", "outside>organization", "electricity"),
        flow("a1", "outside>organization", "compressed_air"),
    ]
    instruments = [instrument("m1", "f1"), instrument("m9", "f2"), instrument("m8", "f2", meter="live")]
    outcome = works(units=[], equipment=[], flows=flows, instruments=instruments)
    book = Reader(tmp_path / "x.xlsx", outcome)
    found = {row["流向或器具"]: row["类型"] for row in book.rows("4", "序号")}
    assert found["a1"] == "未配备,无配备率要求 missing, no rate demanded"
    assert found["m9"] == "未接入网关 not connected"
    assert found["m8"] == "无足够有效数据 too few good readings"
    rows = book.rows("B.8", "级别")
    assert [(row["能源种类"], row["应配"], row["实配"]) for row in rows] == [
        (POWER, 2, 2),
        ("压缩空气 compressed air", 1, 0),
        ("小计 Subtotal", 3, 2),
        ("其中有配备率要求 of these, rate demanded", 2, 2),
    ]
    assert rows[1]["判定"] == "无要求 none demanded"


def test_ledger_shows_the_class_of_a_valid_certificate_alone(book: Reader) -> None:
    rows = {row["标识"]: row for row in book.rows("B.3", "序号")}
    assert set(rows) == {"m1", "m2", "m-spare", "w-old"}
    assert (rows["m1"]["准确度等级"], rows["m1"]["等级来源"]) == ("0.5", "有效证书 valid certificate")
    assert rows["m2"]["准确度等级"] == "0.5 *"
    assert "超期" in rows["m2"]["等级来源"]
    assert rows["m2"]["测量范围"] == "0–5 A"
    assert rows["w-old"]["状态"] == "停用 stopped"
    assert rows["m1"]["检定周期/校准间隔"] == "12 个月 months, 检定 verification"
    parts = {name: {row["标识"] for row in book.rows(name, "序号")} for name in ("B.4", "B.5", "B.6", "B.7")}
    assert parts == {"B.4": {"m1", "w-old"}, "B.5": {"m2"}, "B.6": set(), "B.7": {"m-spare"}}


def test_names_from_the_ledger_are_never_formulas(book: Reader) -> None:
    cells = [cell for page in book.book.worksheets for row in page.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert "=HYPERLINK(1)" in [cell.value for cell in cells]
    assert all(
        cell.quotePrefix for cell in cells if cell.value in ("=HYPERLINK(1)", "-1", "@home\n内部 internal")
    )


def test_main_equipment_is_listed_with_its_limit(book: Reader) -> None:
    (row,) = book.rows("B.2", "序号")
    assert (row["设备名称"], row["额定或实际用能"], row["限定值"]) == ("e1", "150 kW", "100 kW")
    assert (row["应配"], row["实配"], row["判定"]) == (1, 0, "达到 reached")


def test_classes_are_counted_by_level(book: Reader) -> None:
    rows = book.rows("B.9", "级别")
    (row,) = (row for row in rows if row["级别"] == L1 and row["计量器具类别"].startswith("电能表"))
    assert (row["证书等级"], row["要求等级"], row["计量点数"], row["符合数"]) == ("0.5", "0.5", 1, 1)


def test_declared_forms_hold_what_is_declared(book: Reader) -> None:
    (person,) = book.rows("B.1", "序号")
    assert (person["姓名"], person["任命文件"]) == ("王工", "任命-7")
    (stock,) = book.rows("B.10", "序号")
    assert (stock["购入量"], stock["消耗量"], stock["年末库存"]) == ("1200 t", None, None)


def test_water_has_three_results(tmp_path: Path) -> None:
    book = Reader(tmp_path / "x.xlsx", works())
    lines = list(book.sheet("水").iter_rows(values_only=True))
    heads = [n for n, line in enumerate(lines) if str(line[0]).startswith(("一、", "二、", "三、"))]
    assert len(heads) == 3
    assert lines[heads[0] + 1][:5] == (L1, WATER, 1, 0, "台 pcs")
    share = lines[heads[2] + 1]
    assert (share[0], share[2], share[3], share[4], share[5]) == (L1, "20000", "0", "t", 0)


def test_an_unknown_amount_of_water_is_no_zero(tmp_path: Path) -> None:
    flows = [flow("w1", "outside>organization", "water")]
    book = Reader(tmp_path / "x.xlsx", works(units=[], equipment=[], flows=flows, instruments=[]))
    lines = list(book.sheet("水").iter_rows(values_only=True))
    start = next(n for n, line in enumerate(lines) if str(line[0]).startswith("三、"))
    assert lines[start + 1][2] is None
    assert lines[start + 1][5] is None
    assert "w1" in lines[start + 1][10]


def test_a_balance_adds_a_sheet(tmp_path: Path) -> None:
    from gateway.fitting.balance import balances

    outcome = works()
    assert outcome.evidence is not None
    found = balances(outcome.inventory, outcome.ruleset, outcome.evidence)
    book = Reader(tmp_path / "x.xlsx", outcome, balance=found)
    rows = book.rows("能量平衡", "位置")
    assert rows
    assert {row["结论"] for row in rows} == {"不判定 not judged"}  # no instrument delivered an amount
    assert all(row["残差"] is None for row in rows)


def test_cover_names_what_was_judged_by_what(tmp_path: Path) -> None:
    outcome = works()
    cover = Reader(tmp_path / "x.xlsx", outcome, revision=None).texts("封面")
    told = "\n".join(cover)
    for expected in (
        "2026-11-15",
        "2026-10-01 – 2026-10-31",
        outcome.inventory.digest,
        outcome.ruleset.digest,
        "inventory not applied",
        "unit_trigger = any",
        "盖章 Seal",
        MADE_AT,
    ):
        assert expected in told


def test_equal_arguments_make_an_equal_file(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_workbook(works(), tmp_path / name, made_at=MADE_AT, revision=1)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()

"""What people read in Chinese is Chinese: clauses, other sources, places, reasons."""

from __future__ import annotations

import json
import re
from datetime import date
from html import unescape
from pathlib import Path

import openpyxl

from gateway.evidence.evidence_file import read_evidence
from gateway.fitting.balance import balances
from gateway.fitting.citations import citations
from gateway.fitting.evaluate import evaluate
from gateway.fitting.ruleset_check import rows_of
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.reading import load
from gateway.reports.forms import write_workbook
from gateway.reports.page import page
from tests.unit import report_rig as rig

ROOT = Path(__file__).parents[2]

ENGLISH = re.compile(r"[A-Za-z]{2,}(?:[ ,;:]+[A-Za-z]{2,}){2}")
"""More than two English words in a row."""


def test_every_clause_and_conflict_shipped_can_be_read_in_chinese() -> None:
    for name in Rulesets().names():
        ruleset = Rulesets().get(name)
        for place, row in rows_of(ruleset):
            has_words = re.search(r"[a-z]{3,}", row.clause)
            assert not has_words or row.clause_zh, f"{name} {place}"
            assert not re.search(r"[a-z]{3,}", row.clause_zh), f"{name} {place}"
            assert bool(row.conflict) == bool(row.conflict_zh), f"{name} {place}"
        for switch, one in ruleset.interpretations.items():
            assert not re.search(r"[a-z]{3,}", one.clause) or one.clause_zh, f"{name} {switch}"


def test_one_clause_has_one_chinese_text() -> None:
    for name in Rulesets().names():
        found: dict[str, set[str]] = {}
        for _, row in rows_of(Rulesets().get(name)):
            found.setdefault(row.clause, set()).add(row.clause_zh)
        assert all(len(one) == 1 for one in found.values()), name


def test_a_clause_without_words_of_its_own_stays_as_it_is() -> None:
    cited = citations(rig.outcome_of(rig.foundry()))
    assert cited.clause("GB17167-2006 4.3.5, table 3") == "GB17167-2006 4.3.5 表3"
    assert cited.clause("GB17167-2006: no rate") == "GB17167-2006: 无配备率要求"
    assert cited.clause("GBT24789-2022 5.3") == "GBT24789-2022 5.3"
    assert cited.clauses(("GB17167-2006 4.3.8, table 4", "X 1")) == "GB17167-2006 4.3.8 表4; X 1"


def test_advice_names_outside_and_organisation_in_chinese() -> None:
    outcome = rig.outcome_of(rig.foundry())
    told = [one for row in outcome.rows for one in row.judged if one.advice]
    zh = [one.advice_zh for one in told]
    assert any("外部 → 用能单位" in text or "用能单位 → " in text for text in zh)
    assert not [text for text in zh if re.search(r"\b(outside|organization)\b", text)]
    assert any("→ organization" in one.advice or "organization →" in one.advice for one in told)


def _visible(html: str) -> list[str]:
    """Return the texts of a page that people read, without commands to type and digests."""
    html = re.sub(r"<(style|script|svg|pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    return [unescape(text).strip() for text in re.split(r"<[^>]*>", html) if text.strip()]


def test_the_chinese_page_has_no_english_sentence() -> None:
    for ruleset in ("GB17167-2006", "GB17167-2025"):
        for proved in (True, False):
            outcome = rig.outcome_of(rig.foundry(), ruleset=ruleset, proved=proved)
            html = page(outcome, "zh", made_at="2026-08-15 09:00", revision=1)
            assert [text for text in _visible(html) if ENGLISH.search(text)] == []


def test_the_chinese_page_of_the_example_plant_has_no_english_sentence() -> None:
    inventory = load(ROOT / "config" / "inventory.example.toml")
    rulesets = Rulesets()
    rules = rulesets.get("GB17167-2006"), rulesets.get("GBT24789-2022")
    proof = read_evidence(ROOT / "docs" / "specs" / "examples" / "example-plant-evidence.json")
    outcome = evaluate(inventory, *rules, date(2026, 11, 22), proof)
    html = page(outcome, "zh", made_at="2026-11-22 09:00", revision=1)
    own = json.dumps(inventory.model_dump(mode="json"), ensure_ascii=False) + proof.source
    names = sorted(set(re.findall(r"[A-Za-z][A-Za-z0-9 ,;:.()/+-]+", own)), key=len, reverse=True)
    left = [re.sub("|".join(map(re.escape, names)), "", text) for text in _visible(html)]
    assert [text for text in left if ENGLISH.search(text)] == []
    assert "4.3.5 表3(蒸汽行)" in html
    assert "2026年某公开模板" not in html or "A public audit template" not in html


def test_each_cell_of_the_workbook_says_it_in_chinese_too(tmp_path: Path) -> None:
    outcome = rig.outcome_of(rig.foundry())
    assert outcome.evidence is not None
    found = balances(outcome.inventory, outcome.ruleset, outcome.evidence)
    write_workbook(outcome, tmp_path / "x.xlsx", made_at="2026-08-15", revision=1, balance=found)
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    cells = [
        (sheet.title, cell.coordinate, str(cell.value)) for sheet in book for row in sheet for cell in row
    ]
    assert any("不计量" in text or "未计量" in text for name, _, text in cells if name.startswith("能量平衡"))
    alone = [one for one in cells if ENGLISH.search(one[2]) and not re.search("[\u4e00-\u9fff]", one[2])]
    assert alone == []

"""What people read in Chinese is Chinese: clauses, other sources, places, reasons."""

from __future__ import annotations

import re

from gateway.fitting.citations import citations
from gateway.fitting.ruleset_check import rows_of
from gateway.fitting.rulesets import Rulesets
from tests.unit import report_rig as rig

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

"""One word for each thing, in every place where people read Chinese."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commands import balance, bill, inventory_text
from gateway.inventory import sheet_words, terms
from gateway.inventory.sheet_words import OTHER_WORDS
from gateway.inventory.sheets import SHEETS
from gateway.reports import forms_findings, forms_review, forms_steps, wording
from gateway.reports.page_texts import PAGE_TEXTS

ROOT = Path(__file__).parents[2]
TEXTS = [*ROOT.glob("gateway/**/*.py"), *ROOT.glob("gateway/**/*.j2"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("README*.md")]  # fmt: skip
ALLOWED = {
    "gateway/inventory/terms.py": set(terms.NOT_SAID),
    "gateway/inventory/sheet_words.py": {"本单位", "校核"},
}
"""Where words nobody uses are named to be understood all the same."""


def test_a_word_that_another_stands_for_is_nowhere() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word} (say {instead})"
        for path in TEXTS
        for word, instead in terms.NOT_SAID.items()
        if word in path.read_text(encoding="utf-8")
        and word not in ALLOWED.get(path.relative_to(ROOT).as_posix(), ())
        and not (word == "有数据" and path.suffix == ".md")  # 没有数据: no data at all
    ]
    assert found == []


def test_page_workbook_and_terminal_say_one_word() -> None:
    page = {key: PAGE_TEXTS[key][0] for key in ("connected", "flow", "as_of", "statistics_year", "expired")}
    heads = [one.zh for columns in (forms_steps.INSPECTION, forms_review.RATES) for one in columns]
    organization, flows = SHEETS[0], next(sheet for sheet in SHEETS if sheet.key == "flows")
    assert page["connected"] == terms.CONNECTED.zh
    assert heads.count(terms.CONNECTED.zh) == 2
    assert page["flow"] == flows.name == forms_steps.NEED[3].zh == terms.FLOW.zh
    assert page["as_of"] == terms.AS_OF.zh
    assert page["statistics_year"] in {column.heading for column in organization.columns}
    expired = {
        inventory_text.VALIDITY["expired"],
        wording.VALIDITY["expired"],
        forms_findings.KINDS["expired"],
    }
    assert expired == {f"{page['expired']} expired"}
    assert balance.REFUSED == bill.REFUSED == "not judged 不判定"
    assert wording.meets(None) == "不判定 not judged"
    assert sheet_words.ROLES["check"] == wording.ROLE["check"].split()[0] == "核查表"
    assert sheet_words.ENDS["organization"] == PAGE_TEXTS["for_organization"][0] == "用能单位"


@pytest.mark.parametrize("word", ["本单位", "校核表"])
def test_what_people_still_write_is_understood(word: str) -> None:
    assert OTHER_WORDS[word] in {*sheet_words.ENDS.values(), *sheet_words.ROLES.values()}

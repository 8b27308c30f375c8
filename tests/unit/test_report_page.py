from __future__ import annotations

import builtins
import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.commands.fitting_files import write_page
from gateway.commands.fitting_work import Evaluated
from gateway.errors import MetergateError
from gateway.reports import page as page_module
from gateway.reports.page import page
from gateway.reports.page_cells import Remarks, number, percent
from gateway.reports.page_texts import PAGE_TEXTS
from gateway.reports.texts import TEXTS, Words
from tests.unit.report_rig import Body, evidence, foundry, large, outcome_of

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.fitting.outcome import Outcome
    from gateway.reports.texts import Language

VOID = {"meta", "br", "link", "img", "hr", "input"}
LOADING = {"src", "href", "xlink:href", "srcset", "data", "action"}
SECONDS_MAX = 3.0  # of CPU: the machine of a test is shared


class Checker(HTMLParser):
    """Reads a page, refuses unbalanced elements, collects texts, attributes and cells of table rows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.ids: list[str] = []
        self.bare_heads = 0
        self.captions = self.tables = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        self.ids += [value or "" for key, value in attrs if key == "id"]
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.bare_heads += tag == "th" and not any(key == "scope" for key, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")
        elif tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and {"td", "th"} & set(self.open[-2:]) and self.rows:
            self.rows[-1][-1] += data
        elif self.open and self.open[-1] == "h2":
            self.headings[-1] += data


def made(outcome: Outcome, language: Language = "zh") -> str:
    return page(outcome, language, made_at="2026-08-15 10:30 +08:00", revision=3)


def row(checked: Checker, *begins: str) -> list[str]:
    return next(found for found in checked.rows if tuple(found[: len(begins)]) == begins)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_it_is_balanced_accessible_and_loads_nothing(language: Language) -> None:
    html = made(outcome_of(foundry()), language)
    checked = Checker(html)
    assert not checked.open
    assert ("html", "lang", "zh-CN" if language == "zh" else "en") in checked.attributes
    assert checked.captions == checked.tables > 10
    assert not checked.bare_heads
    assert len(checked.ids) == len(set(checked.ids))
    loaded = [value for _, key, value in checked.attributes if key in LOADING and not value.startswith("#")]
    assert not loaded
    assert not re.search(r"<script|@import|<link|<iframe|<img", html)
    assert not [url for url in re.findall(r"url\(([^)]*)\)", html) if not url.startswith("#")]
    others = html.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in others
    assert "https:" not in others
    targets = {value for tag, key, value in checked.attributes if tag == "a" and key == "href"}
    assert {target.removeprefix("#") for target in targets} <= set(checked.ids)


def test_the_order_is_need_inspection_calculation_findings() -> None:
    headings = Checker(made(outcome_of(foundry()), "en")).headings
    assert headings[:5] == [
        "1 Need",
        "2 Inspection",
        "3 Calculation",
        "4 Findings",
        "5 Metering network diagrams",
    ]


def test_the_first_page_says_what_it_rests_on() -> None:
    outcome = outcome_of(foundry())
    html = made(outcome, "en")
    for text in ("2026-08-15", "2025", "2026-07-01 to 2026-07-31", "revision 3", "陈工", "Approved by"):
        assert text in html
    for digest in (outcome.inventory.digest, outcome.ruleset.digest):
        assert digest in html
    assert "not applied" in page(outcome, "en", made_at="now", revision=None)


def test_no_verdict_by_a_superseded_edition_goes_without_that_word() -> None:
    html = made(outcome_of(foundry()), "en")
    assert "superseded since 2026-02-01" in html
    assert html.index('class="banner"') < html.index("<main>")
    checked = Checker(html)
    level_1 = row(checked, "natural gas", "1", "1")
    assert "✓ meets (old edition)" in level_1
    assert "✓ meets" not in level_1


def test_the_banner_stands_even_if_the_engine_says_nothing() -> None:
    html = made(replace(outcome_of(foundry()), doubts=(), doubts_zh=()), "zh")
    assert "已被 GB17167-2025 代替" in html
    assert "须与标准正式文本核对" in html


def test_an_empty_ruleset_judges_nothing_and_says_so() -> None:
    html = made(outcome_of(foundry(), ruleset="GB17167-2025"), "zh")
    head, calculation = html.split("<main>")[0], html.split('id="s_calculation"')[1].split("用水：")[0]
    assert "GB17167-2025" in head.split('class="facts"')[0]
    assert "✓ 符合" not in calculation


def test_rates_and_reasons_for_what_cannot_be_told() -> None:
    checked = Checker(made(outcome_of(foundry()), "en"))
    first = row(checked, "electricity", "3", "2")
    assert first[5:7] == ["66.66", "100"]
    assert first[7] == "✗ does not meet (old edition)"
    html = made(outcome_of(foundry(), proved=False), "en")
    assert "no evidence of readings" in html
    unproved = row(Checker(html), "electricity", "3", "2")
    assert [cell[0] for cell in unproved[3:5]] == ["—", "—"]


def test_subtotals_add_counts_and_have_no_rate() -> None:
    outcome = outcome_of(foundry())
    checked = Checker(made(outcome, "en"))
    total = row(checked, "Subtotal")
    own = [one for one in outcome.rows if one.level == 1]
    assert total[1:3] == [str(sum(one.need for one in own)), str(sum(one.fitted for one in own))]
    assert set(total[5:]) == {""}


def test_water_shows_three_results() -> None:
    checked = Checker(made(outcome_of(foundry()), "en"))
    results = [found[1] for found in checked.rows if len(found) == 9 and found[0] == "2" and "GB" in found[1]]
    assert results == [
        "GB17167-2006: row of water in the energy ruleset",
        "GBT24789-2022: rate of water meters",
        "GBT24789-2022: metered share of water, by quantity",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "在 e-sb1",  # advice
        "e-furn",  # what an exemption rests on
        "超过检定周期",
        "不合格",
        "准确度等级 2.0, 要求 1.0",
        "便携、备用",
        "任命书 2025-03",
        "4.3.5 表3",
        "metergate fitting --ruleset GB17167-2006 --as-of 2026-08-15 --html",
        "任一能源种类达到限定值即为主要次级用能单位",
        "凭记忆，把握大，未见原文",
    ],
)
def test_findings_and_annexes_are_told(text: str) -> None:
    assert text in made(outcome_of(foundry()))


def test_what_the_inventory_says_is_escaped_wherever_it_stands() -> None:
    body: Body = foundry()
    evil = "<script>alert('x')</script>&"  # the model refuses control characters
    body["organization"]["name"] = body["units"][0]["name"] = body["equipment"][0]["name"] = evil
    body["instruments"][0]["location"] = '"><img src=http://example.org/x>'
    html = made(outcome_of(body))
    assert "<script" not in html
    assert "<img" not in html
    assert not Checker(html).open


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Fraction(94997, 100000), "94.99"),
        (Fraction(999999, 1000000), "99.99"),
        (Fraction(2, 3), "66.66"),
        (Fraction(1), "100.00"),
        (Fraction(0), "0.00"),
        (Fraction(7, 10000), "0.07"),
        (None, "—"),
    ],
)
def test_shares_are_rounded_down(share: Fraction | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [("95", "95"), ("95.50", "95.5"), ("1200000", "1200000"), ("0.12345", "0.123")]
)
def test_numbers_have_no_needless_zeros(value: str, text: str) -> None:
    assert number(Decimal(value)) == text


def test_one_letter_for_one_reason() -> None:
    remarks = Remarks(Words("en"))
    letters = [remarks.empty(key).note for key in ("none_need", "none_evidence", "none_need")]
    assert letters == ["a", "b", "a"]
    assert [letter for letter, _ in remarks.notes()] == ["a", "b"]


def test_every_text_has_both_languages_with_the_same_fields() -> None:
    for key, (zh, en) in TEXTS.items():
        assert "" not in (zh, en), key
        assert set(re.findall(r"{(\w+)}", zh)) == set(re.findall(r"{(\w+)}", en)), key
    assert set(PAGE_TEXTS) <= set(TEXTS)


def test_five_thousand_instruments_are_no_wait() -> None:
    body = large(units=40, machines=2000, instruments=5000)
    outcome = outcome_of(body, proved=False)
    begin = process_time()
    html = made(outcome)
    assert process_time() - begin < SECONDS_MAX
    assert html.count("表 i") >= 5000
    assert "另有" in html


def test_without_jinja2_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("jinja2"):
            raise ModuleNotFoundError(name, name="jinja2")
        return real(name, *args, **more)

    page_module._template.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    found = Evaluated(outcome_of(foundry()), None, None, None)
    with pytest.raises(MetergateError, match=r"jinja2 is not installed.*metergate\[report\]"):
        write_page(found, tmp_path / "page.html", "en")


def test_the_evidence_of_the_rig_is_of_the_window() -> None:
    assert evidence().window == outcome_of(foundry()).window

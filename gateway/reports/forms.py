"""The workbook of an evaluation: cover, the four steps, water, forms B.1–B.10, yearly form 1-8-1, self-check list.

Contract: docs/reference/fitting-workbook.md. Needs the extra `report`: importing this raises ModuleNotFoundError without it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.fitting.result import interpretations
from gateway.inventory import terms
from gateway.reports.forms_balance import balance_sheet
from gateway.reports.forms_findings import findings, water
from gateway.reports.forms_on_site import add_noted, add_seen
from gateway.reports.forms_review import review_forms
from gateway.reports.forms_steps import calculation, inspection, need
from gateway.reports.forms_yearly import yearly_form
from gateway.reports.origin import told
from gateway.reports.self_check import self_check
from gateway.reports.sheets import Column, Sheet, save
from gateway.reports.tally import LEVELS, percent, tally
from gateway.reports.wording import LEVELS as LEVEL_NAMES
from gateway.reports.wording import Plantbook, both

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.fitting.balance import Balances
    from gateway.fitting.outcome import Outcome
    from gateway.fitting.ruleset import Ruleset
    from gateway.inspection.summary import OnSite

COVER = (Column("项目", "Item", 34), Column("内容", "Content", 104))
TITLE = "能源计量器具配备情况评价"
SIGNATURES = ("编制 Prepared by", "审核 Checked by", "批准 Approved by", "日期 Date", "盖章 Seal")


def write_workbook(
    outcome: Outcome,
    path: Path,
    *,
    made_at: str,
    revision: int | None,
    balance: Balances | None = None,
    inspections: Sequence[OnSite] = (),
) -> None:
    """Write an evaluation as an Excel workbook; equal arguments make an equal file.

    made_at: for people, ISO 8601 where it can be. revision: of the inventory, None if it was not applied. balance: adds a sheet.
    inspections: on site, told on the sheets of the second and the fourth step.
    Raises OSError where the file cannot be written.
    """
    book = Plantbook(outcome)
    second, fourth = inspection(book), findings(book)
    if inspections:
        add_seen(second, inspections)
        add_noted(fourth, inspections, outcome.as_of)
    sheets = [
        _cover(book, made_at, revision),
        need(book),
        second,
        calculation(book),
        fourth,
        water(book),
        *([] if balance is None else [balance_sheet(book, balance)]),
        *review_forms(book),
        yearly_form(book),
        self_check(book, revision),
    ]
    name = outcome.inventory.organization.name
    footer = f"{outcome.ruleset.ruleset.id}  {terms.AS_OF.both} {outcome.as_of}  {_state(revision)}  {name}"
    save(sheets, path, f"{TITLE} {name} {outcome.as_of}", footer, _moment(made_at))


def _cover(book: Plantbook, made_at: str, revision: int | None) -> Sheet:
    outcome = book.outcome
    about = outcome.inventory.organization
    sheet = Sheet(
        "封面 Cover", TITLE, "Fitting of energy measuring instruments", COVER, (), book.banners, False
    )
    year = "" if about.statistics_year is None else str(about.statistics_year)
    evidence = "无:在线、有效两项空白 none: connected and effective stay empty"
    if outcome.evidence is not None:
        evidence = " ".join((*told(outcome.evidence), outcome.evidence.origin.sha256)).strip()
    for label, content in (
        (" ".join(terms.ORGANIZATION.heading), about.name),
        ("统一社会信用代码 Credit code", about.credit_code),
        ("行业 Industry", about.industry),
        ("地址 Address", about.address),
        (" ".join(terms.AS_OF.heading), outcome.as_of.isoformat()),
        (" ".join(terms.STATISTICS_YEAR.heading), year),
        ("数据统计期 Window", f"{outcome.window.first} – {outcome.window.last}"),
        ("数据证据 Evidence", evidence),
        ("规则集 Ruleset", _ruleset(outcome.ruleset)),
        (
            "水规则集 Ruleset of water",
            "" if outcome.water_ruleset is None else _ruleset(outcome.water_ruleset),
        ),
        ("用户类别 User class of electricity", outcome.user_class),
        ("台账 Inventory", f"{_state(revision)}\nSHA-256 {outcome.inventory.digest}"),
        ("台账编制人 Kept by", about.prepared_by),
        ("制表时间 Made at", made_at),
        (
            "次序 Order",
            "应配 → 检查 → 计算 → 问题 (GB/T 43866-2024) need → inspection → calculation → findings",
        ),
    ):
        sheet.add(label, content)
    _results(sheet, book)
    doubts = [both(zh, en) for zh, en in zip(outcome.doubts_zh, outcome.doubts, strict=True)]
    sheet.section("使用前须知 To know first")
    for text in doubts or ["无 none"]:
        sheet.add(None, text)
    sheet.section("解释 Interpretations")
    for one in interpretations(outcome):
        clause = book.clause(f"{one['ruleset']} {one['clause']}") if one["clause"] else ""
        text = both(one["text_zh"], one["text"]) or "规则集未说明 not told by the ruleset"
        sheet.add(both(f"{one['switch']} = {one['choice']}", clause), text)
    sheet.section("签署 Signatures")
    for label in SIGNATURES:
        sheet.add(label, "\n\n")
    return sheet


def _results(sheet: Sheet, book: Plantbook) -> None:
    """Append the counts of each level; no level has a verdict of its own."""
    sheet.section("各级汇总 By level")
    for level in LEVELS:
        rows = [row for row in book.outcome.rows if row.level == level]
        total = tally(rows)
        rate = percent(total.of_need(total.fitted))
        missed = sum(1 for row in rows if row.meets is False)
        shown = "不适用 n/a" if rate is None else f"{rate} %"
        told = f"应配 need {total.need},实配 fitted {total.fitted},配备率 rate {shown}"
        told += f";不符合的能源种类 kinds that miss: {missed}" if total.need else ""
        sheet.add(LEVEL_NAMES[level], told, kind="bad" if missed else "body")


def _ruleset(ruleset: Ruleset) -> str:
    about = ruleset.ruleset
    return f"{about.id}  {both(about.title_zh, about.title)}\nSHA-256 {ruleset.digest}"


def _state(revision: int | None) -> str:
    return (
        "台账未经批准发布 inventory not applied"
        if revision is None
        else f"台账第 {revision} 版 revision {revision}"
    )


def _moment(made_at: str) -> datetime | None:
    """Return when it was made, None where the text tells no moment."""
    try:
        moment = datetime.fromisoformat(made_at)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

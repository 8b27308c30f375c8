"""The sheets of the four steps: need, inspection, calculation, findings.

Source: order of GB/T 43866-2024 (its scope and contents are public, its body was not seen).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.inventory import terms
from gateway.reports.sheets import Column, Sheet
from gateway.reports.tally import LEVELS, hidden_miss, percent, subtotals
from gateway.reports.wording import (
    LEVELS as LEVEL_NAMES,
)
from gateway.reports.wording import (
    ROUNDED,
    RUNNING,
    STATUS,
    SUBTOTALS,
    UNKNOWN,
    VALIDITY,
    all_of,
    both,
    category,
    energy,
    verdict,
    yes_no,
)

if TYPE_CHECKING:
    from gateway.fitting.outcome import Judged, Row
    from gateway.reports.sheets import Value
    from gateway.reports.wording import Plantbook

NEED = (
    Column("序号", "No.", 6),
    Column("级别", "Level", 16),
    Column("能源种类", "Energy kind", 14),
    Column(*terms.FLOW.heading, 24),
    Column("从 → 至", "From → to", 34),
    Column("对象", "Needed for", 24),
    Column("理由", "Because", 44),
    Column("依据", "Clause", 26),
    Column("计入应配", "Counted", 9),
    Column("免配理由", "Ground of exemption", 40),
    Column("免配依据", "Clause of exemption", 24),
    Column("依托器具", "Exemption rests on", 22),
    Column("待定", "Undetermined", 30),
)
INSPECTION = (
    Column("序号", "No.", 6),
    Column("级别", "Level", 16),
    Column("能源种类", "Energy kind", 14),
    Column(*terms.FLOW.heading, 24),
    Column("计量器具", "Instruments", 26),
    Column("类别", "Category", 18),
    Column("安装地点", "Location", 20),
    Column("已配备", "Fitted", 8),
    Column("状态", "Status", 11),
    Column("运行", "Running", 11),
    Column("检定", "Verification", 16),
    Column("等级", "Class", 8),
    Column("要求等级", "Class demanded", 10),
    Column("等级符合", "Class will do", 9),
    Column("计量确认", "Confirmed", 9),
    Column(*terms.CONNECTED.heading, 10),
    Column("有效数据 %", "Good readings %", 10),
    Column("有效", "Effective", 9),
    Column("说明", "Why not", 34),
)
CALCULATION = (
    Column("级别", "Level", 20),
    Column("能源种类", "Energy kind", 18),
    Column("应配 Nl", "Need", 8),
    Column("免配", "Exempt", 8),
    Column("待定", "Undetermined", 12),
    Column("实配 Ns", "Fitted", 8),
    Column("配备率 Rp %", "Rate", 10),
    Column("要求 %", "Demanded", 10),
    Column("判定", "Verdict", 13),
    Column("数据完整率 %", "Completeness of data", 12),
    Column("计量能量份额 %", "Share of energy covered", 12),
    Column("规则集", "Ruleset", 16),
    Column("依据", "Clauses", 34),
    Column("可信度", "Confidence", 11),
    Column("说明", "Remarks", 44),
)


def need(book: Plantbook) -> Sheet:
    """Return step 1: every flow a clause wants measured, exempt ones with their ground."""
    sheet = Sheet(
        "1 应配 Need",
        "第一步 确定应配备量",
        "Step 1: what is needed",
        NEED,
        ("每一行为一条流向。 One line for each flow.", UNKNOWN),
        book.banners,
    )
    for number, (row, judged) in enumerate(_all(book), 1):
        one = judged.need
        sheet.add(
            number,
            LEVEL_NAMES[row.level],
            energy(one.energy_kind),
            book.flow(one.flow),
            book.route(one.flow),
            book.names(one.owners),
            both(one.because_zh, one.because),
            book.clause(one.clause),
            yes_no(judged.counts),
            both(one.exempt_zh, one.exempt),
            book.clause(one.exempt_clause),
            ", ".join(book.instrument(name) for name in one.rests_on),
            both(one.undetermined_zh, one.undetermined),
        )
    return sheet


def inspection(book: Plantbook) -> Sheet:
    """Return step 2: what is installed on each counted flow, and how it stands."""
    sheet = Sheet(
        "2 检查 Inspection",
        "第二步 检查实际配备",
        "Step 2: what is there",
        INSPECTION,
        (
            "一条流向上有多台时,以最能证明者为准。 Of several instruments on a flow, the one that proves most speaks for it.",
            "在线、有效:无历史数据时空白。 Connected and effective stay empty without history. " + UNKNOWN,
        ),
        book.banners,
    )
    counted = ((row, judged) for row, judged in _all(book) if judged.counts)
    for number, (row, judged) in enumerate(counted, 1):
        sheet.add(
            number,
            LEVEL_NAMES[row.level],
            energy(row.energy_kind),
            book.flow(judged.need.flow),
            ", ".join(book.instrument(name) for name in judged.instruments),
            *_standing(book, judged),
            kind="body" if judged.is_fitted else "bad",
        )
    return sheet


def _standing(book: Plantbook, judged: Judged) -> list[Value]:
    best = judged.best
    if best is None:
        return [None, None, "否 no", *[None] * 10, both(judged.advice_zh, judged.advice)]
    one = book.instruments[best.instrument]
    return [
        category(one.category),
        one.location,
        "是 yes",
        STATUS[one.status],
        RUNNING[one.running],
        VALIDITY.get(best.verification, best.verification),
        best.stated_class,
        best.required_class,
        yes_no(best.is_accurate) if best.required_class else "无要求 none",
        yes_no(best.is_confirmed),
        yes_no(best.is_connected),
        percent(best.good_share),
        yes_no(best.is_effective),
        all_of(best.why_zh, best.why),
    ]


def calculation(book: Plantbook) -> Sheet:
    """Return step 3: the rate of each energy kind at each level."""
    sheet = Sheet(
        "3 计算 Calculation",
        "第三步 计算配备率",
        "Step 3: the rates",
        CALCULATION,
        (
            "Rp = Ns / Nl × 100 %;应配为 0 时不适用。 With a need of 0 the rate is not applicable.",
            ROUNDED,
            SUBTOTALS,
        ),
        book.banners,
    )
    rows = book.outcome.rows
    for level in LEVELS:
        listed = [row for row in rows if row.level == level]
        for row in listed:
            sheet.add(*_calculated(book, row), kind="bad" if row.meets is False else "body")
        for label, total in subtotals(rows, level) if listed else ():
            rate = percent(total.of_need(total.fitted))
            sheet.add(
                LEVEL_NAMES[level], label, total.need, None, None, total.fitted, rate, *[None] * 8,
                kind="strong",
            )  # fmt: skip
    return sheet


def _calculated(book: Plantbook, row: Row) -> list[Value]:
    remarks = [hidden_miss(row.rate, row.required)]
    if row.required is None:
        remarks.append("无配备率要求 no rate is demanded")
    if row.conflict:
        remarks.append(f"来源不一致 other source: {both(book.cited.conflict(row.conflict), row.conflict)}")
    return [
        LEVEL_NAMES[row.level],
        energy(row.energy_kind),
        row.need,
        sum(1 for one in row.judged if one.need.exempt and not one.need.kept),
        sum(1 for one in row.judged if one.need.undetermined),
        row.fitted,
        percent(row.rate),
        row.required,
        verdict(row),
        percent(row.completeness),
        percent(row.covered),
        row.ruleset,
        book.clauses(row.clauses),
        row.confidence,
        "; ".join(filter(None, remarks)),
    ]


def _all(book: Plantbook) -> list[tuple[Row, Judged]]:
    """Return every need, level by level."""
    rows = sorted(book.outcome.rows, key=lambda row: row.level)
    return [(row, judged) for row in rows for judged in row.judged]

"""Step 4, what was found: what is missing, exempt, undetermined, and what speaks against instruments; and the sheet of water."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.inventory import terms
from gateway.reports.sheets import Column, Sheet
from gateway.reports.tally import hidden_miss, percent
from gateway.reports.wording import (
    LEVELS as LEVEL_NAMES,
)
from gateway.reports.wording import ROUNDED, UNKNOWN, all_of, banners, both, energy, meets, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from gateway.fitting.outcome import Row, Standing
    from gateway.inventory.model import Instrument
    from gateway.reports.sheets import Value
    from gateway.reports.wording import Plantbook

FINDINGS = (
    Column("序号", "No.", 6),
    Column("类型", "Finding", 20),
    Column("级别", "Level", 16),
    Column("能源种类", "Energy kind", 14),
    Column(f"{terms.FLOW.zh}或器具", "Flow or instrument", 28),
    Column("位置", "Where", 32),
    Column("事实", "What was found", 44),
    Column("依据", "Clause", 28),
    Column("建议", "Advice", 44),
)
KINDS = {
    "missing": "未配备 missing",
    "not_demanded": "未配备,无配备率要求 missing, no rate demanded",
    "undetermined": "待定 undetermined",
    "exempt": "免配 exempt",
    **{state: term.both for state, term in terms.VALIDITY.items() if state != "valid"},
    "class": "等级不足 class below",
    "unconfirmed": "未经计量确认 not confirmed",
    "repair": "维护 in repair",
    "offline": "未接入网关 not connected",
    "silent": "无足够有效数据 too few good readings",
    "surplus": "多配 surplus",
    "unassigned": "不计入实配 not counted",
}
PERIOD = "GB 17167-2006 5.3.6 [R]"
"""Out of period or failed: must not be used. Recalled, see docs/reference/fitting-workbook.md."""
ADVICE = {
    "nonconforming": "停用、修理并重新检定;追溯其数据(metergate trace)。 Take out of use, repair, verify anew; trace what rests on it.",
    "expired": "送检或现场检定。 Have it verified.",
    "undated": "按证书补录周期或有效期。 Enter period or last day from its certificate.",
    "unverified": "送检,或补录证书。 Have it verified, or enter its certificate.",
    "unconfirmed": "进行计量确认并记录。 Confirm that it is fit for its use, and record it.",
    "repair": "修复后恢复运行。 Repair it.",
    "offline": "接入网关,或按人工抄表提供数据。 Connect it, or prove its data otherwise.",
    "silent": "检查接线、通信和采集。 Look at wiring, line and polling.",
    "surplus": "无须处理;可声明用途。 Nothing to do; its purpose may be declared.",
    "unassigned": "无须处理;如应计量某条流向,请在台账中声明。 Nothing to do; if it measures a needed flow, say so in the inventory.",
}


class Finding(NamedTuple):
    """One line of the findings."""

    kind: str
    level: int | None
    energy_kind: str
    what: str
    where: str
    fact: str
    clause: str
    advice: str


def findings(book: Plantbook) -> Sheet:
    """Return step 4: every finding with its clause and what to do."""
    sheet = Sheet(
        "4 问题 Findings",
        "第四步 问题清单",
        "Step 4: findings",
        FINDINGS,
        (
            "免配、多配、不计入实配和无配备率要求者为说明,不是不符合项。 Exempt, surplus, not counted and not demanded are told, not held against anyone.",
        ),
        book.banners,
    )
    order = {kind: n for n, kind in enumerate(KINDS)}
    found = [*_of_needs(book), *_of_instruments(book), *_beside(book)]
    for number, one in enumerate(sorted(found, key=lambda one: order[one.kind]), 1):
        sheet.add(
            number,
            KINDS[one.kind],
            None if one.level is None else LEVEL_NAMES[one.level],
            energy(one.energy_kind) if one.energy_kind else None,
            one.what,
            one.where,
            one.fact,
            book.clause(one.clause),
            one.advice,
        )
    return sheet


def _of_needs(book: Plantbook) -> Iterator[Finding]:
    for row in book.outcome.rows:
        for judged in row.judged:
            need = judged.need
            about = (row.level, row.energy_kind, book.flow(need.flow), book.route(need.flow))
            if judged.counts and not judged.is_fitted:
                because = both(need.because_zh, need.because)
                kind = "not_demanded" if row.required is None else "missing"
                yield Finding(kind, *about, because, need.clause, both(judged.advice_zh, judged.advice))
            if need.undetermined:
                told = "补充用能量及来源。 Enter the amount with its source."
                yield Finding(
                    "undetermined", *about, both(need.undetermined_zh, need.undetermined), need.clause, told
                )
            if need.exempt:
                kept = " (仍计入 still counted)" if need.kept else ""
                rests = ", ".join(book.instrument(name) for name in need.rests_on)
                told = f"依托 rests on: {rests}" if rests else ""
                yield Finding(
                    "exempt", *about, both(need.exempt_zh, need.exempt) + kept, need.exempt_clause, told
                )


def _of_instruments(book: Plantbook) -> Iterator[Finding]:
    """Yield what speaks against the instruments that count as installed."""
    for one in book.outcome.inventory.instruments:
        standing = book.outcome.standings.get(one.id)
        if standing is None or not standing.is_fitted or not one.flows:
            continue
        levels = book.levels.get(one.id)
        level = min(levels) if levels else None
        flow = book.flows.get(one.flows[0])
        kind = "" if flow is None else flow.energy_kind
        for against, fact, clause in _against(one, standing):
            advice = ADVICE.get(against) or _better(standing)
            yield Finding(against, level, kind, book.instrument(one.id), one.location, fact, clause, advice)


def _against(one: Instrument, standing: Standing) -> Iterator[tuple[str, str, str]]:
    if standing.verification != "valid":
        newest = max(reversed(one.verifications), key=lambda done: done.on, default=None)
        fact = all_of(standing.why_zh, standing.why)
        if standing.verification == "expired" and newest is not None:
            fact = f"有效期至 last valid day: {newest.last_day}"
        yield standing.verification, fact, PERIOD
    if not standing.is_accurate:
        has = standing.stated_class or "不详 unknown"
        yield "class", f"{has},要求 demanded: {standing.required_class}", standing.required_clause
    if not standing.is_confirmed:
        yield "unconfirmed", "无有效计量确认记录 no confirmation in force is recorded", ""
    if not standing.is_intact:
        yield "repair", one.remark, ""
    if standing.is_delivering is False:
        share = percent(standing.good_share)
        told = "无有效数据 no good reading" if share is None else f"有效数据 good readings: {share} %"
        yield ("offline" if share is None and not one.meter else "silent"), told, ""


def _better(standing: Standing) -> str:
    return f"更换为不低于 {standing.required_class} 级,或补录证书等级。 Replace by class {standing.required_class} or better, or enter the class of its certificate."


def _beside(book: Plantbook) -> Iterator[Finding]:
    outcome = book.outcome
    for row in outcome.rows:
        for name in row.surplus:
            one = book.instruments.get(name)
            where = one.location if one else ""
            what = book.instrument(name)
            fact = "其所在流向无配备要求 nothing demands its flow measured"
            yield Finding("surplus", row.level, row.energy_kind, what, where, fact, "", ADVICE["surplus"])
    for name in outcome.unassigned:
        one = book.instruments.get(name)
        where = one.location if one else ""
        fact = "不计入实配:停用、备用、核查、便携、推算,或未指明流向 not counted: stopped, spare, check, portable, derived, or on no flow"
        yield Finding("unassigned", None, "", book.instrument(name), where, fact, "", ADVICE["unassigned"])


WATER = (
    Column("级别", "Level", 24),
    Column("能源种类", "Kind", 14),
    Column("应配 或 总量", "Need, or total", 16),
    Column("实配 或 已计量", "Fitted, or metered", 16),
    Column("单位", "Unit", 8),
    Column("结果 %", "Result %", 10),
    Column("要求 %", "Demanded %", 10),
    Column("判定", "Verdict", 13),
    Column("依据", "Clauses", 32),
    Column("可信度", "Confidence", 11),
    Column("说明", "Remarks", 44),
)


def water(book: Plantbook) -> Sheet:
    """Return the three results of water, which are never mixed."""
    outcome = book.outcome
    told = book.banners
    if outcome.water_ruleset is not None:
        told += banners(outcome.water_ruleset, outcome)
    sheet = Sheet(
        "水 Water",
        "水计量:三项结果",
        "Water: three results",
        WATER,
        (
            "三项结果互不替代;差值和估算值不是计量水量。 None stands for another; differences and estimates are never metered water.",
            ROUNDED,
            UNKNOWN,
        ),
        tuple(dict.fromkeys(told)),
    )
    sheet.section(f"一、能源计量器具配备率(水) {outcome.ruleset.ruleset.id}: the row of water")
    _rates(sheet, book, [row for row in outcome.rows if row.energy_kind == "water"])
    name = "–" if outcome.water_ruleset is None else outcome.water_ruleset.ruleset.id
    sheet.section(f"二、水计量器具配备率 {name}: rate of water meters")
    _rates(sheet, book, list(outcome.water_rows))
    sheet.section(f"三、水计量率 {name}: share of water by quantity")
    for share in outcome.water_shares:
        remarks = [hidden_miss(share.share, share.required)]
        if share.unknown:
            remarks.append("水量不详 amount unknown: " + ", ".join(map(book.flow, share.unknown)))
        judged = meets(share.meets)
        sheet.add(
            LEVEL_NAMES[share.level],
            energy(share.energy_kind),
            _amount(share.total),
            _amount(share.metered),
            share.unit,
            percent(share.share),
            share.required,
            judged,
            book.clauses(share.clauses),
            share.confidence,
            "; ".join(filter(None, remarks)),
            kind="bad" if share.meets is False else "body",
        )
    if not outcome.water_shares:
        sheet.add("无 none")
    return sheet


def _amount(value: Decimal | None) -> str | None:
    """Return an amount as exact text; a number with two decimals would not be what was declared."""
    return None if value is None else f"{value:f}"


def _rates(sheet: Sheet, book: Plantbook, rows: list[Row]) -> None:
    for row in sorted(rows, key=lambda one: one.level):
        conflict = both(book.cited.conflict(row.conflict), row.conflict)
        cells: list[Value] = [
            LEVEL_NAMES[row.level],
            energy(row.energy_kind),
            row.need,
            row.fitted,
            "台 pcs",
            percent(row.rate),
            row.required,
            verdict(row),
            book.clauses(row.clauses),
            row.confidence,
            "; ".join(filter(None, (hidden_miss(row.rate, row.required), conflict))),
        ]
        sheet.add(*cells, kind="bad" if row.meets is False else "body")
    if not rows:
        sheet.add("无 none")

"""Forms B.1–B.10 of JJF 1356-2012 annex B, as far as their contents are known in public; no layout was seen."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

from gateway.inventory import terms
from gateway.inventory.validity import validity
from gateway.reports.sheets import Column, Sheet
from gateway.reports.tally import LEVELS, hidden_miss, percent, subtotals
from gateway.reports.wording import (
    KIND,
    NOT_SEEN,
    PURPOSE,
    ROLE,
    ROUNDED,
    STATUS,
    SUBTOTALS,
    UNKNOWN,
    VALIDITY,
    VERDICT,
    category,
    energy,
    verdict,
)
from gateway.reports.wording import (
    LEVELS as LEVEL_NAMES,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.fitting.outcome import Reach, Row, Standing
    from gateway.inventory.model import Category, Equipment, Instrument
    from gateway.reports.sheets import Value
    from gateway.reports.tally import Tally
    from gateway.reports.wording import Plantbook

STAFF = (
    Column("序号", "No.", 6),
    Column("姓名", "Name", 14),
    Column("岗位及职责", "Post and duties", 34),
    Column("部门", "Department", 20),
    Column("培训及证书", "Training and certificates", 34),
    Column("任命文件", "Appointment paper", 34),
)
EQUIPMENT = (
    Column("序号", "No.", 6),
    Column("设备名称", "Equipment", 24),
    Column("型号", "Model", 16),
    Column("安装地点", "Location", 20),
    Column("所属单位", "Unit", 22),
    Column("能源种类", "Energy kind", 16),
    Column("额定或实际用能", "Amount at the rated load", 16),
    Column("限定值", "Limit", 12),
    Column("判定", "Against the limit", 16),
    Column("年用能量", "Yearly amount", 16),
    Column("年份", "Year", 8),
    Column("应配", "Need", 7),
    Column("实配", "Fitted", 7),
    Column("依据", "Clause", 26),
    Column("数据来源", "Source of the figures", 24),
)
INSTRUMENTS = (
    Column("序号", "No.", 6),
    Column("名称", "Name", 22),
    Column("型号规格", "Model", 16),
    Column("准确度等级", "Accuracy class", 11),
    Column("测量范围", "Range", 16),
    Column("生产厂家", "Manufacturer", 18),
    Column("出厂编号", "Serial number", 16),
    Column("用能单位管理编号", "Own number", 14),
    Column("安装使用地点及用途", "Location and use", 28),
    Column("检定周期/校准间隔", "Period", 14),
    Column("状态", "Status", 11),
    Column("等级来源", "Where the class is from", 24),
    Column("有效期至", "Last valid day", 11),
    Column("检定状态", "Verification", 16),
    Column("证书编号", "Certificate", 18),
    Column("检定机构", "Body", 18),
    Column(f"所测{terms.FLOW.zh}", "Flows", 22),
    Column("标识", "Id", 16),
)
RATES = (
    Column("级别", "Level", 22),
    Column("能源种类", "Energy kind", 18),
    Column("应配", "Need", 8),
    Column("实配", "Fitted", 8),
    Column("配备率 %", "Rate", 10),
    Column("要求 %", "Demanded", 10),
    Column("判定", "Verdict", 13),
    Column(*terms.CONNECTED.heading, 10),
    Column("有效", "Effective", 10),
    Column("自动采集率 Rz %", "Collected automatically", 12),
    Column("完好率 %", "Intact", 10),
    Column("检定率 %", "Verified", 10),
    Column("准确度合格率 %", "Class will do", 11),
    Column("依据", "Clauses", 34),
    Column("说明", "Remarks", 36),
)
CLASSES = (
    Column("级别", "Level", 22),
    Column("计量器具类别", "Category", 24),
    Column("证书等级", "Class of the certificate", 12),
    Column("要求等级", "Class demanded", 12),
    Column("计量点数", "Flows measured", 10),
    Column("器具台数", "Instruments", 11),
    Column("符合数", "That will do", 10),
    Column("准确度合格率 %", "Share that will do", 13),
    Column("依据", "Clause", 34),
)
STOCKS = (
    Column("序号", "No.", 6),
    Column("能源种类", "Energy kind", 18),
    Column("年份", "Year", 8),
    Column("购入量", "Purchased", 20),
    Column("消耗量", "Consumed", 20),
    Column("年末库存", "Stock at the end of the year", 20),
    Column("依据文件", "Document", 44),
)
DECLARED = "全部为企业申报,附文件;本软件不推算。 All as declared, with its document; nothing is inferred."


def review_forms(book: Plantbook) -> list[Sheet]:
    """Return the ten forms in their order."""
    return [_staff(book), _equipment(book), *_instruments(book), _rates(book), _classes(book), _stocks(book)]


def _staff(book: Plantbook) -> Sheet:
    title = "能源计量人员一览表及任命文件"
    sheet = Sheet("B.1 人员", f"表 B.1 {title}", "Staff", STAFF, (NOT_SEEN, DECLARED))
    for number, one in enumerate(book.outcome.inventory.staff, 1):
        sheet.add(number, one.name, one.post, one.department, one.training, one.document)
    return sheet


def _equipment(book: Plantbook) -> Sheet:
    """Return the main equipment, a line for each energy kind it takes."""
    note = "按规则集限定值判定的主要用能设备,每种能源一行。 Main equipment by the limits of the ruleset, one line an energy kind."
    sheet = Sheet(
        "B.2 主要用能设备",
        "表 B.2 主要用能设备一览表",
        "Main equipment",
        EQUIPMENT,
        (NOT_SEEN, note, UNKNOWN),
        book.banners,
    )
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in book.outcome.rows:
        for judged in row.judged if row.level == 3 else ():
            if judged.counts and judged.need.owners:
                count = counts[judged.need.owners[0], row.energy_kind]
                count[0] += 1
                count[1] += judged.is_fitted
    number = 0
    for owner in book.outcome.owners.values():
        if owner.level != 3 or not owner.is_main:
            continue
        one = book.equipment[owner.id]
        for reach in owner.reaches:
            number += 1
            sheet.add(number, *_main(book, one, reach, counts.get((one.id, reach.energy_kind))))
    return sheet


def _main(book: Plantbook, one: Equipment, reach: Reach, count: list[int] | None) -> list[Value]:
    amount = next((held for held in one.amounts if held.energy_kind == reach.energy_kind), None)
    yearly = None if amount is None or amount.yearly is None else str(amount.yearly)
    return [
        one.name,
        one.model,
        one.location,
        book.name(one.unit or "organization"),
        energy(reach.energy_kind),
        reach.amount or (str(amount.rated) if amount is not None and amount.rated is not None else None),
        reach.limit,
        VERDICT[reach.verdict],
        yearly,
        None if amount is None else amount.year,
        count[0] if count else 0,
        count[1] if count else 0,
        book.clause(reach.clause),
        "" if amount is None else amount.source,
    ]


def _instruments(book: Plantbook) -> list[Sheet]:
    """Return B.3 of all instruments and B.4–B.7 of those of each level and of the rest."""
    on = book.outcome.as_of
    listed = [one for one in book.outcome.inventory.instruments if one.is_installed(on)]
    cells = {one.id: _ledger_line(book, one) for one in listed}
    parts = {level: [one.id for one in listed if level in book.levels.get(one.id, ())] for level in LEVELS}
    rest = [one.id for one in listed if not book.levels.get(one.id)]
    forms = (
        ("B.3 器具一览", "表 B.3 能源计量器具一览表", "All instruments", list(cells)),
        ("B.4 一级器具", "表 B.4 进出用能单位能源计量器具一览表", "Instruments of level 1", parts[1]),
        ("B.5 二级器具", "表 B.5 进出主要次级用能单位能源计量器具一览表", "Instruments of level 2", parts[2]),
        ("B.6 三级器具", "表 B.6 主要用能设备能源计量器具一览表", "Instruments of level 3", parts[3]),
        ("B.7 分项器具", "表 B.7 其他(分项)能源计量器具一览表", "Other instruments: on no flow a clause wants measured", rest),
    )  # fmt: skip
    notes = (
        NOT_SEEN,
        "等级为有效证书所载;无有效证书的加 *。 Class: that of the valid certificate; * marks one without.",
        "服务多级的器具在各级均列出,含停用、核查等不计入实配者。 An instrument that serves several levels is listed at each, also one that does not count.",
    )
    sheets = []
    for name, zh, en, ids in forms:
        sheet = Sheet(name, zh, en, INSTRUMENTS, notes)
        for number, one in enumerate(ids, 1):
            sheet.add(number, *cells[one])
        sheets.append(sheet)
    return sheets


def _ledger_line(book: Plantbook, one: Instrument) -> list[Value]:
    on = book.outcome.as_of
    state = validity(one, on)
    newest = one.verification(on)
    standing = book.outcome.standings.get(one.id)
    stated = standing.stated_class if standing is not None else one.accuracy_class
    where = [
        "有效证书 valid certificate" if state == "valid" else f"无有效证书 none in force: {VALIDITY[state]}"
    ]
    if stated and not one.accuracy_class:
        where.append("由测量链 from its chain")
    if not stated:
        where.append("等级未录入 no class entered")
    use = "; ".join(filter(None, (PURPOSE[one.purpose], ROLE[one.role], one.params)))
    months = None if newest is None else newest.period_months
    return [
        one.name,
        one.model,
        stated if state == "valid" or not stated else f"{stated} *",
        one.range,
        one.manufacturer,
        one.serial,
        one.own_number,
        f"{one.location}\n{use}" if one.location else use,
        None if newest is None or months is None else f"{months} 个月 months, {KIND[newest.kind]}",
        STATUS[one.status],
        "; ".join(where),
        None if newest is None else newest.last_day,
        VALIDITY[state],
        "" if newest is None else newest.certificate,
        "" if newest is None else newest.body,
        ", ".join(one.flows),
        one.id,
    ]


def _rates(book: Plantbook) -> Sheet:
    sheet = Sheet(
        "B.8 配备汇总",
        "表 B.8 能源计量器具配备情况统计汇总表",
        "Summary of the rates",
        RATES,
        (NOT_SEEN, ROUNDED, SUBTOTALS, UNKNOWN),
        book.banners,
    )
    for level in LEVELS:
        listed = [row for row in book.outcome.rows if row.level == level]
        for row in listed:
            sheet.add(*_rate(book, row), kind="bad" if row.meets is False else "body")
        for label, total in subtotals(listed, level) if listed else ():
            sheet.add(LEVEL_NAMES[level], label, *_subtotal(total), kind="strong")
    return sheet


def _rate(book: Plantbook, row: Row) -> list[Value]:
    without = "" if row.required is not None else "无配备率要求 no rate is demanded"
    return [
        LEVEL_NAMES[row.level],
        energy(row.energy_kind),
        row.need,
        row.fitted,
        percent(row.rate),
        row.required,
        verdict(row),
        row.connected,
        row.effective,
        percent(row.auto_collected),
        percent(row.intact),
        percent(row.verified),
        percent(row.accurate),
        book.clauses(row.clauses),
        "; ".join(filter(None, (hidden_miss(row.rate, row.required), without))),
    ]


def _subtotal(total: Tally) -> list[Value]:
    return [
        total.need,
        total.fitted,
        percent(total.of_need(total.fitted)),
        None,
        None,
        total.connected,
        total.effective,
        percent(total.of_need(total.collected)),
        percent(total.of_fitted(total.intact)),
        percent(total.of_fitted(total.verified)),
        percent(total.of_fitted(total.accurate)),
        None,
        None,
    ]


def _classes(book: Plantbook) -> Sheet:
    """Return how many of each class serve at each level, against what is demanded."""
    note = "按应配且已配备的流向统计;一台可服务多条流向。 Of the needed flows that are fitted; one instrument may serve several."
    sheet = Sheet(
        "B.9 准确度汇总",
        "表 B.9 能源计量器具准确度等级统计汇总表",
        "Summary of the accuracy classes",
        CLASSES,
        (NOT_SEEN, note, ROUNDED),
        book.banners,
    )
    for level in LEVELS:
        groups: dict[tuple[Category, str, str, str], list[Standing]] = defaultdict(list)
        for row in book.outcome.rows:
            for judged in row.judged if row.level == level else ():
                best = judged.best
                if judged.counts and best is not None:
                    what = book.instruments[best.instrument].category
                    groups[what, best.stated_class, best.required_class, best.required_clause].append(best)
        for (what, stated, required, clause), served in sorted(groups.items()):
            is_open = any(one.required_unknown for one in served)
            demanded = required or ("不详 unknown" if is_open else "无要求 none")
            cells = (category(what), stated or "不详 unknown", demanded, *_adequate(served))
            sheet.add(LEVEL_NAMES[level], *cells, book.clause(clause))
        if groups:
            every = [one for served in groups.values() for one in served]
            sheet.add(LEVEL_NAMES[level], "小计 Subtotal", None, None, *_adequate(every), None, kind="strong")
    return sheet


def _adequate(served: Sequence[Standing]) -> list[Value]:
    """Return flows measured, instruments, those that will do, and their share."""
    good = sum(1 for one in served if one.is_accurate)
    return [len(served), len({one.instrument for one in served}), good, percent(Fraction(good, len(served)))]


def _stocks(book: Plantbook) -> Sheet:
    title = "能源购进、消耗及库存年度统计表"
    sheet = Sheet(
        "B.10 购消存",
        f"表 B.10 {title}",
        "Purchase, consumption and stock of a year",
        STOCKS,
        (NOT_SEEN, DECLARED, UNKNOWN),
    )
    for number, one in enumerate(book.outcome.inventory.stocks, 1):
        amounts = (None if held is None else str(held) for held in (one.purchased, one.consumed, one.stock))
        sheet.add(number, energy(one.energy_kind), one.year, *amounts, one.document)
    return sheet

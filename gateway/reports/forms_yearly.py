"""The yearly form 工业年报表1-8-1 企业能源计量器具配备和管理情况表.

Source: columns, subtotals and the list of categories as a public exporter has them; the printed layout and the wording of the
eight management items were not seen.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.inventory.answers import MANAGEMENT
from gateway.reports.sheets import Column, Sheet
from gateway.reports.tally import percent, subtotals
from gateway.reports.wording import NOT_SEEN, ROUNDED, RUNNING, SUBTOTALS, UNKNOWN, category, energy, yes_no

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.fitting.outcome import Judged, Row
    from gateway.inventory.model import Answer
    from gateway.reports.sheets import Value
    from gateway.reports.wording import Plantbook

COLUMNS = (
    Column("序号", "No.", 14),
    Column("名称", "Flow", 30),
    Column("能源种类及限定值", "Energy kind and limit", 26),
    Column("计量器具类别", "Category", 24),
    Column("运行状态", "Running state", 13),
    Column("安装使用地点", "Location", 28),
    Column("是否在检定周期内", "Inside its verification period", 15),
)
MACHINES = (
    Column("序号", "No.", 14),
    Column("主要用能设备", "Main equipment", 30),
    Column("能源种类及限定值", "Energy kind and limit", 26),
    Column("计量器具类别", "Category", 24),
    Column("应配数", "Need", 13),
    Column("实配数", "Fitted", 28),
    Column("完好数", "Intact", 15),
)
SUBTOTAL = (
    Column("小计", "Subtotal", 14),
    Column("应配数量", "Need", 30),
    Column("实配数量", "Fitted", 26),
    Column("配备率 %", "Rate", 24),
    Column("完好率 %", "Intact", 13),
    Column("检定率 %", "Verified", 28),
)
ITEMS = (
    Column("序号", "No.", 14),
    Column("管理情况", "Management item", 30),
    Column("是/否", "Answer", 26),
    Column("依据文件", "Document", 24),
)
PARTS = {1: "一、进出用能单位 Level 1", 2: "二、进出主要次级用能单位 Level 2"}
ANSWERS = {"yes": "是 yes", "no": "否 no", "not_applicable": "不适用 n/a"}
STOPPED = "停用 stopped"


def yearly_form(book: Plantbook) -> Sheet:
    """Return the yearly form: a line for each needed flow at levels 1 and 2, for each main machine at level 3."""
    sheet = Sheet(
        "1-8-1",
        "工业年报表1-8-1 企业能源计量器具配备和管理情况表",
        "Yearly form 1-8-1",
        COLUMNS,
        (NOT_SEEN, ROUNDED, SUBTOTALS, UNKNOWN),
        book.banners,
        has_head=False,
    )
    for level, title in PARTS.items():
        rows = [row for row in book.outcome.rows if row.level == level]
        sheet.section(title)
        sheet.head(*COLUMNS)
        counted = ((row, one) for row in rows for one in row.judged if one.counts)
        for number, (row, judged) in enumerate(counted, 1):
            kind = "body" if judged.is_fitted else "bad"
            sheet.add(number, *_flow(book, row, judged), kind=kind)
        _subtotal(sheet, rows, level)
    _machines(sheet, book)
    _management(sheet, book.outcome.inventory.answers)
    return sheet


def _flow(book: Plantbook, row: Row, judged: Judged) -> list[Value]:
    what = [book.flow(judged.need.flow) + _central(judged), _with_limit(book, row, judged.need.owners)]
    if judged.best is None:
        return [*what, "未配备 not fitted", None, None, None]
    one = book.instruments[judged.best.instrument]
    running = STOPPED if one.status == "stopped" else RUNNING[one.running]
    return [*what, category(one.category), running, one.location, yes_no(judged.best.is_verified)]


def _central(judged: Judged) -> str:
    """Return by which instruments a need is met that central metering keeps, "" for any other."""
    return f" (集中计量 central: {', '.join(judged.need.rests_on)})" if judged.need.kept else ""


def _with_limit(book: Plantbook, row: Row, owners: Iterable[str]) -> str:
    """Return an energy kind with the limit that holds for its owners; level 1 has none."""
    for name in owners:
        owner = book.outcome.owners.get(name)
        for reach in owner.reaches if owner is not None else ():
            if reach.energy_kind == row.energy_kind and reach.limit:
                return f"{energy(row.energy_kind)} ({reach.limit})"
    return energy(row.energy_kind)


def _subtotal(sheet: Sheet, rows: list[Row], level: int) -> None:
    """Append need, fitted and the three rates; main equipment has no 检定率 in this form."""
    sheet.head(*(SUBTOTAL if level in PARTS else SUBTOTAL[:-1]))
    for label, total in subtotals(rows, level):
        cells: list[Value] = [label, total.need, total.fitted, percent(total.of_need(total.fitted))]
        cells.append(percent(total.of_fitted(total.intact)))
        if level in PARTS:
            cells.append(percent(total.of_fitted(total.verified)))
        sheet.add(*cells, kind="strong")


def _machines(sheet: Sheet, book: Plantbook) -> None:
    sheet.section("三、主要用能设备 Main equipment")
    sheet.head(*MACHINES)
    rows = [row for row in book.outcome.rows if row.level == 3]
    groups: dict[tuple[str, str], list[tuple[Row, Judged]]] = defaultdict(list)
    for row in rows:
        for judged in row.judged:
            if judged.counts:
                owner = (judged.need.owners or (judged.need.flow,))[0]
                groups[owner, row.energy_kind].append((row, judged))
    for number, ((owner, _), needs) in enumerate(sorted(groups.items()), 1):
        best = [one.best for _, one in needs if one.best is not None]
        kinds = dict.fromkeys(category(book.instruments[one.instrument].category) for one in best)
        sheet.add(
            number,
            book.name(owner) + "".join(_central(one) for _, one in needs),
            _with_limit(book, needs[0][0], (owner,)),
            ", ".join(kinds) or "未配备 not fitted",
            len(needs),
            len(best),
            sum(1 for one in best if one.is_intact),
            kind="body" if len(best) == len(needs) else "bad",
        )
    _subtotal(sheet, rows, 3)


def _management(sheet: Sheet, answers: Iterable[Answer]) -> None:
    declared = {one.item: one for one in answers}
    sheet.section("四、管理情况 Management: wording not seen in the original")
    sheet.say(
        "八项是/否,原文措辞未见;按申报填写,不推算。 Eight yes/no items, wording not seen; as declared under the key, never inferred."
    )
    sheet.head(*ITEMS)
    for number, key in enumerate(MANAGEMENT, 1):
        one = declared.get(key)
        told = f"第 {number} 项(原文未见 wording not seen), {key}"
        sheet.add(
            number, told, None if one is None else ANSWERS[one.answer], None if one is None else one.document
        )

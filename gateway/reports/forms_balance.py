"""The sheet of energy balances (能量平衡); contract of the figures: docs/specs/balance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.inventory import terms
from gateway.reports.sheets import Column, Sheet
from gateway.reports.wording import UNKNOWN, all_of, energy

if TYPE_CHECKING:
    from decimal import Decimal

    from gateway.fitting.balance import Balances
    from gateway.reports.wording import Plantbook

BALANCE = (
    Column("位置", "Place", 28),
    Column("能源种类", "Energy kind", 16),
    Column("单位", "Unit", 8),
    Column("输入", "In", 18),
    Column("输出", "Out", 18),
    Column("差值", "Difference", 18),
    Column("申报损耗", "Declared losses", 16),
    Column("残差", "Residual", 18),
    Column("扩展不确定度", "Expanded uncertainty", 18),
    Column("结论", "Verdict", 18),
    Column("说明", "Why", 50),
)
VERDICTS = {"balanced": terms.BALANCED.both, "flagged": terms.FLAGGED.both, None: terms.NOT_JUDGED.both}
PLACES = 6


def balance_sheet(book: Plantbook, balance: Balances) -> Sheet:
    """Return what comes in less what goes out, place by place; judged only where the figures are whole."""
    sheet = Sheet(
        "能量平衡 Balance",
        "能量平衡",
        "Energy balance",
        BALANCE,
        (f"数据统计期 window: {balance.window.first} – {balance.window.last}", UNKNOWN),
    )
    for row in balance.rows:
        figures = (row.taken, row.given, row.difference, row.loss, row.residual, row.uncertainty)
        sheet.add(
            book.name(row.place),
            energy(row.energy_kind),
            row.unit,
            *map(_figure, figures),
            VERDICTS[row.judged],
            all_of((*row.why_zh, *row.doubts_zh), (*row.why, *row.doubts)),
            kind="bad" if row.judged == "flagged" else "body",
        )
    return sheet


def _figure(value: Decimal | None) -> str | None:
    """Return an amount as text, as exact as anyone can use it."""
    return None if value is None else f"{round(value, PLACES).normalize():f}"

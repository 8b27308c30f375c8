"""Words of the workbook: Chinese with English beside them, as audit teams read them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.energy_kinds import ENERGY_KINDS
from gateway.fitting.categories import CATEGORIES
from gateway.fitting.citations import citations
from gateway.fitting.served import levels_served
from gateway.inventory import terms
from gateway.inventory.model import ORGANIZATION, OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.fitting.outcome import Outcome, Row
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Category, Equipment, Flow, Instrument, Unit

LEVELS: Mapping[int, str] = {
    1: "一级 进出用能单位 L1",
    2: "二级 进出主要次级用能单位 L2",
    3: "三级 主要用能设备 L3",
}
STATUS = {"qualified": "合格 qualified", "limited": "准用 limited", "stopped": "停用 stopped"}
RUNNING = {"good": "良好 good", "repair": "维护 in repair"}
PURPOSE = {"settlement": "贸易结算 settlement", "internal": "内部 internal"}
ROLE = {"main": "", "check": terms.CHECK_METER.both, "portable": "便携 portable", "spare": "备用 spare"}
KIND = {
    "verification": "检定 verification",
    "calibration": "校准 calibration",
    "self_calibration": "自校 self-calibration",
}
VALIDITY = {state: term.both for state, term in terms.VALIDITY.items()}
VERDICT = {
    "reached": "达到 reached",
    "below": "未达到 below",
    "unknown": "不详 unknown",
    "no_limit": "无限定值 no limit",
    "every": "按解释计入 counted by interpretation",
}
NOT_SEEN = "版式未见原件:栏目按公开资料编排,版式仅供参考。 Layout not seen in the original: columns from public material."
UNKNOWN = "空白 = 未知或未申报,不是 0。 Empty = not known or not declared, never 0."
ROUNDED = "比率按未修约值比较;显示值向下取两位小数。 Rates are compared un-rounded; shown rounded down to two decimals."
SUBTOTALS = (
    "小计为台数之和,比率由小计台数计算,不取平均;有无配备率要求的种类时,另列其中有要求者。 "
    "Subtotals add counts; their rates come from these, never averaged. Where a kind has no demanded rate, the others are also added alone."
)


def energy(kind: str) -> str:
    """Return an energy kind as 电力 electricity."""
    return " ".join(ENERGY_KINDS.get(kind, (kind,)))


def category(of: Category) -> str:
    """Return a kind of instrument as 电能表 electricity meter."""
    words = CATEGORIES[of]
    return f"{words.zh} {words.en.removeprefix('an ').removeprefix('a ')}"


def yes_no(answer: bool | None) -> str | None:
    """Return 是 yes or 否 no; nothing where nobody can tell."""
    return None if answer is None else "是 yes" if answer else "否 no"


def meets(answer: bool | None) -> str:
    """Return whether a share is what is demanded."""
    return terms.NOT_JUDGED.both if answer is None else "符合 meets" if answer else "不符合 misses"


def verdict(row: Row) -> str:
    """Return whether a rate is what is demanded; 不适用 where there is no need."""
    if not row.need:
        return "不适用 n/a"
    return "无要求 none demanded" if row.required is None else meets(row.meets)


def both(zh: str, en: str) -> str:
    """Return two languages, one under the other; one alone where the other is missing or the same."""
    return "\n".join(dict.fromkeys(text for text in (zh, en) if text))


def all_of(zh: Sequence[str], en: Sequence[str]) -> str:
    """Return several texts in both languages."""
    return both("; ".join(zh), "; ".join(en))


def banners(ruleset: Ruleset, outcome: Outcome) -> tuple[str, ...]:
    """Return what no sheet with a verdict by a ruleset may be read without."""
    about, told = ruleset.ruleset, []
    if ruleset.is_empty:
        told.append(
            f"{about.id} 无限定值和配备率表,不能据以判定。 {about.id} has no tables: nothing can be judged by it."
        )
    if about.superseded_on is not None and about.superseded_on <= outcome.as_of:
        by = about.superseded_by or "–"
        told.append(
            f"{about.id} 已于 {about.superseded_on} 被 {by} 代替;“符合”仅指旧版要求。 "
            f'Superseded since {about.superseded_on} by {by}: "meets" speaks of the old edition alone.'
        )
    elif about.valid_from is not None and outcome.as_of < about.valid_from:
        told.append(f"{about.id} 自 {about.valid_from} 起实施。 In force only from {about.valid_from}.")
    return tuple(told)


class Plantbook:
    """Names of an outcome's inventory, and where each instrument serves."""

    def __init__(self, outcome: Outcome) -> None:
        """Index the inventory and the judged needs once."""
        inventory = outcome.inventory
        self.outcome = outcome
        self.units: dict[str, Unit] = {one.id: one for one in inventory.units}
        self.equipment: dict[str, Equipment] = {one.id: one for one in inventory.equipment}
        self.flows: dict[str, Flow] = {one.id: one for one in inventory.flows}
        self.instruments: dict[str, Instrument] = {one.id: one for one in inventory.instruments}
        self.cited = citations(outcome)
        self.banners = banners(outcome.ruleset, outcome)
        self.levels = levels_served(outcome)

    def name(self, end: str) -> str:
        """Return what people call a place, with its id."""
        if end == OUTSIDE:
            return terms.OUTSIDE.both
        if end == ORGANIZATION:
            return terms.ORGANIZATION.both
        known = self.units.get(end) or self.equipment.get(end)
        return end if known is None or known.name == end else f"{known.name} ({end})"

    def names(self, ends: Iterable[str]) -> str:
        """Return the names of several places."""
        return ", ".join(self.name(end) for end in ends)

    def route(self, flow: str) -> str:
        """Return where a flow comes from and goes to; of a need without a flow, whose it is."""
        known = self.flows.get(flow)
        if known is None:
            return f"{self.name(flow.partition(':')[0])}(台账无此流向 no such flow in the inventory)"
        return f"{self.name(known.from_end)} → {self.name(known.to_end)}"

    def clause(self, clause: str) -> str:
        """Return a clause in both languages."""
        return both(self.cited.clause(clause), clause)

    def clauses(self, clauses: Sequence[str]) -> str:
        """Return several clauses in both languages."""
        return all_of([self.cited.clause(one) for one in clauses], clauses)

    def flow(self, flow: str) -> str:
        """Return the name of a flow with its id."""
        known = self.flows.get(flow)
        return flow if known is None or not known.name or known.name == flow else f"{known.name} ({flow})"

    def instrument(self, name: str) -> str:
        """Return what people call an instrument, with its id."""
        known = self.instruments.get(name)
        return name if known is None or known.name == name else f"{known.name} ({name})"

"""Why a flow is needed, exempt or doubtful, in English and Chinese. Pure words: the figures in them come from ruleset and inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.energy_kinds import ENERGY_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.fitting.outcome import Owner, Reach
    from gateway.fitting.plant import Plant


class Words(NamedTuple):
    """The same in two languages."""

    en: str
    zh: str


NOTHING = Words("", "")
_HOW = {
    "declared": ("as declared", "申报值"),
    "inflows": ("its inflows", "输入合计"),
    "outflows": ("its outflows", "输出合计"),
    "production": ("its own production", "自产合计"),
    "equipment": ("its equipment", "设备合计"),
}


def kind_name(kind: str) -> Words:
    """Return what an energy kind is called."""
    zh, en = ENERGY_KINDS[kind]
    return Words(en, zh)


def boundary(is_in: bool) -> Words:
    """Return why a flow over the boundary of the organisation is needed."""
    if is_in:
        return Words("it enters the organisation", "进入用能单位")
    return Words("it leaves the organisation", "输出用能单位")


def main(owner: Owner, plant: Plant, kind: str = "") -> Words:
    """Return by what a unit or a piece of equipment is a main one; kind: by this one alone, "": by any."""
    name = plant.name(owner.id)
    what = (
        Words("a main unit", "主要次级用能单位")
        if owner.level == 2
        else Words("main equipment", "主要用能设备")
    )
    certain = [
        one for one in owner.reaches if one.energy_kind in owner.reached and kind in ("", one.energy_kind)
    ]
    if certain:
        told = reached(certain[0])
        return Words(f"{name} is {what.en}: {told.en}", f"{name} 为{what.zh}: {told.zh}")
    return Words(f"{name} may be {what.en}", f"{name} 可能为{what.zh}")


def reached(reach: Reach) -> Words:
    """Return one energy kind against its limit."""
    kind = kind_name(reach.energy_kind)
    if reach.verdict == "every":
        return Words("every one counts here, by interpretation", "按解释, 全部计入")
    if reach.verdict == "no_limit":
        return Words(f"{kind.en}: no limit is set", f"{kind.zh}: 无限定值")
    if reach.verdict == "unknown":
        missing = names(reach.missing)
        least = f", at least {reach.amount}" if reach.amount else ""
        least_zh = f", 至少 {reach.amount}" if reach.amount else ""
        return Words(
            f"{kind.en}: amount not known{least}, limit {reach.limit}; missing: {missing}",
            f"{kind.zh}: 用量不详{least_zh}, 限定值 {reach.limit}; 缺: {missing}",
        )
    sign = "≥" if reach.verdict == "reached" else "<"
    how, how_zh = _HOW.get(reach.how, ("", ""))
    amount = reach.amount or "0"
    return Words(
        f"{kind.en} {amount} {sign} {reach.limit}" + (f" ({how})" if how else ""),
        f"{kind.zh} {amount} {sign} {reach.limit}" + (f" ({how_zh})" if how_zh else ""),
    )


def unknown(owner: Owner, plant: Plant, kind: str = "") -> Words:
    """Return what is not known of a unit or a piece of equipment that may be a main one; kind: by this one alone, "": by any."""
    told = [
        reached(one) for one in owner.reaches if one.verdict == "unknown" and kind in ("", one.energy_kind)
    ]
    name = plant.name(owner.id)
    return Words(
        f"{name}: " + "; ".join(one.en for one in told), f"{name}: " + "; ".join(one.zh for one in told)
    )


def unknown_counts_not() -> Words:
    """Return the ground of a need that is only possible, where the ruleset counts certain ones alone."""
    return Words(
        "the amount is not known, and unknown amounts are not counted here", "用量不详, 按解释不计入"
    )


def of_note(text: str, text_zh: str) -> Words:
    """Return what a note of a ruleset says, ready to be gone on with."""
    return Words(text.rstrip(". "), (text_zh or text).rstrip("。. "))


def auxiliary(reach: Reach, text: Words) -> Words:
    """Return the ground of a small auxiliary amount."""
    told = reached(reach)
    return Words(f"{text.en}: {told.en}", f"{text.zh}: {told.zh}")


def central(unit: str, flows: Sequence[str], plant: Plant, text: Words) -> Words:
    """Return the ground of central metering: all inflows of a process unit are fitted."""
    where = plant.name(unit)
    return Words(
        f"{text.en}: all inflows of {where} are fitted ({names(flows)})",
        f"{text.zh}: {where} 的全部输入均已配备 ({names(flows)})",
    )


def no_flow(kind: str) -> Words:
    """Return what is said of a kind that equipment takes and no flow brings."""
    name = kind_name(kind)
    return Words(f"the inventory has no flow of {name.en} into it", f"台账中没有其{name.zh}的输入")


def names(ids: Sequence[str]) -> str:
    """Return ids in a row, the first few where there are many."""
    shown_max = 6
    more = len(ids) - shown_max
    return ", ".join(ids[:shown_max]) + (f" … (+{more})" if more > 0 else "") if ids else "–"

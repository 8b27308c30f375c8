"""Rows of a ruleset in words, for a table or a page. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING

from gateway.fitting.ruleset import (
    SWITCHES,
    Cited,
    ClassRow,
    Equivalent,
    Ladder,
    Limit,
    Note,
    Proof,
    Rate,
    Share,
    UserClass,
)
from gateway.fitting.ruleset_check import LISTS, SINGLES, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from gateway.fitting.ruleset import Ruleset

HEADINGS = {
    "limits": "Limits 限定值",
    "rates": "Rates demanded 配备率要求",
    "shares": "Metered shares demanded 计量率要求",
    "classes": "Accuracy classes 准确度等级",
    "user_classes": "Classes of the electricity user 电能计量用户类别",
    "ladder": "Ladder of classes 等级阶梯",
    "notes": "Notes 注",
    "equivalents": "Equivalents 换算",
    "proof": "Proof by readings 数据佐证",
}
CONFIDENCE = {
    "S": "seen in a public source 公开来源可见",
    "S2": "seen second-hand 间接来源",
    "R": "recalled, high confidence 记忆,把握大",
    "r": "recalled, medium confidence 记忆,把握中等",
    "U": "unsure, must be checked 存疑,须核对",
    "A": "checked by arithmetic 已验算",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row in words. level: "" if it speaks of none. of: what it speaks of. says: what it demands or means."""

    table: str
    row: Cited
    level: str
    of: str
    says: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How an open question is answered. is_stated: False where the ruleset says nothing and the engine's first choice holds."""

    switch: str
    choice: str
    others: tuple[str, ...]
    text: str
    text_zh: str
    clause: str
    is_stated: bool


def lines(ruleset: Ruleset) -> Iterator[Line]:
    """Yield every row in words, table by table."""
    for place, row in rows_of(ruleset):
        level, of, says = told(row)
        yield Line(place.partition("[")[0], row, level, of, says)


def answers(ruleset: Ruleset) -> Iterator[Answer]:
    """Yield how every open question is answered."""
    for switch, known in SWITCHES.items():
        stated = ruleset.interpretations.get(switch)
        choice = ruleset.choice(switch)
        others = tuple(one for one in known if one != choice)
        if stated is None:
            yield Answer(switch, choice, others, "", "", "", is_stated=False)
        else:
            yield Answer(switch, choice, others, stated.text, stated.text_zh, stated.clause, is_stated=True)


def state(ruleset: Ruleset, today: date) -> str:
    """Return how a ruleset stands on a day: "superseded", "empty", "not yet in force", or "" if nothing is to be said."""
    meta = ruleset.ruleset
    said = []
    if meta.superseded_on is not None and meta.superseded_on <= today:
        said.append("superseded")
    if meta.valid_from is not None and today < meta.valid_from:
        said.append("not yet in force")
    if ruleset.is_empty:
        said.append("empty")
    return ", ".join(said)


def row_count(ruleset: Ruleset) -> int:
    """Return how many rows it has."""
    singles = sum(getattr(ruleset, name) is not None for name in SINGLES)
    return singles + sum(len(getattr(ruleset, name)) for name in LISTS)


@singledispatch
def told(row: Cited) -> tuple[str, str, str]:
    """Return the level of a row, what it speaks of, and what it says."""
    return "", "", row.id


@told.register
def _(row: Limit) -> tuple[str, str, str]:
    measure = row.rated or row.yearly
    amount = f"{measure} a year" if row.rated is None else str(measure)
    return str(row.level), ", ".join(row.energy_kinds), f"from {amount}"


@told.register
def _(row: Rate) -> tuple[str, str, str]:
    return str(row.level), ", ".join(row.energy_kinds), f"{row.percent} %"


@told.register
def _(row: Share) -> tuple[str, str, str]:
    return str(row.level), row.energy_kind, f"{row.percent} %"


@told.register
def _(row: ClassRow) -> tuple[str, str, str]:
    conditions = [
        ", ".join(row.categories),
        ", ".join(row.energy_kinds),
        row.current,
        row.weighing,
        f"for {row.purpose}" if row.purpose else "",
        f"user {', '.join(row.user_classes)}" if row.user_classes else "",
        f"above DN {row.dn_min_mm}" if row.dn_min_mm is not None else "",
        f"up to DN {row.dn_max_mm}" if row.dn_max_mm is not None else "",
    ]
    return ", ".join(map(str, row.levels)), "; ".join(filter(None, conditions)), f"class {row.accuracy_class}"


@told.register
def _(row: UserClass) -> tuple[str, str, str]:
    capacity = " if billed at high voltage" if row.high_voltage_billed else ""
    conditions = [
        f"{row.phases} phase{'s' if row.phases != 1 else ''}" if row.phases is not None else "",
        f"from {row.monthly_kwh_min} kWh a month" if row.monthly_kwh_min is not None else "",
        f"from {row.transformer_kva_min} kVA{capacity}" if row.transformer_kva_min is not None else "",
        f"below {row.transformer_kva_below} kVA{capacity}" if row.transformer_kva_below is not None else "",
    ]
    return "", f"user {row.user_class}", " or ".join(filter(None, conditions))


@told.register
def _(row: Ladder) -> tuple[str, str, str]:
    steps = [f"{count} down at level {level}" for level, count in row.steps_down.items() if count]
    names = [f"{name} is {rung}" for name, rung in row.equivalents.items()]
    says = "; ".join(filter(None, (" > ".join(row.classes), ", ".join(steps), ", ".join(names))))
    return "", ", ".join(row.categories), says


@told.register
def _(row: Note) -> tuple[str, str, str]:
    return str(row.level), f"{row.kind}: {', '.join(row.energy_kinds)}", " ".join((row.text, row.text_zh))


@told.register
def _(row: Equivalent) -> tuple[str, str, str]:
    return "", ", ".join(row.energy_kinds), f"1 {row.unit} stands for {row.equals}"


@told.register
def _(row: Proof) -> tuple[str, str, str]:
    return "", "good readings of those due", f"at least {row.good_percent} %"

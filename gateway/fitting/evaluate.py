"""The evaluation: an inventory, a ruleset and evidence in, every need with its verdict out. Pure. Rules: docs/specs/fitting.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import MetergateError
from gateway.fitting.classes import Classes
from gateway.fitting.evidence import window_before
from gateway.fitting.grounds import Words, names
from gateway.fitting.instruments import Instruments
from gateway.fitting.needs import Needs
from gateway.fitting.outcome import Outcome, Row, ShareRow
from gateway.fitting.plant import Plant
from gateway.fitting.rows import Rows
from gateway.fitting.shares import shares

if TYPE_CHECKING:
    from datetime import date

    from gateway.fitting.evidence import Evidence
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Inventory


def evaluate(
    inventory: Inventory,
    ruleset: Ruleset,
    water_ruleset: Ruleset | None,
    as_of: date,
    evidence: Evidence | None,
) -> Outcome:
    """Return the outcome of a checked inventory by a ruleset on a day.

    water_ruleset: the one of water beside it, None: none. evidence: of the window before the day; None: connected and
    effective are not known. Raises MetergateError if the evidence is of another window.
    """
    window = window_before(as_of)
    if evidence is not None and evidence.window != window:
        raise MetergateError(
            f"the evidence is of {evidence.first} to {evidence.last}, but on {as_of} the window is {window.first} to "
            f"{window.last}, the last full calendar month before: gather it anew, or name another --as-of"
        )
    plant = Plant(inventory, as_of)
    classes = Classes(plant, ruleset)
    fitted = Instruments(plant, ruleset, classes, evidence)
    needs = Needs(plant, ruleset)
    rows = _rows(plant, ruleset, needs, Rows(plant, ruleset, fitted, classes, evidence))
    water_rows, water_shares = _water(plant, water_ruleset, evidence)
    standings = fitted.summary()
    doubts = [*_of_ruleset(ruleset, plant), *_doubts(ruleset, classes, rows), *_partial(evidence)]
    if water_ruleset is not None:
        doubts += _of_ruleset(water_ruleset, plant)
    return Outcome(
        inventory=inventory,
        ruleset=ruleset,
        water_ruleset=water_ruleset,
        as_of=as_of,
        window=window,
        evidence=evidence,
        user_class=classes.user_class,
        standings=standings,
        owners=needs.owners,
        rows=rows,
        water_rows=water_rows,
        water_shares=water_shares,
        unassigned=tuple(
            name for name, one in standings.items() if not one.is_fitted or not plant.instruments[name].flows
        ),
        doubts=tuple(words.en for words in doubts),
        doubts_zh=tuple(words.zh for words in doubts),
    )


def _rows(plant: Plant, ruleset: Ruleset, needs: Needs, rows: Rows) -> tuple[Row, ...]:
    found = rows.central(needs.all())
    return rows.of(found, rows.surplus(found))


def _water(
    plant: Plant, ruleset: Ruleset | None, evidence: Evidence | None
) -> tuple[tuple[Row, ...], tuple[ShareRow, ...]]:
    """Return the rows and shares of the ruleset of water, of the energy kinds it speaks of alone."""
    if ruleset is None:
        return (), ()
    rows_of = [row.energy_kinds for row in ruleset.rates] + [row.energy_kinds for row in ruleset.limits]
    kinds = frozenset(kind for row in rows_of for kind in row)
    classes = Classes(plant, ruleset)
    fitted = Instruments(plant, ruleset, classes, evidence)
    needs = Needs(plant, ruleset, kinds)
    rows = Rows(plant, ruleset, fitted, classes, evidence)
    found = rows.central(needs.all())
    return rows.of(found, {}), shares(plant, ruleset, fitted)


def _of_ruleset(ruleset: Ruleset, plant: Plant) -> list[Words]:
    """Return what is to be known of a ruleset before a figure that follows from it."""
    about = ruleset.ruleset
    told: list[Words] = []
    if ruleset.is_empty:
        told.append(
            Words(
                f"{about.id} has no tables: nothing can be judged by it",
                f"{about.id} 无限定值和配备率表, 不能据以判定",
            )
        )
    told += _own(ruleset)
    if about.superseded_on is not None and about.superseded_on <= plant.on:
        by = about.superseded_by or "–"
        told.append(
            Words(
                f"{about.id} is superseded since {about.superseded_on} by {by}: the result shows what the old edition demands",
                f"{about.id} 已于 {about.superseded_on} 被 {by} 代替: 本结果仅表明旧版的要求",
            )
        )
    elif about.valid_from is not None and plant.on < about.valid_from:
        told.append(
            Words(
                f"{about.id} is in force only from {about.valid_from}",
                f"{about.id} 自 {about.valid_from} 起实施",
            )
        )
    if about.note:
        told.append(Words(about.note, about.note_zh or about.note))
    weak = sum(
        1 for row in (*ruleset.limits, *ruleset.rates, *ruleset.classes) if row.confidence not in ("S", "A")
    )
    if weak:
        told.append(
            Words(
                f"{about.id}: {weak} rows of limits, rates and classes were not seen in a public source",
                f"{about.id}: 限定值、配备率和等级表中有 {weak} 行未见公开来源",
            )
        )
    return told


def _doubts(ruleset: Ruleset, classes: Classes, rows: tuple[Row, ...]) -> list[Words]:
    """Return what is to be known of the plant's facts before a figure of the result."""
    told: list[Words] = []
    if ruleset.user_classes and not classes.user_class:
        told.append(
            Words(
                "the user class of the electricity supply is not known: its electricity meters count as not accurate enough",
                "用户类别不详: 相关电能表按准确度不合格计",
            )
        )
    open_needs = sum(1 for row in rows for one in row.judged if one.need.undetermined)
    if open_needs:
        told.append(
            Words(
                f"{open_needs} of the needs: counted because an amount is not known (undetermined)",
                f"{open_needs} 项应配因用量不详而计入",
            )
        )
    return told


def _own(ruleset: Ruleset) -> list[Words]:
    """Return what is to be said of a ruleset that is not as it was shipped."""
    id_, changed = ruleset.ruleset.id, ruleset.changed
    if not changed:
        return []
    if "*" in changed:
        return [
            Words(
                f"{id_} is not shipped with Metergate and builds on no shipped ruleset: its figures are the user's own",
                f"{id_} 非随附规则, 亦不以随附规则为基础: 其数值由用户自定",
            )
        ]
    return [
        Words(
            f"{id_} differs from the shipped ruleset it builds on, in {len(changed)}: {names(changed)}",
            f"{id_} 与其所基于的随附规则有 {len(changed)} 处不同: {names(changed)}",
        )
    ]


def _partial(evidence: Evidence | None) -> list[Words]:
    """Return what is to be said of evidence that covers only a part of its window."""
    if evidence is None or evidence.whole:
        return []
    return [
        Words(
            f"the evidence does not cover {evidence.first} to {evidence.last} whole, what is effective cannot be told: {evidence.source}",
            f"数据未完整覆盖 {evidence.first} 至 {evidence.last}, 不能判定有效数: {evidence.source}",
        )
    ]

"""`metergate balance`: what comes in less what goes out, place by place, against what the meters can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.commands.fitting import (  # noqa: TC001 - typer reads the annotations
    AsOf,
    EvidenceFile,
    InventoryFile,
    RulesetName,
)
from gateway.commands.options import Config, Json, print_json
from gateway.errors import MetergateError
from gateway.inventory import terms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from decimal import Decimal
    from pathlib import Path

    from gateway.fitting.balance import Balance, Balances
    from gateway.fitting.evidence import Evidence
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Inventory

SIGNS = {"balanced": terms.BALANCED.english_first, "flagged": f"FLAGGED {terms.FLAGGED.zh}"}
REFUSED = terms.NOT_JUDGED.english_first


def balance(
    inventory: InventoryFile = None,
    evidence: EvidenceFile = None,
    as_of: AsOf = "",
    ruleset: RulesetName = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Show the energy balance (能量平衡): what arrives and what leaves.

    In − Σ out less declared losses, against its expanded uncertainty (k = 2) from class and chain. Where a flow is not
    measured, or its readings are not whole, nothing is judged and the reasons are listed.
    """
    from gateway.fitting.balance import balances
    from gateway.fitting.balance_rows import as_json

    given = inputs(config, inventory, evidence, as_of, ruleset)
    found = balances(given.inventory, given.ruleset, given.evidence)
    names = place_names(given.inventory)
    if json:
        about = {
            "inventory_digest": given.inventory.digest,
            "revision": given.revision,
            "ruleset": given.ruleset.ruleset.id,
            "as_of": given.as_of.isoformat(),
        }
        print_json(about | as_json(found, names))
        return
    show(found, names)


class Inputs(NamedTuple):
    """What a balance stands on. revision: of the inventory, None if it was not applied."""

    inventory: Inventory
    revision: int | None
    ruleset: Ruleset
    as_of: date
    evidence: Evidence


def inputs(
    config: Path | None, inventory: Path | None, evidence: Path | None, as_of: str, ruleset: str
) -> Inputs:
    """Return what a balance stands on. Raises ConfigError, MetergateError if nothing is known of the window.

    as_of: "": today, or with an evidence file the day after its window.
    """
    from datetime import timedelta

    from gateway.commands.fitting_work import day_of, gathered, inventory_of, rulesets_of, site_of
    from gateway.evidence.evidence_file import read_evidence
    from gateway.fitting.evidence import window_before

    site = site_of(config, is_needed=inventory is None)
    found, revision, _ = inventory_of(site, inventory)
    rules, _ = rulesets_of(site, ruleset, "")
    proof = read_evidence(evidence) if evidence is not None else None
    on = proof.last + timedelta(days=1) if proof is not None and not as_of else day_of(as_of, site)
    window = window_before(on)
    if proof is None and site is not None:
        proof = gathered(found, site, window)
    if proof is None:
        raise MetergateError(
            f"nothing is known of {window.first} to {window.last}: the history does not reach there, or this gateway has "
            "not run; name another --as-of, or a file with --evidence"
        )
    if as_of and proof.window != window:
        raise MetergateError(
            f"the evidence is of {proof.first} to {proof.last}, but on {on} the window is {window.first} to {window.last}"
        )
    return Inputs(found, revision, rules, on, proof)


def place_names(inventory: Inventory) -> dict[str, str]:
    """Return place -> name."""
    from gateway.inventory.model import ORGANIZATION

    return {
        ORGANIZATION: inventory.organization.name,
        **{unit.id: unit.name for unit in inventory.units},
        **{machine.id: machine.name for machine in inventory.equipment},
    }


def show(found: Balances, names: Mapping[str, str]) -> None:
    """Print balances for people."""
    from gateway.commands.grid import Grid, figures, note, words
    from gateway.commands.tables import console

    title = f"Energy balance 能量平衡  {found.window.first} – {found.window.last}"
    columns = ("in 输入", "out 输出", "loss 损耗", "rest 差值", "U (k=2)")
    table = Grid(
        "place 单元",
        words("name", drop=1),
        "kind",
        *(figures(column, drop=drop) for column, drop in zip(columns, (3, 4, 2, 0, 0), strict=True)),
        "unit",
        words("verdict 结论"),
        title=title,
    )
    for row in found.rows:
        style = "red" if row.judged == "flagged" else ""
        verdict = REFUSED if row.judged is None else SIGNS[row.judged]
        table.add_row(
            row.place, names.get(row.place, ""), row.energy_kind, *_cells(row), row.unit, verdict, style=style
        )
    screen = console()
    screen.print(table)
    if not found.rows:
        screen.print("No kind of energy both arrives and goes on anywhere in this inventory.")
    for row in found.rows:
        head = f"{row.place} {row.energy_kind}: "
        for text in (*row.why, *row.doubts):
            screen.print(note(head + text, "yellow" if text in row.doubts else ""))


def _cells(row: Balance) -> list[str]:
    from gateway.fitting.uncertainty import rounded_up

    spread = None if row.uncertainty is None else rounded_up(row.uncertainty)
    return [_figure(one) for one in (row.taken, row.given, row.loss, row.residual, spread)]


def _figure(value: Decimal | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.3f}".rstrip("0").rstrip(".")

"""`metergate balance`: what comes in less what goes out, place by place, against what the meters can tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import Config, Json, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from gateway.fitting.balance import Balance, Balances
    from gateway.inventory.model import Inventory

InventoryFile = Annotated[
    Path | None,
    typer.Option(
        "--inventory", help="Inventory (.toml, .json or .xlsx) instead of the one in force.", dir_okay=False
    ),
]
EvidenceFile = Annotated[
    Path | None,
    typer.Option(
        "--evidence", help="Evidence as JSON instead of what the history has.", exists=True, dir_okay=False
    ),
]
AsOf = Annotated[
    str,
    typer.Option("--as-of", help="Day, as 2026-09-01; the window is the full month before. Default: today."),
]
RulesetName = Annotated[str, typer.Option("--ruleset", help="Id or file of a ruleset instead of the site's.")]
SIGNS = {"balanced": "balanced 平衡", "flagged": "FLAGGED 不平衡"}
REFUSED = "not judged 不判定"


def balance(
    inventory: InventoryFile = None,
    evidence: EvidenceFile = None,
    as_of: AsOf = "",
    ruleset: RulesetName = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Show the energy balance (能量平衡) of every place where a kind of energy arrives and goes on.

    In − Σ out less declared losses, against its expanded uncertainty (k = 2) from class and chain. Where a flow is not
    measured, or its readings are not whole, nothing is judged and the reasons are listed.
    """
    from gateway.commands.ledger_inputs import inputs, needed
    from gateway.fitting.balance import balances
    from gateway.fitting.balance_rows import as_json

    given = inputs(config, inventory, evidence, as_of, ruleset)
    found = balances(given.inventory, given.ruleset, needed(given.evidence, given.window))
    names = place_names(given.inventory)
    if json:
        about = {
            "inventory_digest": given.inventory.digest,
            "revision": given.ledger.revision,
            "ruleset": given.ruleset.ruleset.id,
            "as_of": given.as_of.isoformat(),
        }
        print_json(about | as_json(found, names))
        return
    show(found, names)


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
        *map(figures, columns),
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

"""`metergate bill`: supplier bills entered, listed, and compared with the meters at the boundary."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.fitting import (  # noqa: TC001 - typer reads the annotations
    EvidenceFile,
    InventoryFile,
    RulesetName,
)
from gateway.commands.options import By, Config, Json, config_path, print_json, user
from gateway.errors import ConfigError, Finding
from gateway.inventory import terms

if TYPE_CHECKING:
    from gateway.config.models import Site
    from gateway.evidence.bill_comparison import Comparison
    from gateway.evidence.bills import Bill, Entered

app = typer.Typer(
    help="Supplier bills (供能账单): enter, list, compare with the meters.", no_args_is_help=True
)
VERDICTS = {"agrees": "agrees 相符", "differs": "DIFFERS 不符"}
REFUSED = terms.NOT_JUDGED.english_first


def _site(config: Path | None) -> Site:
    from gateway.config.site_file import load

    return load(config_path(config))


@app.command()
def enter(
    energy_kind: Annotated[str, typer.Option("--energy-kind", help="Energy kind, as electricity.")],
    from_: Annotated[str, typer.Option("--from", help="First day it is of.")],
    to: Annotated[str, typer.Option("--to", help="Last day it is of, included.")],
    amount: Annotated[str, typer.Option(help='What it charges with its unit, as "850000 kWh".')],
    supplier: Annotated[str, typer.Option(help="Who supplied.")],
    number: Annotated[str, typer.Option(help="Number of the bill.")],
    flow: Annotated[list[str], typer.Option(help="Flow of the inventory it is of; may be repeated.")],
    document: Annotated[str, typer.Option(help="Where the paper is.")] = "",
    supplier_class: Annotated[
        str, typer.Option("--supplier-class", help="Class of the supplier's meter, as 0.5S.")
    ] = "",
    replaces: Annotated[
        int | None, typer.Option(help="Entry it puts right; that one is kept and marked.")
    ] = None,
    by: By = "",
    why: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    inventory: InventoryFile = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Enter a bill. It is never changed: what was wrong is put right by a new entry with --replaces and --why."""
    from gateway.clock import SystemClock
    from gateway.commands.fitting_work import inventory_of
    from gateway.commands.options import reason
    from gateway.evidence.bill_comparison import bill_row
    from gateway.evidence.bills import Bills, refuse_unfit

    site = _site(config)
    given = {
        "energy_kind": energy_kind,
        "from": from_,
        "to": to,
        "amount": amount,
        "supplier": supplier,
        "number": number,
        "flows": flow,
        "document": document,
        "supplier_class": supplier_class,
        "replaces": replaces,
        "by": by or user(),
        "why": why if replaces is None else reason(why),
    }
    bill = _bill(given | {"entered_ns": SystemClock().wall_ns()})
    refuse_unfit(bill, inventory_of(site, inventory)[0])
    made = Bills(site.gateway.state_dir).enter(bill)
    if json:
        print_json(bill_row(made))
        return
    typer.echo(
        f"entry {made.number}: {bill.number} of {bill.supplier}, {bill.amount}, {bill.first} to {bill.last}"
    )
    typer.echo(f"digest {made.digest}")


def _bill(given: dict[str, Any]) -> Bill:
    """Return a bill. Raises ConfigError that names the options."""
    from pydantic import ValidationError

    from gateway.evidence.bills import Bill

    try:
        bill = Bill.model_validate(given)
    except ValidationError as error:
        raise ConfigError([_finding(one) for one in error.errors()]) from error
    if bill.amount is None:
        raise ConfigError([Finding("--amount", "nothing", 'a number with its unit: "850000 kWh"')])
    return bill


def _finding(error: Any) -> Finding:
    name = str(error["loc"][0]).replace("_", "-")
    context = error.get("ctx", {})
    expected = str(context.get("expected", error["msg"]))
    return Finding(f"--{name}", f'"{error["input"]}"', expected, str(context.get("suggestion", "")))


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="With the entries that were put right.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the bills, oldest entry first."""
    from gateway.evidence.bill_comparison import bill_row
    from gateway.evidence.bills import Bills

    bills = Bills(_site(config).gateway.state_dir)
    found = bills.all() if all_ else bills.standing()
    if json:
        print_json([bill_row(one) for one in found])
        return
    _print_bills(found)


def _print_bills(found: list[Entered]) -> None:
    from gateway.commands.grid import Col, Grid, figures, words
    from gateway.commands.tables import console

    table = Grid(
        figures("entry"),
        words("supplier 供方"),
        Col("number 编号", drop=4),
        Col("kind", drop=5),
        "from",
        "to",
        figures("amount 数量"),
        words("flows", drop=2),
        words("by", drop=1),
        words("put right by", drop=3),
        title="Bills 供能账单",
    )
    for one in found:
        bill = one.bill
        table.add_row(
            str(one.number),
            bill.supplier,
            bill.number,
            bill.energy_kind,
            str(bill.first),
            str(bill.last),
            str(bill.amount),
            " ".join(bill.flows),
            bill.by,
            f"entry {one.replaced_by}" if one.replaced_by else "",
        )
    console().print(table)
    if not found:
        typer.echo("No bill has been entered: metergate bill enter --help")


@app.command()
def compare(
    evidence: EvidenceFile = None,
    inventory: InventoryFile = None,
    ruleset: RulesetName = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Compare the bills that hold with what the meters at the boundary counted over the same days.

    From the history, or from an evidence file of just these days. Where a flow is not measured or its readings are not whole
    nothing is judged, and the reasons are listed.
    """
    found = compared(_site(config), evidence, inventory, ruleset)
    if json:
        from gateway.evidence.bill_comparison import row

        print_json([row(one) for one in found])
        return
    _print_compared(found)


def compared(site: Site, evidence: Path | None, inventory: Path | None, ruleset: str) -> list[Comparison]:
    """Return every bill that holds against the meters. Raises ConfigError, StorageError, MetergateError."""
    from gateway.commands.fitting_work import gathered, inventory_of, rulesets_of
    from gateway.evidence.bill_comparison import compare as against
    from gateway.evidence.bills import Bills
    from gateway.evidence.evidence_file import read_evidence

    ledger, _, _ = inventory_of(site, inventory)
    rules, _ = rulesets_of(site, ruleset, "")
    given = read_evidence(evidence) if evidence is not None else None
    known: dict[Any, Any] = {}
    found = []
    for one in Bills(site.gateway.state_dir).standing():
        window = one.bill.window
        if window not in known:
            known[window] = given or gathered(ledger, site, window)
        found.append(against(one, ledger, rules, known[window]))
    return found


def _print_compared(found: list[Comparison]) -> None:
    from gateway.commands.grid import Col, Grid, figures, note, words
    from gateway.commands.tables import console
    from gateway.fitting.uncertainty import rounded_up

    table = Grid(
        figures("entry"),
        Col("number 编号", drop=1),
        Col("from", drop=5),
        "to",
        figures("billed 账单", drop=3),
        figures("metered 计量", drop=4),
        figures("difference 差值"),
        figures("%", drop=2),
        figures("U (k=2)"),
        words("verdict 结论"),
        title="Bills against meters 账单比对",
    )
    for one in found:
        bill = one.entered.bill
        spread = None if one.uncertainty is None else rounded_up(one.uncertainty)
        table.add_row(
            str(one.entered.number),
            bill.number,
            str(bill.first),
            str(bill.last),
            str(bill.amount),
            *(
                "–" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")
                for value in (one.metered, one.difference)
            ),
            "–" if one.percent is None else f"{one.percent:.2f}",
            "–" if spread is None else f"{spread:,f}",
            REFUSED if one.judged is None else VERDICTS[one.judged],
            style="red" if one.judged == "differs" else "",
        )
    screen = console()
    screen.print(table)
    for one in found:
        for text in (*one.why, *one.doubts):
            screen.print(note(f"entry {one.entered.number}: {text}"))
    if not found:
        typer.echo("No bill has been entered: metergate bill enter --help")

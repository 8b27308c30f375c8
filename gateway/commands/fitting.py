"""`metergate fitting`: the fitting rates (配备率), derived by rule and clause, proved by data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.commands.options import Config, Json, print_json

if TYPE_CHECKING:
    from gateway.commands.fitting_work import Evaluated

InventoryFile = Annotated[
    Path | None,
    typer.Option(
        "--inventory", help="Inventory (.toml, .json, .xlsx). Default: the revision in force of the site."
    ),
]
EvidenceFile = Annotated[
    Path | None,
    typer.Option(
        "--evidence", help="What the instruments delivered, as JSON. Default: from the site's history."
    ),
]
RulesetName = Annotated[
    str,
    typer.Option(
        "--ruleset", help="Id or file of a ruleset; `metergate rulesets` lists them. Default: the site's."
    ),
]
AsOf = Annotated[
    str,
    typer.Option(
        "--as-of",
        help="Day the result stands for, such as 2026-11-22. Default: today; with --evidence the day after its window.",
    ),
]


def fitting(
    inventory: InventoryFile = None,
    evidence: EvidenceFile = None,
    ruleset: RulesetName = "",
    water_ruleset: Annotated[
        str, typer.Option(help="Ruleset of water beside it. Default: the one the ruleset names.")
    ] = "",
    as_of: AsOf = "",
    explain: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Walk from the rates to clause, flow and instrument of one unit, equipment, flow, instrument or energy kind.",
        ),
    ] = "",
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file, to print.")] = None,
    workbook: Annotated[
        Path | None, typer.Option(help="Write the forms of JJF 1356 and form 1-8-1 as an Excel workbook.")
    ] = None,
    diagrams: Annotated[
        Path | None,
        typer.Option(help="Write a metering network diagram (SVG) per energy kind into this folder."),
    ] = None,
    lang: Annotated[Literal["zh", "en"], typer.Option(help="Language of report and diagrams.")] = "zh",
    config: Config = None,
    json: Json = False,
) -> None:
    """Show the fitting rates (配备率) of a plant by energy kind and level: what a standard needs, what is fitted, what delivers.

    Three truths beside each other: fitted (installed), connected (a good reading in the last full month before the day),
    effective (fitted, delivering, verified, accurate, confirmed). Without history the last two are not known, never 0.
    Works without a site file: metergate fitting --inventory FILE --evidence FILE --ruleset NAME --as-of DATE --json.
    """
    from gateway.commands.fitting_work import evaluated

    found = evaluated(
        config,
        inventory=inventory,
        evidence=evidence,
        ruleset=ruleset,
        water_ruleset=water_ruleset,
        as_of=as_of,
    )
    written = [*_write(found, html, workbook, diagrams, lang)]
    if explain:
        _explain(found, explain, as_json=json)
        return
    if json:
        from gateway.fitting.result import result

        print_json(result(found.outcome, found.revision))
        return
    from gateway.commands.fitting_table import show, show_head

    if not written:
        show(found.outcome, found.revision)
        return
    show_head(found.outcome, found.revision)
    for path in written:
        typer.echo(f"wrote {path}")


def _explain(found: Evaluated, name: str, *, as_json: bool) -> None:
    from gateway.commands.fitting_table import show_explained, show_head
    from gateway.commands.fitting_work import name_of
    from gateway.fitting.explain import Explainer

    explainer = Explainer(found.outcome)
    body = explainer.explain(name_of(name, explainer))
    if as_json:
        print_json(body)
        return
    show_head(found.outcome, found.revision)
    show_explained(body)


def _write(
    found: Evaluated,
    html: Path | None,
    workbook: Path | None,
    diagrams: Path | None,
    lang: Literal["zh", "en"],
) -> list[Path]:
    """Write the reports asked for; return their files."""
    from gateway.commands.fitting_files import write_diagrams, write_page, write_workbook_file

    written: list[Path] = []
    if html is not None:
        written.append(write_page(found, html, lang))
    if workbook is not None:
        written.append(write_workbook_file(found, workbook))
    if diagrams is not None:
        written += write_diagrams(found, diagrams, lang)
    return written

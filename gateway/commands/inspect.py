"""`metergate inspect`: a sample for the site, what was found at each instrument, findings until they are closed."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gateway.commands.fitting import InventoryFile  # noqa: TC001 - typer reads the annotations
from gateway.commands.inspect_tables import show_inspection, show_list
from gateway.commands.options import By, Config, Json, config_path, one_of, print_json, user
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from datetime import date

    from gateway.config.models import Site
    from gateway.fitting.ruleset import Ruleset
    from gateway.inspection.model import Mark, Shown
    from gateway.inspection.store import Inspection, Inspections
    from gateway.inventory.model import Inventory

app = typer.Typer(
    help="Inspections on site (现场检查): samples, records, findings.",
    no_args_is_help=True,
)
findings = typer.Typer(help="Findings: open and close.", no_args_is_help=True)
app.add_typer(findings, name="finding")
OPTIONS = {
    "serial": "--serial",
    "label": "--label",
    "seal": "--seal",
    "location": "--location",
    "diagram": "--diagram",
    "range": "--range",
    "accuracy_class": "--class",
    "ct_ratio": "--ct-ratio",
}
"""Item -> option, in the order of `record`."""
Number = Annotated[int, typer.Argument(help="Number of the inspection.", min=1)]


class Opened(NamedTuple):
    """A site, its inspections and the time it is."""

    site: Site
    store: Inspections
    now_ns: int


def _opened(config: Path | None) -> Opened:
    from gateway.clock import SystemClock
    from gateway.config.site_file import load
    from gateway.inspection.store import Inspections

    site = load(config_path(config))
    return Opened(site, Inspections(site.gateway.state_dir), SystemClock().wall_ns())


def _inventory(site: Site, given: Path | None) -> tuple[Inventory, int | None]:
    from gateway.commands.fitting_work import inventory_of

    found, revision, _ = inventory_of(site, given)
    return found, revision


def _served(site: Site, ledger: Inventory, on: date) -> tuple[Ruleset, dict[str, set[int]]]:
    """Return the site's ruleset, and at which levels each instrument serves by it."""
    from gateway.commands.fitting_work import rulesets_of
    from gateway.fitting.evaluate import evaluate
    from gateway.fitting.served import levels_served

    rules, water = rulesets_of(site, "", "")
    return rules, levels_served(evaluate(ledger, rules, water, on, None))


@app.command()
def draw(
    size: Annotated[int, typer.Option(help="How many instruments.", min=0)] = 0,
    percent: Annotated[
        float, typer.Option(help="Or how many percent of them, rounded up.", min=0, max=100)
    ] = 0.0,
    level: Annotated[
        list[int] | None, typer.Option(help="Only of this level (1-3); may be repeated.", min=1, max=3)
    ] = None,
    energy_kind: Annotated[
        list[str] | None, typer.Option("--energy-kind", help="Only of this kind; may be repeated.")
    ] = None,
    seed: Annotated[
        str, typer.Option(help="Seed of the draw, for one that can be foretold. Default: a new one.")
    ] = "",
    by: By = "",
    inventory: InventoryFile = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Draw a sample (抽样) by level and energy kind.

    With the seed, which is kept, anyone can draw it again.
    """
    import secrets

    from gateway.commands.fitting_work import day_of
    from gateway.energy_kinds import ENERGY_KINDS
    from gateway.inspection.drawing import draw as drawn_from
    from gateway.inspection.model import Drawn

    if bool(size) == bool(percent):
        raise typer.BadParameter("say how many: --size 20 or --percent 10", param_hint="--size")
    own = _opened(config)
    ledger, revision = _inventory(own.site, inventory)
    kinds = [one_of(kind, ENERGY_KINDS, "energy kind") for kind in energy_kind or ()]
    on = day_of("", own.site)
    used = seed or secrets.token_hex(8)
    rules, served = _served(own.site, ledger, on)
    if percent:
        population = drawn_from(ledger, served, used, 1, on, level or (), kinds).population
        size = -(-population * round(percent * 1000) // 100_000)
    sample = drawn_from(ledger, served, used, size, on, level or (), kinds)
    made = own.store.begin(
        Drawn(
            seed=used,
            size=size,
            levels=tuple(level or ()),
            energy_kinds=tuple(kinds),
            population=sample.population,
            inventory_digest=ledger.digest,
            revision=revision,
            ruleset=rules.ruleset.id,
            ruleset_digest=rules.digest,
            on=on,
            instruments=sample.chosen,
            by=by or user(),
            at_ns=own.now_ns,
        )
    )
    _tell(made, own.site, as_json=json)


@app.command("list")
def list_(config: Config = None, json: Json = False) -> None:
    """List the inspections: how many instruments, how many recorded, what was wrong, findings still open."""
    own = _opened(config)
    found = own.store.all()
    if json:
        print_json([body(one) for one in found])
    else:
        show_list(found, own.site.site.timezone, own.now_ns)


@app.command()
def show(inspection: Number, config: Config = None, json: Json = False) -> None:
    """Show an inspection: every instrument of the sample, what was found there, and the findings."""
    own = _opened(config)
    _tell(own.store.at(inspection), own.site, as_json=json)


def _option(what: str, *names: str) -> Any:
    return typer.Option(*names, help=f"{what}: ok, wrong or not_seen.")


@app.command()
def record(
    inspection: Number,
    instrument: Annotated[str, typer.Argument(help="Id of an instrument of the sample.")],
    serial: Annotated[str, _option("Serial number 出厂编号")] = "not_seen",
    label: Annotated[str, _option("Label 标识")] = "not_seen",
    seal: Annotated[str, _option("Seal 铅封")] = "not_seen",
    location: Annotated[str, _option("Location 安装地点")] = "not_seen",
    diagram: Annotated[str, _option("Flow in diagram 网络图")] = "not_seen",
    range_: Annotated[str, _option("Range 测量范围", "--range")] = "not_seen",
    class_: Annotated[str, _option("Class 准确度等级", "--class")] = "not_seen",
    ct_ratio: Annotated[str, _option("Ratio 互感器变比", "--ct-ratio")] = "not_seen",
    display: Annotated[str, typer.Option(help='What the display shows, as "1234.5 kWh".')] = "",
    display_verdict: Annotated[
        str,
        typer.Option(
            help="Display 表码: ok, wrong or not_seen. Default: what follows from the gateway's reading."
        ),
    ] = "",
    photo: Annotated[
        list[Path] | None, typer.Option(help="Photograph; its SHA-256 is kept. May be repeated.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep copies of the photographs too.")] = False,
    note: Annotated[str, typer.Option(help="Note.")] = "",
    by: By = "",
    inventory: InventoryFile = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Record what was found at an instrument (现场核对), held against ledger and diagram. A later record counts; all are kept."""
    from gateway.commands.inspect_work import beside, ledger_of, photographs
    from gateway.inspection.model import Found

    texts = serial, label, seal, location, diagram, range_, class_, ct_ratio
    marks: dict[str, Mark] = {
        item: _mark(text, option) for (item, option), text in zip(OPTIONS.items(), texts, strict=True)
    }
    own = _opened(config)
    ledger, _ = _inventory(own.site, inventory)
    one_of(instrument, own.store.at(inspection).ids, f"instrument in the sample of inspection {inspection}")
    listed = next((one for one in ledger.instruments if one.id == instrument), None)
    if listed is None:
        raise MetergateError(
            f'"{instrument}" is not in the inventory any more: draw anew, or name that one with --inventory'
        )
    compared = beside(display, listed, own.site, own.now_ns) if display else None
    marks["display"] = _agrees(display_verdict, compared)
    folder = own.store.photo_folder(inspection) if keep else None
    found = Found(
        instrument=instrument,
        marks=marks,
        display=compared,
        photos=photographs(photo or (), folder),
        note=note,
        ledger=ledger_of(listed),
        inventory_digest=ledger.digest,
        by=by or user(),
        at_ns=own.now_ns,
    )
    _tell(own.store.record(inspection, found), own.site, as_json=json, only=instrument)


def _agrees(said: str, compared: Shown | None) -> Mark:
    """Return whether the display agrees: as the inspector said, else what follows from the gateway's reading."""
    if said:
        return _mark(said, "--display-verdict")
    return "not_seen" if compared is None else compared.agrees


def _mark(text: str, option: str) -> Mark:
    marks: dict[str, Mark] = {"ok": "ok", "wrong": "wrong", "not_seen": "not_seen"}
    if text in marks:
        return marks[text]
    raise typer.BadParameter(f'"{text}": write {", ".join(marks)}', param_hint=option)


@findings.command("open")
def open_(
    inspection: Number,
    text: Annotated[str, typer.Option(help="What does not conform.")],
    clause: Annotated[str, typer.Option(help="Clause, as GB 17167-2006 5.3.7.")],
    owner: Annotated[str, typer.Option(help="Who mends it.")],
    due: Annotated[str, typer.Option(help="Until which day.")],
    instrument: Annotated[str, typer.Option(help="Instrument of the sample it is about.")] = "",
    item: Annotated[
        list[str] | None, typer.Option(help="Item that was wrong, as label; may be repeated.")
    ] = None,
    by: By = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Open a finding (问题): what, by which clause, who mends it until when."""
    from gateway.inspection.model import ITEMS
    from gateway.inspection.model import Opened as Finding

    own = _opened(config)
    made = Finding(
        finding=1,
        instrument=instrument,
        items=tuple(one_of(one, ITEMS, "item") for one in item or ()),
        text=_said(text, "--text"),
        clause=_said(clause, "--clause"),
        owner=_said(owner, "--owner"),
        due=_day(due, "--due"),
        by=by or user(),
        at_ns=own.now_ns,
    )
    after, own_number = own.store.open(inspection, made)
    if json:
        print_json(body(after) | {"finding": own_number})
    else:
        typer.echo(f"finding {own_number} of inspection {inspection}: {made.owner} until {made.due}")


@findings.command("close")
def close(
    inspection: Number,
    finding: Annotated[int, typer.Argument(help="Number of the finding.", min=1)],
    how: Annotated[str, typer.Option(help="What was done.")],
    document: Annotated[str, typer.Option(help="What shows it.")] = "",
    on: Annotated[str, typer.Option("--on", help="Day it was put right. Default: today.")] = "",
    by: By = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Close a finding (整改关闭)."""
    from gateway.commands.fitting_work import day_of
    from gateway.inspection.model import Closed

    own = _opened(config)
    closed = Closed(
        finding=finding,
        how=_said(how, "--how"),
        document=document,
        on=_day(on, "--on") if on else day_of("", own.site),
        by=by or user(),
        at_ns=own.now_ns,
    )
    after = own.store.close(inspection, closed)
    if json:
        print_json(body(after))
    else:
        typer.echo(f"finding {finding} closed; open still: {len(after.open_findings)}")


def _said(text: str, option: str) -> str:
    if not text.strip():
        raise typer.BadParameter("is blank", param_hint=option)
    return text.strip()


def _day(text: str, option: str) -> Any:
    from gateway.inventory.values import day

    try:
        found = day(text)
    except ValueError:
        found = None
    if found is None:
        raise typer.BadParameter(f'"{text}" is no day: write 2026-08-31', param_hint=option)
    return found


def _tell(found: Inspection, site: Site, *, as_json: bool, only: str = "") -> None:
    if as_json:
        print_json(body(found))
    else:
        show_inspection(found, site.site.timezone, only)


def body(found: Inspection) -> dict[str, Any]:
    """Return an inspection as JSON."""
    return {
        "inspection": found.number,
        "digest": found.digest,
        "drawn": found.drawn.model_dump(mode="json"),
        "found": {id_: one.model_dump(mode="json") for id_, one in found.found.items()},
        "pending": found.pending,
        "wrong_without_finding": found.uncovered(),
        "findings": [
            one.model_dump(mode="json")
            | {"closed": found.closed[number].model_dump(mode="json") if number in found.closed else None}
            for number, one in found.opened.items()
        ],
    }

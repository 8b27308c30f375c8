"""`metergate inventory`: the ledger of measuring instruments (计量器具台账) checked, shown, imported, exported, applied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import By, Config, Json, Why, config_path, print_json, reason, user
from gateway.errors import EXIT_CONFIG, ConfigError, Finding, MetergateError

if TYPE_CHECKING:
    from gateway.config.models import Site
    from gateway.inventory.model import Inventory

app = typer.Typer(
    help="The ledger of measuring instruments (计量器具台账): organisation, units, equipment, flows, instruments. "
    "A team fills in a workbook or writes TOML, `check` tells every problem, `apply` puts it in force with who and why.",
    no_args_is_help=True,
)

Given = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="Inventory (.toml, .json, .xlsx). Default: the file [inventory] of the site file names.",
    ),
]
Instead = Annotated[
    Path | None, typer.Option("--inventory", help="Take this file instead of the inventory in force.")
]
Number = Annotated[int | None, typer.Option("--revision", help="Take this applied revision.", min=1)]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


@app.command()
def check(file: Given = None, config: Config = None, json: Json = False) -> None:
    """Check an inventory: every problem with where it is, what was found, what was expected and what to try.

    Tables are held against each other, against the meters of the site file if there is one, and against the certificate files in
    the inventory's folder. Of a workbook sheet, row and column are named. Exit code 78 if it cannot be used.

    `metergate inventory check ledger.xlsx`
    """
    from gateway.commands.inventory_text import counts
    from gateway.findings import report, to_json

    try:
        site = _site(config)
        path = _path(file, site)
        inventory = _whole(path, site)
    except ConfigError as error:
        if json:
            print_json({"ok": False, "findings": to_json(error.findings)})
        else:
            typer.echo(report(error.findings))
        raise typer.Exit(EXIT_CONFIG) from None
    if json:
        found = {"digest": inventory.digest, "site": site is not None} | counts(inventory)
        print_json({"ok": True} | found)
        return
    typer.echo(f"{path}: no problem found 未发现问题")
    typer.echo("  " + ", ".join(f"{number} {name}" for name, number in counts(inventory).items()))
    typer.echo(f"  digest {inventory.digest}")
    if site is None:
        typer.echo("  not held against a site file: there is none; --config names one")


@app.command()
def show(
    id: Annotated[
        str, typer.Argument(metavar="ID", help="One unit, piece of equipment, flow or instrument, as TOML.")
    ] = "",
    inventory: Instead = None,
    revision: Number = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show the inventory in force: what was applied, else the file beside the site file, which is then said.

    Each instrument with its flows, its meter, its state and how its verification (检定) stands today.

    `metergate inventory show em-101`
    """
    from gateway.clock import SystemClock
    from gateway.commands.inventory_text import as_json, entry_text, print_inventory

    site = _site(config)
    chosen, origin = _chosen(site, inventory, revision)
    if id:
        typer.echo(entry_text(chosen, id, as_json=json))
    elif json:
        print_json(as_json(chosen, origin))
    else:
        zone = "Asia/Shanghai" if site is None else site.site.timezone
        print_inventory(chosen, origin, SystemClock().wall_ns(), zone)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Workbook (.xlsx), or .json, .toml.")],
    out: Annotated[Path, typer.Option(help="Inventory to write: .toml or .json.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a TOML file of a workbook that was filled in (导入).

    Nothing is in force before `metergate inventory apply`. A workbook to fill in: `metergate inventory export --blank --out ledger.xlsx`. Problems name sheet, row and column; exit code 78.

    `metergate inventory import ledger.xlsx --out inventory.toml`
    """
    from gateway.inventory.reading import load

    _may_write(out, force)
    if out.suffix.lower() not in (".toml", ".json"):
        raise typer.BadParameter("a name that ends in .toml or .json", param_hint="--out")
    inventory = load(file)
    _write(inventory, out)
    _told(out, inventory, as_json=json)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write: .xlsx, .toml or .json.")],
    inventory: Instead = None,
    revision: Number = None,
    blank: Annotated[bool, typer.Option("--blank", help="Only headings and lists, to be filled in.")] = False,
    force: Force = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Write the inventory in force into a workbook that can be filled in, corrected and imported again (导出).

    `metergate inventory export --out ledger.xlsx`

    `metergate inventory export --revision 3 --out as-applied.toml`
    """
    from gateway.inventory.model import Inventory, Organization

    _may_write(out, force)
    if out.suffix.lower() not in (".xlsx", ".toml", ".json"):
        raise typer.BadParameter("a name that ends in .xlsx, .toml or .json", param_hint="--out")
    if blank:
        # nothing is filled in that could be taken for an answer: an untouched copy is refused
        chosen = Inventory.model_construct(organization=Organization.model_construct(name=""))
    else:
        chosen, _ = _chosen(_site(config), inventory, revision)
    _write(chosen, out)
    _told(out, chosen, as_json=json)


@app.command()
def apply(why: Why, file: Given = None, by: By = "", config: Config = None, json: Json = False) -> None:
    """Put an inventory in force as a new revision, with who approved it and why. It is checked as `check` does first.

    Revisions are never changed nor removed; the running gateway notices the new one by itself. Run it as the gateway's user or as root.

    `metergate inventory apply --by "Li Wei" --why "meters of hall B installed, work order 118"`
    """
    from gateway.clock import SystemClock
    from gateway.commands.inventory_text import print_changes, revision_json
    from gateway.inventory.in_force import revisions

    why = reason(why)
    site = _needed(config)
    path = _path(file, site)
    inventory = _whole(path, site)
    kept = revisions(site)
    newest = kept.newest()
    if newest is not None and newest.digest == inventory.digest:
        if json:
            print_json({"made": False} | revision_json(newest.head))
        else:
            typer.echo(
                f"Nothing changed 无变化: {path} is what revision {newest.number} holds; none was made."
            )
        return
    try:
        made = kept.add(inventory, by.strip() or user(), why, SystemClock().wall_ns())
    except ValueError as error:  # somebody else applied the same a moment ago
        raise MetergateError(f"{path}: {error}") from error
    if json:
        print_json({"made": True} | revision_json(made.head))
        return
    print_changes(made.changes)
    typer.echo(f"Revision {made.number} 已生效, approved by {made.by}: {made.why}")
    typer.echo(f"digest {made.digest}")


@app.command()
def log(config: Config = None, json: Json = False) -> None:
    """List the applied revisions: when, who, why, what changed (变更记录). Exit code 1 if one the gateway told of is gone."""
    from gateway.commands.history_file import told_revision
    from gateway.commands.inventory_text import print_log, revision_json
    from gateway.inventory.in_force import revisions

    site = _needed(config)
    heads = revisions(site).heads()
    if json:
        print_json([revision_json(head) for head in heads])
    else:
        print_log(heads, site.site.timezone)
    newest, told = heads[-1].number if heads else 0, told_revision(site)
    if told > newest:
        raise MetergateError(
            f"the gateway told of revision {told}, but the newest here is {newest or 'none'}: files of the state folder are gone; "
            "put them back from a backup"
        )


@app.command()
def diff(
    file: Given = None,
    from_: Annotated[
        int | None, typer.Option("--from", help="Revision to begin with. Default: the newest.", min=1)
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", help="Revision to end with. Default: FILE.", min=1)
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show what `apply` would change, or what changed between two revisions.

    `metergate inventory diff --from 3 --to 4`
    """
    from gateway.commands.inventory_text import print_changes
    from gateway.inventory.changes import changes
    from gateway.inventory.in_force import revisions
    from gateway.inventory.reading import load

    site = _needed(config)
    kept = revisions(site)
    before = kept.at(from_) if from_ else kept.newest()
    after = kept.at(to).inventory if to else load(_path(file, site))
    old = None if before is None else before.inventory
    found = [] if old is not None and old.digest == after.digest else changes(old, after)
    if json:
        print_json(found)
    else:
        print_changes(found)


def _site(config: Path | None) -> Site | None:
    """Return the site file, None if none was named and none is where it usually is."""
    from gateway.config.site_file import load

    path = config_path(config)
    return load(path) if config is not None or path.exists() else None


def _needed(config: Path | None) -> Site:
    from gateway.config.site_file import load

    return load(config_path(config))


def _path(file: Path | None, site: Site | None) -> Path:
    """Return the inventory's file. Raises ConfigError if none is named."""
    if file is not None:
        return file
    if site is not None and site.inventory.file is not None:
        return site.inventory.file
    hint = "name FILE, or put inventory.toml beside the site file; `metergate inventory export --blank` begins one"
    raise ConfigError([Finding("inventory.file", "no inventory", "the ledger of instruments 台账", hint)])


def _whole(path: Path, site: Site | None) -> Inventory:
    """Return an inventory that fits its certificate files and the site file. Raises ConfigError."""
    from gateway.inventory.check import check_against_site
    from gateway.inventory.reading import load, placed

    inventory = load(path, with_files=True)
    if site is not None and (findings := check_against_site(inventory, site)):
        raise ConfigError(placed(findings, path))
    return inventory


def _chosen(site: Site | None, file: Path | None, revision: int | None) -> tuple[Inventory, dict[str, Any]]:
    """Return an inventory and where it is from."""
    from gateway.inventory.in_force import in_force, revisions

    if revision and file is not None:
        raise typer.BadParameter("a revision or a file, not both", param_hint="--revision")
    if revision:
        if site is None:
            raise MetergateError(
                "revisions lie in the state folder of a site: name its site file with --config"
            )
        return revisions(site).at(revision).inventory, {"revision": revision, "path": None}
    found = in_force(site, file)
    path = None if found.path is None else str(found.path)
    return found.inventory, {"revision": found.revision, "path": path}


def _may_write(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise MetergateError(f"--out {out}: is there already; name a new file, or write over it with --force")


def _write(inventory: Inventory, out: Path) -> None:
    """Write an inventory in the format the name asks for. Raises MetergateError, ConfigError."""
    from gateway.commands.inventory_text import json_text
    from gateway.inventory.toml_text import toml_text
    from gateway.state_folder import replace_file

    if out.suffix.lower() == ".xlsx":
        from gateway.inventory.workbook import write_workbook

        write_workbook(inventory, out)
        return
    text = toml_text(inventory) if out.suffix.lower() == ".toml" else json_text(inventory)
    try:
        replace_file(out, text.encode())
    except OSError as error:
        raise MetergateError(f"--out {out}: {error.strerror}") from error


def _told(out: Path, inventory: Inventory, *, as_json: bool) -> None:
    from gateway.commands.inventory_text import counts

    if as_json:
        print_json({"path": str(out), "digest": inventory.digest} | counts(inventory))
    else:
        written = ", ".join(f"{number} {name}" for name, number in counts(inventory).items())
        typer.echo(f"{out}: {written}")

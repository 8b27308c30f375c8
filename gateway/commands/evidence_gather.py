"""`metergate evidence gather`: what the instruments of the inventory delivered, out of the history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.fitting import AsOf, InventoryFile  # noqa: TC001 - typer reads the annotations
from gateway.commands.options import Config  # noqa: TC001
from gateway.errors import MetergateError


def gather(
    as_of: AsOf = "",
    out: Annotated[str, typer.Option(help="File to write, `-`: stdout.")] = "-",
    inventory: InventoryFile = None,
    config: Config = None,
) -> None:
    """Write what each instrument delivered in the last full calendar month before a day, as JSON.

    Readings expected and good, the last good one, and the amount, as `metergate fitting --evidence FILE` reads them. From the
    history, beside a running gateway or without one: run it as the gateway's user or root.
    """
    import orjson

    from gateway.commands.fitting_work import day_of, inventory_of, loaded
    from gateway.commands.history_file import refuse_damage
    from gateway.commands.options import config_path
    from gateway.config.site_file import load
    from gateway.fitting.evidence import window_before

    site = load(config_path(config))
    ledger, _, _ = inventory_of(site, inventory)
    window = window_before(day_of(as_of, site))
    found, damaged = loaded(ledger, site, window)
    if found is None:
        raise MetergateError(
            f"there is no history of {window.first} to {window.last}: nobody can tell what was delivered then"
        )
    body = orjson.dumps(found.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2)
    if out == "-":
        typer.echo(body.decode())
    else:
        write(Path(out), body + b"\n")
        typer.echo(
            f"{len(found.instruments):,} instruments, {window.first} to {window.last}, in {out}", err=True
        )
    refuse_damage(damaged)


def write(path: Path, body: bytes) -> None:
    """Write a file whole. Raises MetergateError."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(body)
        part.replace(path)
    except OSError as error:
        raise MetergateError(f"{path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)

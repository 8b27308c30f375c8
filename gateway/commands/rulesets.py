"""`metergate rulesets`: the rulesets of the fitting rates (配备率), and every row of one with its clause and how far to trust it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import Config, Json, config_path, print_json

if TYPE_CHECKING:
    from datetime import date

    from gateway.fitting.ruleset import Ruleset
    from gateway.fitting.rulesets import Rulesets


def rulesets(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Show this one whole: its id, or its file as ./own.toml.")
    ] = "",
    ruleset_dir: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of own rulesets, searched first; may be repeated. Default: the site file's."
        ),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the rulesets the fitting rates (配备率) can follow, or show one: every row with clause, source and confidence.

    Confidence: S seen in a public source, S2 second-hand, R recalled with high confidence, r with medium, U unsure, A
    checked by arithmetic. What is recalled must be compared with the official text before a result is relied on.
    """
    from gateway.commands.ruleset_tables import list_table, whole_text
    from gateway.commands.tables import console
    from gateway.config.site_file import load
    from gateway.fitting.rulesets import Rulesets

    path = config_path(config)
    site = load(path) if config is not None or (ruleset_dir is None and path.exists()) else None
    folders = ruleset_dir or ([] if site is None else list(site.inventory.ruleset_dirs))
    known = Rulesets(folders)
    on = _today("UTC" if site is None else site.site.timezone)
    if not name:
        rows = [_listed(known, id_, on) for id_ in known.names()]
        if json:
            print_json(rows)
        else:
            console().print(list_table(rows))
        return
    ruleset = known.get(name)
    if json:
        print_json(_whole(ruleset, known.path(name), on))
    else:
        console().print(whole_text(ruleset, known.path(name), on))


def _today(zone: str) -> date:
    from datetime import date

    from gateway.clock import SystemClock, local

    return date.fromisoformat(local(SystemClock().wall_ns(), zone)[:10])


def _listed(known: Rulesets, id_: str, on: date) -> dict[str, Any]:
    """Return one ruleset in brief; one that cannot be used is listed with its findings."""
    from gateway.errors import ConfigError
    from gateway.findings import to_json
    from gateway.fitting.ruleset_text import row_count

    path = known.path(id_)
    brief: dict[str, Any] = {"id": id_, "file": str(path), "shipped": known.is_shipped(id_)}
    try:
        ruleset = known.get(id_)
    except ConfigError as error:
        return brief | {"usable": False, "findings": to_json(error.findings)}
    return brief | {"usable": True} | _meta(ruleset, on) | {"rows": row_count(ruleset)}


def _meta(ruleset: Ruleset, on: date) -> dict[str, Any]:
    from gateway.fitting.ruleset_text import state

    meta = ruleset.ruleset
    return {
        "title": meta.title,
        "title_zh": meta.title_zh,
        "base": meta.base,
        "state": state(ruleset, on),
        "superseded_on": None if meta.superseded_on is None else meta.superseded_on.isoformat(),
        "superseded_by": meta.superseded_by,
        "note": meta.note,
        "note_zh": meta.note_zh,
        "digest": ruleset.digest,
    }


def _whole(ruleset: Ruleset, path: Path, on: date) -> dict[str, Any]:
    """Return a ruleset with its bases merged, and how every open question is answered: plain JSON values."""
    from dataclasses import asdict

    from gateway.fitting.ruleset_text import answers, row_count

    return {
        "id": ruleset.ruleset.id,
        "file": str(path),
        **_meta(ruleset, on),
        "rows": row_count(ruleset),
        "interpretations": [asdict(answer) for answer in answers(ruleset)],
        "content": ruleset.model_dump(mode="json", exclude_defaults=True),
    }

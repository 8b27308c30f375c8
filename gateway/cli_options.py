"""What the commands have in common: the site file, `--json`, and one JSON value on one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

SYSTEM_CONFIG = Path("/etc/metergate/site.toml")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Site file. Default: ./site.toml, else /etc/metergate/site.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def config_path(given: Path | None) -> Path:
    """Return the site file to use: the one given, else the one here, else the system's."""
    if given is not None:
        return given
    here = Path("site.toml")
    return SYSTEM_CONFIG if SYSTEM_CONFIG.exists() and not here.exists() else here


def print_json(value: Any) -> None:
    """Print one JSON value on one line of stdout."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()

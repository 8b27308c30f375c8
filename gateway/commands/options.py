"""What the commands have in common: the site file, `--json`, who and why, durations, names of the site file.

Heavy imports happen inside the function that needs them.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config.models import MeterConfig, Site

SYSTEM_CONFIG = Path("/etc/metergate/site.toml")
NAMED_MAX = 10

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Site file. Default: ./site.toml, else /etc/metergate/site.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
By = Annotated[str, typer.Option(help="Who does or approves it, for the record. Default: your login name.")]
Why = Annotated[str, typer.Option(help="Why; kept with the event.")]


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


def user() -> str:
    """Return the login name of whoever calls, also behind sudo; "somebody" if there is none."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return "somebody"


def reason(why: str) -> str:
    """Return why something is overwritten or suppressed. Raises BadParameter if that is blank."""
    if not why.strip():
        raise typer.BadParameter("say why: the next shift will ask", param_hint="--why")
    return why


def duration_s(text: str, option: str) -> float:
    """Return a duration as typed, in seconds. Raises BadParameter."""
    from gateway.config.values import seconds

    try:
        return seconds(text)
    except ValueError as error:
        hint = f'"{text}" is no duration: write 200ms, 20s, 5min, 2h or 1d'
        raise typer.BadParameter(hint, param_hint=option) from error


def one_of(name: str, known: Iterable[str], what: str) -> str:
    """Return a name if it is known. Raises MetergateError that proposes the nearest, else names all."""
    from gateway.config.values import nearest

    options = list(known)
    if name in options:
        return name
    near = nearest(name, options)
    all_ = ", ".join(options[:NAMED_MAX]) + (" …" if len(options) > NAMED_MAX else "")
    hint = f"did you mean {near}?" if near else f"there are: {all_ or 'none'}"
    raise MetergateError(f'no {what} "{name}"; {hint}')


def meter_of(site: Site, name: str) -> MeterConfig:
    """Return a meter of the site file. Raises MetergateError that names the nearest."""
    known = {meter.id: meter for meter in site.meters}
    return known[one_of(name, known, "meter in the site file")]


def link_of(site: Site, name: str) -> str:
    """Return the id of a link of the site file. Raises MetergateError that names the nearest."""
    return one_of(name, [link.id for link in site.links], "link in the site file")

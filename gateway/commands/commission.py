"""`metergate commission`: have the steps done, ask what only eyes can see, write the record."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import typer
from rich.text import Text

from gateway import __version__, assembly
from gateway.clock import SystemClock
from gateway.commands.bus_work import execute
from gateway.commands.grid import Grid, words
from gateway.commands.options import duration_s, meter_of, one_of, print_json, user
from gateway.commands.tables import console
from gateway.commissioning import record as commission_record
from gateway.commissioning.judgements import FAIL, OPEN, PASS, Step
from gateway.commissioning.walk import Facts, Walk
from gateway.config.site_file import load
from gateway.control.server import ask_async
from gateway.display import pairs, quantity_names
from gateway.errors import MetergateError
from gateway.model import NS

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.models import MeterConfig, Site

_COLOUR = {PASS: "green", FAIL: "red", OPEN: "yellow"}
_NOBODY = frozenset({"", "root", "somebody"})


@dataclass(frozen=True, slots=True)
class Options:
    """What was said on the command line. ask: prompt for what is left out, if there is a terminal."""

    by: str
    display: list[str]
    age: str
    plate: list[str]
    serial: str
    expect: str
    reads: int
    every: str
    ask: bool


def main(path: Path, meter_id: str, options: Options, *, as_json: bool) -> int:
    """Commission a meter, print the steps and return the exit code: 1 if one failed. Raises MetergateError."""
    if options.expect not in {"import", "export"}:
        raise typer.BadParameter(f'"{options.expect}" is neither import nor export', param_hint="--expect")
    site = load(path)
    meter = meter_of(site, meter_id)
    if not meter.enabled:
        raise MetergateError(f"meter {meter.id} is disabled in the site file: set enabled = true")
    asks = options.ask and sys.stdin.isatty()
    walk = _walk(site, meter, options, asks=asks)
    by = _who(options.by, asks=asks)
    live = execute(walk.go())
    passed = walk.passed
    at = datetime.fromtimestamp(walk.clock.wall_ns() / NS, ZoneInfo(site.site.timezone))
    head: dict[str, str | int | float | bool] = {
        "schema": 1,
        "meter": meter.id,
        "profile": f"{walk.profile.id}@{walk.profile.digest}" if walk.profile else "",
        "gateway": site.gateway.id,
        "config": site.digest,
        "software": __version__,
        "time": at.isoformat(timespec="seconds"),
        "by": by,
        "passed": passed,
        "through_gateway": live,
    }
    file = commission_record.write(
        site.gateway.state_dir, meter.id, at, commission_record.record(head, walk.steps)
    )
    told = _tell(site, meter, file, walk.passed, by) if live else False
    if as_json:
        steps = [
            {"name": s.name, "result": s.result, "text": s.text, "detail": dict(s.detail)} for s in walk.steps
        ]
        print_json(head | {"record": str(file), "event": told, "steps": steps})
    else:
        _print(walk.steps)
        event = "" if told else " (no gateway runs, so there is no event)"
        typer.echo(f"{'Passed' if passed else 'NOT passed'}; record {file}{event}")
    return 0 if passed else 1


def _walk(site: Site, meter: MeterConfig, options: Options, *, asks: bool) -> Walk:
    """Return the steps to be done with what was typed. Raises MetergateError, BadParameter for what cannot be."""
    displays = pairs(options.display, "--display")
    known = quantity_names(meter, assembly.library(site))
    for key in displays:
        one_of(key, known, f"channel of meter {meter.id}")
    facts = Facts(
        shown=displays,
        plates=pairs(options.plate, "--plate"),
        serial=options.serial,
        expect="import" if options.expect == "import" else "export",
        age_s=duration_s(options.age, "--age"),
        reads=options.reads,
        every_s=duration_s(options.every, "--every"),
    )
    return Walk(site, meter, facts, SystemClock(), _prompt if asks else None)


def _who(by: str, *, asks: bool) -> str:
    """Return who commissions; a login name is asked about, one that names nobody is no answer. Raises MetergateError."""
    name = by.strip()
    if not asks:
        if not _names_somebody(name):
            raise MetergateError(f'"{name}" names nobody: say who commissions, with --by NAME')
        return name
    if name != user() and _names_somebody(name):
        return name  # --by
    default = name if _names_somebody(name) else None
    while not _names_somebody(name := str(typer.prompt("Who you are", default=default)).strip()):
        typer.echo(f'"{name}" names nobody: the record is signed with it')
    return name


def _names_somebody(name: str) -> bool:
    return name.lower() not in _NOBODY


def _tell(site: Site, meter: MeterConfig, file: Path, passed: bool, by: str) -> bool:
    """Have the gateway journal the event; return whether it did."""
    request = {"meter": meter.id, "record": file.name, "passed": passed, "by": by}
    try:
        execute(ask_async(site.gateway.socket_path, "commissioned", **cast("dict[str, Any]", request)))
    except (ConnectionError, MetergateError) as error:
        typer.echo(f"the record is written, but the gateway took no event: {error}", err=True)
        return False
    return True


def _print(steps: list[Step]) -> None:
    table = Grid("step", "result", words("found"))
    for step in steps:
        table.add_row(step.name, Text(step.result, style=_COLOUR[step.result]), step.text)
    console().print(table)


async def _prompt(question: str) -> str:
    """Return what a person types; the event loop goes on, so that a link stays open meanwhile."""
    answer: str = await asyncio.to_thread(typer.prompt, question, default="", show_default=False)
    return answer.strip()

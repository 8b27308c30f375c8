"""What `metergate maintenance`, `swap` and `ratio` do: ask the running gateway, and show what it kept."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from gateway import assembly
from gateway.clock import SystemClock
from gateway.commands.loop import run
from gateway.commands.options import duration_s, meter_of, one_of, print_json, reason
from gateway.commands.tables import console, local, maintenance_table
from gateway.config.site_file import load
from gateway.control.errands import ERRAND_MAX_S
from gateway.control.server import ask_async
from gateway.display import pairs, quantity_names, ratio, shown
from gateway.errors import MetergateError
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.config.models import MeterConfig, Site

PATIENCE_S = ERRAND_MAX_S + 15  # one read of the meter, and a commit


def ask_gateway(site: Site, do: str, **parameters: object) -> Any:
    """Return the running gateway's answer. Raises MetergateError with the reason why one must run, or what it refused."""
    try:
        return run(ask_async(site.gateway.socket_path, do, patience_s=PATIENCE_S, **parameters))
    except ConnectionError as error:
        raise MetergateError(
            f"{error}. This command needs the running gateway: the journal has one writer, and a record beside it would be lost"
        ) from error


def warn_if_not_durable(answer: Mapping[str, Any]) -> None:
    """Say on stderr that what was declared is not on disk yet."""
    if not answer["durable"]:
        text = "NOT ON DISK YET: the journal cannot be written; the gateway keeps this in memory and goes on trying"
        typer.echo(f"{text} (see `metergate status`). If it stops before, declare it again", err=True)


def time_ns(text: str, zone: str, option: str) -> int:
    """Return a time as typed in nanoseconds since 1970; without an offset it is the site's. Raises BadParameter."""
    if text == "now":
        return SystemClock().wall_ns()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        hint = f'"{text}" is no time: write 2026-11-22, 2026-11-22T14:30 or 2026-11-22T14:30:00+08:00'
        raise typer.BadParameter(hint, param_hint=option) from error
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo(zone))
    return round(found.timestamp() * 1000) * (NS // 1000)


def maintain(
    path: Path, subject: str | None, *, for_: str, end: bool, why: str, by: str, as_json: bool
) -> None:
    """Declare, end or list maintenance. Raises MetergateError."""
    site = load(path)
    if subject is None:
        if for_ or end:
            raise typer.BadParameter("say which link or meter", param_hint="LINK|METER")
        _list(ask_gateway(site, "status"), site.site.timezone, as_json)
        return
    if end == bool(for_):
        raise typer.BadParameter("say --for 2h to begin it, or --end", param_hint="--for")
    if for_:
        reason(why)
    known = [link.id for link in site.links] + [meter.id for meter in site.meters if meter.enabled]
    one_of(subject, known, "link or enabled meter")
    for_s = duration_s(for_, "--for") if for_ else 0
    answer = ask_gateway(site, "maintenance", subject=subject, for_s=for_s, why=why, by=by)
    warn_if_not_durable(answer)
    if as_json:
        print_json(answer)
    elif answer["until_ns"] is None:
        typer.echo(f"{subject}: no maintenance (any more)")
    else:
        until = local(answer["until_ns"], site.site.timezone)
        typer.echo(f"{subject}: under maintenance until {until}; end it with --end")


def _list(figures: Mapping[str, Any], zone: str, as_json: bool) -> None:
    table = maintenance_table(figures, zone)
    if as_json:
        print_json(figures["maintenance"])
    elif table is None:
        typer.echo("Nothing is under maintenance.")
    else:
        console().print(table)


def readings(site: Site, meter: MeterConfig, texts: list[str], option: str) -> dict[str, str] | None:
    """Return channel -> exact canonical number of what was typed, None if nothing was. Raises MetergateError."""
    if not texts:
        return None
    known = quantity_names(meter, assembly.library(site))
    found = {}
    for key, value in pairs(texts, option).items():
        one_of(key, known, f"channel of meter {meter.id}")
        found[key] = f"{shown(value, known[key]).value:f}"
    return found


def record_swap(
    path: Path,
    meter_id: str,
    serial: str,
    by: str,
    why: str,
    closing: list[str],
    opening: list[str],
    *,
    at: str,
    as_json: bool,
) -> None:
    """Record another meter and show what was kept. Raises MetergateError."""
    reason(why)
    site = load(path)
    meter = meter_of(site, meter_id)
    answer = ask_gateway(
        site,
        "swap",
        meter=meter.id,
        closing=readings(site, meter, closing, "--closing"),
        opening=readings(site, meter, opening, "--opening"),
        effective_ns=time_ns(at, site.site.timezone, "--at") if at else None,
        serial=serial,
        by=by,
        why=why,
    )
    warn_if_not_durable(answer)
    if as_json:
        print_json(answer)
        return
    when = local(answer["effective_ns"], site.site.timezone)
    typer.echo(f"{meter.id}: swapped at {when}, new meter {serial}; by {by}: {why}")
    _print_sides(answer, site.site.timezone)
    typer.echo(f"Compare it with its display: metergate commission {meter.id} --serial {serial}")


def record_ratio(
    path: Path,
    meter_id: str,
    change: str,
    by: str,
    why: str,
    closing: list[str],
    opening: list[str],
    *,
    at: str,
    as_json: bool,
) -> None:
    """Record another ratio, show what was kept and what is left to do. Raises MetergateError."""
    reason(why)
    site = load(path)
    meter = meter_of(site, meter_id)
    ((name, value),) = pairs([change], "ratio").items()
    answer = ask_gateway(
        site,
        "ratio_change",
        meter=meter.id,
        ratio=name,
        before=None,
        after=f"{ratio(value):f}",
        closing=readings(site, meter, closing, "--closing"),
        opening=readings(site, meter, opening, "--opening"),
        effective_ns=time_ns(at, site.site.timezone, "--at") if at else None,
        by=by,
        why=why,
    )
    warn_if_not_durable(answer)
    if as_json:
        print_json(answer)
        return
    when = local(answer["effective_ns"], site.site.timezone)
    typer.echo(
        f"{meter.id}: ratio {name} is {answer['after']} instead of {answer['before']} from {when} on; "
        f"by {by}: {why}"
    )
    _print_sides(answer, site.site.timezone)
    typer.echo(f"Still to be done: {answer['todo']}")


def _print_sides(answer: Mapping[str, Any], zone: str) -> None:
    """Print closing and opening readings, each with its time and where it is from."""
    table = Table("counter", "", "reading", "unit", "time", "from")
    for key in dict.fromkeys((*answer["closing"], *answer["opening"])):
        for side, name in (("closing", "closing 止码"), ("opening", "opening 起码")):
            one = answer[side].get(key)
            if one is None:
                table.add_row(key, name, "–", "", "", "")
            else:
                table.add_row(
                    key, name, one["reading"], one["unit"], local(one["time_ns"], zone), one["from"]
                )
    console().print(table)

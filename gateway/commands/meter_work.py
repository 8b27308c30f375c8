"""What `metergate maintenance`, `swap` and `ratio` do: ask the running gateway, and show what it kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer

from gateway import assembly
from gateway.clock import SystemClock, local
from gateway.commands.grid import Grid, figures, words
from gateway.commands.history_file import is_between_intervals
from gateway.commands.loop import run
from gateway.commands.options import duration_s, meter_of, one_of, print_json, reason
from gateway.commands.tables import console, maintenance_table
from gateway.config.site_file import load
from gateway.control.errands import ERRAND_MAX_S
from gateway.control.maintenance import LONGEST_S
from gateway.control.server import ask_async
from gateway.display import pairs, quantity_names, ratio, shown
from gateway.errors import MetergateError
from gateway.model import NS
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.config.models import MeterConfig, Site

PATIENCE_S = ERRAND_MAX_S + 15  # one read of the meter, and a commit
UNKNOWN = "unknown"
FIRST_YEAR, LAST_YEAR = 1971, 2199  # what a clock may show; nanoseconds since 1970 end in 2262
OPTIONS = {
    "closing": "--closing",
    "opening": "--opening",
    "effective_ns": "--at",
    "for_s": "--for",
    "serial": "--serial",
    "by": "--by",
    "why": "--why",
    "subject": "LINK|METER",
    "removed": "--removed",
    "meter": "METER",
    "ratio": "NAME=VALUE",
    "before": "NAME=VALUE",
    "after": "NAME=VALUE",
    "from_ns": "FROM",
    "to_ns": "TO",
    "subjects": "LINK|METER",
    "kinds": "--kind",
    "readings": "CHANNEL=VALUE",
    "time_ns": "--at",
}
"""Key of a request on the control socket -> what the command calls it."""


def ask_gateway(site: Site, do: str, **parameters: object) -> Any:
    """Return the running gateway's answer. Raises MetergateError with the reason why one must run, or what it refused."""
    try:
        return run(ask_async(site.gateway.socket_path, do, patience_s=PATIENCE_S, **parameters))
    except ConnectionError as error:
        raise MetergateError(
            f"{error}. This command needs the running gateway: the journal has one writer, and a record beside it would be lost"
        ) from error
    except MetergateError as error:
        raise MetergateError(in_options(str(error))) from error


def in_options(refusal: str) -> str:
    """Return a refusal of the gateway with the command's own options in the place of the request's keys."""
    head, colon, rest = refusal.partition(": ")
    key, _, channel = head.partition(".")
    if not colon or key not in OPTIONS:
        return refusal
    return f"{OPTIONS[key]} {channel}: {rest}" if channel else f"{OPTIONS[key]}: {rest}"


def warn_if_not_durable(answer: Mapping[str, Any]) -> None:
    """Say on stderr that what was declared is not on disk yet."""
    if not answer["durable"]:
        text = "NOT ON DISK YET: the journal cannot be written; the gateway keeps this in memory and goes on trying"
        typer.echo(f"{text} (see `metergate status`). If it stops before, declare it again", err=True)


def warn_if_between_intervals(site: Site, meter: str, at_ns: int) -> None:
    """Say on stderr that a change took effect while the meter was in no site file: no interval shows it, totals count with it."""
    if is_between_intervals(site, meter, at_ns):
        when = local(at_ns, site.site.timezone)
        text = f"{meter} has no interval at {when}: it was in no site file then. Totals across that time count with both readings"
        typer.echo(
            f"{text}; if that is not when it was exchanged, take it back (--undo) and record it again",
            err=True,
        )


def time_ns(text: str, zone: str, option: str) -> int:
    """Return a time as typed in nanoseconds since 1970; without an offset it is the site's. Raises BadParameter."""
    if text == "now":
        return SystemClock().wall_ns()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        hint = f'"{text}" is no time: write 2026-11-22, 2026-11-22T14:30 or 2026-11-22T14:30:00+08:00'
        raise typer.BadParameter(hint, param_hint=option) from error
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        hint = f'"{text}" is out of range: write a year from {FIRST_YEAR} to {LAST_YEAR}'
        raise typer.BadParameter(hint, param_hint=option)
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo(zone))
    return round(found.timestamp() * 1000) * (NS // 1000)


def past_ns(text: str, zone: str, option: str) -> int | None:
    """Return when something was done, in nanoseconds since 1970; None: now. Raises BadParameter if it is yet to be done."""
    if not text:
        return None
    found = time_ns(text, zone, option)
    now_ns = SystemClock().wall_ns()
    if found > now_ns:
        hint = f"{local(found, zone)} is in the future (it is {local(now_ns, zone)}): record a change once it is made"
        raise typer.BadParameter(hint, param_hint=option)
    return found


@dataclass(frozen=True, slots=True)
class Work:
    """Maintenance as typed. removed: the meter is away for verification."""

    for_: str
    end: bool
    removed: bool
    why: str
    by: str

    def for_s(self) -> float:
        """Return how long it is declared for, 0 to end it. Raises BadParameter."""
        if self.end == bool(self.for_):
            raise typer.BadParameter("say --for 2h to begin it, or --end", param_hint="--for")
        if self.end:
            if self.removed:
                raise typer.BadParameter(
                    "it goes with --for; --end ends whatever there is", param_hint="--removed"
                )
            return 0
        reason(self.why)
        found = duration_s(self.for_, "--for")
        if not found:
            raise typer.BadParameter("that is no time at all: to end it say --end", param_hint="--for")
        if found > LONGEST_S:
            hint = f"{self.for_} is longer than {LONGEST_S / 86_400:.0f}d, the longest there is: declare it again before it ends"
            raise typer.BadParameter(hint, param_hint="--for")
        return found


def maintain(path: Path, subject: str | None, work: Work, *, as_json: bool) -> None:
    """Declare, end or list maintenance. Raises MetergateError."""
    site = load(path)
    if subject is None:
        if work.for_ or work.end or work.removed:
            raise typer.BadParameter("say which link or meter", param_hint="LINK|METER")
        _list(ask_gateway(site, "status"), site.site.timezone, as_json)
        return
    for_s = work.for_s()
    meters, links = [meter.id for meter in site.meters if meter.enabled], [link.id for link in site.links]
    one_of(subject, links + meters, "link or enabled meter")
    if work.removed and subject not in meters:
        hint = f"only a meter is sent for verification, and {subject} is a link"
        raise typer.BadParameter(hint, param_hint="--removed")
    more = {"removed": True} if work.removed else {}
    answer = ask_gateway(site, "maintenance", subject=subject, for_s=for_s, why=work.why, by=work.by, **more)
    warn_if_not_durable(answer)
    if as_json:
        print_json(answer)
    elif answer["until_ns"] is None:
        typer.echo(f"{subject}: no maintenance (any more)")
    else:
        until = local(answer["until_ns"], site.site.timezone)
        what = "away for verification 送检" if work.removed else "under maintenance"
        typer.echo(f"{subject}: {what} until {until}; end it with --end")


def _list(figures: Mapping[str, Any], zone: str, as_json: bool) -> None:
    table = maintenance_table(figures, zone)
    if as_json:
        print_json(figures["maintenance"])
    elif table is None:
        typer.echo("Nothing is under maintenance.")
    else:
        console().print(table)


def readings(site: Site, meter: MeterConfig, texts: list[str], option: str) -> dict[str, str | None] | None:
    """Return channel -> exact canonical number of what was typed, None where it is "unknown"; None if nothing was typed.

    Raises MetergateError.
    """
    if not texts:
        return None
    names = quantity_names(meter, assembly.library(site))
    known = {key: name for key, name in names.items() if QUANTITIES[name].kind == "counter"}
    found = {}
    for key, value in pairs(texts, option).items():
        if key in names and key not in known:
            raise MetergateError(
                f"{option}: {key} is no counter; those of {meter.id}: {', '.join(known) or 'none'}"
            )
        one_of(key, known, f"counter of meter {meter.id}")
        found[key] = None if value == UNKNOWN else f"{shown(value, known[key]).value:f}"
    return found


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `swap` and `ratio` have in common, as typed."""

    by: str
    why: str
    closing: list[str]
    opening: list[str]
    at: str

    def request(self, site: Site, meter: MeterConfig) -> dict[str, object]:
        """Return it as the control socket wants it. Raises BadParameter, MetergateError."""
        return {
            "meter": meter.id,
            "closing": readings(site, meter, self.closing, "--closing"),
            "opening": readings(site, meter, self.opening, "--opening"),
            "effective_ns": past_ns(self.at, site.site.timezone, "--at"),
            "by": self.by,
            "why": reason(self.why),
        }


def record_swap(path: Path, meter_id: str, serial: str, what: Declaration, *, as_json: bool) -> None:
    """Record another meter and show what was kept. Raises MetergateError."""
    reason(what.why)
    if not serial.strip():
        raise typer.BadParameter("say the number of the new meter, as on its plate", param_hint="--serial")
    site = load(path)
    meter = _read_meter(site, meter_id)
    answer = ask_gateway(site, "swap", serial=serial, **what.request(site, meter))
    warn_if_not_durable(answer)
    warn_if_between_intervals(site, meter.id, answer["effective_ns"])
    if as_json:
        print_json(answer)
        return
    zone = site.site.timezone
    when = local(answer["effective_ns"], zone)
    typer.echo(f"{meter.id}: swapped at {when}, new meter {serial}; by {what.by}: {what.why}")
    if answer["closing"] or answer["opening"]:
        _print_sides(answer, zone)
    else:
        typer.echo("It has no counters: there are no readings to keep, only its identity changed.")
    typer.echo(f"Compare it with its display: metergate commission {meter.id} --serial {serial}")


def undo_swap(path: Path, meter_id: str, serial: str, what: Declaration, *, as_json: bool) -> None:
    """Record that the newest swap of a meter was none. Raises MetergateError."""
    reason(what.why)
    if serial or what.closing or what.opening or what.at:
        hint = "it takes the newest swap back as it was recorded: leave out --serial, --closing, --opening and --at"
        raise typer.BadParameter(hint, param_hint="--undo")
    site = load(path)
    meter = _read_meter(site, meter_id)
    answer = ask_gateway(site, "swap", meter=meter.id, undo=True, by=what.by, why=what.why)
    warn_if_not_durable(answer)
    if as_json:
        print_json(answer)
        return
    undone = answer["undoes"]
    when = local(undone["effective_ns"], site.site.timezone)
    typer.echo(
        f"{meter.id}: the swap to {undone['serial']} at {when} is taken back; by {what.by}: {what.why}"
    )
    typer.echo(
        "Both events stay in the journal. If there was another swap, record it now with its time: --at"
    )


def record_ratio(path: Path, meter_id: str, change: str, what: Declaration, *, as_json: bool) -> None:
    """Record another ratio, show what was kept and what is left to do. Raises MetergateError."""
    reason(what.why)
    name, _, value = (part.strip() for part in change.partition("="))
    if not name or not value:
        hint = (
            f'"{change}": write NAME=VALUE, the ratio as on the plate, such as ct=300/5, or worked out, ct=60'
        )
        raise typer.BadParameter(hint, param_hint="CHANGE")
    site = load(path)
    meter = _read_meter(site, meter_id)
    after = f"{ratio(value):f}"
    request = what.request(site, meter)
    answer = ask_gateway(site, "ratio_change", ratio=name, before=None, after=after, **request)
    warn_if_not_durable(answer)
    if as_json:
        print_json(answer)
        return
    when = local(answer["effective_ns"], site.site.timezone)
    typer.echo(
        f"{meter.id}: ratio {name} is {answer['after']} instead of {answer['before']} from {when} on; "
        f"by {what.by}: {what.why}"
    )
    if answer["closing"] or answer["opening"]:
        _print_sides(answer, site.site.timezone)
    typer.echo(f"Still to be done: {answer['todo']}")


def record_reading(
    path: Path, meter_id: str, texts: list[str], *, at: str, by: str, why: str, as_json: bool
) -> None:
    """Enter readings and show what was kept. Raises MetergateError."""
    reason(why)
    site = load(path)
    meter = meter_of(site, meter_id)
    found = readings(site, meter, texts, "CHANNEL=VALUE") or {}
    zone = site.site.timezone
    when = past_ns(at, zone, "--at")
    answer = ask_gateway(site, "reading", meter=meter.id, readings=found, time_ns=when, by=by, why=why)
    warn_if_not_durable(answer)
    for doubt in answer.get("warnings", ()):
        typer.echo(
            f"LOOK AGAIN 请核对: {doubt}. It is kept; if it is wrong, enter the right one with --at as below",
            err=True,
        )
    if as_json:
        print_json(answer)
        return
    for one in answer["readings"]:
        typer.echo(
            f"{meter.id}: {one['channel']} {one['reading']} {one['unit']} at {local(one['time_ns'], zone)}, by hand; by {by}: {why}"
        )


def _read_meter(site: Site, name: str) -> MeterConfig:
    """Return a meter that is read. Raises MetergateError."""
    meter = meter_of(site, name)
    if not meter.enabled:
        raise MetergateError(
            f"meter {name} is disabled in the site file: set enabled = true and restart the gateway"
        )
    return meter


def _print_sides(answer: Mapping[str, Any], zone: str) -> None:
    """Print closing and opening readings, each with its time and where it is from."""
    table = Grid("", figures("reading"), "unit", "time", words("from"))
    for key in dict.fromkeys((*answer["closing"], *answer["opening"])):
        table.add_section(key)
        for side, name in (("closing", "closing 止码"), ("opening", "opening 起码")):
            one = answer[side].get(key)
            if one is None and key in answer[side]:
                table.add_row(name, UNKNOWN, "", "", "typed")
            elif one is None:
                table.add_row(name, "–", "", "", "")
            else:
                table.add_row(name, one["reading"], one["unit"], local(one["time_ns"], zone), one["from"])
    console().print(table)

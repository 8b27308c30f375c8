"""`metergate calendar`: which verifications (检定) and calibrations end when."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.fitting import InventoryFile  # noqa: TC001 - typer reads the annotations
from gateway.commands.options import Config, Json, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from gateway.inventory.calendar import Entry
    from gateway.inventory.model import Instrument

STATES = {
    "nonconforming": "NON-CONFORMING 不合格",
    "overdue": "OVERDUE 超期",
    "unverified": "never verified 无检定记录",
    "undated": "no date 无有效期",
    "due": "valid 有效",
}


def calendar(
    until: Annotated[
        str, typer.Option(help="Only what ends by this day, such as 2026-12-31, or is in no order.")
    ] = "",
    ics: Annotated[
        Path | None, typer.Option(help="Write the dates as iCalendar into this file, with alarms ahead.")
    ] = None,
    inventory: InventoryFile = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show which verifications and calibrations end when (检定日历), what is overdue first.

    The usual period beside them is advice from the verification regulations; what the inventory states holds.
    """
    from datetime import date

    from gateway.commands.fitting_work import day_of, inventory_of, site_of
    from gateway.inventory.calendar import STEPS
    from gateway.inventory.calendar import calendar as entries

    site = site_of(config, is_needed=inventory is None)
    ledger, _, _ = inventory_of(site, inventory)
    today = day_of("", site)
    last = day_option(until, "--until") if until else date.max
    found = [one for one in entries(ledger, today, usual) if (one.last_day or today) <= last]
    if ics is not None:
        place = ledger.organization.credit_code or "inventory" if site is None else site.gateway.id
        steps = STEPS if site is None else site.inventory.remind_days
        _write_ics(found, ics, place, steps, ledger.organization.name)
    if json:
        print_json({"today": today.isoformat(), "instruments": [row(one) for one in found]})
    else:
        show(found, today)
    if ics is not None:
        typer.echo(f"{sum(one.last_day is not None for one in found):,} dates in {ics}", err=True)


def _write_ics(found: Sequence[Entry], path: Path, place: str, steps: Sequence[int], name: str) -> None:
    from datetime import UTC, datetime

    from gateway.clock import SystemClock
    from gateway.commands.evidence_gather import write
    from gateway.model import NS
    from gateway.reports.ics import ics

    stamp = datetime.fromtimestamp(SystemClock().wall_ns() // NS, UTC)
    write(path, ics(found, place, stamp, steps, name).encode())


def day_option(text: str, option: str) -> date:
    """Return a day as typed. Raises BadParameter."""
    from gateway.inventory.values import day

    try:
        found = day(text)
    except ValueError:
        found = None
    if found is None:
        raise typer.BadParameter(f'"{text}" is no day such as 2026-11-22', param_hint=option)
    return found


def usual(instrument: Instrument) -> str:
    """Return the usual period of such an instrument with its regulation, "" if none is known."""
    from gateway.inventory.periods import usual_period

    found = usual_period(instrument)
    return "" if found is None else f"{found.months} months, {found.regulation}"


def row(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON."""
    one = entry.instrument
    return {
        "instrument": one.id,
        "name": one.name,
        "serial": one.serial,
        "location": one.location,
        "meter": one.meter or None,
        "state": entry.state,
        "last_day": None if entry.last_day is None else entry.last_day.isoformat(),
        "days_left": entry.days_left,
        "usual_period": entry.usual or None,
        "unverified_reason": one.unverified_reason or None,
    }


def show(found: Sequence[Entry], today: date) -> None:
    """Print the calendar for people."""
    from gateway.commands.grid import Grid, figures, words
    from gateway.commands.tables import console

    table = Grid(
        "instrument",
        words("name", drop=2),
        "last day",
        figures("days left"),
        words("state"),
        words("location", drop=3),
        words("usual period", drop=1),
        title=f"Verifications due 检定日历  {today}",
    )
    styles = {"overdue": "bold red", "nonconforming": "bold red"}
    for one in found:
        table.add_row(
            one.instrument.id,
            one.instrument.name,
            "-" if one.last_day is None else one.last_day.isoformat(),
            "-" if one.days_left is None else str(one.days_left),
            STATES[one.state],
            one.instrument.location,
            one.usual,
            style=styles.get(one.state, ""),
        )
    console().print(table)
    if not found:
        typer.echo("Nothing ends by then 期内无到期")

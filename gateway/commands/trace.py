"""`metergate trace`: everything that rests on an instrument that proved bad (不合格测量设备追溯)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gateway.commands.fitting import InventoryFile, RulesetName  # noqa: TC001 - typer reads the annotations
from gateway.commands.options import Config, Json, one_of, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal
    from pathlib import Path

    from gateway.config.models import Site
    from gateway.evidence.exemptions import Exempted, InForce
    from gateway.evidence.trace import Stretch, Trace
    from gateway.intervals.grid import Grid
    from gateway.inventory.model import Instrument, Inventory
    from gateway.inventory.validity import Doubt


class Found(NamedTuple):
    """All that is shown. until: itself excluded. traced: None for an instrument without a meter. damaged: rows passed over."""

    instrument: Instrument
    since: date
    until: date
    doubts: Sequence[Doubt]
    traced: Trace | None
    exempt: Sequence[Exempted]
    damaged: int = 0


def trace(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Id of the instrument.")],
    since: Annotated[
        str, typer.Option(help="First day, such as 2026-03-01. Default: the begin of its newest doubt.")
    ] = "",
    until: Annotated[
        str,
        typer.Option(help="Day up to which, itself excluded. Default: the end of that doubt, else tomorrow."),
    ] = "",
    inventory: InventoryFile = None,
    ruleset: RulesetName = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """List every interval, total, reported quantity and exemption that rests on an instrument (不合格测量设备追溯).

    For one that was found not to conform, or whose verification ended: what was told on the feed since, in which messages, so
    that those who received it can be told. With --json every interval; else stretches of them.
    """
    from gateway.commands.history_file import refuse_damage
    from gateway.commands.options import config_path
    from gateway.config.site_file import load
    from gateway.derive.site_grid import grid_of

    site = load(config_path(config))
    found = _found(site, inventory, instrument, since, until, ruleset)
    grid = grid_of(site)
    if json:
        print_json(body(found, grid))
    else:
        show(found, grid)
    refuse_damage(found.damaged)


def _found(site: Site, file: Path | None, name: str, since: str, until: str, ruleset: str) -> Found:
    """Return all that rests on an instrument. Raises MetergateError, BadParameter."""
    from gateway.commands.fitting_work import day_of, inventory_of
    from gateway.inventory.validity import doubts

    ledger, revision, _ = inventory_of(site, file)
    known = {one.id: one for one in ledger.instruments}
    instrument = known[one_of(name, known, "instrument in the inventory")]
    today = day_of("", site)
    doubted = doubts(instrument, today + timedelta(days=1))
    first, end = _days(since, until, doubted, today)
    plans = _plans(site, ledger, revision)
    exempt = _exempt(site, plans, instrument, ruleset, first, min(end, today + timedelta(days=1)))
    if not instrument.meter:
        return Found(instrument, first, end, doubted, None, exempt)
    traced, damaged = _traced(site, instrument, first, end)
    return Found(instrument, first, end, doubted, traced, exempt, damaged)


def _days(since: str, until: str, doubted: Sequence[Doubt], today: date) -> tuple[date, date]:
    """Return first day and the day up to which, as typed or as its newest doubt lies."""
    from gateway.commands.calendar import day_option

    tomorrow = today + timedelta(days=1)
    end = day_option(until, "--until") if until else tomorrow
    if since:
        first = day_option(since, "--since")
    elif doubted:
        first = doubted[-1].since
        end = end if until else min(doubted[-1].until or tomorrow, tomorrow)
    else:
        hint = "its readings were never in doubt: say since when, such as --since 2026-03-01"
        raise typer.BadParameter(hint, param_hint="--since")
    if first >= end:
        raise typer.BadParameter(f"{first} is not before {end}", param_hint="--since")
    return first, end


def _traced(site: Site, instrument: Instrument, first: date, end: date) -> tuple[Trace, int]:
    from gateway.commands.history_file import opened, scale
    from gateway.evidence.trace import span_of_days
    from gateway.evidence.trace import trace as traced

    with opened(site) as store, scale("reading the history 读取历史") as advance:
        found = traced(instrument, site, store, span_of_days(site, instrument, first, end), advance)
        return found, len(store.unreadable)


def _exempt(
    site: Site, plans: Sequence[InForce], instrument: Instrument, ruleset: str, first: date, until: date
) -> list[Exempted]:
    """Return the exemptions that rested on an instrument, with their days; what it delivered does not matter for them."""
    from gateway.commands.fitting_work import rulesets_of
    from gateway.evidence.exemptions import exempted

    return exempted(instrument.id, plans, rulesets_of(site, ruleset, ""), first, until)


def _plans(site: Site, ledger: Inventory, revision: int | None) -> list[InForce]:
    """Return the inventory that was gone by, by day: each revision from the day it was applied; one that was not applied always."""
    from gateway.clock import local
    from gateway.evidence.exemptions import InForce
    from gateway.inventory.in_force import revisions

    if revision is None:
        return [InForce(date.min, ledger)]
    applied = revisions(site)
    found: dict[date, InForce] = {}
    for head in applied.heads():
        day = date.fromisoformat(local(head.applied_ns, site.site.timezone).partition(" ")[0])
        found = {since: one for since, one in found.items() if since < day}  # of one day the last
        found[day] = InForce(day, ledger if head.number == revision else applied.at(head.number).inventory)
    return list(found.values())


# -- JSON -----------------------------------------------------------------------------------------------------


def body(found: Found, grid: Grid) -> dict[str, Any]:
    """Return all of it as JSON."""
    traced = found.traced
    return {
        "instrument": found.instrument.id,
        "name": found.instrument.name,
        "meter": found.instrument.meter or None,
        "channel": found.instrument.channel or None,
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "doubts": [
            {
                "since": one.since.isoformat(),
                "until": None if one.until is None else one.until.isoformat(),
                "state": one.state,
                "why": one.why,
            }
            for one in found.doubts
        ],
        "history_from": grid.iso(traced.oldest_ns) if traced is not None and traced.oldest_ns else None,
        "messages_from_seq": None if traced is None else traced.oldest_seq,
        "stretches": [] if traced is None else [_stretch(one, grid) for one in traced.stretches],
        "intervals": [] if traced is None else list(_intervals(found.instrument, traced, grid)),
        "totals": [] if traced is None else list(_totals(traced, grid)),
        "exemptions": [_exemption(one) for one in found.exempt],
        "unreadable_rows": found.damaged,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _stretch(one: Stretch, grid: Grid) -> dict[str, Any]:
    times = {"t0": grid.iso(one.start_ns), "t1": grid.iso(one.end_ns)}
    seqs = {"first_seq": one.first_seq or None, "last_seq": one.last_seq or None}
    counts = {"intervals": one.intervals, "known": one.known, "amount": _text(one.amount), "unit": one.unit}
    return {"channel": one.channel, "epoch": one.epoch, **times, **counts, "told": one.told, **seqs}


def _intervals(instrument: Instrument, traced: Trace, grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield the intervals; how the instrument stood on the day as told then, and as known now."""
    from gateway.inventory.validity import validity

    now: dict[str, str] = {}
    for one in traced.intervals:
        day = grid.iso(one.start_ns)[:10]
        if day not in now:
            now[day] = validity(instrument, date.fromisoformat(day))
        times = {"t0": grid.iso(one.start_ns), "t1": grid.iso(one.end_ns)}
        yield {
            "channel": one.channel,
            "epoch": one.epoch,
            **times,
            "rev": one.rev,
            "expected": one.expected,
            "good": one.good,
            "delta": _text(one.delta),
            "unit": one.unit,
            "how": one.how or None,
            "verification": one.verification,
            "verification_now": now[day],
            "seqs": list(one.seqs),
        }


def _totals(traced: Trace, grid: Grid) -> Iterator[dict[str, Any]]:
    for one in traced.totals:
        times = {"t0": grid.iso(one.start_ns), "t1": grid.iso(one.end_ns)}
        yield {
            "of": one.of,
            "name": one.name,
            "channel": one.channel or None,
            "period": one.period,
            **times,
            "rev": one.rev if one.rev >= 0 else None,
            "amount": _text(one.amount),
            "unit": one.unit,
        }


def _exemption(one: Exempted) -> dict[str, Any]:
    need = one.need
    return {
        "since": one.since.isoformat(),
        "until": one.until.isoformat(),
        "level": need.level,
        "energy_kind": need.energy_kind,
        "flow": need.flow,
        "owners": list(need.owners),
        "exempt": need.exempt,
        "clause": need.exempt_clause,
        "rests_on": list(need.rests_on),
    }


# -- for people -----------------------------------------------------------------------------------------------


def show(found: Found, grid: Grid) -> None:
    """Print it for people."""
    from gateway.commands.tables import console

    screen = console()
    one = found.instrument
    screen.print(
        f"{one.id} {one.name}  {found.since} – {found.until} (excluded 不含)", style="bold", highlight=False
    )
    for doubt in found.doubts:
        end = doubt.until or "now 至今"
        screen.print(
            f"in doubt 存疑: {doubt.since} – {end}: {doubt.state}, {doubt.why}", highlight=False, markup=False
        )
    if not found.doubts:
        screen.print("Its readings were never in doubt 无存疑记录")
    if found.traced is None:
        screen.print("It is not connected to a meter: nothing of the history rests on it 未接入")
    else:
        for part in _parts(found.traced, grid):
            screen.print(part, highlight=False)
    screen.print(
        _exemptions(found.exempt) if found.exempt else "No exemption rests on it 无集中计量免配依赖",
        highlight=False,
    )


def _parts(traced: Trace, grid: Grid) -> Iterator[Any]:
    from gateway.commands.grid import Grid as Table
    from gateway.commands.grid import figures

    def day(time_ns: int) -> str:
        return grid.iso(time_ns)[:16].replace("T", " ")

    columns = ("channel", "from", "to", figures("intervals"), figures("known"), figures("amount"), "unit", figures("told"), figures("messages"))  # fmt: skip
    table = Table(*columns, title="Intervals 区间")
    for one in traced.stretches:
        seqs = f"{one.first_seq}–{one.last_seq}" if one.first_seq else "-"
        counts = (f"{one.intervals:,}", f"{one.known:,}", f"{one.amount:f}", one.unit, f"{one.told:,}", seqs)
        table.add_row(one.channel, day(one.start_ns), day(one.end_ns), *counts)
    yield table if traced.stretches else "The history has no interval of it in this time 无区间"
    if traced.oldest_ns > traced.span.start_ns:
        yield f"The history begins later 历史起点: {day(traced.oldest_ns)}"
    if traced.oldest_seq > 1:
        yield f"Messages before {traced.oldest_seq} have left the outbox: what they told is not counted as told"
    totals = Table("of", "period", "from", figures("amount"), "unit", figures("rev"), title="Totals 累计")
    for total in traced.totals:
        name = f"{total.name} {total.channel}".strip()
        amount = "unknown 未知" if total.amount is None else f"{total.amount:f}"
        rev = str(total.rev) if total.rev >= 0 else "-"
        totals.add_row(name, total.period, day(total.start_ns), amount, total.unit, rev)
    if traced.totals:
        yield totals


def _exemptions(exempt: Sequence[Exempted]) -> Any:
    from gateway.commands.grid import Grid as Table
    from gateway.commands.grid import words

    table = Table(
        "from",
        "up to 不含",
        "level",
        "kind",
        "flow",
        words("ground"),
        "clause",
        title="Exemptions that rest on it 依赖它的免配",
    )
    for one in exempt:
        need = one.need
        ground = f"{need.exempt} {need.exempt_zh}".strip()
        days = one.since.isoformat(), one.until.isoformat()
        table.add_row(*days, str(need.level), need.energy_kind, need.flow, ground, need.exempt_clause)
    return table

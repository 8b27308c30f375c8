"""`metergate plan`: the budget of every link, as a table or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.assembly import library
from gateway.commands.grid import Col, Grid, figures
from gateway.commands.options import duration_s, print_json
from gateway.commands.tables import console
from gateway.config import site_file
from gateway.errors import EXIT_CONFIG
from gateway.planning.findings import SitePlan, examine
from gateway.planning.links import FULL, TIGHT, percent
from gateway.planning.storage import DAY_S, size, span
from gateway.planning.wire_time import Assumptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.config.models import Site
    from gateway.planning.links import LinkPlan, TargetPlan
    from gateway.planning.storage import Storage


def main(path: Path, *, meters: bool, delay: str, round_trip: str, as_json: bool) -> int:
    """Print the plan of a site file and return the exit code: 78 if a link cannot keep up or a meter cannot be read.

    delay, round_trip: durations as typed, "" for the default. Raises ConfigError if the file cannot be used.
    """
    usual = Assumptions()
    assumed = Assumptions(
        duration_s(delay, "--delay") if delay else usual.delay_s,
        duration_s(round_trip, "--round-trip") if round_trip else usual.round_trip_s,
    )
    site = site_file.load(path)
    found = examine(site, library(site), assumed)
    if as_json:
        print_json(to_json(found, assumed))
    else:
        _print(site, found, assumed, meters)
    return EXIT_CONFIG if found.findings else 0


def to_json(found: SitePlan, assumed: Assumptions) -> dict[str, Any]:
    """Return the plan as plain JSON values: figures of each link are those of one cycle, occupancy is a part of one."""
    return {
        "ok": not found.findings,
        "assumed": {"delay_ms": 1e3 * assumed.delay_s, "round_trip_ms": 1e3 * assumed.round_trip_s},
        "links": {
            link_id: _link_json(plan)
            | {
                "proposals": [
                    {"text": p.text, "occupancy": round(p.occupancy, 4), "change": p.change}
                    for p in found.proposed[link_id]
                ]
            }
            for link_id, plan in found.links.items()
        },
        "storage": _storage_json(found.storage),
        "warnings": found.warnings,
        "findings": site_file.to_json(found.findings),
    }


def _storage_json(found: Storage) -> dict[str, Any]:
    return {
        "frames_per_s": round(found.frames_s, 3),
        "journal": {"bytes_per_day": found.journal_day, "days": _rounded(found.journal_days)},
        "history": {
            "bytes_per_day": found.history_day,
            "outbox_bytes_per_day": found.outbox_day,
            "kept_bytes": found.kept_bytes,
            "days": _rounded(found.history_days),
        },
    }


def _rounded(days: float | None) -> float | None:
    return None if days is None else round(days, 2)


def _link_json(plan: LinkPlan) -> dict[str, Any]:
    meters: dict[str, dict[str, Any]] = {}
    for target in plan.targets:
        polls = plan.polls(target)
        meter = meters.setdefault(target.meter, {"requests": 0, "bytes": 0, "busy_ms": 0.0, "targets": []})
        meter["requests"] += target.requests * polls
        if target.exchanges is None:
            meter["bytes"] = meter["busy_ms"] = None
        else:
            meter["bytes"] += target.size * polls
            meter["busy_ms"] = round(meter["busy_ms"] + 1e3 * target.busy_s * polls, 3)
        meter["targets"].append(_target_json(target))
    return {
        "kind": plan.link.kind,
        "requests": plan.requests,
        "bytes": plan.size,
        "busy_ms": None if plan.busy_s is None else round(1e3 * plan.busy_s, 3),
        "period_ms": round(1e3 * plan.cycle_s, 3),
        "occupancy": None if plan.occupancy is None else round(plan.occupancy, 4),
        "round_ms": round(1e3 * plan.round_s, 3) if plan.known else None,
        "meters": meters,
    }


def _target_json(target: TargetPlan) -> dict[str, Any]:
    known = target.exchanges is not None
    return {
        "period_ms": round(1e3 * target.period_s, 3),
        "channels": len(target.keys),
        "busy_ms": round(1e3 * target.busy_s, 3) if known else None,
        "requests": [
            {
                **exchange.what,
                "channels": exchange.channels,
                "bytes": exchange.size,
                "busy_ms": round(1e3 * exchange.busy_s, 3),
            }
            for exchange in target.exchanges or ()
        ],
    }


def _print(site: Site, found: SitePlan, assumed: Assumptions, meters: bool) -> None:
    out = console()
    out.print(_links_table(found.links))
    if meters:
        out.print("", _meters_table(found.links), sep="\n")
    out.print("", _storage_table(site, found.storage), sep="\n")
    out.print()
    out.print(
        f"Assumed, not measured: a meter on a serial line answers after {1e3 * assumed.delay_s:g} ms (--delay, or read.delay "
        f"of a meter), a request on TCP takes {1e3 * assumed.round_trip_s:g} ms (--round-trip).",
        style="dim",
        highlight=False,
    )
    for warning in found.warnings:
        out.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if found.findings:
        out.print(site_file.report(found.findings), markup=False, highlight=False, soft_wrap=True)


def _links_table(links: Mapping[str, LinkPlan]) -> Grid:
    counts = figures("meters"), figures("requests"), figures("bytes", drop=1)
    shares = figures("busy"), figures("in"), figures("occupancy")
    table = Grid("link", Col("kind", drop=2), *counts, *shares, title="Plan 总线负荷")
    for link_id, plan in links.items():
        table.add_row(
            link_id,
            plan.link.kind,
            str(len({target.meter for target in plan.targets})),
            f"{plan.requests:,}",
            "–" if plan.size is None else f"{plan.size:,}",
            "–" if plan.busy_s is None else f"{1e3 * plan.busy_s:,.1f} ms",
            f"{plan.cycle_s:g} s",
            "–" if plan.occupancy is None else percent(plan.occupancy),
            style=_colour(plan.occupancy),
        )
    return table


def _storage_table(site: Site, found: Storage) -> Grid:
    """Return what is written a day, and how long it stays."""
    costs = figures("a day"), figures("at most"), figures("holds"), figures("keep needs", drop=1)
    table = Grid("file", *costs, title="Storage 存储, about")
    days = "–" if found.journal_days is None else span(found.journal_days)
    table.add_row("journal.db", size(found.journal_day), size(site.journal.size_max_bytes), days, "")
    keep_days = site.history.keep_s / DAY_S
    days = span(min(keep_days, found.history_days or keep_days))
    needed = f"{size(found.kept_bytes)} for {span(keep_days)}"
    at_most = size(site.history.size_max_bytes)
    table.add_row("history.db", size(found.history_day + found.outbox_day), at_most, days, needed)
    if found.outbox_day:
        table.add_row("  of it the outbox", size(found.outbox_day), "", "", "")
    return table


def _colour(occupancy: float | None) -> str:
    if occupancy is None or occupancy <= TIGHT:
        return ""
    return "yellow" if occupancy <= FULL else "red"


def _meters_table(links: Mapping[str, LinkPlan]) -> Grid:
    what = "link", "meter", "period", "request"
    costs = figures("channels", drop=2), figures("bytes", drop=1), figures("busy")
    table = Grid(*what, *costs, title="Requests 请求")
    for link_id, plan in links.items():
        for target in plan.targets:
            start = link_id, target.meter, f"{target.period_s:g} s"
            if target.exchanges is None:
                table.add_row(*start, "1 of the server's own making", str(len(target.keys)), "–", "–")
            for exchange in target.exchanges or ():
                asked = ", ".join(f"{name} {value}" for name, value in exchange.what.items())
                size, busy = f"{exchange.size:,}", f"{1e3 * exchange.busy_s:.1f} ms"
                table.add_row(*start, asked, str(len(exchange.channels)), size, busy)
                start = "", "", ""
    return table

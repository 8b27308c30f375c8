"""What `metergate watch` shows people: a line a site, or a line a meter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from gateway.commands.grid import Grid, count, figures, note, words
from gateway.commands.plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

FINDINGS_SHOWN = 3
TEXT_MAX = 300  # characters of foreign text in a cell
LINES_BESIDE = 7  # heading, totals, findings, the last line
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
NONE = "–"


def view(told: Mapping[str, Any], height: int = 0) -> RenderableType:
    """Return the sites of a report. height: lines there are; 0: as many as it takes."""
    grid = Grid(
        "site 站点",
        "state",
        figures("newest"),
        figures("hour %"),
        figures("day %"),
        words("gaps 原因", drop=3),
        "chain 链",
        figures("manual %", drop=4),
        figures("estimated %", drop=2),
        figures("revised %", drop=4),
        words("fitting 配备率", drop=1),
    )
    rows = told["sites"][: height or None]
    for row in rows:
        grid.add_row(*_site(row))
    parts: list[RenderableType] = [grid] if rows else [Text("No site has sent anything yet.")]
    if len(told["sites"]) > len(rows):
        parts.append(note(f"… and {count(len(told['sites']) - len(rows), 'more site')}", "dim"))
    if told["left_out"]:
        parts.append(note(f"{count(told['left_out'], 'message')} of sites there is no room for", "red"))
    total = f"{count(told['messages'], 'message')}, {told['authentic']:,} verified"
    parts.append(
        Text(f"{total}, {count(told['findings'], 'finding')}", style="red" if told["findings"] else "")
    )
    parts += [note(_finding(one), "red") for one in told["newest_findings"][-FINDINGS_SHOWN:]]
    misfits = [row["misfit"] for row in rows if row["misfit"]]
    parts += [note(plain(f"not of the contract: {text}"), "red") for text in misfits[:1]]
    return Group(*parts)


def meters_view(told: Mapping[str, Any], height: int = 0) -> RenderableType:
    """Return the meters of a report under their sites, those with the least known first."""
    grid = Grid(
        "meter 仪表", figures("newest"), figures("hour %"), figures("day %"), figures("known"), figures("due"),
        words("gaps 原因", drop=2), figures("manual %", drop=1), figures("revised %", drop=1),
    )  # fmt: skip
    room = height or sum(len(site["meters"]) + 1 for site in told["sites"])
    for n, site in enumerate(told["sites"]):
        if room <= 1:
            return Group(grid, note(f"… and {count(len(told['sites']) - n, 'more site')}", "dim"))
        grid.add_section(plain(site["site"]))
        if site["left_out"]:
            grid.add_row(f"… {site['left_out']:,} intervals of more", *[""] * 8, style="red")
        for row in sorted(site["meters"], key=_known)[: room - 1]:
            day = row["day"]
            grid.add_row(
                plain(row["meter"]),
                age(row["behind_s"]),
                percent(row["hour"]["percent"]),
                percent(day["percent"]),
                f"{day['known']:,}",
                f"{day['due']:,}",
                _gaps(day["gaps"]),
                day["manual_percent"] or NONE,
                day["revised_percent"] or NONE,
            )
        room -= len(site["meters"]) + 1
    return grid


def _known(row: Mapping[str, Any]) -> float:
    return float(row["day"]["percent"] or -1)


def _site(row: Mapping[str, Any]) -> list[str | Text]:
    day, fitting = row["day"], row["fitting"]
    state = {True: "online", False: "offline", None: "unknown"}[row["online"]]
    colour = {"online": "green", "offline": "red"}.get(state, "yellow")
    return [
        plain(row["site"]),
        Text(state, style=colour),
        age(row["behind_s"]),
        percent(row["hour"]["percent"]),
        percent(day["percent"]),
        _gaps(day["gaps"]),
        _chain(row),
        day["manual_percent"] or NONE,
        day["estimated_percent"] or NONE,
        day["revised_percent"] or NONE,
        NONE
        if fitting is None
        else plain(f"{fitting['ruleset']}, {fitting['as_of']}{_rates(fitting['result'])}"[:TEXT_MAX]),
    ]


def _chain(row: Mapping[str, Any]) -> Text:
    chain = row["chain"]
    if not chain["messages"]:
        return Text(NONE)
    if chain["findings"]:
        return Text(", ".join(f"{kind} {n}" for kind, n in chain["kinds"].items()), style="red")
    if row["misfits"]:
        return Text(f"{row['misfits']} not of the contract", style="red")
    is_verified = chain["authentic"] == chain["messages"]
    return Text(f"whole to {chain['last']}", style="green" if is_verified else "yellow")


def _rates(result: Mapping[str, Any]) -> str:
    """Return how many rates are what is demanded, and whether the ruleset still is in force."""
    judged = [row for row in result["rates"] if row["meets"] is not None]
    met = sum(1 for row in judged if row["meets"])
    old = f", superseded {result['superseded_on']}" if result["superseded_on"] else ""
    return f": {met} of {len(judged)} met{old}"


def _gaps(gaps: Mapping[str, int]) -> str:
    most = sorted(gaps.items(), key=lambda item: -item[1])
    return plain(", ".join(f"{reason[:40]} {n:,}" for reason, n in most[:3])) or NONE


def _finding(one: Mapping[str, Any]) -> str:
    return plain(f"{one['kind']}: {one['text']}"[:TEXT_MAX])


def percent(text: str | None) -> Text:
    """Return a share in its colour."""
    if text is None:
        return Text(NONE)
    return Text(text, style="green" if float(text) >= 99 else "yellow" if float(text) >= 90 else "red")


def age(seconds: float | None) -> str:
    """Return how long ago, in the unit that says it."""
    if seconds is None:
        return NONE
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.0f} d"

"""Tables for people: what the commands print without `--json`."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from gateway.model import Flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType

_COLOUR = {"up": "green", "on": "green", "down": "red", "off": "red", "unknown": "yellow"}


LIVE_LINES_BESIDE = 6  # three headings, the journal, the last line, and one to spare
WIDE = 120  # columns from which a meter's line shows two values


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=_COLOUR.get(state, ""))


def console() -> Console:
    """Return stdout as a console; what is piped into a file is not squeezed into 80 columns."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def links_table(figures: Mapping[str, Any]) -> Table:
    """Return the links of a status."""
    table = Table(
        "link", "kind", "state", "polls", "lost", "last error", title="Links 链路", title_justify="left"
    )
    for id_, link in figures["links"].items():
        table.add_row(
            id_,
            link["kind"],
            state_text(link["state"]),
            f"{link['polls']:,}",
            str(link["downs"]),
            link["error"],
        )
    return table


def meters_table(figures: Mapping[str, Any]) -> Table:
    """Return the meters of a status."""
    table = Table("meter", "link", "state", "readings", "flagged", "failed", "age")
    table.add_column("newest values, or error" if "values" in figures else "last error", overflow="fold")
    table.title, table.title_justify = "Meters 仪表", "left"
    for id_, meter in figures["meters"].items():
        table.add_row(
            id_,
            meter["link"],
            state_text(meter["state"]),
            f"{meter['readings']:,}",
            f"{meter['flagged']:,}",
            f"{sum(meter['failures'].values()):,}",
            _age(figures, meter),
            _glimpse(figures, id_),
        )
    return table


def _age(figures: Mapping[str, Any], meter: Mapping[str, Any]) -> str:
    if not meter["last_ns"]:
        return "–"
    return f"{(figures['gateway']['time_ns'] - meter['last_ns']) / 1e9:.1f} s"


def live_view(figures: Mapping[str, Any], width: int, height: int) -> RenderableType:
    """Return a status that fits a terminal: a line each for links and sinks, meters as far as there is room.

    Meters that are not well come first.
    """
    links = _lines("link 链路", "kind", "state", "polls", "last error")
    for id_, link in figures["links"].items():
        links.add_row(id_, link["kind"], state_text(link["state"]), f"{link['polls']:,}", link["error"])
    sinks = _lines("sink 去向", "kind", "state", "delivered", "pending", "last error")
    for id_, sink in figures["sinks"].items():
        counts = f"{sink['delivered']:,}", f"{sink['pending']:,}"
        sinks.add_row(id_, sink["kind"], state_text(sink["state"]), *counts, sink["error"])
    meters = _lines("meter 仪表", "state", "readings", "age", "newest values 最新值")
    well_last = sorted(figures["meters"].items(), key=lambda item: item[1]["state"] == "on")
    room = max(3, height - len(figures["links"]) - len(figures["sinks"]) - LIVE_LINES_BESIDE)
    for id_, meter in well_last[:room]:
        state, age = state_text(meter["state"]), _age(figures, meter)
        glimpse = _glimpse(figures, id_, 1 if width < WIDE else 2)
        meters.add_row(id_, state, f"{meter['readings']:,}", age, glimpse)
    more = len(well_last) - room
    rest = f"… and {more} more meters   " if more > 0 else ""
    end = Text(f"{rest}Ctrl-C ends 结束", style="dim", no_wrap=True, overflow="ellipsis")
    return Group(links, sinks, meters, journal_line(figures), end)


def _lines(*headings: str) -> Table:
    """Return a table without a frame whose rows are one line each."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    return table


_TELLING = ("power_active", "flow_", "power_thermal", "concentration", "pressure", "temperature", "humidity")


def _glimpse(figures: Mapping[str, Any], meter: str, most: int = 2) -> RenderableType:
    """Return a meter's error, else the values that say most of it: a rate and a counter."""
    error = figures["meters"][meter]["error"]
    if error:
        return Text(error, style="red")
    values = figures.get("values", {}).get(meter, {})
    rates = [key for prefix in _TELLING for key in values if key.startswith(prefix)]
    totals = [key for key in rates if key.endswith("_total")]
    counters = [key for key in values if key.startswith(("energy_", "volume", "mass"))]
    chosen = [*(totals or rates)[:1], *counters[:1]] or list(values)[:2]
    return Text("   ".join(f"{key} {_number(*values[key])}" for key in chosen[:most]))


def _number(value: float | None, unit: str, _flags: int) -> str:
    if value is None:
        return "absent"
    return f"{value:,.6g}" if unit == "1" else f"{value:,.6g} {unit}"


def values_table(figures: Mapping[str, Any]) -> Table:
    """Return the newest value of every channel, with its flags."""
    table = Table("meter", "channel", "value", "unit", "flags", title="Values 最新值", title_justify="left")
    for meter, values in figures["values"].items():
        for key, (value, unit, flags) in values.items():
            names = " ".join(flag.name or "" for flag in Flag if flags & flag)
            table.add_row(meter, key, "absent" if value is None else repr(value), unit, names)
    return table


def sinks_table(figures: Mapping[str, Any]) -> Table:
    """Return the sinks of a status; counts are readings."""
    table = Table("sink", "kind", "state", "delivered", "pending", "refused", "missed", "last error")
    table.title, table.title_justify = "Sinks 去向 (readings)", "left"
    for id_, sink in figures["sinks"].items():
        counts = [f"{sink[key]:,}" for key in ("delivered", "pending", "refused", "missed")]
        table.add_row(id_, sink["kind"], state_text(sink["state"]), *counts, sink["error"])
    return table


def journal_line(figures: Mapping[str, Any]) -> Text:
    """Return the journal's state in one line."""
    journal = figures["journal"]
    text = Text(
        f"journal {journal['readings']:,} readings in {journal['bytes'] / 1e6:.1f} MB, epoch {journal['epoch']}, "
        f"lost {figures['lost']:,}, clock {'synchronised' if figures['gateway']['clock_synchronised'] else 'NOT synchronised'}"
    )
    if journal["error"]:
        text.append(f"\n{journal['error']}", style="red")
    return text


def absent_table(figures: Mapping[str, Any]) -> Table | None:
    """Return the channels meters turned out not to have, and why; None if there are none."""
    table = Table(
        "meter", "channel", "why", title="Absent 缺失的量 (asked for again once a day)", title_justify="left"
    )
    for meter, row in figures["meters"].items():
        for key, why in row["absent"].items():
            table.add_row(meter, key, Text(why))
    return table if table.row_count else None


def maintenance_table(figures: Mapping[str, Any], zone: str) -> Table | None:
    """Return what is under maintenance; None if nothing is."""
    table = Table("link or meter", "until", "why", "by", title="Maintenance 检修", title_justify="left")
    for row in figures["maintenance"]:
        table.add_row(row["subject"], local(row["until_ns"], zone), Text(row["why"]), Text(row["by"]))
    return table if table.row_count else None


def local(time_ns: int, zone: str) -> str:
    """Return a wall time in a site's own zone, to the second, with its offset."""
    stamp = datetime.fromtimestamp(time_ns // 1_000_000_000, ZoneInfo(zone))
    return stamp.isoformat(" ", "seconds")


def status_view(figures: Mapping[str, Any], zone: str) -> RenderableType:
    """Return everything of a status. zone: the site's."""
    parts = (
        links_table(figures),
        meters_table(figures),
        absent_table(figures),
        maintenance_table(figures, zone),
        sinks_table(figures),
        journal_line(figures),
    )
    return Group(*(part for part in parts if part is not None))


def print_status(figures: Mapping[str, Any], zone: str) -> None:
    """Print a status to stdout. zone: the site's."""
    out = console()
    gateway = figures["gateway"]
    out.print(f"gateway {gateway['id']} {gateway['software']} at {local(gateway['time_ns'], zone)}")
    out.print(status_view(figures, zone))
    if "values" in figures:
        out.print(values_table(figures))


def print_profiles(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one line per meter type."""
    table = Table(
        Column("profile", no_wrap=True),
        "maker",
        "model",
        Column("medium", no_wrap=True),
        "channels",
        Column("sources", justify="right"),
        "confidence",
    )
    for row in rows:
        weak = row["confidence"] == "one-source"
        few = len(row["one_source_channels"])
        doubtful = f", {few} channels one-source" if few else ""
        table.add_row(
            row["id"],
            row["maker"],
            row["model"],
            row["medium"],
            str(row["channels"]),
            str(row["sources_cited"]),
            Text(row["confidence"] + doubtful, style="yellow" if weak or doubtful else ""),
        )
    console().print(table)


def print_profile(row: Mapping[str, Any]) -> None:
    """Print one meter type: identity, sources, doubts, and its channels."""
    out = console()
    for key, value in row.items():
        if key in {"channel_list", "one_source_channels"} or value in ([], {}, ""):
            continue
        if isinstance(value, list | tuple):
            out.print(f"{key}:", style="bold")
            for item in value:
                out.print(f"  - {item}", highlight=False, markup=False)
        else:
            out.print(f"[bold]{key}[/]: {value}", highlight=False)
    table = Table("", "channel", "quantity", "unit", "address", "note", title="Channels (* read by default)")
    for channel in row["channel_list"]:
        mark = "*" if channel["default"] else ""
        weak = channel["confidence"] != row["confidence"]
        unit, note = (
            channel["unit"],
            "; ".join(filter(None, (channel["confidence"] if weak else "", channel["note"]))),
        )
        table.add_row(mark, channel["key"], channel["quantity"], unit, channel["address"], note)
    out.print(table)


def summary_text(found: Mapping[str, Any]) -> str:
    """Return what `metergate check` says of a good site file."""
    lines = ["The site file can be used."]
    for key, value in found.items():
        if key == "warnings":
            lines += [f"warning: {warning}" for warning in value]
        else:
            lines.append(f"  {key}: {value}")
    return "\n".join(lines)

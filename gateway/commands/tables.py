"""Tables for people: what the commands print without `--json`."""

from __future__ import annotations

import os
import struct
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.text import Text

from gateway.clock import local
from gateway.commands.grid import Col, Grid, count, note, words
from gateway.commands.grid import figures as numbers
from gateway.model import NS, Flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType

_COLOUR = {"up": "green", "on": "green", "down": "red", "off": "red", "unknown": "yellow"}


LIVE_LINES_BESIDE = 6  # three headings, the journal, the last line, and one to spare
WIDE = 120  # columns from which a meter's line shows two values
PIPED = 160  # columns of what is piped into a file
PLAIN_DIGITS = 12  # so many significant digits are printed as they are
F32_DIGITS = range(6, 10)  # one of these tells an f32 from its neighbours
WHOLE, EXACT = (
    1e5,
    1e15,
)  # between them a live value shows every whole digit: a counter is held against a display


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=_COLOUR.get(state, ""))


def console() -> Console:
    """Return stdout as a console; what is piped into a file is not squeezed into 80 columns unless COLUMNS says so."""
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=PIPED)


def number_text(value: float | None) -> str:
    """Return a value with the digits that mean something, "absent" for none.

    Up to 12 significant digits as they are; of more, those that tell an f32, or one times a power of ten, from its neighbours;
    else ten, and three behind the point of a large one.
    """
    if value is None:
        return "absent"
    exact = Decimal(repr(value))
    digits = len(exact.as_tuple().digits)
    if digits > PLAIN_DIGITS and not value.is_integer():
        exact = _f32(exact) or _rounded(exact)
    return f"{exact.normalize():f}"


def _f32(exact: Decimal) -> Decimal | None:
    """Return the shortest decimal that is the same f32, before or after a change of its unit by a power of ten."""
    for power in (0, 3, -3, 6, -6):
        scaled = float(exact.scaleb(power))
        try:
            if struct.unpack("f", struct.pack("f", scaled))[0] != scaled:
                continue
        except OverflowError:
            continue
        texts = (f"{scaled:.{digits}g}" for digits in F32_DIGITS)
        same = (text for text in texts if struct.pack("f", float(text)) == struct.pack("f", scaled))
        return Decimal(next(same)).scaleb(-power)
    return None


def _rounded(exact: Decimal) -> Decimal:
    return Decimal(f"{exact:.{max(10, exact.adjusted() + 4)}g}")


def links_table(figures: Mapping[str, Any]) -> RenderableType:
    """Return the links of a status, their errors beneath."""
    grid = Grid("link", "kind", "state", numbers("polls"), numbers("lost"), title="Links 链路")
    for id_, link in figures["links"].items():
        counts = f"{link['polls']:,}", str(link["downs"])
        grid.add_row(id_, link["kind"], state_text(link["state"]), *counts)
    now_ns = figures["gateway"]["time_ns"]
    waits = {id_: link["retry_ns"] - now_ns for id_, link in figures["links"].items()}
    return _with_errors(
        grid, figures["links"], {id_: f"; next try in {ns / NS:.0f} s" for id_, ns in waits.items() if ns > 0}
    )


def meters_table(figures: Mapping[str, Any]) -> RenderableType:
    """Return the meters of a status, a line each, their errors beneath."""
    counts = numbers("readings"), numbers("flagged", drop=1), numbers("failed"), numbers("age")
    grid = Grid("meter", "link", "state", *counts, title="Meters 仪表")
    for id_, meter in figures["meters"].items():
        grid.add_row(
            id_,
            meter["link"],
            state_text(meter["state"]),
            f"{meter['readings']:,}",
            f"{meter['flagged']:,}",
            f"{sum(meter['failures'].values()):,}",
            _age(figures, meter),
        )
    return _with_errors(grid, figures["meters"])


def _with_errors(
    grid: Grid, rows: Mapping[str, Mapping[str, Any]], more: Mapping[str, str] | None = None
) -> RenderableType:
    """Return a table and beneath it, for each that has one, its last error. more: id -> what is said after it."""
    after = more or {}
    errors = [
        note(f"{id_}: {row['error']}{after.get(id_, '')}", "red") for id_, row in rows.items() if row["error"]
    ]
    return Group(grid, *errors)


def _age(figures: Mapping[str, Any], meter: Mapping[str, Any]) -> str:
    if not meter["last_ns"]:
        return "–"
    return f"{(figures['gateway']['time_ns'] - meter['last_ns']) / 1e9:.1f} s"


def live_view(figures: Mapping[str, Any], width: int, height: int) -> RenderableType:
    """Return a status that fits a terminal: a line each for links and sinks, meters as far as there is room.

    Meters that are not well come first.
    """
    links = Grid(
        "link 链路", "kind", "state", numbers("polls"), Col("last error", brief=True), has_rule=False
    )
    for id_, link in figures["links"].items():
        links.add_row(id_, link["kind"], state_text(link["state"]), f"{link['polls']:,}", link["error"])
    sinks = Grid(
        "sink 去向",
        "kind",
        "state",
        numbers("delivered"),
        numbers("pending"),
        Col("last error", brief=True),
        has_rule=False,
    )
    for id_, sink in figures["sinks"].items():
        counts = f"{sink['delivered']:,}", f"{sink['pending']:,}"
        sinks.add_row(id_, sink["kind"], state_text(sink["state"]), *counts, sink["error"])
    meters = Grid(
        "meter 仪表",
        "state",
        numbers("readings"),
        numbers("age"),
        Col("newest values 最新值", brief=True),
        has_rule=False,
    )
    well_last = sorted(figures["meters"].items(), key=lambda item: item[1]["state"] == "on")
    room = max(3, height - len(figures["links"]) - len(figures["sinks"]) - LIVE_LINES_BESIDE)
    for id_, meter in well_last[:room]:
        state, age = state_text(meter["state"]), _age(figures, meter)
        glimpse = _glimpse(figures, id_, 1 if width < WIDE else 2)
        meters.add_row(id_, state, f"{meter['readings']:,}", age, glimpse)
    more = len(well_last) - room
    rest = f"… and {more} more meter{'s' * (more > 1)}   " if more > 0 else ""
    end = Text(f"{rest}Ctrl-C ends 结束", style="dim", no_wrap=True, overflow="ellipsis")
    return Group(links, sinks, meters, journal_line(figures), end)


_TELLING = ("power_active", "flow_", "power_thermal", "concentration", "pressure", "temperature", "humidity")


def _glimpse(figures: Mapping[str, Any], meter: str, most: int) -> Text:
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


def _number(value: float | None, unit: str, _flags: int, _time_ns: int) -> str:
    if value is None:
        return "absent"
    digits = f"{value:,.0f}" if WHOLE <= abs(value) < EXACT else f"{value:,.6g}"
    return digits if unit == "1" else f"{digits} {unit}"


def values_table(figures: Mapping[str, Any], zone: str) -> Grid:
    """Return the newest value of every channel, with its flags, under its meter and its time in the site's zone."""
    grid = Grid("channel", numbers("value"), "unit", words("flags"), title="Values 最新值")
    for meter, values in figures["values"].items():
        before_ns = None
        for key, (value, unit, flags, time_ns) in values.items():
            if time_ns != before_ns:
                grid.add_section(f"{meter}  {local(time_ns, zone)}")
                before_ns = time_ns
            names = " ".join(flag.name or "" for flag in Flag if flags & flag)
            grid.add_row(key, number_text(value), "" if unit == "1" else unit, names)
    return grid


def sinks_table(figures: Mapping[str, Any]) -> RenderableType:
    """Return the sinks of a status, their errors beneath; counts are readings, of a feed messages."""
    if not figures["sinks"]:
        return Text("no sinks: readings stay in the journal")
    keys = "delivered", "pending", "refused", "missed"
    grid = Grid(
        "sink", "kind", "state", *map(numbers, keys), title="Sinks 去向 (readings; of a feed messages)"
    )
    for id_, sink in figures["sinks"].items():
        grid.add_row(id_, sink["kind"], state_text(sink["state"]), *(f"{sink[key]:,}" for key in keys))
    return _with_errors(grid, figures["sinks"])


def history_line(figures: Mapping[str, Any], zone: str) -> Text:
    """Return how far intervals are, and where the feed's chain stands, in one line each."""
    intervals, history, feed = figures["intervals"], figures["history"], figures["feed"]
    closed = intervals["closed_until_ns"]
    text = Text(f"intervals closed until {local(closed, zone) if closed else 'none yet'}")
    text.append(f", history {history['bytes'] / 1e6:.1f} MB")
    if intervals["waiting"] or intervals["behind"]:
        text.append(f", {intervals['waiting']:,} wait, {intervals['behind']:,} readings behind")
    if feed:
        text.append(
            f"\nfeed 监管数据流: message {feed['seq']:,} of chain {feed['chain'][:8]}, key {feed['kid']}"
        )
    if intervals["held"]:
        text.append(f"\n{intervals['held']}", style="red")
    inventory = figures.get("inventory", {})
    if inventory.get("revision"):
        text.append(f"\ninventory 台账: revision {inventory['revision']} in force")
    if inventory.get("error"):
        text.append(f"\ninventory 台账: {inventory['error']}", style="red")
    if history["error"]:
        text.append(f"\n{history['error']}", style="red")
    return text


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


def absent_table(figures: Mapping[str, Any]) -> Grid | None:
    """Return the channels meters turned out not to have, and why; None if there are none."""
    table = Grid(
        "meter",
        "channel",
        words("why"),
        title="Absent 缺失的量 (asked for again at each connection and once a day)",
    )
    for meter, row in figures["meters"].items():
        for key, why in row["absent"].items():
            table.add_row(meter, key, why)
    return table if table.row_count else None


def maintenance_table(figures: Mapping[str, Any], zone: str) -> Grid | None:
    """Return what is under maintenance; None if nothing is."""
    table = Grid("link or meter", "what", "until", words("why"), words("by"), title="Maintenance 检修")
    for row in figures["maintenance"]:
        what = "away for verification 送检" if row.get("removed") else "maintenance 检修"
        table.add_row(row["subject"], what, local(row["until_ns"], zone), row["why"], row["by"])
    return table if table.row_count else None


def warnings_text(figures: Mapping[str, Any]) -> Text | None:
    """Return what somebody has still to do, such as a recorded ratio the site file does not have; None if nothing."""
    texts = figures.get("warnings", [])
    return Text("\n".join(f"warning 警告: {text}" for text in texts), style="yellow") if texts else None


def status_view(figures: Mapping[str, Any], zone: str) -> RenderableType:
    """Return everything of a status. zone: the site's."""
    parts = (
        links_table(figures),
        meters_table(figures),
        absent_table(figures),
        maintenance_table(figures, zone),
        warnings_text(figures),
        sinks_table(figures),
        journal_line(figures),
        history_line(figures, zone),
    )
    shown = [part for part in parts if part is not None]
    return Group(*(line for part in shown for line in (Text(), part)))


def print_status(figures: Mapping[str, Any], zone: str) -> None:
    """Print a status to stdout. zone: the site's."""
    out = console()
    gateway = figures["gateway"]
    out.print(f"gateway {gateway['id']} {gateway['software']} at {local(gateway['time_ns'], zone)}")
    out.print(status_view(figures, zone))
    if "values" in figures:
        out.print(Text(), values_table(figures, zone))


def print_profiles(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a table of meter types."""
    what = "profile", words("maker and model"), "medium"
    table = Grid(*what, numbers("channels", drop=2), numbers("sources", drop=1), words("confidence"))
    for row in rows:
        weak = row["confidence"] == "one-source"
        few = len(row["one_source_channels"])
        doubtful = f", {count(few, 'channel')} one-source" if few else ""
        table.add_row(
            row["id"],
            f"{row['maker']} {row['model']}",
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
    what = "channel", Col("quantity", drop=1), "unit", "address", words("note")
    table = Grid("", *what, title="Channels (* read by default)")
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

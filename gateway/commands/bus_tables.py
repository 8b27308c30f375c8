"""Tables of the commands that talk to meters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from gateway.commands.tables import console, local
from gateway.model import Flag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORDS: dict[Flag, str] = {
    Flag.MISSING: "no value",
    Flag.COMMS: "no answer",
    Flag.DEVICE: "the meter says there is none",
    Flag.STALE: "old",
    Flag.RANGE: "outside its limits",
    Flag.ROLLBACK: "counter went back",
    Flag.JUMP: "counter rose too fast",
    Flag.SENTINEL: "the meter's mark for no value",
    Flag.STUCK: "does not change",
    Flag.CLOCK: "clock not synchronised",
    Flag.MAINTENANCE: "maintenance",
    Flag.MANUAL: "typed in",
    Flag.ESTIMATED: "estimated",
}


def flag_words(flags: int) -> str:
    """Return the doubts about a value in words, "" if there are none."""
    return ", ".join(words for flag, words in WORDS.items() if flags & flag)


def print_reading(found: Mapping[str, Any], zone: str) -> None:
    """Print an extra read of a meter. zone: the site's."""
    out = console()
    times = [channel["time_ns"] for channel in found["channels"]]
    when = f" at {local(max(times), zone)}" if times else ""
    table = Table("channel", title=f"{found['meter']}{when}, not recorded 抄读", title_justify="left")
    table.add_column("value", justify="right")
    for heading in ("unit", "doubts", "raw", "ms"):
        table.add_column(heading)
    for channel in found["channels"]:
        absent = channel["value"] is None
        value = "absent" if absent else _plain(channel)
        words = Text(flag_words(channel["flags"]), style="yellow")
        unit = "" if channel["unit"] == "1" else channel["unit"]
        table.add_row(channel["key"], value, unit, words, channel["raw"], f"{channel['round_trip_ms']:.1f}")
    if found["channels"]:
        out.print(table)
    for error in found["errors"]:
        keys = ", ".join(error["keys"][:4]) + (" …" if len(error["keys"]) > 4 else "")
        raw = f" (raw {error['raw']})" if error["raw"] else ""
        out.print(
            f"not read: {keys}: {error['text']}{raw}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _plain(channel: Mapping[str, Any]) -> str:
    """Return a value with the digits the meter gave."""
    exact = channel["exact"]
    return exact if exact is not None and len(exact) <= 16 else f"{channel['value']:.10g}"


def print_raw(found: Mapping[str, Any]) -> None:
    """Print raw registers."""
    out = console()
    title = f"{found['link']} unit {found['unit']} function {found['function']}, {found['round_trip_ms']:.1f} ms 原始数据"
    table = Table("address", "hex", "raw", found["type"], title=title, title_justify="left")
    for row in found["registers"]:
        value = "no number" if row["value"] is None else row["value"]
        table.add_row(str(row["address"]), f"0x{row['address']:04X}", row["raw"], value)
    out.print(table)
    if found["readings"]:
        more = Table("as", "value", title="What these bytes may mean", title_justify="left")
        for name, value in found["readings"].items():
            more.add_row(name, "no number" if value is None else value)
        out.print(more)


def print_identified(found: Mapping[str, Any]) -> None:
    """Print the raw bytes of one data identifier, and what they may mean."""
    title = (
        f"{found['link']} {found['address']} {found['protocol']}, {found['round_trip_ms']:.1f} ms 原始数据"
    )
    table = Table("di", "as", "value", title=title, title_justify="left")
    di = f"0x{found['di']:0{8 if found['protocol'] == 'dlt645' else 4}X}"
    table.add_row(di, "bytes, low first", found["raw"])
    for name, value in found["readings"].items():
        table.add_row("", name, "no number" if value is None else value)
    console().print(table)
    words = flag_words(found["flags"][0])
    if words:
        console().print(words, style="yellow")


def print_scan(found: Mapping[str, Any]) -> None:
    """Print who answered, what to know of it, and the tables for the site file."""
    out = console()
    table = Table(
        "unit or address",
        "answer",
        "ms",
        "at",
        "site file",
        "profile",
        title="Scan 扫描",
        title_justify="left",
    )
    for row in found["found"]:
        ms = "" if row["round_trip_ms"] is None else f"{row['round_trip_ms']:.1f}"
        style = "yellow" if row["how"] == "garbled" else ""
        profiles = ", ".join(row["profiles"][:3])
        table.add_row(
            str(row["address"]), row["text"], ms, row["settings"], row["meter"], profiles, style=style
        )
    if found["found"]:
        out.print(table)
    meters = sum(row["how"] != "garbled" for row in found["found"])
    short = "" if found["is_whole"] else ", stopped before the end"
    out.print(f"{meters} meters answered {found['asked']} requests{short}.", highlight=False)
    _say(found["remarks"], "yellow")
    if found["proposal"]:
        out.print("\nFor the site file 配置建议:\n", style="dim")
        out.print(found["proposal"], markup=False, highlight=False, soft_wrap=True)


def print_probe(found: Mapping[str, Any], shown_max: int = 8) -> None:
    """Print the ranking, the reasons of the first ones, and what can be said."""
    out = console()
    table = Table(
        "", "profile", "model", "score", "for and against", title="Probe 识别", title_justify="left"
    )
    for n, row in enumerate(found["candidates"][:shown_max], 1):
        table.add_row(
            str(n),
            row["profile"],
            f"{row['maker']} {row['model']}",
            f"{row['score']:g}",
            "\n".join(row["reasons"]),
        )
    if found["candidates"]:
        out.print(table, highlight=False)
    _say(found["diagnosis"], "cyan")
    out.print(found["verdict"], markup=False, highlight=False, soft_wrap=True, style="bold")
    if not found["is_whole"]:
        out.print("Stopped before all types were looked at.", style="yellow")


def print_variables(found: Mapping[str, Any]) -> None:
    """Print the variables of an OPC UA server and what they may be."""
    out = console()
    table = Table(
        "path", "node id", "type", "value", "unit", "status", title="Variables 变量", title_justify="left"
    )
    for row in found["variables"]:
        value = "" if row["value"] is None else str(row["value"])
        cells = ("/".join(row["path"]), row["id"], row["type"], value, row["unit"], row["status"])
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)
    if not found["is_whole"]:
        out.print("There are more: name a node with --below to see a part whole.", style="yellow")
    if found["proposal"]:
        out.print("\nFor the site file, to be checked 配置建议:\n", style="dim")
        out.print(found["proposal"], markup=False, highlight=False, soft_wrap=True)


def _say(lines: Sequence[str], style: str) -> None:
    for line in lines:
        console().print(line, style=style, markup=False, highlight=False, soft_wrap=True)

"""Tables of the commands that talk to meters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from gateway.clock import local
from gateway.commands.grid import Col, Grid, count, figures, note, words
from gateway.commands.tables import console, number_text
from gateway.model import Flag
from gateway.wire import UA_CODE

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
NEAR = 0.75  # part of the best score that makes a type worth looking at
SHOWN_MAX = 8


def flag_words(flags: int) -> str:
    """Return the doubts about a value in words, "" if there are none."""
    return ", ".join(said for flag, said in WORDS.items() if flags & flag)


def print_reading(
    found: Mapping[str, Any], zone: str, time_ns: int, sources: Mapping[str, str] | None = None
) -> None:
    """Print an extra read of a meter.

    zone: the site's. time_ns: now, for a read that brought nothing. sources: channel -> node id, of an OPC UA meter.
    """
    out = console()
    channels = found["channels"]
    times = {channel["time_ns"]: channel["round_trip_ms"] for channel in channels}
    when = local(max(times, default=time_ns), zone)
    title = f"{found['meter']} at {when}, {sum(times.values()):.1f} ms, not recorded 抄读"
    table = Grid("channel", figures("value"), "unit", words("doubts"), Col("raw", drop=1), title=title)
    notes = []
    for channel in channels:
        source = (sources or {}).get(channel["key"], "")
        said = _server_says(channel) if source else ""
        if said:
            notes.append(note(f"{channel['key']}: {said}, node id {source}", "yellow"))
        doubts = Text(said or flag_words(channel["flags"]), style="yellow")
        unit = "" if channel["unit"] == "1" else channel["unit"]
        table.add_row(channel["key"], number_text(channel["value"]), unit, doubts, channel["raw"])
    if channels:
        out.print(table)
    for line in notes:
        out.print(line)
    for error in found["errors"]:
        keys = ", ".join(error["keys"][:4]) + (
            f" and {more} more" if (more := len(error["keys"]) - 4) > 0 else ""
        )
        raw = f" (raw {error['raw']})" if error["raw"] else ""
        at = "" if channels else f"{when} "
        out.print(note(f"{at}not read: {keys}: {error['text']}{raw}", "red"))


def _server_says(channel: Mapping[str, Any]) -> str:
    """Return why an OPC UA server gave no good value, by the StatusCode's own name; "" if it says nothing."""
    raw = bytes.fromhex(channel["raw"])
    if len(raw) != UA_CODE.size or not channel["flags"] & (Flag.DEVICE | Flag.STALE):
        return ""
    from drivers.opcua.faults import status_name
    from drivers.opcua.slot import CODE

    code = UA_CODE.unpack(raw)[2] & CODE
    if not code:
        return "old" if channel["flags"] & Flag.STALE else "no number"
    return f"{'no value' if channel['value'] is None else 'doubted'}: {status_name(code)}"


def print_raw(found: Mapping[str, Any]) -> None:
    """Print raw registers."""
    out = console()
    title = f"{found['link']} unit {found['unit']} function {found['function']}, {found['round_trip_ms']:.1f} ms 原始数据"
    table = Grid("address", "hex", "raw", figures(found["type"]), title=title)
    for row in found["registers"]:
        value = "no number" if row["value"] is None else row["value"]
        table.add_row(str(row["address"]), f"0x{row['address']:04X}", row["raw"], value)
    out.print(table)
    if found["readings"]:
        more = Grid("as", "value", title="What these bytes may mean")
        for name, value in found["readings"].items():
            more.add_row(name, "no number" if value is None else value)
        out.print(more)


def print_identified(found: Mapping[str, Any]) -> None:
    """Print the raw bytes of one data identifier, and what they may mean."""
    title = (
        f"{found['link']} {found['address']} {found['protocol']}, {found['round_trip_ms']:.1f} ms 原始数据"
    )
    table = Grid("di", "as", "value", title=title)
    di = f"0x{found['di']:0{8 if found['protocol'] == 'dlt645' else 4}X}"
    table.add_row(di, "bytes, low first", found["raw"])
    for name, value in found["readings"].items():
        table.add_row("", name, "no number" if value is None else value)
    console().print(table)
    doubts = flag_words(found["flags"][0])
    if doubts:
        console().print(doubts, style="yellow")


def print_scan(found: Mapping[str, Any]) -> None:
    """Print who answered, what to know of it, and the tables for the site file."""
    out = console()
    who = "unit or address", words("answer"), figures("ms", drop=1)
    table = Grid(*who, Col("at", drop=2), "site file", "profile", title="Scan 扫描")
    for row in found["found"]:
        ms = "" if row["round_trip_ms"] is None else f"{row['round_trip_ms']:.1f}"
        style = "yellow" if row["how"] == "garbled" else ""
        profiles = "\n".join(row["profiles"][:3])
        table.add_row(
            str(row["address"]), row["text"], ms, row["settings"], row["meter"], profiles, style=style
        )
    if found["found"]:
        out.print(table)
    meters = sum(row["how"] != "garbled" for row in found["found"])
    short = "" if found["is_whole"] else ", stopped before the end"
    answered = f"{count(meters, 'meter')} answered {count(found['asked'], 'request')}{short}."
    out.print(answered, highlight=False)
    _say(found["remarks"], "yellow")
    if found["proposal"]:
        out.print("\nFor the site file 配置建议:\n", style="dim")
        out.print(found["proposal"], markup=False, highlight=False, soft_wrap=True)


def print_probe(found: Mapping[str, Any]) -> None:
    """Print those types that come near the best, with their reasons, and what can be said."""
    out = console()
    near = near_the_best(found["candidates"], found["best"], found["expected"])
    if near:
        out.print("Probe 识别", style="bold")
    for n, row in enumerate(near, 1):
        variant = f", variant {row['variant']}" if row["variant"] else ""
        head = f"{n}  {row['profile']}{variant}  ({row['maker']} {row['model']}), score {row['score']:g}"
        out.print(Text(head, overflow="fold"))
        for reason in row["reasons"]:
            out.print(note(reason, indent=4))
    others = len(found["candidates"]) - len(near)
    if others:
        come = "comes" if others == 1 else "come"
        text = f"{count(others, 'other type')} {come} less near; --json lists them all"
        out.print(text, style="dim", highlight=False)
    _say(found["diagnosis"], "cyan")
    _say([found["verdict"]], "bold")
    if not found["is_whole"]:
        out.print("Stopped before all types were looked at.", style="yellow")


def near_the_best(
    candidates: Sequence[Mapping[str, Any]], best: Sequence[str], expected: str
) -> list[Mapping[str, Any]]:
    """Return the candidates a person should look at: the best, what has most of their score, and the type expected."""
    least = NEAR * max((row["score"] for row in candidates), default=0.0)
    return [
        row
        for row in candidates
        if row["profile"] in {*best, expected} or (row["score"] > 0 and row["score"] >= least)
    ][:SHOWN_MAX]


def print_variables(found: Mapping[str, Any]) -> None:
    """Print the variables of an OPC UA server and what they may be."""
    out = console()
    what = words("path", drop=2), "node id", Col("type", drop=1), figures("value"), "unit"
    doubtful = any(row["status"] != "Good" for row in found["variables"])
    table = Grid(*what, *([words("status")] if doubtful else []), title="Variables 变量")
    for row in found["variables"]:
        status = [row["status"]] if doubtful else []
        table.add_row(
            "/".join(row["path"]), row["id"], row["type"], _value_text(row["value"]), row["unit"], *status
        )
    out.print(table)
    if not found["is_whole"]:
        out.print("There are more: name a node with --below to see a part whole.", style="yellow")
    if found["proposal"]:
        out.print("\nFor the site file, to be checked 配置建议:\n", style="dim")
        out.print(found["proposal"], markup=False, highlight=False, soft_wrap=True)


def _value_text(value: object) -> str:
    if value is None:
        return ""
    return number_text(value) if isinstance(value, float) else str(value)


def _say(lines: Sequence[str], style: str) -> None:
    for line in lines:
        console().print(Text(line, overflow="fold"), style=style)

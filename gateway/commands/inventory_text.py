"""What `metergate inventory` prints: tables for people, JSON for programs."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import TYPE_CHECKING, Any

import orjson

from gateway.clock import iso, local
from gateway.commands.grid import Col, Grid, note, words
from gateway.commands.options import one_of
from gateway.commands.plain import plain
from gateway.commands.tables import console
from gateway.inventory import terms
from gateway.inventory.sheet_words import CATEGORIES, STATUSES
from gateway.inventory.toml_text import toml_text
from gateway.inventory.validity import validity
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.inventory.changes import Change
    from gateway.inventory.model import Instrument, Inventory
    from gateway.inventory.revisions import Head

VALIDITY = {state: term.both for state, term in terms.VALIDITY.items()} | {"valid": "有效 valid"}
SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_TABLES = ("units", "equipment", "flows", "instruments")


def counts(inventory: Inventory) -> dict[str, int]:
    """Return how many of each there are."""
    return {name: len(getattr(inventory, name)) for name in _TABLES}


def body(inventory: Inventory) -> dict[str, Any]:
    """Return an inventory as plain JSON values, without what is the default."""
    return inventory.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def json_text(inventory: Inventory) -> str:
    """Return an inventory as a JSON file."""
    return orjson.dumps(body(inventory), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def as_json(inventory: Inventory, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return an inventory and where it is from."""
    return {**origin, "digest": inventory.digest, "inventory": body(inventory)}


def entry_text(inventory: Inventory, subject: str, *, as_json: bool) -> str:
    """Return what has an id, as TOML or JSON. Raises MetergateError that proposes the nearest."""
    found = {row.id: (name, row) for name in reversed(_TABLES) for row in getattr(inventory, name)}
    table, row = found[one_of(subject, found, "unit, equipment, flow or instrument")]
    if as_json:
        return orjson.dumps(
            {"table": table} | row.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        ).decode()
    alone = inventory.model_copy(update={name: (row,) if name == table else () for name in _TABLES})
    text = toml_text(alone)
    begin = text.index(f"[[{table}]]")
    ends = [at for name in ("losses", "staff", "stocks", "answers") if (at := text.find(f"\n[[{name}]]")) > 0]
    return plain(text[begin : min(ends, default=len(text))].rstrip(), keep="\n")


def print_inventory(inventory: Inventory, origin: Mapping[str, Any], now_ns: int, zone: str) -> None:
    """Print the organisation, counts, and each instrument as it stands today."""
    today = datetime.datetime.fromtimestamp(now_ns // NS, zoneinfo.ZoneInfo(zone)).date()
    revision = origin["revision"]
    source = f"revision {revision}" if revision else f"{origin['path']}, not applied 未生效"
    out = console()
    out.print(plain(f"{inventory.organization.name}: {source}"), markup=False, highlight=False)
    out.print(
        "  " + ", ".join(f"{number} {name}" for name, number in counts(inventory).items()), highlight=False
    )
    table = Grid(
        "instrument",
        words("name 名称", drop=4),
        words("category 类别", drop=2),
        Col(f"flows {terms.FLOW.zh}"),
        Col("meter 仪表", drop=3),
        Col("status 状态", drop=1),
        words("verification 检定", drop=6),
        Col("until 至", drop=5),
        title="Instruments 计量器具",
    )
    for one in inventory.instruments:
        table.add_row(*_instrument(one, today))
    out.print(table)
    out.print(f"digest {inventory.digest}", highlight=False)


def _instrument(one: Instrument, today: datetime.date) -> tuple[str, ...]:
    newest = one.verification(today)
    last = newest.last_day if newest is not None else None
    state = VALIDITY[validity(one, today)] if one.is_installed(today) else "拆除 removed"
    return (
        one.id,
        plain(one.name),
        CATEGORIES[one.category],
        "\n".join(one.flows) or "–",
        plain(one.meter) or "–",
        STATUSES[one.status],
        state,
        "–" if last is None else str(last),
    )


def revision_json(head: Head) -> dict[str, Any]:
    """Return a revision without its inventory as plain JSON values."""
    return {
        "revision": head.number,
        "applied": iso(head.applied_ns),
        "by": head.by,
        "why": head.why,
        "digest": head.digest,
        "previous": head.previous,
        "changes": list(head.changes),
    }


def print_log(heads: Sequence[Head], zone: str) -> None:
    """Print the applied revisions, newest last."""
    if not heads:
        console().print("No revision has been applied 尚无已生效的台账: metergate inventory apply")
        return
    table = Grid(
        "revision",
        Col("applied 时间"),
        words("by 批准人"),
        words("why 原因"),
        "changes",
        Col("digest", drop=1),
    )
    for head in heads:
        when = local(head.applied_ns, zone)[:19]
        row = (
            str(head.number),
            when,
            plain(head.by),
            plain(head.why),
            str(len(head.changes)),
            head.digest[:12],
        )
        table.add_row(*row)
    console().print(table)


def print_changes(changes: Sequence[Change]) -> None:
    """Print what was added +, removed - and changed ~."""
    out = console()
    if not changes:
        out.print("Nothing changed 无变化.")
    for change in changes:
        before, after = (
            None if change[key] is None else plain(_text(change[key])) for key in ("before", "after")
        )
        values = " → ".join(text for text in (before, after) if text is not None)
        out.print(note(f"{SIGNS[change['what']]} {change['path']}  {values}".rstrip(), indent=0))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()

"""What is served where, for a terminal."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from simulators.run import RunningSite

_IDS = ("meter", "link", "unit", "profile", "model")
_NAME_WIDTH = 10  # at least, with the line between


def print_tables(running: RunningSite, console: Console | None = None) -> None:
    """Print links and meters. Ids, addresses and ports are never cut or broken: a table is rather wider than the terminal."""
    console = Console() if console is None else console
    rows = running.table()
    has_names = any(row["name"] != row["meter"] for row in rows)
    links, ids = Table(title=running.plan.name), Table()
    for table, columns in ((links, ("link", "served at")), (ids, _IDS)):
        for column in columns:
            table.add_column(column, no_wrap=True, overflow="ignore")
    meters = copy.deepcopy(ids)
    if has_names:
        meters.add_column("name", overflow="fold")
    for link in running.links.values():
        links.add_row(Text(link.id), Text(link.url))
    for row in rows:
        named = [_cell(row[key]) for key in _IDS]
        ids.add_row(*named)
        meters.add_row(*named, *([_cell(row["name"])] if has_names else []))
    _print(console, links, _least(console, links))
    _print(console, meters, _least(console, ids) + has_names * _NAME_WIDTH)


def _cell(value: object) -> Text:
    return Text("" if value is None else str(value))


def _least(console: Console, table: Table) -> int:
    """Return the width below which something would be cut or broken."""
    return Measurement.get(console, console.options.update(max_width=1 << 16), table).minimum


def _print(console: Console, table: Table, least: int) -> None:
    wide = Console(file=console.file, width=least) if least > console.width else console
    wide.print(table, crop=False)

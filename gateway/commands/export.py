"""`metergate export`: the history as CSV or JSON lines, streamed, with exact decimals and times with their offset."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from gateway.commands.options import Config, config_path
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BOM = "\ufeff"
STDOUT = "-"
ADVANCE_EVERY = 1000
_PLAIN = frozenset({str, int, type(None)})  # written as they are


class What(StrEnum):
    """What can be exported."""

    INTERVALS = "intervals"
    TOTALS = "totals"
    EVENTS = "events"
    MANUAL = "manual"
    COMPLETENESS = "completeness"


def export(
    what: Annotated[What, typer.Argument(help="What of the history.")],
    out: Annotated[str, typer.Option(help="File to write, `-`: stdout.")],
    from_: Annotated[
        str, typer.Option("--from", help="First time, such as 2026-11-01 (the site's). Default: the oldest.")
    ] = "",
    to: Annotated[str, typer.Option("--to", help="Time up to which, itself excluded. Default: all.")] = "",
    meter: Annotated[list[str] | None, typer.Option(help="Only this meter; may be repeated.")] = None,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="Every revision. Default: the newest of each.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object a line instead of CSV.")] = False,
    bom: Annotated[bool, typer.Option("--bom", help="Mark the CSV as UTF-8, for Excel.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    config: Config = None,
) -> None:
    """Write intervals, totals, events, manual readings or completeness of the history into a file (导出).

    Beside a running gateway or without one: run it as the gateway's user or root. Amounts and readings are exact decimals,
    times have their offset, what is unknown is empty.
    """
    from gateway.commands.doubts import applied_marks
    from gateway.commands.export_rows import Asked, columns, rows
    from gateway.commands.history_file import opened, refuse_damage, scale
    from gateway.commands.meter_work import time_ns
    from gateway.config.site_file import load
    from gateway.derive.site_grid import grid_of
    from gateway.history.read import TIME_MAX

    if json and bom:
        raise typer.BadParameter("JSON has no byte order mark", param_hint="--bom")
    site = load(config_path(config))
    zone = site.site.timezone
    from_ns = time_ns(from_, zone, "--from") if from_ else 0
    to_ns = time_ns(to, zone, "--to") if to else TIME_MAX
    if from_ns >= to_ns:
        raise typer.BadParameter(f"{from_} is not before {to}", param_hint="--from")
    marks = applied_marks(site) if what is What.INTERVALS else None
    asked = Asked(from_ns, to_ns, set(meter) if meter else None, revisions, marks)
    with (
        opened(site) as store,
        _target(out, force=force) as target,
        scale(f"exporting {what} 导出") as advance,
    ):
        first_ns, last_ns = asked.bounds(store)
        found = rows(store, grid_of(site), what, asked)
        count = _write(target, columns(what), _watched(found, first_ns, last_ns, advance), json=json, bom=bom)
    if out != STDOUT:
        typer.echo(f"{count:,} rows in {out}", err=True)
    refuse_damage(len(store.unreadable))


def _watched(
    found: Iterator[tuple[int, dict[str, Any]]], first_ns: int, last_ns: int, advance: Any
) -> Iterator[dict[str, Any]]:
    """Yield the rows and say now and then how far they are."""
    for n, (at_ns, row) in enumerate(found):
        if n % ADVANCE_EVERY == 0:
            advance((at_ns - first_ns) / max(last_ns - first_ns, 1))
        yield row


def _write(
    target: TextIO, columns: Sequence[str], found: Iterator[dict[str, Any]], *, json: bool, bom: bool
) -> int:
    """Write rows as they come; return how many."""
    import csv

    import orjson

    count = 0
    if json:
        for row in found:
            target.write(orjson.dumps(row).decode() + "\n")
            count += 1
        return count
    if bom:
        target.write(BOM)
    table = csv.writer(target, lineterminator="\r\n")  # RFC 4180
    table.writerow(columns)
    for row in found:
        cells = map(row.__getitem__, columns)
        table.writerow([one if type(one) in _PLAIN else _cell(one) for one in cells])
        count += 1
    return count


def _cell(value: Any) -> Any:
    """Return a value as CSV has it: unknown is empty, yes and no are 1 and 0, what has parts is JSON."""
    import orjson

    if isinstance(value, bool):
        return int(value)
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


@contextmanager
def _target(out: str, *, force: bool) -> Iterator[TextIO]:
    """Yield where it is written to; a file appears whole or not at all. Raises MetergateError."""
    import os

    if out == STDOUT:
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(out)
    if path.exists() and not force:
        raise MetergateError(f"{path} is there already; --force writes over it")
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(path)
    except OSError as error:
        raise MetergateError(f"--out {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)

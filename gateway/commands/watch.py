"""`metergate watch`: what the feeds of a broker say, as they come: completeness, lateness, chains, shares."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.brokers import (
    PREFIX,
    Ca,
    Cert,
    KeyFile,
    PasswordFile,
    Prefix,
    Url,
    User,
    broker_of,
    prefix_of,
    tell,
    until_told,
)
from gateway.commands.loop import run
from gateway.commands.options import duration_s, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.regulator.broker import Broker
    from gateway.regulator.watching import Watcher

EVERY = "2s"


def watch(
    broker: Url,
    meters: Annotated[
        bool, typer.Option("--meters", help="A line a meter instead of a line a site.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
    duration: Annotated[str, typer.Option("--for", help="End after this long, such as 10s.")] = "",
    every: Annotated[str, typer.Option(help="Show it this often.")] = EVERY,
    keys: Annotated[
        Path | None,
        typer.Option(help="Folder of public keys. Default: each gateway's first birth is believed."),
    ] = None,
    prefix: Prefix = PREFIX,
    user: User = "",
    password_file: PasswordFile = None,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
) -> None:
    """Show how complete the sites on a broker are, as their feeds come, and whether their chains are whole; until Ctrl-C.

    Hour and day are those that the newest interval of a site ends; `newest` says how long ago that was. What was sent before
    the command began is not seen, but for what the broker retains. Exit code 1 if a chain is not whole.
    """
    from gateway.clock import SystemClock
    from gateway.regulator.key_folder import KeyFolder
    from gateway.regulator.watching import Watcher

    at = broker_of(broker, user, password_file, ca, cert, key_file)
    for_s = duration_s(duration, "--for") if duration else None
    every_s = duration_s(every, "--every")
    if every_s <= 0:
        raise typer.BadParameter("longer than nothing", param_hint="--every")
    trusted = None if keys is None else KeyFolder(keys, SystemClock()).bound()
    watcher = Watcher(prefix_of(prefix), trusted)
    show, end = _shower(watcher, meters=meters, as_json=json)
    try:
        run(_watch(at, watcher, prefix, show, every_s, for_s))
    finally:
        end()
    if watcher.found:
        raise typer.Exit(1)


async def _watch(
    broker: Broker,
    watcher: Watcher,
    prefix: str,
    show: Callable[[int], None],
    every_s: float,
    for_s: float | None,
) -> None:
    from gateway.clock import SystemClock
    from gateway.regulator.subscriber import Subscriber
    from gateway.regulator.watching import watch as follow

    clock = SystemClock()
    with until_told() as stop:
        async with Subscriber(broker, [f"{prefix}/#"], clock, told=tell) as subscriber:
            await follow(subscriber, watcher, clock, show, every_s=every_s, for_s=for_s, stop=stop)


def _shower(
    watcher: Watcher, *, meters: bool, as_json: bool
) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return what shows a report, and what ends the showing: a live table, or on what is no terminal the last one alone."""
    if as_json:
        return lambda now_ms: print_json({"t": now_ms} | watcher.report(now_ms, meters=meters)), lambda: None
    from rich.live import Live
    from rich.text import Text

    from gateway.commands.tables import console
    from gateway.commands.watch_table import LINES_BESIDE, meters_view, view

    screen = console()
    form = meters_view if meters else view
    if screen.is_terminal:
        live = Live(Text("waiting for the first messages 等待首批消息"), console=screen, auto_refresh=False)
        live.start()
        room = max(3, screen.height - LINES_BESIDE)
        return lambda now_ms: live.update(
            form(watcher.report(now_ms, meters=meters), room), refresh=True
        ), live.stop
    newest: list[int] = []

    def last() -> None:
        if newest:
            screen.print(form(watcher.report(newest[-1], meters=meters)))

    return newest.append, last

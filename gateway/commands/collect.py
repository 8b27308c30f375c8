"""`metergate collect`: the feeds of many sites from a broker into a database; as many collectors as it takes, side by side."""

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
    from gateway.interfaces import Clock
    from gateway.regulator.broker import Broker, Session
    from gateway.regulator.collecting import Collector, Database
    from gateway.regulator.key_folder import KeyFolder
    from gateway.regulator.subscriber import Subscriber

SESSION_MIN_S = 86_400


def collect(
    broker: Url,
    influx: Annotated[str, typer.Option(help="Base address of the database, such as http://127.0.0.1:8086.")],
    bucket: Annotated[str, typer.Option(help="Bucket to write to.")],
    token_file: Annotated[Path, typer.Option(help="File with the token alone.")],
    client_id: Annotated[
        str,
        typer.Option(help="Name of this collector at the broker: one of its own, and always the same."),
    ],
    org: Annotated[str, typer.Option(help="Organisation at the database.")] = "",
    group: Annotated[str, typer.Option(help="Collectors of one group share the messages.")] = "metergate",
    session: Annotated[
        str,
        typer.Option(help="How long the broker keeps messages while this collector is away; at least 1d."),
    ] = "2d",
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Folder of public keys: what none of them signed is counted, told and never written."
        ),
    ] = None,
    receive_max: Annotated[
        int, typer.Option(min=1, max=5000, help="Messages under way, and the most in one batch.")
    ] = 500,
    retire: Annotated[
        bool,
        typer.Option(
            "--retire",
            help="Take nothing new; carry what the broker kept for this collector, then give it up for good.",
        ),
    ] = False,
    every: Annotated[
        str, typer.Option(help="Figures this often, as JSON on stdout. Default: at the end alone.")
    ] = "",
    influx_ca: Annotated[
        Path | None, typer.Option(help="PEM of who signs the database's certificate. Default: the system's.")
    ] = None,
    prefix: Prefix = PREFIX,
    user: User = "",
    password_file: PasswordFile = None,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
) -> None:
    """Carry the feeds of many sites from a broker into InfluxDB, until Ctrl-C or SIGTERM.

    A message is acknowledged to the broker once the database has it. Several collectors with the same --group share the work;
    each needs a --client-id of its own, and keeps it: the broker then keeps its messages while it is away. Figures: one JSON
    object on stdout at the end.
    """
    from gateway.clock import SystemClock
    from gateway.regulator.key_folder import KeyFolder

    held = _session(client_id, group, duration_s(session, "--session"), receive_max, is_last=retire)
    every_s = duration_s(every, "--every") if every else None
    at = broker_of(broker, user, password_file, ca, cert, key_file)
    clock = SystemClock()
    trusted = None if keys is None else KeyFolder(keys, clock)
    database = _database(influx, org, bucket, token_file, influx_ca, clock)
    run(_collect(at, held, database, clock, prefix_of(prefix), group, trusted, every_s))


def _session(client_id: str, group: str, expiry_s: float, receive_max: int, *, is_last: bool) -> Session:
    from gateway.regulator.broker import CLIENT_ID, SESSION_MAX_S, Session

    for name, option in ((client_id, "--client-id"), (group, "--group")):
        if not CLIENT_ID.fullmatch(name):
            raise typer.BadParameter("1 to 64 of A-Z a-z 0-9 . _ -", param_hint=option)
    if not SESSION_MIN_S <= expiry_s <= SESSION_MAX_S:
        raise typer.BadParameter(
            "at least 1d: a day's outage must not cost a message", param_hint="--session"
        )
    return Session(client_id, int(expiry_s), receive_max, is_last)


def _database(url: str, org: str, bucket: str, token_file: Path, ca: Path | None, clock: Clock) -> Database:
    from urllib.parse import urlsplit

    from gateway.regulator.database import Lines
    from gateway.secret_files import read_secret
    from gateway.sinks.tls import TlsFiles

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or "@" in parts.netloc:
        raise typer.BadParameter("expected http://HOST:PORT or https://HOST:PORT", param_hint="--influx")
    return Lines(
        url=url,
        org=org,
        bucket=bucket,
        token=read_secret(token_file, "") or "",
        clock=clock,
        tls=TlsFiles(ca=ca),
    )


async def _collect(
    broker: Broker,
    session: Session,
    database: Database,
    clock: Clock,
    prefix: str,
    group: str,
    trusted: KeyFolder | None,
    every_s: float | None,
) -> None:
    import asyncio

    from gateway.regulator.collecting import Collector, filters
    from gateway.regulator.subscriber import Subscriber

    subscriber = Subscriber(broker, filters(prefix, group), clock, session=session, told=tell, patient=True)
    with until_told() as stop:
        async with subscriber:
            collector = Collector(subscriber, database, clock, prefix=prefix, trusted=trusted, told=tell)
            ticking = (
                None
                if every_s is None
                else asyncio.ensure_future(_tick(collector, subscriber, clock, every_s))
            )
            try:
                await (collector.run_out(stop) if session.is_last else collector.run(stop))
            finally:
                if ticking is not None:
                    ticking.cancel()
                    await asyncio.gather(ticking, return_exceptions=True)
                print_json(collector.done.body(subscriber))


async def _tick(collector: Collector, subscriber: Subscriber, clock: Clock, every_s: float) -> None:
    from gateway.clock import sleep_for

    while True:
        await sleep_for(clock, every_s)
        print_json(collector.done.body(subscriber))

"""`metergate record`: what a feed says, into a file that can be verified years later."""

from __future__ import annotations

import asyncio
import contextlib
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
from gateway.commands.options import duration_s

if TYPE_CHECKING:
    from gateway.regulator.broker import Broker, Session


def record(
    broker: Url,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to; appended to if it is there. `.gz` is compressed."),
    ],
    duration: Annotated[
        str, typer.Option("--for", help="Stop after this long, such as 1h. Default: until Ctrl-C or SIGTERM.")
    ] = "",
    client_id: Annotated[
        str,
        typer.Option(
            help="Name at the broker, one of its own and always the same: the broker keeps what is said meanwhile."
        ),
    ] = "",
    session: Annotated[
        str, typer.Option(help="With --client-id: how long the broker keeps it while the recorder is away.")
    ] = "2d",
    prefix: Prefix = PREFIX,
    user: User = "",
    password_file: PasswordFile = None,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
) -> None:
    """Record the feed of one or many sites, as it comes, for `metergate verify FILE`.

    With --client-id nothing is lost while the broker or the recorder is away: a message is acknowledged when it is on disk. Without, what
    is said meanwhile is not in the file: `metergate verify` names it, `metergate feed resend` brings it again.
    """
    held = _session(client_id, duration_s(session, "--session")) if client_id else None
    for_s = duration_s(duration, "--for") if duration else None
    at = broker_of(broker, user, password_file, ca, cert, key_file)
    count = run(_record(at, held, f"{prefix_of(prefix)}/#", file, for_s))
    tell(f"{count} messages in {file}")


def _session(client_id: str, expiry_s: float) -> Session:
    """Return what the broker is asked to keep. Raises BadParameter."""
    from gateway.regulator.broker import CLIENT_ID, SESSION_MAX_S, Session

    if not CLIENT_ID.fullmatch(client_id):
        raise typer.BadParameter("1 to 64 of A-Z a-z 0-9 . _ -", param_hint="--client-id")
    if not 1 <= expiry_s <= SESSION_MAX_S:
        raise typer.BadParameter("at least 1s", param_hint="--session")
    return Session(client_id, int(expiry_s))


async def _record(
    broker: Broker, session: Session | None, topics: str, file: Path, for_s: float | None
) -> int:
    """Return how many messages were written. Raises BrokerAway, MetergateError."""
    from gateway.clock import SystemClock
    from gateway.feed.recording import Writer
    from gateway.regulator.recorder import mend, record
    from gateway.regulator.subscriber import Subscriber

    if mended := mend(file):
        tell(mended)
    with until_told() as stop, Writer(file) as writer:
        async with Subscriber(broker, [topics], SystemClock(), session=session, told=tell) as subscriber:
            tell(f"recording {topics} of {broker.name} into {file}")
            writing = asyncio.create_task(record(subscriber, writer))
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({writing, waiting}, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
            for task in (writing, waiting):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            with contextlib.suppress(asyncio.CancelledError):
                await writing
    return writer.count

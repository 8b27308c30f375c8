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
    from gateway.regulator.broker import Broker


def record(
    broker: Url,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to; appended to if it is there. `.gz` is compressed."),
    ],
    duration: Annotated[
        str, typer.Option("--for", help="Stop after this long, such as 1h. Default: until Ctrl-C or SIGTERM.")
    ] = "",
    prefix: Prefix = PREFIX,
    user: User = "",
    password_file: PasswordFile = None,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
) -> None:
    """Record the feed of one or many sites, as it comes, for `metergate verify FILE`.

    What is said while the broker is away is not in the file: `metergate verify` names it, `metergate feed resend` brings it again.
    """
    for_s = duration_s(duration, "--for") if duration else None
    at = broker_of(broker, user, password_file, ca, cert, key_file)
    count = run(_record(at, f"{prefix_of(prefix)}/#", file, for_s))
    tell(f"{count} messages in {file}")


async def _record(broker: Broker, topics: str, file: Path, for_s: float | None) -> int:
    """Return how many messages were written. Raises BrokerAway, MetergateError."""
    from gateway.clock import SystemClock
    from gateway.feed.recording import Message, Writer
    from gateway.regulator.subscriber import Subscriber

    count = 0
    with until_told() as stop, Writer(file) as writer:
        async with Subscriber(broker, [topics], SystemClock(), told=tell) as subscriber:
            tell(f"recording {topics} of {broker.name} into {file}")

            async def write() -> None:
                nonlocal count
                async for message in subscriber.messages():
                    writer.write(Message(*message))
                    writer.flush()
                    count += 1

            writing = asyncio.create_task(write())
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({writing, waiting}, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
            for task in (writing, waiting):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            with contextlib.suppress(asyncio.CancelledError):
                await writing
    return count

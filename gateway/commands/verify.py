"""`metergate verify`: a feed, recorded or from a broker, held against its signatures and its chain."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.brokers import (
    PREFIX,
    Ca,
    Cert,
    KeyFile,
    PasswordFile,
    Prefix,
    User,
    broker_of,
    prefix_of,
    tell,
    until_told,
)
from gateway.commands.options import Json, duration_s, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.feed.keys import PublicKey
    from gateway.feed.recording import Reader
    from gateway.feed.verify import Verifier
    from gateway.regulator.broker import Broker

SHOWN_MAX = 40  # findings on a screen; --json has more
BAR_FROM_BYTES = 8 << 20  # a shorter recording is done before anybody wonders
BAR_EVERY = 500  # messages
KEY_BYTES_MAX = 64 << 10
SITE_LEVELS = 3  # REGION/ENTERPRISE/GATEWAY


def verify(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|BROKER", help="A recording (also .gz), or mqtt://HOST[:PORT], mqtts://…"
        ),
    ],
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SITE=]FILE",
            help="Public key from paper: JWK or PEM; may be repeated. SITE: REGION/ENTERPRISE/GATEWAY, for which alone it then speaks; "
            "give it where gateways of several enterprises share a name. Default: the feed's own first birth is believed, and the report "
            "says that its fingerprint must be compared.",
        ),
    ] = None,
    every_signature: Annotated[
        bool,
        typer.Option(
            "--every-signature",
            help="Look at each signature, also where the hash chain speaks for it; some ten times slower.",
        ),
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Hold every payload against the contract too.")
    ] = False,
    duration: Annotated[
        str, typer.Option("--for", help="Broker: end after this long, such as 60s. Default: until Ctrl-C.")
    ] = "",
    json: Json = False,
    prefix: Prefix = PREFIX,
    user: User = "",
    password_file: PasswordFile = None,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
) -> None:
    """Verify a feed without trusting the gateway: signatures, chain, order, revisions; names every message that does not fit.

    Exit code 0 if all fits (a notice is no finding), 1 if something does not or there is nothing to verify, 2 for wrong usage.
    """
    from gateway.feed.verify import Verifier

    verifier = Verifier(_keys(key or []), every_signature=every_signature, schema=schema)
    if "://" in source:
        for_s = duration_s(duration, "--for") if duration else None
        broker = broker_of(source, user, password_file, ca, cert, key_file)
        _listen(verifier, broker, prefix_of(prefix), for_s)
    else:
        _read(verifier, Path(source))
    report = verifier.report()
    if json:
        print_json(report)
    else:
        from gateway.commands.verify_text import text

        typer.echo(text(report, SHOWN_MAX))
    raise typer.Exit(0 if report["verified"] else 1)


def _keys(given: list[str]) -> list[PublicKey] | dict[str, list[PublicKey]]:
    """Return the keys of files, by site where sites are named. Raises BadParameter."""
    found: dict[str, list[PublicKey]] = {}
    for one in given:
        site, is_bound, file = one.partition("=")
        bound = bool(is_bound) and site.count("/") == SITE_LEVELS - 1 and not Path(one).is_file()
        found.setdefault(site if bound else "", []).extend(_load(Path(file if bound else one)))
    loose = found.get("", [])
    if loose and len(found) > 1:
        raise typer.BadParameter("give every key its SITE= or none", param_hint="--key")
    return found if found and not loose else loose


def _load(file: Path) -> list[PublicKey]:
    """Return the keys of a file. Raises BadParameter."""
    from gateway.feed.keys import KeyRefused, load_public

    try:
        with file.open("rb") as opened:
            return load_public(opened.read(KEY_BYTES_MAX))
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--key") from error
    except KeyRefused as error:
        raise typer.BadParameter(f"{file} {error}", param_hint="--key") from error


def _read(verifier: Verifier, file: Path) -> None:
    """Take a recording. Raises BadParameter, MetergateError."""
    from gateway.feed.recording import Message, Reader

    if not file.is_file():
        raise typer.BadParameter(f"{file}: there is no such file", param_hint="FILE")
    with Reader(file) as recording, _bar(recording) as advance:
        for number, found in recording:
            if isinstance(found, Message):
                verifier.feed(found.topic, found.retain, found.payload, line=number)
            else:
                verifier.spoiled(number, found.text, is_cut=found.is_cut)
            if number % BAR_EVERY == 0:
                advance()


@contextmanager
def _bar(recording: Reader) -> Iterator[Callable[[], None]]:
    """Yield what moves a progress bar on; there is one for a long file on a terminal."""
    if recording.size < BAR_FROM_BYTES or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("verifying 验证中"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=recording.size)
        yield lambda: progress.update(task, completed=recording.bytes_read)


def _listen(verifier: Verifier, broker: Broker, prefix: str, for_s: float | None) -> None:
    """Take what comes from a broker for a while. Raises BrokerAway."""
    from gateway.commands.loop import run

    run(_take(verifier, broker, prefix, for_s))


async def _take(verifier: Verifier, broker: Broker, prefix: str, for_s: float | None) -> None:
    import asyncio

    from gateway.clock import SystemClock
    from gateway.regulator.subscriber import Subscriber

    async def take(subscriber: Subscriber) -> None:
        async for message in subscriber.messages():
            verifier.feed(message.topic, message.retain, message.payload)

    with until_told() as stop:
        async with Subscriber(broker, [f"{prefix}/#"], SystemClock(), told=tell) as subscriber:
            tell(f"listening to {prefix}/# of {broker.name}" + ("" if for_s else "; Ctrl-C ends it"))
            taking = asyncio.create_task(take(subscriber))
            waiting = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({taking, waiting}, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    taking.result()  # only ends by a failure
            finally:
                for task in (taking, waiting):
                    task.cancel()
                await asyncio.gather(taking, waiting, return_exceptions=True)

"""What the commands that subscribe to a broker have in common: its options, and how they end."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.regulator.broker import Broker

Url = Annotated[str, typer.Argument(metavar="BROKER", help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT].")]
Prefix = Annotated[str, typer.Option(help="Topic levels before the region.")]
User = Annotated[str, typer.Option(help="User name at the broker.")]
PasswordFile = Annotated[Path | None, typer.Option(help="File with the password alone.")]
Ca = Annotated[
    Path | None, typer.Option(help="PEM of who signs the broker's certificate. Default: the system's.")
]
Cert = Annotated[Path | None, typer.Option(help="PEM of our own certificate, where the broker asks for one.")]
KeyFile = Annotated[Path | None, typer.Option(help="PEM of its private key.")]

PREFIX = "emc/v1"


def broker_of(
    url: str, user: str, password_file: Path | None, ca: Path | None, cert: Path | None, key_file: Path | None
) -> Broker:
    """Return the broker that the options name. Raises BadParameter, ConfigError."""
    from gateway.regulator.broker import Broker, BrokerAway
    from gateway.secret_files import read_secret
    from gateway.sinks.tls import TlsFiles

    if key_file is not None and cert is None:
        raise typer.BadParameter("belongs to --cert", param_hint="--key-file")
    password = read_secret(password_file, "")
    tls = TlsFiles(ca, cert, key_file) if ca or cert else None
    try:
        return Broker.of(url, user=user, password=password, tls=tls)
    except BrokerAway as error:
        raise typer.BadParameter(str(error), param_hint="BROKER") from None


def prefix_of(text: str) -> str:
    """Return topic levels. Raises BadParameter if they are none, or have wildcards."""
    if not text or set("+#\0") & set(text) or "" in text.split("/"):
        raise typer.BadParameter(f'"{text}" is no prefix such as {PREFIX}', param_hint="--prefix")
    return text


def tell(text: str) -> None:
    """Print a line to stderr; foreign text in it cannot steer the terminal."""
    sys.stderr.write(f"metergate: {plain(text)}\n")
    sys.stderr.flush()


@contextmanager
def until_told() -> Iterator[asyncio.Event]:
    """Yield an event that Ctrl-C or SIGTERM sets; a second one ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    numbers = signal.SIGINT, signal.SIGTERM

    def on_signal() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

"""`metergate events`: what happened, from the journal: of the running gateway, or of one that does not run."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import typer

from gateway.clock import SystemClock, local
from gateway.commands.bus_work import execute, politely
from gateway.commands.event_texts import KINDS, OFTEN, line
from gateway.commands.meter_work import in_options, time_ns
from gateway.commands.options import print_json
from gateway.config.site_file import load
from gateway.config.values import nearest
from gateway.control.history import History
from gateway.control.server import ask_async
from gateway.errors import MetergateError, StorageError
from gateway.journal.events import ReadOnly
from gateway.state_folder import state_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.config.models import Site

LAST = 50  # shown where neither a time nor a number is asked for
LOOK_S = 1.0  # --follow asks this often
GATEWAY = "gateway"


class Asked(NamedTuple):
    """What was asked for, as typed. last: 0: not said."""

    subject: str
    from_: str
    to: str
    kinds: list[str]
    last: int
    follow: bool


class Source(Protocol):
    """Where pages of events come from."""

    async def page(self, **request: Any) -> dict[str, Any]:
        """Return a page as the verb `events` does."""


class Live:
    """The running gateway."""

    def __init__(self, socket: Path) -> None:
        """socket: its control socket."""
        self._socket = socket

    async def page(self, **request: Any) -> dict[str, Any]:
        """Return a page. Raises ConnectionError, MetergateError."""
        try:
            found: dict[str, Any] = await ask_async(self._socket, "events", **request)
        except MetergateError as error:
            raise MetergateError(in_options(str(error))) from error
        return found


class Resting:
    """The journal of a gateway that does not run."""

    def __init__(self, store: ReadOnly) -> None:
        """store: its file."""
        self.oldest, self.following = store.oldest, store.following
        self._store = store
        self._history = History(self, SystemClock())

    async def look(self, work: Callable[[ReadOnly], Any]) -> Any:
        """Return what `work` reads of the file."""
        return work(self._store)

    async def page(self, **request: Any) -> dict[str, Any]:
        """Return a page. Raises BadRequest, StorageError."""
        return await self._history.answer(request)


def main(path: Path, asked: Asked, *, as_json: bool) -> None:
    """Print events, newest last. Raises MetergateError."""
    site = load(path)
    zone = site.site.timezone
    if asked.last < 0:
        raise typer.BadParameter("say how many, such as 20", param_hint="--last")
    request: dict[str, object] = {"kinds": [_kind(name) for name in asked.kinds] or None}
    request["without"] = None if asked.kinds else list(OFTEN)
    request["subjects"] = subjects(site, asked.subject) if asked.subject else None
    from_ns = request["from_ns"] = time_ns(asked.from_, zone, "--from") if asked.from_ else None
    to_ns = request["to_ns"] = time_ns(asked.to, zone, "--to") if asked.to else None
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        hint = f"{local(from_ns, zone)} is not before --to {local(to_ns, zone)}"
        raise typer.BadParameter(hint, param_hint="--from")

    def show(event: dict[str, Any]) -> None:
        if as_json:
            print_json(event)
        else:
            typer.echo(line(event, zone))

    count = execute(_run(site, asked, request, show))
    if not count and not as_json and not asked.follow:
        typer.echo(_nothing(site, asked))


def _kind(name: str) -> str:
    """Return a kind of event. Raises BadParameter that names the nearest, or those in which the word is, or all."""
    if name in KINDS:
        return name
    near = [kind for kind in KINDS if name in kind] or list(filter(None, [nearest(name, KINDS)]))
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(KINDS)}"
    raise typer.BadParameter(f'no kind of event "{name}"; {hint}', param_hint="--kind")


def subjects(site: Site, name: str) -> list[str]:
    """Return the subjects of events that a name stands for: a link is itself and its meters.

    A name that is not in the site file any more stands for itself: the journal is older than the file.
    """
    if name == GATEWAY:
        return [GATEWAY, site.gateway.id]
    meters = [meter.id for meter in site.meters if name in (meter.id, meter.link)]
    return [*dict.fromkeys((name, f"link {name}", f"sink {name}", *meters))]


def _nothing(site: Site, asked: Asked) -> str:
    known = [GATEWAY, *(link.id for link in site.links), *(meter.id for meter in site.meters)]
    if not asked.subject or asked.subject in known:
        return "No such event is in the journal."
    near = nearest(asked.subject, known)
    meant = f"; did you mean {near}?" if near else ""
    return f"No event of {asked.subject}, which the site file does not have either{meant}"


async def _run(
    site: Site, asked: Asked, request: dict[str, object], show: Callable[[dict[str, Any]], None]
) -> int:
    """Show what is asked for; return how many there were. Raises MetergateError."""
    live = Live(site.gateway.socket_path)
    last = asked.last or (0 if asked.from_ else LAST)
    try:
        first = await live.page(**request, back=bool(last))
    except ConnectionError as error:
        if asked.follow:
            raise MetergateError(f"{error}. --follow needs the running gateway") from error
        with _resting(site, error) as store:
            resting = Resting(store)
            first = await resting.page(**request, back=bool(last))
            return (await _shown(resting, request, first, last, show))[0]
    count, at = await _shown(live, request, first, last, show)
    if not asked.follow:
        return count
    with politely() as stop:
        while not stop.is_set():
            page = await live.page(**request, back=False, at=at)
            at = page["at"]
            for event in page["events"]:
                show(event)
            if page["is_end"]:
                await _pause(stop)
    return count


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_S):
            await stop.wait()
    except TimeoutError:
        return


async def _shown(
    source: Source,
    request: dict[str, object],
    page: dict[str, Any],
    last: int,
    show: Callable[[dict[str, Any]], None],
) -> tuple[int, int]:
    """Show the newest `last` events, or all if that is 0; return how many, and where newer ones will be."""
    count, damaged, following = 0, page["damaged"], page["following"]
    kept: list[dict[str, Any]] = []
    while True:
        events = page["events"]
        if last:
            kept = (events + kept)[-last:]
        else:
            for event in events:
                show(event)
            count += len(events)
        if page["is_end"] or len(kept) == last > 0:
            break
        page = await source.page(**request, back=bool(last), at=page["at"])
        damaged += page["damaged"]
    for event in kept:
        show(event)
    if damaged:
        typer.echo(f"{damaged} groups of the journal are damaged; their events are not shown.", err=True)
    return count + len(kept), following if last else page["at"]


@contextmanager
def _resting(site: Site, error: ConnectionError) -> Iterator[ReadOnly]:
    """Yield the journal's file, held so that no gateway begins meanwhile. Raises StorageError."""
    folder = site.gateway.state_dir
    file = folder / "journal.db"
    try:
        is_there = file.exists()
    except OSError as refused:
        raise StorageError(
            f"{folder}: {refused.strerror}; run it as the gateway's user or as root"
        ) from refused
    if not is_there:
        raise MetergateError(f"{error}. And there is no journal in {folder} yet")
    try:
        with state_lock(folder):
            store = ReadOnly(file)
            try:
                yield store
            finally:
                store.close()
    except StorageError as refused:
        if "is in use" not in str(refused):
            raise
        hint = "the gateway holds its state folder but does not answer; run this as its user or as root, or try again"
        raise MetergateError(f"{error}. {hint}") from refused

"""One way for commands to reach the meters of a link, whether a gateway runs or not.

While one runs, its link's owner does the work (`LiveBus`, through the control socket); nothing opens the link a second
time. While none runs, the link is opened here, under the lock of the state folder (`DirectBus`).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from gateway import assembly
from gateway.control.errands import ERRAND_MAX_S, Answer, Question, ask, browse_link, poll_meter, poll_of
from gateway.control.server import ask_async
from gateway.errors import DeviceError, LinkDown, MetergateError
from gateway.polling.errand_queue import Busy
from gateway.state_folder import state_lock
from gateway.targets import SiteDirectory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from gateway.config.links import LinkConfig
    from gateway.config.models import Site
    from gateway.interfaces import Clock, Link
    from gateway.polling.target import Target


class Bus(Protocol):
    """One link as a command sees it."""

    async def ask(self, question: Question) -> Answer:
        """Return the answer to one raw read. Raises DeviceError, LinkDown, Busy, BadRequest."""

    async def poll(self, meter: str) -> dict[str, Any]:
        """Return an extra read of a meter of the site file: {"meter", "channels", "errors"} (docs/specs/control.md).

        Raises LinkDown, Busy, BadRequest.
        """

    async def browse(self, below: str = "") -> dict[str, Any]:
        """Return the variables of an OPC UA server: {"variables", "is_whole"}. Raises LinkDown, Busy, BadRequest."""


class LiveBus:
    """A link of the running gateway."""

    def __init__(self, path: Path, link: str) -> None:
        """path: of the control socket."""
        self._path, self._link = path, link

    async def ask(self, question: Question) -> Answer:
        """Return the answer to one raw read. Raises DeviceError, LinkDown, Busy, MetergateError, ConnectionError."""
        answer = await self._do("ask", link=self._link, **question.to_request())
        flags = tuple(answer["flags"])
        return Answer(answer["time_ns"], bytes.fromhex(answer["raw"]), flags, answer["round_trip_ms"])

    async def poll(self, meter: str) -> dict[str, Any]:
        """Return an extra read of a meter. Raises LinkDown, Busy, MetergateError, ConnectionError."""
        return await self._do("poll", meter=meter)

    async def browse(self, below: str = "") -> dict[str, Any]:
        """Return the variables of an OPC UA server. Raises LinkDown, Busy, MetergateError, ConnectionError."""
        return await self._do("browse", link=self._link, below=below)

    async def _do(self, do: str, **parameters: object) -> dict[str, Any]:
        answer: dict[str, Any] = await ask_async(self._path, do, patience_s=ERRAND_MAX_S + 5, **parameters)
        if "error" in answer:
            raise _raised(answer["error"])
        return answer


def _raised(error: Mapping[str, Any]) -> MetergateError:
    """Return the error that the gateway met."""
    if error["reason"] == "link_down":
        return LinkDown(error["text"])
    if error["reason"] == "busy":
        return Busy(error["text"])
    raw = bytes.fromhex(error["raw"])
    return DeviceError(error["text"], reason=error["reason"], raw=raw, code=error["code"])


class DirectBus:
    """A link this process has opened itself."""

    def __init__(self, link: Link, targets: Sequence[Target], clock: Clock) -> None:
        """link: open. targets: of all meters on it."""
        self.link, self._clock = link, clock
        self._of_meter: dict[str, list[Target]] = {}
        for target in targets:
            self._of_meter.setdefault(target.meter, []).append(target)

    async def ask(self, question: Question) -> Answer:
        """Return the answer to one raw read. Raises DeviceError, LinkDown, BadRequest."""
        return await ask(self.link, poll_of(question), self._clock)

    async def poll(self, meter: str) -> dict[str, Any]:
        """Return one read of a meter. Raises LinkDown, MetergateError if it is not on this link."""
        targets = self._of_meter.get(meter)
        if targets is None:
            known = ", ".join(sorted(self._of_meter)) or "none"
            raise MetergateError(f'meter: no "{meter}" here; known: {known}')
        return {"meter": meter} | await poll_meter(self.link, targets, self._clock)

    async def browse(self, below: str = "") -> dict[str, Any]:
        """Return the variables of an OPC UA server. Raises LinkDown, BadRequest."""
        return await browse_link(self.link, below, self._clock)


@asynccontextmanager
async def offline(
    site: Site, link_id: str, clock: Clock, *, config: LinkConfig | None = None
) -> AsyncIterator[DirectBus]:
    """Hold the state folder and open a link while no gateway runs. Raises StorageError if one does, LinkDown.

    config: another description of the link than the site file's, such as another baud rate.
    """
    library = assembly.library(site)
    with state_lock(site.gateway.state_dir):
        directory = SiteDirectory(site.gateway.id, "", site.digest, assembly.meter_infos(site))
        targets = assembly.targets(site, library, directory, clock)[link_id]
        link = assembly.link(config or site.link(link_id), clock, site.gateway.state_dir)
        try:
            await link.open()
            yield DirectBus(link, targets, clock)
        finally:
            await link.close()


@asynccontextmanager
async def connect(site: Site, link_id: str, clock: Clock) -> AsyncIterator[Bus]:
    """Reach a link through the gateway if one runs, else directly. Raises StorageError, LinkDown, MetergateError."""
    path = site.gateway.socket_path
    try:
        await ask_async(path, "status")
    except ConnectionError:
        async with offline(site, link_id, clock) as direct:
            yield direct
    else:
        yield LiveBus(path, link_id)


@asynccontextmanager
async def standalone(config: LinkConfig, clock: Clock) -> AsyncIterator[DirectBus]:
    """Open a link that no site file names; whoever calls makes sure that no gateway has it. Raises LinkDown."""
    link = assembly.link(config, clock)
    try:
        await link.open()
        yield DirectBus(link, (), clock)
    finally:
        await link.close()

"""A plant that lives several times, each with a site file of its own, while a script acts on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from gateway.feed.verify import Verifier
from simulators.virtual import run
from tests.sim import site
from tests.sim.destination import FakeDestination
from tests.sim.plant import Plant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.app import Gateway
    from gateway.model import Event
    from tests.sim.plant import Plan, Result

    Edit = Callable[[str], str]
    Step = Callable[["Lives"], Awaitable[None] | None]


class Lives(Plant):
    """edits: of the site file, one a life; the last one stays. script: second -> what happens then."""

    gateway: Gateway

    def __init__(
        self, plan: Plan, folder: Path, edits: Sequence[Edit] = (str,), script: Mapping[float, Step] = {}
    ) -> None:
        super().__init__(plan, folder)
        self._edits, self._script = list(edits), script
        self._later: list[asyncio.Task[Any]] = []

    def _gateway(self) -> Gateway:
        edit = self._edits.pop(0) if len(self._edits) > 1 else self._edits[0]
        self.site, self._library = site.write(self.plan, self.folder, edit)
        for sink in self.site.sinks:
            if sink.kind == "feed" and sink.id not in self.result.destinations:
                self.result.destinations[sink.id] = FakeDestination(self.clock, [])
        own = self.site.site
        for destination in self.result.destinations.values():
            destination.root = f"emc/v1/{own.region}/{own.enterprise}/{self.site.gateway.id}"
        self.gateway = super()._gateway()
        return self.gateway

    async def run(self) -> Result:
        played = asyncio.create_task(self._play())
        result = await super().run()
        await played
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        return result

    def later(self, step: Step) -> None:
        """Have a step go on beside the script; it may never end."""

        async def go() -> None:
            done = step(self)
            if done is not None:
                await done

        self._later.append(asyncio.create_task(go()))

    async def _play(self) -> None:
        for at_s, step in sorted(self._script.items()):
            await self.clock.sleep_until(at_s)
            done = step(self)
            if done is not None:
                await done


def play(
    plan: Plan, folder: Path, edits: Sequence[Edit] = (str,), script: Mapping[float, Step] = {}
) -> Result:
    """Return what the lives led to."""

    async def main() -> Result:
        return await Lives(plan, folder, edits, script).run()

    with structlog.testing.capture_logs() as logs:
        result = run(main())
    result.logs = [dict(entry) for entry in logs]
    return result


def verified(destination: FakeDestination) -> dict[str, Any]:
    """Return what a receiver finds who was there from the start."""
    verifier = Verifier()
    for message in destination.messages:
        verifier.feed(message.topic, message.retain, message.payload)
    return verifier.report()


def told(events: Sequence[Event], kind: str) -> list[dict[str, Any]]:
    """Return the details of events of a kind."""
    return [dict(event.detail) for event in events if event.kind == kind]

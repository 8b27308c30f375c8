"""One outbox, one destination and its dispatcher, on virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from gateway.dispatch import Dispatcher
from gateway.health import SinkHealth
from simulators.virtual import VirtualClock
from tests.fakes.feed import START_NS
from tests.fakes.outbox import FakeDestination, FakeOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Rig:
    """told: events it noted."""

    def __init__(
        self, outbox: FakeOutbox | None = None, *, body: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        self.clock = VirtualClock(START_NS)
        self.outbox = outbox or FakeOutbox()
        self.destination = FakeDestination(self.clock)
        self.health = SinkHealth("feed")
        self.told: list[tuple[str, str, dict[str, object]]] = []
        self.more = more
        self.dispatcher = self.made(body)

    def made(self, body: Mapping[str, Any] | None) -> Dispatcher:
        return Dispatcher(
            "reg", self.destination, self.outbox, self.clock, self.health, body=body, notice=self.note,
            **({"first": 1} | self.more),
        )  # fmt: skip

    def note(self, kind: str, subject: str, /, **detail: object) -> None:
        self.told.append((kind, subject, detail))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[Any]]:
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(self.dispatcher.run())
            try:
                yield logs
                assert not task.done()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def signing(self, seconds: int, every_s: int = 1) -> None:
        for _ in range(seconds // every_s):
            self.outbox.add()
            await asyncio.sleep(every_s)

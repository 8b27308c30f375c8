"""A link whose peer does as it is told: breaks, drops what is idle, sends halves, is silent."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.errors import DeviceError, LinkDown
from gateway.model import Event, Frame
from simulators.fakes import fake_layout
from simulators.virtual import run
from tests.sim.plant import FakeTarget
from tests.unit.journal_rig import uncommitted
from tests.unit.test_poll import Line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.interfaces import Poll
    from gateway.model import Sample

PERIOD_S = 2.0
HOUR_S = 3600.5
FINE = ""


def meter(n: int) -> str:
    return f"m-{n:03d}"


class Plant(Line):
    """A link whose peer does as it is told: "cut" the connection, send "garbage", refuse, be "silent", or answer."""

    def __init__(self, folder: Path, meters: int, does: Callable[[Poll, float], str]) -> None:
        super().__init__(folder, meters, [], period_s=PERIOD_S)
        self._answer, self._does = self.link.read, does
        self._is_broken = False  # after half an answer: whoever is asked next meets it
        self.link.read = self._read  # type: ignore[method-assign]

    async def _read(self, poll: Poll) -> list[Sample]:
        if self._is_broken:
            self._is_broken = False
            await self._cut()
        what = self._does(poll, self.clock.monotonic())
        if what == "cut":
            await asyncio.sleep(0.003)
            await self._cut()
        if what == "half":
            self._is_broken = True
            raise DeviceError("half an answer", reason="garbage")
        if what == "silent":
            await asyncio.sleep(poll.timeout_s)
            raise DeviceError("no answer", reason="timeout")
        if what == "refuses":
            raise DeviceError("exception 2", reason="exception")
        return await self._answer(poll)

    async def _cut(self) -> None:
        await self.link.close()
        raise LinkDown("closed by the peer")

    def periods(self, *periods_s: float) -> None:
        """Give every meter these periods."""
        self.own(
            [
                FakeTarget(replace(poll, layout=fake_layout(poll.meter, 2, period_s)))
                for poll in self.polls
                for period_s in periods_s
            ]
        )

    def got(self) -> Counter[tuple[str, float]]:
        """Return (meter, period) -> frames."""
        frames = [r.layout for r in uncommitted(self.journal) if isinstance(r, Frame)]
        return Counter((layout.meter, layout.period_s) for layout in frames)

    def told(self) -> Counter[tuple[str, str]]:
        """Return (kind, subject) -> events."""
        return Counter((r.kind, r.subject) for r in uncommitted(self.journal) if isinstance(r, Event))


def played(
    folder: Path, meters: int, does: Callable[[Poll, float], str], until_s: float = 600.5, *periods_s: float
) -> Plant:
    async def main() -> Plant:
        plant = Plant(folder, meters, does)
        if periods_s:
            plant.periods(*periods_s)
        await plant.go(until_s)
        return plant

    plant: Plant = run(main())
    return plant

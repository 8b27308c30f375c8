"""A link with one simulated DL/T 645 or CJ/T 188 meter, read by the true drivers, without wires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drivers.cjt188.reader import Cjt188Reader
from drivers.dlt645.reader import Dlt645Reader
from gateway.control.errands import Answer, Question, ask, poll_of, question
from gateway.errors import DeviceError
from simulators.cjt188_station import Cjt188Station
from simulators.dlt645_station import Dlt645Station
from tests.unit.identified_rig import NOON_NS, FakeLine, HandClock, Notices, site_of

if TYPE_CHECKING:
    from drivers.lines.contract import Reader
    from gateway.interfaces import Link, Poll
    from gateway.model import Sample
    from simulators.station import Station


@dataclass
class StationBus:
    """Implements `gateway.commissioning.bus.Bus`. asked: every question."""

    station: Station
    clock: HandClock

    def __post_init__(self) -> None:
        self.line = FakeLine(self.station, self.clock)
        self.asked: list[Question] = []
        self._readers: dict[str, Reader] = {
            "dlt645": Dlt645Reader(self.line, self.clock, "hall", Notices()),
            "cjt188": Cjt188Reader(self.line, self.clock, "hall", Notices()),
        }

    async def read(self, poll: Poll) -> list[Sample]:
        if poll.protocol not in self._readers:
            raise DeviceError("no answer", reason="timeout")
        return await self._readers[poll.protocol].read(poll)

    async def ask(self, asked: Question) -> Answer:
        self.asked.append(asked)
        assert question(asked.to_request()) == asked, "it goes through the control socket unchanged"
        link: Link = self  # type: ignore[assignment]  # reads as a link does
        return await ask(link, poll_of(asked), self.clock)

    async def poll(self, meter: str) -> dict[str, Any]:
        raise NotImplementedError

    async def browse(self, below: str = "") -> dict[str, Any]:
        raise NotImplementedError


def dlt645_bus(address: str = "000012345678") -> tuple[StationBus, Dlt645Station]:
    """Return a line with one electricity meter."""
    clock = HandClock(NOON_NS)
    site = site_of("dlt645-2007", address, "electricity", NOON_NS)
    station = Dlt645Station(site, site.meters["m"], clock)
    return StationBus(station, clock), station


def cjt188_bus(
    profile: str = "cjt188-water", model: str = "water", variant: str = "", address: str = "33780011223344"
) -> tuple[StationBus, Cjt188Station]:
    """Return a line with one water, heat or gas meter."""
    clock = HandClock(NOON_NS)
    site = site_of(profile, address, model, NOON_NS, variant=variant)
    station = Cjt188Station(site, site.meters["m"], clock)
    return StationBus(station, clock), station

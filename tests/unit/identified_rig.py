"""Stations without a wire: a line that hands each request to one of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import profiles
from drivers.failures import NoAnswer
from gateway.errors import LinkDown
from gateway.interfaces import Poll
from gateway.model import ClockState
from simulators.plan import LinkPlan, MeterPlan, Plan
from simulators.site import Site

if TYPE_CHECKING:
    from drivers.lines.contract import LineAsk
    from simulators.station import Station

NOON_NS = 1_780_027_200_000_000_000  # 2026-05-29 12:00 in China
LIBRARY = profiles.Library([profiles.shipped_dir()])
POWER = {"power_kw": 20.0, "flow_m3_h": 30.0}


class HandClock:
    """Implements `Clock`; time passes when told."""

    def __init__(self, wall_ns: int = NOON_NS) -> None:
        self._start_ns, self.passed_s = wall_ns, 1000.0

    def wall_ns(self) -> int:
        return self._start_ns + round((self.passed_s - 1000.0) * 1e9)

    def monotonic(self) -> float:
        return self.passed_s

    async def sleep_until(self, monotonic_s: float) -> None:
        self.passed_s = max(self.passed_s, monotonic_s)

    def state(self) -> ClockState:
        return ClockState(synchronised=True, offset_s=0.0, max_error_s=0.001)


class FakeLine:
    """Implements `Line`. silent: requests are heard by nobody; deaf_to: those of this signature; down: the port is gone."""

    def __init__(self, station: Station, clock: HandClock) -> None:
        self.station, self.clock = station, clock
        self.silent = self.down = False
        self.deaf_to: object = None
        self.asks: list[LineAsk] = []

    async def ask(self, ask: LineAsk, timeout_s: float) -> tuple[int, bytes]:
        self.asks.append(ask)
        if self.down:
            raise LinkDown("unplugged")
        reply = None if self.silent or ask.signature == self.deaf_to else self.station.hear(ask.request)
        found = None if reply is None else ask.find(reply.frame)
        if reply is None or found is None:
            raise NoAnswer("no answer", discarded=0)
        return self.clock.wall_ns(), reply.frame[found.start : found.end]


class Notices(list[tuple[str, str, dict[str, object]]]):
    """Implements `Notice`; keeps what it is told."""

    def __call__(self, kind: str, subject: str, /, **detail: object) -> None:
        self.append((kind, subject, detail))

    def of(self, kind: str) -> list[dict[str, object]]:
        return [detail for found, _, detail in self if found == kind]


def site_of(profile: str, address: str, model: str, wall_ns: int, **more: object) -> Site:
    meter = MeterPlan("m", "hall", model, profile=profile, address=address, parameters=POWER, **more)  # type: ignore[arg-type]
    return Site(Plan("p", 1, (LinkPlan("hall", "serial"),), (meter,)), wall_ns)


def poll_of(name: str, address: str, keys: tuple[str, ...], period_s: float = 10.0) -> Poll:
    """Return a poll with ratios of 1 and, where a unit byte decides, the first unit of its map."""
    profile = LIBRARY.get(name)
    layout, sources = profiles.compile(profile, "m", period_s, keys, profiles.stand_ins(profile))
    return Poll("m", profile.protocol, address, layout, sources, 0.5, profile.settings())

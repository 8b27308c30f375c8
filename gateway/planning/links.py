"""What every link has to carry, computed before anything is started: requests, bytes, time, occupancy.

Occupancy of a link = Σ over its (meter, period) of time on the link / period. It follows from the profiles, the baud
rate and the gaps, and from two assumptions nobody can check without the meters: `Assumptions`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers import profiles
from drivers.modbus.plan import PlanError
from gateway.assembly import by_period
from gateway.config.links import OpcuaConfig
from gateway.config.meters import channel_overrides, limits_of
from gateway.config.summary import channels
from gateway.errors import Finding
from gateway.planning.wire_time import ESTIMATORS, Asking, Assumptions, Exchange, wire_of
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from drivers.profiles import Library
    from gateway.config.links import LinkConfig
    from gateway.config.models import MeterConfig, Site
    from gateway.planning.wire_time import Assumptions, Exchange, Wire

TIGHT = 0.80
"""Occupancy from which a link is called tight: repeats, dead meters and commands need the rest."""
FULL = 1.0


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """What one meter asks of its link at one period.

    exchanges: in order of sending; None: its protocol gives no figures. turn_s: extra silence before its first.
    """

    meter: str
    period_s: float
    keys: tuple[str, ...]
    counters: frozenset[str]
    exchanges: tuple[Exchange, ...] | None
    turn_s: float = 0.0

    @property
    def requests(self) -> int:
        """Return the requests of one poll."""
        return 1 if self.exchanges is None else len(self.exchanges)

    @property
    def size(self) -> int:
        """Return the bytes of one poll, both ways."""
        return sum(exchange.size for exchange in self.exchanges or ())

    @property
    def busy_s(self) -> float:
        """Return how long one poll takes the link."""
        return self.turn_s + sum(exchange.busy_s for exchange in self.exchanges or ())


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What a link has to carry. problems: meters that cannot be read at all."""

    link: LinkConfig
    targets: tuple[TargetPlan, ...]
    problems: tuple[Finding, ...] = ()

    @property
    def known(self) -> bool:
        """Return whether bytes and times of every meter are known."""
        return all(target.exchanges is not None for target in self.targets)

    @property
    def cycle_s(self) -> float:
        """Return after how long everything repeats: the least common multiple of the periods; 0 without meters."""
        return (
            math.lcm(*(round(1e6 * target.period_s) for target in self.targets)) / 1e6 if self.targets else 0
        )

    @property
    def requests(self) -> int:
        """Return the requests of one cycle."""
        return sum(target.requests * self.polls(target) for target in self.targets)

    @property
    def size(self) -> int | None:
        """Return the bytes of one cycle, both ways."""
        return sum(target.size * self.polls(target) for target in self.targets) if self.known else None

    @property
    def busy_s(self) -> float | None:
        """Return how long one cycle takes the link."""
        return sum(target.busy_s * self.polls(target) for target in self.targets) if self.known else None

    @property
    def occupancy(self) -> float | None:
        """Return the part of its time the link is taken, above 1 if it cannot keep up; None: not known."""
        return sum(target.busy_s / target.period_s for target in self.targets) if self.known else None

    @property
    def round_s(self) -> float:
        """Return how long it takes when everything is due together."""
        return sum(target.busy_s for target in self.targets)

    def polls(self, target: TargetPlan) -> int:
        """Return how often a target is polled in one cycle."""
        return round(self.cycle_s / target.period_s)


class Planner:
    """Plans links under the same assumptions; meters of one type are planned once."""

    def __init__(self, library: Library, assumed: Assumptions) -> None:
        """library: the profiles of the site."""
        self._library, self.assumed = library, assumed
        self._known: dict[Hashable, tuple[Exchange, ...] | PlanError] = {}

    def site(self, site: Site) -> dict[str, LinkPlan]:
        """Return link id -> its plan, in site-file order."""
        meters = [meter for meter in site.meters if meter.enabled]
        return {link.id: self.link(link, [m for m in meters if m.link == link.id]) for link in site.links}

    def link(self, link: LinkConfig, meters: Sequence[MeterConfig]) -> LinkPlan:
        """Return the plan of a link with these meters."""
        wire = wire_of(link, self.assumed)
        turn_s = wire.turnaround_s if len(meters) > 1 else 0.0
        targets: list[TargetPlan] = []
        refused: dict[tuple[str, str], list[str]] = {}
        for meter in meters:
            for period_s, keys in by_period(meter, channels(meter, self._library)).items():
                try:
                    targets.append(self._target(link, wire, meter, period_s, keys, turn_s))
                except PlanError as error:
                    refused.setdefault((meter.profile, str(error)), []).append(meter.id)
        return LinkPlan(link, tuple(targets), tuple(_unreadable(*key, ids) for key, ids in refused.items()))

    def _target(
        self,
        link: LinkConfig,
        wire: Wire,
        meter: MeterConfig,
        period_s: float,
        keys: tuple[str, ...],
        turn_s: float,
    ) -> TargetPlan:
        if isinstance(link, OpcuaConfig) or meter.variables:
            return TargetPlan(meter.id, period_s, keys, frozenset(), None)
        profile = self._library.get(meter.profile)
        counters = frozenset(k for k in keys if QUANTITIES[profile.channels[k].quantity].kind == "counter")
        exchanges = self._exchanges(wire, meter, keys)
        return TargetPlan(meter.id, period_s, keys, counters, exchanges, turn_s)

    def _exchanges(
        self, wire: Wire, meter: MeterConfig, keys: tuple[str, ...]
    ) -> tuple[Exchange, ...] | None:
        """Return what one poll asks, None if the protocol tells nothing. Raises PlanError."""
        profile = self._library.get(meter.profile)
        estimate = ESTIMATORS.get(profile.protocol)
        if estimate is None:
            return None
        delay_s = self.assumed.delay_s if wire.serial else self.assumed.round_trip_s
        if self.assumed.measured and meter.read.delay_s is not None:
            delay_s = meter.read.delay_s
        settings = limits_of(meter, profile)
        key = wire, profile.digest, meter.variant, keys, settings, delay_s
        found = self._known.get(key)
        if found is None:
            layout, sources = profiles.compile(
                profile,
                meter.id,
                meter.period_s,
                keys,
                profiles.stand_ins(profile),  # ratios scale values, they do not move registers
                channel_overrides(meter),
                meter.variant,
                meter.energy_kind,
            )
            asking = Asking(sources, layout, settings, wire, delay_s, rests_first=self.assumed.measured)
            try:
                found = tuple(estimate(asking))
            except PlanError as error:
                found = error
            self._known[key] = found
        if isinstance(found, PlanError):
            raise found
        return found


def _unreadable(profile: str, why: str, meters: Sequence[str]) -> Finding:
    more = f" (and {len(meters) - 1} more meters of {profile})" if len(meters) > 1 else ""
    return Finding(
        f"meters.{meters[0]}.channels",
        f"what profile {profile} cannot read{more}: {why}",
        "channels that fit the requests the meter allows",
        "leave the channel out, or correct the limits in [meters.read] or in the profile",
    )


def percent(part: float | None) -> str:
    """Return a part of one as people read it."""
    return "not known" if part is None else f"{100 * part:.1f} %"

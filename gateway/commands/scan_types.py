"""The meter types of what `metergate scan` found: with --probe by reading, of CJ/T 188 also by the type each meter tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drivers.identifiers import CjtSettings
from gateway.clock import SystemClock
from gateway.commands.probe_identified import ANSWER_WAIT_S
from gateway.commissioning.identified_reads import IdentifiedReads
from gateway.commissioning.probe import candidates, rank, verdict
from gateway.commissioning.probe_identified import (
    identified_candidates,
    rank_identified,
    trials_of,
    verdict_identified,
)
from gateway.commissioning.reads import MeterReads

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.profiles import Library
    from gateway.commissioning.bus import Bus
    from gateway.commissioning.probe import Candidate, Verdict
    from gateway.commissioning.scan import Answered, Scan

PROBE_WAIT_S = 0.5


@dataclass(slots=True)
class Types:
    """What the meters found are. profiles: address -> profile ids that fit, best first; variants: address -> of the first."""

    profiles: dict[object, tuple[str, ...]] = field(default_factory=dict)
    variants: dict[object, str] = field(default_factory=dict)

    def found(self, address: object, fitting: list[tuple[str, str]]) -> None:
        """Keep what a meter is: (profile, variant), best first."""
        self.profiles[address] = tuple(dict.fromkeys(name for name, _ in fitting))
        if fitting and fitting[0][1]:
            self.variants[address] = fitting[0][1]


def cjt188_meter_types(known: Library) -> tuple[int, ...]:
    """Return the bytes T of all meter types there are profiles for."""
    return tuple(dict.fromkeys(meter_type for meter_type, _, _ in _told(known)))


def _told(known: Library) -> list[tuple[int, str, str]]:
    """Return (byte T, profile, variant) of all CJ/T 188 profiles."""
    trials = trials_of(identified_candidates(known, "cjt188"))
    return [
        (trial.settings.meter_type, trial.profile.id, trial.variant)
        for trial in trials
        if isinstance(trial.settings, CjtSettings)
    ]


def tell_by_type(found: Scan, known: Library, types: Types) -> None:
    """Keep the profiles of CJ/T 188 meters that told their type."""
    for one in found.meters():
        if one.meter_type is not None and one.address not in types.profiles:
            types.found(one.address, [(p, v) for t, p, v in _told(known) if t == one.meter_type])


async def probe_found(
    bus: Bus,
    found: Scan,
    known: Library,
    types: Types,
    told: Callable[[], None],
    stopped: Callable[[], bool],
    timeout_s: float,
) -> None:
    """Probe every meter found. told: after each. Raises LinkDown, Busy."""
    for one in found.meters():
        if stopped():
            found.is_whole = False
            return
        is_whole = await _probe(bus, one, known, types, stopped, timeout_s)
        found.is_whole = found.is_whole and is_whole
        told()


async def _probe(
    bus: Bus, one: Answered, known: Library, types: Types, stopped: Callable[[], bool], timeout_s: float
) -> bool:
    """Keep what fits one meter and return whether all was looked at."""
    said: Verdict
    ranked: list[Candidate]
    if isinstance(one.address, int):
        registers = MeterReads(
            bus, one.address, SystemClock(), timeout_s=max(timeout_s, PROBE_WAIT_S), stopped=stopped
        )
        ranked, is_whole = await rank(registers, candidates(known))
        said = verdict(ranked, registers)
    else:
        wait_s = max(timeout_s, ANSWER_WAIT_S)
        reads = IdentifiedReads(
            bus, one.protocol, one.address, SystemClock(), timeout_s=wait_s, stopped=stopped
        )
        ranked, is_whole = await rank_identified(reads, trials_of(identified_candidates(known, one.protocol)))
        said = verdict_identified(ranked, reads)
    best = said.best if said.outcome in {"one", "several"} else ()
    types.found(one.address, [(c.profile, c.variant) for c in ranked if c.profile in best and c.speaks])
    return is_whole

"""A sample of the instruments on site, by level and energy kind, that anyone can draw again. Pure.

The order within a stratum is that of SHA-256 over "<seed>:<id>": no generator of a programming language is needed to check it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import MetergateError
from gateway.fitting.plant import Plant
from gateway.inspection.model import Chosen

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date

    from gateway.inventory.model import Instrument, Inventory


class Sample(NamedTuple):
    """What was drawn, out of how many."""

    chosen: tuple[Chosen, ...]
    population: int


def draw(
    inventory: Inventory,
    served: Mapping[str, Collection[int]],
    seed: str,
    size: int,
    on: date,
    levels: Collection[int] = (),
    energy_kinds: Collection[str] = (),
) -> Sample:
    """Return a sample of the instruments in their place on a day: shares of the strata by their size, one of each at least.

    served: instrument -> levels of the judged needs its flows meet (gateway.fitting.served); its level is the lowest of them, and
    where there is none that of its flow by its place. size: at most so many. Raises MetergateError if there is nothing to draw from.
    """
    strata: dict[tuple[int, str], list[str]] = defaultdict(list)
    plant = Plant(inventory, on)
    for instrument in inventory.instruments:
        stratum = _stratum(instrument, plant, served.get(instrument.id, ()))
        if not instrument.is_installed(on) or instrument.role in {"portable", "spare"}:
            continue
        if (not levels or stratum[0] in levels) and (not energy_kinds or stratum[1] in energy_kinds):
            strata[stratum].append(instrument.id)
    population = sum(map(len, strata.values()))
    if not population:
        raise MetergateError("no instrument in its place is of these levels and energy kinds")
    shares = allotted({stratum: len(ids) for stratum, ids in strata.items()}, min(size, population))
    chosen = [
        Chosen(instrument=id_, level=stratum[0], energy_kind=stratum[1])
        for stratum in sorted(strata)
        for id_ in sorted(strata[stratum], key=lambda id_: _rank(seed, id_))[: shares[stratum]]
    ]
    return Sample(tuple(chosen), population)


def allotted(strata: Mapping[tuple[int, str], int], size: int) -> dict[tuple[int, str], int]:
    """Return how many are drawn of each stratum: one of each while there are any, the rest by largest remainders.

    Levels nearer to the boundary come first where there is not one for each.
    """
    order = sorted(strata)
    shares = {stratum: int(i < size) for i, stratum in enumerate(order)}
    rest = size - sum(shares.values())
    open_ = sum(strata.values()) - len(order)
    if rest <= 0 or open_ <= 0:
        return shares
    exact = {stratum: (strata[stratum] - 1) * rest for stratum in order}
    for stratum in order:
        shares[stratum] += exact[stratum] // open_
    left = size - sum(shares.values())
    for stratum in sorted(order, key=lambda one: (-(exact[one] % open_), one))[:left]:
        shares[stratum] += 1
    return shares


def _rank(seed: str, id_: str) -> str:
    return hashlib.sha256(f"{seed}:{id_}".encode()).hexdigest()


def _stratum(instrument: Instrument, plant: Plant, served: Collection[int]) -> tuple[int, str]:
    """Return level and kind of an instrument: of its flow nearest to the boundary; (0, "") if it measures none."""
    own = [plant.flows[id_] for id_ in instrument.flows if id_ in plant.flows]
    level, kind = min(((plant.level_of(flow), flow.energy_kind) for flow in own), default=(0, ""))
    return min(served, default=level), kind

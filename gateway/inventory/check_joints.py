"""Whether one instrument can measure several flows: only if they join end to end and nothing branches off between. Pure."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from gateway.errors import Finding
from gateway.inventory.model import OUTSIDE
from gateway.inventory.takers import Takers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.draft import Entry
    from gateway.inventory.model import Equipment, Flow, Unit

EXPECTED = "flows that join end to end, with nothing branching off or joining between"
NAMED_MAX = 5


class Joints:
    """The flows that meet at each place, by energy kind; those that are disconnected carry nothing."""

    def __init__(
        self,
        flows: Sequence[Entry[Flow]],
        equipment: Sequence[Entry[Equipment]],
        units: Sequence[Entry[Unit]],
    ) -> None:
        """equipment: flows end there, since what goes in is used there."""
        self._equipment = {str(one.body.get("id")) for one in equipment}
        self._equipment -= {str(one.body.get("id")) for one in units}  # an id used twice is told of itself
        self._takers = _takers(flows, equipment, units)
        self._entering: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._leaving: dict[tuple[str, str], list[str]] = defaultdict(list)
        for entry in flows:
            flow = entry.value
            if flow is not None and flow.state != "disconnected":
                self._entering[flow.to_end, flow.energy_kind].append(flow.id)
                self._leaving[flow.from_end, flow.energy_kind].append(flow.id)

    def findings(self, path: str, flows: Sequence[Flow], ends: set[str]) -> Iterator[Finding]:
        """Yield why one instrument cannot measure these flows of one energy kind. ends: ids of units and equipment there are."""
        if any(
            end not in ends and end not in {OUTSIDE, "organization"} for flow in flows for end in flow.ends
        ):
            return  # the flow itself is told
        places = _joints(flows)
        if places is None:
            yield Finding(
                path, ", ".join(flow.id for flow in flows), EXPECTED, "give each its own instrument"
            )
            return
        own = {flow.id for flow in flows}
        for place in places:
            if place in self._equipment:
                found = f"{place} between them, which uses what it takes"
                yield Finding(path, found, EXPECTED, "give each its own instrument")
                continue
            kind = flows[0].energy_kind
            others = [
                one for one in (*self._entering[place, kind], *self._leaving[place, kind]) if one not in own
            ]
            if others:
                more = " …" if len(others) > NAMED_MAX else ""
                named = ", ".join(others[:NAMED_MAX]) + more
                hint = "give each its own instrument, or mark what carries nothing as disconnected"
                yield Finding(path, f"{named} at {place} too", EXPECTED, hint)
            elif unseen := list(islice(self._takers.hidden(place, kind), NAMED_MAX + 1)):
                more = " …" if len(unseen) > NAMED_MAX else ""
                found = f"{', '.join(unseen[:NAMED_MAX]) + more} at {place}, which takes {kind} by no flow of the inventory"
                yield Finding(
                    path, found, EXPECTED, "enter the flow that brings it, or give each its own instrument"
                )


def _takers(
    flows: Sequence[Entry[Flow]], equipment: Sequence[Entry[Equipment]], units: Sequence[Entry[Unit]]
) -> Takers:
    """Return who takes something unseen; nobody while a flow is not read, as it may be the one that leads there."""
    if any(entry.value is None or {"to", "energy_kind"} & entry.doubtful for entry in flows):
        return Takers((), (), frozenset())
    return Takers(
        [entry.value for entry in units if entry.value is not None],
        [entry.value for entry in equipment if entry.value is not None],
        {(entry.value.to_end, entry.value.energy_kind) for entry in flows if entry.value is not None},
    )


def _joints(flows: Sequence[Flow]) -> list[str] | None:
    """Return the places at which flows join one after another, None if they make no single line."""
    by_start = {flow.from_end: flow for flow in flows if flow.from_end != OUTSIDE}
    arrivals = {flow.to_end for flow in flows}
    first = [flow for flow in flows if flow.from_end == OUTSIDE or flow.from_end not in arrivals]
    if len(first) != 1:
        return None
    line = first[0]
    places: list[str] = []
    while line.to_end in by_start and len(places) < len(flows):
        places.append(line.to_end)
        line = by_start[line.to_end]
    return places if len(places) == len(flows) - 1 else None

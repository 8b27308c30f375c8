"""An inventory as the engine walks it: who lies inside whom, and which flows cross whose boundary. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.inventory import terms
from gateway.inventory.model import ORGANIZATION, OUTSIDE

if TYPE_CHECKING:
    from datetime import date

    from gateway.inventory.model import Equipment, Flow, Instrument, Inventory, Unit

Crossing = dict[tuple[str, str], list["Flow"]]
"""(id of a unit or equipment, energy kind) -> flows, in the order of the inventory."""
_ENDS_ZH = {OUTSIDE: terms.OUTSIDE.zh, ORGANIZATION: terms.ORGANIZATION.zh}


class Plant:
    """A checked inventory on one day, indexed.

    live: flows in use or hot standby. inflows, outflows: live flows over the boundary of a unit or a piece of equipment.
    crossing: both, whatever the kind.
    produced: live flows from equipment inside a unit that brings energy forth or recovers it. ever_into: equipment and kinds
    that any flow leads to, also a disconnected one. ever_over: units and kinds that any flow crosses the boundary of.
    """

    def __init__(self, inventory: Inventory, on: date) -> None:
        """on: the day the plant is looked at."""
        self.inventory = inventory
        self.on = on
        self.units: dict[str, Unit] = {unit.id: unit for unit in inventory.units}
        self.equipment: dict[str, Equipment] = {one.id: one for one in inventory.equipment}
        self.flows: dict[str, Flow] = {flow.id: flow for flow in inventory.flows}
        self.instruments: dict[str, Instrument] = {one.id: one for one in inventory.instruments}
        self.live: list[Flow] = [flow for flow in inventory.flows if flow.state != "disconnected"]
        self.inflows: Crossing = defaultdict(list)
        self.outflows: Crossing = defaultdict(list)
        self.produced: Crossing = defaultdict(list)
        self.crossing: dict[str, list[Flow]] = defaultdict(list)
        self.ever_into: set[tuple[str, str]] = {(flow.to_end, flow.energy_kind) for flow in inventory.flows}
        self.ever_over: set[tuple[str, str]] = set()
        self._around: dict[str, tuple[str, ...]] = {}
        self.inside: dict[str, list[Equipment]] = defaultdict(list)
        self._index()

    def _index(self) -> None:
        for flow in self.live:
            begins, ends = self.around(flow.from_end), self.around(flow.to_end)
            inside_begin, inside_end = set(begins), set(ends)
            for unit in ends:
                if unit not in inside_begin:
                    self.inflows[unit, flow.energy_kind].append(flow)
                    self.crossing[unit].append(flow)
            for unit in begins:
                if unit not in inside_end:
                    self.outflows[unit, flow.energy_kind].append(flow)
                    self.crossing[unit].append(flow)
                if flow.from_end in self.equipment and flow.origin != "bought":
                    self.produced[unit, flow.energy_kind].append(flow)
        for flow in self.inventory.flows:
            crossed = set(self.around(flow.from_end)) ^ set(self.around(flow.to_end))
            self.ever_over |= {(one, flow.energy_kind) for one in crossed}
        for one in self.inventory.equipment:
            for unit in self.around(one.id)[1:]:
                self.inside[unit].append(one)

    def around(self, end: str) -> tuple[str, ...]:
        """Return an end itself, if it is a unit or equipment, and every unit around it, the innermost first."""
        found = self._around.get(end)
        if found is None:
            found = self._around[end] = tuple(self._climb(end))
        return found

    def _climb(self, end: str) -> list[str]:
        if end in self.equipment:
            return [end, *self.around(self.equipment[end].unit)]
        climbed: dict[str, None] = {}
        while end in self.units and end not in climbed:
            climbed[end] = None
            end = self.units[end].parent
        return list(climbed)

    def process_units(self, equipment: str) -> list[str]:
        """Return the process units around a piece of equipment, the innermost first, up to the accounting unit it belongs to."""
        found: list[str] = []
        for unit in self.around(equipment)[1:]:
            if self.units[unit].role == "accounting":
                break
            found.append(unit)
        return found

    def level_of(self, flow: Flow) -> int:
        """Return the level a flow belongs to by its place alone: 1 over the boundary, 3 into equipment, else 2."""
        if (flow.from_end == OUTSIDE) != (flow.to_end == OUTSIDE):
            return 1
        return 3 if flow.to_end in self.equipment else 2

    def is_outward(self, flow: str) -> bool:
        """Return whether a flow leaves the organisation."""
        known = self.flows.get(flow)
        return known is not None and known.to_end == OUTSIDE

    def name(self, end: str) -> str:
        """Return what people call a place, with its id."""
        named: Unit | Equipment | None = self.units.get(end) or self.equipment.get(end)
        return end if named is None or named.name == end else f"{named.name} ({end})"

    def name_zh(self, end: str) -> str:
        """Return what people call a place in Chinese texts: 外部, 用能单位, else its name with its id."""
        return _ENDS_ZH.get(end) or self.name(end)

    def route(self, flow: str) -> str:
        """Return where a flow comes from and goes to, for people; for equipment without a flow its own name."""
        known = self.flows.get(flow)
        if known is None:
            return self.name(flow.partition(":")[0])
        return f"{self.name(known.from_end)} → {self.name(known.to_end)}"

    def route_zh(self, flow: str) -> str:
        """Return the same for Chinese texts."""
        known = self.flows.get(flow)
        if known is None:
            return self.name_zh(flow.partition(":")[0])
        return f"{self.name_zh(known.from_end)} → {self.name_zh(known.to_end)}"

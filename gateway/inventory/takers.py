"""Who takes an energy kind at a place although no flow of the inventory leads there. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.inventory.model import ORGANIZATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

    from gateway.inventory.model import Equipment, Unit


class Takers:
    """Units and equipment by where they stand, and to which of them flows lead."""

    def __init__(
        self, units: Iterable[Unit], equipment: Iterable[Equipment], entered: Set[tuple[str, str]]
    ) -> None:
        """entered: (id, energy kind) of each end a flow leads to."""
        self._entered = entered
        self._machines: dict[str, list[Equipment]] = defaultdict(list)
        self._parts: dict[str, list[Unit]] = defaultdict(list)
        for machine in equipment:
            self._machines[machine.unit or ORGANIZATION].append(machine)
        for unit in units:
            self._parts[unit.parent or ORGANIZATION].append(unit)

    def hidden(self, place: str, kind: str) -> Iterator[str]:
        """Yield the machines and parts of a place that state an amount of a kind which no flow brings them."""
        waiting, seen = [place], {place}
        while waiting:
            inside = waiting.pop(0)
            for machine in self._machines.get(inside, ()):
                if self._takes(machine, kind):
                    yield machine.id
            for unit in self._parts.get(inside, ()):
                if (unit.id, kind) in self._entered or unit.id in seen:
                    continue
                seen.add(unit.id)  # an inventory under check may have a ring of units
                if self._takes(unit, kind):
                    yield unit.id
                else:
                    waiting.append(unit.id)

    def _takes(self, one: Unit | Equipment, kind: str) -> bool:
        return (one.id, kind) not in self._entered and any(own.energy_kind == kind for own in one.amounts)

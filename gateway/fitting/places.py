"""An inventory by the places where flows meet: what arrives, what leaves, what is used there unseen. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.fitting.grounds import Words, kind_name
from gateway.inventory.model import ORGANIZATION
from gateway.inventory.takers import Takers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.inventory.model import Flow, Inventory


class Places:
    """An inventory by its places: what arrives, what leaves, who belongs where."""

    def __init__(self, inventory: Inventory) -> None:
        """Look up ends, members and losses once."""
        self._ins: dict[str, dict[str, list[Flow]]] = {}
        self._outs: dict[str, dict[str, list[Flow]]] = {}
        for flow in inventory.flows:
            self._ins.setdefault(flow.to_end, {}).setdefault(flow.energy_kind, []).append(flow)
            self._outs.setdefault(flow.from_end, {}).setdefault(flow.energy_kind, []).append(flow)
        self._equipment = {one.id: one for one in inventory.equipment}
        self._units = {one.id: one for one in inventory.units}
        entered = {(flow.to_end, flow.energy_kind) for flow in inventory.flows}
        self._takers = Takers(inventory.units, inventory.equipment, entered)
        self._losses: dict[tuple[str, str], Decimal] = {}
        for loss in inventory.losses:
            key = loss.unit or ORGANIZATION, loss.energy_kind
            self._losses[key] = self._losses.get(key, Decimal(0)) + Decimal(loss.percent)

    def passing(self, place: str) -> list[str]:
        """Return the kinds that both arrive at a place and leave it."""
        leaving = self._outs.get(place, {})
        return [kind for kind in self._ins.get(place, {}) if kind in leaving]

    def ins(self, place: str, kind: str) -> list[Flow]:
        """Return what arrives."""
        return self._ins.get(place, {}).get(kind, [])

    def outs(self, place: str, kind: str) -> list[Flow]:
        """Return what leaves."""
        return self._outs.get(place, {}).get(kind, [])

    def loss_percent(self, place: str, kind: str) -> Decimal:
        """Return the declared loss, percent of the intake."""
        return self._losses.get((place, kind), Decimal(0))

    def unseen(self, place: str, kind: str) -> Iterable[Words]:
        """Yield why flows do not show all of a kind that is used at a place."""
        if place in self._equipment:
            yield from self._converting(place, kind)
            return
        zh = kind_name(kind).zh
        for name in self._takers.hidden(place, kind):
            yield Words(f"{name} takes {kind} by no flow of the inventory", f"台账无 {name} 输入{zh}的流向")
        if place in self._units and not self._joins_own(place, kind):
            yield Words(
                f"what {place} uses of {kind} itself is shown by no flow: all of it comes from elsewhere and goes elsewhere",
                f"无流向表明 {place} 自用的{zh}: 全部来自别处、去往别处",
            )

    def _converting(self, place: str, kind: str) -> Iterable[Words]:
        """Yield why a machine does more with a kind than pass it on."""
        machine = self._equipment[place]
        taken = {*self._ins.get(place, {}), *(one.energy_kind for one in machine.amounts)} - {kind}
        given = {*self._outs.get(place, {})} - {kind}
        if taken or given:
            others = sorted(taken | given)
            yield Words(
                f"{place} also takes or gives {', '.join(others)}: one kind may turn into another, which no balance sees",
                f"{place} 还输入或输出{'、'.join(kind_name(one).zh for one in others)}: 能源可能相互转换, 平衡无从反映",
            )

    def _joins_own(self, place: str, kind: str) -> bool:
        """Return whether a flow of a kind joins a unit with its own machines or parts: what it passes on is shown by flows."""
        ends = [flow.to_end for flow in self.outs(place, kind)]
        ends += [flow.from_end for flow in self.ins(place, kind)]
        return any(self._is_within(end, place) for end in ends)

    def _is_within(self, end: str, place: str) -> bool:
        seen: set[str] = set()
        above = self._above(end)
        while above and above not in seen:
            if above == place:
                return True
            seen.add(above)
            above = self._above(above)
        return False

    def _above(self, end: str) -> str:
        if end in self._equipment:
            return self._equipment[end].unit
        return self._units[end].parent if end in self._units else ""

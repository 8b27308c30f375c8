"""What the network diagrams of an energy kind show: boxes, flows between them and their marks, split where it is too much. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.inventory.model import ORGANIZATION, OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.fitting.outcome import Judged, Outcome, Row, Standing

FLOWS_MAX = 40
"""In one diagram; more are split by unit."""
GIVING_RANK = 2
"""Of equipment that gives on what it takes, such as a water softener: as early as its flows allow."""
MARKS = (
    "good",
    "silent",
    "expired",
    "nonconforming",
    "unfit",
    "missing",
    "unsure",
    "exempt",
    "extra",
)


@dataclass(frozen=True, slots=True)
class ChartBox:
    """A box. role: outside, organization, accounting, process, equipment; key of another box in `of` for a reference to it."""

    key: str
    role: str
    name: str
    rank: int
    is_main: bool = False
    of: str = ""


@dataclass(frozen=True, slots=True)
class ChartFlow:
    """A flow. mark: one of MARKS, "" if it bears no circle. state: as in the inventory, or "inferred"."""

    key: str
    name: str
    source: str
    target: str
    state: str
    mark: str
    instruments: tuple[str, ...]
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One sheet: unit is "" for the whole organisation; part counts from 1."""

    energy_kind: str
    unit: str
    is_overview: bool
    part: int
    parts: int
    boxes: tuple[ChartBox, ...]
    flows: tuple[ChartFlow, ...]


class Network:
    """An outcome, by flow and by box."""

    def __init__(self, outcome: Outcome) -> None:
        """Index what the charts need, once for all of them."""
        self.outcome = outcome
        inventory = outcome.inventory
        self._judged: dict[str, list[Judged]] = defaultdict(list)
        self._main: set[str] = set()
        for judged in self._all_judged():
            self._judged[judged.need.flow].append(judged)
            self._main.update(judged.need.owners)
        self._resting = {name for one in self._all_judged() for name in one.need.rests_on}
        self._on: dict[str, list[str]] = defaultdict(list)
        for instrument in inventory.instruments:
            standing = outcome.standings.get(instrument.id)
            if instrument.role == "main" and standing is not None and standing.is_fitted:
                for flow in instrument.flows:
                    self._on[flow].append(instrument.id)
        self._parents = {unit.id: unit.parent for unit in inventory.units}
        self._machine_units = {machine.id: machine.unit for machine in inventory.equipment}
        self._boxes = self._all_boxes()
        self._order = {key: n for n, key in enumerate(self._boxes)}
        self._flows = self._all_flows()

    def _all_judged(self) -> list[Judged]:
        return [one for row in (*self.outcome.rows, *self.outcome.water_rows) for one in row.judged]

    def energy_kinds(self) -> list[str]:
        """Return the energy kinds of which anything flows."""
        return list(self._flows)

    def rows(self, energy_kind: str) -> list[Row]:
        """Return the rows of an energy kind, of the main ruleset."""
        return [row for row in self.outcome.rows if row.energy_kind == energy_kind]

    def charts(self, energy_kind: str) -> list[Chart]:
        """Return the sheets of an energy kind, the one of the whole organisation first."""
        flows = self._flows.get(energy_kind, [])
        if len(flows) <= FLOWS_MAX:
            return self._parts(energy_kind, "", False, flows)
        between = [
            replace(flow, source=self._top(flow.source), target=self._top(flow.target)) for flow in flows
        ]
        charts = self._parts(energy_kind, "", True, [flow for flow in between if flow.source != flow.target])
        by_unit: dict[str, list[ChartFlow]] = defaultdict(list)
        for flow, mapped in zip(flows, between, strict=True):
            for unit in dict.fromkeys((mapped.source, mapped.target)):
                if unit in self._parents:
                    by_unit[unit].append(self._seen_from(unit, flow))
        for unit in sorted(by_unit, key=self._order.__getitem__):
            charts += self._parts(energy_kind, unit, False, by_unit[unit])
        return charts

    def _parts(self, energy_kind: str, unit: str, is_overview: bool, flows: list[ChartFlow]) -> list[Chart]:
        ordered = sorted(flows, key=lambda flow: (self._order[flow.source], self._order[flow.target]))
        pieces = [ordered[n : n + FLOWS_MAX] for n in range(0, len(ordered), FLOWS_MAX)] or [[]]
        return [
            Chart(energy_kind, unit, is_overview, n, len(pieces), *self._acyclic(piece))
            for n, piece in enumerate(pieces, 1)
        ]

    def _acyclic(self, flows: list[ChartFlow]) -> tuple[tuple[ChartBox, ...], tuple[ChartFlow, ...]]:
        """Return boxes and flows without a cycle: what leads back, or outside, ends in a box that refers to the real one."""
        back = _leading_back(flows, self._order.__getitem__)
        references: dict[str, ChartBox] = {}
        kept = []
        for flow in flows:
            if flow.target == OUTSIDE or flow.key in back:
                key = f"{flow.target}>{flow.source}"
                real = self._boxes[flow.target]
                references[key] = replace(real, key=key, rank=0, of=real.key, is_main=False)
                kept.append(replace(flow, target=key))
            else:
                kept.append(flow)
        used = {end for flow in kept for end in (flow.source, flow.target)}
        boxes = [self._boxes[key] for key in sorted(used & self._boxes.keys(), key=self._order.__getitem__)]
        giving = {flow.source for flow in kept}
        boxes = [
            replace(box, rank=GIVING_RANK) if box.role == "equipment" and box.key in giving else box
            for box in boxes
        ]
        ranks = sorted({box.rank for box in boxes})
        dense = [replace(box, rank=ranks.index(box.rank)) for box in boxes]
        return (*dense, *references.values()), tuple(kept)

    def _all_boxes(self) -> dict[str, ChartBox]:
        inventory = self.outcome.inventory
        boxes = {
            OUTSIDE: ChartBox(OUTSIDE, "outside", "", 0),
            ORGANIZATION: ChartBox(ORGANIZATION, "organization", inventory.organization.name, 1),
        }
        children: dict[str, list[str]] = defaultdict(list)
        for unit in inventory.units:
            children[unit.parent].append(unit.id)
        units = {unit.id: unit for unit in inventory.units}
        waiting = [(key, 2) for key in reversed(children[""])]
        deepest = 1
        while waiting:
            key, rank = waiting.pop()
            unit = units[key]
            boxes[key] = ChartBox(key, unit.role, unit.name, rank, key in self._main)
            deepest = max(deepest, rank)
            waiting += [(child, rank + 1) for child in reversed(children[key])]
        place_of = {key: n for n, key in enumerate(boxes)}
        for machine in sorted(inventory.equipment, key=lambda one: place_of.get(one.unit, 0)):
            boxes[machine.id] = ChartBox(
                machine.id, "equipment", machine.name, deepest + 1, machine.id in self._main
            )
        return boxes

    def _all_flows(self) -> dict[str, list[ChartFlow]]:
        """Return the flows by energy kind: those of the inventory, and what equipment takes without one."""
        found: dict[str, list[ChartFlow]] = defaultdict(list)
        known = set()
        for flow in self.outcome.inventory.flows:
            known.add(flow.id)
            found[flow.energy_kind].append(
                self._flow(flow.id, flow.name, flow.from_end, flow.to_end, flow.state)
            )
        for key, judged in self._judged.items():
            machine = key.rpartition(":")[0]
            if key not in known and machine in self._machine_units:
                source = self._machine_units[machine] or ORGANIZATION
                found[judged[0].need.energy_kind].append(self._flow(key, "", source, machine, "inferred"))
        return found

    def _flow(self, key: str, name: str, source: str, target: str, state: str) -> ChartFlow:
        judged = self._judged.get(key, [])
        counted = sorted({one.need.level for one in judged if one.counts})
        instruments = tuple(
            dict.fromkeys([*self._on[key], *(id for one in judged for id in one.instruments)])
        )
        return ChartFlow(
            key, name, source, target, state, self._mark(judged, instruments), instruments, tuple(counted)
        )

    def _mark(self, judged: list[Judged], instruments: tuple[str, ...]) -> str:
        """Return how a flow is marked; what is missing at any level outweighs what is there at another."""
        counted = [one for one in judged if one.counts]
        missing = [one for one in counted if one.best is None]
        if missing:
            return "unsure" if all(one.need.undetermined for one in missing) else "missing"
        best = [one.best for one in counted if one.best is not None]
        best += [self.outcome.standings[name] for name in instruments if name in self._resting]
        if best:
            return _mark_of(best[0])
        if instruments:
            return "extra"
        return "exempt" if judged else ""

    def _top(self, end: str) -> str:
        """Return the box an end lies in on a sheet of the whole organisation."""
        if end in self._machine_units:
            if not self._machine_units[end]:
                return end
            end = self._machine_units[end]
        while self._parents.get(end):
            end = self._parents[end]
        return end

    def _seen_from(self, unit: str, flow: ChartFlow) -> ChartFlow:
        """Return a flow as the sheet of a unit shows it: what lies beyond the unit by its topmost box."""
        ends = [end if self._top(end) == unit else self._top(end) for end in (flow.source, flow.target)]
        return replace(flow, source=ends[0], target=ends[1])


def _mark_of(standing: Standing) -> str:
    if standing.verification == "nonconforming":
        return "nonconforming"
    if not standing.is_verified:
        return "expired"
    if not (standing.is_accurate and standing.is_confirmed and standing.is_intact):
        return "unfit"
    return "silent" if standing.is_delivering is False else "good"


def _leading_back(flows: list[ChartFlow], order: Callable[[str], int]) -> set[str]:
    """Return the keys of flows that close a cycle, walking from the outside in."""
    leaving: dict[str, list[ChartFlow]] = defaultdict(list)
    for flow in flows:
        if flow.target != OUTSIDE:
            leaving[flow.source].append(flow)
    back: set[str] = set()
    done: set[str] = set()
    for start in sorted(leaving, key=order):
        if start in done:
            continue
        path = {start: iter(leaving[start])}
        while path:
            current = next(reversed(path))
            following = next(path[current], None)
            if following is None:
                path.pop(current)
                done.add(current)
            elif following.target in path:
                back.add(following.key)
            elif following.target not in done:
                path[following.target] = iter(leaving[following.target])
    return back

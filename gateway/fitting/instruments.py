"""How each instrument stands on the day: fitted, intact, verified, accurate, confirmed, connected, delivering. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.fitting.categories import measures_flow
from gateway.fitting.classes import Demand
from gateway.fitting.delivery import Deliveries
from gateway.fitting.outcome import Standing
from gateway.inventory.validity import validity

if TYPE_CHECKING:
    from gateway.fitting.classes import Classes
    from gateway.fitting.evidence import Evidence
    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Flow, Instrument

_STATES = {
    "expired": ("out of its verification period", "超过检定周期"),
    "nonconforming": ("found not to conform", "不合格"),
    "undated": ("nothing tells until when its verification is valid", "检定有效期不详"),
    "unverified": ("no verification is recorded", "无检定记录"),
}


class Instruments:
    """The instruments of a plant by the flow they measure, and how they stand."""

    def __init__(self, plant: Plant, ruleset: Ruleset, classes: Classes, evidence: Evidence | None) -> None:
        """evidence: of the window the evaluation is of; None: nobody knows what was delivered."""
        self._plant = plant
        self._ruleset = ruleset
        self._classes = classes
        self._deliveries = Deliveries(plant, ruleset, evidence)
        self._standings: dict[tuple[str, int], Standing] = {}
        self.on_flow: dict[str, list[Instrument]] = defaultdict(list)
        for one in plant.inventory.instruments:
            if self.is_fitted(one):
                for flow in one.flows:
                    known = plant.flows.get(flow)
                    if known is not None and measures_flow(one, known.energy_kind):
                        self.on_flow[flow].append(one)

    def is_fitted(self, one: Instrument) -> bool:
        """Return whether an instrument counts as installed on the flows it names; faulty and expired ones do."""
        counts = (
            one.role == "main"
            and one.measurement == "measured"
            and one.status != "stopped"
            and one.is_installed(self._plant.on)
        )
        if counts and self._ruleset.choice("expired_instruments") == "do_not_count":
            return validity(one, self._plant.on) not in ("expired", "nonconforming")
        return counts

    def standing(self, one: Instrument, level: int) -> Standing:
        """Return how an instrument stands, its class judged as at that level."""
        known = self._standings.get((one.id, level))
        if known is None:
            known = self._standings[one.id, level] = self._stand(one, level)
        return known

    def best(self, flow: str, level: int) -> Standing | None:
        """Return the standing that speaks for a flow: of its fitted instruments the one that proves most; None without one."""
        fitted = sorted(self.on_flow.get(flow, []), key=lambda one: one.id)  # of equals always the same
        standings = [self.standing(one, level) for one in fitted]
        return max(standings, key=proves, default=None)

    def summary(self) -> dict[str, Standing]:
        """Return each instrument's standing at the highest level it serves."""
        flows = self._plant.flows
        return {
            one.id: self.standing(
                one,
                min((self._plant.level_of(flows[flow]) for flow in one.flows if flow in flows), default=3),
            )
            for one in self._plant.inventory.instruments
        }

    def _demand(self, one: Instrument, flow: Flow | None, level: int) -> Demand:
        if flow is None:
            return Demand()
        is_outward = self._plant.is_outward(flow.id)
        return self._classes.demand(one, flow.energy_kind, level, is_outward=is_outward)

    def _stand(self, one: Instrument, level: int) -> Standing:
        on = self._plant.on
        state = validity(one, on)
        flow = next((self._plant.flows[name] for name in one.flows if name in self._plant.flows), None)
        demand = self._demand(one, flow, level)
        stated = self._classes.stated(one)
        is_accurate = not demand.unknown and (
            not demand.accuracy_class or self._classes.is_enough(stated, demand.accuracy_class)
        )
        confirmed = one.confirmation is not None and one.confirmation.on <= on and one.confirmation.fit
        found = self._deliveries.of(one)
        why = [_STATES[state]] if state in _STATES else []
        if demand.unknown:
            why.append(
                (
                    f"which class is demanded follows from {demand.unknown}, which is not entered",
                    f"所要求的准确度等级取决于 {demand.unknown}, 台账未填写",
                )
            )
        elif not is_accurate:
            has = stated.text or "–"
            why.append(
                (
                    f"class {has}, {demand.accuracy_class} is demanded",
                    f"准确度等级 {has}, 要求 {demand.accuracy_class}",
                )
            )
        if not confirmed:
            why.append(("not confirmed as fit for use", "未经计量确认"))
        if one.running != "good":
            why.append(("under repair", "维护"))
        if found.why is not None:
            why.append(found.why)
        return Standing(
            instrument=one.id,
            is_fitted=self.is_fitted(one),
            is_intact=one.running == "good",
            is_verified=state == "valid",
            is_accurate=is_accurate,
            is_confirmed=confirmed,
            is_connected=found.is_connected,
            is_delivering=found.is_delivering,
            good_share=found.share,
            required_class=demand.accuracy_class,
            required_clause=demand.clause,
            required_unknown=demand.unknown,
            stated_class=stated.text,
            verification=state,
            why=tuple(en for en, _ in why),
            why_zh=tuple(zh for _, zh in why),
        )


def proves(standing: Standing) -> tuple[bool, ...]:
    """Return what standings are ordered by: the one that proves most is the greatest."""
    return (
        bool(standing.is_effective),
        bool(standing.is_delivering),
        bool(standing.is_connected),
        standing.is_verified,
        standing.is_accurate,
        standing.is_intact,
        standing.is_confirmed,
    )

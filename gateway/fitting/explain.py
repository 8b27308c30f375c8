"""From a rate to its clause, flow and instrument: everything the engine knows of one name. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.energy_kinds import ENERGY_KINDS
from gateway.errors import MetergateError
from gateway.fitting import grounds
from gateway.fitting.plant import Plant
from gateway.fitting.result import percent, standing_body
from gateway.inventory.model import ORGANIZATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.fitting.outcome import Judged, Outcome, Owner, Row
    from gateway.inventory.model import Equipment, Flow, Instrument, Unit

Body = dict[str, Any]


class Explainer:
    """Answers about one outcome."""

    def __init__(self, outcome: Outcome) -> None:
        """outcome: as `evaluate` gives it."""
        self._outcome = outcome
        self._plant = Plant(outcome.inventory, outcome.as_of)

    def names(self) -> list[str]:
        """Return every name that can be explained: units, equipment, flows, instruments, energy kinds."""
        plant = self._plant
        kinds = {row.energy_kind for row in self._outcome.rows}
        return [
            *plant.units,
            *plant.equipment,
            *plant.flows,
            *plant.instruments,
            *sorted(kinds),
            ORGANIZATION,
        ]

    def called(self, text: str) -> list[str]:
        """Return what can be explained that goes by an id or, without one, by a name of the inventory or of an energy kind."""
        if text in self.names() or text in ENERGY_KINDS:
            return [text]
        inventory = self._outcome.inventory
        named: tuple[Unit | Equipment | Flow | Instrument, ...] = (
            *inventory.units,
            *inventory.equipment,
            *inventory.flows,
            *inventory.instruments,
        )
        kinds = [kind for kind, names in ENERGY_KINDS.items() if text in names]
        return [one.id for one in named if text in (one.name, *one.name.split(" / "))] + kinds

    def explain(self, name: str) -> Body:
        """Return what is to be said of a name. Raises MetergateError for one that nothing has."""
        plant = self._plant
        if name in plant.units or name in plant.equipment:
            return self._owner(name)
        if name in plant.flows:
            return self._flow(name)
        if name in plant.instruments:
            return self._instrument(name)
        if name in ENERGY_KINDS:
            return self._kind(name)
        if name == ORGANIZATION:
            title = self._outcome.inventory.organization.name
            return {
                "name": name,
                "what": "organization",
                "title": title,
                "needs": self._needs(lambda one: one.need.level == 1),
            }
        raise MetergateError(f'nothing in the inventory is called "{name}"')

    def _owner(self, name: str) -> Body:
        plant, owner = self._plant, self._outcome.owners.get(name)
        what = "equipment" if name in plant.equipment else "unit"
        body: Body = {"name": name, "what": what, "title": plant.name(name)}
        if owner is None:
            words = grounds.Words(
                "a process unit: it makes no need at level 2; where all its inflows are fitted its equipment needs no instruments",
                "用能单元: 不产生二级应配; 全部输入已配备时其设备可不单独配备",
            )
            body |= {"is_main": None, "because": [words.en], "because_zh": [words.zh]}
        else:
            body |= self._verdict(owner)
        return body | {
            "needs": self._needs(lambda one: name in one.need.owners or self._is_inside(one, name))
        }

    def _is_inside(self, judged: Judged, unit: str) -> bool:
        return unit in self._plant.units and any(
            unit in self._plant.around(one) for one in judged.need.owners
        )

    def _verdict(self, owner: Owner) -> Body:
        told = [grounds.reached(one) for one in owner.reaches]
        nothing = grounds.Words("no amount and no flow is known of it", "无用量和流向")
        return {
            "is_main": owner.is_main,
            "is_undetermined": owner.is_undetermined,
            "because": [one.en for one in told] or [nothing.en],
            "because_zh": [one.zh for one in told] or [nothing.zh],
        }

    def _flow(self, name: str) -> Body:
        flow = self._plant.flows[name]
        needs = self._needs(lambda one: one.need.flow == name)
        body: Body = {
            "name": name,
            "what": "flow",
            "title": flow.name or name,
            "route": self._plant.route(name),
            "energy_kind": flow.energy_kind,
            "state": flow.state,
            "needs": needs,
        }
        if not needs:
            body["because"] = self._why_not(name)
        return body

    def _why_not(self, name: str) -> list[str]:
        """Return why a flow is needed at no level."""
        flow = self._plant.flows[name]
        if flow.state == "disconnected":
            return ["it is disconnected: no need"]
        told = ["it does not cross the boundary of the organisation (level 1)"]
        for end in flow.ends:
            for one in self._plant.around(end):
                owner = self._outcome.owners.get(one)
                if owner is not None and not owner.is_main:
                    reasons = (
                        "; ".join(grounds.reached(reach).en for reach in owner.reaches)
                        or "no amount is known"
                    )
                    told.append(f"{self._plant.name(one)} is no main one: {reasons}")
        return told

    def _instrument(self, name: str) -> Body:
        one = self._plant.instruments[name]
        standing = self._outcome.standings[name]
        rests = self._needs(lambda judged: name in judged.need.rests_on)
        serves = self._needs(lambda judged: name in judged.instruments and not judged.need.exempt)
        because = []
        if not standing.is_fitted:
            because.append(f"it does not count: role {one.role}, {one.measurement}, status {one.status}")
        elif not serves and not rests:
            because.append("it counts for no need: nothing needs its flows measured (surplus)")
        return {
            "name": name,
            "what": "instrument",
            "title": one.name,
            "flows": list(one.flows),
            "standing": standing_body(standing),
            "because": because,
            "needs": serves,
            "exemptions": rests,
        }

    def _kind(self, kind: str) -> Body:
        zh, en = ENERGY_KINDS[kind]
        return {
            "name": kind,
            "what": "energy_kind",
            "title": f"{zh} {en}",
            "needs": self._needs(lambda one: one.need.energy_kind == kind),
        }

    def _needs(self, asked: Callable[[Judged], bool]) -> list[Body]:
        rows = (*self._outcome.rows, *self._outcome.water_rows)
        return [self._judged(row, one) for row in rows for one in row.judged if asked(one)]

    def _judged(self, row: Row, judged: Judged) -> Body:
        need = judged.need
        verdict = "fitted" if judged.is_fitted else "missing"
        if need.exempt:
            verdict = "exempt, counted" if need.kept else "exempt"
        return {
            "ruleset": row.ruleset,
            "level": need.level,
            "energy_kind": need.energy_kind,
            "flow": need.flow,
            "route": self._plant.route(need.flow),
            "verdict": verdict,
            "because": need.because,
            "because_zh": need.because_zh,
            "clause": need.clause,
            "exempt": need.exempt or None,
            "exempt_clause": need.exempt_clause or None,
            "rests_on": list(need.rests_on),
            "undetermined": need.undetermined or None,
            "row": {
                "need": row.need,
                "fitted": row.fitted,
                "rate_percent": percent(row.rate),
                "required_percent": None if row.required is None else float(row.required),
                "meets": row.meets,
            },
            "instruments": list(judged.instruments),
            "best": None
            if judged.best is None
            else {"id": judged.best.instrument} | standing_body(judged.best),
            "advice": judged.advice or None,
            "advice_zh": judged.advice_zh or None,
        }

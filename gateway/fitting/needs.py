"""Which flows a ruleset wants measured, level by level; rules: docs/specs/fitting.md. Pure.

What needs no instrument whatever is fitted (seasonal heating, small auxiliary amounts) is exempt here; central metering,
which stands on what is fitted, in `central`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.fitting import grounds
from gateway.fitting.citations import NO_RATE
from gateway.fitting.grounds import Words
from gateway.fitting.limits import Limits
from gateway.fitting.outcome import Need, Owner
from gateway.inventory.model import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Note, Ruleset
    from gateway.inventory.model import Flow


class Needs:
    """The needs of a plant by one ruleset. owners: units and equipment with their verdicts, main or not."""

    def __init__(self, plant: Plant, ruleset: Ruleset, kinds: frozenset[str] | None = None) -> None:
        """kinds: the energy kinds the ruleset is asked about; None: all."""
        self._plant = plant
        self._ruleset = ruleset
        self._kinds = kinds
        self._clauses: dict[tuple[int, str], str] = {}
        for rate in ruleset.rates:
            if ruleset.holds(rate, plant.on):
                for kind in rate.energy_kinds:
                    self._clauses[rate.level, kind] = f"{ruleset.ruleset.id} {rate.clause}"
        self._notes: dict[tuple[str, int, str], Note] = {}
        for note in ruleset.notes:
            if ruleset.holds(note, plant.on):
                for kind in note.energy_kinds:
                    self._notes[note.kind, note.level, kind] = note
        limits = Limits(plant, ruleset)
        self._units = limits.units()
        self._equipment = limits.equipment()
        self.owners: dict[str, Owner] = {owner.id: owner for owner in (*self._units, *self._equipment)}

    def all(self) -> list[Need]:
        """Return every need, exempt or not, level by level."""
        return [*self._boundary(), *self._of_units(), *self._of_equipment()]

    def _asked(self, kind: str) -> bool:
        return self._kinds is None or kind in self._kinds

    def _clause(self, level: int, kind: str) -> str:
        return self._clauses.get((level, kind)) or f"{self._ruleset.ruleset.id}: {NO_RATE.en}"

    def _note(self, kind: str, level: int, energy_kind: str) -> Note | None:
        return self._notes.get((kind, level, energy_kind))

    # ------------------------------------------------------------------ level 1

    def _boundary(self) -> Iterator[Need]:
        in_use_only = self._ruleset.choice("boundary_states") == "in_use"
        for flow in self._plant.live:
            if (flow.from_end == OUTSIDE) == (flow.to_end == OUTSIDE) or not self._asked(flow.energy_kind):
                continue
            if in_use_only and flow.state == "standby":
                continue
            because = grounds.boundary(flow.from_end == OUTSIDE)
            need = Need(
                level=1,
                energy_kind=flow.energy_kind,
                flow=flow.id,
                owners=(),
                because=because.en,
                because_zh=because.zh,
                clause=self._clause(1, flow.energy_kind),
            )
            yield self._seasonal(need, flow) if flow.other_settlement else need

    def _seasonal(self, need: Need, flow: Flow) -> Need:
        """Return the need of seasonal heating, exempt if a note says so."""
        note = self._note("seasonal_heating", need.level, need.energy_kind)
        if not flow.seasonal_heating or note is None or self._ruleset.choice("seasonal_heating") == "none":
            return need
        how = f": {flow.other_settlement}" if flow.other_settlement else ""
        text = grounds.of_note(note.text, note.text_zh)
        return self._exempt(need, note, Words(text.en + how, text.zh + how))

    def _exempt(self, need: Need, note: Note, words: Words) -> Need:
        clause = f"{self._ruleset.ruleset.id} {note.clause}"
        return replace(need, exempt=words.en, exempt_zh=words.zh, exempt_clause=clause)

    # ------------------------------------------------------------------ level 2

    def _of_units(self) -> Iterator[Need]:
        by_flow: dict[str, list[Owner]] = {}
        for owner in self._units:
            if not owner.is_main:
                continue
            for flow in self._crossing(owner):
                by_flow.setdefault(flow.id, []).append(owner)
        for flow in self._plant.live:
            owners = by_flow.get(flow.id)
            if not owners or not self._asked(flow.energy_kind):
                continue
            yield self._seasonal(self._owned("unit_trigger", flow.energy_kind, flow.id, owners), flow)
        for owner in self._units:
            if owner.is_main:
                yield from self._undrawn(owner)

    def _undrawn(self, owner: Owner) -> Iterator[Need]:
        """Yield a need for each kind that a main unit declares to use and no flow of the inventory brings into it."""
        for kind in dict.fromkeys(amount.energy_kind for amount in self._plant.units[owner.id].amounts):
            is_drawn = (owner.id, kind) in self._plant.ever_over or (owner.id, kind) in self._plant.produced
            if not is_drawn and self._asked(kind) and self._triggers("unit_trigger", owner, kind):
                yield _undrawn(self._owned("unit_trigger", kind, f"{owner.id}:{kind}", [owner]), kind)

    def _crossing(self, owner: Owner) -> Iterator[Flow]:
        """Yield every live flow over the boundary of a main unit that its being one asks for."""
        for flow in self._plant.crossing.get(owner.id, []):
            if self._triggers("unit_trigger", owner, flow.energy_kind):
                yield flow

    def _triggers(self, switch: str, owner: Owner, kind: str) -> bool:
        if self._ruleset.choice(switch) == "any":
            return True
        return any(
            one.energy_kind == kind and one.verdict in ("reached", "every", "unknown")
            for one in owner.reaches
        )

    def _owned(self, switch: str, kind: str, flow: str, owners: list[Owner]) -> Need:
        """Return a need for one flow of main units or main equipment; undetermined if none of them is certain."""
        by_kind = "" if self._ruleset.choice(switch) == "any" else kind
        certain = [owner for owner in owners if _is_certain(owner, by_kind)]
        because = grounds.main((certain or owners)[0], self._plant, by_kind)
        level = owners[0].level
        need = Need(
            level=level,
            energy_kind=kind,
            flow=flow,
            owners=tuple(owner.id for owner in owners),
            because=because.en,
            because_zh=because.zh,
            clause=self._clause(level, kind),
        )
        return need if certain else self._doubtful(need, grounds.unknown(owners[0], self._plant, by_kind))

    def _doubtful(self, need: Need, words: Words) -> Need:
        """Return a need that is only possible: counted, unless the ruleset counts certain ones alone."""
        need = replace(need, undetermined=words.en, undetermined_zh=words.zh)
        if self._ruleset.choice("unknown_amount") == "needed":
            return need
        ground = grounds.unknown_counts_not()
        return replace(need, exempt=ground.en, exempt_zh=ground.zh, exempt_clause=self._ruleset.ruleset.id)

    # ------------------------------------------------------------------ level 3

    def _of_equipment(self) -> Iterator[Need]:
        for owner in self._equipment:
            if not owner.is_main:
                continue
            for reach in owner.reaches:
                kind = reach.energy_kind
                if not self._asked(kind) or not self._triggers("equipment_trigger", owner, kind):
                    continue
                flows = self._plant.inflows.get((owner.id, kind), [])
                for flow in [one.id for one in flows] or [f"{owner.id}:{kind}"]:
                    yield self._taken(owner, kind, flow)

    def _taken(self, owner: Owner, kind: str, flow: str) -> Need:
        """Return the need for one flow into main equipment."""
        need = self._owned("equipment_trigger", kind, flow, [owner])
        if flow not in self._plant.flows:
            need = _undrawn(need, kind)
        reach = next(one for one in owner.reaches if one.energy_kind == kind)
        note = self._note("small_auxiliary", 3, kind)
        if note is None or self._ruleset.choice("small_auxiliary") == "none":
            return need
        if reach.verdict in ("below", "no_limit"):
            return self._exempt(
                need, note, grounds.auxiliary(reach, grounds.of_note(note.text, note.text_zh))
            )
        if reach.verdict == "unknown" and not need.undetermined:
            return self._doubtful(need, grounds.reached(reach))
        return need


def _is_certain(owner: Owner, kind: str) -> bool:
    """Return whether an owner is a main one for certain; with an energy kind: by that kind itself."""
    return kind in owner.reached if kind else not owner.is_undetermined


def _undrawn(need: Need, kind: str) -> Need:
    """Return the need of a kind that no flow of the inventory brings, which says so."""
    words = grounds.no_flow(kind)
    return replace(need, because=f"{need.because}; {words.en}", because_zh=f"{need.because_zh}; {words.zh}")

"""Central metering: equipment of a process unit whose inflows are all fitted needs no instrument of its own. Pure.

It is the only exemption that stands on what is fitted. So that an instrument more never makes a rate not applicable, and a
higher limit never more needs, a row keeps one need where central metering would leave it none: docs/decisions/0028.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gateway.fitting import grounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.fitting.grounds import Words
    from gateway.fitting.instruments import Instruments
    from gateway.fitting.outcome import Need
    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Note, Ruleset


def with_central(needs: Sequence[Need], plant: Plant, ruleset: Ruleset, fitted: Instruments) -> list[Need]:
    """Return the needs of one energy kind at one level, those exempt that central metering meets."""
    note = _note(ruleset, plant, needs[0]) if needs else None
    if note is None:
        return list(needs)
    metered = _Metered(plant, fitted, ruleset, note)
    judged = [metered.judge(need) for need in needs]
    if ruleset.choice("central_row") != "keep_one" or not all(need.exempt for need in judged):
        return judged
    kept = min((need.flow for need in judged if need.rests_on), default=None)
    return [replace(need, kept=True) if need.flow == kept and need.rests_on else need for need in judged]


def _note(ruleset: Ruleset, plant: Plant, need: Need) -> Note | None:
    if ruleset.choice("central_metering") == "none" or not need.owners:
        return None
    return next(
        (
            note
            for note in ruleset.notes
            if note.kind == "central_metering"
            and note.level == need.level
            and need.energy_kind in note.energy_kinds
            and ruleset.holds(note, plant.on)
        ),
        None,
    )


class _Ground(NamedTuple):
    """What an exemption rests on: words, and the instruments of the process unit."""

    words: Words
    instruments: tuple[str, ...]


class _Metered:
    """The process units that are metered as a whole; each is looked at once."""

    def __init__(self, plant: Plant, fitted: Instruments, ruleset: Ruleset, note: Note) -> None:
        self._plant = plant
        self._fitted = fitted
        self._text = grounds.of_note(note.text, note.text_zh)
        self._clause = f"{ruleset.ruleset.id} {note.clause}"
        self._units: dict[tuple[str, str], _Ground | None] = {}

    def judge(self, need: Need) -> Need:
        """Return a need, exempt if a process unit around its equipment is metered and it has no instrument of its own."""
        if need.exempt or self._fitted.on_flow.get(need.flow):
            return need
        for unit in self._plant.process_units(need.owners[0]):
            ground = self._ground(unit, need.energy_kind)
            if ground is not None:
                return replace(
                    need,
                    exempt=ground.words.en,
                    exempt_zh=ground.words.zh,
                    exempt_clause=self._clause,
                    rests_on=ground.instruments,
                )
        return need

    def _ground(self, unit: str, kind: str) -> _Ground | None:
        """Return what speaks for a process unit: instruments on all that flows into it or is brought forth in it, one into the unit itself."""
        if (unit, kind) not in self._units:
            inflows = self._plant.inflows.get((unit, kind), [])
            produced = self._plant.produced.get((unit, kind), [])
            supplies = list(dict.fromkeys(flow.id for flow in (*inflows, *produced)))
            on_flow = self._fitted.on_flow
            # An inflow that ends at a machine is that machine's own: it says nothing of its neighbours.
            is_metered = any(flow.to_end in self._plant.units for flow in inflows) and all(
                on_flow.get(flow) for flow in supplies
            )
            self._units[unit, kind] = (
                None
                if not is_metered
                else _Ground(
                    grounds.central(unit, supplies, self._plant, self._text),
                    tuple(dict.fromkeys(one.id for flow in supplies for one in on_flow[flow])),
                )
            )
        return self._units[unit, kind]

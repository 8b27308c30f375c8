"""Central metering: equipment of a process unit whose inflows are all fitted needs no instrument of its own. Pure.

It is the only exemption that stands on what is fitted. So that an instrument more never makes a rate not applicable, and a
higher limit never more needs, a row keeps one need where central metering would leave it none: docs/decisions/0028.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.fitting import grounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.fitting.instruments import Instruments
    from gateway.fitting.outcome import Need
    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Note, Ruleset
    from gateway.inventory.model import Flow


def with_central(needs: Sequence[Need], plant: Plant, ruleset: Ruleset, fitted: Instruments) -> list[Need]:
    """Return the needs of one energy kind at one level, those exempt that central metering meets."""
    judged = [_exempt(need, plant, ruleset, fitted) for need in needs]
    if ruleset.choice("central_row") != "keep_one" or not all(need.exempt for need in judged):
        return judged
    kept = min((need.flow for need in judged if need.rests_on), default=None)
    return [replace(need, kept=True) if need.flow == kept and need.rests_on else need for need in judged]


def _exempt(need: Need, plant: Plant, ruleset: Ruleset, fitted: Instruments) -> Need:
    note = _note(ruleset, plant, need)
    if need.exempt or note is None or fitted.on_flow.get(need.flow):
        return need
    for unit in plant.process_units(need.owners[0]):
        inflows = plant.inflows.get((unit, need.energy_kind), [])
        if inflows and all(fitted.on_flow.get(flow.id) for flow in inflows):
            return _resting(need, unit, inflows, plant, ruleset, note, fitted)
    return need


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


def _resting(
    need: Need,
    unit: str,
    inflows: Sequence[Flow],
    plant: Plant,
    ruleset: Ruleset,
    note: Note,
    fitted: Instruments,
) -> Need:
    """Return a need that rests on the instruments of a process unit's inflows."""
    text = grounds.of_note(note.text, note.text_zh)
    words = grounds.central(unit, [flow.id for flow in inflows], plant, text)
    return replace(
        need,
        exempt=words.en,
        exempt_zh=words.zh,
        exempt_clause=f"{ruleset.ruleset.id} {note.clause}",
        rests_on=tuple(dict.fromkeys(one.id for flow in inflows for one in fitted.on_flow[flow.id])),
    )

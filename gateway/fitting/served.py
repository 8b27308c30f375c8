"""At which levels each instrument serves: those of the needs that were judged on its flows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.fitting.outcome import Outcome


def levels_served(outcome: Outcome) -> dict[str, set[int]]:
    """Return instrument -> levels of the needs its flows meet, whether it counts or not; none for one that meets no need."""
    levels: dict[str, set[int]] = {}
    of_flow: dict[str, set[int]] = {}
    for row in outcome.rows:
        for judged in row.judged:
            of_flow.setdefault(judged.need.flow, set()).add(row.level)
            for name in judged.instruments:
                levels.setdefault(name, set()).add(row.level)
    for one in outcome.inventory.instruments:
        for flow in one.flows:
            if flow in of_flow:
                levels.setdefault(one.id, set()).update(of_flow[flow])
    return levels

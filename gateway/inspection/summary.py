"""Inspections as reports show them: what was found at each instrument, and the findings with their closure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.clock import local

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.inspection.model import Closed, Found, Mark, Opened
    from gateway.inspection.store import Inspection


@dataclass(frozen=True, slots=True)
class Seen:
    """An instrument of a sample. found: what was found there, None: nobody has been there. at: local time of the record, "" without."""

    inspection: int
    instrument: str
    level: int
    energy_kind: str
    found: Found | None
    at: str

    def items(self, mark: Mark) -> list[str]:
        """Return the items that bear a mark."""
        return [] if self.found is None else [item for item, one in self.found.marks.items() if one == mark]


@dataclass(frozen=True, slots=True)
class Noted:
    """A finding. closed: None: it is open."""

    inspection: int
    opened: Opened
    closed: Closed | None


@dataclass(frozen=True, slots=True)
class OnSite:
    """One inspection. wrong: instrument -> items that were wrong and no finding names."""

    number: int
    at: str
    by: str
    population: int
    seen: tuple[Seen, ...]
    noted: tuple[Noted, ...]
    wrong: dict[str, list[str]]


def summary(inspection: Inspection, zone: str) -> OnSite:
    """Return an inspection for a report. zone: in which its times are told."""
    seen = []
    for one in inspection.drawn.instruments:
        found = inspection.found.get(one.instrument)
        at = "" if found is None else local(found.at_ns, zone)
        seen.append(Seen(inspection.number, one.instrument, one.level, one.energy_kind, found, at))
    return OnSite(
        inspection.number,
        local(inspection.drawn.at_ns, zone),
        inspection.drawn.by,
        inspection.drawn.population,
        tuple(seen),
        tuple(
            Noted(inspection.number, one, inspection.closed.get(number))
            for number, one in inspection.opened.items()
        ),
        inspection.uncovered(),
    )


def newest(inspections: Sequence[OnSite]) -> dict[str, Seen]:
    """Return instrument -> what was found there last."""
    found = (seen for one in inspections for seen in one.seen if seen.found is not None)
    return {one.instrument: one for one in sorted(found, key=lambda one: one.found.at_ns if one.found else 0)}

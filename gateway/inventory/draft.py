"""What could be made of an inventory so far, whole or not: the ground of the cross checks. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.config.draft import Entry
from gateway.config.values import nearest
from gateway.errors import Finding
from gateway.findings import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from gateway.inventory.model import (
        Answer,
        Equipment,
        Flow,
        Instrument,
        Inventory,
        Loss,
        Organization,
        Staff,
        Stock,
        Unit,
    )

PLACE = re.compile(r"(\w+)(?:\.[a-z0-9-]+|\[\d+\])?")
"""The table or entry a finding's path begins with; a table with an id, a place in a list, or a single table."""
LOOKS_MAX = 10_000
"""So many known names are looked at for suggestions in one run: of thousands of unknown names the first few get one."""


@dataclass(slots=True)
class Draft:
    """The tables of an inventory as far as they could be parsed."""

    organization: Entry[Organization]
    units: list[Entry[Unit]]
    equipment: list[Entry[Equipment]]
    flows: list[Entry[Flow]]
    instruments: list[Entry[Instrument]]
    losses: list[Entry[Loss]]
    staff: list[Entry[Staff]]
    stocks: list[Entry[Stock]]
    answers: list[Entry[Answer]]

    def owners(self) -> list[Entry[Any]]:
        """Return units and equipment: what flows go to and from, in one namespace."""
        return [*self.units, *self.equipment]

    def owner_names(self) -> dict[str, str]:
        """Return name -> id of units and equipment, of names that stand once."""
        return by_name(entry.body for entry in self.owners())

    def owner_ids(self) -> set[str]:
        """Return the ids of units and equipment, also of those with faults."""
        return {str(entry.body.get("id")) for entry in self.owners()}

    def lists(self) -> dict[str, list[Entry[Any]]]:
        """Return the repeated tables by name, in the order of an inventory."""
        return {
            "units": self.units,
            "equipment": self.equipment,
            "flows": self.flows,
            "instruments": self.instruments,
            "losses": self.losses,
            "staff": self.staff,
            "stocks": self.stocks,
            "answers": self.answers,
        }

    def entries(self) -> list[Entry[Any]]:
        """Return all tables in the order of an inventory."""
        return [self.organization, *(entry for entries in self.lists().values() for entry in entries)]


def draft_of(inventory: Inventory) -> Draft:
    """Return a whole inventory as the cross checks want it."""

    def entries(name: str) -> list[Entry[Any]]:
        rows = getattr(inventory, name)
        ids = [getattr(row, "id", None) for row in rows]
        counts = Counter(ids)
        return [
            Entry(f"{name}.{own}" if own and counts[own] == 1 else f"{name}[{i}]", {"id": own}, row)
            for i, (own, row) in enumerate(zip(ids, rows, strict=True), 1)
        ]

    tables = ("units", "equipment", "flows", "instruments", "losses", "staff", "stocks", "answers")
    return Draft(
        Entry("organization", {}, inventory.organization), **{name: entries(name) for name in tables}
    )


def by_name(bodies: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return name -> id of tables, of names that stand once: who writes a name where an id is asked for means that one."""
    found: dict[str, set[str]] = {}
    for body in bodies:
        name, own = body.get("name"), body.get("id")
        if isinstance(name, str) and name.strip() and isinstance(own, str):
            found.setdefault(name.strip(), set()).add(own)
    return {name: next(iter(ids)) for name, ids in found.items() if len(ids) == 1}


class Names:
    """Ids that may be referred to, and what to say of one that is not among them."""

    def __init__(self) -> None:
        """Nothing has been suggested yet."""
        self._looks = 0

    def unknown(
        self,
        path: str,
        name: str,
        known: Collection[str],
        expected: str,
        named: Mapping[str, str] | None = None,
    ) -> Finding:
        """Return the finding of an id that is not known, with the nearest one as long as that is no flood. named: name -> id."""
        own = (named or {}).get(name.strip())
        if own is not None:
            return Finding(path, shown(name), expected, f"that is its name; its id is {own}")
        near = ""
        if self._looks < LOOKS_MAX:
            self._looks += len(known)
            near = nearest(name, known)
        return Finding(path, shown(name), expected, f'did you mean "{near}"?' if near else "")


def in_order(findings: Iterable[Finding], tables: Iterable[Entry[Any]]) -> list[Finding]:
    """Return findings in the order of the tables they are about."""
    places: Mapping[str, int] = {entry.path: i for i, entry in enumerate(tables)}

    def rank(finding: Finding) -> int:
        match = PLACE.match(finding.path)
        return places.get(match[0], len(places)) if match else len(places)

    return sorted(findings, key=rank)


def undoubted(findings: Iterable[Finding], tables: Iterable[Entry[Any]]) -> list[Finding]:
    """Return findings without those about values that are not the user's, since what stood there could not be used."""
    doubtful = {f"{entry.path}.{key}" for entry in tables for key in entry.doubtful}
    return [one for one in findings if not doubtful or _key(one.path) not in doubtful]


def _key(path: str) -> str:
    match = re.match(rf"{PLACE.pattern}\.\w+", path)
    return match[0] if match else ""

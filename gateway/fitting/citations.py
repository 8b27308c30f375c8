"""Clauses and other sources as people read them in Chinese; numbers and ids stay as they are. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.fitting.grounds import Words
from gateway.fitting.ruleset_check import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.fitting.outcome import Outcome
    from gateway.fitting.ruleset import Cited, Interpretation, Ruleset

NO_RATE = Words("no rate", "无配备率要求")


class Citations:
    """What the engine cites of some rulesets, in Chinese."""

    def __init__(self, rulesets: Iterable[Ruleset]) -> None:
        """Index every row that has Chinese words."""
        self._clauses: dict[str, str] = {}
        self._conflicts: dict[str, str] = {}
        for ruleset in rulesets:
            name = ruleset.ruleset.id
            self._clauses[f"{name}: {NO_RATE.en}"] = f"{name}: {NO_RATE.zh}"
            rows: list[Cited | Interpretation] = [row for _, row in rows_of(ruleset)]
            for cited in (*rows, *ruleset.interpretations.values()):
                if cited.clause_zh:
                    self._clauses.setdefault(f"{name} {cited.clause}", f"{name} {cited.clause_zh}")
            for _, row in rows_of(ruleset):
                if row.conflict_zh:
                    self._conflicts.setdefault(row.conflict, row.conflict_zh)

    def clause(self, clause: str) -> str:
        """Return a clause in Chinese; itself if it has no words of its own."""
        return self._clauses.get(clause, clause)

    def clauses(self, clauses: Iterable[str]) -> str:
        """Return several clauses."""
        return "; ".join(map(self.clause, clauses))

    def conflict(self, conflict: str) -> str:
        """Return what another source says; itself if nobody has said it in Chinese."""
        return self._conflicts.get(conflict, conflict)


def citations(outcome: Outcome) -> Citations:
    """Return the citations of the rulesets of an outcome."""
    return Citations(one for one in (outcome.ruleset, outcome.water_ruleset) if one is not None)

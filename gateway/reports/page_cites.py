"""Clauses and other sources in the language of the report. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.fitting.citations import citations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.fitting.outcome import Outcome
    from gateway.reports.texts import Words


class Cites:
    """What an outcome cites, for one language."""

    def __init__(self, outcome: Outcome, words: Words) -> None:
        """Index the rulesets of an outcome."""
        self._zh = citations(outcome) if words.language == "zh" else None

    def clause(self, clause: str) -> str:
        """Return a clause."""
        return clause if self._zh is None else self._zh.clause(clause)

    def clauses(self, clauses: Iterable[str]) -> str:
        """Return several clauses."""
        return "; ".join(map(self.clause, clauses))

    def conflict(self, conflict: str) -> str:
        """Return what another source says."""
        return conflict if self._zh is None else self._zh.conflict(conflict)

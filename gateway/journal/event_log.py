"""Where transitions are written down: with the time they became known, into the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model import Event

if TYPE_CHECKING:
    from gateway.interfaces import Clock
    from gateway.journal.journal import Journal


class EventLog:
    """Writes events to the journal (kinds: docs/specs/journal.md)."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        """Events get the clock's wall time."""
        self._journal, self._clock = journal, clock

    def note(self, kind: str, subject: str, /, **detail: object) -> None:
        """Journal a transition; it is on disk after the next commit."""
        self.note_at(self._clock.wall_ns(), kind, subject, **detail)

    def note_at(self, time_ns: int, kind: str, subject: str, /, **detail: object) -> None:
        """Journal a transition with another time than the clock's, such as that of the clock before it was stepped."""
        self._journal.note(Event(time_ns, kind, subject, detail))

    async def note_for_good(self, kind: str, subject: str, /, **detail: object) -> bool:
        """Journal a transition; return whether it is on disk, else it waits in memory and the journal goes on trying."""
        self.note(kind, subject, **detail)
        return await self._journal.flush()

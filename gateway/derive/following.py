"""The inventory in force, followed while the gateway runs: the newest revision that was applied."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.derive.marks import Marks
    from gateway.inventory.revisions import Head, Revision

log = structlog.get_logger("inventory")


class Applied(Protocol):
    """Every revision that was applied: `gateway.inventory.revisions.Revisions`."""

    def numbers(self) -> Sequence[int]:
        """Return the numbers there are, the oldest first. Raises MetergateError."""

    def heads(self) -> Sequence[Head]:
        """Return all of them without their inventories, oldest first. Raises MetergateError."""

    def at(self, number: int) -> Revision:
        """Return one of them. Raises MetergateError."""


class Following:
    """Knows the newest revision that could be read; marks follow it. What cannot be read leaves everything as it was."""

    def __init__(self, applied: Applied, marks: Marks) -> None:
        """marks: made to follow each revision found."""
        self.marks = marks
        self.revision: Revision | None = None
        self._applied = applied
        self._heads: Sequence[Head] = ()
        self._failure = ""

    async def look(self) -> bool:
        """Look whether a revision was applied; return whether another one is in force now."""
        try:
            numbers = await asyncio.to_thread(self._applied.numbers)
            newest = max(numbers, default=0)
            if newest == (0 if self.revision is None else self.revision.number):
                self._failure = ""
                return False
            found = await asyncio.to_thread(self._applied.at, newest) if newest else None
            self._heads = await asyncio.to_thread(self._applied.heads)
        except MetergateError as error:
            if str(error) != self._failure:
                log.error("the inventory cannot be read; the one known stays in force", error=str(error))
            self._failure = str(error)
            return False
        self._failure, self.revision = "", found
        self.marks.follow(None if found is None else found.inventory)
        if found is not None:
            log.info("inventory in force", revision=found.number, digest=found.digest)
        return True

    def figures(self) -> dict[str, Any]:
        """Return what is in force, for status; revision 0: none. error: why a newer one cannot be read, "" if it can."""
        one = self.revision
        number, digest = (0, "") if one is None else (one.number, one.digest)
        return {"revision": number, "digest": digest, "error": self._failure}

    def since(self, number: int) -> list[Head]:
        """Return the revisions applied after that one, oldest first, as far as they were looked at."""
        return [head for head in self._heads if head.number > number]

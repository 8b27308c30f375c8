"""A destination of the feed under virtual time: keeps what it takes in the order it came, and misbehaves as scripted."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from gateway.clock import sleep_for
from gateway.errors import SinkUnavailable
from gateway.feed.contract import topic
from gateway.feed.entries import place_of
from gateway.feed.recording import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.feed.entries import Entry, Former
    from gateway.interfaces import Clock
    from gateway.model import Refusal
    from simulators.fakes import Trouble

ROOT = "emc/v1/350100/91350100M000100Y43/plant-1"


class Came(NamedTuple):
    """A message that was taken. late: marked so."""

    entry: Entry
    late: bool
    at_s: float


class FakeDestination:
    """troubles: `away`, `slow` (delay_s a write), `doubtful` (takes it, then the acknowledgement is lost). root: of its topics."""

    def __init__(self, clock: Clock, troubles: Iterable[Trouble]) -> None:
        self._clock, self._troubles, self._chance = clock, list(troubles), Random(1)
        self.came: list[Came] = []
        self.messages: list[Message] = []
        self._open = False
        self.root = ROOT
        self.left: list[Former] = []

    async def open(self, retained: Sequence[Entry], *, chain: str, seq: int) -> None:
        await sleep_for(self._clock, 0.01)
        self._away()
        self._open = True
        for entry in retained:
            assert self.root.endswith(place_of(entry.jws)), "announced what is from another place"
            self._keep(entry, topic(entry.kind, entry.subject))

    async def leave_place(self, former: Former) -> None:
        self._away()
        self.left.append(former)

    async def write(self, entries: Sequence[Entry], *, late: bool) -> list[Refusal]:
        assert self._open, "write to a destination that is not open"
        assert entries, "an empty batch"
        slow = self._find("slow")
        await sleep_for(self._clock, 0.002 + (slow.delay_s if slow else 0.0))
        self._away()
        for entry in entries:
            self.came.append(Came(entry, late, self._clock.monotonic()))
            own = topic(entry.kind, entry.subject)
            self._keep(entry, "backfill" if late else own)
        if self._find("doubtful"):
            self._open = False
            raise SinkUnavailable("connection lost before the acknowledgement")
        return []

    async def close(self) -> None:
        self._open = False

    def _keep(self, entry: Entry, place: str) -> None:
        """Note a message as a subscriber receives it who has been there from the start: nothing is retained for him."""
        root = f"emc/v1/{place_of(entry.jws)}"
        self.messages.append(Message(f"{root}/{place}", entry.jws, False, entry.time_ns // 1_000_000))

    def _away(self) -> None:
        if self._find("away"):
            self._open = False
            raise SinkUnavailable("away")

    def _find(self, kind: str) -> Trouble | None:
        now_s = self._clock.monotonic()
        return next((t for t in self._troubles if t.kind == kind and t.hits("", now_s, self._chance)), None)

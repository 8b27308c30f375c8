"""An outbox in memory, and a destination that remembers; both misbehave as they are told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.errors import SinkUnavailable, StorageError
from gateway.feed.contract import RETAINED, topic
from gateway.model import Refusal
from tests.fakes.feed import CHAIN, START_NS, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.feed.contract import Kind
    from gateway.feed.entries import Entry
    from gateway.interfaces import Clock


class FakeOutbox:
    """fails: why reading fails, "" while it does not. fails_saving: the same of positions. gone: seqs nobody kept."""

    def __init__(self, chain: str = CHAIN) -> None:
        self.chain = chain
        self.oldest = 1
        self.kept: dict[int, Entry] = {}
        self.following = 1
        self.saved: dict[str, Mapping[str, Any]] = {}
        self.saves = 0
        self.fails = self.fails_saving = ""
        self._events: list[asyncio.Event] = []

    def add(self, kind: Kind = "data", subject: str = "", *, size: int = 0, count: int = 1) -> None:
        """Sign so many messages."""
        for _ in range(count):
            seq = self.following
            self.kept[seq] = entry(seq, kind, subject, size=size, time_ns=START_NS + seq)
            self.following += 1
        for event in self._events:
            event.set()

    def drop(self, oldest: int) -> None:
        """Messages below `oldest` go."""
        self.oldest = oldest
        self.kept = {seq: one for seq, one in self.kept.items() if seq >= oldest}

    def begin(self, chain: str) -> None:
        """A new chain, from seq 1."""
        self.chain, self.oldest, self.following, self.kept = chain, 1, 1, {}

    def subscribe(self, event: asyncio.Event, /) -> None:
        self._events.append(event)

    async def entries(self, first_seq: int, until_seq: int, bytes_max: int) -> list[Entry]:
        self._may(self.fails)
        found: list[Entry] = []
        size = 0
        for seq in range(first_seq, until_seq):
            if seq in self.kept:
                size += len(self.kept[seq].jws)
                if found and size > bytes_max:
                    break
                found.append(self.kept[seq])
        return found

    async def retained(self) -> list[Entry]:
        self._may(self.fails)
        newest = {topic(one.kind, one.subject): one for one in self.kept.values() if one.kind in RETAINED}
        return sorted(newest.values())

    async def save_position(self, name: str, body: Mapping[str, Any]) -> None:
        self._may(self.fails_saving)
        self.saved[name] = body
        self.saves += 1

    def _may(self, fault: str) -> None:
        if fault:
            raise StorageError(fault)


@dataclass
class FakeDestination:
    """Remembers what it took: (seq, late, monotonic time). away: why it takes nothing, "" while it does.

    doubtful: takes and then says it did not know. slow_s: how long a write takes. refuse: why a message is refused.
    """

    clock: Clock
    away: str = ""
    doubtful: bool = False
    slow_s: float = 0.0
    refuse: Callable[[Entry], str] = lambda _entry: ""
    taken: list[tuple[int, bool, float]] = field(default_factory=list)
    bytes: dict[int, set[bytes]] = field(default_factory=dict)
    announced: list[tuple[list[int], str, int]] = field(default_factory=list)
    writes: list[list[int]] = field(default_factory=list)
    retry_after_s: float | None = None
    is_open: bool = False
    opening: Callable[[], None] = lambda: None

    async def open(self, retained: Sequence[Entry], *, chain: str, seq: int) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise SinkUnavailable(self.away, retry_after_s=self.retry_after_s)
        self.opening()
        self.announced.append(([one.seq for one in retained], chain, seq))
        self.is_open = True

    async def write(self, entries: Sequence[Entry], *, late: bool) -> list[Refusal]:
        if not self.is_open:
            raise RuntimeError("write to a destination that is not open")
        await asyncio.sleep(self.slow_s)
        if self.away:
            raise SinkUnavailable(self.away, retry_after_s=self.retry_after_s)
        self.writes.append([one.seq for one in entries])
        refusals = []
        for index, one in enumerate(entries):
            if why := self.refuse(one):
                refusals.append(Refusal(index, why))
                continue
            self.taken.append((one.seq, late, self.clock.monotonic()))
            self.bytes.setdefault(one.seq, set()).add(one.jws)
        if self.doubtful:
            raise SinkUnavailable("the acknowledgement was lost")
        return refusals

    async def close(self) -> None:
        self.is_open = False

    def seqs(self, *, late: bool | None = None) -> list[int]:
        """Return what it took, in order."""
        return [seq for seq, was_late, _ in self.taken if late is None or late == was_late]

"""Commit groups in memory: the one being filled and until when, those waiting for the disk, the newest committed."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

import structlog

from gateway.journal.records import unpack
from gateway.journal.store import StorageDamaged
from gateway.model import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.interfaces import Clock
    from gateway.journal.records import Record
    from gateway.journal.store import NewGroup, Store
    from gateway.layout import Layout

RECORD_OVERHEAD = 64  # bytes a record costs in memory beside its raw bytes, roughly
FRAME_MEMORY, READING_MEMORY = 330, 10  # bytes, decoded, beside the raw ones; measured on CPython 3.11
TAIL_BYTES = (
    16 << 20
)  # 640 000 readings of 30 channels: twice what a sink that collects 1 s leaves at 240 000/s
QUIET_S = 0.01  # the answers to one burst of polls lie closer together than this

log = structlog.get_logger("journal")


@dataclass(slots=True)
class OpenGroup:
    """Records of one epoch that will be committed together. size: bytes in memory, roughly; closed_s: monotonic."""

    epoch: int = 0
    records: list[Record] = field(default_factory=list)
    size: int = 0
    readings: int = 0
    frames: int = 0
    first_ns: int = 0
    last_ns: int = 0
    closed_s: float = 0.0
    config: str = ""  # the digest that is the site file's once this group is committed

    def add_frame(self, frame: Frame) -> None:
        """Take a frame."""
        self.records.append(frame)
        self.size += len(frame.raw) + RECORD_OVERHEAD
        self.readings += len(frame.flags)
        self.frames += 1
        self._span(frame.time_ns)

    def add_note(self, record: Record, time_ns: int) -> None:
        """Take an event or a gap."""
        self.records.append(record)
        self.size += 4 * RECORD_OVERHEAD
        self._span(time_ns)

    def _span(self, time_ns: int) -> None:
        self.last_ns = max(self.last_ns, time_ns)
        if not self.first_ns or time_ns < self.first_ns:
            self.first_ns = time_ns


class Pace:
    """When to commit: `group_s` after the first record, or when none has come for `QUIET_S`, looked at that often.

    Polls come in bursts on the wall grid, and when one is over, waiting on would only delay it. That is not done within
    `group_s` of the last time, else meters spread over the second would cause a commit each, and commits wear flash:
    there are never more than 1 / `group_s` a second (20).
    """

    def __init__(self, clock: Clock, group_s: float) -> None:
        """group_s: the longest a record waits."""
        self._clock, self._group_s = clock, group_s
        self._first_s = self._last_s = clock.monotonic() - group_s
        self.started = asyncio.Event()

    def start(self) -> None:
        """Note that there is something to commit."""
        if not self.started.is_set():
            self._first_s = self._clock.monotonic()
            self.started.set()

    async def over(self, size: Callable[[], int]) -> None:
        """Return when it is time. size: of the open group, in bytes."""
        clock = self._clock
        end_s = self._first_s + self._group_s
        early_s = self._last_s + self._group_s
        if early_s - QUIET_S > clock.monotonic():
            await clock.sleep_until(min(early_s - QUIET_S, end_s))
        before = -1
        while size() != before and clock.monotonic() < end_s:
            before = size()
            await clock.sleep_until(min(clock.monotonic() + QUIET_S, end_s))
        self._last_s = clock.monotonic()
        self.started.clear()


class Committed(NamedTuple):
    """A committed group, decoded; a damaged one has no records. readings_after: journaled up to and including it.

    records: in order; frames: those of them that are frames.
    """

    id: int
    records: Sequence[Record]
    frames: Sequence[Frame]
    readings: int
    readings_after: int


def _frames(records: Iterable[Record]) -> list[Frame]:
    return [record for record in records if isinstance(record, Frame)]


class Waiting:
    """Closed groups that wait for the disk, bounded in time and bytes; those a commit has taken stay put."""

    def __init__(self, wait_s: float, bytes_max: int) -> None:
        """wait_s: longest wait of a group; bytes_max: most memory all of them may take."""
        self._wait_s, self._bytes_max = wait_s, bytes_max
        self._groups: list[OpenGroup] = []
        self._taken = 0
        self.size = 0

    def __len__(self) -> int:
        """Return how many groups wait."""
        return len(self._groups)

    def put(self, group: OpenGroup, now_s: float) -> None:
        """Take a closed group."""
        group.closed_s = now_s
        self._groups.append(group)
        self.size += group.size

    def take(self) -> list[OpenGroup]:
        """Return every waiting group, oldest first; `done` or `failed` must follow."""
        self._taken = len(self._groups)
        return list(self._groups)

    def done(self) -> None:
        """Forget the groups taken: they are on disk."""
        self.size -= sum(group.size for group in self._groups[: self._taken])
        del self._groups[: self._taken]
        self._taken = 0

    def failed(self) -> None:
        """Keep the groups taken: the disk did not take them."""
        self._taken = 0

    def overflow(self, now_s: float) -> list[OpenGroup]:
        """Remove and return the groups that waited too long or do not fit, oldest first."""
        lost: list[OpenGroup] = []
        for group in self._groups[self._taken :]:
            if self.size <= self._bytes_max and (self._taken or group.closed_s >= now_s - self._wait_s):
                break
            self.size -= group.size
            lost.append(group)
        del self._groups[self._taken : self._taken + len(lost)]
        return lost


class Tail:
    """The newest committed groups, so that a reader at the live end never asks the disk."""

    def __init__(self) -> None:
        """Start empty."""
        self._groups: deque[Committed] = deque()
        self._sizes: deque[int] = deque()
        self.size = 0

    @property
    def first(self) -> Committed | None:
        """Return the oldest group that is still here."""
        return self._groups[0] if self._groups else None

    def extend(self, groups: Sequence[tuple[Sequence[Record], NewGroup]], wanted: int) -> None:
        """Take the records of groups just committed; keep those from id `wanted` on, within `TAIL_BYTES`."""
        for records, new in groups:
            only = new.frames == len(records)  # the rule; then no record is looked at
            frames = cast("Sequence[Frame]", records) if only else _frames(records)
            after = new.readings_before + new.readings
            self._groups.append(Committed(new.id, records, frames, new.readings, after))
            size = len(new.body) + FRAME_MEMORY * new.frames + READING_MEMORY * new.readings
            self._sizes.append(size)
            self.size += size
        self.forget(wanted)
        while self.size > TAIL_BYTES:
            self._drop()

    def forget(self, wanted: int) -> None:
        """Let go of groups below id `wanted`."""
        while self._groups and self._groups[0].id < wanted:
            self._drop()

    def _drop(self) -> None:
        self._groups.popleft()
        self.size -= self._sizes.popleft()

    def fetch(self, first: int, until: int, readings_max: int) -> list[Committed] | None:
        """Return groups from id `first` to below `until`, at least one; None if `first` is not here any more."""
        if not self._groups or first < self._groups[0].id:
            return None
        oldest = self._groups[0].id
        found: list[Committed] = []
        total = 0
        for n in range(first - oldest, min(len(self._groups), until - oldest)):
            found.append(self._groups[n])
            total += self._groups[n].readings
            if total >= readings_max:
                break
        return found


def read_groups(
    store: Store, layout_of: Callable[[int], Layout], first: int, until: int, readings_max: int
) -> list[Committed]:
    """Return groups from disk, decoded; blocks. A damaged one comes without records, so that readers pass it."""
    try:
        rows = store.read(first, until, readings_max)
    except StorageDamaged:
        try:
            rows = store.read(first, first + 1, 1)
        except StorageDamaged as error:
            log.error("journal group cannot be read and is skipped", group=first, error=str(error))
            return [Committed(first, [], [], 0, 0)]
    found = []
    for row in rows:
        records: list[Record] = []
        try:
            if not row.intact:
                raise ValueError("checksum does not hold")
            records = list(unpack(row.body, layout_of))
        except (ValueError, KeyError) as error:
            log.error("journal group is damaged and skipped", group=row.id, error=str(error))
        after = row.readings_before + row.readings
        found.append(Committed(row.id, records, _frames(records), row.readings, after))
    return found

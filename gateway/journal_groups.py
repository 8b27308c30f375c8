"""Commit groups in memory: the one being filled, those waiting for the disk, the newest committed ones."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.model import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.journal_records import Record
    from gateway.journal_store import NewGroup

RECORD_OVERHEAD = 64  # bytes a record costs in memory beside its raw bytes, roughly
TAIL_READINGS = 200_000


@dataclass(slots=True)
class OpenGroup:
    """Records that will be committed together. size: bytes in memory, roughly; closed_s: monotonic."""

    records: list[Record] = field(default_factory=list)
    size: int = 0
    readings: int = 0
    frames: int = 0
    first_ns: int = 0
    last_ns: int = 0
    closed_s: float = 0.0

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


@dataclass(slots=True, frozen=True)
class Committed:
    """A committed group, decoded. readings_after: journaled readings up to and including it."""

    id: int
    frames: list[Frame]
    readings: int
    readings_after: int
    damaged: bool = False


class Waiting:
    """Closed groups that wait for the disk, bounded in time and bytes."""

    def __init__(self, wait_s: float, bytes_max: int) -> None:
        """wait_s: longest wait of a group; bytes_max: most memory all of them may take."""
        self._wait_s, self._bytes_max = wait_s, bytes_max
        self._groups: deque[OpenGroup] = deque()

    def __len__(self) -> int:
        """Return how many groups wait."""
        return len(self._groups)

    def put(self, group: OpenGroup, now_s: float) -> None:
        """Take a closed group."""
        group.closed_s = now_s
        self._groups.append(group)

    def all(self) -> list[OpenGroup]:
        """Return every waiting group, oldest first."""
        return list(self._groups)

    def done(self, count: int) -> None:
        """Forget the `count` oldest: they are on disk."""
        for _ in range(count):
            self._groups.popleft()

    def overflow(self, now_s: float) -> list[OpenGroup]:
        """Remove and return the groups that waited too long or do not fit, oldest first."""
        size = sum(group.size for group in self._groups)
        lost = []
        while self._groups and (size > self._bytes_max or self._groups[0].closed_s < now_s - self._wait_s):
            group = self._groups.popleft()
            size -= group.size
            lost.append(group)
        return lost


class Tail:
    """The newest committed groups, so that a reader at the live end never asks the disk."""

    def __init__(self) -> None:
        """Start empty."""
        self._groups: deque[Committed] = deque()
        self._readings = 0

    def extend(self, groups: Sequence[tuple[OpenGroup, NewGroup]], wanted: int) -> None:
        """Take groups just committed; keep those from id `wanted` on, within `TAIL_READINGS`."""
        for group, new in groups:
            frames = [record for record in group.records if isinstance(record, Frame)]
            after = new.readings_before + new.readings
            self._groups.append(Committed(new.id, frames, new.readings, after))
            self._readings += new.readings
        while self._groups and (self._groups[0].id < wanted or self._readings > TAIL_READINGS):
            self._readings -= self._groups.popleft().readings

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

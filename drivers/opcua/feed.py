"""What a subscription reported of one poll's channels, until it is read: changes in, samples out. Pure.

The server tells only what changed; between two reports a value is what was reported last, for as long as the
subscription is known to live (docs/decisions/0017-opcua-subscriptions.md).
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import NamedTuple

from drivers.opcua import slot
from gateway.model import MS_NS, NS, Flag, Sample

STEP_NS = NS  # a row this far ahead of the clock shows that the clock was put back
_UNREPORTED = slot.pack(0, None, 0, 0)


class Change(NamedTuple):
    """One reported value. arrival_ns: wall time at which the server's message came. channel: its index. slot: as in the sample."""

    arrival_ns: int
    channel: int
    slot: bytes
    status: int
    source_ns: int


class _Row(NamedTuple):
    changes: dict[int, Change]
    newest_ns: int  # source time, 0 where the server gives none


class Feed:
    """The channels of one poll: what was reported last of each, and the changes nobody has read yet."""

    def __init__(self, count: int, stale_ns: int) -> None:
        """count: channels. stale_ns: a source time older than this is stale."""
        self.count = count
        self._stale_ns = stale_ns
        self._slots = [_UNREPORTED] * count
        self._status = [0] * count
        self._source_ns = [0] * count
        self._absent: list[int] = [Flag.MISSING | Flag.COMMS] * count  # flags while there is no report
        self._reported = [b""] * count  # newest report, also of changes not read yet
        self._pending: deque[Change] = deque()
        self._alive_ns = 0  # newest moment the server was heard
        self._row_ns = 0  # time of the newest row returned

    def __len__(self) -> int:
        """Return how many changes wait to be read."""
        return len(self._pending)

    def begin(self, sample: Sample, answers: list[Change]) -> None:
        """Start from a plain read of all channels, whose sample is returned by somebody else."""
        for change in answers:
            self._reported[change.channel] = change.slot
            self._hold(change)
        self._row_ns = sample.time_ns
        self._alive_ns = max(self._alive_ns, sample.time_ns)

    def lost(self, index: int, status: int) -> None:
        """Note that the server has no such channel any more: absent until it is reported again."""
        self._slots[index], self._reported[index] = slot.pack(0, None, status, 0), b""
        self._absent[index] = Flag.MISSING | Flag.DEVICE

    def report(self, change: Change) -> bool:
        """Take note of a change; return False for one that repeats the report before it to the last bit."""
        if self._reported[change.channel] == change.slot:
            return False
        self._reported[change.channel] = change.slot
        self._pending.append(change)
        return True

    def heard(self, arrival_ns: int) -> None:
        """Note that the subscription lives: what was not reported by now had not changed."""
        self._alive_ns = arrival_ns

    def drop_oldest(self) -> Change | None:
        """Make room: return the oldest change not read, which now only counts as the value held; None if there is none."""
        if not self._pending:
            return None
        change = self._pending.popleft()
        self._hold(change)
        return change

    def rows(self) -> list[Sample]:
        """Return every change since the last call, in order of time; without one, the values held when last heard.

        Several changes of one channel are as many samples. Empty if the server was not heard since the last call.
        """
        found: list[Sample] = []
        while self._pending:
            arrival_ns = self._pending[0].arrival_ns
            step = []
            while self._pending and self._pending[0].arrival_ns == arrival_ns:
                step.append(self._pending.popleft())
            found += self._samples(arrival_ns, _rows(step))
        if self._row_ns > self._alive_ns + STEP_NS:
            self._row_ns = 0
        if not found and self._alive_ns > self._row_ns:
            self._row_ns = self._alive_ns
            found.append(self._sample(self._alive_ns))
        return found

    def _samples(self, arrival_ns: int, rows: list[_Row]) -> list[Sample]:
        """Return the rows of one message: the last at its arrival, earlier ones as far before as their source times."""
        if self._row_ns > arrival_ns + STEP_NS:
            self._row_ns = 0
        found = []
        newest_ns = rows[-1].newest_ns
        for left, row in zip(range(len(rows) - 1, -1, -1), rows, strict=True):
            for change in row.changes.values():
                self._hold(change)
            before_ns = max(newest_ns - row.newest_ns if row.newest_ns else 0, left * MS_NS)
            self._row_ns = max(arrival_ns - before_ns, self._row_ns + MS_NS)
            found.append(self._sample(self._row_ns))
        return found

    def _hold(self, change: Change) -> None:
        index = change.channel
        self._slots[index], self._status[index] = change.slot, change.status
        self._source_ns[index] = change.source_ns
        self._absent[index] = 0

    def _sample(self, time_ns: int) -> Sample:
        flags = array("H")
        for packed, status, source_ns, absent in zip(
            self._slots, self._status, self._source_ns, self._absent, strict=True
        ):
            age_ns = time_ns - source_ns if source_ns else 0
            flags.append(absent or slot.judge(packed, status, age_ns, self._stale_ns))
        return Sample(time_ns, max(self._source_ns) or None, b"".join(self._slots), flags)


def _rows(step: list[Change]) -> list[_Row]:
    """Return the changes of one message as rows, none with two changes of a channel; order of source times.

    The changes of a channel keep the server's order, whatever its clock did between them.
    """
    latest: dict[int, int] = {}
    timed = []
    for change in step:
        key_ns = max(change.source_ns, latest.get(change.channel, 0))
        latest[change.channel] = key_ns
        timed.append((key_ns, change))
    timed.sort(key=lambda pair: pair[0])
    rows: list[_Row] = []
    changes: dict[int, Change] = {}
    newest_ns = 0
    for key_ns, change in timed:
        if change.channel in changes:
            rows.append(_Row(changes, newest_ns))
            changes = {}
        changes[change.channel] = change
        newest_ns = key_ns
    rows.append(_Row(changes, newest_ns))
    return rows

"""Events and gaps read back from the journal's file, its samples passed over: a slice of it at a time, either way.

A slice is brief, for it runs between two commits: a few thousand groups are looked at, a megabyte or two read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import apsw
import structlog

from gateway.errors import StorageError
from gateway.journal.format import FORMAT
from gateway.journal.records import notes
from gateway.journal.store import Store
from gateway.model import Event

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from gateway.journal.store import GroupRow
    from gateway.model import Gap

GAP = "gap"  # what a gap record is called among events
WIDTH_FIRST, WIDTH_MAX = 64, 4096  # groups of a slice
READINGS_MAX = 100_000  # that are read past in one slice: a megabyte or two

log = structlog.get_logger("journal")


class Wanted(NamedTuple):
    """Which events. subjects, kinds: None: all. without: kinds left out. from_ns <= time < to_ns."""

    subjects: Container[str] | None = None
    kinds: Container[str] | None = None
    without: Container[str] = ()
    from_ns: int = 0
    to_ns: int = 1 << 63

    def row(self, note: Event | Gap) -> dict[str, Any] | None:
        """Return an event as plain JSON values, None if it is not wanted."""
        if isinstance(note, Event):
            kind, detail = note.kind, dict(note.detail)
        else:
            kind = GAP
            detail = {
                "reason": note.reason,
                "first_ns": note.first_ns,
                "last_ns": note.last_ns,
                "readings": note.readings,
            }
        if (
            not self.from_ns <= note.time_ns < self.to_ns
            or kind in self.without
            or (self.kinds is not None and kind not in self.kinds)
            or (self.subjects is not None and note.subject not in self.subjects)
        ):
            return None
        return {"time_ns": note.time_ns, "kind": kind, "subject": note.subject, "detail": detail}


class Found(NamedTuple):
    """The wanted events of one group, in order. size: about how many bytes they are as JSON."""

    group: int
    rows: list[dict[str, Any]]
    size: int


class Scan:
    """A way through the groups `first` to below `until`, forward or back; `first` or `until` moves with each slice."""

    def __init__(self, wanted: Wanted, first: int, until: int, *, back: bool) -> None:
        """back: from the newest group to the oldest."""
        self._wanted, self.first, self.until, self._back = wanted, first, until, back
        self._width = WIDTH_FIRST
        self.damaged = 0

    @property
    def is_over(self) -> bool:
        """Return whether every group has been looked at."""
        return self.first >= self.until

    def slice(self, store: Store) -> list[Found]:
        """Return the next groups with something wanted, in the direction of the scan. Raises StorageError."""
        low = max(self.first, self.until - self._width) if self._back else self.first
        high = self.until if self._back else min(self.until, self.first + self._width)
        ids = [
            id_
            for id_, first_ns, last_ns in store.spans(low, high)
            if first_ns < self._wanted.to_ns and last_ns >= self._wanted.from_ns
        ]
        rows = store.read(ids[0], ids[-1] + 1, READINGS_MAX) if ids else []
        if rows and rows[-1].id < ids[-1]:  # too much for one slice
            self._width = max(self._width // 2, 1)
            if self._back:
                return []
            high = rows[-1].id + 1
        else:
            self._width = min(2 * self._width, WIDTH_MAX)
        if self._back:
            self.until = low
        else:
            self.first = high
        return [one for one in map(self._group, reversed(rows) if self._back else rows) if one.rows]

    def _group(self, row: GroupRow) -> Found:
        rows, size = [], 0
        try:
            if not row.intact:
                raise ValueError("checksum does not hold")
            for note, length in notes(row.body):
                wanted = self._wanted.row(note)
                if wanted is not None:
                    rows.append(wanted)
                    size += length
        except ValueError as error:
            self.damaged += 1
            log.warning("journal group is damaged; its events are not shown", group=row.id, error=str(error))
        return Found(row.id, rows, size)


class ReadOnly(Store):
    """The file of a gateway that does not run, opened to be read: it is not changed, nor migrated."""

    def __init__(self, path: Path) -> None:
        """path: `journal.db`. Raises StorageError if it is not there, not readable or of another format.

        What a kill left in the write-ahead log is read too; where there is none the file is opened so that SQLite puts nothing
        beside it.
        """
        self.path = path
        log_file = path.with_name(path.name + "-wal")
        try:
            left = log_file.stat().st_size if log_file.exists() else 0
            mode = "mode=ro" if left else "immutable=1"
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            self._db = apsw.Connection(f"file:{quote(str(path))}?{mode}", flags=flags)
        except (OSError, apsw.Error) as error:
            raise StorageError(f"cannot open journal {path}: {error}") from error
        try:
            found = self._value("SELECT value FROM meta WHERE key='format'")
            self.oldest = self._value("SELECT min(id) FROM groups") or 1
            self.following = (self._value("SELECT max(id) FROM groups") or 0) + 1
        except apsw.Error as error:
            self._db.close(True)
            raise StorageError(f"cannot read journal {path}: {error}") from error
        if found != FORMAT:
            self._db.close(True)
            raise StorageError(f"journal {path} has format {found}, this version of Metergate reads {FORMAT}")

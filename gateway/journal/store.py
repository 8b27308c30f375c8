"""The journal's file: SQLite through apsw, WAL, synchronous=FULL, one row per commit group.

Everything here blocks and belongs to the journal's one writer thread. apsw brings its own SQLite; Debian 12's
3.40.1 has the WAL-reset corruption bug (https://sqlite.org/wal.html#walresetbug).

Invariants: group ids ascend in commit order; a layout's row is committed with or before the first group that uses
it and stays as long as a group may; what the cap drops, the gap record that says so and the groups it makes room for
are one transaction. A file of a newer format is left alone, one of an older format is migrated (`format`).
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import apsw
import orjson
import structlog

from gateway.errors import StorageError
from gateway.journal import format as file_format
from gateway.journal.database import connect
from gateway.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from pathlib import Path

REFUSALS_MAX = 10_000
CACHE_KIB = (
    1024  # of pages SQLite keeps, mostly groups nobody reads again: half or twice of it costs the same CPU
)

log = structlog.get_logger("journal")


class StorageFull(StorageError):
    """The disk or the file's own limit leaves no room."""


class StorageDamaged(StorageError):
    """The file is no journal any more; it must be put aside and a new one begun."""


def _failure(what: str, path: Path, error: apsw.Error) -> StorageError:
    text = f"cannot {what} journal {path}: {error}"
    if isinstance(error, apsw.FullError):
        return StorageFull(text)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StorageDamaged(text)
    return StorageError(text)


class GroupRow(NamedTuple):
    """One committed group as it lies on disk; `intact` is False if its checksum does not hold."""

    id: int
    first_ns: int
    last_ns: int
    readings: int
    readings_before: int
    body: bytes
    intact: bool


@dataclass(slots=True)
class NewGroup:
    """A group about to be committed; `id` and `readings_before` are given by the journal."""

    id: int
    first_ns: int
    last_ns: int
    frames: int
    readings: int
    readings_before: int
    body: bytes


class Span(NamedTuple):
    """Groups start <= id < until; *_before: readings journaled before that group."""

    start: int
    until: int
    start_before: int
    until_before: int


@dataclass(slots=True)
class ReaderState:
    """A reader's positions: the first live group not acknowledged yet, and the ranges of its backlog."""

    name: str
    live: int
    live_before: int
    backlog: list[Span] = field(default_factory=list)
    delivered: int = 0
    refused: int = 0
    missed: int = 0


class RefusalRow(NamedTuple):
    """A frame a destination refused for good."""

    reader: str
    meter: str
    epoch: int
    time_ns: int
    readings: int
    reason: str


class Dropped(NamedTuple):
    """The oldest groups, below id `following`, that the cap takes or took; following 0: none."""

    following: int = 0
    readings: int = 0
    first_ns: int = 0
    last_ns: int = 0


@dataclass(slots=True)
class Opened:
    """What a journal file held when it was opened. oldest_ns: first time of the oldest group, 0 if there is none.

    digests: of every layout, also of those that cannot be read; unused: ids of those no group can be using from now on.
    config: digest of the site file that was journaled last, "" if none was.
    """

    epoch: int
    last_ns: int
    oldest: int
    oldest_before: int
    oldest_ns: int
    following: int
    readings: int
    frames: int
    dropped: int
    config: str
    used_bytes: int
    layouts: dict[int, Layout]
    digests: dict[str, int]
    unused: set[int]
    readers: dict[str, ReaderState]


@dataclass(slots=True)
class Commit:
    """Everything one transaction makes durable.

    uses: layout id -> whether these or later groups may use it. keep: layouts that stay though no group uses them.
    """

    groups: Sequence[NewGroup]
    layouts: Sequence[tuple[int, Layout]]
    uses: Mapping[int, bool]
    keep: Container[int]
    readers: Sequence[ReaderState]
    refusals: Sequence[RefusalRow]
    meta: dict[str, int | str]
    drop_below: int = 0


class Store:
    """The open file. Every method raises StorageError when the disk or the file does not play along."""

    def __init__(self, path: Path, *, pages_max: int | None = None) -> None:
        """path: the database file. pages_max: SQLite's own limit on the file, for tests of a full disk."""
        self.path = path
        try:
            self._db = connect(path, cache_kib=CACHE_KIB, pages_max=pages_max)
        except apsw.Error as error:
            raise _failure("open", path, error) from error
        try:
            self._page_bytes = self._value("PRAGMA page_size") or 4096
            file_format.prepare(self._db, path)
        except apsw.Error as error:
            self._db.close(True)
            raise _failure("open", path, error) from error
        except ValueError as error:
            self._db.close(True)
            raise StorageDamaged(f"journal {path} is damaged: {error}") from error
        except StorageError:
            self._db.close(True)
            raise

    def _value(self, sql: str, bindings: tuple[int | str, ...] = ()) -> int | None:
        row = self._db.execute(sql, bindings).fetchone()
        return None if row is None else row[0]

    def load(self) -> Opened:
        """Return everything the journal keeps in memory: counters, layouts and reader positions."""
        try:
            first = self._db.execute(
                "SELECT id, readings_before, first_ns FROM groups ORDER BY id LIMIT 1"
            ).fetchone()
            last = self._db.execute(
                "SELECT id, readings_before + readings FROM groups ORDER BY id DESC LIMIT 1"
            ).fetchone()
            meta = dict(self._db.execute("SELECT key, value FROM meta"))
            following, readings = meta.get("following", 1), meta.get("readings", 0)
            if last:
                following, readings = max(following, last[0] + 1), max(readings, last[1])
            layouts, digests = self._load_layouts()
            readers = {
                name: ReaderState(
                    name, live, before, [Span(*span) for span in orjson.loads(backlog)], *counts
                )
                for name, live, before, backlog, *counts in self._db.execute("SELECT * FROM readers")
            }
            return Opened(
                epoch=meta.get("epoch", 0),
                last_ns=meta.get("last_ns", 0),
                oldest=first[0] if first else following,
                oldest_before=first[1] if first else readings,
                oldest_ns=first[2] if first else 0,
                following=following,
                readings=readings,
                frames=meta.get("frames", 0),
                dropped=meta.get("dropped", 0),
                config=meta.get("config", ""),
                used_bytes=self.used_bytes(),
                layouts=layouts,
                digests=digests,
                unused={id_ for (id_,) in self._db.execute("SELECT layout FROM unused")},
                readers=readers,
            )
        except apsw.Error as error:
            raise _failure("read", self.path, error) from error
        except (TypeError, ValueError) as error:
            raise StorageDamaged(f"journal {self.path} is damaged: {error}") from error

    def _load_layouts(self) -> tuple[dict[int, Layout], dict[str, int]]:
        layouts, digests = {}, {}
        for id_, digest, body in self._db.execute("SELECT id, digest, body FROM layouts ORDER BY id"):
            digests[digest] = id_
            try:
                layouts[id_] = Layout.from_dict(orjson.loads(body))
            except (KeyError, TypeError, ValueError) as error:
                log.error(
                    "journaled layout cannot be read; its samples are skipped", id=id_, error=repr(error)
                )
        return layouts, digests

    def commit(self, commit: Commit) -> list[int]:
        """Make all of it durable in one transaction, or none of it; return the layouts that went with the last group."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._apply(commit)
                gone = self._drop_layouts(commit) if commit.drop_below else []
                self._db.execute("COMMIT")
                return gone
            finally:
                if self._db.in_transaction:  # a full disk makes SQLite roll back by itself
                    self._db.execute("ROLLBACK")
        except apsw.Error as error:
            raise _failure("write", self.path, error) from error

    def _drop_layouts(self, commit: Commit) -> list[int]:
        rows = self._db.execute("SELECT layout FROM unused WHERE since <= ?", (commit.drop_below,))
        gone = [id_ for (id_,) in rows if id_ not in commit.keep]
        for id_ in gone:
            self._db.execute("DELETE FROM layouts WHERE id=?", (id_,))
            self._db.execute("DELETE FROM unused WHERE layout=?", (id_,))
        return gone

    def _apply(self, commit: Commit) -> None:
        execute = self._db.execute
        if commit.drop_below:  # first, so that the new groups find its pages free
            execute("DELETE FROM groups WHERE id < ?", (commit.drop_below,))
        for id_, layout in commit.layouts:
            body = orjson.dumps(layout.to_dict())
            execute("INSERT OR REPLACE INTO layouts VALUES (?, ?, ?)", (id_, layout.digest, body))
        for id_, used in commit.uses.items():
            if used:
                execute("DELETE FROM unused WHERE layout=?", (id_,))
            else:
                execute("INSERT OR REPLACE INTO unused VALUES (?, ?)", (id_, commit.meta["following"]))
        for g in commit.groups:
            row = (g.id, g.first_ns, g.last_ns, g.frames, g.readings, g.readings_before)
            values = (*row, zlib.crc32(g.body), g.body)
            execute("INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        for r in commit.readers:
            backlog = orjson.dumps([list(span) for span in r.backlog]).decode()
            counts = (r.delivered, r.refused, r.missed)
            execute(
                "INSERT OR REPLACE INTO readers VALUES (?, ?, ?, ?, ?, ?, ?)",
                (r.name, r.live, r.live_before, backlog, *counts),
            )
        for refusal in commit.refusals:
            execute("INSERT INTO refusals VALUES (NULL, ?, ?, ?, ?, ?, ?)", tuple(refusal))
        if commit.refusals:
            newest = "(SELECT max(id) FROM refusals)"
            execute(f"DELETE FROM refusals WHERE id <= {newest} - ?", (REFUSALS_MAX,))  # noqa: S608
        for key, value in commit.meta.items():
            execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def read(self, first: int, until: int, readings_max: int) -> list[GroupRow]:
        """Return committed groups from id `first` up to below `until`: at least one, then up to `readings_max`.

        Raises StorageDamaged if the file cannot be read there.
        """
        rows: list[GroupRow] = []
        total = 0
        sql = (
            "SELECT id, first_ns, last_ns, readings, readings_before, crc, body FROM groups"
            " WHERE id >= ? AND id < ? ORDER BY id"
        )
        try:
            for id_, first_ns, last_ns, readings, before, crc, body in self._db.execute(sql, (first, until)):
                intact = zlib.crc32(body) == crc
                rows.append(GroupRow(id_, first_ns, last_ns, readings, before, body, intact))
                total += readings
                if total >= readings_max:
                    break
        except apsw.Error as error:
            raise _failure("read", self.path, error) from error
        return rows

    def spans(self, first: int, until: int, most: int = 5_000) -> list[tuple[int, int, int]]:
        """Return (id, first_ns, last_ns) of at most `most` groups from id `first` to below `until`."""
        sql = "SELECT id, first_ns, last_ns FROM groups WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        try:
            return list(self._db.execute(sql, (first, until, most)))
        except apsw.Error as error:
            raise _failure("read", self.path, error) from error

    def oldest_groups(self, excess_bytes: int) -> Dropped:
        """Return the oldest groups whose bodies hold at least `excess_bytes`, or all there are."""
        freed = readings = following = first_ns = last_ns = 0
        sql = "SELECT id, length(body), readings, first_ns, last_ns FROM groups ORDER BY id"
        try:
            for id_, size, count, first, last in self._db.execute(sql):
                first_ns, last_ns = min(first_ns or first, first), max(last_ns, last)
                freed, readings, following = freed + size, readings + count, id_ + 1
                if freed >= excess_bytes:
                    break
        except apsw.Error as error:
            raise _failure("shrink", self.path, error) from error
        return Dropped(following, readings, first_ns, last_ns)

    def delete_readers(self, names: Iterable[str]) -> None:
        """Forget readers whose sinks are no longer configured."""
        try:
            for name in names:
                self._db.execute("DELETE FROM readers WHERE name=?", (name,))
        except apsw.Error as error:
            raise _failure("write", self.path, error) from error

    def used_bytes(self) -> int:
        """Return how much of the file is in use; pages freed inside it are not."""
        try:
            pages = self._value("PRAGMA page_count") or 0
            return (pages - (self._value("PRAGMA freelist_count") or 0)) * self._page_bytes
        except apsw.Error as error:
            raise _failure("read", self.path, error) from error

    def room_bytes(self, free_min: int) -> int:
        """Return what can still be written: pages freed inside the file, and the disk above its reserve."""
        try:
            stat = os.statvfs(self.path.parent)
            inside = (self._value("PRAGMA freelist_count") or 0) * self._page_bytes
        except OSError as error:
            raise StorageError(f"cannot stat {self.path.parent}: {error}") from error
        except apsw.Error as error:
            raise _failure("read", self.path, error) from error
        return inside + max(0, stat.f_bavail * stat.f_frsize - free_min)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, so that the log starts over in the blocks it has."""
        try:
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.Error as error:
            raise _failure("write", self.path, error) from error

    def refusals(self, limit: int) -> list[RefusalRow]:
        """Return the newest refusals, newest first."""
        try:
            rows = self._db.execute(
                "SELECT reader, meter, epoch, time_ns, readings, reason FROM refusals ORDER BY id DESC LIMIT ?",
                (limit,),
            )
            return [RefusalRow(*row) for row in rows]
        except apsw.Error as error:
            raise _failure("read", self.path, error) from error

    def close(self) -> None:
        """Close the file; the write-ahead log is merged. Raises StorageError; may be called twice."""
        try:
            self._db.close()
        except apsw.Error as error:
            raise _failure("close", self.path, error) from error

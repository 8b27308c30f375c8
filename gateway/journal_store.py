"""The journal's file: SQLite through apsw, WAL, synchronous=FULL, one row per commit group.

Everything here blocks and belongs to the journal's one writer thread. apsw brings its own SQLite; Debian 12's
3.40.1 has the WAL-reset corruption bug (https://sqlite.org/wal.html#walresetbug).

Invariants: group ids are consecutive and ascending in commit order; a layout's row is committed with or before
the first group that uses it; a reader's position never points past the newest group + 1 nor before the oldest.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import apsw
import orjson

from gateway.errors import StorageError
from gateway.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FORMAT = 1
REFUSALS_MAX = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, digest TEXT UNIQUE NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS groups (
    id INTEGER PRIMARY KEY, first_ns INTEGER, last_ns INTEGER, frames INTEGER NOT NULL, readings INTEGER NOT NULL,
    readings_before INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS readers (
    name TEXT PRIMARY KEY, live INTEGER NOT NULL, backlog BLOB NOT NULL, delivered INTEGER NOT NULL,
    refused INTEGER NOT NULL, missed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (
    id INTEGER PRIMARY KEY, reader TEXT, meter TEXT, epoch INTEGER, time_ns INTEGER, readings INTEGER, reason TEXT);
"""


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


@dataclass(slots=True)
class ReaderState:
    """A reader's positions: `live` and each range of `backlog` are half-open over group ids."""

    name: str
    live: int
    backlog: list[tuple[int, int]] = field(default_factory=list)
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


@dataclass(slots=True)
class Opened:
    """What a journal file held when it was opened."""

    epoch: int
    last_ns: int
    oldest: int
    following: int
    readings: int
    frames: int
    body_bytes: int
    layouts: dict[int, Layout]
    readers: dict[str, ReaderState]
    first_readings_before: int


class Store:
    """The open file. Every method raises StorageError when the disk or the file does not play along."""

    def __init__(self, path: Path, *, pages_max: int | None = None) -> None:
        """path: the database file. pages_max: SQLite's own limit on the file, for tests of a full disk."""
        self.path = path
        try:
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(5000)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "journal_size_limit=16777216"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(_SCHEMA)
            if pages_max is not None:
                self._db.execute(f"PRAGMA max_page_count={int(pages_max)}")
            found = self._value("SELECT value FROM meta WHERE key='format'")
            if found is None:
                self._db.execute("INSERT INTO meta VALUES ('format', ?), ('epoch', 0)", (FORMAT,))
        except apsw.Error as error:
            raise StorageError(f"cannot open journal {path}: {error}") from error
        if found not in (None, FORMAT):
            raise StorageError(f"journal {path} has format {found}, this version writes {FORMAT}")

    def _value(self, sql: str, bindings: tuple[int | str, ...] = ()) -> int | None:
        row = self._db.execute(sql, bindings).fetchone()
        return None if row is None else row[0]

    def load(self) -> Opened:
        """Return everything the journal keeps in memory: counters, layouts and reader positions."""
        try:
            first = self._db.execute("SELECT id, readings_before FROM groups ORDER BY id LIMIT 1").fetchone()
            last = self._db.execute(
                "SELECT id, readings_before + readings FROM groups ORDER BY id DESC LIMIT 1"
            ).fetchone()
            following = self._value("SELECT value FROM meta WHERE key='following'") or 1
            readings = self._value("SELECT value FROM meta WHERE key='readings'") or 0
            layouts = {
                id_: Layout.from_dict(orjson.loads(body))
                for id_, body in self._db.execute("SELECT id, body FROM layouts")
            }
            readers = {
                name: ReaderState(name, live, [(a, b) for a, b in orjson.loads(backlog)], *counts)
                for name, live, backlog, *counts in self._db.execute("SELECT * FROM readers")
            }
            return Opened(
                epoch=self._value("SELECT value FROM meta WHERE key='epoch'") or 0,
                last_ns=self._value("SELECT value FROM meta WHERE key='last_ns'") or 0,
                oldest=first[0] if first else following,
                following=last[0] + 1 if last else following,
                readings=last[1] if last else readings,
                frames=self._value("SELECT value FROM meta WHERE key='frames'") or 0,
                body_bytes=self._value("SELECT total(length(body)) FROM groups") or 0,
                layouts=layouts,
                readers=readers,
                first_readings_before=first[1] if first else readings,
            )
        except (apsw.Error, KeyError, TypeError, ValueError) as error:
            raise StorageError(f"journal {self.path} is damaged: {error}") from error

    def commit(
        self,
        groups: Sequence[NewGroup],
        layouts: Iterable[tuple[int, Layout]],
        readers: Iterable[ReaderState],
        refusals: Iterable[RefusalRow],
        meta: dict[str, int],
    ) -> None:
        """Make groups, layouts, positions, refusals and counters durable in one transaction."""
        try:
            with self._db:
                for id_, layout in layouts:
                    body = orjson.dumps(layout.to_dict())
                    self._db.execute(
                        "INSERT OR IGNORE INTO layouts VALUES (?, ?, ?)", (id_, layout.digest, body)
                    )
                for g in groups:
                    self._db.execute(
                        "INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            g.id,
                            g.first_ns,
                            g.last_ns,
                            g.frames,
                            g.readings,
                            g.readings_before,
                            zlib.crc32(g.body),
                            g.body,
                        ),
                    )
                for r in readers:
                    self._db.execute(
                        "INSERT OR REPLACE INTO readers VALUES (?, ?, ?, ?, ?, ?)",
                        (r.name, r.live, orjson.dumps(r.backlog), r.delivered, r.refused, r.missed),
                    )
                for refusal in refusals:
                    self._db.execute("INSERT INTO refusals VALUES (NULL, ?, ?, ?, ?, ?, ?)", tuple(refusal))
                    self._db.execute(
                        "DELETE FROM refusals WHERE id <= (SELECT max(id) FROM refusals) - ?", (REFUSALS_MAX,)
                    )
                for key, value in meta.items():
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        except apsw.Error as error:
            raise StorageError(f"cannot write journal {self.path}: {error}") from error

    def read(self, first: int, until: int, readings_max: int) -> list[GroupRow]:
        """Return committed groups from id `first` up to below `until`: at least one, then up to `readings_max`."""
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
            raise StorageError(f"cannot read journal {self.path}: {error}") from error
        return rows

    def readings_before(self, ids: Sequence[int]) -> dict[int, int]:
        """Return for each group id how many readings were journaled before it (ids that are gone are left out)."""
        found = {}
        try:
            for id_ in ids:
                value = self._value("SELECT readings_before FROM groups WHERE id=?", (id_,))
                if value is not None:
                    found[id_] = value
        except apsw.Error as error:
            raise StorageError(f"cannot read journal {self.path}: {error}") from error
        return found

    def drop_oldest(self, excess_bytes: int) -> tuple[int, int, int, int, int]:
        """Delete the oldest groups until `excess_bytes` of bodies are gone.

        Returns (next oldest id, bytes, readings, first_ns, last_ns) of what was dropped.
        """
        freed = readings = following = 0
        first_ns = last_ns = 0
        try:
            sql = "SELECT id, length(body), readings, first_ns, last_ns FROM groups ORDER BY id"
            for id_, size, count, first, last in self._db.execute(sql):
                first_ns = min(first_ns or first, first)
                last_ns = max(last_ns, last)
                freed, readings, following = freed + size, readings + count, id_ + 1
                if freed >= excess_bytes:
                    break
            if following:
                self._db.execute("DELETE FROM groups WHERE id < ?", (following,))
        except apsw.Error as error:
            raise StorageError(f"cannot shrink journal {self.path}: {error}") from error
        return following, freed, readings, first_ns, last_ns

    def delete_readers(self, names: Iterable[str]) -> None:
        """Forget readers whose sinks are no longer configured."""
        try:
            for name in names:
                self._db.execute("DELETE FROM readers WHERE name=?", (name,))
        except apsw.Error as error:
            raise StorageError(f"cannot write journal {self.path}: {error}") from error

    def free_bytes(self) -> int:
        """Return the free space of the file system, for an unprivileged writer."""
        try:
            stat = os.statvfs(self.path.parent)
        except OSError as error:
            raise StorageError(f"cannot stat {self.path.parent}: {error}") from error
        return stat.f_bavail * stat.f_frsize

    def refusals(self, limit: int) -> list[RefusalRow]:
        """Return the newest refusals, newest first."""
        try:
            rows = self._db.execute(
                "SELECT reader, meter, epoch, time_ns, readings, reason FROM refusals ORDER BY id DESC LIMIT ?",
                (limit,),
            )
            return [RefusalRow(*row) for row in rows]
        except apsw.Error as error:
            raise StorageError(f"cannot read journal {self.path}: {error}") from error

    def close(self) -> None:
        """Close the file; the write-ahead log is merged. Raises StorageError."""
        try:
            self._db.close()
        except apsw.Error as error:
            raise StorageError(f"cannot close journal {self.path}: {error}") from error

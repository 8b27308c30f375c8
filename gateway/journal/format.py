"""The tables of the journal's file, their format's number, and what makes a file of an older format one of this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import apsw

FORMAT = 1
MIGRATIONS: dict[int, Callable[[apsw.Connection], None]] = {}
"""Format -> what makes the next one of it, in the transaction that raises the number."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, digest TEXT UNIQUE NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS unused (layout INTEGER PRIMARY KEY, since INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS groups (
    id INTEGER PRIMARY KEY, first_ns INTEGER, last_ns INTEGER, frames INTEGER NOT NULL, readings INTEGER NOT NULL,
    readings_before INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS readers (
    name TEXT PRIMARY KEY, live INTEGER NOT NULL, live_before INTEGER NOT NULL, backlog TEXT NOT NULL,
    delivered INTEGER NOT NULL, refused INTEGER NOT NULL, missed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (
    id INTEGER PRIMARY KEY, reader TEXT, meter TEXT, epoch INTEGER, time_ns INTEGER, readings INTEGER, reason TEXT);
"""

log = structlog.get_logger("journal")


def prepare(db: apsw.Connection, path: Path) -> None:
    """Make the tables, those of an older format by migrating it; all of it or nothing.

    Raises StorageError on a format this version cannot use (the file is left as it is), ValueError on a number that is
    none, apsw.Error.
    """
    with db:
        found = _format(db)
        if found is not None and found > FORMAT:
            raise StorageError(
                f"journal {path} was written by a newer version of Metergate "
                f"(format {found}, this one knows {FORMAT}); install that version or move the file"
            )
        for older in range(FORMAT if found is None else found, FORMAT):
            if older not in MIGRATIONS:
                raise StorageError(
                    f"journal {path} has format {older}, which this version of Metergate (format {FORMAT}) cannot "
                    "migrate; install a version in between or move the file"
                )
            log.warning("journal is migrated", file=str(path), before=older, after=older + 1)
            MIGRATIONS[older](db)
        db.execute(SCHEMA)
        if found != FORMAT:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('format', ?)", (FORMAT,))


def _format(db: apsw.Connection) -> int | None:
    """Return the format of the file, None if it holds nothing yet. Raises ValueError."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone() is None:
        return None
    row = db.execute("SELECT value FROM meta WHERE key='format'").fetchone()
    if row is not None and not isinstance(row[0], int):
        raise ValueError(f"its format is {row[0]!r}")
    return None if row is None else row[0]

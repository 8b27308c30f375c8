"""What journal and history have in common as SQLite files: how they are opened, and how an older format becomes this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import structlog

from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Migrations = Mapping[int, Callable[[apsw.Connection], None]]

BUSY_MS = 5000
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "journal_size_limit=16777216")

log = structlog.get_logger("journal")


def connect(path: Path, *, cache_kib: int, pages_max: int | None = None) -> apsw.Connection:
    """Return the file open for its one writer. pages_max: SQLite's own limit on it, for tests of a full disk. Raises apsw.Error."""
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(BUSY_MS)
        db.execute(f"PRAGMA cache_size=-{cache_kib}")
        for pragma in PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        if pages_max is not None:
            db.execute(f"PRAGMA max_page_count={int(pages_max)}")
    except apsw.Error:
        db.close(True)
        raise
    return db


def prepare(
    db: apsw.Connection, path: Path, what: str, number: int, schema: str, migrations: Migrations
) -> bool:
    """Make the tables, those of an older format by migrating it, all of it or nothing; return whether the file had none.

    what: `journal` or `history`, for people. number: this version's format. Raises StorageError on a format this version cannot
    use (the file is left as it is), ValueError on a number that is none, apsw.Error.
    """
    with db:
        found = format_of(db)
        if found is not None and found > number:
            raise StorageError(
                f"{what} {path} was written by a newer version of Metergate "
                f"(format {found}, this one knows {number}); install that version or move the file"
            )
        for older in range(number if found is None else found, number):
            if older not in migrations:
                raise StorageError(
                    f"{what} {path} has format {older}, which this version of Metergate (format {number}) cannot "
                    "migrate; install a version in between or move the file"
                )
            log.warning("an older file is migrated", what=what, file=str(path), before=older, after=older + 1)
            migrations[older](db)
        db.execute(schema)
        if found != number:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('format', ?)", (number,))
    return found is None


def format_of(db: apsw.Connection) -> int | None:
    """Return the format of the file, None if it holds nothing yet. Raises ValueError."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone() is None:
        return None
    row = db.execute("SELECT value FROM meta WHERE key='format'").fetchone()
    if row is not None and not isinstance(row[0], int):
        raise ValueError(f"its format is {row[0]!r}")
    return None if row is None else row[0]

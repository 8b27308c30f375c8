"""The tables of the journal's file, their format's number, and what makes a file of an older format one of this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.journal import database

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


def prepare(db: apsw.Connection, path: Path) -> None:
    """Make the tables, those of an older format by migrating it. Raises what `database.prepare` raises."""
    database.prepare(db, path, "journal", FORMAT, SCHEMA, MIGRATIONS)

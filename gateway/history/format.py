"""The tables of the history's file, their format's number, and what makes a file of an older format one of this."""

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
# Bodies are long, so no table with one is WITHOUT ROWID: the index on the key alone answers which rows are wanted.
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS intervals (
    start_ns INTEGER NOT NULL, meter TEXT NOT NULL, epoch INTEGER NOT NULL, rev INTEGER NOT NULL,
    end_ns INTEGER NOT NULL, closed_ns INTEGER NOT NULL, cause TEXT NOT NULL, body BLOB NOT NULL,
    UNIQUE (start_ns, meter, epoch, rev));
CREATE TABLE IF NOT EXISTS totals (
    period TEXT NOT NULL, start_ns INTEGER NOT NULL, rev INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    closed_ns INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (start_ns, period, rev));
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    detail BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_time ON events (time_ns);
CREATE TABLE IF NOT EXISTS configs (digest TEXT PRIMARY KEY, since_ns INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inventories (digest TEXT PRIMARY KEY, since_ns INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS manual (
    id INTEGER PRIMARY KEY, meter TEXT NOT NULL, channel TEXT NOT NULL, time_ns INTEGER NOT NULL,
    reading TEXT NOT NULL, unit TEXT NOT NULL, "by" TEXT NOT NULL, why TEXT NOT NULL, entered_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, time_ns INTEGER NOT NULL, jws BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS retained (topic TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS destinations (name TEXT PRIMARY KEY, body BLOB NOT NULL);
"""


def prepare(db: apsw.Connection, path: Path, now_ns: int) -> None:
    """Make the tables, those of an older format by migrating it. Raises what `database.prepare` raises."""
    with db:
        if database.prepare(db, path, "history", FORMAT, SCHEMA, MIGRATIONS):
            db.execute("INSERT OR IGNORE INTO meta VALUES ('created_ns', ?)", (now_ns,))

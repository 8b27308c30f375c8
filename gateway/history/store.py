"""The history's file: SQLite through apsw, WAL, synchronous=FULL, everything of one commit in one transaction.

Everything here blocks and belongs to the history's one writer thread.

Invariants: messages are gap-free from `oldest` to `seq`, and `head` is the hash of the newest, which is always there;
what goes and what it makes room for are one transaction; a file of a newer format is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw
import orjson

from gateway.errors import StorageError
from gateway.feed.contract import GENESIS, RETAINED, topic
from gateway.feed.jws import digest
from gateway.history import format as file_format
from gateway.history.read import Queries, failure
from gateway.history.retention import AGED_PER_NEW, Retention, unacknowledged
from gateway.history.work import Dropped
from gateway.intervals.model import interval_row
from gateway.journal.database import connect
from gateway.journal.store import StorageDamaged

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.feed.entries import Entry
    from gateway.history.work import Work

CACHE_KIB = 2048
ROW_BYTES = 60  # of a row beside its body: key, times, its share of an index


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the chain of messages stands. id "": none has begun. oldest: every message from it on is there."""

    id: str = ""
    seq: int = 0
    head: str = GENESIS
    kid: str = ""
    oldest: int = 1


class Store(Queries):
    """The open file. Every method raises StorageError when the disk or the file does not play along."""

    def __init__(self, path: Path, now_ns: int, *, pages_max: int | None = None) -> None:
        """path: the database file. now_ns: kept as its birth if it is new. pages_max: SQLite's own limit, for tests."""
        self.path = path
        try:
            self._db = connect(path, cache_kib=CACHE_KIB, pages_max=pages_max)
        except apsw.Error as error:
            raise failure("open", path, error) from error
        try:
            file_format.prepare(self._db, path, now_ns)
            self.chain = self._load()
            self.positions = self.destinations()
        except apsw.Error as error:
            self._db.close(True)
            raise failure("open", path, error) from error
        except (TypeError, ValueError) as error:
            self._db.close(True)
            raise StorageDamaged(f"history {path} is damaged: {error}") from error
        except StorageError:
            self._db.close(True)
            raise

    def _load(self) -> Chain:
        """Return where the chain stands. Raises ValueError if the messages do not bear it out."""
        meta = self.meta()
        found = Chain(
            meta.get("chain", ""),
            meta.get("seq", 0),
            meta.get("head", GENESIS),
            meta.get("kid", ""),
            meta.get("oldest", 1),
        )
        if not all(isinstance(number, int) for number in (found.seq, found.oldest)):
            raise ValueError("its seq is no number")
        newest = self._rows("SELECT seq, jws FROM outbox ORDER BY seq DESC LIMIT 1")
        seq, head = (newest[0][0], digest(newest[0][1])) if newest else (0, GENESIS)
        if (seq, head) != (found.seq, found.head):
            raise ValueError(f"its newest message is {seq}, and should be {found.seq} with hash {found.head}")
        return found

    # -- writing ------------------------------------------------------------------------------------------

    def commit(self, work: Work, *, now_ns: int, size_max: int, keep_ns: int) -> Dropped:
        """Make all of it durable in one transaction, or none of it; return what went to make room.

        Raises ValueError on messages that do not continue the chain, or an identity that is there with other content.
        """
        chain = self._continued(work)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                dropped, oldest = self._make_room(work, chain, now_ns, size_max, keep_ns)
                chain = Chain(chain.id, chain.seq, chain.head, chain.kid, oldest)
                self._apply(work, chain)
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:  # a full disk makes SQLite roll back by itself
                    self._db.execute("ROLLBACK")
        except apsw.Error as error:
            raise failure("write", self.path, error) from error
        self.chain = chain
        if work.destinations_gone:
            kept = self.positions.items()
            self.positions = {name: body for name, body in kept if name not in work.destinations_gone}
        return dropped

    def _continued(self, work: Work) -> Chain:
        """Return where the chain stands after the work. Raises ValueError if its messages do not continue it."""
        old = self.chain if work.chain in ("", self.chain.id) else Chain(work.chain)
        kid = work.kid or old.kid
        expected = range(old.seq + 1, old.seq + 1 + len(work.entries))
        if [entry.seq for entry in work.entries] != list(expected):
            raise ValueError(f"messages {[e.seq for e in work.entries][:3]}… do not continue seq {old.seq}")
        if work.entries and not old.id:
            raise ValueError("messages without a chain")
        seq = old.seq + len(work.entries)
        head = digest(work.entries[-1].jws) if work.entries else old.head
        if (work.seq or seq, work.head or head) != (seq, head):
            raise ValueError(
                f"seq {work.seq} and head {work.head} are not those of the newest message, {seq}"
            )
        return Chain(old.id, seq, head, kid, old.oldest)

    def _make_room(
        self, work: Work, after: Chain, now_ns: int, size_max: int, keep_ns: int
    ) -> tuple[Dropped, int]:
        """Return what went before its time, and the oldest message from then on."""
        old, dropped = self.chain, Dropped()
        if after.id != old.id:
            for table in ("outbox", "retained"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
            until = old.seq + 1
            if until > old.oldest:
                gone = unacknowledged(self.positions, old.id, old.oldest, until)
                dropped = Dropped(
                    "chain", 0, 0, 0, until - old.oldest, old.oldest, until, unacknowledged=gone
                )
            old = Chain(after.id)
        retention = Retention(self._db, old.id, old.seq, old.oldest, self.positions)
        new = len(work.intervals) + len(work.totals) + len(work.events) + len(work.entries)
        retention.by_age(now_ns - keep_ns, AGED_PER_NEW * (1 + new))
        used = self.used_bytes()
        excess = used + self._incoming(work) - size_max
        if excess > 0:
            dropped = retention.by_size(excess, used, now_ns) or dropped
        return dropped, retention.oldest

    @staticmethod
    def _incoming(work: Work) -> int:
        """Return about how many bytes the work takes."""
        channels = sum(len(interval.channels) for interval in work.intervals)
        messages = sum(len(entry.jws) for entry in work.entries)
        rows = len(work.intervals) + len(work.totals) + len(work.events) + len(work.entries)
        return messages + 400 * channels + ROW_BYTES * rows

    def _apply(self, work: Work, chain: Chain) -> None:
        execute = self._db.execute
        for i in work.intervals:
            key = (i.start_ns, i.meter, i.epoch, i.rev)
            self._insert(
                "intervals",
                ("start_ns", "meter", "epoch", "rev"),
                key,
                (i.end_ns, i.closed_ns, i.cause, orjson.dumps(interval_row(i))),
            )
        for t in work.totals:
            self._insert(
                "totals",
                ("period", "start_ns", "rev"),
                t[:3],
                (t.end_ns, t.closed_ns, orjson.dumps(dict(t.body))),
            )
        for e in work.events:
            row = (e.time_ns, e.kind, e.subject, orjson.dumps(dict(e.detail)))
            execute("INSERT INTO events VALUES (NULL, ?, ?, ?, ?)", row)
        if work.config is not None:
            execute("INSERT OR IGNORE INTO configs VALUES (?, ?, ?)", tuple(work.config))
        for m in work.manual:
            values = (*m[:3], f"{m.reading:f}", *m[4:])
            execute("INSERT INTO manual VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        for entry in work.entries:
            self._apply_entry(entry, chain.oldest)
        for gone in work.topics_gone:
            self._forget_topic(gone, chain.oldest)
        for name in work.destinations_gone:
            execute("DELETE FROM destinations WHERE name=?", (name,))
        for name, body in work.states.items():
            execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, orjson.dumps(body)))
        meta = {
            "chain": chain.id,
            "seq": chain.seq,
            "head": chain.head,
            "kid": chain.kid,
            "oldest": chain.oldest,
        }
        for key_, value in meta.items():
            execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key_, value))

    def _insert(
        self, table: str, names: tuple[str, ...], key: tuple[Any, ...], more: tuple[Any, ...]
    ) -> None:
        """Insert a row; one that is there already must be the same but for the time it was made."""
        marks = ", ".join("?" * (len(key) + len(more)))
        self._db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", (*key, *more))  # noqa: S608
        if not self._db.changes():
            where = " AND ".join(f"{name}=?" for name in names)
            there = self._db.execute(f"SELECT body FROM {table} WHERE {where}", key).fetchone()  # noqa: S608
            if there is None or there[0] != more[-1]:
                raise ValueError(f"{table} has {key} already, and it is another")

    def _apply_entry(self, entry: Entry, oldest: int) -> None:
        self._db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", tuple(entry))
        if entry.kind in RETAINED:
            name = topic(entry.kind, entry.subject)
            self._forget_topic(name, oldest)
            self._db.execute("INSERT INTO retained VALUES (?, ?)", (name, entry.seq))

    def _forget_topic(self, name: str, oldest: int) -> None:
        """Take a topic out; its message goes too if it was there for that alone."""
        before = self._db.execute("SELECT seq FROM retained WHERE topic=?", (name,)).fetchone()
        if before is not None:
            self._db.execute("DELETE FROM retained WHERE topic=?", (name,))
            self._db.execute("DELETE FROM outbox WHERE seq=? AND seq < ?", (before[0], oldest))

    def save_position(self, name: str, body: dict[str, Any]) -> None:
        """Make a destination's position durable."""
        try:
            self._db.execute("INSERT OR REPLACE INTO destinations VALUES (?, ?)", (name, orjson.dumps(body)))
        except apsw.Error as error:
            raise failure("write", self.path, error) from error
        self.positions = {**self.positions, name: body}

    def close(self) -> None:
        """Close the file; the write-ahead log is merged. Raises StorageError; may be called twice."""
        try:
            self._db.close()
        except apsw.Error as error:
            raise failure("close", self.path, error) from error

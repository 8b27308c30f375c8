"""What goes when it is old enough, or when the file is full: a bounded number of rows, inside the commit they make room for.

By age: intervals, summaries, events, and messages that every known destination has acknowledged. By size: the oldest of
all, acknowledged or not. Never: the newest message, the newest of each retained topic, configurations, manual readings.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from gateway.feed.positions import Positions, Span
from gateway.history.work import Dropped
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

ROUND = 64  # rows of each table looked at in one round
ROWS_MAX = 20_000  # that go in one commit, about
# Rows that go by age for each that comes: enough to keep up and to catch up with a shorter `keep`, and so few that a
# clock that is years ahead for an hour costs some hours of what is oldest and not everything.
AGED_PER_NEW = 8
SLACK_PART, SLACK_MAX = (
    64,
    8 * 1024 * 1024,
)  # more than must go, so that it is not the next commit's work again
PLAUSIBLE_NS = 1_767_225_600 * NS  # 2026 began; a clock before that is one that was never set
_TIME_MAX = (1 << 63) - 1
_TIMED = {"intervals": "start_ns", "totals": "start_ns", "events": "time_ns"}


def pending(position: Mapping[str, Any], chain: str, seq: int) -> list[Span]:
    """Return the ranges of messages up to `seq` a destination has not acknowledged: everything if its position says nothing."""
    found = Positions.from_json(position, chain, oldest=1, following=seq + 1)
    return [*found.backlog, Span(found.live, seq + 1)]


def unacknowledged(
    positions: Mapping[str, Mapping[str, Any]], chain: str, first: int, until: int
) -> dict[str, int]:
    """Return destination -> how many of the messages first <= seq < until it has not acknowledged, where there are any."""
    found = {}
    for name, position in positions.items():
        spans = pending(position, chain, until - 1)
        count = sum(max(0, min(end, until) - max(start, first)) for start, end in spans)
        if count:
            found[name] = min(count, until - first)
    return found


RETOLD = "aggregates "
"""Begin of the names of states that say how often reported quantities of an interval were told; its start in ns follows, 19 digits."""


class Retention:
    """One commit's tidying. oldest: the message from which on every one is there; it moves up."""

    def __init__(
        self,
        db: apsw.Connection,
        chain: str,
        seq: int,
        oldest: int,
        positions: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """seq: newest message of the chain. positions: of every known destination. Its methods raise apsw.Error."""
        self._db, self._chain, self._seq, self._positions = db, chain, seq, positions
        self.oldest = oldest

    def by_age(self, before_ns: int, rows_max: int) -> None:
        """Drop what began before that, at most so many rows of each table."""
        for table, column in _TIMED.items():
            chosen = f"SELECT rowid FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT ?"  # noqa: S608
            self._db.execute(f"DELETE FROM {table} WHERE rowid IN ({chosen})", (before_ns, rows_max))  # noqa: S608
        begin, end = RETOLD, f"{RETOLD}{max(before_ns, 0):019}"  # nothing older is told anew
        self._db.execute("DELETE FROM state WHERE name >= ? AND name < ?", (begin, end))
        acknowledged = min(
            (
                first
                for p in self._positions.values()
                for first, until in pending(p, self._chain, self._seq)
                if first < until
            ),
            default=self._seq,
        )
        until = self.oldest
        for seq, time_ns in self._front(rows_max):
            if time_ns >= before_ns or seq >= acknowledged:
                break
            until = seq + 1
        self._drop_messages(until)

    def by_size(self, excess_bytes: int, used_bytes: int, now_ns: int) -> Dropped:
        """Drop the oldest of everything until so many bytes are free, and a little more; return what went."""
        target = used_bytes - excess_bytes - min(used_bytes // SLACK_PART, SLACK_MAX)
        first_seq = self.oldest
        counts = dict.fromkeys(_TIMED, 0)
        bounds: list[int] = []
        rows = 0
        while rows < ROWS_MAX:
            cutoff_ns, until, times = self._round(now_ns)
            bounds += times
            before = rows
            for table, column in _TIMED.items():
                bounds += [ns for ns in self._edges(table, column, cutoff_ns) if ns is not None]
                self._db.execute(f"DELETE FROM {table} WHERE {column} < ?", (cutoff_ns,))  # noqa: S608
                counts[table] += self._db.changes()
                rows += self._db.changes()
            rows += until - self.oldest
            self._drop_messages(until)
            if rows == before or self._used() <= target:
                break
        if not rows:
            return Dropped()
        gone = unacknowledged(self._positions, self._chain, first_seq, self.oldest)
        return Dropped(
            "size",
            counts["intervals"],
            counts["totals"],
            counts["events"],
            self.oldest - first_seq,
            first_seq,
            self.oldest,
            min(bounds, default=0),
            max(bounds, default=-1) + 1,
            gone,
        )

    def _round(self, now_ns: int) -> tuple[int, int, list[int]]:
        """Return the time before which everything goes in this round, the seq before which messages go, and their times."""
        ends = [_TIME_MAX]
        for table, column in _TIMED.items():
            sql = f"SELECT {column} FROM {table} ORDER BY {column} LIMIT 1 OFFSET ?"  # noqa: S608
            ends += [row[0] + 1 for row in self._db.execute(sql, (ROUND - 1,))]
        front = self._front(ROUND)
        # Messages go in order of seq. One that was signed in what is now the future would keep all behind it.
        trusted = now_ns >= PLAUSIBLE_NS
        ages = [0 if trusted and time_ns > now_ns else time_ns for _, time_ns in front]
        if len(ages) == ROUND:
            ends.append(max(ages) + 1)
        cutoff_ns = min(ends)
        going = list(takewhile(lambda one: one[1] < cutoff_ns, zip(front, ages, strict=True)))
        until = going[-1][0][0] + 1 if going else self.oldest
        return cutoff_ns, until, [time_ns for (_, time_ns), _ in going]

    def _edges(self, table: str, column: str, cutoff_ns: int) -> tuple[int | None, int | None]:
        sql = f"SELECT min({column}), max({column}) FROM {table} WHERE {column} < ?"  # noqa: S608
        row = self._db.execute(sql, (cutoff_ns,)).fetchone()
        return row or (None, None)

    def _front(self, most: int) -> list[tuple[int, int]]:
        """Return (seq, time) of the oldest messages that may go."""
        sql = "SELECT seq, time_ns FROM outbox WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?"
        return list(self._db.execute(sql, (self.oldest, self._seq, most)))

    def _drop_messages(self, until: int) -> None:
        """Drop those below `until` but for the newest of each retained topic."""
        if until > self.oldest:
            sql = "DELETE FROM outbox WHERE seq >= ? AND seq < ? AND seq NOT IN (SELECT seq FROM retained)"
            self._db.execute(sql, (self.oldest, until))
            self.oldest = until

    def _used(self) -> int:
        value = {
            name: self._db.execute(f"PRAGMA {name}").fetchone()
            for name in ("page_count", "freelist_count", "page_size")
        }
        pages, free, size = (row[0] if row else 0 for row in value.values())
        return int((pages - free) * size)

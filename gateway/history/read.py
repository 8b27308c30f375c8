"""What the history is asked: intervals, summaries, events, manual readings. Slices are short transactions of their own."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import apsw
import orjson
import structlog

from gateway.errors import StorageError
from gateway.feed.entries import Entry
from gateway.history.format import FORMAT
from gateway.history.work import ManualReading, SiteConfig, TotalRow
from gateway.intervals.model import interval_of
from gateway.journal.database import format_of
from gateway.journal.store import StorageDamaged, StorageFull
from gateway.model import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from gateway.intervals.model import Interval

SLICE = 500  # rows read at once
TIME_MAX = (1 << 63) - 1
Row = tuple[Any, ...]

log = structlog.get_logger("history")


def failure(what: str, path: Path, error: apsw.Error) -> StorageError:
    """Return the error that says what could not be done."""
    text = f"cannot {what} history {path}: {error}"
    if isinstance(error, apsw.FullError):
        return StorageFull(text)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StorageDamaged(text)
    return StorageError(text)


class Counts(NamedTuple):
    """What the file holds. oldest_ns, newest_ns: starts of intervals, 0 if there is none. oldest_seq: 0 if none."""

    intervals: int
    revisions: int
    totals: int
    events: int
    manual: int
    messages: int
    oldest_ns: int
    newest_ns: int
    oldest_seq: int
    seq: int
    chain: str
    used_bytes: int


class MeterOfTotal(NamedTuple):
    """One meter of a summary. channels, runs: JSON objects as text, None if there are none. end_ns: of the summary."""

    end_ns: int
    meter: str
    expected: int
    good: int
    channels: str | None
    runs: str | None


class Queries:
    """The questions; every one raises StorageError when the disk or the file does not play along.

    Iterators read slice by slice, each its own short transaction, so nothing is held while somebody thinks.
    A row that cannot be read is passed over and logged. unreadable: these rows, of a history opened to be read.
    """

    path: Path
    unreadable: Collection[Row] = ()
    _db: apsw.Connection

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
        try:
            return list(self._db.execute(sql, bindings))
        except apsw.Error as error:
            raise failure("read", self.path, error) from error
        except UnicodeDecodeError as error:  # SQLite keeps texts as it finds them
            raise StorageDamaged(f"history {self.path} is damaged: {error}") from error

    def _value(self, sql: str, bindings: tuple[Any, ...] = ()) -> Any:
        rows = self._rows(sql, bindings)
        return rows[0][0] if rows else None

    def made(self, make: Callable[[Any], Any], row: Row) -> Any:
        """Return what a row stands for, None if it is damaged."""
        try:
            return make(row)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            self._passed_over(row, error)
            return None

    def _passed_over(self, row: Row, error: Exception) -> None:
        log.error("row of the history cannot be read", row=str(row[:4]), error=repr(error))

    # -- intervals ----------------------------------------------------------------------------------------

    def intervals(
        self,
        from_ns: int = 0,
        to_ns: int = TIME_MAX,
        meters: Collection[str] | None = None,
        all_revisions: bool = False,
    ) -> Iterator[Interval]:
        """Yield intervals with from_ns <= start < to_ns by start, meter, epoch (and rev): the newest revision of each."""
        wanted = None if meters is None else orjson.dumps(sorted(meters)).decode()
        sql = (
            f"SELECT {_INTERVAL} FROM intervals WHERE start_ns < ? AND (start_ns, meter, epoch, rev) > (?, ?, ?, ?)"  # noqa: S608
            + (" AND meter IN (SELECT value FROM json_each(?))" if wanted else "")
            + " ORDER BY start_ns, meter, epoch, rev LIMIT ?"
        )
        after: Row = (from_ns, "", 0, -1)
        waiting: Row | None = None
        while True:
            rows = self._rows(sql, (to_ns, *after, *([wanted] if wanted else []), SLICE))
            for row in rows:
                if waiting is not None and (all_revisions or waiting[:3] != row[:3]):
                    yield from self._interval(waiting)
                waiting = row
            if len(rows) < SLICE:
                break
            after = rows[-1][:4]
        if waiting is not None:
            yield from self._interval(waiting)

    def _interval(self, row: Row) -> Iterator[Interval]:
        found = self.made(_interval_of, row)
        if found is not None:
            yield found

    def interval(self, meter: str, epoch: int, start_ns: int) -> Interval | None:
        """Return the newest revision of one interval, None if there is none."""
        found = self.revisions(meter, epoch, start_ns)
        return found[-1] if found else None

    def revisions(self, meter: str, epoch: int, start_ns: int) -> list[Interval]:
        """Return every revision of one interval, oldest first."""
        sql = f"SELECT {_INTERVAL} FROM intervals WHERE start_ns=? AND meter=? AND epoch=? ORDER BY rev"  # noqa: S608
        rows = self._rows(sql, (start_ns, meter, epoch))
        return [found for row in rows for found in self._interval(row)]

    # -- summaries, events, configurations, manual readings -----------------------------------------------

    def totals(
        self,
        period: str,
        from_ns: int = 0,
        to_ns: int = TIME_MAX,
        all_revisions: bool = False,
    ) -> Iterator[TotalRow]:
        """Yield summaries of a period with from_ns <= start < to_ns by start: the newest revision of each, or all."""
        sql = (
            "SELECT period, start_ns, rev, end_ns, closed_ns, body FROM totals"
            " WHERE start_ns < ? AND (start_ns, rev) > (?, ?) AND period=? ORDER BY start_ns, rev LIMIT ?"
        )
        after: Row = (from_ns, -1)
        waiting: Row | None = None
        while True:
            rows = self._rows(sql, (to_ns, *after, period, SLICE))
            for row in [*rows, None] if len(rows) < SLICE else rows:
                if waiting is not None and (row is None or all_revisions or waiting[1] != row[1]):
                    found = self.made(_total_of, waiting)
                    if found is not None:
                        yield found
                waiting = row
            if len(rows) < SLICE:
                return
            after = rows[-1][1:3]

    def total(self, period: str, start_ns: int) -> TotalRow | None:
        """Return the newest revision of one summary, None if there is none."""
        return next(self.totals(period, start_ns, start_ns + 1), None)

    def meters_of_total(self, period: str, start_ns: int) -> list[MeterOfTotal] | None:
        """Return what a summary's newest revision says of each meter, without shifts and tariffs; None if there is none or it is damaged.

        SQLite takes the row apart, so that one of thousands of meters costs no more than what is wanted of it.
        """
        try:
            rows = self._rows(_METERS_OF_TOTAL, (period, start_ns))
        except StorageDamaged:
            raise
        except StorageError:  # among them: not JSON
            return None
        return [MeterOfTotal(*row) for row in rows] if rows and rows[0][1] is not None else None

    def events(
        self,
        from_ns: int = 0,
        to_ns: int = TIME_MAX,
        kinds: Collection[str] | None = None,
        subjects: Collection[str] | None = None,
    ) -> Iterator[Event]:
        """Yield events with from_ns <= time < to_ns in order of time, those of one time as they were journaled."""
        wanted = [orjson.dumps(sorted(some)).decode() for some in (kinds, subjects) if some is not None]
        sql = (
            "SELECT time_ns, id, kind, subject, detail FROM events WHERE time_ns < ? AND (time_ns, id) > (?, ?)"  # noqa: S608
            + ("" if kinds is None else " AND kind IN (SELECT value FROM json_each(?))")
            + ("" if subjects is None else " AND subject IN (SELECT value FROM json_each(?))")
            + " ORDER BY time_ns, id LIMIT ?"
        )
        after: Row = (from_ns, -1)
        while True:
            rows = self._rows(sql, (to_ns, *after, *wanted, SLICE))
            for row in rows:
                found = self.made(_event_of, row)
                if found is not None:
                    yield found
            if len(rows) < SLICE:
                return
            after = rows[-1][:2]

    def manual(
        self, from_ns: int = 0, to_ns: int = TIME_MAX, meters: Collection[str] | None = None
    ) -> list[ManualReading]:
        """Return readings entered by hand with from_ns <= time < to_ns, in order of time, then as they were entered."""
        sql = (
            'SELECT meter, channel, time_ns, reading, unit, "by", why, entered_ns FROM manual'
            " WHERE time_ns >= ? AND time_ns < ? ORDER BY time_ns, id"
        )
        made = (self.made(_manual_of, row) for row in self._rows(sql, (from_ns, to_ns)))
        return [one for one in made if one is not None and (meters is None or one.meter in meters)]

    def config(self, digest: str) -> SiteConfig | None:
        """Return a site file that was in force, None if it is not known."""
        rows = self._rows("SELECT digest, since_ns, body FROM configs WHERE digest=?", (digest,))
        return SiteConfig(*rows[0]) if rows else None

    def configs(self) -> list[SiteConfig]:
        """Return every site file that was in force, by when it first was."""
        rows = self._rows("SELECT digest, since_ns, body FROM configs ORDER BY since_ns, rowid")
        return [SiteConfig(*row) for row in rows]

    # -- the rest -----------------------------------------------------------------------------------------

    def state(self, name: str) -> Any:
        """Return a state as it was committed last, None if there is none or it cannot be read."""
        body = self._value("SELECT body FROM state WHERE name=?", (name,))
        return None if body is None else self.made(lambda row: orjson.loads(row[1]), (name, body))

    def destinations(self) -> dict[str, dict[str, Any]]:
        """Return the positions of every destination by name; {} for one that cannot be read."""
        rows = self._rows("SELECT name, body FROM destinations ORDER BY name")
        return {row[0]: self.made(_position_of, row) or {} for row in rows}

    def entries(self, first_seq: int, until_seq: int, bytes_max: int) -> list[Entry]:
        """Return messages first_seq <= seq < until_seq in order: at least one if there is one, then up to `bytes_max`."""
        sql = "SELECT seq, kind, subject, time_ns, jws FROM outbox WHERE seq >= ? AND seq < ? ORDER BY seq"
        found: list[Entry] = []
        size = 0
        try:
            for row in self._db.execute(sql, (max(first_seq, self.oldest_seq()), until_seq)):
                size += len(row[4])
                if found and size > bytes_max:
                    break
                found.append(Entry(*row))
        except apsw.Error as error:
            raise failure("read", self.path, error) from error
        except UnicodeDecodeError as error:
            raise StorageDamaged(f"history {self.path} is damaged: {error}") from error
        return found

    def retained(self) -> list[Entry]:
        """Return the newest message of each retained topic, in order of seq."""
        sql = "SELECT seq, kind, subject, time_ns, jws FROM outbox WHERE seq IN (SELECT seq FROM retained) ORDER BY seq"
        return [Entry(*row) for row in self._rows(sql)]

    def oldest_seq(self) -> int:
        """Return the first message from which on every one is there; the next one's seq if none is."""
        return self._value("SELECT value FROM meta WHERE key='oldest'") or 1

    def meta(self) -> dict[str, Any]:
        """Return chain, seq, head, kid, oldest, format, created_ns, as far as there are any."""
        return dict(self._rows("SELECT key, value FROM meta"))

    def used_bytes(self) -> int:
        """Return how much of the file is in use; pages freed inside it are not."""
        pages = self._value("PRAGMA page_count") - self._value("PRAGMA freelist_count")
        return int(pages * self._value("PRAGMA page_size"))

    def counts(self) -> Counts:
        """Return what the file holds; counting takes a moment on a large one."""
        one = "SELECT count(*) FROM "
        meta = self.meta()
        return Counts(
            intervals=self._value(one + "intervals WHERE rev=0"),
            revisions=self._value(one + "intervals WHERE rev>0"),
            totals=self._value(one + "totals"),
            events=self._value(one + "events"),
            manual=self._value(one + "manual"),
            messages=self._value(one + "outbox"),
            oldest_ns=self._value("SELECT min(start_ns) FROM intervals") or 0,
            newest_ns=self._value("SELECT max(start_ns) FROM intervals") or 0,
            oldest_seq=meta.get("oldest", 0),
            seq=meta.get("seq", 0),
            chain=meta.get("chain", ""),
            used_bytes=self.used_bytes(),
        )


_METERS_OF_TOTAL = """
SELECT one.end_ns, own.key, json_extract(own.value, '$.completeness.expected'), json_extract(own.value, '$.completeness.good'),
    json_extract(own.value, '$.channels'), json_extract(own.value, '$.runs')
FROM (SELECT end_ns, CAST(body AS TEXT) AS body FROM totals WHERE period=? AND start_ns=? ORDER BY rev DESC LIMIT 1) AS one,
    json_each(one.body, '$.meters') AS own"""
_INTERVAL = "start_ns, meter, epoch, rev, end_ns, closed_ns, cause, body"


def _interval_of(row: Row) -> Interval:
    start_ns, meter, epoch, rev, end_ns, closed_ns, cause, body = row
    return interval_of(meter, epoch, start_ns, end_ns, rev, closed_ns, cause, orjson.loads(body))


def _total_of(row: Row) -> TotalRow:
    period, start_ns, rev, end_ns, closed_ns, body = row
    return TotalRow(period, start_ns, rev, end_ns, closed_ns, orjson.loads(body))


def _event_of(row: Row) -> Event:
    return Event(row[0], row[2], row[3], orjson.loads(row[4]))


def _manual_of(row: Row) -> ManualReading:
    meter, channel, time_ns, reading, unit, by, why, entered_ns = row
    return ManualReading(meter, channel, time_ns, Decimal(reading), unit, by, why, entered_ns)


def _position_of(row: Row) -> dict[str, Any]:
    body = orjson.loads(row[1])
    if not isinstance(body, dict):
        raise TypeError("no object")
    return body


class ReadOnlyHistory(Queries):
    """The file opened to be read, beside the running gateway or without one: it is not changed, nor migrated.

    Rows that cannot be read are kept apart for whoever asked, each once.
    """

    def __init__(self, path: Path) -> None:
        """path: `history.db`. Raises StorageError if it is not there, not readable or of another format.

        Where there is no write-ahead log the file is opened so that SQLite puts nothing beside it.
        """
        self.path = path
        self.unreadable: set[Row] = set()
        beside = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
        try:
            used = beside[1].exists() or (beside[0].exists() and beside[0].stat().st_size > 0)
            mode = "mode=ro" if used else "immutable=1"
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            self._db = apsw.Connection(f"file:{quote(str(path))}?{mode}", flags=flags)
        except (OSError, apsw.Error) as error:
            raise StorageError(f"cannot open history {path}: {error}") from error
        try:
            self._db.set_busy_timeout(5000)
            found = format_of(self._db)
        except (ValueError, apsw.Error) as error:
            self._db.close(True)
            raise StorageError(f"cannot read history {path}: {error}") from error
        if found != FORMAT:
            self._db.close(True)
            raise StorageError(f"history {path} has format {found}, this version of Metergate reads {FORMAT}")

    def _passed_over(self, row: Row, _: Exception) -> None:
        self.unreadable.add(row[:4])

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close(True)

    def __enter__(self) -> ReadOnlyHistory:
        """Return itself, to be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

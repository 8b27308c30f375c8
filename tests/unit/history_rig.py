"""What the history's tests share: a small history in a folder, intervals and messages to put into it, a disk that refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apsw

from gateway.feed.contract import GENESIS
from gateway.feed.entries import Entry
from gateway.feed.jws import digest
from gateway.history.history import History
from gateway.history.work import TotalRow, Work
from gateway.intervals.model import Boundary, ChannelInterval, Interval
from gateway.model import NS, Event

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.feed.contract import Kind
    from gateway.history.read import Queries
    from gateway.interfaces import Clock
    from gateway.intervals.model import Cause

START_NS = 1_700_000_100 * NS // (900 * NS) * (900 * NS)
LENGTH_NS = 900 * NS
DAY_NS = 86_400 * NS
GIB = 1 << 30


def channel(key: str, n: int, length_ns: int = LENGTH_NS) -> ChannelInterval:
    """Return a counter in the n-th interval: complete, one unit more at its end than at its beginning."""
    opening, closing = Decimal("123456.78") + n, Decimal("123457.78") + n
    start_ns = START_NS + n * length_ns
    return ChannelInterval(
        key=key,
        unit="kWh",
        kind="counter",
        expected=90,
        received=90,
        good=90,
        opening=Boundary(opening, start_ns + 12_000_000),
        closing=Boundary(closing, start_ns + length_ns + 12_000_000),
        delta=closing - opening,
        how="normal",
    )


def interval(
    n: int, meter: str = "m-1", *, rev: int = 0, epoch: int = 0, channels: int = 1, cause: Cause = ""
) -> Interval:
    """Return the n-th interval of a meter after the start."""
    start_ns = START_NS + n * LENGTH_NS
    return Interval(
        meter=meter,
        epoch=epoch,
        start_ns=start_ns,
        end_ns=start_ns + LENGTH_NS,
        channels=tuple(channel(f"energy_active_import_{c}", n) for c in range(channels)),
        closed_ns=start_ns + LENGTH_NS + 30 * NS,
        rev=rev,
        cause=cause,
        energy_kind="electricity",
        layouts=("0123456789abcdef",),
    )


def event(n: int, kind: str = "meter_off", subject: str = "m-1") -> Event:
    """Return an event in the n-th interval."""
    return Event(START_NS + n * LENGTH_NS, kind, subject, {"reason": "timeout", "n": n})


def total(n: int, period: str = "hour", rev: int = 0) -> TotalRow:
    """Return a summary that begins with the n-th interval."""
    start_ns = START_NS + n * LENGTH_NS
    return TotalRow(period, start_ns, rev, start_ns + 4 * LENGTH_NS, start_ns + 5 * LENGTH_NS, {"n": n})


def entry(
    seq: int, kind: Kind = "data", subject: str = "", *, size: int = 100, time_ns: int | None = None
) -> Entry:
    """Return the message of that number, signed in the interval of the same number unless `time_ns` tells."""
    jws = f"{seq}.{kind}.{subject}.".encode().ljust(size, b"x")
    return Entry(seq, kind, subject, START_NS + seq * LENGTH_NS if time_ns is None else time_ns, jws)


def position(live: int, *backlog: tuple[int, int], chain: str = "c-1") -> dict[str, Any]:
    """Return a destination's position as gateway/feed/positions.py stores it."""
    counts = dict.fromkeys(("delivered", "refused", "missed", "resent"), 0)
    spans = [list(span) for span in backlog]
    return {"v": 1, "chain": chain, "live": live, "backlog": spans, "begun": False, "refusals": [], **counts}


def open_history(folder: Path, clock: Clock, **options: Any) -> History:
    """Return an inline history without limits, unless `options` set some."""
    settings: dict[str, Any] = {"size_max": GIB, "keep_s": 200 * 86_400, "inline": True} | options
    return History(folder, clock, **settings)


def disk_refuses(history: History, refuses: bool) -> None:
    """Make the database read-only (or writable again), as a disk with an error is."""
    history._store._db.execute(f"PRAGMA query_only={int(refuses)}")


def kill(history: History) -> None:
    """End a history so that the write-ahead log stays as a kill leaves it."""
    history._leave()
    history._reading.close(wait=True)
    history._store._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    history._store.close()
    history._thread.close(wait=True)


def whole(store: Queries) -> dict[str, Any]:
    """Return everything a commit can change, to be compared; raises AssertionError if the chain does not hold together."""
    meta = store.meta()
    seq, oldest = meta.get("seq", 0), meta.get("oldest", 1)
    entries = store.entries(1, seq + 1, GIB)
    assert [one.seq for one in entries] == list(range(oldest, seq + 1))
    assert meta.get("head", GENESIS) == (digest(entries[-1].jws) if entries else GENESIS)
    return {
        "intervals": list(store.intervals(all_revisions=True)),
        "totals": [*store.totals("hour", all_revisions=True), *store.totals("day", all_revisions=True)],
        "events": list(store.events()),
        "manual": store.manual(),
        "configs": store.configs(),
        "entries": entries,
        "retained": store.retained(),
        "chain": (meta.get("chain", ""), seq, meta.get("kid", "")),
        "state": store.state("intervals"),
    }


def work_of(n: int, seq: int, *, chain: str = "c-1", size: int = 100) -> Work:
    """Return the n-th commit of a small gateway: intervals of two meters, an event, two messages, its place."""
    time_ns = START_NS + n * LENGTH_NS
    entries = [
        entry(seq + 1, size=size, time_ns=time_ns),
        entry(seq + 2, "checkpoint" if n % 4 == 0 else "event", size=size, time_ns=time_ns),
    ]
    return Work(
        intervals=[interval(n, "m-1"), interval(n, "m-2")],
        totals=[total(n)] if n % 4 == 0 else [],
        events=[event(n)],
        entries=entries,
        chain=chain,
        kid="gw-0123",
        states={"intervals": {"n": n}},
    )

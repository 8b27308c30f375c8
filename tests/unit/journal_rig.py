"""What the journal's tests share: a small journal in a folder, frames to put into it, a disk that refuses."""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING, Any

import apsw
import orjson

from gateway.journal.journal import Journal
from gateway.journal.records import unpack
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Event, Frame, Gap

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Clock
    from gateway.journal.reader import Reader

START_NS = 1_700_000_000_000_000_000
MS_NS = 1_000_000
GIB = 1 << 30


def small_layout(meter: str = "m-1", channels: int = 2, coefficient: str = "0.1") -> Layout:
    """Return a layout of u16 gauges."""
    return Layout(
        meter,
        1.0,
        tuple(Channel(f"power_{i}", "power_active", "W", "gauge") for i in range(channels)),
        tuple(Slot((Part("u16"),), coefficient=coefficient) for _ in range(channels)),
    )


def frame(layout: Layout, n: int, *, epoch: int = 0, flags: tuple[int, ...] = ()) -> Frame:
    """Return the n-th frame of a layout: `n` in every channel, n milliseconds after the start."""
    raw = struct.pack(">H", n % 60_000) * len(layout.slots)
    marks = array("H", flags or layout.no_flags)
    return Frame(layout, epoch, START_NS + n * MS_NS, None, raw, layout.decode(raw, marks), marks)


def open_journal(folder: Path, clock: Clock, **options: Any) -> Journal:
    """Return an inline journal without limits, unless `options` set some."""
    settings: dict[str, Any] = {"size_max": GIB, "free_min": 0, "inline": True} | options
    return Journal(folder, clock, **settings)


def disk_refuses(journal: Journal, refuses: bool) -> None:
    """Make the database read-only (or writable again), as a disk with an error is."""
    journal._store._db.execute(f"PRAGMA query_only={int(refuses)}")


def kill(journal: Journal) -> None:
    """End a journal as a kill does: what was not committed is gone."""
    journal._store.close()
    journal._losses.close()
    journal._thread.close(wait=True)


Told = tuple[str, int, int, bytes, tuple[int, ...], tuple[float, ...]]


def told(*frames: Frame) -> list[Told]:
    """Return what the frames say, comparable across a restart, after which layouts are other objects."""
    return [(f.layout.meter, f.epoch, f.time_ns, f.raw, tuple(f.flags), tuple(f.values)) for f in frames]


async def drain(reader: Reader, *, most: int = 10_000) -> list[Told]:
    """Return what every frame the reader has says, acknowledged batch by batch."""
    frames: list[Told] = []
    for _ in range(most):
        batch = await reader.take(backlog=True)
        if batch is None:
            return frames
        frames += told(*batch.frames)
        reader.acknowledge(batch.readings, 0)
    raise AssertionError("the reader never came to an end")


def uncommitted(journal: Journal, *, take: bool = False) -> list[Frame | Event | Gap]:
    """Return what a journal holds in memory only, oldest first; take: its open group has none of it any more."""
    found = [record for group in journal._waiting._groups for record in group.records]
    found += journal._open.records
    if take:
        journal._open.records.clear()
    return found


def notes(folder: Path) -> list[Event | Gap]:
    """Return the events and gaps of a closed journal, in order."""
    return [record for record in records(folder) if isinstance(record, Event | Gap)]


def records(folder: Path) -> list[Frame | Event | Gap]:
    """Return everything in a closed journal, in order."""
    db = apsw.Connection(str(folder / "journal.db"))
    layouts = {
        id_: Layout.from_dict(orjson.loads(body)) for id_, body in db.execute("SELECT id, body FROM layouts")
    }
    bodies = [body for (body,) in db.execute("SELECT body FROM groups ORDER BY id")]
    db.close()
    return [record for body in bodies for record in unpack(body, layouts.__getitem__)]


def frames(folder: Path) -> list[Frame]:
    """Return the frames of a closed journal, in order."""
    return [record for record in records(folder) if isinstance(record, Frame)]

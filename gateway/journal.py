"""The journal: every sample, durable before it is delivered; one writer, many readers.

Invariants

* A group closes `group_s` after its first record (or at `group_bytes`) and is committed whole or not at all.
* Nothing that reads can delay an append; an append is a list append.
* While the disk refuses, closed groups wait in memory (at most `WAIT_S` and `WAIT_BYTES`); what overflows is
  counted in a preallocated file and leaves a gap record as soon as the disk takes it.
* At the size cap the oldest groups go, delivered or not; readers behind are moved up and the loss is counted.

What lies on disk: `journal_store`; the bytes of a group: `journal_records`; positions: `journal_reader`.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from gateway.clock import NS, sleep_for
from gateway.errors import StorageError
from gateway.journal_groups import Committed, OpenGroup, Tail, Waiting
from gateway.journal_losses import LossFile
from gateway.journal_reader import Reader
from gateway.journal_records import pack, unpack
from gateway.journal_store import NewGroup, Opened, ReaderState, RefusalRow, Store
from gateway.model import Event, Frame, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.interfaces import Clock
    from gateway.layout import Layout

T = TypeVar("T")

WAIT_S = 60.0
WAIT_BYTES = 64 * 1024 * 1024
GROUP_BYTES = 256 * 1024
IDLE_S = 1.0  # positions alone are committed this often
DROP_SLACK = 64  # the cap frees 1/64 more than it must, so it does not work at every commit

log = structlog.get_logger("journal")


class Journal:
    """The open journal of a running gateway."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        size_max: int,
        free_min: int,
        group_s: float = 0.05,
        inline: bool = False,
        pages_max: int | None = None,
    ) -> None:
        """folder: where `journal.db` lies. inline: no writer thread (virtual time). Raises StorageError."""
        self._clock = clock
        self._size_max, self._free_min, self._group_s = size_max, free_min, group_s
        self._executor = None if inline else ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._store = Store(folder / "journal.db", pages_max=pages_max)
        found = self._store.load()
        self._losses = LossFile(folder / "journal.loss")
        self._layouts: dict[int, Layout] = found.layouts
        self._layout_ids: dict[Layout, int] = {layout: id_ for id_, layout in found.layouts.items()}
        self._digests = {layout.digest: id_ for id_, layout in found.layouts.items()}
        self._new_layouts: list[tuple[int, Layout]] = []
        self._load_counters(found)
        self._readers: dict[str, Reader] = {}
        self._found_readers = found.readers
        self._open = OpenGroup()
        self._waiting = Waiting(WAIT_S, WAIT_BYTES)
        self._tail = Tail()
        self._refusals: list[RefusalRow] = []
        self._wake = asyncio.Event()
        self._dirty = False
        self._unrecorded = Gap(0, "journal_dropped", 0, 0, 0)
        self.error: str | None = None

    def _load_counters(self, found: Opened) -> None:
        now_ns = self._clock.wall_ns()
        self.stepped_at_start = now_ns < found.last_ns - NS
        self.epoch = found.epoch + self.stepped_at_start
        self.last_ns = 0 if self.stepped_at_start else found.last_ns
        self.oldest, self.following = found.oldest, found.following
        self.oldest_before = found.first_readings_before
        self.readings, self.frames = found.readings, found.frames
        self.body_bytes = found.body_bytes

    # -- appending ----------------------------------------------------------------------------------------

    def append(self, frame: Frame) -> None:
        """Take a frame; it is durable when its group is committed, at the latest `group_s` later."""
        layout = frame.layout
        if layout not in self._layout_ids:
            self._register(layout)
        group = self._open
        if not group.records:
            self._wake.set()
        group.add_frame(frame)
        if group.size > GROUP_BYTES:
            self._close_group()

    def note(self, record: Event | Gap) -> None:
        """Take an event or a gap record."""
        self._open.add_note(record, record.time_ns)
        self._wake.set()

    def new_epoch(self) -> int:
        """Return the epoch that starts now, after a step of the wall clock."""
        self.epoch += 1
        self.last_ns = 0
        self._dirty = True
        return self.epoch

    def _register(self, layout: Layout) -> None:
        id_ = self._digests.get(layout.digest)
        if id_ is None:
            id_ = max(self._layouts, default=0) + 1
            self._new_layouts.append((id_, layout))
            self._digests[layout.digest] = id_
            self._layouts[id_] = layout
        self._layout_ids[layout] = id_

    def _close_group(self) -> None:
        if self._open.records:
            self._waiting.put(self._open, self._clock.monotonic())
            self._open = OpenGroup()

    # -- committing ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit groups until cancelled."""
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
            except TimeoutError:
                if not self._dirty:
                    continue
            else:
                await sleep_for(self._clock, self._group_s)
            self._wake.clear()
            await self.flush()
            if self.error is not None:
                await sleep_for(self._clock, IDLE_S)
                self._wake.set()

    async def flush(self) -> None:
        """Commit what is open, waiting or dirty now; on failure it waits in memory, within bounds."""
        self._close_group()
        self._note_unrecorded()
        waiting = self._waiting.all()
        dirty = [reader for reader in self._readers.values() if reader.dirty]
        if not (waiting or dirty or self._refusals or self._dirty):
            return
        states = [reader.snapshot() for reader in dirty]
        for reader in dirty:
            reader.dirty = False
        self._dirty = False
        refusals, layouts = list(self._refusals), list(self._new_layouts)
        groups, meta = self._number(waiting)
        try:
            await self._in_thread(partial(self._write, waiting, groups, layouts, states, refusals, meta))
        except StorageError as error:
            for reader in dirty:
                reader.dirty = True
            self._dirty = True
            self._failed(error)
            return
        if self.error is not None:
            log.warning("journal is written again", waited=len(waiting))
            self.error = None
        del self._refusals[: len(refusals)], self._new_layouts[: len(layouts)]
        self._committed(waiting, groups)
        await self._hold_cap()

    def _number(self, waiting: list[OpenGroup]) -> tuple[list[NewGroup], dict[str, int]]:
        groups = []
        id_, before, frames, last_ns = self.following, self.readings, self.frames, self.last_ns
        for group in waiting:
            new = NewGroup(id_, group.first_ns, group.last_ns, group.frames, group.readings, before, b"")
            groups.append(new)
            id_, before, frames = id_ + 1, before + group.readings, frames + group.frames
            last_ns = max(last_ns, group.last_ns)
        meta = {
            "epoch": self.epoch,
            "following": id_,
            "readings": before,
            "frames": frames,
            "last_ns": last_ns,
        }
        return groups, meta

    def _write(
        self,
        waiting: list[OpenGroup],
        groups: list[NewGroup],
        layouts: list[tuple[int, Layout]],
        states: list[ReaderState],
        refusals: list[RefusalRow],
        meta: dict[str, int],
    ) -> None:
        for group, new in zip(waiting, groups, strict=True):
            new.body = pack(group.records, self._layout_ids.__getitem__)
        self._store.commit(groups, layouts, states, refusals, meta)

    def _committed(self, waiting: list[OpenGroup], groups: list[NewGroup]) -> None:
        self._waiting.done(len(waiting))
        for new in groups:
            self.following = new.id + 1
            self.readings += new.readings
            self.frames += new.frames
            self.body_bytes += len(new.body)
            self.last_ns = max(self.last_ns, new.last_ns)
        wanted = min((reader.live for reader in self._readers.values()), default=self.following)
        self._tail.extend(list(zip(waiting, groups, strict=True)), wanted)
        if groups:
            for reader in self._readers.values():
                reader.awake.set()

    def _failed(self, error: StorageError) -> None:
        if self.error is None:
            log.error("journal cannot be written; readings wait in memory", error=str(error), wait_s=WAIT_S)
        self.error = str(error)
        for lost in self._waiting.overflow(self._clock.monotonic()):
            self._losses.losses.unstored += lost.readings
            self._count_unrecorded(lost.readings, lost.first_ns, lost.last_ns)
            log.error("readings lost: the disk did not take them", readings=lost.readings, total=self.lost)
            self._save_losses()

    def _save_losses(self) -> None:
        try:
            self._losses.save()
        except StorageError as error:
            log.error("loss counters not written", error=str(error))

    def _count_unrecorded(self, readings: int, first_ns: int, last_ns: int) -> None:
        gap = self._unrecorded
        first_ns = min(first_ns, gap.first_ns) if gap.readings else first_ns
        self._unrecorded = Gap(
            0, "journal_dropped", first_ns, max(last_ns, gap.last_ns), gap.readings + readings
        )

    def _note_unrecorded(self) -> None:
        gap = self._unrecorded
        if gap.readings and (self._waiting or self.error is None):
            self._unrecorded = Gap(0, "journal_dropped", 0, 0, 0)
            now_ns = self._clock.wall_ns()
            self.note(Gap(now_ns, gap.reason, gap.first_ns, gap.last_ns, gap.readings))
            self._close_group()

    async def _hold_cap(self) -> None:
        try:
            free = await self._in_thread(self._store.free_bytes)
            limit = min(self._size_max, self.body_bytes + free - self._free_min)
            if self.body_bytes <= limit:
                return
            excess = self.body_bytes - limit + self.body_bytes // DROP_SLACK
            dropped = await self._in_thread(partial(self._store.drop_oldest, excess))
        except StorageError as error:
            self._failed(error)
            return
        self.oldest, freed, readings, first_ns, last_ns = (dropped[0] or self.oldest, *dropped[1:])
        self.body_bytes -= freed
        self.oldest_before += readings
        behind = sum(reader.move_up(self.oldest, self.oldest_before) for reader in self._readers.values())
        self._losses.losses.dropped += readings
        self._losses.losses.undelivered += behind
        self._save_losses()
        self._count_unrecorded(readings, first_ns, last_ns)
        log.error(
            "journal is at its cap; oldest readings dropped",
            dropped=readings,
            not_delivered=behind,
            limit=limit,
        )

    # -- reading ------------------------------------------------------------------------------------------

    async def reader(self, name: str) -> Reader:
        """Return the reader of that name at its durable positions; a new one starts at the live end."""
        state = self._found_readers.pop(name, None) or ReaderState(name, self.following)
        ids = [state.live, *(id_ for pair in state.backlog for id_ in pair)]
        before = await self._in_thread(partial(self._store.readings_before, ids))
        reader = Reader(self, state, before)
        self._readers[name] = reader
        self._dirty = True
        reader.dirty = True
        return reader

    async def forget_other_readers(self) -> None:
        """Delete the positions of sinks that are no longer configured."""
        await self._in_thread(partial(self._store.delete_readers, list(self._found_readers)))
        self._found_readers.clear()

    async def fetch(self, first: int, until: int, readings_max: int) -> list[Committed]:
        """Return committed groups from id `first` to below `until`, at least one if there is one."""
        found = self._tail.fetch(first, until, readings_max)
        if found is not None:
            return found
        return await self._in_thread(partial(self._fetch, first, until, readings_max))

    def _fetch(self, first: int, until: int, readings_max: int) -> list[Committed]:
        found = []
        for row in self._store.read(first, until, readings_max):
            after = row.readings_before + row.readings
            try:
                if not row.intact:
                    raise ValueError("checksum does not hold")
                records = list(unpack(row.body, self._layouts.__getitem__))
            except (ValueError, KeyError) as error:
                log.error("journal group is damaged and skipped", group=row.id, error=str(error))
                found.append(Committed(row.id, [], row.readings, after, damaged=True))
                continue
            frames = [record for record in records if isinstance(record, Frame)]
            found.append(Committed(row.id, frames, row.readings, after))
        return found

    def refuse(self, rows: Iterable[RefusalRow]) -> None:
        """Record frames that a destination refused for good, with its reason."""
        self._refusals.extend(rows)
        self._dirty = True

    async def refusals(self, limit: int = 20) -> list[RefusalRow]:
        """Return the newest refusals, newest first."""
        return await self._in_thread(partial(self._store.refusals, limit))

    # -- state --------------------------------------------------------------------------------------------

    @property
    def lost(self) -> int:
        """Return readings lost for ever: never stored, or dropped before a sink had them."""
        return self._losses.losses.unstored + self._losses.losses.undelivered

    def layouts(self) -> list[Layout]:
        """Return every layout the journal knows, oldest first."""
        return [self._layouts[id_] for id_ in sorted(self._layouts)]

    def figures(self) -> dict[str, Any]:
        """Return the journal's state for health and commands."""
        return {
            "readings": self.readings,
            "frames": self.frames,
            "epoch": self.epoch,
            "bytes": self.body_bytes,
            "oldest_group": self.oldest,
            "next_group": self.following,
            "waiting_groups": len(self._waiting),
            "unstored": self._losses.losses.unstored,
            "dropped": self._losses.losses.dropped,
            "dropped_undelivered": self._losses.losses.undelivered,
            "error": self.error,
        }

    async def close(self) -> None:
        """Commit what is left and close the files; errors are logged, nothing is deleted."""
        try:
            await self.flush()
            await self._in_thread(self._store.close)
        except StorageError as error:
            log.error("journal did not close cleanly", error=str(error))
        self._losses.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        if self._executor is None:
            return function()
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

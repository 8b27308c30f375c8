"""The journal: every sample, durable before it is delivered; one writer, many readers.

Invariants

* A group closes `group_s` after its first record at the latest (`Pace`) and is committed whole or not at all.
* Nothing that reads can delay an append; an append is a list append.
* One commit at a time, seen through even if the task that asked for it is cancelled: no group is there twice.
* While the disk refuses, closed groups wait in memory (at most `WAIT_S` and `WAIT_BYTES`); what overflows is
  counted in a preallocated file and leaves a gap record as soon as the disk takes it.
* At the size cap the oldest groups go, delivered or not; readers behind are moved up and the loss is counted.
* A damaged file never stops the gateway: it is moved aside, and a new one goes on with its numbers (`open`).
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from gateway.clock import sleep_for
from gateway.errors import StorageError
from gateway.journal import commit
from gateway.journal.commit import Counters, Draft
from gateway.journal.groups import OpenGroup, Pace, Tail, Waiting, read_groups
from gateway.journal.layouts import Layouts
from gateway.journal.losses import Numbers
from gateway.journal.open import open_files, replace_store
from gateway.journal.reader import Readers
from gateway.journal.records import note
from gateway.journal.store import REFUSALS_MAX, RefusalRow, StorageDamaged
from gateway.journal.thread import WriterThread
from gateway.model import NS, Event, Frame, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from gateway.interfaces import Clock
    from gateway.journal.commit import Written
    from gateway.journal.groups import Committed
    from gateway.journal.reader import Reader
    from gateway.journal.store import ReaderState, Store
    from gateway.layout import Layout

WAIT_S = 60.0
WAIT_BYTES = 64 * 1024 * 1024
GROUP_BYTES = 256 * 1024
IDLE_S = 1.0  # positions alone are committed this often

T = TypeVar("T")
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
        self._size_max, self._free_min, self._pages_max = size_max, free_min, pages_max
        self._store, found, self._losses, damage = open_files(folder, pages_max=pages_max)
        self._layouts = Layouts(found)
        self.stepped_at_start = clock.wall_ns() < found.last_ns - NS
        self._counters = Counters.of(found)
        self.oldest, self.oldest_before, self._oldest_ns = found.oldest, found.oldest_before, found.oldest_ns
        self.used_bytes = found.used_bytes
        self._readers = Readers(found.readers)
        self._open = OpenGroup(self.epoch)
        self._pace = Pace(clock, group_s)
        self._waiting = Waiting(WAIT_S, WAIT_BYTES)
        self._tail = Tail()
        self._refusals: list[RefusalRow] = []
        self._dirty = self._damaged = self._closed = False
        self.error: str | None = None
        self._committing = asyncio.Lock()
        self._inline = inline
        self._thread = WriterThread(inline=inline)
        self._in_thread = self._thread.run
        if self.stepped_at_start:
            self.new_epoch()
        if damage is not None:
            self.note(Event(clock.wall_ns(), "journal_damaged", "gateway", damage))

    # -- appending ----------------------------------------------------------------------------------------

    def append(self, frame: Frame) -> None:
        """Take a frame; it is durable when its group is committed, at the latest `group_s` later."""
        layout = frame.layout
        if layout not in self._layouts:
            self._layouts.register(layout)
        group = self._open
        if not group.records:
            self._pace.start()
        group.add_frame(frame)
        if group.size > GROUP_BYTES:
            self._close_group()

    def note(self, record: Event | Gap) -> None:
        """Take an event or a gap record. Raises TypeError if its detail is no JSON."""
        note(record)  # here and not in the writer, where it would spoil the whole group
        self._pace.start()
        self._open.add_note(record, record.time_ns)
        if self._open.size > GROUP_BYTES:
            self._close_group()

    def note_config(self, digest: str, subject: str, changes: Mapping[str, object]) -> None:
        """Journal which site file is in force: an event if it changed, with what did, durable in one commit with the digest."""
        before = self._counters.config
        if not before:
            self._counters.config, self._dirty = digest, True
        elif digest != before:
            detail = {"before": before, "after": digest, **changes}
            self.note(Event(self._clock.wall_ns(), "config", subject, detail))
            self._open.config = digest

    def new_epoch(self) -> int:
        """Return the epoch that starts now, after a step of the wall clock."""
        self._counters.epoch += 1
        self._counters.last_ns = 0
        self._dirty = True
        self._close_group()
        self._open.epoch = self.epoch
        return self.epoch

    def _close_group(self) -> None:
        if self._open.records:
            self._waiting.put(self._open, self._clock.monotonic())
            self._open = OpenGroup(self.epoch)
            if self._waiting.size > WAIT_BYTES:
                self._lose(self._waiting.overflow(self._clock.monotonic()))

    # -- committing ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit groups until cancelled."""
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._pace.started.wait()
            except TimeoutError:
                if not self._unsaved():
                    continue
            else:
                await self._pace.over(lambda: self._open.size)
            await self.flush()
            if self.error is not None:
                await sleep_for(self._clock, IDLE_S)
                self._pace.start()

    def _unsaved(self) -> bool:
        return bool(self._dirty or self._readers.dirty or self._refusals or self.has_unwritten)

    @property
    def has_unwritten(self) -> bool:
        """Return whether something is to be told that is not on disk yet: records, or readings that are lost."""
        return bool(self._open.records or self._waiting or self._losses.gap.readings)

    async def flush(self) -> bool:
        """Commit what is open, waiting or dirty now; return whether all is on disk. On failure it waits in memory, within bounds."""
        if self._inline:
            return await self._flush()
        return await asyncio.shield(asyncio.create_task(self._flush()))

    async def _flush(self) -> bool:
        async with self._committing:
            if not self._unsaved():
                return True
            if self._closed or (self._damaged and not await self._begin_anew()):
                return False
            self._close_group()
            await self._save_losses()  # a new epoch is known there before it is used
            refusals, self._refusals = self._refusals, []
            draft = Draft(
                self._waiting.take(),
                self._layouts.take(),
                self._readers.take(),
                refusals,
                replace(self._counters),
                self._losses.gap,
                self._clock.wall_ns(),
            )
            self._dirty = False
            try:
                written = await self._in_thread(partial(self._write, draft))
            except StorageError as error:
                self._waiting.failed()
                self._layouts.failed(draft.layouts)
                self._readers.failed(draft.readers)
                self._dirty = True
                self._refusals = (refusals + self._refusals)[-REFUSALS_MAX:]
                await self._failed(error)
                return False
            self._layouts.written(draft.layouts, written.layouts_gone)
            self._committed(draft, written)
            await self._save_losses()
            return True

    def _write(self, draft: Draft) -> Written:
        return commit.write(self._store, draft, self._layouts.id_of, self._size_max, self._free_min)

    def _committed(self, draft: Draft, written: Written) -> None:
        if self.error is not None:
            log.warning("journal is written again", waited=len(draft.waiting))
            self.error = None
        self._waiting.done()
        self._losses.recorded(draft.gap)
        counters = written.counters
        if counters.epoch != self.epoch:
            counters.epoch, counters.last_ns = self.epoch, 0
        counters.config = counters.config or self._counters.config
        self._counters = counters
        self.used_bytes = written.used_bytes
        groups = list(zip(written.records, written.groups, strict=True))
        self._tail.extend(groups, self._readers.first_live(self.following))
        self._move_up(written)
        if groups:
            self._oldest_ns = self._oldest_ns or groups[0][1].first_ns
            self._readers.wake()

    def _move_up(self, written: Written) -> None:
        dropped = written.dropped
        if not dropped.following:
            return
        self.oldest = dropped.following
        self.oldest_before += dropped.readings
        self._oldest_ns = dropped.last_ns
        self._tail.forget(self.oldest)
        behind = self._readers.move_up(self.oldest, self.oldest_before)
        log.error(
            "journal is at its cap; oldest readings dropped", dropped=dropped.readings, not_delivered=behind
        )

    async def _failed(self, error: StorageError) -> None:
        if self.error is None:
            log.error("journal cannot be written; readings wait in memory", error=str(error), wait_s=WAIT_S)
        self.error = str(error)
        self._damaged = self._damaged or isinstance(error, StorageDamaged)
        self._lose(self._waiting.overflow(self._clock.monotonic()))
        await self._save_losses()

    def _lose(self, groups: Iterable[OpenGroup]) -> None:
        for lost in groups:
            self._losses.lose(lost.readings, lost.first_ns, lost.last_ns)

    async def _save_losses(self, *, last: bool = False) -> None:
        c, oldest = self._counters, (self.oldest_before, self._oldest_ns)
        pending = self._readers.pending
        numbers = Numbers(c.epoch, c.following, c.readings, c.frames, c.dropped, *oldest, c.last_ns, pending)
        self._losses.keep(numbers, math.inf if last else self._clock.monotonic())
        if not self._losses.saved:
            await self._in_thread(self._losses.try_save)

    async def _begin_anew(self) -> bool:
        """Return whether the damaged file is out of the way and a new one begun."""
        try:
            replacing = partial(replace_store, self._store, pages_max=self._pages_max)
            self._store, moved_to = await self._in_thread(replacing)
        except StorageError as error:
            await self._failed(error)
            return False
        self._damaged = False
        before, gone = self.oldest_before, self.readings - self.oldest_before
        first = self._tail.first  # what is still in memory can still be delivered
        self.oldest = first.id if first else self.following
        self.oldest_before = first.readings_after - first.readings if first else self.readings
        until_ns = first.records[0].time_ns if first and first.records else self.last_ns
        self._losses.lose_stored(self.oldest_before - before, self._oldest_ns, until_ns)
        self._readers.begin_anew(self.oldest, self.oldest_before)
        self._layouts.all_new()
        self._dirty = True
        detail = {"moved_to": moved_to, "readings": gone}
        self.note(Event(self._clock.wall_ns(), "journal_damaged", "gateway", detail))
        return True

    async def reader(self, name: str) -> Reader:
        """Return the reader of that name at its durable positions; a new one starts at the live end."""
        return self._readers.get(self, name)

    def reader_at(self, name: str, state: ReaderState | None) -> Reader:
        """Return a reader that begins where `state` says (None: at the oldest group) and whose owner keeps its positions."""
        return self._readers.at(self, name, state)

    async def forget_other_readers(self, kind: str) -> None:
        """Delete the positions of readers whose name begins with `kind` and that were not asked for."""
        gone = self._readers.others(kind)
        try:
            await self._in_thread(partial(self._store.delete_readers, gone))
        except StorageError as error:
            log.error("positions of removed readers stay for now", readers=gone, error=str(error))
            return
        self._readers.forget(gone)

    async def fetch(self, first: int, until: int, readings_max: int) -> list[Committed]:
        """Return committed groups from id `first` to below `until`, at least one if there is one."""
        found = self._tail.fetch(first, until, readings_max)
        if found is not None:
            return found
        layout_of = self._layouts.get
        return await self._in_thread(lambda: read_groups(self._store, layout_of, first, until, readings_max))

    async def look(self, work: Callable[[Store], T]) -> T:
        """Return what `work` reads of the file, between two commits: it must be brief. Raises StorageError."""
        return await self._in_thread(lambda: work(self._store))

    async def spans(self, first: int, until: int, most: int = 5_000) -> list[tuple[int, int, int]]:
        """Return (id, first_ns, last_ns) of the next committed groups; none: there are no more below `until`."""
        return await self.look(lambda store: store.spans(first, until, most))

    def refuse(self, rows: Iterable[RefusalRow]) -> None:
        """Record frames that a destination refused for good, with its reason."""
        self._refusals.extend(rows)
        del self._refusals[:-REFUSALS_MAX]

    async def refusals(self, limit: int = 20) -> list[RefusalRow]:
        """Return the newest refusals, newest first."""
        return await self._in_thread(partial(self._store.refusals, limit))

    @property
    def epoch(self) -> int:
        """Return the current epoch."""
        return self._counters.epoch

    @property
    def last_ns(self) -> int:
        """Return the newest time journaled in this epoch, 0 if none."""
        return self._counters.last_ns

    @property
    def following(self) -> int:
        """Return the id the next committed group gets."""
        return self._counters.following

    @property
    def readings(self) -> int:
        """Return how many readings were ever committed."""
        return self._counters.readings

    @property
    def config_digest(self) -> str:
        """Return the digest of the site file journaled last, "" if none was."""
        return self._counters.config

    @property
    def lost(self) -> int:
        """Return readings lost for ever: never stored, or gone before a sink had them (summed over sinks)."""
        return self._losses.losses.unstored + self._missed()

    def _missed(self) -> int:
        return self._losses.losses.undelivered + self._readers.missed

    def layouts(self) -> list[Layout]:
        """Return every layout the journal knows, oldest first, those last in use after all others."""
        return self._layouts.all()

    def figures(self) -> dict[str, Any]:
        """Return the journal's state for health and commands."""
        return {
            "readings": self.readings,
            "frames": self._counters.frames,
            "epoch": self.epoch,
            "bytes": self.used_bytes,
            "oldest_group": self.oldest,
            "next_group": self.following,
            "waiting_groups": len(self._waiting),
            "unstored": self._losses.losses.unstored,
            "dropped": self._counters.dropped,
            "dropped_undelivered": self._missed(),
            "error": self.error,
        }

    async def close(self) -> None:
        """Commit what is left and close; what the disk refuses is counted. May be called twice."""
        await self.flush()
        async with self._committing:
            if self._closed:
                return
            self._closed = True
            self._close_group()
            self._lose(self._waiting.take())
            await self._save_losses(last=True)
            try:
                await self._in_thread(self._store.close)
            except StorageError as error:
                log.error("journal did not close cleanly", error=str(error))
            self._losses.close()
            self._thread.close()

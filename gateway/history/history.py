"""The history of a running gateway: one writer, every commit whole or not at all.

Invariants

* What one `Work` carries is one transaction: results, events, messages, chain, states and the place in the journal.
* One commit at a time, seen through even if the task that asked for it is cancelled.
* Damage found when it is opened: the file is moved aside and an empty one begins (`is_new`, `damage`). Damage found
  later raises StorageDamaged until somebody calls `begin_anew`, for a new chain must begin with the new file.
* Questions have a thread and a read-only connection of their own; each slice is a short transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from gateway.errors import StorageError
from gateway.history.read import ReadOnlyHistory
from gateway.history.store import Store
from gateway.journal.open import move_aside
from gateway.journal.store import StorageDamaged
from gateway.journal.thread import WriterThread
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from pathlib import Path

    from gateway.feed.entries import Entry
    from gateway.history.read import Queries
    from gateway.history.work import Dropped, Work
    from gateway.interfaces import Clock

FILE = "history.db"

T = TypeVar("T")
log = structlog.get_logger("history")


def _open(path: Path, now_ns: int, pages_max: int | None) -> tuple[Store, dict[str, Any] | None]:
    """Return the store and, if the file there was damaged, where it was moved and why. Raises StorageError."""
    try:
        return Store(path, now_ns, pages_max=pages_max), None
    except StorageDamaged as error:
        moved_to = move_aside(path)
        log.error("history is damaged: moved aside, a new one begins", moved_to=moved_to, error=str(error))
        return Store(path, now_ns, pages_max=pages_max), {"moved_to": moved_to, "error": str(error)}


class History:
    """The open history. is_new: nothing was ever committed to it. damage: what was found damaged: `moved_to`, `error`."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        size_max: int,
        keep_s: float,
        inline: bool = False,
        pages_max: int | None = None,
    ) -> None:
        """folder: where `history.db` lies. inline: no writer thread (virtual time). Raises StorageError."""
        self._clock, self._size_max, self._keep_ns = clock, size_max, round(keep_s * NS)
        self._pages_max = pages_max
        self._store, self.damage = _open(folder / FILE, clock.wall_ns(), pages_max)
        self.is_new = "chain" not in self._store.meta()
        self.error: str | None = None
        self.used_bytes = self._store.used_bytes()
        self._damaged: StorageDamaged | None = None
        self._closed = False
        self._inline = inline
        self._lock = asyncio.Lock()
        self._awake: list[asyncio.Event] = []
        self._thread = WriterThread(inline=inline)
        self._reading = WriterThread(
            inline=inline
        )  # a month's intervals take seconds: commits do not wait for them
        self._reader: ReadOnlyHistory | None = None

    # -- the chain ----------------------------------------------------------------------------------------

    @property
    def chain(self) -> str:
        """Return the chain's id, "" before the first."""
        return self._store.chain.id

    @property
    def seq(self) -> int:
        """Return the newest message's number, 0 if there is none."""
        return self._store.chain.seq

    @property
    def head(self) -> str:
        """Return the newest message's hash, zeros if there is none: the next one's `prev`."""
        return self._store.chain.head

    @property
    def kid(self) -> str:
        """Return the id of the key the newest messages are signed with, "" before the first."""
        return self._store.chain.kid

    @property
    def following(self) -> int:
        """Return the number the next message gets."""
        return self._store.chain.seq + 1

    @property
    def oldest(self) -> int:
        """Return the oldest message from which on every one is there; `following` if there is none."""
        return self._store.chain.oldest

    def subscribe(self, awake: asyncio.Event) -> None:
        """Set that event after every commit with messages."""
        self._awake.append(awake)

    def unsubscribe(self, awake: asyncio.Event) -> None:
        """Set it no more."""
        self._awake = [one for one in self._awake if one is not awake]

    # -- writing ------------------------------------------------------------------------------------------

    async def commit(self, work: Work) -> Dropped:
        """Make all of it durable in one transaction; return what went before its time to make room (false: nothing).

        Raises StorageError: nothing of it happened. ValueError: its messages do not continue the chain.
        """
        return await self._seen_through(self._commit(work))

    async def _commit(self, work: Work) -> Dropped:
        limits = {"now_ns": self._clock.wall_ns(), "size_max": self._size_max, "keep_ns": self._keep_ns}
        dropped = await self._run(lambda store: store.commit(work, **limits), sizes=True)
        self.is_new = False
        if dropped:
            log.warning("history made room", **dropped.detail())
        if work.entries:
            for awake in self._awake:
                awake.set()
        return dropped

    def destination(self, name: str) -> Mapping[str, Any] | None:
        """Return a destination's position as it was saved last, None if it has none. What it means: docs/specs/history.md."""
        return self._store.positions.get(name)

    async def save_position(self, name: str, body: Mapping[str, Any]) -> None:
        """Make a destination's position durable. Raises StorageError."""
        kept = dict(body)
        await self._seen_through(self._run(lambda store: store.save_position(name, kept)))

    def other_destinations(self, names: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Return the positions of destinations that are none of these; a commit with `destinations_gone` forgets them."""
        return {name: body for name, body in self._store.positions.items() if name not in names}

    async def _seen_through(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns; it goes on to its end if the caller is cancelled."""
        if self._inline:
            return await work
        return await asyncio.shield(asyncio.create_task(work))

    async def _run(self, job: Callable[[Store], T], *, sizes: bool = False) -> T:
        async with self._lock:
            self._usable()
            try:
                result = await self._thread.run(partial(job, self._store))
            except StorageError as error:
                self._failed(error)
                raise
            if sizes:
                with contextlib.suppress(
                    StorageError
                ):  # it is durable all the same: the size stays as it was known
                    self.used_bytes = await self._thread.run(self._store.used_bytes)
            if self.error is not None:
                log.warning("history is written again")
                self.error = None
            return result

    def _usable(self) -> None:
        if self._closed:
            raise StorageError("history is closed")
        if self._damaged is not None:
            raise self._damaged

    def _failed(self, error: StorageError) -> None:
        if self.error is None:
            log.error("history cannot be used", error=str(error))
        self.error = str(error)
        if isinstance(error, StorageDamaged):
            self._damaged = error

    async def begin_anew(self) -> dict[str, Any]:
        """Move a damaged file aside and begin an empty one, without a chain; return the detail for an event.

        Raises StorageError: it is not out of the way yet.
        """
        async with self._lock:
            reason = str(self._damaged or "")
            await self._reading.run(self._leave)
            self.damage = await self._thread.run(partial(self._replace, reason))
            self._damaged, self.error, self.is_new = None, None, True
            self.used_bytes = self._store.used_bytes()
            return self.damage

    def _replace(self, reason: str) -> dict[str, Any]:
        path = self._store.path
        try:
            self._store.close()
        except StorageError as error:
            log.warning("damaged history did not close", error=str(error))
        moved_to = move_aside(path) if path.exists() else ""
        log.error("history was damaged: moved aside, a new one begins", moved_to=moved_to, error=reason)
        self._store = Store(path, self._clock.wall_ns(), pages_max=self._pages_max)
        return {"moved_to": moved_to, "error": reason}

    # -- reading ------------------------------------------------------------------------------------------

    async def read(self, ask: Callable[[Queries], T]) -> T:
        """Return what `ask` reads of what is committed, beside the writer: use up an iterator inside it. Raises StorageError."""
        self._usable()
        return await self._asked(self._reading, lambda: ask(self._beside()))

    def _beside(self) -> ReadOnlyHistory:
        """Return the reading thread's own view of the file."""
        if self._reader is None:
            self._reader = ReadOnlyHistory(self._store.path)
        return self._reader

    def _leave(self) -> None:
        """Close the reading thread's view; the next question opens it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def _asked(self, thread: WriterThread, question: Callable[[], T]) -> T:
        try:
            return await thread.run(question)
        except StorageDamaged as error:
            self._failed(error)
            raise

    async def entries(self, first_seq: int, until_seq: int, bytes_max: int) -> list[Entry]:
        """Return messages first_seq <= seq < until_seq in order: at least one if there is one, then up to `bytes_max`."""
        self._usable()
        return await self._asked(self._thread, lambda: self._store.entries(first_seq, until_seq, bytes_max))

    async def retained(self) -> list[Entry]:
        """Return the newest message of each retained topic, in order of seq."""
        self._usable()
        return await self._asked(self._thread, self._store.retained)

    def figures(self) -> dict[str, Any]:
        """Return the history's state for health and commands."""
        chain = self._store.chain
        return {
            "bytes": self.used_bytes,
            "chain": chain.id,
            "seq": chain.seq,
            "oldest_seq": chain.oldest,
            "destinations": sorted(self._store.positions),
            "error": self.error,
        }

    async def close(self) -> None:
        """Close the file once the commit under way is over; may be called twice."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            await self._reading.run(self._leave)  # first: the last one to close merges the log
            self._reading.close()
            try:
                await self._thread.run(self._store.close)
            except StorageError as error:
                log.error("history did not close cleanly", error=str(error))
            self._thread.close()

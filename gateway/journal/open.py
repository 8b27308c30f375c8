"""Opening the journal's file. A damaged one is put aside, and the new one goes on with the old one's numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from gateway.errors import StorageError
from gateway.journal.losses import SKIP_GROUPS, LossFile
from gateway.journal.store import StorageDamaged, Store

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.store import Opened

log = structlog.get_logger("journal")

Start = tuple[Store, "Opened", LossFile, "dict[str, object] | None"]


def open_files(folder: Path, *, pages_max: int | None = None) -> Start:
    """Return the store, what it holds, the loss file and, if a journal was damaged or is gone, the event's detail.

    Raises StorageError, also on a file of a newer format.
    """
    losses = LossFile(folder / "journal.loss")
    try:
        store, found, moved_to = open_store(folder / "journal.db", pages_max=pages_max)
    except StorageError:
        losses.close()
        raise
    try:
        return store, found, losses, go_on(found, losses, moved_to)
    except StorageError:
        losses.close()
        store.close()
        raise


def open_store(path: Path, *, pages_max: int | None = None) -> tuple[Store, Opened, str]:
    """Return the store, what it holds and, if the file there was damaged, the name it was moved to ("" if not)."""
    try:
        store = Store(path, pages_max=pages_max)
        try:
            return store, store.load(), ""
        except StorageDamaged:
            store.close()
            raise
    except StorageDamaged as error:
        aside = move_aside(path)
        log.error("journal is damaged: moved aside, a new one begins", moved_to=aside, error=str(error))
    store = Store(path, pages_max=pages_max)
    return store, store.load(), aside


def go_on(found: Opened, losses: LossFile, moved_to: str) -> dict[str, object] | None:
    """Make a file that is behind the numbers kept beside it begin after them; return the event's detail if it was.

    Behind is a new file in place of a damaged or deleted one, and an old copy put back. Its groups get ids that were
    never used, its frames an epoch that was never used, so that no identity and no position repeats. Saved before
    anything is committed; a kill in between counts nothing twice.
    """
    kept = losses.numbers
    if kept is None or kept.following <= found.following:
        if moved_to and kept is None:
            log.error("the journal's numbers are gone too: epoch, groups and readings begin anew")
        return {"moved_to": moved_to} if moved_to else None
    gone = max(kept.readings - max(kept.oldest_before, found.readings), 0)
    undelivered = 0 if found.readers else kept.pending  # readers that are there count it as missed themselves
    empty = found.oldest == found.following
    found.epoch, found.last_ns = max(found.epoch, kept.epoch) + 1, 0
    found.following = kept.following + SKIP_GROUPS
    found.readings = max(found.readings, kept.readings)
    found.frames, found.dropped = max(found.frames, kept.frames), max(found.dropped, kept.dropped)
    if empty:
        found.oldest, found.oldest_before = found.following, found.readings
    numbers = replace(
        kept,
        epoch=found.epoch,
        following=found.following,
        readings=found.readings,
        oldest_before=found.oldest_before,
        oldest_ns=found.oldest_ns,
        last_ns=0,
        pending=0,
    )
    losses.lose_file(gone, undelivered, numbers)
    losses.save()
    log.error(
        "the journal goes on with the numbers of the one that is gone",
        epoch=found.epoch,
        readings_gone=gone,
        readings_undelivered=undelivered,
    )
    return {"moved_to": moved_to, "readings": gone, "undelivered": undelivered}


def move_aside(path: Path) -> str:
    """Rename the database and its write-ahead log to the first free `NAME.damaged-N`; return that name."""
    n = 1
    while (aside := path.with_name(f"{path.name}.damaged-{n}")).exists():
        n += 1
    try:
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StorageError(f"cannot move the damaged journal {path} aside: {error}") from error
    return aside.name


def replace_store(store: Store, *, pages_max: int | None = None) -> tuple[Store, str]:
    """Close a store that turned out damaged; return an empty one in its place and the name it was moved to."""
    try:
        store.close()
    except StorageError as error:
        log.warning("damaged journal did not close", error=str(error))
    moved_to = move_aside(store.path) if store.path.exists() else ""
    log.error("journal was damaged: moved aside, a new one begins", moved_to=moved_to)
    return Store(store.path, pages_max=pages_max), moved_to

"""Opening the journal's file, and putting a damaged one aside: the gateway never refuses to run over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.errors import StorageError
from gateway.journal_store import StorageDamaged, Store

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal_store import Opened

log = structlog.get_logger("journal")


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

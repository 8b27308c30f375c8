"""The evidence of a window out of a site's history, as it stands now: for commands and the running gateway alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import StorageError
from gateway.evidence.gather import gather
from gateway.history.history import FILE
from gateway.history.read import ReadOnlyHistory

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.fitting.evidence import Evidence, Window
    from gateway.inventory.model import Inventory


class Loaded(NamedTuple):
    """evidence: None if there is no history, or none of that time. damaged: rows of the history that could not be read."""

    evidence: Evidence | None
    damaged: int = 0


def load_evidence(
    inventory: Inventory,
    site: Site,
    library: Library,
    window: Window,
    now_ns: int,
    advance: Callable[[float], None] = lambda _: None,
) -> Loaded:
    """Return what the history tells of a window. now_ns: what is due later does not count. advance: told which part is done.

    Raises StorageError.
    """
    path = site.gateway.state_dir / FILE
    try:
        is_there = path.exists()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; run it as the gateway's user or as root") from error
    if not is_there:
        return Loaded(None)
    with ReadOnlyHistory(path) as history:
        found = gather(inventory, site, library, history, window, advance, now_ns=now_ns)
        return Loaded(found, len(history.unreadable))

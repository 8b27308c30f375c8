"""The history's file for commands: opened to be read beside the running gateway, and how far one is in it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.errors import MetergateError, StorageError
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.config.models import Site
    from gateway.history.read import ReadOnlyHistory

FILE = "history.db"
LONGEST_NS = 3600 * NS  # no interval is longer


@contextmanager
def opened(site: Site) -> Iterator[ReadOnlyHistory]:
    """Yield the history of a site. Raises StorageError, MetergateError."""
    from gateway.history.read import ReadOnlyHistory

    path = site.gateway.state_dir / FILE
    try:
        is_there = path.exists()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; run it as the gateway's user or as root") from error
    if not is_there:
        raise MetergateError(
            f"there is no history {path} yet; has this gateway run, and with this site file?"
        )
    with ReadOnlyHistory(path) as store:
        yield store


def refuse_damage(rows: int) -> None:
    """Raise MetergateError if rows of the history could not be read: what was shown or written is not all there was."""
    if rows:
        what = "1 row" if rows == 1 else f"{rows:,} rows"
        raise MetergateError(
            f"{what} of the history cannot be read: damaged; figures and files are of the others alone. A backup of {FILE} may "
            "have them, and so may whoever receives the feed"
        )


def is_between_intervals(site: Site, meter: str, at_ns: int) -> bool:
    """Return whether a meter had no interval at a time that is closed; false if nobody can tell."""
    try:
        with opened(site) as store:
            closed_ns = int((store.state("agenda") or {}).get("closed_ns", 0))
            around = store.intervals(max(at_ns - LONGEST_NS, 0), at_ns + 1, [meter])
            return at_ns < closed_ns and not any(at_ns < one.end_ns for one in around)
    except MetergateError:
        return False


def told_revision(site: Site) -> int:
    """Return the newest revision of the inventory the running gateway told of, 0 if none or if nobody can tell."""
    try:
        with opened(site) as store:
            diary = store.state("diary")
    except MetergateError:
        return 0
    told = diary.get("revision") if isinstance(diary, dict) else 0
    return told if isinstance(told, int) else 0


@contextmanager
def scale(what: str) -> Iterator[Callable[[float], None]]:
    """Yield what moves a progress bar to a part of 1; there is none where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda part: progress.update(task, completed=min(max(part, 0.0), 1.0))

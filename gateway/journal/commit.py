"""One commit: the groups, positions and counters it makes durable, and what goes so that the journal keeps its cap.

Belongs to the journal's writer thread; touches nothing of the loop's but what a `Draft` carries.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import structlog

from gateway.errors import StorageError
from gateway.journal.losses import joined
from gateway.journal.records import pack
from gateway.journal.store import Commit, Dropped, NewGroup, StorageFull
from gateway.model import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.journal.groups import OpenGroup
    from gateway.journal.layouts import Changes
    from gateway.journal.records import Record
    from gateway.journal.store import Opened, ReaderState, RefusalRow, Store
    from gateway.layout import Layout

DROP_SLACK = 64  # the cap frees 1/64 more than it must, so it does not work at every commit
HEADROOM_BYTES = 1024 * 1024  # room kept free inside the file while the disk is at its reserve
KEEP_BYTES = 8 * 1024 * 1024  # the disk's reserve never costs the newest readings; the size cap may

log = structlog.get_logger("journal")


@dataclass(slots=True)
class Counters:
    """Of everything committed. following: the next group's id; last_ns: newest time of this epoch; dropped: by the cap.

    config: digest of the site file, "" if none was journaled.
    """

    epoch: int
    following: int
    readings: int
    frames: int
    last_ns: int
    dropped: int
    config: str = ""

    @classmethod
    def of(cls, found: Opened) -> Counters:
        """Return the counters of a journal just opened."""
        return cls(
            found.epoch,
            found.following,
            found.readings,
            found.frames,
            found.last_ns,
            found.dropped,
            found.config,
        )


@dataclass(slots=True)
class Draft:
    """What one commit is asked to make durable. gap: readings lost since the last one, recorded with it.

    readers: those whose positions changed.
    """

    waiting: Sequence[OpenGroup]
    layouts: Changes
    readers: Sequence[ReaderState]
    refusals: Sequence[RefusalRow]
    counters: Counters
    gap: Gap
    now_ns: int


@dataclass(slots=True)
class Written:
    """What a commit did: groups as numbered (one of a gap record alone may be the first), what the cap took.

    records: of each group. layouts_gone: ids whose last group went.
    """

    groups: list[NewGroup]
    records: list[Sequence[Record]]
    counters: Counters
    dropped: Dropped
    layouts_gone: list[int]
    used_bytes: int


def write(
    store: Store, draft: Draft, layout_id: Callable[[Layout], int], size_max: int, free_min: int
) -> Written:
    """Return what was committed. Raises StorageError: nothing was."""
    bodies = [pack(group.records, layout_id) for group in draft.waiting]
    incoming = sum(map(len, bodies))
    used = store.used_bytes()
    excess = _excess(store, used, incoming, size_max, free_min)
    dropped = store.oldest_groups(excess) if excess else Dropped()
    try:
        return _commit(store, draft, bodies, dropped)
    except StorageFull as error:
        dropped = store.oldest_groups(max(excess, 2 * incoming + HEADROOM_BYTES // 16 + used // DROP_SLACK))
        if not dropped.following:
            raise
        log.error("disk is full; the oldest readings make room", error=str(error))
        _reuse_log(store)
        return _commit(store, draft, bodies, dropped)


def _excess(store: Store, used: int, incoming: int, size_max: int, free_min: int) -> int:
    """Return how many bytes must go so that the file keeps its size and the disk its reserve."""
    over = used + incoming - size_max
    if used > KEEP_BYTES:
        short = HEADROOM_BYTES + incoming - store.room_bytes(free_min)
        over = max(over, min(short, used - KEEP_BYTES))
    return over + used // DROP_SLACK if over > 0 else 0


def _reuse_log(store: Store) -> None:
    try:
        store.checkpoint()
    except StorageError as error:
        log.warning("write-ahead log not merged", error=str(error))


_NO_LAYOUTS: dict[Layout, int] = {}  # a gap record needs none


def _commit(store: Store, draft: Draft, bodies: list[bytes], dropped: Dropped) -> Written:
    counters = draft.counters
    id_, readings = counters.following, counters.readings
    frames, last_ns = counters.frames, counters.last_ns
    groups: list[NewGroup] = []
    records: list[Sequence[Record]] = []
    config = counters.config
    gap = joined(draft.gap, dropped.readings, dropped.first_ns, dropped.last_ns)
    if (
        gap.readings
    ):  # first: what is lost is older than what waited, and who reads in order must know of it by then
        time_ns = min(draft.now_ns, draft.waiting[0].first_ns) if draft.waiting else draft.now_ns
        record = Gap(time_ns, gap.reason, gap.first_ns, gap.last_ns, gap.readings)
        groups.append(
            NewGroup(id_, time_ns, time_ns, 0, 0, readings, pack([record], _NO_LAYOUTS.__getitem__))
        )
        records.append([record])
        id_ += 1
    for group, body in zip(draft.waiting, bodies, strict=True):
        span = (group.first_ns, group.last_ns)
        groups.append(NewGroup(id_, *span, group.frames, group.readings, readings, body))
        id_, readings, frames = id_ + 1, readings + group.readings, frames + group.frames
        if group.epoch == counters.epoch:
            last_ns = max(last_ns, group.last_ns)
        records.append(group.records)
        config = group.config or config
    gone = counters.dropped + dropped.readings
    after = Counters(counters.epoch, id_, readings, frames, last_ns, gone, config)
    layouts_gone = store.commit(
        Commit(
            groups,
            list(draft.layouts.new.items()),
            draft.layouts.uses,
            draft.layouts.keep,
            draft.readers,
            draft.refusals,
            asdict(after),
            dropped.following,
        )
    )
    return Written(groups, records, after, dropped, layouts_gone, store.used_bytes())

"""A reader's positions: contiguous, never lost, and every reading below them accounted for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageError
from gateway.journal.reader import SHIFT_GROUPS
from gateway.journal.store import ReaderState
from gateway.model import Event, Frame, Gap
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import START_NS, drain, frame, kill, open_journal, small_layout, told

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.journal import Journal
    from gateway.journal.reader import Reader
    from gateway.model import Batch

LAYOUT = small_layout()
WIDE = small_layout("m-2", channels=50)


async def filled(folder: Path, groups: int, **options: int) -> tuple[Journal, Reader]:
    """Return a journal with a reader at its start and that many groups of one frame."""
    journal = open_journal(folder, VirtualClock(START_NS), **options)
    reader = await journal.reader("sink")
    await more(journal, 0, groups)
    return journal, reader


async def more(journal: Journal, first: int, until: int) -> None:
    for n in range(first, until):
        journal.append(frame(LAYOUT, n))
        await journal.flush()


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [(f.time_ns - START_NS) // 1_000_000 for f in batch.frames]


def test_a_batch_not_acknowledged_comes_again(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 3)
        assert numbers(await reader.take(backlog=True)) == [0, 1, 2]
        assert (reader.pending, reader.delivered) == (6, 0)
        assert numbers(await reader.take(backlog=True)) == [0, 1, 2]
        reader.acknowledge(4, 2)
        assert (reader.pending, reader.delivered, reader.refused) == (0, 4, 2)
        assert await reader.take(backlog=True) is None
        await journal.close()

    run(main())


def test_positions_survive_a_kill_no_further_than_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 3)
        await reader.take(backlog=True)
        reader.acknowledge(6, 0)
        await more(journal, 3, 5)
        await reader.take(backlog=True)
        reader.acknowledge(4, 0)  # not durable before the next commit
        kill(journal)
        again = open_journal(tmp_path, VirtualClock(START_NS))
        reader = await again.reader("sink")
        assert (reader.delivered, reader.pending) == (6, 4)
        assert await drain(reader) == told(frame(LAYOUT, 3), frame(LAYOUT, 4))
        await again.close()

    run(main())


def test_after_an_outage_live_goes_first_and_the_backlog_behind_it_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, SHIFT_GROUPS + 1)
        reader.shift()
        await more(journal, 100, 102)
        live = await reader.take(backlog=True)
        assert (numbers(live), live and live.backfill) == ([100, 101], False)
        reader.acknowledge(4, 0)
        assert await reader.take(backlog=False) is None
        late = await reader.take(backlog=True)
        assert (numbers(late), late and late.backfill) == (list(range(SHIFT_GROUPS + 1)), True)
        assert reader.backlog == reader.pending == 2 * (SHIFT_GROUPS + 1)
        reader.acknowledge(reader.backlog, 0)
        assert reader.pending == 0
        await journal.close()

    run(main())


def test_a_short_lag_stays_live(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, SHIFT_GROUPS)
        reader.shift()
        assert reader.backlog == 0
        reader.shift(outage=True)
        assert reader.backlog == reader.pending > 0
        await journal.close()

    run(main())


def test_backlog_ranges_survive_a_restart_and_come_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 30)
        reader.shift()
        await more(journal, 30, 60)
        reader.shift()
        await more(journal, 60, 61)
        kill(journal)
        again = open_journal(tmp_path, VirtualClock(START_NS))
        reader = await again.reader("sink")
        assert (reader.pending, reader.backlog) == (122, 120)
        seen = []
        while (batch := await reader.take(backlog=True)) is not None:
            seen += numbers(batch)
            reader.acknowledge(batch.readings, 0)
        assert seen == [60, *range(60)]
        await again.close()

    run(main())


def test_a_backlog_may_be_asked_for_before_live(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 30)
        reader.shift()
        await more(journal, 30, 31)
        assert numbers(await reader.take(backlog=True, live=False)) == list(range(30))
        assert numbers(await reader.take(backlog=True)) == [30]
        await journal.close()

    run(main())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_batch_the_cap_drops_while_it_is_written_is_counted_once(
    tmp_path: Path, late: bool, acknowledged: bool
) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 30, size_max=256 * 1024)
        if late:
            reader.shift()
            await more(journal, 30, 31)
        batch = await reader.take(backlog=late, live=not late)
        assert batch is not None
        n = 0
        while journal.oldest <= batch.last_group + 5:
            for _ in range(100):
                journal.append(frame(WIDE, n))
                n += 1
            await journal.flush()
        if acknowledged:
            reader.acknowledge(batch.readings, 0)
        else:
            reader.shift()
        assert reader.delivered == (batch.readings if acknowledged else 0)
        assert reader.delivered + reader.pending + reader.missed == journal.readings
        rest = sum(len(values) for *_, values in await drain(reader))
        assert rest + reader.missed + (batch.readings if acknowledged else 0) == journal.readings
        assert reader.pending == 0
        await journal.close()

    run(main())


def test_groups_that_hold_only_events_are_passed(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 0)
        journal.note(Event(START_NS, "start", "g", {}))
        await journal.flush()
        batch = await reader.take(backlog=True)
        assert batch is not None
        assert not batch.frames
        reader.acknowledge(0, 0)
        assert await reader.take(backlog=True) is None
        await journal.close()

    run(main())


def test_a_position_beyond_the_journal_is_brought_back(tmp_path: Path) -> None:
    async def main() -> None:
        journal, _ = await filled(tmp_path, 3)
        journal._readers.found["far"] = ReaderState("far", 99, 990)
        reader = await journal.reader("far")
        assert (reader.live, reader.pending) == (journal.following, 0)
        await more(journal, 3, 4)
        assert numbers(await reader.take(backlog=True)) == [3]
        await journal.close()

    run(main())


def test_a_waiting_reader_is_woken_by_the_next_commit(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 0)
        assert await reader.take(backlog=True) is None
        waiting = asyncio.create_task(reader.awake.wait())
        await asyncio.sleep(1)
        assert not waiting.done()
        await more(journal, 0, 1)
        await asyncio.wait_for(waiting, 1)
        await journal.close()

    run(main())


def test_a_disk_that_cannot_be_read_leaves_the_position(tmp_path: Path) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 3)
        journal._tail.forget(99)
        journal._store.close()
        with pytest.raises(StorageError):
            await reader.take(backlog=True)
        assert reader.pending == 6
        kill(journal)

    run(main())


@pytest.mark.parametrize("from_disk", [False, True])
def test_groups_hold_every_record_in_order_and_batches_frames_only(tmp_path: Path, from_disk: bool) -> None:
    async def main() -> None:
        journal, reader = await filled(tmp_path, 1)
        event = Event(START_NS, "link_down", "hall-a", {"error": "x"})
        records = [frame(LAYOUT, 1), event, frame(LAYOUT, 2)]
        journal.append(frame(LAYOUT, 1))
        journal.note(event)
        journal.append(frame(LAYOUT, 2))
        await journal.flush()
        journal._losses.lose(5, 1, 2)  # its gap record comes in a group of its own
        await journal.flush()
        if from_disk:
            journal._tail.forget(journal.following)
        groups = await reader.take_groups(backlog=True)
        assert groups is not None
        assert [group.id for group in groups] == [1, 2, 3]
        assert [shown(record) for record in groups[1].records] == [shown(record) for record in records]
        assert groups[2].records == [Gap(START_NS, "journal_dropped", 1, 2, 5)]
        assert numbers(await reader.take(backlog=True)) == [0, 1, 2]
        reader.acknowledge(6, 0)
        assert (reader.pending, reader.missed) == (0, 0)
        await journal.close()

    def shown(record: object) -> object:
        return told(record) if isinstance(record, Frame) else record

    run(main())


def test_a_reader_its_owner_keeps_begins_at_the_oldest_group_and_counts_in_no_sum(tmp_path: Path) -> None:
    async def main() -> None:
        journal, sink = await filled(tmp_path, 3)
        own = journal.reader_at("intervals", None)
        assert (numbers(await own.take(backlog=True)), own.missed) == ([0, 1, 2], 0)
        own.acknowledge(6, 0)
        kept = own.snapshot()
        await more(journal, 3, 5)
        assert own.awake.is_set()
        assert numbers(await own.take(backlog=True)) == [3, 4]
        assert journal.figures()["dropped_undelivered"] == 0
        assert numbers(await sink.take(backlog=True)) == [0, 1, 2, 3, 4]
        kill(journal)
        journal = open_journal(tmp_path, VirtualClock(START_NS))
        own = journal.reader_at("intervals", kept)
        assert numbers(await own.take(backlog=True)) == [3, 4]
        await journal.close()

    run(main())

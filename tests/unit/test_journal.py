"""The journal: what is committed, when, and what stays over a restart."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from gateway.journal.journal import GROUP_BYTES, Journal
from gateway.journal.store import RefusalRow
from gateway.model import Event
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import (
    GIB,
    START_NS,
    disk_refuses,
    drain,
    frame,
    kill,
    open_journal,
    small_layout,
    told,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.commit import Draft, Written

LAYOUT = small_layout()


def clock() -> VirtualClock:
    return VirtualClock(START_NS)


def test_a_burst_is_one_group_committed_when_it_is_over_and_survives_a_kill(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), group_s=0.05)
        reader = await journal.reader("sink")
        task = asyncio.create_task(journal.run())
        await asyncio.sleep(1.2)
        for n in range(1, 5):
            journal.append(frame(LAYOUT, n))
            await asyncio.sleep(0.008)
            assert journal.readings == 0
        await asyncio.sleep(0.009)
        assert (journal.readings, journal.following) == (8, 2)  # one group
        journal.append(frame(LAYOUT, 5))
        task.cancel()
        kill(journal)
        again = open_journal(tmp_path, clock())
        reader = await again.reader("sink")
        assert await drain(reader) == told(*(frame(LAYOUT, n) for n in range(1, 5)))
        await again.close()

    run(main())


@pytest.mark.parametrize("group_s", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("every_s", [0.001, 0.009, 0.011, 0.015, 0.049, 0.051, 0.3])
def test_no_record_waits_longer_than_group_s_and_no_load_commits_more_often(
    tmp_path: Path, group_s: float, every_s: float
) -> None:
    async def main() -> None:
        time = clock()
        journal = open_journal(tmp_path, time, group_s=group_s)
        reader = await journal.reader("sink")
        commits: list[tuple[float, int]] = []
        appends: list[float] = []

        async def watch() -> None:
            while True:
                await reader.awake.wait()
                reader.awake.clear()
                commits.append((time.monotonic(), journal.readings // 2))

        tasks = [asyncio.create_task(journal.run()), asyncio.create_task(watch())]
        while time.monotonic() < 10:
            appends.append(time.monotonic())
            journal.append(frame(LAYOUT, len(appends)))
            await asyncio.sleep(every_s)
        await asyncio.sleep(1)
        assert commits[-1][1] == len(appends)
        done = 0
        for at_s, frames in commits:
            assert at_s - appends[done] <= group_s + 1e-5
            done = frames
        starts = [at_s for at_s, _ in commits]
        assert all(after - before >= group_s - 1e-5 for before, after in pairwise(starts))
        for task in tasks:
            task.cancel()
        await journal.close()

    run(main())


def test_positions_are_made_durable_though_nothing_is_polled_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        reader = await journal.reader("sink")
        task = asyncio.create_task(journal.run())
        journal.append(frame(LAYOUT, 1))
        await asyncio.sleep(0.1)
        await drain(reader)
        await asyncio.sleep(2)
        task.cancel()
        kill(journal)
        again = open_journal(tmp_path, clock())
        assert (await again.reader("sink")).pending == 0
        await again.close()

    run(main())


def test_a_new_reader_starts_at_the_live_end_and_a_removed_one_is_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        await journal.reader("old")
        journal.append(frame(LAYOUT, 1))
        await journal.flush()
        assert (await journal.reader("new")).pending == 0
        await journal.close()
        again = open_journal(tmp_path, clock())
        await again.reader("new")
        await again.forget_other_readers("")
        await again.close()
        third = open_journal(tmp_path, clock())
        assert (await third.reader("old")).pending == 0
        await third.close()

    run(main())


def test_a_large_group_is_closed_before_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        wide = small_layout(channels=100)
        for n in range(3 * GROUP_BYTES // (wide.size + 64)):
            journal.append(frame(wide, n))
        await journal.flush()
        assert journal.figures()["next_group"] == 4
        await journal.close()

    run(main())


def test_waiting_memory_is_bounded_while_a_commit_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.journal.WAIT_BYTES", 4 * GROUP_BYTES)

    async def main() -> None:
        journal = SlowJournal(tmp_path, SystemClock(), size_max=GIB, free_min=0)
        reader = await journal.reader("sink")
        journal.append(frame(LAYOUT, 0))
        flush = asyncio.create_task(journal.flush())
        await asyncio.to_thread(journal.entered.wait)
        wide = small_layout("m-2", channels=100)
        count = 10 * GROUP_BYTES // (wide.size + 64)
        for n in range(count):
            journal.append(frame(wide, n))
        assert journal._waiting.size <= 4 * GROUP_BYTES
        journal.go.set()
        await flush
        await journal.flush()
        assert journal.readings + journal.lost == 2 + 100 * count
        frames = await drain(reader)
        assert frames[0] == told(frame(LAYOUT, 0))[0]  # what the commit had taken is not lost
        assert frames[-1] == told(frame(wide, count - 1))[0]
        await journal.close()

    asyncio.run(main())


class SlowJournal(Journal):
    """A journal whose first write waits for `go`."""

    def __init__(self, *args: object, **options: object) -> None:
        self.go, self.entered = threading.Event(), threading.Event()
        super().__init__(*args, **options)  # type: ignore[arg-type]

    def _write(self, draft: Draft) -> Written:
        self.entered.set()
        assert self.go.wait(10)
        return super()._write(draft)


async def test_a_flush_cancelled_in_the_middle_neither_loses_nor_doubles(tmp_path: Path) -> None:
    journal = SlowJournal(tmp_path, SystemClock(), size_max=GIB, free_min=0)
    reader = await journal.reader("sink")
    task = asyncio.create_task(journal.run())
    journal.append(frame(LAYOUT, 1))
    await asyncio.to_thread(journal.entered.wait)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    journal.append(frame(LAYOUT, 2))
    closing = asyncio.create_task(journal.flush())
    journal.go.set()
    await closing
    assert await drain(reader) == told(frame(LAYOUT, 1), frame(LAYOUT, 2))
    await journal.close()
    again = open_journal(tmp_path, SystemClock())
    assert (again.readings, again.following, again.error) == (4, 3, None)
    await again.close()


async def test_flushes_at_the_same_time_commit_each_group_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SystemClock(), size_max=GIB, free_min=0)
    for n in range(20):
        journal.append(frame(LAYOUT, n))
        await asyncio.gather(journal.flush(), journal.flush(), journal.flush())
    assert (journal.readings, journal.following, journal.error) == (40, 21, None)
    await journal.close()


def test_a_step_back_begins_an_epoch_whose_times_do_not_count_against_it(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        journal.append(frame(LAYOUT, 3_600_000))
        assert journal.new_epoch() == 1
        journal.append(frame(LAYOUT, 1, epoch=1))
        await journal.flush()
        assert journal.last_ns == START_NS + 1_000_000
        kill(journal)
        again = open_journal(tmp_path, clock())
        assert (again.epoch, again.stepped_at_start, again.last_ns) == (1, False, START_NS + 1_000_000)
        await again.close()

    run(main())


@pytest.mark.parametrize(("back_s", "epoch"), [(0, 0), (0.9, 0), (5, 1), (10**9, 1)])
def test_a_clock_behind_the_journal_at_start_begins_an_epoch(
    tmp_path: Path, back_s: float, epoch: int
) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        journal.append(frame(LAYOUT, 0))
        await journal.close()
        again = open_journal(tmp_path, VirtualClock(START_NS - int(back_s * 1e9)))
        assert (again.epoch, again.stepped_at_start) == (epoch, bool(epoch))
        assert again.last_ns == (0 if epoch else START_NS)
        await again.close()

    run(main())


def test_equal_layouts_share_an_id_and_do_not_pile_up(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        reader = await journal.reader("sink")
        for n in range(50):
            journal.append(frame(small_layout(), n))  # compiled anew, as after a reconnect
        assert len(journal._layouts._ids) < 10
        await journal.flush()
        assert len(journal.layouts()) == 1
        assert len(await drain(reader)) == 50
        await journal.close()

    run(main())


def test_refusals_are_kept_newest_first_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.journal.REFUSALS_MAX", 50)
    monkeypatch.setattr("gateway.journal.store.REFUSALS_MAX", 50)

    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        disk_refuses(journal, True)
        for n in range(80):
            journal.refuse([RefusalRow("sink", "m-1", 0, n, 2, "no")])
        await journal.flush()
        assert await journal.refusals() == []
        disk_refuses(journal, False)
        await journal.flush()
        journal.refuse([RefusalRow("sink", "m-1", 0, 80, 2, "no")])
        await journal.flush()
        found = await journal.refusals(1000)
        assert [row.time_ns for row in found] == list(range(80, 30, -1))
        await journal.close()

    run(main())


def test_an_event_that_is_no_json_is_refused_alone(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        with pytest.raises(TypeError):
            journal.note(Event(0, "start", "g", {"x": object()}))
        journal.append(frame(LAYOUT, 1))
        await journal.close()
        assert journal.readings == 2

    run(main())

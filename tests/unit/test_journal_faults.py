"""The journal in trouble: what a failing disk costs, what the cap takes, what a damaged file means."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import apsw
import pytest

from gateway.journal import groups as journal_groups
from gateway.journal.store import StorageDamaged, Store
from gateway.model import Event, Gap
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import (
    MS_NS,
    START_NS,
    disk_refuses,
    drain,
    frame,
    kill,
    notes,
    open_journal,
    small_layout,
    told,
)

if TYPE_CHECKING:
    from pathlib import Path


LAYOUT = small_layout()


def clock() -> VirtualClock:
    return VirtualClock(START_NS)


def test_a_refusing_disk_delays_readings_and_loses_none(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        reader = await journal.reader("sink")
        task = asyncio.create_task(journal.run())
        disk_refuses(journal, True)
        for n in range(50):
            journal.append(frame(LAYOUT, n))
            await asyncio.sleep(1)
        assert journal.figures()["error"] is not None
        assert journal.readings == 0
        disk_refuses(journal, False)
        await asyncio.sleep(3)
        assert journal.error is None
        assert await drain(reader) == told(*(frame(LAYOUT, n) for n in range(50)))
        assert journal.lost == 0
        task.cancel()
        await journal.close()

    run(main())


def test_what_waits_too_long_is_counted_and_leaves_one_gap_record(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        journal = open_journal(tmp_path, clock())
        task = asyncio.create_task(journal.run())
        disk_refuses(journal, True)
        for n in range(200):
            journal.append(frame(LAYOUT, n))
            await asyncio.sleep(1)
        disk_refuses(journal, False)
        await asyncio.sleep(3)
        task.cancel()
        await journal.close()
        return journal.readings, journal.lost

    stored, lost = run(main())
    assert stored + lost == 400
    assert 270 <= lost <= 290  # 60 s of 2 readings/s wait in memory
    (gap,) = notes(tmp_path)
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.readings, gap.first_ns) == ("journal_dropped", lost, START_NS)


def test_losses_not_yet_recorded_are_recorded_after_a_kill(tmp_path: Path) -> None:
    async def main() -> int:
        journal = open_journal(tmp_path, clock())
        disk_refuses(journal, True)
        for n in range(100):
            journal.append(frame(LAYOUT, n))
            await journal.flush()
            await asyncio.sleep(1)
        lost = journal.lost
        kill(journal)
        again = open_journal(tmp_path, clock())
        assert again.lost == lost
        await again.close()
        return lost

    lost = run(main())
    assert lost > 0
    assert [gap.readings for gap in notes(tmp_path) if isinstance(gap, Gap)] == [lost]


def test_what_a_disk_refuses_at_the_end_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        disk_refuses(journal, True)
        journal.append(frame(LAYOUT, 1))
        await journal.close()
        await journal.close()
        assert journal.lost == 2

    run(main())


def test_the_cap_takes_the_oldest_leaves_a_gap_record_and_moves_readers(tmp_path: Path) -> None:
    size_max = 512 * 1024

    async def main() -> tuple[int, int]:
        journal = open_journal(tmp_path, clock(), size_max=size_max)
        wide = small_layout(channels=50)
        behind, fresh = await journal.reader("behind"), await journal.reader("fresh")
        for n in range(8000):
            journal.append(frame(wide, n))
            if n % 10 == 9:
                await journal.flush()
                await drain(fresh)
                assert journal.used_bytes <= size_max
        assert journal.readings == 8000 * 50
        assert fresh.missed == 0
        assert (fresh.delivered, fresh.pending) == (journal.readings, 0)
        assert behind.missed == journal.figures()["dropped"] > 0
        assert behind.missed + behind.pending == journal.readings
        left = await drain(behind)
        assert left[-1] == told(frame(wide, 7999))[0]
        assert len(left) * 50 + behind.missed == journal.readings
        await journal.close()
        return behind.missed, sum((tmp_path / name).stat().st_size for name in ("journal.db",))

    missed, size = run(main())
    assert size <= size_max + 64 * 1024
    gaps = [gap for gap in notes(tmp_path) if isinstance(gap, Gap)]
    assert 0 < sum(gap.readings for gap in gaps) <= missed  # gap records age too


def test_positions_behind_the_cap_are_counted_after_a_kill_too(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), size_max=256 * 1024)
        reader = await journal.reader("sink")
        await journal.flush()
        wide = small_layout(channels=50)
        for n in range(4000):
            journal.append(frame(wide, n))
            if n % 10 == 9:
                reader.dirty = False  # no position is ever saved
                await journal.flush()
        missed = journal.figures()["dropped"]
        kill(journal)
        again = open_journal(tmp_path, clock())
        reader = await again.reader("sink")
        assert (reader.missed, reader.missed + reader.pending) == (missed, 4000 * 50)
        await again.close()

    run(main())


def test_a_full_disk_costs_the_oldest_readings_not_the_newest(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), pages_max=60)
        reader = await journal.reader("sink")
        wide = small_layout(channels=50)
        for n in range(4000):
            journal.append(frame(wide, n))
            if n % 10 == 9:
                await journal.flush()
                assert journal.error is None
        assert journal.figures()["unstored"] == 0
        frames = await drain(reader)
        assert frames[-1] == told(frame(wide, 3999))[0]
        assert len(frames) * 50 + reader.missed == 4000 * 50
        await journal.close()

    run(main())


def test_the_reserve_of_the_disk_does_not_empty_a_small_journal(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), free_min=1 << 60)
        for n in range(100):
            journal.append(frame(LAYOUT, n))
            await journal.flush()
        assert journal.figures()["dropped"] == 0
        await journal.close()

    run(main())


def test_the_reserve_of_the_disk_makes_a_ring_of_the_file_and_does_not_empty_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.commit.KEEP_BYTES", 128 * 1024)
    monkeypatch.setattr("gateway.journal.commit.HEADROOM_BYTES", 64 * 1024)

    async def main() -> None:
        journal = open_journal(tmp_path, clock(), free_min=1 << 60)
        wide = small_layout(channels=50)
        for n in range(8000):
            journal.append(frame(wide, n))
            if n % 10 == 9:
                await journal.flush()
        figures = journal.figures()
        assert figures["dropped"] > 0
        assert 100 * 1024 < figures["bytes"] < 256 * 1024
        await journal.close()

    run(main())


def test_a_layout_that_cannot_be_read_costs_its_samples_until_it_is_registered_again(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        await journal.reader("sink")
        journal.append(frame(LAYOUT, 1))
        await journal.close()
        db = apsw.Connection(str(tmp_path / "journal.db"))
        db.execute("UPDATE layouts SET body = '{}'")
        db.close()
        again = open_journal(tmp_path, clock())
        again.append(frame(LAYOUT, 2))
        await again.flush()
        kill(again)
        third = open_journal(tmp_path, clock())
        assert await drain(await third.reader("sink")) == told(frame(LAYOUT, 1), frame(LAYOUT, 2))
        await third.close()

    run(main())


def test_a_damaged_group_is_skipped_counted_and_never_delivered(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        await journal.reader("sink")
        for n in range(3):
            journal.append(frame(LAYOUT, n))
            await journal.flush()
        await journal.close()
        db = apsw.Connection(str(tmp_path / "journal.db"))
        (body,) = db.execute("SELECT body FROM groups WHERE id=2").fetchone() or (b"",)
        db.execute("UPDATE groups SET body=? WHERE id=2", (body[:-1] + b"\x07",))
        db.execute("DELETE FROM groups WHERE id=3")
        db.close()
        again = open_journal(tmp_path, clock())
        reader = await again.reader("sink")
        again.append(frame(LAYOUT, 4))
        await again.flush()
        assert await drain(reader) == told(frame(LAYOUT, 0), frame(LAYOUT, 4))
        assert (reader.delivered, reader.missed, reader.pending, again.lost) == (4, 4, 0, 4)
        await again.close()

    run(main())


@pytest.mark.parametrize("damage", ["nonsense", "format", "header", "empty-with-wal"])
def test_a_damaged_file_is_moved_aside_and_the_gateway_runs(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.db"

    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        await journal.reader("sink")
        journal.append(frame(LAYOUT, 1))
        await journal.close()
        if damage == "nonsense":
            path.write_bytes(b"this is not a database " * 500)
        elif damage == "header":
            path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4000 + path.read_bytes()[4100:])
        elif damage == "format":
            db = apsw.Connection(str(path))
            db.execute("UPDATE meta SET value='?' WHERE key='format'")
            db.close()
        else:
            path.write_bytes(b"SQLite format 3\0" + bytes(4080))
            (tmp_path / "journal.db-wal").write_bytes(b"x" * 5000)
        before = path.read_bytes()
        again = open_journal(tmp_path, clock())
        reader = await again.reader("sink")
        again.append(frame(LAYOUT, 2, epoch=again.epoch))
        await again.flush()
        assert await drain(reader) == told(frame(LAYOUT, 2, epoch=1))
        await again.close()
        assert (tmp_path / "journal.db.damaged-1").read_bytes()[:16] == before[:16]

    run(main())
    gap, event = notes(tmp_path)
    assert isinstance(event, Event)
    assert event.kind == "journal_damaged"
    assert event.detail == {"moved_to": "journal.db.damaged-1", "readings": 2, "undelivered": 2}
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.readings) == ("journal_dropped", 2)
    assert gap.first_ns == gap.last_ns == START_NS + 1_000_000


def test_a_file_that_turns_out_damaged_while_running_is_replaced_and_the_live_end_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        live, behind = await journal.reader("live"), await journal.reader("behind")
        task = asyncio.create_task(journal.run())
        delivered = []
        for n in range(40):
            if n == 20:
                monkeypatch.setattr(Store, "commit", no_database)
            journal.append(frame(LAYOUT, n))
            await asyncio.sleep(0.5)
            delivered += await drain(live)
        await asyncio.sleep(5)
        delivered += await drain(live)
        assert delivered == told(*(frame(LAYOUT, n) for n in range(40)))
        assert behind.delivered + behind.pending + behind.missed == journal.readings == 80
        task.cancel()
        await journal.close()
        (gap,) = [note for note in notes(tmp_path) if isinstance(note, Gap)]
        assert (gap.reason, gap.readings) == ("journal_dropped", behind.missed)
        assert gap.first_ns == START_NS < gap.last_ns < START_NS + 40 * MS_NS
        again = open_journal(tmp_path, clock())
        assert (again.readings, again.layouts()[0].digest) == (80, LAYOUT.digest)
        await again.close()

    whole = Store.commit

    def no_database(store: Store, _: object) -> None:
        monkeypatch.setattr(Store, "commit", whole)
        raise StorageDamaged("database disk image is malformed")

    monkeypatch.setattr(journal_groups, "TAIL_BYTES", 4000)  # ten frames
    run(main())
    assert (tmp_path / "journal.db.damaged-1").exists()


def test_a_store_that_cannot_be_opened_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="journal") as caught:
        Store(tmp_path / "missing" / "journal.db")
    assert type(caught.value).__name__ == "StorageError"

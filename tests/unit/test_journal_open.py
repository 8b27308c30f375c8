"""Opening a journal: other formats, damaged and missing files, what a new file takes over from the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from gateway.errors import StorageError
from gateway.journal import format as journal_format
from gateway.journal.losses import SKIP_GROUPS, LossFile
from gateway.journal.store import CACHE_KIB
from gateway.model import NS, Event, Gap
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import START_NS, drain, frame, kill, notes, open_journal, small_layout, told

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = small_layout()


def clock() -> VirtualClock:
    return VirtualClock(START_NS)


def fill(folder: Path, frames: int = 3, **options: Any) -> None:
    """Leave a closed journal with that many groups of one frame (2 readings) and a sink that has taken one."""

    async def main() -> None:
        journal = open_journal(folder, clock(), **options)
        reader = await journal.reader("sink:a")
        for n in range(frames):
            journal.append(frame(LAYOUT, n))
            await journal.flush()
            if n == 0:
                await drain(reader)
        await journal.close()

    run(main())


def reopened(folder: Path) -> tuple[int, int, int, int]:
    """Return readings, following group, epoch and losses of a journal opened and killed."""

    async def main() -> tuple[int, int, int, int]:
        journal = open_journal(folder, clock())
        kill(journal)
        return journal.readings, journal.following, journal.epoch, journal.lost

    return run(main())


def set_format(folder: Path, number: object) -> None:
    db = apsw.Connection(str(folder / "journal.db"))
    db.execute("UPDATE meta SET value=? WHERE key='format'", (number,))
    db.close()


def test_a_file_of_a_newer_format_is_left_alone_and_refused_with_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path)
    set_format(tmp_path, 7)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        StorageError, match=r"newer version .*format 7, this one knows 1.*install .* or move"
    ) as caught:
        open_journal(tmp_path, clock())
    assert type(caught.value) is StorageError
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    set_format(tmp_path, 1)

    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        assert await drain(await journal.reader("sink:a")) == told(frame(LAYOUT, 1), frame(LAYOUT, 2))
        await journal.close()

    run(main())


def test_a_file_of_an_older_format_is_migrated_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    done: list[int] = []

    def step(db: apsw.Connection) -> None:
        done.append(len(done))
        db.execute(f"CREATE TABLE step_{len(done)} (x)")

    monkeypatch.setattr(journal_format, "FORMAT", 3)
    monkeypatch.setattr(journal_format, "MIGRATIONS", {1: step, 2: step})
    assert reopened(tmp_path) == (6, 4, 0, 0)
    assert reopened(tmp_path) == (6, 4, 0, 0)  # nothing left to do
    db = apsw.Connection(str(tmp_path / "journal.db"))
    assert db.execute("SELECT value FROM meta WHERE key='format'").fetchone() == (3,)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'step_%'").fetchone() == (2,)
    db.close()


def test_a_migration_that_fails_or_is_missing_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)

    def half(db: apsw.Connection) -> None:
        db.execute("CREATE TABLE half (x)")
        db.execute("CREATE TABLE half (x)")

    monkeypatch.setattr(journal_format, "FORMAT", 3)
    for migrations, text in (({}, "format 1"), ({1: half}, "half"), ({1: lambda _: None}, "format 2")):
        monkeypatch.setattr(journal_format, "MIGRATIONS", migrations)
        with pytest.raises(StorageError, match=text):
            open_journal(tmp_path, clock())
    db = apsw.Connection(str(tmp_path / "journal.db"))
    assert db.execute("SELECT value FROM meta WHERE key='format'").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name='half'").fetchone() == (0,)
    db.close()
    assert not list(tmp_path.glob("*.damaged*"))


@pytest.mark.parametrize("how", ["damaged", "deleted"])
def test_a_new_file_goes_on_with_the_numbers_and_counts_what_was_pending(tmp_path: Path, how: str) -> None:
    fill(tmp_path)
    path = tmp_path / "journal.db"
    if how == "damaged":
        path.write_bytes(b"this is not a database " * 500)
    else:
        path.unlink()

    async def main() -> None:
        for opening in range(2):  # killed before its first commit: counts nothing twice
            journal = open_journal(tmp_path, clock())
            assert (journal.readings, journal.lost, journal.oldest) == (6, 4, journal.following)
            assert journal.epoch == 1 + opening
            assert journal.following == 4 + (1 + opening) * SKIP_GROUPS
            if opening == 0:
                kill(journal)
        reader = await journal.reader("sink:a")
        assert (reader.pending, reader.live) == (0, journal.following)
        first = journal.following
        journal.append(frame(LAYOUT, 0, epoch=2))
        await journal.flush()
        kill(journal)
        again = open_journal(tmp_path, clock())
        assert (again.epoch, again.readings, again.lost) == (2, 8, 4)
        assert (again.oldest, again.oldest_before) == (first, 6)
        reader = await again.reader("sink:a")
        assert await drain(reader) == told(frame(LAYOUT, 0, epoch=2))
        assert (reader.delivered, reader.missed) == (2, 0)
        await again.close()

    run(main())
    gaps = [record for record in notes(tmp_path) if isinstance(record, Gap)]
    assert [(gap.reason, gap.readings) for gap in gaps] == [("journal_dropped", 6)]
    assert (gaps[0].first_ns, gaps[0].last_ns) == (START_NS, START_NS + 2_000_000)
    assert "journal_damaged" in [record.kind for record in notes(tmp_path) if isinstance(record, Event)]


def test_an_old_copy_put_back_goes_on_after_the_newer_numbers(tmp_path: Path) -> None:
    fill(tmp_path)
    old = (tmp_path / "journal.db").read_bytes()

    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        reader = await journal.reader("sink:a")
        await drain(reader)
        for n in range(3, 6):
            journal.append(frame(LAYOUT, n))
            await journal.flush()
        await journal.close()
        (tmp_path / "journal.db").write_bytes(old)
        again = open_journal(tmp_path, clock())
        reader = await again.reader("sink:a")
        assert (again.epoch, again.readings) == (1, 12)
        again.append(frame(LAYOUT, 9, epoch=1))
        await again.flush()
        again_told = told(frame(LAYOUT, 1), frame(LAYOUT, 2), frame(LAYOUT, 9, epoch=1))
        assert await drain(reader) == again_told
        assert (reader.delivered, reader.missed, reader.pending) == (8, 6, 0)
        assert again.lost == 6
        await again.close()

    run(main())


def test_without_any_numbers_left_a_new_journal_begins_and_says_so(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "journal.db").write_bytes(b"this is not a database " * 500)
    (tmp_path / "journal.loss").unlink()

    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        assert (journal.epoch, journal.following, journal.lost) == (0, 1, 0)
        await journal.close()

    run(main())
    (event,) = notes(tmp_path)
    assert isinstance(event, Event)
    assert event.kind == "journal_damaged"


def test_a_journal_that_lost_only_its_loss_file_goes_on(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "journal.loss").unlink()
    assert reopened(tmp_path) == (6, 4, 0, 0)


def test_the_numbers_are_saved_once_a_second_and_an_epoch_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved() -> tuple[int, int]:
        file = LossFile(tmp_path / "journal.loss")
        file.close()
        assert file.numbers is not None
        return file.numbers.epoch, file.numbers.following

    async def main() -> None:
        time = clock()
        journal = open_journal(tmp_path, time)
        for n in range(25):
            journal.append(frame(LAYOUT, n))
            await journal.flush()
            await time.sleep_until(0.1 * (n + 1))
            assert saved()[1] >= journal.following - 11
        assert saved()[1] < journal.following
        journal.new_epoch()
        journal.append(frame(LAYOUT, 0, epoch=1))
        store, following = journal._store, journal.following
        monkeypatch.setattr(journal, "_write", lambda _: refuse(saved() == (1, following)))
        await journal.flush()
        assert journal.error == "True"
        store.close()

    def refuse(known: bool) -> Any:
        raise StorageError(str(known))

    run(main())


def test_the_changed_site_file_is_journaled_once_together_with_its_digest(tmp_path: Path) -> None:
    async def main() -> None:
        for digest, kept in (("a", "a"), ("b", "a"), ("b", "b"), ("b", "b")):
            journal = open_journal(tmp_path, clock())
            journal.note_config(digest, "g", {})
            if kept == digest:
                await journal.close()
                assert journal.config_digest == digest
            else:
                kill(journal)  # neither the event nor the digest was committed

    run(main())
    assert [record.detail for record in notes(tmp_path) if isinstance(record, Event)] == [
        {"before": "a", "after": "b"}
    ]


def test_only_readers_of_a_kind_are_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock())
        for name in ("sink:a", "sink:b", "intervals"):
            await journal.reader(name)
        await journal.flush()
        await journal.close()
        again = open_journal(tmp_path, clock())
        await again.reader("sink:a")
        await again.forget_other_readers("sink:")
        await again.close()
        third = open_journal(tmp_path, VirtualClock(START_NS + NS))
        assert set(third._readers.found) == {"sink:a", "intervals"}
        await third.close()

    run(main())


def test_what_sqlite_keeps_in_memory_has_an_end(tmp_path: Path) -> None:
    async def main() -> int:
        journal = open_journal(tmp_path, clock())
        wide = small_layout(channels=1000)
        for n in range(150):
            for i in range(10):
                journal.append(frame(wide, 10 * n + i))
            await journal.flush()
        used, _ = journal._store._db.status(apsw.SQLITE_DBSTATUS_CACHE_USED)
        assert journal.used_bytes > 2 * CACHE_KIB * 1024
        await journal.close()
        return used

    assert run(main()) < 1.2 * CACHE_KIB * 1024

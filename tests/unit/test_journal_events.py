"""Events read back in slices: none twice, none left out, whatever lies around them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import StorageError
from gateway.journal import events as reading
from gateway.journal.events import ReadOnly, Scan, Wanted
from gateway.model import Event, Gap
from simulators.virtual import VirtualClock
from tests.unit.journal_rig import MS_NS, START_NS, frame, open_journal, small_layout

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.store import Store

GROUPS = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal at rest: an event in every third group, samples in all, a gap record in the last."""

    async def write() -> None:
        journal = open_journal(tmp_path, VirtualClock(START_NS))
        layout = small_layout()
        for n in range(GROUPS):
            journal.append(frame(layout, n))
            if n % 3 == 0:
                journal.note(Event(START_NS + n * MS_NS, "crash", f"task {n % 2}", {"n": n}))
            await journal.flush()
        journal.note(Gap(START_NS + GROUPS * MS_NS, "journal_dropped", 1, 2, 3, "m-1"))
        await journal.close()

    asyncio.run(write())
    return tmp_path


def found(store: Store, wanted: Wanted, *, back: bool) -> list[dict[str, Any]]:
    """Return everything a scan brings, oldest first."""
    scan = Scan(wanted, 1, GROUPS + 2, back=back)
    rows: list[dict[str, Any]] = []
    while not scan.is_over:
        for group in scan.slice(store):
            rows = group.rows + rows if back else rows + group.rows
    assert scan.damaged == 0
    return rows


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("readings_max", [1, 7, 100_000])
def test_every_event_is_found_once_in_slices_of_any_size(
    folder: Path, back: bool, readings_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "READINGS_MAX", readings_max)
    store = ReadOnly(folder / "journal.db")
    rows = found(store, Wanted(), back=back)
    assert [row["detail"]["n"] for row in rows[:-1]] == list(range(0, GROUPS, 3))
    assert rows[-1] == {
        "time_ns": START_NS + GROUPS * MS_NS,
        "kind": "gap",
        "subject": "m-1",
        "detail": {"reason": "journal_dropped", "first_ns": 1, "last_ns": 2, "readings": 3},
    }
    store.close()


@pytest.mark.parametrize("back", [False, True])
def test_time_kind_and_subject_choose(folder: Path, back: bool) -> None:
    store = ReadOnly(folder / "journal.db")
    half = Wanted(from_ns=START_NS + 30 * MS_NS, to_ns=START_NS + 60 * MS_NS)
    assert [row["detail"]["n"] for row in found(store, half, back=back)] == list(range(30, 60, 3))
    assert {row["detail"]["n"] % 2 for row in found(store, Wanted(subjects={"task 1"}), back=back)} == {1}
    assert [row["kind"] for row in found(store, Wanted(kinds={"gap"}), back=back)] == ["gap"]
    assert "gap" not in {row["kind"] for row in found(store, Wanted(without={"gap"}), back=back)}
    store.close()


def test_a_damaged_group_costs_its_own_events_and_is_counted(folder: Path) -> None:
    class Spoilt(ReadOnly):
        def read(self, first: int, until: int, readings_max: int) -> list[Any]:
            rows = super().read(first, until, readings_max)
            return [row._replace(intact=False) if row.id == 4 else row for row in rows]

    store = Spoilt(folder / "journal.db")
    scan = Scan(Wanted(), 1, 10, back=False)
    rows = [row for group in scan.slice(store) for row in group.rows]
    assert [row["detail"]["n"] for row in rows] == [0, 6]
    assert scan.damaged == 1
    store.close()


def test_a_journal_at_rest_refuses_to_be_written_and_what_is_none_is_refused(folder: Path) -> None:
    store = ReadOnly(folder / "journal.db")
    assert (store.oldest, store.following) == (1, GROUPS + 2)
    with pytest.raises(StorageError, match="readonly"):
        store.delete_readers(["x"])
    store.close()
    (folder / "other.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match=r"other\.db"):
        ReadOnly(folder / "other.db")
    with pytest.raises(StorageError, match="cannot open"):
        ReadOnly(folder / "nothing.db")

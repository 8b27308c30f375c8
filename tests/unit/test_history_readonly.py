"""The history read beside the gateway that writes it: nothing is changed, nothing is held, nothing half is seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from gateway.errors import StorageError
from gateway.history.read import ReadOnlyHistory
from simulators.virtual import VirtualClock, run
from tests.unit.history_rig import START_NS, kill, open_history, whole, work_of

ROOT = Path(__file__).resolve().parents[2]


async def _fill(folder: Path, commits: int, *, killed: bool = False) -> None:
    history = open_history(folder, VirtualClock(START_NS))
    for n in range(commits):
        await history.commit(work_of(n, history.seq))
    if killed:
        kill(history)
    else:
        await history.close()


def test_it_is_read_while_the_gateway_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, VirtualClock(START_NS))
        await history.commit(work_of(0, 0))
        with ReadOnlyHistory(tmp_path / "history.db") as beside:
            for n in range(1, 300):
                await history.commit(work_of(n, history.seq))
                if n == 280:
                    begun = beside.intervals()  # a slice is read; the rest comes when it is asked for
                    next(begun)
            assert beside.meta()["seq"] == 600
            assert beside.entries(599, 700, 10_000) == await history.entries(599, 700, 10_000)
            assert len(list(beside.intervals())) == 600
            assert len(list(begun)) == 599
            log = tmp_path / "history.db-wal"
            assert log.stat().st_size < 8 * 1024 * 1024  # nobody keeps it from being merged
        await history.close()

    run(main())


def test_another_process_reads_it_too(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gateway.history.read import ReadOnlyHistory\n"
        "with ReadOnlyHistory(Path(sys.argv[1])) as h: print(len(list(h.intervals())), h.counts().seq)"
    )

    run(_fill(tmp_path, 20, killed=True))
    writer = apsw.Connection(
        str(tmp_path / "history.db")
    )  # the gateway's connection; nothing is merged while it is there
    writer.execute("BEGIN IMMEDIATE")
    path = str(tmp_path / "history.db")
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, cwd=ROOT
    )
    writer.close(True)
    assert done.stdout.split() == ["40", "40"]


@pytest.mark.parametrize("killed", [False, True])
def test_without_a_gateway_it_is_read_and_left_as_it_is(tmp_path: Path, killed: bool) -> None:
    run(_fill(tmp_path, 10, killed=killed))
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir() if not one.name.endswith("-shm")}
    assert ("history.db-wal" in before) == killed
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        assert len(whole(history)["intervals"]) == 20
        with pytest.raises(apsw.ReadOnlyError):
            history._db.execute("DELETE FROM intervals")
    after = {one.name: one.read_bytes() for one in tmp_path.iterdir() if not one.name.endswith("-shm")}
    assert after == before


def test_none_is_made_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot open"):
        ReadOnlyHistory(tmp_path / "history.db")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "history.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StorageError, match="history"):
        ReadOnlyHistory(tmp_path / "history.db")


def test_another_format_is_not_read(tmp_path: Path) -> None:
    run(_fill(tmp_path, 1))
    db = apsw.Connection(str(tmp_path / "history.db"))
    db.execute("UPDATE meta SET value=7 WHERE key='format'")
    db.close()
    with pytest.raises(StorageError, match="format 7"):
        ReadOnlyHistory(tmp_path / "history.db")

"""The history in trouble: kills between statements, a full disk, damage anywhere in the file, formats it does not know."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from gateway.errors import StorageError
from gateway.history.store import Store
from gateway.history.work import Work
from gateway.journal.store import StorageDamaged, StorageFull
from simulators.virtual import VirtualClock, run
from tests.unit.history_rig import (
    START_NS,
    disk_refuses,
    event,
    interval,
    kill,
    open_history,
    position,
    whole,
    work_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.history.history import History

ROOT = Path(__file__).resolve().parents[2]
PAGE = 4096


def clock() -> VirtualClock:
    return VirtualClock(START_NS)


def _state(folder: Path) -> dict[str, Any]:
    store = Store(folder / "history.db", START_NS)
    try:
        return whole(store)
    finally:
        store.close()


async def _filled(folder: Path, commits: int, **options: Any) -> History:
    history = open_history(folder, clock(), **options)
    for n in range(commits):
        await history.commit(work_of(n, history.seq))
    return history


def test_a_kill_before_any_statement_of_a_commit_leaves_the_old_or_the_new_state_whole(
    tmp_path: Path,
) -> None:
    """The folder is copied before each statement, with a cache so small that pages reach the log before the end."""
    home = tmp_path / "home"
    home.mkdir()
    copies: list[Path] = []

    async def main() -> dict[str, Any]:
        history = await _filled(home, 60)
        await history.save_position("a", position(20))
        size_max = await history.read(lambda store: store.used_bytes())
        history._size_max = size_max - 20_000  # so that this commit drops too
        db = history._store._db
        db.execute("PRAGMA cache_size=3")

        def copied(*_: object) -> bool:
            copies.append(tmp_path / f"copy-{len(copies)}")
            shutil.copytree(home, copies[-1])
            return True

        db.exec_trace = copied
        dropped = await history.commit(work_of(60, history.seq, size=3000))
        db.exec_trace = None
        assert dropped.kind == "size"
        kill(history)
        return _state(home)

    new = run(main())
    found = [_state(copy) for copy in copies]
    old = found[0]
    assert len(found) > 25
    assert old != new
    assert old["state"] == {"n": 59}
    began = next(n for n, one in enumerate(found) if one == new)  # questions after the commit
    assert began > 20
    assert all(one == old for one in found[:began])
    assert all(one == new for one in found[began:])


@pytest.mark.parametrize("tail", [1, 100, PAGE, 3 * PAGE + 7, 20 * PAGE])
def test_a_torn_tail_of_the_log_leaves_an_earlier_commit_whole(tmp_path: Path, tail: int) -> None:
    states = []

    async def main() -> None:
        history = open_history(tmp_path, clock())
        for n in range(12):
            await history.commit(work_of(n, history.seq))
            states.append(await history.read(whole))
        kill(history)

    run(main())
    log = tmp_path / "history.db-wal"
    body = log.read_bytes()
    assert len(body) > 40 * PAGE
    log.write_bytes(body[:-tail])
    assert _state(tmp_path) in states[:-1]
    assert not list(tmp_path.glob("*.damaged-*"))


@pytest.mark.parametrize("spoil", ["zeros", "noise"])
def test_damage_anywhere_in_the_file_costs_the_file_and_never_the_gateway(tmp_path: Path, spoil: str) -> None:
    home = tmp_path / "home"
    home.mkdir()

    async def fill() -> None:
        await (await _filled(home, 150)).close()

    run(fill())
    body = (home / "history.db").read_bytes()
    noise = random.Random(7)
    outcomes = []
    for page in range(len(body) // PAGE):
        folder = tmp_path / f"page-{page}"
        folder.mkdir()
        bad = bytes(PAGE) if spoil == "zeros" else noise.randbytes(PAGE)
        (folder / "history.db").write_bytes(body[: page * PAGE] + bad + body[(page + 1) * PAGE :])
        outcomes.append(run(_survives(folder)))
    assert "opening" in outcomes
    assert "running" in outcomes


async def _survives(folder: Path) -> str:
    """Return when the damage was found; every way ends with a history that takes commits."""
    history = open_history(folder, clock())
    found = "opening" if history.damage else ""
    if history.damage:
        assert (folder / history.damage["moved_to"]).exists()
        assert (history.is_new, history.chain, history.seq) == (True, "", 0)
    try:
        await history.read(whole)
        await history.commit(work_of(200, history.seq, chain=history.chain or "c-2"))
    except StorageDamaged:
        found = "running"
    except (AssertionError, ValueError):
        found = "rows"  # rows are gone without SQLite seeing it
    if found == "running":
        with pytest.raises(StorageDamaged):
            await history.commit(work_of(200, history.seq))
        assert history.figures()["error"] is not None
        detail = await history.begin_anew()
        assert (folder / detail["moved_to"]).exists()
        assert (history.is_new, history.chain, history.seq) == (True, "", 0)
        assert history.figures()["error"] is None
        await history.commit(work_of(0, 0, chain="c-2"))
        assert (history.is_new, history.chain, history.seq) == (False, "c-2", 2)
    await history.close()
    return found


def test_a_file_whose_newest_message_is_not_the_head_is_damaged(tmp_path: Path) -> None:
    async def main() -> None:
        history = await _filled(tmp_path, 3)
        history._store._db.execute("UPDATE outbox SET jws=CAST(jws||'x' AS BLOB) WHERE seq=6")
        await history.close()
        history = open_history(tmp_path, clock())
        assert history.damage is not None
        assert "newest message" in history.damage["error"]
        assert history.damage["moved_to"] == "history.db.damaged-1"
        await history.close()

    run(main())


def test_a_row_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    async def main() -> None:
        history = await _filled(tmp_path, 3)
        db = history._store._db
        db.execute("UPDATE intervals SET body='{' WHERE meter='m-1' AND start_ns=?", (START_NS,))
        db.execute("UPDATE events SET detail='[' WHERE id=1")
        db.execute("UPDATE state SET body='?'")
        found = await history.read(whole)
        assert len(found["intervals"]) == 5
        assert len(found["events"]) == 2
        assert found["state"] is None
        assert await history.read(lambda store: store.interval("m-1", 0, START_NS)) is None
        await history.close()

    run(main())


@pytest.mark.parametrize(
    ("number", "message"), [(2, "newer version of Metergate"), (0, "cannot migrate"), (99, "newer version")]
)
def test_a_format_it_does_not_know_is_refused_and_left_alone(
    tmp_path: Path, number: int, message: str
) -> None:
    run(_closed(tmp_path))
    path = tmp_path / "history.db"
    db = apsw.Connection(str(path))
    db.execute("UPDATE meta SET value=? WHERE key='format'", (number,))
    db.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=message):
        run(_closed(tmp_path))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir() if "damaged" in one.name] == []


async def _closed(folder: Path) -> None:
    await (await _filled(folder, 1)).close()


def test_a_full_disk_refuses_the_commit_whole_and_takes_it_later(tmp_path: Path) -> None:
    async def main() -> None:
        history = await _filled(tmp_path, 2, pages_max=60)
        before = await history.read(whole)
        work = work_of(2, history.seq, size=60 * PAGE // 2)
        with pytest.raises(StorageFull):
            await history.commit(work)
        assert history.figures()["error"] is not None
        assert history.seq == 4
        assert await history.read(whole) == before
        await history.save_position("a", position(1))
        history._store._db.execute("PRAGMA max_page_count=1000")
        await history.commit(work)
        assert (history.figures()["error"], history.seq) == (None, 6)
        await history.close()
        assert _state(tmp_path)["chain"] == ("c-1", 6, "gw-0123")

    run(main())


def test_a_disk_that_refuses_leaves_nothing_half_done(tmp_path: Path) -> None:
    async def main() -> None:
        history = await _filled(tmp_path, 2)
        before = await history.read(whole)
        disk_refuses(history, True)
        with pytest.raises(StorageError):
            await history.commit(work_of(2, history.seq))
        with pytest.raises(StorageError):
            await history.save_position("a", position(1))
        with pytest.raises(StorageError):
            await history.commit(Work(destinations_gone=["a"]))
        assert await history.read(whole) == before
        disk_refuses(history, False)
        await history.commit(work_of(2, history.seq))
        assert history.seq == 6
        await history.close()

    run(main())


KILLED = """
import asyncio, sys
from pathlib import Path
from gateway.clock import SystemClock
from gateway.history.history import History
from tests.unit.history_rig import work_of
async def main():
    history = History(Path(sys.argv[1]), SystemClock(), size_max=400_000, keep_s=1e9)
    n = history.seq // 2
    while True:
        await history.commit(work_of(n, history.seq, size=700))
        await history.save_position("a", {"live": history.seq})
        n += 1
        print("did", n, flush=True)
asyncio.run(main())
"""


def _lines_until_killed(folder: Path, lines: int) -> Sequence[int]:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            if line.startswith("did "):
                told.append(int(line[4:]))
                if len(told) == lines:
                    process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return told


def test_real_kills_lose_nothing_that_was_told_and_never_half_a_commit(tmp_path: Path) -> None:
    at_least = 0
    dropped = False
    for turn in range(6):
        told = _lines_until_killed(tmp_path, 20 + 7 * turn)
        found = _state(tmp_path)
        commits = found["state"]["n"] + 1
        assert commits >= told[-1] > at_least
        at_least = told[-1]
        assert found["chain"][1] == 2 * commits
        newest = [i for i in found["intervals"] if i.start_ns == interval(commits - 1).start_ns]
        assert [i.meter for i in newest] == ["m-1", "m-2"]
        assert found["events"][-1] == event(commits - 1)
        assert len({i.start_ns for i in found["intervals"]}) * 2 == len(found["intervals"])
        dropped = dropped or found["entries"][0].seq > 1
    assert dropped
    assert not list(tmp_path.glob("*.damaged-*"))

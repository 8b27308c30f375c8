"""Layouts in the journal: they stay as long as a group or a meter needs them, and no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import (
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

    from gateway.journal.journal import Journal
    from gateway.layout import Layout

SIZE_MAX = 256 * 1024


def clock() -> VirtualClock:
    return VirtualClock(START_NS)


def ratio(n: int, meter: str = "m-1", channels: int = 50) -> Layout:
    """Return the layout of a meter whose ratios changed n times."""
    return small_layout(meter, channels=channels, coefficient=f"{n + 1}")


def kept(folder: Path) -> set[str]:
    db = apsw.Connection(str(folder / "journal.db"))
    digests = {digest for (digest,) in db.execute("SELECT digest FROM layouts")}
    db.close()
    return digests


async def pass_cap(journal: Journal, layout: Layout) -> None:
    """Append until every group there was is gone."""
    end = journal.following
    n = 0
    while journal.oldest < end:
        for _ in range(20):
            journal.append(frame(layout, n))
            n += 1
        await journal.flush()


def test_layouts_that_were_replaced_go_with_their_last_group(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        away = small_layout("m-2")
        journal.append(frame(away, 0))
        for n in range(300):
            for _ in range(10):
                journal.append(frame(ratio(n), n))
            await journal.flush()
            assert len(journal.layouts()) < 60
        held = {layout.digest for layout in journal.layouts()}
        assert kept(tmp_path) == held
        assert {away.digest, ratio(299).digest} <= held  # the newest of each meter stays
        reader = await journal.reader("sink")
        reader._live.start, reader._live.start_before = journal.oldest, journal.oldest_before
        journal._tail.forget(journal.following)
        assert sum(len(flags) for *_, flags, _ in await drain(reader)) == reader.delivered
        assert reader.missed == 0  # every group that is left can be read
        await journal.close()

    run(main())


def test_layouts_no_run_uses_any_more_go_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        for n in range(5):
            journal.append(frame(ratio(n), n))
        await journal.close()
        again = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        assert len(again.layouts()) == 5
        await pass_cap(again, ratio(9))
        await pass_cap(again, ratio(9))
        assert kept(tmp_path) == {ratio(9).digest}
        await again.close()

    run(main())


def test_a_layout_that_comes_back_is_kept_or_written_again(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        journal.append(frame(ratio(0), 0))
        for n in range(4):
            await pass_cap(journal, ratio(1 + n % 2))
            if n == 1:
                assert ratio(0).digest not in kept(tmp_path)
        journal.append(frame(ratio(0), 5))
        journal.append(frame(ratio(1), 6))
        await journal.flush()
        kill(journal)
        again = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        groups = await again.fetch(again.following - 2, again.following, 10_000)
        last = [frame for group in groups for frame in group.frames][-2:]
        assert told(*last) == told(frame(ratio(0), 5), frame(ratio(1), 6))
        await again.close()

    run(main())


def test_a_layout_used_again_while_it_goes_is_written_again(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        journal.append(frame(ratio(0), 0))
        journal.append(frame(ratio(1), 1))
        await journal.flush()
        whole = journal._write

        def meanwhile(draft: object) -> object:
            written = whole(draft)  # type: ignore[arg-type]
            if written.layouts_gone:
                journal._write = whole  # type: ignore[method-assign]
                journal.append(frame(ratio(0), 8))
                journal.append(frame(ratio(1), 9))
            return written

        journal._write = meanwhile  # type: ignore[method-assign, assignment]
        await pass_cap(journal, ratio(1))
        await journal.flush()
        assert journal.error is None
        kill(journal)
        assert ratio(0).digest in kept(tmp_path)
        again = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        groups = await again.fetch(again.following - 2, again.following, 10_000)
        last = [frame for group in groups for frame in group.frames][-2:]
        assert told(*last) == told(frame(ratio(0), 8), frame(ratio(1), 9))
        await again.close()

    run(main())


def test_what_a_refusing_disk_holds_up_keeps_its_layouts(tmp_path: Path) -> None:
    async def main() -> None:
        journal = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        disk_refuses(journal, True)
        for n in range(3):
            journal.append(frame(ratio(n), n))
            await journal.flush()
        disk_refuses(journal, False)
        await journal.flush()
        kill(journal)
        again = open_journal(tmp_path, clock(), size_max=SIZE_MAX)
        groups = await again.fetch(1, again.following, 10_000)
        assert [f.time_ns for g in groups for f in g.frames] == [frame(ratio(n), n).time_ns for n in range(3)]
        await again.close()

    run(main())

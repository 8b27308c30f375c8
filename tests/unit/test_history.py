"""The history: what is committed is there, whole, once, in order; the chain has no gap."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageError
from gateway.feed.contract import GENESIS
from gateway.feed.jws import digest
from gateway.history.history import History
from gateway.history.work import ManualReading, Work
from gateway.model import NS
from simulators.virtual import VirtualClock, run
from tests.unit.history_rig import (
    LENGTH_NS,
    START_NS,
    entry,
    event,
    interval,
    open_history,
    position,
    total,
    whole,
    work_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.history.read import Queries


def clock() -> VirtualClock:
    return VirtualClock(START_NS)


async def _reopened(history: History, folder: Path) -> History:
    await history.close()
    return open_history(folder, clock())


def test_a_new_history_has_no_chain_and_is_new_until_something_is_committed(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        found = (history.is_new, history.chain, history.seq, history.head, history.following, history.oldest)
        assert found == (True, "", 0, GENESIS, 1, 1)
        history = await _reopened(history, tmp_path)
        seen = [history.is_new]
        await history.commit(Work(events=[event(0)]))
        seen.append(history.is_new)
        history = await _reopened(history, tmp_path)
        assert [*seen, history.is_new] == [True, False, False]
        assert history.damage is None
        await history.close()

    run(main())


def test_everything_of_a_commit_comes_back_after_a_restart(tmp_path: Path) -> None:
    manual = ManualReading("m-1", "energy", START_NS + 5, Decimal("10.500"), "kWh", "Li", "was off", START_NS)
    messages = [entry(1, "birth"), entry(2, "meter", "m-1"), entry(3)]

    async def main() -> None:
        history = open_history(tmp_path, clock())
        await history.commit(
            Work(
                intervals=[interval(0, channels=3), interval(0, "m-2")],
                totals=[total(0, "day")],
                events=[event(0)],
                config=("d1", START_NS, "[site]\n"),
                manual=[manual],
                entries=messages,
                chain="c-1",
                seq=3,
                head=digest(messages[-1].jws),
                kid="gw-1",
                states={"intervals": {"open": [1, None]}, "reader": 7},
            )
        )
        before = await history.read(whole)
        history = await _reopened(history, tmp_path)
        found = await history.read(whole)
        assert found == before
        assert found["intervals"] == [interval(0, channels=3), interval(0, "m-2")]
        assert found["totals"] == [total(0, "day")]
        assert found["events"] == [event(0)]
        assert found["manual"] == [manual]
        assert str(found["manual"][0].reading) == "10.500"
        assert found["entries"] == messages
        assert found["retained"] == messages[:2]
        assert found["chain"] == ("c-1", 3, "gw-1")
        assert (history.chain, history.seq, history.head, history.kid) == (
            "c-1",
            3,
            digest(messages[-1].jws),
            "gw-1",
        )
        assert await history.read(lambda store: store.config("d1")) == ("d1", START_NS, "[site]\n")
        assert await history.read(lambda store: (store.state("reader"), store.state("none"))) == (7, None)
        await history.close()

    run(main())


def test_the_newest_revision_is_read_unless_all_are_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        first = [interval(n, meter) for n in range(400) for meter in ("m-1", "m-2")]
        again = [interval(n, "m-1", rev=1, cause="late") for n in range(0, 400, 3)]
        third = [interval(3, "m-1", rev=2, cause="replay"), interval(3, "m-1", epoch=1)]
        for some in (first, again, third):
            await history.commit(Work(intervals=some))
        every = sorted([*first, *again, *third], key=lambda i: (i.start_ns, i.meter, i.epoch, i.rev))
        newest = {(i.start_ns, i.meter, i.epoch): i for i in every}
        from_ns, to_ns = START_NS + LENGTH_NS, START_NS + 399 * LENGTH_NS
        inside = [i for i in every if from_ns <= i.start_ns < to_ns]
        read = await history.read(lambda store: list(store.intervals(from_ns, to_ns, all_revisions=True)))
        assert read == inside
        assert await history.read(lambda store: list(store.intervals())) == list(newest.values())
        one = await history.read(lambda store: list(store.intervals(from_ns, to_ns, ["m-1"])))
        assert one == [i for i in newest.values() if i.meter == "m-1" and from_ns <= i.start_ns < to_ns]
        assert await history.read(lambda store: list(store.intervals(meters=["m-1"])))
        assert await history.read(lambda store: list(store.intervals(meters=[]))) == []
        start_ns = START_NS + 3 * LENGTH_NS
        assert await history.read(lambda store: store.interval("m-1", 0, start_ns)) == third[0]
        assert await history.read(lambda store: store.interval("m-9", 0, start_ns)) is None
        revs = await history.read(lambda store: [i.rev for i in store.revisions("m-1", 0, start_ns)])
        assert revs == [0, 1, 2]
        counts = await history.read(lambda store: store.counts())
        assert (counts.intervals, counts.revisions) == (801, len(again) + 1)
        assert (counts.oldest_ns, counts.newest_ns) == (START_NS, START_NS + 399 * LENGTH_NS)
        await history.close()

    run(main())


def test_summaries_events_and_manual_readings_are_read_by_time_and_kind(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        hours = [total(n, rev=rev) for n in range(700) for rev in range(1 + (n % 7 == 0))]
        many = [event(n // 2, "meter_on" if n % 3 else "meter_off", f"m-{n % 2}") for n in range(1300)]
        await history.commit(Work(totals=[*hours, total(0, "day")], events=many[::-1]))

        def ask(store):  # type: ignore[no-untyped-def]
            newest = list(store.totals("hour", START_NS + NS, START_NS + 600 * LENGTH_NS))
            assert [(t.body["n"], t.rev) for t in newest] == [(n, int(n % 7 == 0)) for n in range(1, 600)]
            assert len(list(store.totals("hour", all_revisions=True))) == len(hours)
            assert store.total("hour", START_NS).rev == 1
            assert store.total("day", START_NS) == total(0, "day")
            assert store.total("month", START_NS) is None
            found = list(store.events())
            assert [e.time_ns for e in found] == [e.time_ns for e in many]
            off = list(store.events(START_NS, START_NS + 10 * LENGTH_NS, ["meter_off"], ["m-0"]))
            wanted = [e for e in many[:20] if (e.kind, e.subject) == ("meter_off", "m-0")]
            assert off == wanted
            assert list(store.events(kinds=[])) == []

        await history.read(ask)
        await history.close()

    run(main())


def test_messages_are_read_in_slices_of_bytes_and_never_none_if_there_is_one(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        await history.commit(Work(entries=[entry(n, size=100 * n) for n in range(1, 9)], chain="c-1"))
        assert [e.seq for e in await history.entries(1, 100, 350)] == [1, 2]
        assert [e.seq for e in await history.entries(1, 100, 600)] == [1, 2, 3]
        assert [e.seq for e in await history.entries(8, 100, 1)] == [8]
        assert [e.seq for e in await history.entries(2, 4, 10_000)] == [2, 3]
        assert await history.entries(9, 100, 1000) == []
        await history.close()

    run(main())


def test_a_retained_topic_has_its_newest_message_and_can_be_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        kinds = [("birth", ""), ("meter", "a"), ("meter", "b"), ("data", ""), ("meter", "a"), ("fitting", "")]
        entries = [entry(n, kind, subject) for n, (kind, subject) in enumerate(kinds, 1)]  # type: ignore[arg-type]
        await history.commit(Work(entries=entries, chain="c-1"))
        assert [e.seq for e in await history.retained()] == [1, 3, 5, 6]
        await history.commit(Work(topics_gone=["birth/b", "birth/unknown"]))
        assert [e.seq for e in await history.retained()] == [1, 5, 6]
        assert len(await history.entries(1, 100, 10_000)) == 6
        await history.close()

    run(main())


BAD = [
    Work(entries=[entry(2)], chain="c-1"),
    Work(entries=[entry(1), entry(3)], chain="c-1"),
    Work(entries=[entry(1), entry(1)], chain="c-1"),
    Work(entries=[entry(1)]),
    Work(entries=[entry(1)], chain="c-1", seq=2),
    Work(entries=[entry(1)], chain="c-1", head=GENESIS),
]


@pytest.mark.parametrize("bad", BAD)
def test_messages_that_do_not_continue_the_chain_are_refused(tmp_path: Path, bad: Work) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        bad.intervals = [interval(0)]
        with pytest.raises(ValueError, match=r"seq|chain"):
            await history.commit(bad)
        assert (await history.read(whole))["intervals"] == []
        assert history.seq == 0
        await history.commit(work_of(0, 0))
        with pytest.raises(ValueError, match="seq"):
            await history.commit(work_of(1, 0))
        await history.close()

    run(main())


def test_work_done_twice_is_harmless_and_another_result_under_one_identity_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        work = Work(intervals=[interval(0)], totals=[total(0)])
        await history.commit(work)
        await history.commit(work)
        before = await history.read(whole)
        assert (len(before["intervals"]), len(before["totals"])) == (1, 1)
        with pytest.raises(ValueError, match="already"):
            await history.commit(Work(events=[event(1)], intervals=[interval(0, channels=2)]))
        with pytest.raises(ValueError, match="already"):
            await history.commit(Work(events=[event(1)], totals=[total(0)._replace(body={"n": 9})]))
        assert await history.read(whole) == before
        await history.close()

    run(main())


def test_a_new_chain_takes_the_place_of_the_old_one_and_says_what_nobody_had(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        await history.commit(Work(entries=[entry(n, "birth") for n in range(1, 11)], chain="c-1"))
        await history.save_position("a", position(11))
        await history.save_position("b", position(9, (2, 4)))
        dropped = await history.commit(Work(intervals=[interval(0)], entries=[entry(1)], chain="c-2"))
        assert (dropped.kind, dropped.messages, dropped.unacknowledged) == ("chain", 10, {"b": 4})
        assert (dropped.first_seq, dropped.until_seq) == (1, 11)
        assert (history.chain, history.seq, history.oldest) == ("c-2", 1, 1)
        history = await _reopened(history, tmp_path)
        found = await history.read(whole)
        assert found["entries"] == [entry(1)]
        assert found["retained"] == []
        assert found["intervals"] == [interval(0)]
        await history.close()

    run(main())


def test_positions_are_durable_and_those_of_others_are_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        assert history.destination("a") is None
        for name in ("a", "b", "c"):
            await history.save_position(name, position(1))
        await history.save_position("a", position(5))
        assert set(history.other_destinations(["a", "z"])) == {"b", "c"}
        await history.commit(Work(destinations_gone=["b", "c"]))
        for _ in range(2):
            assert history.destination("a") == position(5)
            assert history.destination("b") is None
            history = await _reopened(history, tmp_path)
        await history.close()

    run(main())


def test_who_waits_for_messages_is_woken_by_them_alone(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        awake = asyncio.Event()
        history.subscribe(awake)
        await history.commit(Work(events=[event(0)]))
        assert not awake.is_set()
        await history.commit(Work(entries=[entry(1)], chain="c-1"))
        assert awake.is_set()
        awake.clear()
        history.unsubscribe(awake)
        await history.commit(Work(entries=[entry(2)]))
        assert not awake.is_set()
        await history.close()

    run(main())


async def test_a_cancelled_commit_is_seen_through_and_told(tmp_path: Path) -> None:
    history = History(tmp_path, VirtualClock(START_NS), size_max=1 << 30, keep_s=1e9)
    awake = asyncio.Event()
    history.subscribe(awake)
    task = asyncio.create_task(history.commit(work_of(0, 0)))
    await asyncio.sleep(0)  # it is with the writer now
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        await awake.wait()  # who delivers hears of it all the same
    assert history.seq == 2
    await history.commit(work_of(1, 2))
    assert history.seq == 4
    assert len((await history.read(whole))["intervals"]) == 4
    await history.close()


async def test_a_long_question_keeps_no_commit_waiting(tmp_path: Path) -> None:
    history = History(tmp_path, VirtualClock(START_NS), size_max=1 << 30, keep_s=1e9)
    await history.commit(work_of(0, 0))
    goes_on = threading.Event()

    def ask(store: Queries) -> int:
        found = len(list(store.intervals()))
        assert goes_on.wait(20)
        return found + len(list(store.intervals()))

    question = asyncio.create_task(history.read(ask))
    await history.commit(work_of(1, 2))
    assert [e.seq for e in await history.entries(3, 9, 1000)] == [3, 4]
    goes_on.set()
    assert await question >= 2 + 4
    await history.close()
    assert not (tmp_path / "history.db-wal").exists()


def test_a_closed_history_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        history = open_history(tmp_path, clock())
        await history.close()
        await history.close()
        with pytest.raises(StorageError, match="closed"):
            await history.commit(Work(events=[event(0)]))
        with pytest.raises(StorageError, match="closed"):
            await history.retained()

    run(main())

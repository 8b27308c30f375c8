"""What goes from the history: by age what everybody has, at its size the oldest of all, and never in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.derive.summaries import retold_state
from gateway.history.retention import unacknowledged
from gateway.history.work import Dropped, Work
from simulators.virtual import VirtualClock, run
from tests.unit.history_rig import (
    DAY_NS,
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

    from gateway.history.history import History

YEAR_2027_NS = 1_800_000_000 * 1_000_000_000


class SetClock(VirtualClock):
    """A clock that shows what it is set to."""

    def __init__(self, now_ns: int = START_NS) -> None:
        super().__init__(now_ns)
        self.now_ns = now_ns

    def wall_ns(self) -> int:
        return self.now_ns


async def _filled(folder: Path, clock: SetClock, commits: int, **options: Any) -> History:
    history = open_history(folder, clock, **options)
    for n in range(commits):
        await history.commit(work_of(n, history.seq))
    return history


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (position(21), 0),
        (position(11), 10),
        (position(15, (1, 4), (9, 13)), 3 + 4 + 6),
        (position(21, (30, 40)), 0),
        (position(21, chain="c-0"), 20),
        ({}, 20),
        ({"v": 1, "live": "x"}, 20),
    ],
)
def test_what_a_destination_has_not_acknowledged(body: dict[str, Any], count: int) -> None:
    assert unacknowledged({"a": body}, "c-1", 1, 21) == ({"a": count} if count else {})


def test_by_age_what_was_told_anew_of_reported_quantities_goes_with_its_intervals(tmp_path: Path) -> None:
    async def main() -> list[str]:
        clock = SetClock()
        history = await _filled(tmp_path, clock, 1, keep_s=10 * 86_400)
        starts = [START_NS - DAY_NS, START_NS, START_NS + 20 * DAY_NS]
        await history.commit(Work(states={retold_state(one): {"net": [1, 2]} for one in starts} | {"own": 1}))
        clock.now_ns = START_NS + 10 * DAY_NS
        await history.commit(work_of(1, history.seq))
        names = [*map(retold_state, starts), "own"]
        found = await history.read(lambda store: [one for one in names if store.state(one) is not None])
        await history.close()
        return found

    assert run(main()) == [retold_state(START_NS), retold_state(START_NS + 20 * DAY_NS), "own"]


def test_by_age_intervals_summaries_events_and_acknowledged_messages_go(tmp_path: Path) -> None:
    clock = SetClock()

    async def main() -> None:
        history = await _filled(tmp_path, clock, 100, keep_s=86_400)
        await history.save_position("a", position(201))
        await history.save_position("b", position(120, (30, 90)))
        clock.now_ns = START_NS + 50 * LENGTH_NS + DAY_NS
        before = await history.read(whole)
        dropped = await history.commit(Work(events=[event(100 + n) for n in range(40)]))
        assert not dropped
        found = await history.read(whole)
        old_ns = START_NS + 50 * LENGTH_NS
        assert found["intervals"] == [i for i in before["intervals"] if i.start_ns >= old_ns]
        assert found["totals"] == [t for t in before["totals"] if t.start_ns >= old_ns]
        assert found["events"][:-40] == [e for e in before["events"] if e.time_ns >= old_ns]
        assert history.oldest == 30  # the first that b has not acknowledged
        await history.save_position("b", position(201))
        await history.commit(Work(events=[event(140 + n) for n in range(40)]))
        assert history.oldest == 101  # the first that is young enough
        assert [e.seq for e in await history.retained()] == [194]
        await history.close()

    run(main())


def test_a_destination_that_is_gone_holds_nothing_and_one_without_a_position_everything(
    tmp_path: Path,
) -> None:
    clock = SetClock()

    async def main() -> None:
        history = await _filled(tmp_path, clock, 60, keep_s=86_400)
        clock.now_ns = START_NS + 1000 * DAY_NS
        await history.save_position("gone", position(1))
        await history.save_position("there", position(121))
        await history.commit(Work(events=[event(n) for n in range(60)]))
        assert history.oldest == 1
        await history.commit(Work(destinations_gone=["gone"]))
        await history.commit(Work(events=[event(n) for n in range(60)]))
        assert history.oldest == 120  # the newest message always stays
        assert [e.seq for e in await history.entries(1, 1000, 10**6)] == [120]
        await history.close()

    run(main())


def test_a_clock_that_is_years_ahead_costs_little(tmp_path: Path) -> None:
    clock = SetClock()

    async def main() -> None:
        history = await _filled(tmp_path, clock, 400, keep_s=86_400)
        clock.now_ns = START_NS + 10_000 * DAY_NS
        for n in range(4):
            await history.commit(work_of(400 + n, history.seq))
        counts = await history.read(lambda store: store.counts())
        assert counts.intervals >= 808 - 4 * 8 * 8
        assert counts.intervals < 808
        await history.close()

    run(main())


def test_at_its_size_the_oldest_of_all_go_and_every_loss_is_told(tmp_path: Path) -> None:
    clock = SetClock()
    size_max = 600_000
    gone: list[Dropped] = []

    async def main() -> None:
        history = open_history(tmp_path, clock, size_max=size_max)
        await history.save_position("all", position(1))
        await history.save_position("none", position(1))
        entries = [entry(1, "birth"), entry(2, "meter", "m-1")]
        await history.commit(Work(entries=entries, chain="c-1"))
        for n in range(700):
            work = work_of(n, history.seq, size=500)
            dropped = await history.commit(work)
            await history.save_position("all", position(history.seq + 1))
            if dropped:
                gone.append(dropped)
            assert history.used_bytes < size_max + 20_000
        assert 3 < len(gone) < 350  # more than must go, so not at every commit
        assert all(one.kind == "size" for one in gone)
        found = await history.read(whole)
        assert len(found["intervals"]) + sum(one.intervals for one in gone) == 1400
        assert len(found["events"]) + sum(one.events for one in gone) == 700
        assert len(found["totals"]) + sum(one.totals for one in gone) == 175
        assert history.oldest == 1 + sum(one.messages for one in gone)
        assert [one.first_seq for one in gone] == [1, *(one.until_seq for one in gone[:-1])]
        assert all(one.unacknowledged == {"none": one.messages} for one in gone if one.messages)
        oldest_ns = found["intervals"][0].start_ns
        assert abs(found["entries"][0].time_ns - oldest_ns) <= LENGTH_NS
        assert max(one.until_ns for one in gone) <= oldest_ns + LENGTH_NS
        kinds = [(e.seq, e.kind, e.subject) for e in found["retained"]]
        assert kinds[:2] == [(1, "birth", ""), (2, "meter", "m-1")]
        await history.commit(Work(entries=[entry(history.seq + 1, "birth")]))
        assert next(e.seq for e in await history.retained()) == 2
        rows = await history.read(lambda store: store._rows("SELECT 1 FROM outbox WHERE seq=1"))
        assert rows == []  # was there as the newest birth alone
        await history.close()

    run(main())


def test_messages_of_a_clock_that_was_ahead_do_not_make_everything_else_go(tmp_path: Path) -> None:
    clock = SetClock(YEAR_2027_NS)

    async def main() -> None:
        history = open_history(tmp_path, clock, size_max=500_000, keep_s=4000 * 86_400)
        ahead_ns = YEAR_2027_NS + 20_000 * DAY_NS
        ahead = [entry(n, time_ns=ahead_ns, size=1000) for n in range(1, 301)]
        await history.commit(Work(entries=ahead, chain="c-1"))
        for n in range(300):
            await history.commit(work_of(n, history.seq, size=300))
        counts = await history.read(lambda store: store.counts())
        assert counts.oldest_seq > 250
        assert counts.intervals > 300
        await history.close()

    run(main())


def test_more_than_one_commit_shrinks_a_history_that_may_be_smaller_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.history.retention.ROWS_MAX", 200)
    clock = SetClock()

    async def main() -> None:
        history = await _filled(tmp_path, clock, 500)
        full = history.used_bytes
        history._size_max = 150_000
        sizes = []
        for n in range(12):
            dropped = await history.commit(Work(events=[event(500 + n)]))
            assert dropped.intervals + dropped.totals + dropped.events + dropped.messages <= 200 + 4 * 66
            sizes.append(history.used_bytes)
        assert sizes[0] > 150_000
        assert sizes[-1] <= 150_000 < full
        await history.close()

    run(main())


def test_one_commit_larger_than_the_cap_leaves_it_and_the_newest_message(tmp_path: Path) -> None:
    async def main() -> None:
        history = await _filled(tmp_path, SetClock(), 50, size_max=100_000)
        dropped = await history.commit(
            Work(intervals=[interval(60)], totals=[total(60)], entries=[entry(history.seq + 1, size=200_000)])
        )
        assert dropped.kind == "size"
        found = await history.read(whole)
        assert found["intervals"] == [interval(60)]
        assert [e.seq for e in found["entries"]] == [100, 101]
        await history.close()

    run(main())


def test_what_goes_is_plain_values_for_an_event() -> None:
    gone = Dropped("size", 1, 2, 3, 4, 5, 9, 10, 20, {"a": 4})
    assert gone.detail() == {
        "kind": "size",
        "intervals": 1,
        "totals": 2,
        "events": 3,
        "messages": 4,
        "first_seq": 5,
        "until_seq": 9,
        "first_ns": 10,
        "until_ns": 20,
        "unacknowledged": {"a": 4},
    }
    assert not Dropped()

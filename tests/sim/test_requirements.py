"""Requirements that every gateway of the field breaks, one test each; taking the behaviour away makes it fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from gateway.errors import LinkDown
from gateway.model import Event, Flag, Frame
from gateway.polling.errand_queue import ERRANDS_MAX, Busy
from simulators.fakes import FakeLink, Trouble
from simulators.virtual import run
from tests.sim import oracles
from tests.sim.plant import Plan, play
from tests.unit.counter_rig import Meter
from tests.unit.journal_rig import uncommitted
from tests.unit.test_poll import Line, two_periods

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Link, Poll
    from gateway.journal.journal import Journal
    from gateway.model import Sample


def kinds(journal: Journal) -> Counter[str]:
    return Counter(record.kind for record in uncommitted(journal) if isinstance(record, Event))


def test_r01_a_failure_discards_nobody_elses_values_nor_the_meters_own(tmp_path: Path) -> None:
    """Of twelve meters one is dead, one sends garbage, one refuses one of its two periods."""
    troubles = [
        Trouble("dead", 15, who="m-001"),
        Trouble("garbage", 15, who="m-003"),
        Trouble("exception", 15, who="m-005"),
    ]
    plan = Plan(900, meters=12, links=2, link_troubles={"link-1": troubles})
    result = play(plan, tmp_path)
    oracles.rate(result, except_meters=["m-001", "m-003", "m-005"])
    oracles.hold(result)

    async def main() -> None:
        (tmp_path / "two").mkdir()
        line = Line(tmp_path / "two", 2, [])
        two_periods(line, 10.0)
        read = line.link.read

        async def one_refused(poll: Poll) -> list[Sample]:
            line.link.troubles = [Trouble("exception")] if len(poll.layout.channels) == 2 else []
            return await read(poll)

        line.link.read = one_refused  # type: ignore[method-assign]
        await line.go(200.5)
        kept = Counter(len(r.layout.channels) for r in uncommitted(line.journal) if isinstance(r, Frame))
        assert kept[3] == 40, "both meters, every poll, although one target of the first never answers"

    run(main())


def test_r01_a_meter_that_breaks_the_connection_it_shares_costs_the_others_nothing(tmp_path: Path) -> None:
    """Its garbage makes a device server's connection useless: it rests like a dead one, and nobody misses a poll."""

    async def main() -> None:
        line = Line(tmp_path, 6, [Trouble("down", 15, 1000, who="m-003")], period_s=2.0)
        await line.go(1500.5)
        got = Counter(r.layout.meter for r in uncommitted(line.journal) if isinstance(r, Frame))
        assert all(got[f"m-{n:03d}"] >= 749 for n in (1, 2, 4, 5, 6)), got
        assert 200 < got["m-003"] < 300, "it is read again once its answers are whole"
        told = kinds(line.journal)
        assert told["meter_off"] == 1, "one event, however often it is tried"
        assert told["link_down"] <= 2, "the link is not to blame"
        assert line.link.open_count < 60, "it is probed at a growing pause"

    run(main())


def test_r01_the_meter_that_breaks_the_connection_is_blamed_though_it_answered_in_part(
    tmp_path: Path,
) -> None:
    """The second of its requests breaks the connection, every time; what the first brought is kept."""

    async def main() -> None:
        line = Line(tmp_path, 3, [], period_s=2.0)
        read = line.link.read

        async def broken(poll: Poll) -> list[Sample]:
            samples = await read(poll)
            if poll.meter == "m-002":
                await line.link.close()
                raise LinkDown("closed by the peer", samples=samples)
            return samples

        line.link.read = broken  # type: ignore[method-assign]
        await line.go(600.5)
        got = Counter(r.layout.meter for r in uncommitted(line.journal) if isinstance(r, Frame))
        assert got["m-001"] >= 299
        assert got["m-003"] >= 299
        assert got["m-002"] == line.link.read_count["m-002"] > 5, "what it said before is kept, every time"
        assert line.health.meters["m-002"].state == "off"
        assert line.health.meters["m-003"].failures.total() == 0, "the next one is not to blame"

    run(main())


def test_r01_connections_that_break_now_and_then_are_told_once_a_minute(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 3, [Trouble("down", 15, who="m-002", share=0.3)], period_s=2.0)
        logs = await line.go(600.5)
        told = kinds(line.journal)
        assert line.health.links["link-1"].downs > 30
        assert 5 <= told["link_cut"] <= 11, "ten minutes"
        assert logs.count("connection broke, open again") == told["link_cut"]
        assert told["link_down"] == 0, "it never was"
        cuts = [r for r in uncommitted(line.journal) if isinstance(r, Event) and r.kind == "link_cut"]
        assert sum(int(str(cut.detail["count"])) for cut in cuts) <= line.health.links["link-1"].downs

    run(main())


def test_r24_a_peer_that_takes_connections_and_drops_them_is_a_link_that_is_down(tmp_path: Path) -> None:
    """It breaks at one meter after the other with nobody answering between: no meter is to blame, nothing spins."""

    async def main() -> None:
        line = Line(tmp_path, 3, [], period_s=2.0)
        read = line.link.read

        async def dropped(poll: Poll) -> list[Sample]:
            if 60 < line.clock.monotonic() < 360:
                await line.link.close()
                raise LinkDown("closed by the peer")
            return await read(poll)

        line.link.read = dropped  # type: ignore[method-assign]
        await line.go(600.5)
        told = kinds(line.journal)
        assert told["link_down"] == 1
        assert line.link.open_count < 40, "at a growing pause"
        assert told["meter_off"] == 0, "nobody answered on the new connection, which would prove it"
        assert all(meter.state == "on" for meter in line.health.meters.values())
        assert line.link.read_count["m-002"] > 120, "read again within two pauses"

    run(main())


def test_a_meter_that_flaps_is_logged_seldom_and_in_the_end_as_it_is(tmp_path: Path) -> None:
    """Its events are all there, since gaps are explained by them; its log lines are few."""

    async def main() -> None:
        troubles = [Trouble("dead", at, at + 1.6, who="m-002") for at in range(20, 1000, 5)]
        line = Line(tmp_path, 2, troubles, period_s=1.0)
        logs = await line.go(1300.5)
        told = kinds(line.journal)
        assert told["meter_off"] > 100
        assert logs.count("meter off") < 25
        assert [event for event in logs if event.startswith("meter")][-1] == "meter answers again"
        assert line.health.meters["m-002"].state == "on"

    run(main())


def test_r08_everything_may_be_offline_at_the_start(tmp_path: Path) -> None:
    troubles = {f"link-{n}": [Trouble("down", 0, 300)] for n in (1, 2)}
    troubles["link-2"] = [Trouble("dead", 0, 300)]
    result = play(Plan(600, meters=4, links=2, link_troubles=troubles), tmp_path)
    first_s = {frame.layout.meter: 1e9 for frame in result.frames}
    for frame in result.frames:
        at_s = (frame.time_ns - result.frames[0].time_ns) / 1e9
        first_s[frame.layout.meter] = min(first_s[frame.layout.meter], at_s)
    assert len(first_s) == 4, "every meter is read once it is there"
    assert max(first_s.values()) < 60
    oracles.hold(result)


def test_r21_the_breaker_belongs_to_one_meter_of_one_link(tmp_path: Path) -> None:
    """Dead meters cost their link a twentieth of its time; the same addresses elsewhere are not touched."""

    async def main(period_s: float) -> None:
        dead = [Trouble("dead", 20, who=f"m-{n:03d}") for n in (1, 2)]
        (tmp_path / f"{period_s}").mkdir()
        line = Line(tmp_path / f"{period_s}", 10, dead, timeout_s=3.0, period_s=period_s)
        await line.go(3600.5)
        for n in range(3, 11):
            assert line.link.read_count[f"m-{n:03d}"] >= 0.95 * 3600 / period_s
        assert line.link.failures["m-001", "timeout"] >= 20, "it is probed for ever"

    run(main(10.0))
    run(main(1.0))  # every probe costs the others three polls
    troubles = {"link-1": [Trouble("dead", 0, who="m-001")]}
    result = play(Plan(300, meters=4, links=2, link_troubles=troubles), tmp_path / "two")
    assert sum(read[0] == "m-002" for read in result.links["link-2"].reads) >= 29  # unit 1 there too


def test_r23_errands_are_done_by_the_links_owner_between_polls(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 8, [Trouble("down", 100, 200)])
        poller = line.poller
        task = asyncio.create_task(line.go(300))

        async def work(link: Link) -> str:
            await link.read(line.polls[0])  # the fake refuses a second reader
            return "done"

        await asyncio.sleep(9.99)
        asked = [asyncio.create_task(poller.errand(work, timeout_s=30)) for _ in range(ERRANDS_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="wait already"):
            await poller.errand(work, timeout_s=30)
        assert await asyncio.gather(*asked) == ["done"] * ERRANDS_MAX
        due = [r.time_ns for r in uncommitted(line.journal) if isinstance(r, Frame)]
        assert len(due) == 8, "at most one errand lies between two polls that are due"

        async def spoils(_: Link) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await poller.errand(spoils, timeout_s=1)
        with pytest.raises(Busy, match="within 2 s"):
            await poller.errand(lambda _: asyncio.Event().wait(), timeout_s=2)
        await asyncio.sleep(150 - line.clock.monotonic())
        with pytest.raises(LinkDown, match="connection re"):
            await poller.errand(work, timeout_s=1)
        await task
        assert line.health.links["link-1"].errands >= ERRANDS_MAX + 2

    run(main())


def test_r23_errands_that_find_nobody_leave_the_polls_nine_tenths_of_the_link(tmp_path: Path) -> None:
    """Eight clients ask a unit that is not there, without a pause; each answer takes three periods to fail to come."""

    async def main() -> None:
        line = Line(tmp_path, 4, [], period_s=1.0)
        task = asyncio.create_task(line.go(300.5))

        async def nobody(_: Link) -> None:
            await asyncio.sleep(3)

        async def asks() -> None:
            while True:
                with suppress(Busy, LinkDown):
                    await line.poller.errand(nobody, timeout_s=20)
                await asyncio.sleep(0.001)

        clients = [asyncio.create_task(asks()) for _ in range(8)]
        await task
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        assert all(line.link.read_count[f"m-{n:03d}"] >= 0.85 * 300 for n in range(1, 5)), (
            line.link.read_count
        )
        assert line.health.links["link-1"].errands >= 8, "they have their share"
        assert line.health.links["link-1"].downs == 0, "whose time is up only goes without"

    run(main())


@pytest.mark.parametrize("kind", ["hang", "deaf"])
@pytest.mark.parametrize("shut", [False, True])
def test_r24_a_link_that_hangs_is_rebuilt(tmp_path: Path, kind: str, shut: bool) -> None:
    async def main() -> None:
        troubles = [Trouble(kind, 100, 105, delay_s=20)]  # type: ignore[arg-type]
        troubles += [Trouble("shut", 100, 200)] * shut
        line = Line(tmp_path, 2, troubles)
        links = [line.link]

        def renew() -> FakeLink:
            links.append(FakeLink(line.clock, troubles, seed=len(links)))
            return links[-1]

        line.poller._renew = renew
        await line.go(400)
        own = line.health.links["link-1"]
        assert own.rebuilt == 1
        told = kinds(line.journal)
        assert told["link_rebuilt"] == told["link_down"] == 1
        assert told["link_up"] == 2
        after = [r for r in uncommitted(line.journal) if isinstance(r, Frame)][-1]
        assert after.time_ns > line.clock.wall_ns() - 15 * 10**9, "readings go on"
        assert sum(link.read_count["m-001"] for link in links) >= 30
        assert (len(links) > 1) == (shut or kind == "deaf"), "one that obeys is kept"

    run(main())


def test_r36_a_spike_is_kept_flagged_and_told_never_zeroed(tmp_path: Path) -> None:
    meter = Meter(tmp_path, rate_max=1.0)
    counts = [100, 101, 60_000, 102, 103]
    meter.shows(*counts)
    assert meter.values == [round(count * 0.1, 6) for count in counts]
    assert meter.flags == [0, 0, Flag.JUMP, Flag.ROLLBACK, 0]
    jump, reset = meter.told("counter_jump", "counter_reset")
    assert (jump["closing"], jump["opening"]) == ("10.1", "6000.0")
    assert (reset["closing"], reset["opening"]) == ("6000.0", "10.2")


def test_r40_what_happens_to_a_counter_is_an_event_with_both_readings(tmp_path: Path) -> None:
    meter = Meter(tmp_path, modulus="6553.6", sentinels=("ffff",))
    meter.shows(65_530, 4)
    (rollover,) = meter.told("counter_rollover")
    assert meter.flags[-1] == 0
    assert (rollover["closing"], rollover["opening"], rollover["modulus"]) == ("6553.0", "0.4", "6553.6")
    amount = Decimal("6553.6") - Decimal("6553.0") + Decimal("0.4")
    assert amount == 1
    meter.shows(0xFFFF, 0xFFFF, 9)
    began, over = meter.told("counter_sentinel", "counter_sentinel")
    assert (began["closing"], began["opening"]) == ("0.4", None)
    assert (over["closing"], over["opening"]) == ("0.4", "0.9")
    meter.recorder.swapped(meter.layout.meter)
    meter.shows(2)
    assert meter.flags[-1] == 0, "another meter's reading is no reset"
    meter.shows(3, 1)
    assert meter.flags[-1] == Flag.ROLLBACK
    (reset,) = meter.told("counter_reset")
    assert reset["closing_ns"] == reset["opening_ns"] - 10**9  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["hang", "deaf"])
def test_a_stop_does_not_wait_for_a_link_that_hangs(tmp_path: Path, kind: str) -> None:
    """The plant itself looks at how long a stop takes."""
    troubles = [Trouble(kind, 85, delay_s=30), Trouble("shut", 85)]  # type: ignore[arg-type]
    result = play(Plan(100, meters=4, links=2, link_troubles={"link-1": troubles}), tmp_path)
    assert result.health.links["link-2"].state == "up"

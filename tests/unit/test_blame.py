"""Who is to blame when a connection breaks: the meter that broke it rests, its neighbours lose nothing, innocents never rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.errors import LinkDown
from gateway.model import NS, Event, Frame
from gateway.polling.blame import Blame
from gateway.polling.errand_queue import Busy
from simulators.fakes import fake_layout, fake_site
from simulators.virtual import run
from tests.sim.plant import FakeTarget
from tests.unit.blame_rig import FINE, HOUR_S, PERIOD_S, Plant, meter, played
from tests.unit.journal_rig import START_NS, uncommitted

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Link, Poll
    from gateway.model import Sample


@pytest.mark.parametrize("how", ["cut", "half"])
@pytest.mark.parametrize("since_s", [0, 15])
@pytest.mark.parametrize("bad", [(1,), (3,), (6,), (2, 3), (1, 6), (5, 6), (2, 3, 4), (1, 2, 3, 4, 5)])
def test_meters_that_break_the_connection_rest_and_the_others_lose_nothing(
    tmp_path: Path, bad: tuple[int, ...], since_s: float, how: str
) -> None:
    names = {meter(n) for n in bad}
    plant = played(tmp_path, 6, lambda poll, now_s: how if poll.meter in names and now_s > since_s else FINE)
    got, told = plant.got(), plant.told()
    for n in range(1, 7):
        if n not in bad:
            assert got[meter(n), PERIOD_S] >= 299, (got, told)
            assert told["meter_off", meter(n)] == 0
            assert plant.health.meters[meter(n)].skipped <= (len(bad) > 4), (
                "lost before the link was told down"
            )
        else:
            assert plant.health.meters[meter(n)].state == "off"
            assert plant.health.meters[meter(n)].failures["garbage"] >= 5, "each poll it spoilt is counted"
            assert told["meter_off", meter(n)] == 1
    assert plant.health.links["link-1"].state == "up"
    assert told["link_down", "link-1"] <= len(bad)
    assert told["link_cut", "link-1"] <= 3
    assert plant.link.open_count <= 25 * len(bad) + 5


@pytest.mark.parametrize("drops", [1, 2, 3, 4])
def test_a_peer_that_drops_connections_now_and_then_is_no_meters_fault(tmp_path: Path, drops: int) -> None:
    """Idle connections are dropped, and some peers drop the next ones as well, since they still count the old one."""
    due_s, left = 30.0, 0

    def does(_poll: Poll, now_s: float) -> str:
        nonlocal due_s, left
        if now_s >= due_s:
            due_s, left = due_s + 30, drops
        left -= 1
        return "cut" if left >= 0 else FINE

    plant = played(tmp_path, 6, does, HOUR_S, 10.0, 60.0)
    got, told = plant.got(), plant.told()
    assert not any(kind in {"meter_off", "channels_off"} for kind, _ in told), told
    assert all(got[meter(n), 10.0] >= 359 and got[meter(n), 60.0] >= 59 for n in range(1, 7)), got
    assert bool(told["link_down", "link-1"]) == (drops > 3), "what one more connection mends was no outage"
    assert told["link_cut", "link-1"] <= 61, "once a minute"


@pytest.mark.parametrize("others_s", [900.0, 50.0])
def test_two_breaks_running_prove_nothing_if_nobody_else_was_heard_between(
    tmp_path: Path, others_s: float
) -> None:
    """A peer drops two connections every quarter of an hour, when only the first meter is due."""

    async def main() -> Plant:
        cut: Counter[int] = Counter()

        def does(_poll: Poll, now_s: float) -> str:
            quarter = int(now_s) // 900
            if now_s % 900 > 509 and cut[quarter] < 2:
                cut[quarter] += 1
                return "cut"
            return FINE

        plant = Plant(tmp_path, 3, does)
        own = [(0, 10.0), (1, others_s), (2, others_s)]
        plant.own(
            [
                FakeTarget(replace(plant.polls[n], layout=fake_layout(meter(n + 1), 2, period_s)))
                for n, period_s in own
            ]
        )
        await plant.go(2 * HOUR_S)
        assert cut.total() == 16
        return plant

    plant: Plant = run(main())
    told = plant.told()
    assert told["meter_off", meter(1)] == told["link_down", "link-1"] == 0, told
    assert plant.got()[meter(1), 10.0] >= 720 - 8, "one poll each time"
    assert plant.health.meters[meter(1)].failures.total() <= 8


def test_after_an_outage_suspects_are_asked_at_once(tmp_path: Path) -> None:
    """The first meter was read just before the peer went away: the others need not wait until it is due again."""
    plant = played(tmp_path, 6, lambda _, now_s: "cut" if 110.005 < now_s < 114 else FINE, 200.5, 10.0)
    for n in range(2, 7):
        times = [
            r.time_ns
            for r in uncommitted(plant.journal)
            if isinstance(r, Frame) and r.layout.meter == meter(n)
        ]
        assert any(114 * NS <= time_ns - START_NS < 119 * NS for time_ns in times), meter(n)


def test_who_was_to_blame_when_the_link_itself_went_is_not_told(tmp_path: Path) -> None:
    """The second meter breaks two good connections; then the peer is gone; afterwards it is fine."""
    cuts = 0

    def does(poll: Poll, now_s: float) -> str:
        nonlocal cuts
        if now_s < 15 or now_s > 60:
            return FINE
        cuts += poll.meter == meter(2)
        return "cut" if poll.meter == meter(2) or cuts > 1 else FINE

    told = played(tmp_path, 3, does).told()
    assert told["link_down", "link-1"] == 1
    assert told["meter_off", meter(2)] == 0


def test_an_answer_between_clears_one_that_made_no_sense() -> None:
    one, two, three = (FakeTarget(poll) for poll in fake_site(3, 1, PERIOD_S)["link-1"])
    blame = Blame()
    blame.garbled(one)
    assert blame.broke(two) is one, "half an answer breaks the connection for the next"
    blame.garbled(one)
    blame.answered(two)
    assert blame.broke(three) is three


def test_only_the_block_that_breaks_the_connection_rests(tmp_path: Path) -> None:
    bad = (meter(2), 60.0)
    does = lambda poll, _: "cut" if (poll.meter, poll.layout.period_s) == bad else FINE  # noqa: E731
    plant = played(tmp_path, 4, does, HOUR_S, 10.0, 60.0)
    got, told = plant.got(), plant.told()
    for n in range(1, 5):
        assert got[meter(n), 10.0] == 360
        assert got[meter(n), 60.0] == (60 if n != 2 else 0)
    assert told["channels_off", meter(2)] == 1
    assert told["meter_off", meter(2)] == 0
    assert plant.health.meters[meter(2)].state == "on"
    assert plant.link.open_count <= 50, "it is tried at its growing pause"


def test_a_meter_alone_on_its_link_is_asked_again_at_once(tmp_path: Path) -> None:
    """Its peer drops what is idle for 30 s: each poll meets a dead connection and is asked on a new one."""
    opened, asked_s = 0, 0.0

    def does(_poll: Poll, now_s: float) -> str:
        nonlocal opened, asked_s
        idle_s, asked_s = now_s - asked_s, now_s
        is_old, opened = opened == plants[0].link.open_count, plants[0].link.open_count
        return "cut" if is_old and idle_s > 30 else FINE

    plants: list[Plant] = []

    async def main() -> None:
        plants.append(Plant(tmp_path, 1, does))
        plants[0].periods(60.0)
        await plants[0].go(HOUR_S)

    run(main())
    told = plants[0].told()
    assert plants[0].got()[meter(1), 60.0] == 60
    assert told["link_down", "link-1"] == told["meter_off", meter(1)] == 0
    assert 50 <= told["link_cut", "link-1"] <= 60


@pytest.mark.parametrize("alone", [True, False])
def test_a_link_on_which_nobody_is_heard_is_down(tmp_path: Path, alone: bool) -> None:
    """One meter breaks the connection; the other, if there is one, is silent."""
    quiet = "cut" if alone else "silent"

    def does(poll: Poll, now_s: float) -> str:
        return FINE if now_s < 15 else "cut" if poll.meter == meter(1) else quiet

    plant = played(tmp_path, 1 if alone else 2, does)
    assert plant.health.links["link-1"].state == "down"
    assert plant.told()["link_down", "link-1"] == 1
    assert plant.health.meters[meter(1)].state == "unknown"
    assert plant.link.open_count <= 25, "at growing pauses"


def test_a_refusal_shows_that_the_link_is_up(tmp_path: Path) -> None:
    does = lambda _, now_s: FINE if now_s < 15 else "cut" if now_s < 30 else "refuses"  # noqa: E731
    plant = played(tmp_path, 1, does)
    assert plant.health.links["link-1"].state == "up"
    assert plant.health.meters[meter(1)].state == "off"


def test_polls_that_pass_while_a_connection_breaks_slowly_are_counted(tmp_path: Path) -> None:
    async def main() -> None:
        plant = Plant(tmp_path, 3, lambda *_: FINE)
        answer, asked = plant.link.read, 0

        async def slowly(poll: Poll) -> list[Sample]:
            nonlocal asked
            asked += poll.meter == meter(2)
            if poll.meter == meter(2) and asked % 20 == 0:
                await asyncio.sleep(3.5)
                await plant._cut()
            return await answer(poll)

        plant.link.read = slowly  # type: ignore[method-assign]
        await plant.go(600.5)
        got = plant.got()
        for n in (1, 2, 3):
            assert got[meter(n), PERIOD_S] + plant.health.meters[meter(n)].skipped >= 299, got
        assert plant.told()["overrun", meter(3)] > 0

    run(main())


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_due_time_is_read_once_counted_or_explained(tmp_path: Path, share: float, seed: int) -> None:
    """Whatever breaks when: nothing is read twice but once after an outage, and nothing is missed without a reason."""
    rng = Random(seed)
    plant = played(tmp_path, 4, lambda *_: "cut" if rng.random() < share else FINE, 3600.5, 10.0)
    records = list(uncommitted(plant.journal))
    away = intervals([r for r in records if isinstance(r, Event)])
    for n in range(1, 5):
        times = [r.time_ns for r in records if isinstance(r, Frame) and r.layout.meter == meter(n)]
        read = Counter(time_ns // (10 * NS) for time_ns in times)
        missing = [
            due
            for due in range(START_NS // (10 * NS) + 1, START_NS // (10 * NS) + 360)
            if not read[due]
            and not any(
                begin <= due * 10 * NS + 10 * NS and due * 10 * NS <= end
                for who, begin, end in away
                if who in {"link-1", meter(n)}
            )
        ]
        assert len(missing) <= plant.health.meters[meter(n)].skipped, (meter(n), missing)
        outages = sum(who == "link-1" for who, _, _ in away)
        assert sum(count - 1 for count in read.values() if count) <= outages + 1
    assert plant.told()["overrun", meter(1)] or plant.health.meters[meter(1)].skipped == 0


def intervals(events: list[Event]) -> list[tuple[str, int, int]]:
    """Return (who, begin, end) of what was told to be off or down."""
    found: list[tuple[str, int, int]] = []
    since: dict[str, int] = {}
    for event in events:
        if event.kind in {"meter_off", "link_down"}:
            since.setdefault(event.subject, event.time_ns)
        elif event.kind in {"meter_on", "link_up"} and event.subject in since:
            found.append((event.subject, since.pop(event.subject), event.time_ns))
    return [*found, *((who, begin, 2**63) for who, begin in since.items())]


def test_errands_that_break_the_connection_have_their_share_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        plant = Plant(tmp_path, 4, lambda *_: FINE)

        async def work(link: Link) -> None:
            await asyncio.sleep(1.9)
            await link.close()
            raise LinkDown("closed by the peer")

        async def client() -> None:
            while True:
                with suppress(LinkDown, Busy):
                    await plant.poller.errand(work, timeout_s=10)
                await asyncio.sleep(0.001)

        clients = [asyncio.create_task(client()) for _ in range(4)]
        await plant.go(600.5)
        for task in clients:
            task.cancel()
        got, told = plant.got(), plant.told()
        assert all(got[meter(n), PERIOD_S] >= 295 for n in range(1, 5)), got
        assert plant.health.links["link-1"].errands >= 20, "they are done, if slowly"
        assert told["link_down", "link-1"] == 0, "meters answer"

    run(main())


def test_a_driver_that_hangs_at_one_meter_leaves_the_others_their_turn(tmp_path: Path) -> None:
    async def main() -> None:
        plant = Plant(tmp_path, 3, lambda *_: FINE)
        answer = plant.link.read

        async def hangs(poll: Poll) -> list[Sample]:
            if poll.meter == meter(1):
                await asyncio.sleep(1e6)
            return await answer(poll)

        plant.link.read = hangs  # type: ignore[method-assign]
        plant.periods(10.0)
        await plant.go(HOUR_S)
        got = plant.got()
        assert got[meter(2), 10.0] >= 250, got
        assert got[meter(3), 10.0] >= 250, got

    run(main())

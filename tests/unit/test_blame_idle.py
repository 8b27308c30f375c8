"""Connections that were broken while nobody used them, outages that begin slowly, and errands beside a link that is down."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from gateway.errors import LinkDown
from gateway.polling.errand_queue import Busy
from simulators.virtual import run
from tests.unit.blame_rig import FINE, HOUR_S, PERIOD_S, Plant, meter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.interfaces import Link, Poll
    from gateway.model import Sample


class Idle(Plant):
    """Its peer drops a connection that was not used for `idle_s`, and the `more` ones opened next."""

    def __init__(
        self,
        folder: Path,
        meters: int,
        idle_s: float,
        does: Callable[[Poll, float], str] = lambda *_: FINE,
        more: int = 0,
    ) -> None:
        self._idle_s, self._more, self._left, self._used_s, self._fresh = idle_s, more, 0, 0.0, -1
        self._what = does
        super().__init__(folder, meters, self._drops)

    def _drops(self, poll: Poll, now_s: float) -> str:
        is_old, self._fresh = self._fresh == self.link.open_count, self.link.open_count
        idle_s, self._used_s = now_s - self._used_s, now_s
        if is_old and idle_s > self._idle_s:
            self._left = self._more
            return "cut"
        if self._left:
            self._left -= 1
            return "cut"
        return self._what(poll, now_s)


@pytest.mark.parametrize("bad", [1, 3, 5])
@pytest.mark.parametrize("how", ["cut", "half"])
def test_a_meter_that_is_good_again_is_read_again_by_a_peer_that_drops_the_idle(
    tmp_path: Path, bad: int, how: str
) -> None:
    """The first of each round meets a connection broken long ago: that says nothing about it."""

    async def main() -> None:
        def does(poll: Poll, now_s: float) -> str:
            return how if poll.meter == meter(bad) and 300 < now_s < 1500 else FINE

        plant = Idle(tmp_path, 5, 30.0, does)
        plant.periods(60.0)
        await plant.go(3 * HOUR_S)
        got = plant.got()
        assert plant.told()["meter_off", meter(bad)] == 1, "while it was bad it was found"
        assert plant.health.meters[meter(bad)].state == "on"
        assert got[meter(bad), 60.0] >= 180 - 25
        assert all(got[meter(n), 60.0] == 180 for n in range(1, 6) if n != bad), got

    run(main())


@pytest.mark.parametrize("more", [0, 1, 2])
@pytest.mark.parametrize(("meters", "period_s"), [(1, 60.0), (1, 900.0), (2, 900.0), (5, 60.0)])
def test_idle_connections_cost_no_poll(tmp_path: Path, meters: int, period_s: float, more: int) -> None:
    async def main() -> None:
        plant = Idle(tmp_path, meters, 45.0, more=more)
        plant.periods(period_s)
        await plant.go(6 * HOUR_S)
        got, told = plant.got(), plant.told()
        dues = int(6 * HOUR_S / period_s)
        for n in range(1, meters + 1):
            assert got[meter(n), period_s] >= dues - 1, "the last may be under way"
            assert told["meter_off", meter(n)] == 0

    run(main())


def test_a_fine_meter_beside_one_that_refuses_is_not_taken_for_the_culprit(tmp_path: Path) -> None:
    async def main() -> None:
        plant = Idle(tmp_path, 2, 30.0, lambda poll, _: "refuses" if poll.meter == meter(2) else FINE, more=1)
        plant.periods(60.0)
        await plant.go(2 * HOUR_S)
        assert plant.got()[meter(1), 60.0] >= 119
        assert plant.told()["meter_off", meter(1)] == 0

    run(main())


@pytest.mark.parametrize("cut_s", [0.003, 3.5])
def test_polls_that_pass_before_an_outage_is_told_are_counted(tmp_path: Path, cut_s: float) -> None:
    """A device server restarts: the connection breaks, the next cannot be opened for five seconds, then it can."""

    async def main() -> None:
        plant = Plant(tmp_path, 3, lambda *_: FINE)
        answer, open_, asked, refused = plant.link.read, plant.link.open, 0, 0

        async def read(poll: Poll) -> list[Sample]:
            nonlocal asked, refused
            asked += poll.meter == meter(2)
            if poll.meter == meter(2) and asked % 20 == 0:
                refused = 1
                await asyncio.sleep(cut_s)
                await plant._cut()
            return await answer(poll)

        async def open_slowly() -> None:
            nonlocal refused
            if refused:
                refused = 0
                await asyncio.sleep(5)
                raise LinkDown("connect timed out")
            await open_()

        plant.link.read, plant.link.open = read, open_slowly  # type: ignore[method-assign]
        await plant.go(550.5)
        got, told = plant.got(), plant.told()
        assert told["link_down", "link-1"] >= 10
        for n in (1, 2, 3):
            known = got[meter(n), PERIOD_S] + plant.health.meters[meter(n)].skipped
            assert known >= 275 - 3, (known, got)

    run(main())


@pytest.mark.parametrize("gap_s", [0.001, 0.2, 1.0])
def test_errands_do_not_hurry_a_link_on_which_nobody_is_heard(tmp_path: Path, gap_s: float) -> None:
    async def main() -> None:
        plant = Plant(tmp_path, 1, lambda _, now_s: FINE if now_s < 30 else "cut")
        done = 0

        async def work(_: Link) -> None:
            nonlocal done
            await asyncio.sleep(0.05)
            done += 1

        async def client() -> None:
            while True:
                with suppress(LinkDown, Busy):
                    await plant.poller.errand(work, timeout_s=5)
                await asyncio.sleep(gap_s)

        task = asyncio.create_task(client())
        await plant.go(630.5)
        task.cancel()
        assert plant.link.open_count <= 30, "at its growing pause"
        assert done > 200, "whoever looks for the fault gets his answers"
        assert plant.health.links["link-1"].state == "down"

    run(main())


def test_cutting_errands_are_slowed_down(tmp_path: Path) -> None:
    async def main() -> None:
        plant = Plant(tmp_path, 3, lambda *_: FINE)

        async def work(link: Link) -> None:
            await link.close()
            raise LinkDown("closed by the peer")

        async def client() -> None:
            while True:
                with suppress(LinkDown, Busy):
                    await plant.poller.errand(work, timeout_s=5)
                await asyncio.sleep(0.001)

        task = asyncio.create_task(client())
        await plant.go(300.5)
        task.cancel()
        assert plant.link.open_count <= 5.5 * 70
        assert all(plant.got()[meter(n), PERIOD_S] >= 149 for n in (1, 2, 3))
        assert plant.told()["link_down", "link-1"] == 0

    run(main())


@pytest.mark.parametrize(("period_s", "idle_s"), [(2.0, 1.5), (4.0, 2.0), (5.0, 3.0), (5.0, 4.5)])
def test_short_idle_times_keep_nobody_off(tmp_path: Path, period_s: float, idle_s: float) -> None:
    """The first meter of each round was bad for a while; its peer drops connections between two rounds."""

    async def main() -> None:
        def does(poll: Poll, now_s: float) -> str:
            return "cut" if poll.meter == meter(1) and 33 < now_s < 300 else FINE

        plant = Idle(tmp_path, 4, idle_s, does)
        plant.periods(period_s)
        await plant.go(HOUR_S)
        got = plant.got()
        assert got[meter(1), period_s] >= 3200 / period_s, got
        assert all(got[meter(n), period_s] >= 3590 / period_s for n in (2, 3, 4)), got

    run(main())


async def _clients(plant: Plant, gap_s: float) -> None:
    """Ask for a harmless errand again and again."""

    async def work(_: Link) -> None:
        await asyncio.sleep(0.05)

    while True:
        with suppress(LinkDown, Busy):
            await plant.poller.errand(work, timeout_s=5)
        await asyncio.sleep(gap_s)


@pytest.mark.parametrize("idle_s", [4.0, 10.0, 30.0])
def test_an_errand_in_the_pause_of_a_link_does_not_keep_it_down(tmp_path: Path, idle_s: float) -> None:
    """It opens the connection early, which the peer has dropped again when the pause is over."""

    async def main() -> None:
        plant = Idle(tmp_path, 3, idle_s, lambda _, now_s: "cut" if 300 < now_s < 900 else FINE)
        plant.periods(10.0)
        await asyncio.sleep(10)
        task = asyncio.create_task(_clients(plant, 60))
        await plant.go(2 * HOUR_S)
        task.cancel()
        assert plant.health.links["link-1"].state == "up"
        assert plant.got()[meter(1), 10.0] >= 720 - 75

    run(main())


@pytest.mark.parametrize("gap_s", [0.001, 0.05, 1.0])
def test_errands_are_refused_while_a_link_cannot_be_opened(tmp_path: Path, gap_s: float) -> None:
    async def main() -> None:
        plant = Plant(tmp_path, 2, lambda _, now_s: "cut" if 30 < now_s < 100 else FINE)
        open_ = plant.link.open
        opened = 0

        async def refused() -> None:
            nonlocal opened
            opened += 1
            if 100 < plant.clock.monotonic() < 400:
                raise LinkDown("connection refused")
            await open_()

        plant.link.open = refused  # type: ignore[method-assign]
        task = asyncio.create_task(_clients(plant, gap_s))
        await plant.go(600.5)
        task.cancel()
        assert opened <= 40, "at its growing pause"
        assert plant.got()[meter(1), PERIOD_S] >= 15 + (600 - 400 - 75) / PERIOD_S

    run(main())

"""The owner of a link: what it does with one that obeys no more, with its own bugs, and with a clock that steps."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.model import Event, Frame
from gateway.polling.watch import CLOSE_S, END_S
from gateway.supervise import supervise
from simulators.fakes import FakeLink, Trouble, fake_layout
from simulators.virtual import run
from tests.sim.plant import FakeTarget
from tests.unit.journal_rig import uncommitted
from tests.unit.test_poll import Line

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Link, Poll
    from gateway.model import Sample


def told(line: Line, *kinds: str) -> list[tuple[str, str]]:
    """Return (kind, reason) of the events of these kinds."""
    events = [r for r in uncommitted(line.journal) if isinstance(r, Event) and r.kind in kinds]
    return [(event.kind, str(event.detail.get("reason", ""))) for event in events]


class Stubborn(FakeLink):
    """Its reads do not let themselves be cancelled for a while; it counts how often it was closed."""

    stubborn_s = 0.0
    closed = 0

    async def read(self, poll: Poll) -> list[Sample]:
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            await asyncio.sleep(self.stubborn_s)
            raise
        return await super().read(poll)

    async def close(self) -> None:
        self.closed += 1
        await super().close()


@pytest.mark.parametrize("stubborn_s", [1.0, 30.0])
def test_a_link_that_hangs_is_closed_before_another_takes_its_place(
    tmp_path: Path, stubborn_s: float
) -> None:
    """Else its port would stay taken, and its successor be a second master on the line."""

    async def main() -> None:
        line = Line(tmp_path, 1, [])
        made = [Stubborn(line.clock, [])]
        made[0].stubborn_s = stubborn_s
        line.link = made[0]

        def renewed() -> Link:
            assert made[-1].closed, "the old one is closed first"
            made.append(Stubborn(line.clock, []))
            return made[-1]

        line.own([FakeTarget(poll) for poll in line.polls], renew=renewed)
        await line.go(200)
        assert made[0].closed
        assert len(made) > 1 if stubborn_s > CLOSE_S else len(made) == 1

    run(main())


def test_an_errand_that_takes_a_moment_to_end_does_not_cost_the_link(tmp_path: Path) -> None:
    assert END_S < CLOSE_S, "an errand that is given up is left alone before its link would be"


def test_a_bug_of_the_owner_is_told_as_an_outage_and_the_next_outage_too(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 1, [Trouble("down", 100, 150), Trouble("down", 300, 500)])
        read, bugs = line.link.read, 0

        async def buggy(poll: Poll) -> list[Sample]:
            nonlocal bugs
            if line.clock.monotonic() > 200 and not bugs:
                bugs += 1
                raise ZeroDivisionError("a bug")
            return await read(poll)

        line.link.read = buggy  # type: ignore[method-assign]
        crashed = lambda _name, error: line.poller.crashed(error)  # noqa: E731
        task = asyncio.create_task(
            supervise("link", line.poller.run, line.clock, line.health, crashed=crashed)
        )
        await asyncio.sleep(600)
        assert line.health.meters["m-001"].state == "on"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert told(line, "link_down", "link_up") == [
            ("link_up", ""), ("link_down", "connection"), ("link_up", ""), ("link_down", "bug"),
            ("link_up", ""), ("link_down", "connection"), ("link_up", ""),
        ]  # fmt: skip

    run(main())


def test_a_driver_that_cancels_itself_costs_a_poll_and_not_the_link(tmp_path: Path) -> None:
    """wait_for2 does so when an answer and its deadline come together; the owner would end without a word."""

    class Escaped(asyncio.CancelledError):
        pass

    async def main() -> None:
        line = Line(tmp_path, 2, [])
        read = line.link.read

        async def escapes(poll: Poll) -> list[Sample]:
            if poll.meter == "m-002" and 50 < line.clock.monotonic() < 75:
                raise Escaped
            return await read(poll)

        line.link.read = escapes  # type: ignore[method-assign]
        await line.go(300.5)
        assert line.link.read_count["m-001"] == 30
        assert line.link.read_count["m-002"] >= 26
        assert line.health.links["link-1"].state == "up"

    run(main())


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_after_an_outage_with_a_step_of_the_clock_nothing_is_read_off_the_grid(
    tmp_path: Path, step_s: float
) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [Trouble("down", 905, 1000)])
        line.own([FakeTarget(replace(poll, layout=fake_layout(poll.meter, 2, 900.0))) for poll in line.polls])
        task = asyncio.create_task(line.go(4000))
        await asyncio.sleep(950)
        line.clock.step(step_s)
        await task
        frames = [r for r in uncommitted(line.journal) if isinstance(r, Frame)]
        assert len(frames) >= 6
        assert all(frame.time_ns / 1e9 % 900 < 5 for frame in frames)

    run(main())


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_step_of_the_clock_during_a_read_skips_nothing_that_never_was(
    tmp_path: Path, step_s: float
) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [Trouble("slow", 95, 105, delay_s=0.45)])
        task = asyncio.create_task(line.go(140.5))
        await asyncio.sleep(100.2)
        line.clock.step(step_s)
        await task
        assert [meter.skipped for meter in line.health.meters.values()] == [0, 0]
        assert told(line, "overrun", "clock_step") == [("clock_step", "")]

    run(main())


def test_one_spoilt_answer_is_told_for_it_costs_a_poll(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [Trouble("garbage", 15, 25, who="m-002")])
        await line.go(100.5)
        assert told(line, "meter_off", "meter_on")[2:] == [("meter_off", "garbage"), ("meter_on", "")]

    run(main())

"""The one broad except: a bug restarts one task, counted and bounded."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
import structlog

from gateway.health import Health
from gateway.supervise import supervise
from simulators.virtual import VirtualClock, run


def test_a_bug_restarts_its_task_after_a_growing_pause() -> None:
    starts: list[float] = []

    async def main() -> None:
        clock, health = VirtualClock(0), Health()

        async def buggy() -> None:
            starts.append(clock.monotonic())
            raise KeyError("nobody foresaw")

        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(supervise("sink x", buggy, clock, health))
            await asyncio.sleep(3600)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert health.crashes["sink x"] == len(starts) == len(logs)
        assert "nobody foresaw" in logs[0]["error"]

    run(main())
    pauses = [b - a for a, b in pairwise(starts)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert max(pauses) == 300


def test_a_bug_in_telling_of_bugs_is_one_more_and_stops_nothing() -> None:
    starts: list[float] = []

    async def main() -> None:
        clock, health = VirtualClock(0), Health()

        async def buggy() -> None:
            starts.append(clock.monotonic())
            raise KeyError("nobody foresaw")

        def crashed(_name: str, _error: str) -> None:
            raise ZeroDivisionError

        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(supervise("x", buggy, clock, health, crashed=crashed))
            await asyncio.sleep(100)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert health.crashes["x"] == len(logs) == 2 * len(starts)

    run(main())
    assert [b - a for a, b in pairwise(starts)][:4] == [1, 2, 4, 8]


def test_a_task_that_ran_long_starts_over_with_a_short_pause() -> None:
    starts: list[float] = []

    async def main() -> None:
        clock = VirtualClock(0)

        async def buggy() -> None:
            starts.append(clock.monotonic())
            await asyncio.sleep(1000)
            raise ValueError

        with structlog.testing.capture_logs():
            task = asyncio.create_task(supervise("x", buggy, clock, Health()))
            await asyncio.sleep(5000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())
    assert starts == [0, 1001, 2002, 3003, 4004]


async def test_a_task_that_ends_is_not_restarted_and_in_tests_a_bug_is_raised() -> None:
    async def ends() -> None:
        return

    async def buggy() -> None:
        raise ValueError("bug")

    clock, health = VirtualClock(0), Health()
    await supervise("x", ends, clock, health, reraise=True)
    with pytest.raises(ValueError, match="bug"):
        await supervise("x", buggy, clock, health, reraise=True)
    assert not health.crashes

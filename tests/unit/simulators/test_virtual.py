"""The virtual loop: timer order, whole microseconds, proof of a hang, threads, steps of the wall clock."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.clock import sleep_for
from simulators.virtual import Stalled, VirtualClock, run

DAY_S = 86_400
START_NS = 1_795_316_400_000_000_000


def test_timers_fire_in_order_of_time_not_of_creation() -> None:
    async def main() -> list[str]:
        clock = VirtualClock(START_NS)
        seen: list[str] = []

        async def mark(name: str, at_s: float) -> None:
            await clock.sleep_until(at_s)
            seen.append(f"{name}@{clock.monotonic():g}")

        await asyncio.gather(mark("c", 3), mark("a", 1), mark("b", 2), mark("day", DAY_S))
        return seen

    assert run(main()) == ["a@1", "b@2", "c@3", f"day@{DAY_S}"]


def test_a_hang_is_proved() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled):
        run(main())


@pytest.mark.parametrize("at_s", [0.1 + 0.2, 1 / 3, 1e-7, 0.3, 123456.7891234, 86400.000001])
def test_sleep_until_never_wakes_early(at_s: float) -> None:
    async def main() -> float:
        clock = VirtualClock(START_NS)
        await clock.sleep_until(at_s)
        return clock.monotonic()

    woke_s = run(main())
    assert at_s <= woke_s <= at_s + 3e-6


def test_sleeping_into_the_past_still_yields() -> None:
    async def main() -> list[str]:
        clock = VirtualClock(START_NS)
        seen: list[str] = []
        task = asyncio.ensure_future(asyncio.to_thread(lambda: None))
        asyncio.get_running_loop().call_soon(seen.append, "other")
        await clock.sleep_until(-5)
        seen.append("self")
        await task
        return seen

    assert run(main()) == ["other", "self"]


def test_a_thread_takes_no_virtual_time() -> None:
    release = threading.Event()

    async def main() -> tuple[float, float]:
        clock = VirtualClock(START_NS)
        loop = asyncio.get_running_loop()
        timer = asyncio.ensure_future(sleep_for(clock, 50))
        working = loop.run_in_executor(None, release.wait, 10)
        release.set()
        assert await working
        after_thread_s = clock.monotonic()
        await timer
        return after_thread_s, clock.monotonic()

    assert run(main()) == (0.0, 50.0)


def test_wall_steps_and_monotonic_does_not() -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        await sleep_for(clock, 1.5)
        assert clock.wall_ns() == START_NS + 1_500_000_000
        clock.step(-3600)
        assert clock.wall_ns() == START_NS + 1_500_000_000 - 3_600_000_000_000
        assert clock.monotonic() == 1.5
        assert clock.state().synchronised
        clock.synchronised = False
        assert not clock.state().synchronised

    run(main())

"""Timers shared by many: never early, hardly late, gone when nobody waits."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest
import uvloop

from gateway.clock import SystemClock, Ticks, shared_ticks
from simulators.virtual import VirtualLoop, run


def test_what_is_due_in_one_tick_rings_together_in_order_and_never_early() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ticks = Ticks(loop, 50)
        rung: list[tuple[int, float]] = []
        dues = [0.1001, 0.1100, 0.1199, 0.1201, 0.5]
        for n, due_s in enumerate(dues):
            ticks.call_at(due_s, lambda n=n: rung.append((n, loop.time())))  # type: ignore[misc]
        assert len(ticks) == 3
        await asyncio.sleep(1)
        assert [n for n, _ in rung] == [0, 1, 2, 3, 4]
        assert all(0 < at_s - due_s < 0.0201 for due_s, (_, at_s) in zip(dues, rung, strict=True))
        assert len(ticks) == 0

    run(main())


def test_a_cancelled_alarm_never_rings_and_the_last_takes_the_timer_with_it() -> None:
    async def main() -> None:
        ticks = Ticks(asyncio.get_running_loop(), 50)
        rung: list[str] = []
        second = ticks.call_at(1.011, lambda: rung.append("second"))
        first = ticks.call_at(1.010, lambda: ticks.cancel(third))
        third = ticks.call_at(1.012, lambda: rung.append("third"))
        late = ticks.call_at(3.0, lambda: rung.append("late"))
        ticks.cancel(second)
        ticks.cancel(late)
        ticks.cancel(late)
        assert len(ticks) == 1
        await asyncio.sleep(4)
        ticks.cancel(first)
        assert rung == []
        assert len(ticks) == 0

    run(main())


def test_a_bug_in_one_alarm_is_reported_and_the_others_ring() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told: list[object] = []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        ticks = Ticks(loop, 50)
        rung: list[int] = []
        error = ZeroDivisionError("bug")

        def bug() -> None:
            raise error

        for ring in (lambda: rung.append(1), bug, lambda: rung.append(2), bug, lambda: rung.append(3)):
            ticks.call_at(1.0, ring)
        await asyncio.sleep(2)
        assert rung == [1, 2, 3]
        assert told == [error, error]

    run(main())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_sleepers_wake_in_time_on_the_loops_the_gateway_runs_on(factory: type) -> None:
    clock = SystemClock()

    async def wait(due_s: float) -> float:
        await clock.sleep_until(due_s)
        return clock.monotonic() - due_s

    async def main() -> None:
        start_s = clock.monotonic()
        late_s = await asyncio.gather(*(wait(start_s + n * 0.00013) for n in range(-50, 400)))
        assert min(late_s) >= 0
        assert len(shared_ticks(asyncio.get_running_loop(), 1000)) == 0

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


async def test_a_sleeper_that_is_cancelled_leaves_nothing_behind() -> None:
    clock = SystemClock()
    ticks = shared_ticks(asyncio.get_running_loop(), 1000)
    due_s = clock.monotonic() + 3600
    sleepers = [asyncio.ensure_future(clock.sleep_until(due_s)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(ticks) == 1
    for sleeper in sleepers:
        sleeper.cancel()
    await asyncio.gather(*sleepers, return_exceptions=True)
    assert len(ticks) == 0


def test_one_clock_serves_loops_in_several_threads() -> None:
    clock = SystemClock()
    woken: list[int] = []

    async def main() -> None:
        for _ in range(20):
            await asyncio.gather(*(clock.sleep_until(clock.monotonic() + 0.002) for _ in range(10)))
        woken.append(threading.get_ident())

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(woken)) == 3


def test_loops_that_are_gone_do_not_stay() -> None:
    gone = []
    for _ in range(6):
        loop = VirtualLoop()
        loop.run_until_complete(SystemClock().sleep_until(0.0))
        shared_ticks(loop, 50)
        loop.close()
        gone.append(weakref.ref(loop))
    del loop
    gc.collect()
    assert sum(ref() is not None for ref in gone) <= 4

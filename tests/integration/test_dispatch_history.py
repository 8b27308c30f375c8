"""The dispatcher over the real history: kept over a restart, gone at its cap, another chain."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.clock import SystemClock
from gateway.dispatch import Dispatcher
from gateway.health import SinkHealth
from gateway.history.history import History
from gateway.history.work import Work
from tests.fakes.feed import CHAIN, entry
from tests.fakes.outbox import FakeDestination

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.feed.contract import Kind

CLOCK = SystemClock()


async def sign(history: History, count: int = 1, kind: Kind = "data", *, chain: str = "") -> None:
    first = 1 if chain else history.following
    entries = [entry(seq, kind, time_ns=CLOCK.wall_ns()) for seq in range(first, first + count)]
    await history.commit(Work(entries=entries, chain=chain or history.chain or CHAIN))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[History]:
    history = History(folder, CLOCK, size_max=1 << 26, keep_s=1e6)
    try:
        yield history
    finally:
        await history.close()


@asynccontextmanager
async def dispatching(history: History, destination: FakeDestination) -> AsyncIterator[Dispatcher]:
    made = Dispatcher(
        "reg", destination, history, CLOCK, SinkHealth("feed"), body=history.destination("reg"), first=1,
        backlog_rate=1000.0, pause_max_s=0.1,
    )  # fmt: skip
    task = asyncio.create_task(made.run())
    try:
        yield made
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - the dispatcher gives no event to wait for
            await asyncio.sleep(0.01)


async def test_every_message_once_over_restarts(tmp_path: Path) -> None:
    destination = FakeDestination(CLOCK)
    async with opened(tmp_path) as history:
        await sign(history, kind="birth")
        await sign(history, 3)
        async with dispatching(history, destination) as it:
            await sign(history, 2)
            await until(lambda: not it.pending)
            assert destination.seqs(late=False) == [1, 2, 3, 4, 5, 6]
            destination.away = "no route"
            await sign(history, 4)
            await until(lambda: it._health.state == "down")
    async with opened(tmp_path) as history:
        destination.away = ""
        await sign(history, 1)
        async with dispatching(history, destination) as it:
            await until(lambda: not it.pending)
            await sign(history, 1)
            await until(lambda: not it.pending)
            assert it.resend(2, 4) == 2
            await until(lambda: not it.pending)
            figures = it.figures()
    assert destination.seqs(late=True) == [7, 8, 9, 10, 11, 2, 3]
    assert destination.seqs(late=False) == [1, 2, 3, 4, 5, 6, 12]
    assert (figures["delivered"], figures["missed"], figures["resent"]) == (14, 0, 2)
    assert destination.announced[-1][0] == [1]
    assert all(len(kept) == 1 for kept in destination.bytes.values())


async def test_a_chain_that_begins_anew_goes_from_its_first_message(tmp_path: Path) -> None:
    destination = FakeDestination(CLOCK)
    async with opened(tmp_path) as history:
        async with dispatching(history, destination) as it:
            await sign(history, 3)
            await until(lambda: not it.pending)
            await sign(history, 2, chain="another0another0")
            await until(lambda: len(destination.taken) == 5)
            await until(lambda: not it.pending)
        assert destination.seqs() == [1, 2, 3, 1, 2]
        assert destination.announced[-1][1] == "another0another0"
        saved = history.destination("reg")
        assert saved is not None
        assert (saved["chain"], saved["live"]) == ("another0another0", 3)

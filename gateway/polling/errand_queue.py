"""Errands: work that others want done on a link, done by the link's owner between two polls.

So a command that touches a bus never opens it a second time, and never disturbs a request under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import LinkDown, MetergateError
from gateway.polling.watch import END_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.interfaces import Link

T = TypeVar("T")

ERRAND_SHARE = 1 / 10  # of the link's time that errands may take once one has made a poll late
ERRANDS_MAX = 16  # that wait on one link


class Busy(MetergateError):
    """The link has no time for another errand, or had none before its time was up."""


class ErrandQueue:
    """The errands that wait for one link; filled by anybody, emptied by the link's owner."""

    def __init__(self, link: str, wake: Callable[[], None]) -> None:
        """link: its id, for messages. wake: tells the owner that something waits."""
        self._link, self._wake = link, wake
        self.from_s = 0.0  # when the next may begin
        self._waiting: deque[tuple[Callable[[Link], Awaitable[Any]], asyncio.Future[Any]]] = deque()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def pay(self, cost_s: float, now_s: float) -> None:
        """Let them wait for as long as keeps them within their share of the link's time. cost_s: of the last one."""
        self.from_s = now_s + cost_s * (1 / ERRAND_SHARE - 1)

    async def ask(self, work: Callable[[Link], Awaitable[T]], timeout_s: float) -> T:
        """Return what `work` returns, or raise what it raises. Raises Busy, LinkDown.

        timeout_s: for waiting and working together; work under way then is cut short.
        """
        if len(self._waiting) >= ERRANDS_MAX:
            raise Busy(f"link {self._link}: {ERRANDS_MAX} errands wait already; try again in a moment")
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        entry = (work, result)
        self._waiting.append(entry)
        self._wake()
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return await result
        except TimeoutError:
            if not limit.expired():
                raise
            text = f"link {self._link}: nothing came of the errand within {timeout_s:g} s; try again"
            raise Busy(text) from None
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    async def run_one(self, link: Link) -> None:
        """Do the errand that has waited longest. Raises LinkDown if it lost the link or cannot be ended."""
        work, result = self._waiting.popleft()
        if result.done():  # whoever asked has gone
            return
        task = asyncio.ensure_future(work(link))
        try:
            await asyncio.wait({task, result}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=END_S)
                if not result.done():
                    result.set_exception(
                        LinkDown(f"link {self._link}: closed while the errand was under way")
                    )
        if not task.done():
            raise LinkDown(f"link {self._link}: an errand cannot be ended; the link is opened anew")
        if task.cancelled():  # a read that is given up leaves the link usable
            return
        error = task.exception()
        if not result.done():
            if error is None:
                result.set_result(task.result())
            else:
                result.set_exception(error)
        if isinstance(error, LinkDown):
            raise error

    def refuse(self, why: str) -> None:
        """Tell everybody who waits that nothing will come of it."""
        while self._waiting:
            _, result = self._waiting.popleft()
            if not result.done():
                result.set_exception(LinkDown(why))

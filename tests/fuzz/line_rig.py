"""A real `HalfDuplexLine` on a port that hands it whatever the fuzzer wants, under virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.timing import Timing
from gateway.errors import LinkDown
from simulators.virtual import VirtualClock
from tests.fuzz.mutations import pieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

WALL_NS = 1_780_027_200_000_000_000  # 2026-05-29 12:00 in China
TIMEOUT_S = 0.5
HARNESS_TASKS = 2  # of tests.fuzz.run: the one that watches, the one that takes the cases
_TIMINGS = (Timing(9600, "E", 1), Timing(19_200, "N", 2), Timing(115_200, "N", 1))
_SETTINGS = tuple(
    LineSettings(timing, own_gaps=own_gaps, timeout_min_s=0.1, turnaround_s=turnaround_s)
    for timing in _TIMINGS
    for own_gaps, turnaround_s in ((True, 0.0), (True, 0.01), (False, 0.0))
)


class FuzzPort:
    """Implements `Port`. answer(n, request): what comes back for the n-th request, as a transport may hand it over.

    came: everything that came; since: for each request, where in it its own time began.
    """

    def __init__(self, rng: Random, answer: Callable[[int, bytes], bytes]) -> None:
        self.name = "fuzz"
        self.lost: str | None = "not open"
        self.came = bytearray()
        self.requests: list[bytes] = []
        self.since: list[int] = []
        self._rng, self._answer = rng, answer
        self._timers: list[asyncio.TimerHandle] = []
        self._on_bytes: Callable[[bytes], None] = lambda _: None

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_bytes = on_bytes
        self.lost = None

    def write(self, data: bytes) -> None:
        self.check()
        self.requests.append(data)
        self.since.append(len(self.came))
        loop, delay_s = asyncio.get_running_loop(), 0.06
        for piece in pieces(self._rng, self._answer(len(self.requests) - 1, data)):
            self._timers.append(loop.call_later(delay_s, self.come, piece))
            delay_s += self._rng.random() * 0.02

    def check(self) -> None:
        if self.lost is not None:
            raise LinkDown(self.lost)

    async def close(self) -> None:
        self.lost = "closed"
        for timer in self._timers:
            timer.cancel()

    def come(self, raw: bytes) -> None:
        """Let bytes come now."""
        self.came += raw
        self._on_bytes(raw)

    def received(self, n: int) -> bytes:
        """Return what came from the n-th request on until the next one."""
        end = self.since[n + 1] if n + 1 < len(self.since) else len(self.came)
        return bytes(self.came[self.since[n] : end])


async def opened(rng: Random, port: FuzzPort) -> HalfDuplexLine:
    """Return an open line of one of several speeds, before or without a serial device server."""
    line = HalfDuplexLine(port, rng.choice(_SETTINGS), VirtualClock(WALL_NS), "fuzz")
    await line.open()
    return line


def leaked() -> int:
    """Return how many tasks there are beside the fuzzer's own."""
    return len(asyncio.all_tasks()) - HARNESS_TASKS

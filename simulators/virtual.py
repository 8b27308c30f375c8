"""Virtual time: an asyncio loop that jumps to the next timer instead of sleeping, and the clock on it.

Time is counted in whole microseconds, so two unrelated tasks can never move each other's clock by a
rounding error. When nothing is runnable, no timer is set and no thread works for the loop, the program
under test hangs: that is a proof, and `Stalled` is raised.

Threads reached through `run_in_executor` or `asyncio.to_thread` take no virtual time: while one works,
the loop waits for it in real time and the virtual clock stands still.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.model import ClockState

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_US = 1_000_000
_THREAD_PATIENCE_S = 30.0  # real seconds a thread may work before the loop calls it a hang


class Stalled(RuntimeError):
    """Nothing is runnable and no timer is set: the program under test hangs."""


def _micros(when_s: float) -> int:
    """Return the first whole microsecond that is not before `when_s`, forgiving float dust."""
    micros = math.ceil(when_s * _US - 1e-3)
    return micros if micros / _US >= when_s else micros + 1


class _JumpSelector(selectors.BaseSelector):
    """A selector without files: it moves the clock, or waits for a thread that works for the loop."""

    def __init__(self) -> None:
        self.now_us = 0
        self.working = 0
        self.woken = threading.Event()
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._keys[fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return []
        if self.woken.is_set() or self.working:
            if not self.woken.wait(_THREAD_PATIENCE_S):
                raise Stalled(f"a thread did not answer within {_THREAD_PATIENCE_S:g} real seconds")
            self.woken.clear()
            return []
        if timeout is None:
            raise Stalled("nothing is runnable and no timer is set")
        self.now_us = max(self.now_us + 1, _micros(self.now_us / _US + timeout))
        return []

    def get_map(self) -> Any:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0 and moves only from timer to timer."""

    def __init__(self) -> None:
        """Start at time 0."""
        self._jump = _JumpSelector()
        super().__init__(self._jump)
        self._clock_resolution = 1e-7

    def time(self) -> float:
        """Return virtual seconds."""
        return self._jump.now_us / _US

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Return a timer at the first whole microsecond not before `when`."""
        return super().call_at(_micros(when) / _US, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Return a future of the call; virtual time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jump.working += 1
        future.add_done_callback(self._worked)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Return when the pool's threads have ended; asyncio ends them in a thread of its own."""
        self._jump.working += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jump.working -= 1

    def hold(self) -> None:
        """Stop virtual time until `release`: some other thread works and will call back."""
        self._jump.working += 1

    def release(self) -> None:
        """Undo one `hold`."""
        self._jump.working -= 1

    def _worked(self, _future: object) -> None:
        self._jump.working -= 1

    def _write_to_self(self) -> None:
        # What call_soon_threadsafe uses to wake the loop: an event, since nothing watches the self-pipe.
        self._jump.woken.set()


class VirtualClock:
    """A gateway.interfaces.Clock on a VirtualLoop: wall time can be stepped, monotonic time cannot."""

    def __init__(self, start_ns: int, *, synchronised: bool = True) -> None:
        """start_ns: wall time when the loop's time is 0."""
        self._start_ns = start_ns
        self.synchronised = synchronised
        self.offset_s: float | None = 0.0
        self.max_error_s: float | None = 0.001

    def wall_ns(self) -> int:
        """Return virtual wall time, nanoseconds since the Unix epoch."""
        return self._start_ns + round(asyncio.get_running_loop().time() * _US) * 1000

    def monotonic(self) -> float:
        """Return virtual seconds since the loop began."""
        return asyncio.get_running_loop().time()

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return when `monotonic()` has reached `monotonic_s`; always yields to the loop once."""
        loop = asyncio.get_running_loop()
        if monotonic_s <= loop.time():
            await asyncio.sleep(0)
            return
        reached: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(monotonic_s, _reach, reached)
        try:
            await reached
        finally:
            timer.cancel()

    def state(self) -> ClockState:
        """Return what the test says of the clock."""
        return ClockState(self.synchronised, self.offset_s, self.max_error_s)

    def step(self, seconds: float) -> None:
        """Move wall time, as an administrator or NTP would; monotonic time stays."""
        self._start_ns += round(seconds * 1e9)


def _reach(reached: asyncio.Future[None]) -> None:
    if not reached.done():
        reached.set_result(None)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Return the result of `main`, run under virtual time. Raises Stalled if it hangs."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

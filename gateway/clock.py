"""Time, the only module that knows it: wall clock for stamping, monotonic for waiting, never mixed."""

from __future__ import annotations

import asyncio
import ctypes
import time
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gateway.model import MS_NS, NS, ClockState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.interfaces import Clock

WAKES_PER_S = 1000  # moments at which a sleeping task may wake

_STA_UNSYNC = 0x0040  # Source: Linux uapi/linux/timex.h
_TIME_ERROR = 5
_STA_NANO = 0x2000


class _Timex(ctypes.Structure):
    """struct timex of Linux, enough of it to read. Source: Linux uapi/linux/timex.h."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("padding", ctypes.c_byte * 256),
    )


class Alarm:
    """A call that waits for its tick."""

    __slots__ = ("cancelled", "ring", "tick", "when_s")

    def __init__(self, when_s: float, tick: int, ring: Callable[[], None]) -> None:
        """when_s: the moment asked for, on the loop's own scale; the tick ends after it."""
        self.when_s, self.tick, self.ring = when_s, tick, ring
        self.cancelled = False


class _Tick:
    """Alarms of one tick in the order they came, and the loop timer they share."""

    __slots__ = ("alarms", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.timer = timer
        self.alarms: dict[Alarm, None] = {}


class Ticks:
    """Timers of one event loop, many for the price of one: what is due within one tick shares a loop timer.

    500 links wake at the same moment of the wall grid, and their timeouts end together. Never early, at most
    a tick late; with 1000 a second or fewer, ticks are whole milliseconds, the unit of uvloop's timers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, per_s: int) -> None:
        """per_s: ticks a second."""
        self._loop = loop
        self._per_s = per_s
        self._ticks: dict[int, _Tick] = {}

    def __len__(self) -> int:
        """Return how many loop timers are set."""
        return len(self._ticks)

    def call_at(self, when_s: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` once the loop's time has passed `when_s`, unless it is cancelled before."""
        number = int(when_s * self._per_s) + 1
        tick = self._ticks.get(number)
        if tick is None:
            tick = _Tick(self._loop.call_at(number / self._per_s, self._end, number))
            self._ticks[number] = tick
        alarm = Alarm(when_s, number, ring)
        tick.alarms[alarm] = None
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Do not ring; may be called at any time, again too."""
        alarm.cancelled = True
        tick = self._ticks.get(alarm.tick)
        if tick is None:
            return
        tick.alarms.pop(alarm, None)
        if not tick.alarms:
            tick.timer.cancel()
            del self._ticks[alarm.tick]

    def _end(self, number: int) -> None:
        self._ring(iter(list(self._ticks.pop(number).alarms)))

    def _ring(self, alarms: Iterator[Alarm]) -> None:
        rung = False
        try:
            for alarm in alarms:
                if not alarm.cancelled:
                    alarm.ring()
            rung = True
        finally:
            if not rung:  # a bug in one, which the loop reports; the others are still due
                self._loop.call_soon(self._ring, alarms)


@lru_cache(4)
def shared_ticks(loop: asyncio.AbstractEventLoop, per_s: int) -> Ticks:
    """Return the ticks everybody on this loop shares. Bounded, so that loops that are gone do not stay."""
    return Ticks(loop, per_s)


class SystemClock:
    """The clock of the machine, for the running event loop."""

    def __init__(self) -> None:
        """Look up adjtimex once; on a system without it the clock counts as not synchronised."""
        self._adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)

    def wall_ns(self) -> int:
        """Return wall time in nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return monotonic seconds, the scale of the event loop's own timers."""
        return time.monotonic()

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return when monotonic time has reached `monotonic_s`; always yields to the loop once."""
        if monotonic_s <= time.monotonic():
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        ticks = shared_ticks(loop, WAKES_PER_S)
        reached: asyncio.Future[None] = loop.create_future()
        alarm = ticks.call_at(monotonic_s, partial(_reach, reached))
        try:
            await reached
        finally:
            ticks.cancel(alarm)

    def state(self) -> ClockState:
        """Return what the kernel says (adjtimex, read only)."""
        if self._adjtimex is None:
            return ClockState(False, None, None)
        timex = _Timex()
        answer = self._adjtimex(ctypes.byref(timex))
        if answer < 0:
            return ClockState(False, None, None)
        scale = 1e9 if timex.status & _STA_NANO else 1e6
        synchronised = answer != _TIME_ERROR and not timex.status & _STA_UNSYNC
        return ClockState(synchronised, timex.offset / scale, timex.maxerror / 1e6)


def _reach(reached: asyncio.Future[None]) -> None:
    if not reached.done():  # the waiting task may have been cancelled in this very round
        reached.set_result(None)


async def sleep_for(clock: Clock, delay_s: float) -> None:
    """Return after `delay_s` seconds of the given clock."""
    await clock.sleep_until(clock.monotonic() + delay_s)


def iso(time_ns: int) -> str:
    """Return a wall time as ISO 8601 in UTC with milliseconds, for people and logs."""
    whole, rest = divmod(time_ns, NS)
    stamp = datetime.fromtimestamp(whole, UTC)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{rest // MS_NS:03d}Z"


def local(time_ns: int, zone: str) -> str:
    """Return a wall time in a site's own zone, to the second, with its offset: for people."""
    return datetime.fromtimestamp(time_ns // NS, ZoneInfo(zone)).isoformat(" ", "seconds")

"""Time, the only module that knows it: wall clock for stamping, monotonic for waiting, never mixed."""

from __future__ import annotations

import asyncio
import ctypes
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.model import ClockState

if TYPE_CHECKING:
    from gateway.interfaces import Clock

NS = 1_000_000_000
MS_NS = 1_000_000

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
        delay_s = monotonic_s - time.monotonic()
        await asyncio.sleep(max(delay_s, 0))

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


async def sleep_for(clock: Clock, delay_s: float) -> None:
    """Return after `delay_s` seconds of the given clock."""
    await clock.sleep_until(clock.monotonic() + delay_s)


def iso(time_ns: int) -> str:
    """Return a wall time as ISO 8601 in UTC with milliseconds, for people and logs."""
    whole, rest = divmod(time_ns, NS)
    stamp = datetime.fromtimestamp(whole, UTC)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{rest // MS_NS:03d}Z"

"""Waiting for the end of a lawful silence, to a tenth of a millisecond.

The event loops' timers count whole milliseconds, and a silence is 2 to 4 of them; one too many before each
request costs 2 to 5 % of a line. A timer of the kernel (timerfd) that the loop watches like a socket does not round.
Source: timerfd_create(2); measured: 1.5 ms late on the average with the loop's timer, see docs/explanation/lines.md.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.model import NS

if TYPE_CHECKING:
    from gateway.interfaces import Clock

_CLOCK_MONOTONIC = 1  # Source: Linux uapi/linux/time.h; the scale of the event loop and of Clock.monotonic
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_SPEC = struct.Struct("@4l")  # interval s, ns; value s, ns
_EXPIRATIONS_SIZE = 8


class Pause:
    """A kernel timer for one waiting task. Only for a clock that runs with the kernel's."""

    def __init__(self) -> None:
        """Make the timer. Raises OSError where the system has none."""
        libc = ctypes.CDLL(None, use_errno=True)
        create = getattr(libc, "timerfd_create", None)
        if create is None:
            raise OSError(errno.ENOSYS, "no timerfd")
        self._set = libc.timerfd_settime
        self._fd: int = create(_CLOCK_MONOTONIC, _FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] | None = None
        self._loop.add_reader(self._fd, self._ring)

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return when monotonic time has reached `monotonic_s`."""
        seconds, ns = divmod(max(1, round(monotonic_s * NS)), NS)  # zero would disarm it
        self._over = self._loop.create_future()
        if self._set(self._fd, _ABSOLUTE, _SPEC.pack(0, 0, seconds, ns), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        try:
            await self._over
        finally:
            self._over = None

    def close(self) -> None:
        """Give the timer back; may be called twice."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _ring(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._fd, _EXPIRATIONS_SIZE)
        if self._over is not None and not self._over.done():
            self._over.set_result(None)


async def pause_until(pause: Pause | None, clock: Clock, monotonic_s: float) -> None:
    """Return when the clock has reached `monotonic_s`, as exactly as there are means."""
    if pause is not None and monotonic_s > clock.monotonic():
        await pause.sleep_until(monotonic_s)
    else:
        await clock.sleep_until(monotonic_s)

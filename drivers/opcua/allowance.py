"""How long an answer may be, by what was asked: the work of decoding it is bounded before it begins.

asyncua makes objects of whatever a message holds, on the event loop: 12 microseconds a byte at worst (measured: values of no type), so a
message the guard still lets pass would stop every other link for 3 s. Honest numbers are far shorter than what is allowed here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.ua.uaerrors._base import UaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.interfaces import Clock

ANSWER_BYTES = 4096
"""Of any answer: its header, and room for a text among the values."""
VALUE_BYTES = 64
"""For each value: a number with status, both times and its client handle has 39 (Part 6, 5.2.2.17, table 15)."""
OTHER_BYTES = 16_384
CERTIFICATES_BYTES = 65_536  # endpoints and sessions: each endpoint carries the server's certificate
SLOW_S = 0.1
SLOW_VALUE_S = 0.0005
SLOW_TIMES = 2
"""In a row: one alone may be the gateway's own machine at work."""


class TooLong(UaError):
    """An answer is longer than numbers need; it was not decoded."""


class Allowance:
    """What the answers of one connection may be. is_browsing: no bound but the guard's; reported: values a report may hold."""

    def __init__(self, clock: Clock | None) -> None:
        """clock: tells how long decoding takes; None: it is not told."""
        self.is_browsing = False
        self.reported = 0
        self._clock = clock
        self._arrived_s = 0.0
        self._slow = 0

    def fault(self, request: Any, size: int) -> str:
        """Return why `size` bytes cannot be the answer to a request, "" if they can."""
        most = self._most(request)
        if self.is_browsing or size <= most:
            return ""
        return f"an answer of {size} bytes to a {type(request).__name__}, which needs {most} at most"

    def _most(self, request: Any) -> int:
        if isinstance(request, ua.ReadRequest):
            return ANSWER_BYTES + VALUE_BYTES * len(request.Parameters.NodesToRead)
        if isinstance(request, ua.CreateMonitoredItemsRequest):
            return ANSWER_BYTES + VALUE_BYTES * len(request.Parameters.ItemsToCreate)
        if isinstance(request, ua.PublishRequest):
            return ANSWER_BYTES + VALUE_BYTES * self.reported
        certified = isinstance(request, ua.GetEndpointsRequest | ua.CreateSessionRequest)
        return CERTIFICATES_BYTES if certified else OTHER_BYTES

    def arrived(self) -> None:
        """Note that an answer is there and will be decoded now."""
        if self._clock is not None:
            self._arrived_s = self._clock.monotonic()

    def slow(self, values: int) -> str:
        """Return what is wrong with an answer of so many values just decoded, "" if it did not take long, or for the first time only."""
        if self._clock is None or self.is_browsing:
            return ""
        took_s = self._clock.monotonic() - self._arrived_s
        self._slow = self._slow + 1 if took_s > SLOW_S + SLOW_VALUE_S * values else 0
        if self._slow < SLOW_TIMES:
            return ""
        return f"answers that take {took_s:.2f} s to decode, {self._slow} in a row; poll fewer or smaller variables"

    def watched(
        self, send: Callable[..., Awaitable[Any]], drop: Callable[[str], None]
    ) -> Callable[..., Awaitable[Any]]:
        """Return `send` with answers that are too long refused: TooLong, and, of reports, for which nobody waits, drop(why)."""

        async def sent(request: Any, *rest: Any, **named: Any) -> Any:
            try:
                answer = await send(request, *rest, **named)
            except asyncio.CancelledError:
                # wait_for2, which asyncua waits with, raises a class of its own where the answer came in the same moment;
                # asyncio.timeout takes only the plain one for its own, and a link's owner would end without a word.
                raise asyncio.CancelledError from None
            fault = self.fault(request, len(answer))
            if fault:
                if isinstance(request, ua.PublishRequest):
                    drop(fault)
                raise TooLong(fault)
            self.arrived()
            return answer

        return sent

"""One TCP connection: requests out, answers in, each answer given to its own request or to nobody.

Speed is the point of the fast path: while one request is outstanding its whole answer prefix (transaction, protocol,
length, unit, function, byte count: nine bytes) is known, so one comparison accepts the usual answer. Whatever is
not exactly that takes the slow path, which cuts frames and says what is wrong with them.

Why a late answer cannot be taken for the next one: a transaction id is used once in 65 535 requests of a link, over
reconnects too, and a request that was given up is no longer pending. Id 0 is never used, because some meters answer
with it whatever was asked.

Why a connection is dropped: a header that cannot be true, or a frame still incomplete when its time is up. In
both cases nobody knows where the next frame begins.

One timer a connection, not one a request: it is moved only when it fires, so an answered request costs no timer. The
event loop's own time is used because the loop is the timer.
Source: facts measured on CPython 3.11: `BufferedProtocol` with a small buffer spares the 256 KiB allocation that
`Protocol` pays for each read on stock asyncio (CPython issue 85451).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from drivers.connecting import UNSENT_MAX, prepare_transport
from drivers.failures import NoAnswer
from drivers.modbus.framing import PREFIX_SIZE, Ask, Frame, Unsynchronised, check, cut_tcp
from drivers.modbus.pdu import ExceptionAnswer, Mismatch
from gateway.errors import LinkDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.modbus.stats import LinkStats

BUFFER_SIZE = 4096  # 15 frames of the largest kind; 64 KiB would be 33 MB at 500 connections
GIVEN_UP_MAX = 64  # transaction ids remembered to tell "late" from "nobody asked"
STRAYS_MAX = 100
"""Whole frames within STRAYS_S that answer nothing which is waited for; more than can be late at once. The connection is dropped
then: each costs as much as an answer, and a peer that sends thousands a second would keep other links waiting."""
STRAYS_S = 1.0
_IDS = 0xFFFF
_CLOSED_STEP = "the meter may be restarting, or allow fewer connections than it has"
_STUCK_STEP = "the meter hangs, or the network is cut: check both"
_GARBLED_STEP = "check the port, and that the meter or converter speaks Modbus TCP (not RTU over TCP)"
_FLOOD_STEP = "check that host and port are the meter's and that nobody else answers there"
_PARTIAL_STEP = "check the converter's baud rate and time-out, and the network for losses"

Answer = tuple[int, bytes]
"""Wall time in ns at which the answer was complete, and its values' bytes as the wire carried them."""


class _Pending:
    """A request on its way."""

    __slots__ = ("answer", "ask", "deadline", "prefix", "size", "strays", "timeout_s")

    def __init__(
        self,
        ask: Ask,
        head: bytes,
        answer: asyncio.Future[Answer],
        deadline: float,
        timeout_s: float,
        strays: int,
    ) -> None:
        self.ask = ask
        self.prefix = head + ask.answer_prefix
        self.size = ask.answer_size
        self.answer = answer
        self.deadline = deadline
        self.timeout_s = timeout_s
        self.strays = strays


class Stream(asyncio.BufferedProtocol):
    """A connection to a Modbus TCP server, from `connection_made` to `lost`."""

    def __init__(
        self,
        stats: LinkStats,
        wall_ns: Callable[[], int],
        on_discard: Callable[[str, str, bytes], None],
        *,
        last_transaction: int = 0,
    ) -> None:
        """on_discard(reason, text, raw) is told of every frame thrown away, already counted.

        last_transaction: of the link's previous connection, so that ids go on.
        """
        self.lost: str | None = None
        self.transaction = last_transaction
        self._stats = stats
        self._wall_ns = wall_ns
        self._on_discard = on_discard
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(BUFFER_SIZE)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._pending: dict[int, _Pending] = {}
        self._sole: _Pending | None = None
        self._given_up: deque[int] = deque(maxlen=GIVEN_UP_MAX)
        self._strays = 0
        self._flood = 0  # frames thrown away since _flood_s
        self._flood_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self._loop.create_future()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up: small writes at once, dead peers noticed, little kept unsent."""
        self._transport = prepare_transport(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go; at most one incomplete frame lies before it."""
        return self._view[self._filled :] if self._filled else self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Give complete answers to their requests."""
        self._stats.bytes_received += nbytes
        filled = self._filled + nbytes
        sole = self._sole
        if (
            sole is not None
            and filled == sole.size
            and self._buffer.startswith(sole.prefix)
            and not sole.answer.done()  # else the waiting task was cancelled: the slow path counts it
        ):
            self._filled = 0
            self._sole = None
            self._pending.clear()
            self._stats.answers += 1
            sole.answer.set_result((self._wall_ns(), bytes(self._view[PREFIX_SIZE:filled])))
            return
        self._filled = filled
        self._cut()

    def pause_writing(self) -> None:
        """Drop a peer that takes no requests any more."""
        self._drop(f"the peer has not taken {UNSENT_MAX} bytes of requests; {_STUCK_STEP}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every waiting request."""
        if self.lost is None:
            self._fail_all(
                f"connection lost: {exc}; {_CLOSED_STEP}" if exc else f"closed by the peer; {_CLOSED_STEP}"
            )
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closed.done():
            self._closed.set_result(None)

    # the driver's side

    def request(self, ask: Ask, timeout_s: float) -> asyncio.Future[Answer]:
        """Send a request and return the future of its answer.

        The future raises NoAnswer, ExceptionAnswer, Mismatch, or LinkDown; cancelling it is safe at any time.
        Raises LinkDown if the connection is gone.
        """
        if self.lost is not None or self._transport is None:
            raise LinkDown(self.lost or "not connected")
        transaction = self.transaction = self.transaction % _IDS + 1
        head = transaction.to_bytes(2, "big")
        deadline = self._loop.time() + timeout_s
        answer: asyncio.Future[Answer] = self._loop.create_future()
        pending = _Pending(ask, head, answer, deadline, timeout_s, self._strays)
        self._sole = None if self._pending else pending
        self._pending[transaction] = pending
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        elif deadline < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expire)
        request = head + ask.request_tail
        stats = self._stats
        stats.requests += 1
        stats.bytes_sent += len(request)
        self._transport.write(request)
        return answer

    async def close(self) -> None:
        """Close the connection and return when it is closed; waiting requests raise LinkDown."""
        self._drop("closed by the gateway")
        if self._transport is not None:
            await self._closed

    # inside

    def _cut(self) -> None:
        """Take every complete frame off the buffer."""
        start = 0
        while self.lost is None:
            try:
                frame = cut_tcp(self._buffer, start, self._filled)
            except Unsynchronised as error:
                self._discard(error.reason, str(error), error.raw)
                self._drop(f"the answers cannot be told apart any more: {error}; {_GARBLED_STEP}")
                return
            if frame is None:
                break
            self._take(frame, bytes(self._view[start : frame.end]))
            start = frame.end
        left = self._filled - start
        if start and left:
            self._buffer[:left] = self._buffer[start : self._filled]
        self._filled = left

    def _take(self, frame: Frame, raw: bytes) -> None:
        """Give one frame to the request it answers, or discard it."""
        pending = self._pending.pop(frame.transaction, None)
        if pending is None:
            late = frame.transaction in self._given_up
            reason = "late" if late else "transaction"
            text = "answers a request given up" if late else f"transaction {frame.transaction} was not asked"
            self._strays += not late
            self._unasked(reason, text, raw)
            return
        self._choose_sole()
        if pending.answer.done():  # the waiting task was cancelled
            self._unasked("late", "answers a request given up", raw)
            return
        try:
            payload = check(frame, pending.ask)
        except ExceptionAnswer as error:
            self._stats.exceptions += 1
            pending.answer.set_exception(error)
        except Mismatch as error:
            error.raw = raw
            self._discard(error.reason, f"{error}; {pending.ask}", raw)
            pending.answer.set_exception(error)
        else:
            self._stats.answers += 1
            pending.answer.set_result((self._wall_ns(), payload))

    def _choose_sole(self) -> None:
        self._sole = next(iter(self._pending.values())) if len(self._pending) == 1 else None

    def _unasked(self, reason: str, text: str, raw: bytes) -> None:
        """Throw away a whole frame that answers nothing; drop the peer that floods."""
        self._discard(reason, text, raw)
        now_s = self._loop.time()
        if now_s - self._flood_s > STRAYS_S:
            self._flood, self._flood_s = 0, now_s
        self._flood += 1
        if self._flood > STRAYS_MAX:
            self._drop(
                f"more than {STRAYS_MAX} answers within {STRAYS_S:g} s that nobody asked for; {_FLOOD_STEP}"
            )

    def _discard(self, reason: str, text: str, raw: bytes) -> None:
        self._stats.discarded[reason] += 1
        self._on_discard(reason, text, raw)

    def _expire(self) -> None:
        """Fail the requests whose time is up and set the timer for the next one, if there is one."""
        self._timer = None
        now = self._loop.time()
        expired = [key for key, pending in self._pending.items() if pending.deadline <= now]
        waited = False
        strays = 0
        for key in expired:
            pending = self._pending.pop(key)
            self._given_up.append(key)
            if pending.answer.done():
                continue
            waited = True
            self._stats.timeouts += 1
            strays = self._strays - pending.strays
            text = f"no answer within {pending.timeout_s:g} s" + (
                f", {strays} to other requests" if strays else ""
            )
            pending.answer.set_exception(NoAnswer(text, discarded=strays))
        self._choose_sole()
        if waited and self._filled:
            raw = bytes(self._view[: self._filled])
            self._discard("partial", f"{self._filled} bytes of an answer and no more", raw)
            if strays:
                self._drop(f"{strays} answers to requests nobody made; {_FLOOD_STEP}")
            else:
                self._drop(f"an answer stopped after {len(raw)} of its bytes; {_PARTIAL_STEP}")
        elif self._pending:
            first = min(pending.deadline for pending in self._pending.values())
            self._timer = self._loop.call_at(first, self._expire)

    def _drop(self, text: str) -> None:
        """Give the connection up at once."""
        self._fail_all(text)
        if self._transport is not None:
            self._transport.abort()

    def _fail_all(self, text: str) -> None:
        if self.lost is None:
            self.lost = text
        self._sole = None
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if not one.answer.done():
                one.answer.set_exception(LinkDown(text))

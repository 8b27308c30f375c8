"""One half-duplex line: a request, its answer, lawful silence; nothing else at the same time.

Order of a request: what nobody asked is thrown away (flush), the lawful silence since the last byte of either direction is
waited for, the request goes out, bytes are collected until the protocol finds its answer in them or the time is up.

Silence is measured from the moment the last byte was read (never before it was on the wire) and from the computed end of
what was sent. Before it is believed, and before an answer is given up, the port is asked for what the loop has not yet read:
it may have been busy elsewhere, or had no CPU. So silence can be longer than lawful, never shorter.
The event loop's own time is used for deadlines because the loop is the timer; the clock's for silence.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from drivers.failures import InDoubt, NoAnswer
from drivers.lines.doubt import Doubts
from drivers.lines.pause import Pause, pause_until
from drivers.lines.stats import LineStats
from drivers.lines.waiting import Waiting
from drivers.roundtrip import RoundTrips
from gateway.clock import SystemClock
from gateway.errors import LinkDown

if TYPE_CHECKING:
    from collections.abc import Hashable

    from drivers.lines.contract import LineAsk
    from drivers.lines.port import Port
    from drivers.lines.timing import Timing
    from drivers.lines.waiting import Answer
    from gateway.interfaces import Clock

RECEIVED_MAX = 2048
"""Bytes kept while waiting for one answer; the longest frame has 256. Of a babbling line only the newest are looked at."""
FRAME_MIN = 4  # fewer bytes are a disturbance (adapters make one or two when they turn round), no answer
GRACE_S = 0.03  # an answer that is coming may pause so long: USB adapters pass bytes on every 16 ms
SHOWN_MAX = 32  # bytes of what came instead of an answer, in the error's text
RESTLESS_S = 1.0  # a line that is not silent for so long is nobody's to talk on
DISCARD_LOG_EVERY_S = 60.0

_DROWNED = "noise", "far more than an answer: another master talks on, or a converter babbles"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How a line is used. own_gaps: this side keeps the silence; False where a serial device server does.

    turnaround_s: further silence before another meter is asked. timeout_min_s: never wait less for an answer.
    late_max_s: how late an answer may come. echo: the adapter hears what it sends. connect_pause_s: silence after opening.
    """

    timing: Timing
    own_gaps: bool = True
    turnaround_s: float = 0.0
    timeout_min_s: float = 0.1
    late_max_s: float = 10.0
    echo: bool = False
    connect_pause_s: float = 0.0


class HalfDuplexLine:
    """A serial line with its port. Implements `Line`."""

    def __init__(self, port: Port, settings: LineSettings, clock: Clock, name: str) -> None:
        """name: the link's id, for messages."""
        self.stats = LineStats()
        self.trips = RoundTrips(settings.timeout_min_s)
        self.doubts = Doubts(settings.late_max_s)
        self.name = name
        self._port = port
        self.settings = settings
        self._timing = settings.timing
        self._silence_s = settings.timing.silence_s if settings.own_gaps else 0.0
        self._clock = clock
        self._received = bytearray()
        self._busy_s = 0.0  # until when a byte was on the line, as far as known
        self._meter: Hashable = None  # asked last
        self._waiting: Waiting | None = None
        self._pause: Pause | None = None
        self._judged = 0  # bytes received that were told as what came instead of an answer
        self._told: dict[str, tuple[float, int]] = {}

    async def open(self) -> None:
        """Open the port. Raises LinkDown."""
        await self.close()
        self._received.clear()
        self._judged = 0
        self.trips.reopened()
        if isinstance(self._clock, SystemClock):  # any other one runs at its own speed
            with suppress(OSError):  # without it the silence is a little longer
                self._pause = Pause()
        try:
            await self._port.open(self._on_bytes, self._on_lost)
        except LinkDown as error:
            raise LinkDown(f"link {self.name}: {error}") from None
        # Somebody may just have spoken; and some converters lose what comes too soon.
        self._busy_s = max(self._busy_s, self._clock.monotonic() + self.settings.connect_pause_s)
        self.stats.connects += 1

    async def close(self) -> None:
        """Close the port; never raises, may be called twice. A waiting request raises LinkDown."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.close()
        await self._port.close()
        self._on_lost()

    async def ask(self, ask: LineAsk, timeout_s: float) -> Answer:
        """Return wall time and frame of the answer. Raises NoAnswer, InDoubt, LinkDown."""
        if self._waiting is not None:
            raise RuntimeError(f"link {self.name}: two requests at once on one line")
        self._check()
        self._flush()
        now_s = self._clock.monotonic()
        rest_s = self.doubts.rest_s(ask, now_s)
        if rest_s > 0:
            self.stats.withheld += 1
            raise InDoubt(rest_s)
        ready_s = await self._silence(ask.meter)
        trip = self.trips.of(ask.meter)
        timeout_s = self.trips.timeout_s(trip, timeout_s)
        waiting = self._send(ask, timeout_s, ready_s)
        try:
            answer = await waiting.answer
        except asyncio.CancelledError:
            self.doubts.give_up(ask, now_s := self._clock.monotonic())
            # The meter has heard it and will talk, whether anybody waits or not: nothing is sent into that.
            self._busy_s = max(self._busy_s, now_s + waiting.deadline_s - asyncio.get_running_loop().time())
            raise
        except LinkDown:
            self.doubts.give_up(ask, self._clock.monotonic())
            raise
        finally:
            self._waiting = None
            if waiting.timer is not None:
                waiting.timer.cancel()
        if answer is None:
            self.trips.timed_out(trip)
            raise self._no_answer(waiting, timeout_s)
        delay_s = max(0.0, self._busy_s - waiting.sent_s - self._timing.wire_s(len(answer[1])))
        self.stats.delay_s += delay_s
        self.trips.answered(trip, delay_s)
        return answer

    def figures(self) -> dict[str, object]:
        """Return what the line has counted."""
        return self.stats.figures() | {"in_doubt": len(self.doubts), "meters": self.trips.figures()}

    # what comes

    def _on_bytes(self, data: bytes) -> None:
        now_s = self._clock.monotonic()
        self._busy_s = max(self._busy_s, now_s)
        self.stats.bytes_received += len(data)
        self.stats.wire_s += self._timing.wire_s(len(data))
        received = self._received
        received += data
        waiting = self._waiting
        if len(received) > RECEIVED_MAX:
            excess = len(received) - RECEIVED_MAX
            del received[:excess]
            if waiting is not None:
                waiting.skip = max(0, waiting.skip - excess)
        if waiting is None or waiting.answer.done():
            return
        waiting.heard += len(data)
        waiting.looks += 1
        if waiting.is_drowned():
            return
        if waiting.echo and not self._echoed(waiting):
            return
        if not self._look(waiting):
            waiting.deadline_s = min(
                waiting.hard_s,
                max(waiting.deadline_s, now_s + GRACE_S, waiting.sent_s + self._timing.wire_s(len(received))),
            )

    def _echoed(self, waiting: Waiting) -> bool:
        """Return whether the line's own bytes are off; what is no echo stays for the protocol to judge."""
        echo, received = waiting.echo, self._received
        if len(received) < len(echo) and echo.startswith(received):
            return False
        waiting.echo = b""
        if received.startswith(echo):
            del received[: len(echo)]
            return bool(received)
        self._discard(
            "echo", "own bytes came back changed: a collision, or there is no echo", bytes(received)
        )
        return True

    def _look(self, waiting: Waiting) -> bool:
        """Return whether the answer is complete; it is handed over then."""
        received = bytes(self._received)
        while True:
            found = waiting.ask.find(received[waiting.skip :] if waiting.skip else received)
            if found is None:
                return False
            start, end = found.start + waiting.skip, found.end + waiting.skip
            frame = received[start:end]
            if found.start > found.lead:  # first: what is late in it is older than the answer
                self._thrown_away(waiting.ask, received[waiting.skip : start - found.lead])
            if self.doubts.believe(waiting.ask, found, frame, self._clock.monotonic()):
                break
            waiting.skip = end
            waiting.unbelieved += 1
            if waiting.is_drowned():
                return False
        self.stats.answers += 1
        self.stats.refusals += found.refusal
        del self._received[:end]
        waiting.answer.set_result((self._clock.wall_ns(), frame))
        return True

    def _on_lost(self) -> None:
        waiting = self._waiting
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_exception(LinkDown(self._lost_text()))

    def _expire(self, waiting: Waiting) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= waiting.deadline_s and not waiting.answer.done():
            with suppress(LinkDown):  # told by _no_answer
                self._port.check()  # what has come in time may not have been read in time
        if waiting.answer.done():
            return
        if loop.time() < waiting.deadline_s:
            waiting.timer = loop.call_at(waiting.deadline_s, self._expire, waiting)
        else:
            waiting.answer.set_result(None)

    # what goes

    def _check(self) -> None:
        try:
            self._port.check()
        except LinkDown:
            raise LinkDown(self._lost_text()) from None

    def _lost_text(self) -> str:
        return f"link {self.name}, {self._port.name}: {self._port.lost}"

    def _flush(self) -> None:
        """Throw away what nobody waits for."""
        stale, judged, self._judged = bytes(self._received), self._judged, 0
        if stale:
            self._received.clear()
        if len(stale) > judged:
            self._thrown_away(None, stale)

    async def _silence(self, meter: Hashable) -> float:
        """Return, once it is reached, since when a request is lawful. Raises NoAnswer if the line is never silent."""
        changes = self._meter is not None and self._meter != meter
        silence_s = self._silence_s + (self.settings.turnaround_s if changes else 0.0)
        clock = self._clock
        first_s = self._busy_s
        since_s = max(clock.monotonic(), first_s)  # it may have to be silent for a while of its own
        while True:
            ready_s = self._busy_s + silence_s
            if clock.monotonic() >= ready_s:
                self._check()  # hands over what has come; that begins the silence anew
                if self._busy_s + silence_s <= ready_s:
                    break
            elif self._busy_s > since_s + RESTLESS_S and self._busy_s != first_s:
                raise NoAnswer(
                    f"the line was not silent for {RESTLESS_S:g} s; find who else talks on it, or what disturbs it",
                    discarded=1,
                    raw=bytes(self._received[-64:]),
                )
            else:
                await pause_until(self._pause, clock, ready_s)
        self._flush()
        self.stats.silence_s += silence_s
        return ready_s

    def _send(self, ask: LineAsk, timeout_s: float, ready_s: float) -> Waiting:
        """Return the request on its way, its time running."""
        loop, timing, stats = asyncio.get_running_loop(), self._timing, self.stats
        request = ask.request
        waiting = Waiting(ask, loop.create_future(), request if self.settings.echo else b"")
        now_s = self._clock.monotonic()
        stats.gap_violations += now_s < self._busy_s + self._silence_s
        stats.late_s += now_s - ready_s
        wire_s, answer_s = timing.wire_s(len(request)), timing.wire_s(ask.answer_size)
        try:
            self._port.write(request)
        except LinkDown:
            self.doubts.give_up(ask, now_s)  # part of it may have gone out
            raise LinkDown(self._lost_text()) from None
        finally:  # only now: it began before, but this process may have been stopped in between
            self._busy_s = waiting.sent_s = self._clock.monotonic() + wire_s
        self._meter = ask.meter
        stats.requests += 1
        stats.bytes_sent += len(request)
        stats.wire_s += wire_s
        # A server hands an answer on when it is complete; a port of our own shows its first byte at once.
        first_s = GRACE_S if self.settings.own_gaps else GRACE_S + answer_s
        waiting.deadline_s = loop.time() + wire_s + timeout_s + first_s
        waiting.hard_s = waiting.deadline_s + 2 * answer_s + GRACE_S
        waiting.timer = loop.call_at(waiting.deadline_s, self._expire, waiting)
        self._waiting = waiting
        return waiting

    def _no_answer(self, waiting: Waiting, timeout_s: float) -> NoAnswer | LinkDown:
        """Return the error of a request nothing answered; it is in doubt from now on."""
        now_s = self._clock.monotonic()
        self.stats.timeouts += 1
        self.stats.timeout_s += now_s - waiting.sent_s
        raw = bytes(self._received)  # stays: the rest of an answer may be on its way
        late = self.doubts.came(raw, now_s)
        self.doubts.give_up(waiting.ask, now_s)
        if late:
            self._received.clear()
            self._discard("late", "answers a request given up", raw)
        try:
            self._port.check()
        except LinkDown:
            return LinkDown(self._lost_text())
        text = f"no answer within {timeout_s:g} s"
        if not raw or late:
            return NoAnswer(text, discarded=0)
        kind, words = _DROWNED if waiting.is_drowned() else waiting.ask.why(raw)
        self._judged = len(raw)
        self._discard(kind, words, raw)
        more = "…" if len(raw) > SHOWN_MAX else ""
        return NoAnswer(
            f"{text}, but {len(raw)} other bytes ({raw[:SHOWN_MAX].hex(' ')}{more}): {words}",
            discarded=int(len(raw) >= FRAME_MIN),
            raw=raw,
        )

    # what is thrown away

    def _thrown_away(self, ask: LineAsk | None, raw: bytes) -> None:
        """Count bytes that are late answers, or came before the one to `ask`, or before anything was asked (None)."""
        if self.doubts.came(raw, self._clock.monotonic()):
            self._discard("late", "answers a request given up", raw)
        elif ask is None:
            self._discard("stale", "belongs to no request", raw)
        else:
            self._discard(*ask.why(raw), raw)

    def _discard(self, reason: str, text: str, raw: bytes) -> None:
        """Count a discarded piece; log it once a minute for each reason."""
        self.stats.discarded[reason] += 1
        now_s = self._clock.monotonic()
        last_s, unsaid = self._told.get(reason, (-DISCARD_LOG_EVERY_S, 0))
        if now_s - last_s < DISCARD_LOG_EVERY_S:
            self._told[reason] = (last_s, unsaid + 1)
            return
        self._told[reason] = (now_s, 0)
        _log.warning(
            "bytes discarded",
            link=self.name,
            reason=reason,
            text=text,
            raw=raw[:256].hex(),
            unsaid=unsaid or None,
        )

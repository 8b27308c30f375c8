"""A simulated half-duplex line with true baud timing: what the master sends reaches the stations, and back.

No transport in here: `feed` takes what the master wrote, the callback of `on_bytes` gets what it would receive
(simulators/wire_ports.py puts a pty, a TCP port or plain memory before it). So a line runs under virtual time too.

What is simulated: every byte takes its time; what the master writes at once goes out without a pause, as from a
UART's FIFO; stations hear a frame when the lawful silence after it has passed, and answer after their own delay,
whoever talks meanwhile; two that talk at once garble each other; received bytes come in chunks of `FIFO` at the
time of the chunk's last byte, and what is left at the end of the transmission at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from gateway.interfaces import Clock
    from simulators.station import Reply, Station

FIFO = 8
"""Bytes received before the master is woken. Source: Linux 8250 driver, 16550A: UART_FCR_R_TRIG_10, 8 of 16 bytes."""
TOLERANCE_S = 5e-6
"""Silence that may be missing before it counts as a violation: the dust of clocks counting whole microseconds.

No more is needed, for the observer errs to one side only, also when its process gets no CPU. A reply is taken to end
when its last chunk is handed over, which is before the master can know of it; a request is taken to begin when it is
seen, which is after it was written, and to end so much earlier as it may have been written before it was seen. What the
master wrote before a late chunk was handed over is seen before it. So what is measured is never shorter than the silence
the master kept, as far as it could know; whoever speaks into a reply on its way makes a collision.
"""
_FAST_BAUD = 19_200
_FAST_GAP_S = 0.00175
_GAP_CHARS = 3.5
_INNER_CHARS = 1.5
_REMEMBERED = 64  # transmissions that may still overlap with a new one


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a line is. Source: MODBUS over Serial Line V1.02, 2.5.1.1 (3.5 and 1.5 characters, 1.750 ms, 0.750 ms)."""

    baud: int = 9600
    parity: str = "E"
    stop: int = 1

    @property
    def char_s(self) -> float:
        """Return the time of one character on the wire."""
        return (9 + (self.parity != "N") + self.stop) / self.baud

    @property
    def gap_s(self) -> float:
        """Return the lawful silence between frames."""
        return _FAST_GAP_S if self.baud > _FAST_BAUD else _GAP_CHARS * self.char_s

    @property
    def inner_s(self) -> float:
        """Return the longest silence inside a frame."""
        return 0.00075 if self.baud > _FAST_BAUD else _INNER_CHARS * self.char_s


class Sound(NamedTuple):
    """What goes onto the wire for a request. delay_s: from the request's end to its first bit.

    end: index after the last byte of a frame; what follows is noise, which nobody can wait for.
    """

    raw: bytes
    delay_s: float
    end: int


class Troubles:
    """No troubles: what every station says goes onto the wire as it is. simulators.line_faults has the others."""

    def sounds(self, key: str, station: Station, request: bytes) -> Iterable[Sound]:
        """Return what the wire carries when a station has heard a request."""
        reply = station.hear(request)
        return () if reply is None else (sound(reply),)

    def echoes(self) -> bool:
        """Return whether the master hears its own bytes now."""
        return False


def sound(reply: Reply) -> Sound:
    """Return a reply as the wire carries it."""
    return Sound(reply.frame, reply.delay_s, len(reply.frame))


@dataclass(slots=True)
class Tally:
    """What happened on a wire.

    wire_s: bytes of both directions in time. lawful_s: what the same traffic takes at least: a gap before each
    request, the bytes, and the longer of gap and the meter's own delay before each reply. shortest_gap_s: before a
    request; None until there was something before one. late_s: how much later than they had come in, replies were handed
    over: the simulator's own delay.
    """

    requests: int = 0
    replies: int = 0
    bytes_sent: int = 0
    bytes_replied: int = 0
    wire_s: float = 0.0
    lawful_s: float = 0.0
    gap_violations: int = 0
    shortest_gap_s: float | None = None
    collisions: int = 0
    late_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Talk:
    """One transmission."""

    start_s: float
    raw: bytes
    end_s: float


@dataclass(slots=True)
class _Request:
    """What the master has sent since the last silence."""

    talks: list[_Talk] = field(default_factory=list)

    @property
    def end_s(self) -> float:
        return self.talks[-1].end_s


class Wire:
    """One line and the stations on it. tally: what happened; heard: the last frames the stations heard."""

    def __init__(
        self,
        clock: Clock,
        pace: Pace,
        stations: Mapping[str, Station],
        troubles: Troubles | None = None,
        *,
        echo: bool = False,
        keeps_gap: bool = False,
        seed: int = 1,
    ) -> None:
        """stations: id of the meter -> station. echo: the adapter hears what it sends.

        keeps_gap: what is before the wire holds requests back until it was silent, as serial device servers do.
        """
        self.pace = pace
        self.stations = dict(stations)
        self.tally = Tally()
        self.heard: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._clock = clock
        self._troubles = Troubles() if troubles is None else troubles
        self._echo = echo
        self._keeps_gap = keeps_gap
        self._rng = Random(seed)
        self._deliver: Callable[[bytes], None] | None = None
        self._look: Callable[[], None] | None = None
        self._talks: deque[_Talk] = deque(maxlen=_REMEMBERED)
        self._request: _Request | None = None
        self._quiet_s: float | None = None  # when the last frame ended, as its receiver knew it
        self._busy_s = 0.0  # until when the master's own bytes go out
        self._tasks: set[asyncio.Task[None]] = set()

    def on_bytes(
        self, deliver: Callable[[bytes], None] | None, look: Callable[[], None] | None = None
    ) -> None:
        """Hand what the master receives to `deliver` from now on; None: to nobody.

        look: feeds what the master has written and nobody has seen yet; called before something is handed over.
        """
        self._deliver, self._look = deliver, look

    def feed(self, raw: bytes, late_s: float = 0.0) -> None:
        """Send bytes of the master; they go out at once, after those it sent before.

        late_s: how long before now they may have been written.
        """
        if not raw:
            return
        now_s = self._clock.monotonic()
        request = self._request
        start_s = max(now_s, self._busy_s)
        goes_on = request is not None and start_s - request.end_s <= self.pace.inner_s
        if self._keeps_gap and not goes_on and self._quiet_s is not None:
            start_s = max(start_s, self._quiet_s + self.pace.gap_s)
        if request is not None and start_s >= request.end_s + self.pace.gap_s:
            self._hear(request)  # the timer that cuts frames is still to come
            request = None
        if request is None or start_s - request.end_s > self.pace.inner_s:
            self._measure(start_s)
        talk = self._talk(start_s, raw)
        self._busy_s = talk.end_s
        self._quiet_s = max(self._quiet_s or 0.0, talk.end_s - late_s)
        self.tally.bytes_sent += len(raw)
        self.tally.lawful_s += len(raw) * self.pace.char_s
        if self._echo or self._troubles.echoes():
            self._spawn(self._carry(talk, 0))
        if request is not None:
            request.talks.append(talk)
            return
        self._request = _Request([talk])
        self._spawn(self._cut(self._request))

    def close(self) -> None:
        """Forget everything that is on its way."""
        for task in list(self._tasks):
            task.cancel()
        self._request = None
        self._deliver = self._look = None

    def _measure(self, start_s: float) -> None:
        """Count a request and the silence before it."""
        self.tally.requests += 1
        self.tally.lawful_s += self.pace.gap_s
        if self._quiet_s is None:
            return
        gap_s = start_s - self._quiet_s
        shortest_s = self.tally.shortest_gap_s
        self.tally.shortest_gap_s = gap_s if shortest_s is None else min(shortest_s, gap_s)
        if gap_s < self.pace.gap_s - TOLERANCE_S:
            self.tally.gap_violations += 1

    def _talk(self, start_s: float, raw: bytes) -> _Talk:
        """Return a transmission that is now known to the wire; count it, and what it collides with."""
        length_s = len(raw) * self.pace.char_s
        talk = _Talk(start_s, raw, start_s + length_s)
        self.tally.wire_s += length_s
        self.tally.collisions += any(_overlap(other, talk.start_s, talk.end_s) for other in self._talks)
        self._talks.append(talk)
        return talk

    async def _cut(self, request: _Request) -> None:
        """Let the stations hear the request once the silence after it has passed."""
        while self._request is request:
            until_s = request.end_s + self.pace.gap_s
            await self._clock.sleep_until(until_s)
            if self._request is request and request.end_s + self.pace.gap_s <= until_s:
                self._hear(request)

    def _hear(self, request: _Request) -> None:
        self._request = None
        frame = b"".join(self._received(talk, 0, len(talk.raw)) for talk in request.talks)
        self.heard.append(frame)
        for key, station in self.stations.items():
            for said in self._troubles.sounds(key, station, frame):
                delay_s = max(said.delay_s, self.pace.gap_s)
                talk = self._talk(request.end_s + delay_s, said.raw)
                self.tally.replies += 1
                self.tally.bytes_replied += len(said.raw)
                self.tally.lawful_s += delay_s + len(said.raw) * self.pace.char_s
                self._spawn(self._carry(talk, said.end))

    async def _carry(self, talk: _Talk, frame_end: int) -> None:
        """Hand a transmission to the master as its bytes come in."""
        for first in range(0, len(talk.raw), FIFO):
            last = min(first + FIFO, len(talk.raw))
            end_s = talk.start_s + last * self.pace.char_s
            await self._clock.sleep_until(end_s)
            if self._look is not None:
                self._look()
            received = self._received(talk, first, last)
            if first < frame_end:
                now_s = self._clock.monotonic()
                self._quiet_s = max(self._quiet_s or 0.0, now_s)
                self.tally.late_s += now_s - end_s if last >= frame_end else 0.0
            if received and self._deliver is not None:
                self._deliver(received)

    def _received(self, talk: _Talk, first: int, last: int) -> bytes:
        """Return bytes as a receiver has them: garbled by a later talker, lost under an earlier one."""
        char_s = self.pace.char_s
        begin_s, end_s = talk.start_s + first * char_s, talk.start_s + last * char_s
        others = [other for other in self._talks if other is not talk and _overlap(other, begin_s, end_s)]
        if not others:
            return talk.raw[first:last]
        out = bytearray()
        for i in range(first, last):
            at_s = talk.start_s + i * char_s
            over = [other for other in others if _overlap(other, at_s, at_s + char_s)]
            if any(other.start_s < talk.start_s for other in over):
                continue
            out.append(talk.raw[i] ^ self._rng.randrange(1, 256) if over else talk.raw[i])
        return bytes(out)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _overlap(talk: _Talk, start_s: float, end_s: float) -> bool:
    return talk.start_s < end_s - TOLERANCE_S and start_s < talk.end_s - TOLERANCE_S

"""Dispatch: one task per destination takes signed messages from the outbox, hands them over and advances on acknowledgement.

Live first, backlog behind it at a limited rate and marked late. Messages are never made anew: what was signed is sent, again
after an outage too. A destination that is away or slow costs nothing but its own lag. A message it refuses for good
is recorded with the reason and skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gateway.backoff import Backoff
from gateway.clock import sleep_for
from gateway.errors import SinkUnavailable, StorageError
from gateway.feed.entries import Board, place_of
from gateway.feed.positions import Positions
from gateway.interfaces import unnoticed
from gateway.log import Seldom, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.feed.entries import Destination, Entry, Former
    from gateway.feed.positions import Taken
    from gateway.health import SinkHealth
    from gateway.interfaces import Clock, Notice
    from gateway.model import Refusal

PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 30.0
ASKED_MAX_S = 300.0  # a destination that asks for more is asked again sooner
OUTAGE_S = 5.0  # what waited longer than this for its destination is backlog
LAG_MAX = 500  # and so is more than this, however short the outage was
BACKLOG_PATIENCE_S = (
    1.0  # a backlog that waited this long behind live messages goes first once, so it never starves
)
LIVE_MESSAGES, LIVE_BYTES = 500, 4 << 20  # most of one live batch
BACKLOG_MESSAGES, BACKLOG_BYTES = (
    100,
    1 << 20,
)  # and of one of backlog, so that live messages never wait long behind it
SAVE_S = 1.0
SAVE_PAUSE_MAX_S = 60.0
REFUSED_EVERY_S = 3600.0  # an event becomes a message: told oftener, what refuses those would feed itself

log = structlog.get_logger("dispatch")


class Outbox(Protocol):
    """Signed messages, kept. following: seq of the one that will be signed next; oldest: of the oldest that is kept."""

    @property
    def chain(self) -> str: ...
    @property
    def following(self) -> int: ...
    @property
    def oldest(self) -> int: ...

    def subscribe(self, event: asyncio.Event, /) -> None:
        """Set `event` whenever there are new messages."""

    async def entries(self, first_seq: int, until_seq: int, bytes_max: int) -> list[Entry]:
        """Return messages first_seq <= seq < until_seq in order, as many as `bytes_max` allows, at least one. Raises StorageError."""

    async def retained(self) -> list[Entry]:
        """Return the newest message of each retained topic. Raises StorageError."""

    async def save_position(self, name: str, body: Mapping[str, Any]) -> None:
        """Make a destination's position durable. Raises StorageError."""


class Dispatcher:
    """The task that owns one destination.

    positions: how far it is. awake: set when there is something to do.
    """

    def __init__(
        self,
        id_: str,
        destination: Destination,
        outbox: Outbox,
        clock: Clock,
        health: SinkHealth,
        *,
        body: Mapping[str, Any] | None,
        first: int | None = None,
        backlog_rate: float = 50.0,
        pause_max_s: float = PAUSE_MAX_S,
        notice: Notice = unnoticed,
        place: str = "",
        former: Sequence[Former] = (),
    ) -> None:
        """body: the position as it was saved, None for a destination that has none yet; then it begins at seq `first`, None: at what is signed next.

        backlog_rate: messages/s while catching up. notice: told of `message_refused`.
        place: what its messages say they are from, "": any. former: places before.
        """
        self.id = id_
        self._destination, self._outbox, self._clock, self._health = destination, outbox, clock, health
        self._notice = notice
        self._backlog_rate, self._place, self._former = backlog_rate, place, former
        self._chain = outbox.chain
        if body is None:
            self.positions = Positions(outbox.following if first is None else max(first, outbox.oldest))
            self.positions.cleared = former[-1].number if former else 0
        else:
            self.positions = Positions.from_json(
                body, outbox.chain, oldest=outbox.oldest, following=outbox.following
            )
        self.awake = asyncio.Event()
        outbox.subscribe(self.awake)
        now_s = clock.monotonic()
        self._backoff = Backoff(PAUSE_FIRST_S, pause_max_s)
        self._save_backoff = Backoff(SAVE_S, SAVE_PAUSE_MAX_S)
        self._backlog_at_s = now_s
        self._save_at_s = now_s
        self._saved: Mapping[str, Any] | None = body
        # What a gateway finds pending when it starts waited for the gateway, not for the destination: late all the same.
        self._failing_since_s = float("-inf") if body is not None and self.pending else None
        self._is_draining = False
        self._turns = Turns(now_s, "")
        self._seldom = Seldom(now_s, burst=1, every_s=REFUSED_EVERY_S)
        self._untold = 0

    @property
    def pending(self) -> int:
        """Return how many messages are still to go."""
        return self.positions.pending(self._outbox.following)

    def figures(self) -> dict[str, Any]:
        """Return how far it is, in messages, as plain JSON values."""
        positions = self.positions
        return {
            "delivered": positions.delivered,
            "pending": self.pending,
            "backlog": positions.waiting,
            "refused": positions.refused,
            "missed": positions.missed,
            "resent": positions.resent,
            "live_seq": positions.live,
            "refusals": [{"seq": seq, "reason": reason} for seq, reason in positions.refusals],
        }

    async def run(self) -> None:
        """Dispatch for ever, through every outage of the destination and the disk."""
        try:
            while True:
                try:
                    await self._open()
                    await self._pump()
                    pause_s = 0.0
                except (SinkUnavailable, StorageError) as error:
                    asked_s = (error.retry_after_s if isinstance(error, SinkUnavailable) else None) or 0.0
                    pause_s = max(self._backoff.next_s(), min(asked_s, ASKED_MAX_S))
                    asked = f"; asked to wait {asked_s:g} s, waits {pause_s:g} s" if asked_s > 0 else ""
                    self._down(f"{error}{asked}")
                await self._destination.close()
                await self._save()
                await sleep_for(self._clock, pause_s)
        finally:
            await self._destination.close()
            await self._save(last=True)

    def drain(self) -> None:
        """The gateway is stopping: what is there goes out at once, backlog too, for as long as it is let."""
        self._is_draining = True
        self.awake.set()

    def resend(self, first: int, until: int) -> int:
        """Have messages first <= seq < until go again, late; return how many. What is gone from the outbox, or still to go anyway, is not counted."""
        count = self.positions.add(max(first, self._outbox.oldest), min(until, self._outbox.following))
        self.awake.set()
        return count

    async def _open(self) -> None:
        """Connect and announce what is retained; after an outage what waits becomes backlog. Raises SinkUnavailable, StorageError."""
        self._follow()
        # Before `retained`: what is signed while this goes on must still go to its own topic, else that keeps an older one.
        following = self._outbox.following
        is_late = self._failing_s() > OUTAGE_S or following - self.positions.live > LAG_MAX
        live = following if is_late else self.positions.live
        # What is still to go live is not announced before its turn: each topic is in order of seq.
        retained = [
            entry for entry in await self._outbox.retained() if entry.seq < live and self._is_own(entry)
        ]
        await self._destination.open(retained, chain=self._chain, seq=following - 1)
        await self._leave_former()
        if not self.pending:
            self._up()
        if is_late:
            self.positions.shift(following)

    def _is_own(self, entry: Entry) -> bool:
        """Return whether a message is from where the gateway is now: its region, enterprise or id may have been others."""
        return not self._place or place_of(entry.jws) in {"", self._place}

    async def _leave_former(self) -> None:
        """Take away, once, what is retained at places the gateway had before. Raises SinkUnavailable."""
        for former in self._former:
            if former.number > self.positions.cleared:
                if isinstance(self._destination, Board):
                    await self._destination.leave_place(former)
                self.positions.cleared = former.number

    def _follow(self) -> None:
        """Keep up with what became of the outbox: messages that are gone, a chain that began anew."""
        if self._outbox.chain != self._chain:
            older = self.positions.to_json(self._chain)
            self._chain = self._outbox.chain
            self.positions = Positions.from_json(
                older, self._chain, oldest=self._outbox.oldest, following=self._outbox.following
            )
            log.warning("the feed's chain begins anew", sink=self.id, chain=self._chain)
        lost = self.positions.move_up(self._outbox.oldest)
        if lost:
            log.error("messages went before the destination took them", sink=self.id, messages=lost)

    async def _pump(self) -> None:
        """Hand over batch after batch; return when another chain is to be announced. Raises SinkUnavailable, StorageError."""
        chain = self._chain
        while True:
            taken = await self._next()
            if self._chain != chain:
                return
            bytes_max = BACKLOG_BYTES if taken.late else LIVE_BYTES
            entries = await self._outbox.entries(taken.first, taken.until, bytes_max)
            if not entries:  # they went in between
                self._passed(taken.until, 0, 0)
                continue
            refusals = await self._destination.write(entries, late=taken.late)
            self._backoff.reset()
            self._up()
            self._health.batches += 1
            if taken.late:
                self._backlog_at_s = self._clock.monotonic() + len(entries) / self._backlog_rate
            if refusals:
                self._record(entries, refusals)
            self._passed(entries[-1].seq + 1, len(entries) - len(refusals), len(refusals))

    def _passed(self, until: int, delivered: int, refused: int) -> None:
        missed = self.positions.acknowledge(until, delivered, refused)
        if missed:
            log.error("messages are gone from the outbox", sink=self.id, messages=missed)

    async def _next(self) -> Taken:
        """Wait for and return what goes next."""
        while True:
            await self._save()
            self.awake.clear()
            self._follow()
            now_s = self._clock.monotonic()
            pause_s = 0.0 if self._is_draining else self._backlog_at_s - now_s
            starved = pause_s <= -BACKLOG_PATIENCE_S and self.positions.waiting > 0
            taken = self.positions.take(
                self._outbox.following,
                live_most=0 if starved else LIVE_MESSAGES,
                backlog_most=max(1, min(BACKLOG_MESSAGES, int(self._backlog_rate))) if pause_s <= 0 else 0,
            )
            if taken is not None:
                return taken
            waits_s = [self._save_at_s - now_s] if self._is_unsaved else []
            if self.positions.waiting:
                waits_s.append(pause_s)
            await self._wait(min(waits_s, default=None))

    async def _wait(self, delay_s: float | None) -> None:
        """Wait until there is something to do, at most `delay_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self.awake.wait()

    @property
    def _is_unsaved(self) -> bool:
        return self._saved != self.positions.to_json(self._chain)

    async def _save(self, *, last: bool = False) -> None:
        """Make the positions durable; a disk that refuses holds nothing up: what was sent since would go twice after a kill."""
        now_s = self._clock.monotonic()
        if not self._is_unsaved or (now_s < self._save_at_s and not last):
            return
        body = self.positions.to_json(self._chain)
        try:
            await self._outbox.save_position(self.id, body)
        except StorageError as error:
            self._save_at_s = self._clock.monotonic() + self._save_backoff.next_s()
            log.error("the position of a destination cannot be saved", sink=self.id, error=str(error))
            return
        self._saved = body
        self._save_backoff.reset()
        self._save_at_s = self._clock.monotonic() + SAVE_S

    def _failing_s(self) -> float:
        """Return how long ago the destination last took something, counted from its first failure."""
        return 0.0 if self._failing_since_s is None else self._clock.monotonic() - self._failing_since_s

    def _up(self) -> None:
        """The destination took something, or there is nothing it could refuse: only then an outage is over."""
        self._failing_since_s = None
        self._health.error = ""
        self._turn("up", log.info, "destination up", pending=self.pending)

    def _down(self, error: str) -> None:
        self._health.downs += 1
        if self._failing_since_s is None:
            self._failing_since_s = self._clock.monotonic()
        self._health.error = error
        self._turn("down", log.warning, "destination down; messages wait in the outbox", error=error)

    def _turn(self, state: str, say: Callable[..., object], event: str, **more: object) -> None:
        """Note the state and tell a change; a destination that flaps is told seldom, with the changes left unsaid."""
        self._health.state = state
        unsaid = self._turns.turn(state, self._clock.monotonic())
        if unsaid is not None:
            say(event, sink=self.id, **more, unsaid=unsaid or None)

    def _record(self, entries: Sequence[Entry], refusals: Sequence[Refusal]) -> None:
        """Record refused messages and tell them."""
        rows = [(entries[refusal.index], refusal.reason) for refusal in refusals]
        for entry, why in rows:
            self.positions.refuse(entry.seq, why)
        last, why = rows[-1]
        self._untold += len(rows)
        log.error(
            "destination refuses messages for good; recorded and skipped",
            sink=self.id,
            messages=len(rows),
            seq=last.seq,
            kind=last.kind,
            reason=why,
        )
        if self._seldom.may(self._clock.monotonic()):
            count, self._untold = self._untold, 0
            self._notice(
                "message_refused", self.id, seq=str(last.seq), message=last.kind, count=count, reason=why
            )

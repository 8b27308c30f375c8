"""Delivery: one task per sink takes batches from its reader, hands them over and advances on acknowledgement.

Live readings first, backlog behind them at a limited rate. A sink that is away costs nothing but its own lag: the
journal keeps the readings, polling never waits. A frame the destination refuses for good is recorded with its
reason and skipped.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from gateway.backoff import Backoff
from gateway.clock import sleep_for
from gateway.errors import SinkUnavailable, StorageError
from gateway.journal.store import RefusalRow
from gateway.log import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.health import SinkHealth
    from gateway.interfaces import Clock, Sink
    from gateway.journal.journal import Journal
    from gateway.journal.reader import Reader
    from gateway.model import Batch, Refusal

PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 30.0
ASKED_MAX_S = 300.0  # a destination that asks for more is asked again sooner
OUTAGE_S = 5.0  # what waited longer than this for its sink is backlog
BACKLOG_PATIENCE_S = (
    1.0  # a backlog that waited this long behind live readings comes first once, so it never starves
)

log = structlog.get_logger("deliver")


class Deliverer:
    """The task that owns one sink."""

    def __init__(
        self,
        id_: str,
        sink: Sink,
        reader: Reader,
        journal: Journal,
        clock: Clock,
        health: SinkHealth,
        *,
        flush_s: float = 0.0,
        backlog_rate: float = 50_000.0,
        pause_max_s: float = PAUSE_MAX_S,
    ) -> None:
        """flush_s: live frames are collected this long before a write, unless a whole batch waits.

        backlog_rate: readings/s while catching up.
        """
        self.id = id_
        self.reader = reader
        self._sink, self._journal, self._clock, self._health = sink, journal, clock, health
        self._flush_s, self._backlog_rate = flush_s, backlog_rate
        self._backoff = Backoff(PAUSE_FIRST_S, pause_max_s)
        self._backlog_at_s = 0.0
        self._written_s = clock.monotonic() - flush_s
        self._failing_since_s: float | None = float("-inf") if reader.pending else None
        self._draining = asyncio.Event()
        self._turns = Turns(clock.monotonic(), "")

    async def run(self) -> None:
        """Deliver for ever, through every outage of the destination."""
        try:
            while True:
                try:
                    await self._sink.open()
                    if not self.reader.pending:
                        self._up()
                    self.reader.shift(outage=self._failing_s() > OUTAGE_S)
                    await self._pump()
                except (SinkUnavailable, StorageError) as error:
                    asked_s = (error.retry_after_s if isinstance(error, SinkUnavailable) else None) or 0.0
                    pause_s = max(self._backoff.next_s(), min(asked_s, ASKED_MAX_S))
                    asked = f"; asked to wait {asked_s:g} s, waits {pause_s:g} s" if asked_s > 0 else ""
                    self._down(f"{error}{asked}")
                await self._sink.close()
                await sleep_for(self._clock, pause_s)
        finally:
            await self._sink.close()

    @property
    def pending(self) -> int:
        """Return how many readings are still to go."""
        return self.reader.pending

    def figures(self) -> dict[str, Any]:
        """Return how far it is, in readings."""
        reader = self.reader
        return {
            "delivered": reader.delivered,
            "pending": reader.pending,
            "backlog": reader.backlog,
            "refused": reader.refused,
            "missed": reader.missed,
        }

    def drain(self) -> None:
        """Stop collecting: the gateway is stopping, what is there goes out at once."""
        self._draining.set()
        self.reader.awake.set()

    def _failing_s(self) -> float:
        """Return how long ago the sink last took something, counted from its first failure."""
        return 0.0 if self._failing_since_s is None else self._clock.monotonic() - self._failing_since_s

    def _up(self) -> None:
        """The sink took something, or there is nothing it could refuse: only then an outage is over."""
        self._failing_since_s = None
        self._health.error = ""
        self._turn("up", log.info, "sink up", pending=self.reader.pending)

    def _down(self, error: str) -> None:
        self._health.downs += 1
        if self._failing_since_s is None:
            self._failing_since_s = self._clock.monotonic()
        self._health.error = error
        self._turn("down", log.warning, "sink down; readings wait in the journal", error=error)

    def _turn(self, state: str, say: Callable[..., object], event: str, **more: object) -> None:
        """Note the state and tell a change; a sink that flaps is told seldom, with the changes left unsaid."""
        self._health.state = state
        unsaid = self._turns.turn(state, self._clock.monotonic())
        if unsaid is not None:
            say(event, sink=self.id, **more, unsaid=unsaid or None)

    async def _pump(self) -> None:
        """Hand over batch after batch. Raises SinkUnavailable."""
        while True:
            batch = await self._next()
            if not batch.frames:
                self.reader.acknowledge(0, 0)
                continue
            refusals = await self._sink.write(batch)
            self._backoff.reset()
            self._up()
            self._health.batches += 1
            now_s = self._clock.monotonic()
            refused = self._record(batch, refusals) if refusals else 0
            readings = batch.readings
            if batch.backfill:
                self._backlog_at_s = now_s + readings / self._backlog_rate
            else:
                self._written_s = now_s
            self.reader.acknowledge(readings - refused, refused)

    async def _next(self) -> Batch:
        """Wait for and return the next batch."""
        while True:
            now_s = self._clock.monotonic()
            collect_s = self._written_s + self._flush_s - now_s
            collects = collect_s > 0 and not self.reader.full and not self._draining.is_set()
            pause_s = self._backlog_at_s - now_s
            has_backlog = self.reader.backlog > 0
            starved = pause_s <= -BACKLOG_PATIENCE_S and has_backlog
            if not collects or (has_backlog and pause_s <= 0):  # a backlog has been collected long since
                batch = await self.reader.take(backlog=pause_s <= 0, live=not starved and not collects)
                if batch is not None:
                    return batch
            delays_s = [pause_s] if pause_s > 0 and has_backlog else []
            if collects:
                await self._wait(self._draining, min([collect_s, *delays_s]))
            else:
                await self._wait(self.reader.awake, min(delays_s, default=None))

    async def _wait(self, event: asyncio.Event, delay_s: float | None) -> None:
        """Wait for `event`, at most `delay_s`."""
        try:
            async with asyncio.timeout(delay_s):
                await event.wait()
        except TimeoutError:
            return

    def _record(self, batch: Batch, refusals: list[Refusal]) -> int:
        """Record refused frames; return how many readings they carry."""
        rows = []
        for refusal in refusals:
            frame = batch.frames[refusal.index]
            rows.append(
                RefusalRow(
                    self.id, frame.layout.meter, frame.epoch, frame.time_ns, len(frame.flags), refusal.reason
                )
            )
        self._journal.refuse(rows)
        readings = sum(row.readings for row in rows)
        log.error(
            "destination refuses readings for good; recorded and skipped",
            sink=self.id,
            readings=readings,
            meter=rows[0].meter,
            reason=rows[0].reason,
        )
        return readings

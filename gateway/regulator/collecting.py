"""From a broker into a database: a message is acknowledged once the database has its lines, and not before.

Written twice has the effect of once (gateway.feed.lines), so whatever is interrupted may be done again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import ValidationError

from gateway.backoff import Backoff
from gateway.clock import sleep_for
from gateway.errors import SinkUnavailable
from gateway.feed import jws
from gateway.feed.lines import encode
from gateway.feed.trust import Verdict
from gateway.regulator.messages import HOSTILE, check_origin, content, fault_of, place

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.interfaces import Clock
    from gateway.model import Refusal
    from gateway.regulator.key_folder import KeyFolder
    from gateway.regulator.subscriber import Delivery, Message, Subscriber

T = TypeVar("T")
_REASONS = {Verdict.BAD: "bad_signature", Verdict.UNKNOWN: "unknown_key", Verdict.RETIRED: "retired_key"}
TOPICS = "data", "backfill", "summary", "fitting"  # what becomes lines, also what was late
BATCH_BYTES = 1024 * 1024  # of messages
PAUSES_S = 0.5, 30.0  # between attempts at a database that takes nothing
LOOK_S, QUIET = 0.5, 6  # nothing came at so many looks in a row: there is no more
SITES_MAX = 10_000  # counted
TOLD_MAX = 100  # what was not written is told one by one up to here, then by the thousand


class Database(Protocol):
    """Where lines go."""

    async def open(self) -> None:
        """Connect. Raises SinkUnavailable."""

    async def write_lines(self, lines: Sequence[bytes]) -> list[Refusal]:
        """Return the lines refused for good, once every other is stored. Raises SinkUnavailable: none may be taken for stored."""

    async def close(self) -> None:
        """Close; never raises."""


def filters(prefix: str, group: str) -> list[str]:
    """Return the shared subscriptions of a group of collectors."""
    return [f"$share/{group}/{prefix}/+/+/+/{topic}" for topic in TOPICS]


@dataclass
class Collected:
    """What was done so far. unwritten: reason -> what was acknowledged and not written: messages, of `refused` lines."""

    messages: int = 0
    lines: int = 0
    batches: int = 0
    failures: int = 0
    unwritten: Counter[str] = field(default_factory=Counter)
    sites: dict[str, str] = field(default_factory=dict)  # -> CHAIN:SEQ that came last

    def body(self, subscriber: Subscriber) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "messages": self.messages,
            "lines": self.lines,
            "batches": self.batches,
            "unwritten": dict(self.unwritten),
            "sites": len(self.sites),
            "database_failures": self.failures,
            "connected": subscriber.is_connected,
            "broker_losses": subscriber.losses,
            "sessions_lost": subscriber.sessions_lost,
            "dropped": subscriber.dropped,
        }


class Collector:
    """Carries batches from a subscription to a database, for ever."""

    def __init__(
        self,
        subscriber: Subscriber,
        database: Database,
        clock: Clock,
        *,
        prefix: str,
        trusted: KeyFolder | None = None,
        age_s: float = 0.5,
        told: Callable[[str], None],
    ) -> None:
        """trusted: None: signatures are not looked at. age_s: a batch waits no longer for more. told: gets a line for what went wrong."""
        self.done = Collected()
        self._subscriber, self._database, self._clock = subscriber, database, clock
        self._prefix, self._trusted, self._age_s, self._told = prefix, trusted, age_s, told
        self._backoff = Backoff(*PAUSES_S)
        self._is_open = False

    async def run(self, stop: asyncio.Event) -> None:
        """Carry batches until `stop` is set; what is under way then stays the broker's. Raises BrokerAway if going on is hopeless."""
        try:
            while not stop.is_set():
                batch = await _unless(stop, self._batch())
                if batch is None or await _unless(stop, self._store(batch)) is None:
                    return
        finally:
            await self._database.close()

    async def run_out(self, stop: asyncio.Event) -> bool:
        """Carry what the broker kept; return whether that was all and the session is over. Raises BrokerAway if going on is hopeless."""
        running = asyncio.ensure_future(self.run(stop))
        try:
            quiet = 0
            while quiet < QUIET and not running.done():
                before = self.done.messages
                await sleep_for(self._clock, LOOK_S)
                quiet = quiet + 1 if self._subscriber.is_idle and self.done.messages == before else 0
            if quiet == QUIET:
                self._subscriber.end_session()
        finally:
            stop.set()
            await running
        return quiet == QUIET

    async def _batch(self) -> list[Delivery]:
        """Return messages in the order they came: what is there within `age_s` after the first, up to a limit."""
        most = self._subscriber.session.receive_max
        batch = await self._subscriber.take(most)
        try:
            async with asyncio.timeout(self._age_s):
                while len(batch) < most and _bytes(batch) < BATCH_BYTES:
                    batch += await self._subscriber.take(most - len(batch))
        except TimeoutError:
            pass
        return batch

    async def _store(self, batch: list[Delivery]) -> bool:
        """Return True when the database has the batch and the broker knows; tries as often as it takes."""
        lines, owners = await asyncio.to_thread(
            self._lines, batch
        )  # the loop, and its keepalive, go on meanwhile
        refusals = await self._write(lines) if lines else []
        for refusal in refusals:
            told = f"{lines[refusal.index][:120].decode(errors='replace')}: {refusal.reason}"
            self._unwritten("refused", owners[refusal.index], told)
        self._subscriber.acknowledge(batch)
        self.done.batches += 1
        self.done.messages += len(batch)
        self.done.lines += len(lines) - len(refusals)
        return True

    def _lines(self, batch: Sequence[Delivery]) -> tuple[list[bytes], list[Message]]:
        """Return the lines of a batch, and the message each one is of."""
        lines: list[bytes] = []
        owners: list[Message] = []  # of each line
        for delivery in batch:
            text = self._text(delivery.message)
            own = text.split(b"\n") if text else []
            lines += own
            owners += [delivery.message] * len(own)
        return lines, owners

    async def _write(self, lines: list[bytes]) -> list[Refusal]:
        while True:
            try:
                if not self._is_open:
                    await self._database.open()
                    self._is_open = True
                refusals = await self._database.write_lines(lines)
            except SinkUnavailable as error:
                self.done.failures += 1
                pause_s = self._backoff.next_s() if error.retry_after_s is None else error.retry_after_s
                self._told(f"{error}; nothing is acknowledged, next try in {pause_s:.1f} s")
                await self._clock.sleep_until(self._clock.monotonic() + pause_s)
            else:
                self._backoff.reset()
                return refusals

    def _text(self, message: Message) -> bytes:
        """Return the lines of a message; none if it has none, or must not be written, which is counted and told."""
        try:
            at = place(self._prefix, message.topic)
            parsed = jws.parse(message.payload)
            body = content(parsed)
            check_origin(at, body)
            if self._trusted is not None:
                verdict = self._trusted.judge(parsed, at.site)
                if verdict is not Verdict.GOOD:
                    seq = f"chain {str(body.get('chain'))[:40]} seq {str(body.get('seq'))[:20]}"
                    self._unwritten(_REASONS[verdict], message, f"{seq}, signed as {parsed.header.kid[:80]}")
                    return b""
            text = encode(body)
            newest = f"{str(body['chain'])[:200]}:{str(body['seq'])[:40]}"
        except HOSTILE as error:
            why = fault_of(error) if isinstance(error, ValidationError) else str(error)
            self._unwritten("malformed", message, why)
            return b""
        if at.site in self.done.sites or len(self.done.sites) < SITES_MAX:
            self.done.sites[at.site] = newest
        return text

    def _unwritten(self, reason: str, message: Message, why: str) -> None:
        self.done.unwritten[reason] += 1
        count = self.done.unwritten[reason]
        if count <= TOLD_MAX or count % 1000 == 0:
            self._told(f"not written, {reason} ({count}): {message.topic[:200]}: {why[:400]}")


def _bytes(batch: Sequence[Delivery]) -> int:
    return sum(len(delivery.message.payload) for delivery in batch)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what `work` returns, or None if `stop` was set first; then `work` is cancelled."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)

"""History, intervals and feed of a running gateway: made together, drained and closed in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from gateway.config.difference import difference
from gateway.config.sinks import FEED_KINDS
from gateway.control.requests import BadRequest, number, one_of, only, text
from gateway.derive.deriver import Deriver
from gateway.derive.following import Following
from gateway.derive.keeper import Keeper
from gateway.derive.marks import Marks
from gateway.derive.site_grid import grid_of
from gateway.derive.untold import Untold
from gateway.dispatch import Dispatcher
from gateway.errors import StorageError
from gateway.feed.positions import Positions
from gateway.history.history import History
from gateway.inventory.revisions import FOLDER, Revisions
from gateway.journal.store import StorageDamaged
from gateway.model import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.config.sinks import SinkConfig
    from gateway.control.server import Answer
    from gateway.derive.messenger import Messenger
    from gateway.derive.rating import Rating
    from gateway.feed.entries import Destination
    from gateway.health import Health, SinkHealth
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal
    from gateway.replay.rules import Rules

ROTATE_S = 30.0
NO_FEED = "this gateway has no feed: no sink of kind feed or feed-influx is configured"
HELD = {"closed_until_ns": 0, "behind": 0, "waiting": 0, "too_late": 0, "unexplained": 0}
NOTHING_SENT = {"delivered": 0, "pending": 0, "backlog": 0, "refused": 0, "missed": 0}

log = structlog.get_logger("feed")


class Derivation:
    """Everything that follows from the journal but plain delivery of readings."""

    def __init__(self, site: Site, library: Library, clock: Clock, *, inline: bool) -> None:
        """inline: no writer thread (virtual time). Raises StorageError."""
        self._site, self._library, self._clock = site, library, clock
        own = site.history
        self.history = History(
            site.gateway.state_dir, clock, size_max=own.size_max_bytes, keep_s=own.keep_s, inline=inline
        )
        self.dispatchers: list[Dispatcher] = []
        self._messenger: Messenger | None = None
        self.held = ""  # why nothing is derived
        self._following = Following(Revisions(site.gateway.state_dir / FOLDER), Marks(site.site.timezone))
        self.deriver: Deriver
        self._keeper: Keeper
        self._rating: Rating | None = None

    async def changes(self, digest: str) -> dict[str, object]:
        """Return what differs between the site file of a digest and the one in force, for the event; {}: it is not known."""
        try:
            before = await self.history.read(lambda store: store.config(digest)) if digest else None
        except StorageError as error:  # `open` does what can be done about it
            log.error("the site file before cannot be read", error=str(error))
            before = None
        if before is None:
            return {}
        return {"changes": difference(orjson.loads(before.body), dict(self._site.body))}

    async def open(
        self,
        journal: Journal,
        events: EventLog,
        health: Health,
        new_destination: Callable[[SinkConfig, Site, Clock], Destination],
        rules: Rules,
    ) -> None:
        """Go on where the history ends; one that turns out damaged is begun anew. rules: of all replays. Raises StorageError."""
        given = journal, events, health, new_destination, rules
        await self._following.look()
        try:
            await self._open(*given)
        except StorageDamaged:
            await self.history.begin_anew()
            self.dispatchers = []
            await self._open(*given)

    async def _open(
        self,
        journal: Journal,
        events: EventLog,
        health: Health,
        new_destination: Callable[[SinkConfig, Site, Clock], Destination],
        rules: Rules,
    ) -> None:
        is_new = self.history.is_new
        feeds = [sink for sink in self._site.sinks if isinstance(sink, FEED_KINDS)]
        if feeds and not await self._sign([health.sinks[config.id] for config in feeds]):
            return
        self.deriver = Deriver(
            self._site,
            journal,
            self.history,
            self._clock,
            events,
            self._messenger,
            rules,
            self._following.marks,
        )
        self.deriver.untold = Untold(await self.history.read(lambda store: store.state("untold")))
        await self.deriver.open()
        if self._messenger is not None and (paused := self.deriver.untold.resume()):
            log.warning("no feed was configured for a time; its intervals were not told", **paused)
            self.deriver.tell(Event(self._clock.wall_ns(), "feed_paused", self._site.gateway.id, paused))
        for config in feeds:
            self.dispatchers.append(
                Dispatcher(
                    config.id,
                    new_destination(config, self._site, self._clock),
                    self.history,
                    self._clock,
                    health.sinks[config.id],
                    body=self.history.destination(config.id),
                    first=1 if is_new else None,
                    backlog_rate=config.backlog_rate,
                    notice=events.note,
                    place=self._messenger.place if self._messenger else "",
                    former=self._messenger.former if self._messenger else (),
                )
            )
        self._forget_others([config.id for config in feeds])
        self._keeper = Keeper(
            self._site, journal, self.deriver, events, self._clock, self._following, self._rating
        )

    async def _sign(self, sinks: Sequence[SinkHealth]) -> bool:
        """Make what signs and what it has to tell beside intervals; return whether it can. Raises StorageDamaged."""
        # What signs is some 10 MB, which a gateway without a feed does not need.
        from gateway.derive.messenger import Messenger
        from gateway.derive.rating import Rating
        from gateway.feed.keys import KeyRing

        try:
            keys = KeyRing(self._site.gateway.state_dir, self._site.gateway.id)
            keys.settle(self.history.kid, await self._announced())
        except StorageDamaged:
            raise
        except StorageError as error:
            self._hold(str(error), sinks)
            return False
        grid, marks = grid_of(self._site), self._following.marks
        self._messenger = Messenger(self._site, self._library, self._clock, grid, keys, marks)
        self._rating = Rating(self._site, self._library, self._messenger)
        return True

    async def _announced(self) -> list[str]:
        """Return the kids of the keys that were announced. Raises StorageError."""
        told = await self.history.read(lambda store: [*store.events(kinds=["key_rotated"])])
        keys = [event.detail.get("key") for event in told]
        return [str(key["kid"]) for key in keys if isinstance(key, dict) and "kid" in key]

    def _forget_others(self, names: list[str]) -> None:
        """Forget destinations that are not in the site file any more, and tell what was still to go to them."""
        outbox = self.history
        others = outbox.other_destinations(names)
        for name, body in others.items():
            positions = Positions.from_json(
                body, outbox.chain, oldest=outbox.oldest, following=outbox.following
            )
            pending = positions.pending(outbox.following)
            if not pending:
                continue
            first = min((positions.live, *(span.first for span in positions.backlog)))
            last = outbox.following - 1
            log.warning(
                "a destination is removed; messages were still to go to it",
                sink=name,
                messages=pending,
                advice=f"metergate feed resend {first} {last} --sink ID sends them to another one",
            )
            detail = {"messages": pending, "first_seq": str(first), "last_seq": str(last)}
            self.deriver.tell(Event(self._clock.wall_ns(), "destination_removed", name, detail))
        self.deriver.forget(list(others))

    def _hold(self, error: str, sinks: Sequence[SinkHealth]) -> None:
        """Derive nothing: what is not signed now would be missing from the feed for ever; the journal keeps it until the key is there."""
        self.held = (
            f"the feed cannot be signed: {error}; intervals wait in the journal. Then restart the gateway"
        )
        log.error("the feed cannot be signed; intervals wait in the journal", error=error)
        for sink in sinks:
            sink.state, sink.error = "down", self.held

    async def run(self) -> None:
        """Derive for ever."""
        if self.held:
            await asyncio.Event().wait()
        await self.deriver.run()

    async def keep(self) -> None:
        """Keep the inventory for ever: what was applied, who is in doubt, what is due; rates for the feed."""
        if self.held:
            await asyncio.Event().wait()
        await self._keeper.run()

    async def drain(self, end_s: float) -> None:
        """Derive what is journaled and commit it: the gateway is stopping. Returns at `end_s` at the latest."""
        if self._rating is not None:
            self._rating.is_stopping = True
        if not self.held:
            await self.deriver.drain(end_s)

    def answers(self) -> dict[str, Answer]:
        """Return verb -> who answers it."""
        return {"feed_rotate": self._rotate, "feed_resend": self._resend}

    async def _rotate(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Change the key of the feed: {"by", "why"}; the answer comes once it is in force. Raises BadRequest, StorageError."""
        only(request, "by", "why")
        if self._messenger is None:
            raise BadRequest(self.held or NO_FEED)
        by, why = text(request, "by", ""), text(request, "why", None)
        if self._messenger.is_rotating:
            raise BadRequest(
                "the key is being changed already; its event waits for the history: ask again later"
            )
        before = self._messenger.keys.current
        self.deriver.tell(self._messenger.rotate(by, why))
        try:
            async with asyncio.timeout(ROTATE_S):
                await self._messenger.adopted.wait()
        except TimeoutError as error:
            raise StorageError(
                f"the new key is not in force after {ROTATE_S:g} s: the history cannot be written; it will be as soon as it can"
            ) from error
        log.warning(
            "the key of the feed is another one", before=before.kid, after=self._messenger.keys.current.kid
        )
        return self._messenger.keys.current.body | {"before": before.kid}

    async def _resend(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Send messages again: {"first", "until", "sink"}; `until` itself excluded, sink "": all. Raises BadRequest."""
        only(request, "first", "until", "sink")
        if not self.dispatchers:
            raise BadRequest(self.held or NO_FEED)
        first, until = (round(number(request, key, 1, 1 << 53)) for key in ("first", "until"))
        if first >= until:
            raise BadRequest(f"first: {first} is not before until, {until}")
        by_id = {dispatcher.id: dispatcher for dispatcher in self.dispatchers}
        named = one_of(request, "sink", by_id) if request.get("sink") else ""
        counts = {
            id_: dispatcher.resend(first, until) for id_, dispatcher in by_id.items() if named in ("", id_)
        }
        return {"messages": counts, "oldest": self.history.oldest, "following": self.history.following}

    def figures(self) -> dict[str, Any]:
        """Return the state of history, intervals and feed."""
        return {
            "history": self.history.figures(),
            "intervals": (HELD if self.held else self.deriver.figures()) | {"held": self.held},
            "feed": {} if self._messenger is None else self._messenger.figures(),
            "inventory": self._following.figures(),
        }

    def sink_figures(self) -> dict[str, dict[str, Any]]:
        """Return sink of the feed -> how far it is, in messages."""
        if self.held:
            return {sink.id: dict(NOTHING_SENT) for sink in self._site.sinks if isinstance(sink, FEED_KINDS)}
        return {dispatcher.id: dispatcher.figures() for dispatcher in self.dispatchers}

    async def close(self) -> None:
        """Close the history; may be called twice."""
        await self.history.close()

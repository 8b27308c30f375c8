"""History, intervals and feed of a running gateway: made together, drained and closed in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from gateway.config.difference import difference
from gateway.config.sinks import FEED_KINDS
from gateway.control.requests import BadRequest, number, one_of, only, text
from gateway.derive.deriver import Deriver, grid_of
from gateway.dispatch import Dispatcher
from gateway.history.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.config.sinks import SinkConfig
    from gateway.control.server import Answer
    from gateway.derive.messenger import Messenger
    from gateway.feed.entries import Destination
    from gateway.health import Health
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal

ROTATE_S = 30.0

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
        self.deriver: Deriver

    async def changes(self, digest: str) -> dict[str, object]:
        """Return what differs between the site file of a digest and the one in force, for the event; {}: it is not known."""
        before = await self.history.read(lambda store: store.config(digest)) if digest else None
        if before is None:
            return {}
        return {"changes": difference(orjson.loads(before.body), dict(self._site.body))}

    async def open(
        self,
        journal: Journal,
        events: EventLog,
        health: Health,
        new_destination: Callable[[SinkConfig, Site, Clock], Destination],
    ) -> None:
        """Go on where the history ends. Raises StorageError."""
        is_new = self.history.is_new
        feeds = [sink for sink in self._site.sinks if isinstance(sink, FEED_KINDS)]
        if feeds:
            # What signs is some 10 MB, which a gateway without a feed does not need.
            from gateway.derive.messenger import Messenger
            from gateway.feed.keys import KeyRing

            keys = KeyRing(self._site.gateway.state_dir, self._site.gateway.id)
            keys.settle(self.history.kid)
            self._messenger = Messenger(self._site, self._library, self._clock, grid_of(self._site), keys)
        self.deriver = Deriver(self._site, journal, self.history, self._clock, events, self._messenger)
        await self.deriver.open()
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
                )
            )
        await self.history.forget_other_destinations([config.id for config in feeds])

    def answers(self) -> dict[str, Answer]:
        """Return verb -> who answers it."""
        return {"feed_rotate": self._rotate, "feed_resend": self._resend}

    async def _rotate(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Change the key of the feed: {"by", "why"}; the answer comes once it is in force. Raises BadRequest, StorageError."""
        only(request, "by", "why")
        if self._messenger is None:
            raise BadRequest("this gateway has no feed: no sink of kind feed or feed-influx is configured")
        by, why = text(request, "by", ""), text(request, "why", None)
        before = self._messenger.keys.current
        self.deriver.tell(self._messenger.rotate(by, why))
        async with asyncio.timeout(ROTATE_S):
            await self._messenger.adopted.wait()
        log.warning(
            "the key of the feed is another one", before=before.kid, after=self._messenger.keys.current.kid
        )
        return self._messenger.keys.current.body | {"before": before.kid}

    async def _resend(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Send messages again: {"first", "until", "sink"}; `until` itself excluded, sink "": all. Raises BadRequest."""
        only(request, "first", "until", "sink")
        if not self.dispatchers:
            raise BadRequest("this gateway has no feed: no sink of kind feed or feed-influx is configured")
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
            "intervals": self.deriver.figures(),
            "feed": {} if self._messenger is None else self._messenger.figures(),
        }

    async def close(self) -> None:
        """Close the history; may be called twice."""
        await self.history.close()

"""What a subscription to everything shows: each site's figures, the state of its chain, and what is not in order.

Nothing counts before a trusted key was seen to have signed it, and what anybody can send takes a bounded room.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.clock import sleep_for
from gateway.feed.verify import Verifier
from gateway.model import MS_NS
from gateway.regulator.live import Site, body, take
from gateway.regulator.messages import HOSTILE, model, place, state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.feed.keys import PublicKey
    from gateway.feed.verify import Accepted
    from gateway.interfaces import Clock
    from gateway.regulator.subscriber import Message, Subscriber

STATE, BACKFILL = "state", "backfill"
TOLD_MAX = 20  # findings in a report; all are counted
SITES_MAX = 2000  # watched at once
WAITING_BYTES = 8 * 1024 * 1024  # of messages, of all sites, whose key may still come


@dataclass
class Watched:
    """One site: its figures, and the verifier that follows its chains. told: the newest report, None after a message."""

    site: Site
    verifier: Verifier
    waiting: list[tuple[Accepted, Message]] = field(default_factory=list)
    misfits: int = 0
    misfit: str = ""
    told: dict[str, Any] | None = None

    def report(self) -> dict[str, Any]:
        """Return what its verifier found."""
        if self.told is None:
            self.told = self.verifier.report()
            found = [one for one in self.told["findings"] if one["severity"] == "finding"]
            self.told["findings"] = found[-TOLD_MAX:]
        return self.told


class Watcher:
    """Everything that is known of the sites under one prefix."""

    def __init__(self, prefix: str, keys: Mapping[str, Sequence[PublicKey]] | None = None) -> None:
        """prefix: topic levels before the region. keys: from paper, by REGION/ENTERPRISE/GATEWAY or GATEWAY.

        Without keys each gateway's first birth is believed.
        """
        self.sites: dict[str, Watched] = {}
        self.messages = self.left_out = 0
        self._prefix, self._keys = prefix, keys
        self._others = Verifier(() if keys is None else keys)  # on topics of no site
        self._waiting_bytes = 0
        self._gone: Counter[str] = Counter()  # findings of sites that made room

    def take(self, message: Message) -> None:
        """Take one message, whatever it is."""
        self.messages += 1
        try:
            at = place(self._prefix, message.topic)
        except HOSTILE:
            self._others.feed(message.topic[:200], message.retain, message.payload, line=self.messages)
            return
        watched = self._watched(at.site)
        if watched is None:
            self.left_out += 1
            return
        watched.told = None
        try:
            self._take(watched, at.rest, message)
        except HOSTILE as error:
            watched.misfits += 1
            watched.misfit = f"{message.topic[:200]}: {str(error)[:300]}"

    def _take(self, watched: Watched, rest: str, message: Message) -> None:
        accepted = watched.verifier.feed(message.topic, message.retain, message.payload, line=self.messages)
        if rest == STATE:
            if message.payload:
                watched.site.online = state(message.payload).online
            return
        if accepted is None:
            return
        if not watched.verifier.is_authentic(accepted):
            if self._waiting_bytes + len(message.payload) > WAITING_BYTES:
                self.left_out += 1
                return
            self._waiting_bytes += len(message.payload)
            watched.waiting.append((accepted, message))
            return
        self._count(watched, accepted, message)
        waiting, watched.waiting = watched.waiting, []
        for earlier, its_message in waiting:  # of the key that this message may have brought
            if watched.verifier.is_authentic(earlier):
                self._waiting_bytes -= len(its_message.payload)
                self._count(watched, earlier, its_message)
            else:
                watched.waiting.append((earlier, its_message))

    def _count(self, watched: Watched, accepted: Accepted, message: Message) -> None:
        late = message.topic.endswith(f"/{BACKFILL}")
        take(watched.site, model(accepted.payload), message.t_ms, late=late, retain=message.retain)

    def _watched(self, name: str) -> Watched | None:
        """Return a site; a new one if there is room, or if one that never had an authentic message makes it."""
        found = self.sites.get(name)
        if found is not None:
            return found
        if len(self.sites) >= SITES_MAX:
            stranger = next((one for one in self.sites.values() if not one.site.messages), None)
            if stranger is None:
                return None
            self._gone.update(stranger.report()["counts"])
            self.left_out += stranger.report()["messages"]
            self._waiting_bytes -= sum(len(message.payload) for _, message in stranger.waiting)
            del self.sites[stranger.site.name]
        new = Watched(Site(name), Verifier(() if self._keys is None else self._keys))
        self.sites[name] = new
        return new

    @property
    def found(self) -> int:
        """Return how many findings there are."""
        return self._gone.total() + sum(int(one["count"]) for one in self._reports())

    def _reports(self) -> list[dict[str, Any]]:
        return [*(one.report() for one in self.sites.values()), self._others.report()]

    def report(self, now_ms: int, *, meters: bool = False) -> dict[str, Any]:
        """Return all sites, those that need a look first, and what was found, newest last."""
        reports = self._reports()
        counts = Counter(self._gone)
        for told in reports:
            counts.update(told["counts"])
        findings = [one for told in reports for one in told["findings"]]
        rows = [_row(one, now_ms, meters=meters) for one in self.sites.values()]
        return {
            "messages": self.messages,
            "sites": sorted(rows, key=lambda row: (not needs_a_look(row), row["site"])),
            "left_out": self.left_out,
            "authentic": sum(told["authentic"] for told in reports),
            "findings": counts.total(),
            "notices": sum(told["notices"] for told in reports),
            "counts": dict(counts),
            "newest_findings": sorted(findings, key=lambda one: one["line"])[-TOLD_MAX:],
            "misfits": sum(row["misfits"] for row in rows),
        }


def _row(watched: Watched, now_ms: int, *, meters: bool) -> dict[str, Any]:
    """Return a site with its chains in one: the newest one's id and place, and what was found in any of them."""
    told = watched.report()
    chains = told["chains"]
    newest = chains[-1] if chains else {"chain": "", "last": None}
    return body(watched.site, now_ms, meters=meters) | {
        "chain": {
            "chain": newest["chain"],
            "last": newest["last"],
            "messages": told["batches"],
            "authentic": told["authentic"],
            "missing": sum(chain["holes"] for chain in chains),
            "findings": told["count"],
            "kinds": told["counts"],
        },
        "misfits": watched.misfits,
        "misfit": watched.misfit,
    }


def needs_a_look(row: Mapping[str, Any]) -> bool:
    """Return whether a site is offline, or something of its chain or messages is not in order."""
    return row["online"] is False or bool(row["misfits"] or row["chain"]["findings"])


async def watch(
    subscriber: Subscriber,
    watcher: Watcher,
    clock: Clock,
    show: Callable[[int], None],
    *,
    every_s: float,
    for_s: float | None,
    stop: asyncio.Event,
) -> None:
    """Show what is known every so often, and at the end, until `stop` is set or `for_s` is over. Raises BrokerAway.

    show: gets the time in ms since 1970.
    """
    tasks = [
        asyncio.ensure_future(_take_all(subscriber, watcher)),
        asyncio.ensure_future(_tick(clock, show, every_s)),
        asyncio.ensure_future(stop.wait()),
    ]
    if for_s is not None:
        tasks.append(asyncio.ensure_future(sleep_for(clock, for_s)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    show(clock.wall_ns() // MS_NS)


async def _take_all(subscriber: Subscriber, watcher: Watcher) -> None:
    async for message in subscriber.messages():
        watcher.take(message)


async def _tick(clock: Clock, show: Callable[[int], None], every_s: float) -> None:
    while True:
        await sleep_for(clock, every_s)
        show(clock.wall_ns() // MS_NS)

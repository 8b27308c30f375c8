"""What a subscription to everything shows: each site's figures, the state of its chain, and what is not in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from gateway.clock import sleep_for
from gateway.feed.jws import Malformed
from gateway.feed.verify import Verifier
from gateway.model import MS_NS
from gateway.regulator.live import Live, body
from gateway.regulator.messages import model, place, state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.feed.keys import PublicKey
    from gateway.interfaces import Clock
    from gateway.regulator.subscriber import Message, Subscriber

STATE, BACKFILL = "state", "backfill"
TOLD_MAX = 20  # findings in a report; all are counted


class Watcher:
    """Everything that is known of the sites under one prefix."""

    def __init__(self, prefix: str, keys: Sequence[PublicKey] = ()) -> None:
        """prefix: topic levels before the region. keys: from paper; none: each gateway's first birth is believed."""
        self.live = Live()
        self.messages = self.found = 0
        self.misfits: Counter[str] = Counter()  # site -> messages that are signed and not of the contract
        self._last_misfits: dict[str, str] = {}
        self._prefix = prefix
        self._verifier = Verifier(keys)

    def take(self, message: Message) -> None:
        """Take one message, whatever it is."""
        self.messages += 1
        site = ""
        try:
            at = place(self._prefix, message.topic)
            site = at.site
            accepted = self._verifier.feed(message.topic, message.retain, message.payload)
            if at.rest == STATE and message.payload:
                self.live.state(site, state(message.payload))
            elif accepted is not None:
                late = at.rest == BACKFILL
                found = model(accepted.payload)
                self.live.take(site, found, message.t_ms, late=late, retain=message.retain)
        except (Malformed, ValueError) as error:
            self.misfits[site] += 1
            self._last_misfits[site] = f"{message.topic[:200]}: {str(error)[:300]}"

    def report(self, now_ms: int, *, meters: bool = False) -> dict[str, Any]:
        """Return all sites, those that need a look first, and what was found, newest last."""
        told = self._verifier.report()
        self.found = told["count"]
        chains = _by_site(told)
        rows = [
            body(site, now_ms, meters=meters)
            | {
                "chain": chains.get(name, _NO_CHAIN),
                "misfits": self.misfits[name],
                "misfit": self._last_misfits.get(name, ""),
            }
            for name, site in self.live.sites.items()
        ]
        return {
            "messages": self.messages,
            "sites": sorted(rows, key=lambda row: (not needs_a_look(row), row["site"])),
            "authentic": told["authentic"],
            "findings": told["count"],
            "notices": told["notices"],
            "counts": told["counts"],
            "newest_findings": [one for one in told["findings"] if one["severity"] == "finding"][-TOLD_MAX:],
            "misfits": self.misfits.total(),
        }


_NO_CHAIN: dict[str, Any] = {
    "chain": "",
    "last": None,
    "messages": 0,
    "authentic": 0,
    "missing": 0,
    "findings": 0,
    "kinds": {},
}


def _by_site(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each site's chains in one: the newest one's id and place, and what was found in any of them."""
    sites: dict[str, dict[str, Any]] = {}
    owners = {}
    for chain in told["chains"]:
        owners[chain["chain"]] = site = chain["gateway"]
        before = sites.get(site, _NO_CHAIN)
        sites[site] = {
            "chain": chain["chain"],
            "last": chain["last"],
            "messages": before["messages"] + chain["messages"],
            "authentic": before["authentic"] + chain["authentic"],
            "missing": before["missing"] + chain["holes"],
            "findings": 0,
            "kinds": {},
        }
    for finding in told["findings"]:
        site = owners.get(finding["chain"])
        if site is not None and finding["severity"] == "finding":
            kinds = sites[site]["kinds"]
            kinds[finding["kind"]] = kinds.get(finding["kind"], 0) + 1
            sites[site]["findings"] += 1
    return sites


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

"""Certificates of sinks that end: told once each, thirty days ahead, while the gateway runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.clock import iso, sleep_for
from gateway.config.certificate_ends import End, sink_ends

if TYPE_CHECKING:
    from gateway.config.models import Site
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog

LOOK_S = 86_400.0

log = structlog.get_logger("certificates")


async def watch_certificates(site: Site, events: EventLog, clock: Clock) -> None:
    """Journal `certificate_expires` for each certificate of a sink that ends within 30 days; looks once a day, for ever."""
    told: set[End] = set()
    while True:
        for end in sink_ends(site, clock.wall_ns()):
            if end not in told:
                told.add(end)
                log.warning("certificate ends", sink=end.sink, whose=end.whose, on=iso(end.until_ns)[:10])
                events.note(
                    "certificate_expires",
                    end.sink,
                    whose=end.whose,
                    fingerprint=end.fingerprint,
                    until_ns=end.until_ns,
                )
        await sleep_for(clock, LOOK_S)

"""The gateway itself: everything assembled, run under one task group, drained and stopped."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from gateway import __version__, assembly
from gateway.certificate_watch import watch_certificates
from gateway.clock import sleep_for
from gateway.config.sinks import FEED_KINDS
from gateway.control.server import ControlServer, check_path
from gateway.control.verbs import Verbs
from gateway.deliver import Deliverer
from gateway.derive.derivation import Derivation
from gateway.health import Health, LinkHealth, MeterHealth, SinkHealth
from gateway.journal.event_log import EventLog
from gateway.journal.journal import Journal
from gateway.log import dropped_lines
from gateway.notify import notify, watchdog
from gateway.plan_log import PlanLog
from gateway.polling.poll import LinkPoller
from gateway.polling.recorder import Recorder, watch_clock
from gateway.replay.rules import Rules
from gateway.supervise import supervise
from gateway.targets import SiteDirectory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from drivers.profiles import Library
    from gateway.config.links import LinkConfig
    from gateway.config.models import Site
    from gateway.config.sinks import SinkConfig
    from gateway.control.maintenance import Maintenance
    from gateway.control.server import Answer
    from gateway.dispatch import Dispatcher
    from gateway.feed.entries import Destination
    from gateway.interfaces import Clock, Directory, Link, Sink

    Drained = Deliverer | Dispatcher

STOP_S = 4.0  # of the 5 s a stop may take; the rest is for closing the journal and the interpreter
CLOSE_LINKS_S = 1.0
GOODBYE_S = 1.0
LAG_MAX_S = 10.0  # the event loop is called stuck when it has not come round for this long

log = structlog.get_logger("gateway")


class Gateway:
    """A running gateway; built from a site that has been checked."""

    def __init__(
        self,
        site: Site,
        library: Library,
        clock: Clock,
        *,
        links: Callable[[LinkConfig, Clock], Link] | None = None,
        sinks: Callable[[SinkConfig, Directory, Clock], Sink] = assembly.sink,
        destinations: Callable[..., Destination] = assembly.destination,
        inline_journal: bool = False,
        control: bool = True,
        reraise: bool = False,
    ) -> None:
        """links, sinks, destinations: make what a table describes; None: what the assembly makes. inline_journal: no writer thread (virtual time).

        control: serve the local socket. reraise: let bugs out instead of restarting their task (tests).
        """
        self.site, self._library, self._clock, self._reraise = site, library, clock, reraise
        self._new_link = links or partial(assembly.link, state_dir=site.gateway.state_dir)
        self._new_sink = sinks
        self._new_destination = destinations
        self._inline_journal, self._control = inline_journal, control
        infos = assembly.meter_infos(site)
        self.directory = SiteDirectory(site.gateway.id, __version__, site.digest, infos)
        self._targets = assembly.targets(site, library, self.directory, clock)
        self.health = Health(
            links={link.id: LinkHealth(link.kind) for link in site.links},
            meters={info.id: MeterHealth(info.link) for info in infos},
            sinks={sink.id: SinkHealth(sink.kind) for sink in site.sinks},
        )
        for targets in self._targets.values():
            for target in targets:
                meter = self.health.meters[target.meter]
                meter.period_s = min(meter.period_s or target.period_s, target.period_s)
        self.rules = Rules(site.gateway.state_dir)
        self._deliverers: list[Deliverer] = []
        self._owners: dict[str, LinkPoller] = {}  # by link
        self._round_s = 0.0
        self._maintenance: Maintenance | None = None
        self._warnings: Callable[[], list[str]] = list
        self.journal: Journal
        self.derivation: Derivation
        self._events: EventLog
        self.answers: Mapping[str, Answer] = {}  # verb of the control socket -> who answers it

    async def run(self, stop: asyncio.Event, built: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Run until `stop` is set, then drain; return the final figures. Raises StorageError, ConfigError.

        built: called once everything that lasts is there, before the first poll.
        """
        settings = self.site.journal
        if self._control:
            check_path(self.site.gateway.socket_path)
        self.journal = Journal(
            self.site.gateway.state_dir,
            self._clock,
            size_max=settings.size_max_bytes,
            free_min=settings.free_min_bytes,
            group_s=settings.group_s,
            inline=self._inline_journal,
        )
        try:
            self.derivation = Derivation(self.site, self._library, self._clock, inline=self._inline_journal)
            try:
                await self._run(stop, built)
            finally:
                await self.derivation.close()
        finally:
            await self.journal.close()
        notify("STATUS=stopped")
        pending = {one.id: one.pending for one in self._drained}
        log.info("gateway stopped", journaled=self.journal.readings, lost=self.journal.lost, pending=pending)
        return self.figures()

    async def _run(self, stop: asyncio.Event, built: Callable[[], None]) -> None:
        events = self._events = EventLog(self.journal, self._clock)
        recorder = Recorder(self.journal, events, self._clock, self.health)
        events.note(
            "start",
            self.site.gateway.id,
            software=__version__,
            config=self.site.digest,
            pid=os.getpid(),
            epoch=self.journal.epoch,
        )
        changes = await self.derivation.changes(self.journal.config_digest)
        self.journal.note_config(self.site.digest, self.site.gateway.id, changes)
        plans = PlanLog(self.site, self._library, events)
        plans.note_plans()
        self.directory.replaced = plans.note_layout
        self.directory.remember(self.journal.layouts())
        if self.journal.stepped_at_start:
            log.warning("the wall clock is behind the journal; a new epoch begins", epoch=self.journal.epoch)
        await self._make_deliverers()
        await self.derivation.open(self.journal, events, self.health, self._new_destination, self.rules)
        self._owners = {poller.id: poller for poller in self._pollers(recorder)}
        verbs = self._verbs(recorder)
        async with asyncio.TaskGroup() as tasks:
            base = [
                tasks.create_task(self._supervised("journal", self.journal.run)),
                tasks.create_task(self._supervised("clock", lambda: watch_clock(self._clock, recorder))),
                tasks.create_task(watchdog(self._clock, self._alive)),
                tasks.create_task(self._rounds()),
                tasks.create_task(
                    self._supervised(
                        "certificates", lambda: watch_certificates(self.site, events, self._clock)
                    )
                ),
                tasks.create_task(self._supervised("maintenance", verbs.maintenance.run)),
                tasks.create_task(self._supervised("replay", verbs.replays.run)),
                tasks.create_task(self._supervised("inventory", self.derivation.keep)),
            ]
            if self._control:
                control = ControlServer(self.site.gateway.socket_path, self.answers)
                base.append(tasks.create_task(self._supervised("control", control.run)))
            deriving = tasks.create_task(self._supervised("intervals", self.derivation.run))
            sinks = {d: tasks.create_task(self._supervised(f"sink {d.id}", d.run)) for d in self._drained}
            links = [
                tasks.create_task(self._supervised(f"link {poller.id}", poller.run))
                for poller in self._owners.values()
            ]
            built()
            notify("READY=1")
            log.info("gateway runs", **self._sizes())
            await stop.wait()
            end_s = self._clock.monotonic() + STOP_S
            notify("STOPPING=1")
            log.info("gateway stops: polling ends, what is journaled is delivered", stop_s=STOP_S)
            await _cancel(links, CLOSE_LINKS_S)
            events.note("stop", self.site.gateway.id)
            await self._drain(sinks, end_s)
            await _cancel([deriving, *base], max(end_s - self._clock.monotonic(), 0.0))

    def _sizes(self) -> dict[str, int]:
        site = self.site
        return {"links": len(site.links), "meters": len(self.health.meters), "sinks": len(site.sinks)}

    async def _supervised(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        await supervise(name, run, self._clock, self.health, crashed=self._crashed, reraise=self._reraise)

    def _crashed(self, name: str, error: str) -> None:
        kind, _, id_ = name.partition(" ")
        if kind == "link":
            self._owners[id_].crashed(error)
        elif kind == "sink":
            self.health.sinks[id_].state, self.health.sinks[id_].error = "down", f"bug: {error}"
        self._events.note("crash", name, error=error)

    async def _make_deliverers(self) -> None:
        for config in self.site.sinks:
            if isinstance(config, FEED_KINDS):
                continue
            self._deliverers.append(
                Deliverer(
                    config.id,
                    self._new_sink(config, self.directory, self._clock),
                    await self.journal.reader(f"sink:{config.id}"),
                    self.journal,
                    self._clock,
                    self.health.sinks[config.id],
                    flush_s=getattr(config, "flush_s", 0.0),
                    backlog_rate=config.backlog_rate,
                )
            )
        await self.journal.forget_other_readers("sink:")

    def _pollers(self, recorder: Recorder) -> list[LinkPoller]:
        count = max(len(self.site.links), 1)
        return [
            LinkPoller(
                config.id,
                self._new_link(config, self._clock),
                self._targets[config.id],
                recorder,
                self._clock,
                self.health,
                pause_max_s=config.retry_max_s,
                timeout_s=config.timeout_s,
                spread=n / count,
                renew=lambda config=config: self._new_link(config, self._clock),  # type: ignore[misc]
            )
            for n, config in enumerate(self.site.links)
        ]

    def _verbs(self, recorder: Recorder) -> Verbs:
        """Make who answers requests on the control socket."""
        verbs = Verbs(
            self.site,
            self._library,
            self._clock,
            journal=self.journal,
            events=self._events,
            recorder=recorder,
            pollers=self._owners.values(),
            targets=self._targets,
            directory=self.directory,
            new_sink=self._new_sink,
            readers={deliverer.id: deliverer.reader for deliverer in self._deliverers},
            rules=self.rules,
        )
        self._maintenance, self._warnings = verbs.maintenance, verbs.changes.warnings
        self.answers = {"status": self._status} | verbs.answers() | self.derivation.answers()
        return verbs

    @property
    def _drained(self) -> list[Drained]:
        """What has something to deliver, to be drained at the stop."""
        return [*self._deliverers, *self.derivation.dispatchers]

    async def _drain(self, sinks: dict[Drained, asyncio.Task[None]], end_s: float) -> None:
        """Commit what is open, derive from it, give the sinks that are up a moment to take it, and let each say goodbye."""
        flushing = asyncio.create_task(self.journal.flush())
        await asyncio.wait([flushing], timeout=max(end_s - GOODBYE_S - self._clock.monotonic(), 0.0))
        await self.derivation.drain(end_s - GOODBYE_S)
        await asyncio.gather(*(self._end(sink, task, end_s) for sink, task in sinks.items()))
        await asyncio.wait([flushing], timeout=max(end_s - self._clock.monotonic(), 0.0))

    async def _end(self, sink: Drained, task: asyncio.Task[None], end_s: float) -> None:
        """End one sink: at once if it is down, for a connection begun now might outlast the stop."""
        sink.drain()
        until_s = end_s - GOODBYE_S
        while self._clock.monotonic() < until_s and sink.pending and self.health.sinks[sink.id].state == "up":
            await sleep_for(self._clock, 0.02)
        await _cancel([task], GOODBYE_S)

    async def _rounds(self) -> None:
        while True:
            self._round_s = self._clock.monotonic()
            await sleep_for(self._clock, 1.0)

    def _alive(self) -> bool:
        return self._clock.monotonic() - self._round_s < LAG_MAX_S

    async def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        more = {"values": self.health.values()} if request.get("values") is True else {}
        return self.figures() | more

    def figures(self) -> dict[str, Any]:
        """Return the state of everything as plain JSON values; counts are readings."""
        figures = self.health.figures()
        own = {sink.id: sink.figures() for sink in self._deliverers} | self.derivation.sink_figures()
        for id_, more in own.items():
            figures["sinks"][id_] |= more
        clock = self._clock.state()
        figures["journal"] = self.journal.figures()
        figures |= self.derivation.figures()
        figures["lost"] = self.journal.lost
        figures["maintenance"] = self._maintenance.figures() if self._maintenance else []
        figures["warnings"] = self._warnings()
        figures["gateway"] = {
            "id": self.site.gateway.id,
            "software": __version__,
            "config": self.site.digest,
            "time_ns": self._clock.wall_ns(),
            "clock_synchronised": clock.synchronised,
            "log_lines_dropped": dropped_lines(),
        }
        return figures


async def _cancel(tasks: list[asyncio.Task[None]], patience_s: float) -> None:
    """End tasks: those that are still saying goodbye after `patience_s` are cut short."""
    for task in tasks:
        task.cancel()
    _, late = await asyncio.wait(tasks, timeout=patience_s) if tasks else (None, set())
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

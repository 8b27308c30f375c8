"""The gateway itself: everything assembled, run under one task group, drained and stopped."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from gateway import __version__, assembly
from gateway.clock import sleep_for
from gateway.config.summary import channels
from gateway.control.changes import Changes, counters_of
from gateway.control.errands import Errands
from gateway.control.maintenance import Maintenance
from gateway.control.server import ControlServer, check_path
from gateway.deliver import Deliverer
from gateway.health import Health, LinkHealth, MeterHealth, SinkHealth
from gateway.journal.journal import Journal
from gateway.log import dropped_lines
from gateway.model import Event
from gateway.notify import notify, watchdog
from gateway.polling.poll import LinkPoller
from gateway.polling.recorder import Recorder, watch_clock
from gateway.replay.job import Replays
from gateway.replay.rules import Rules
from gateway.state_folder import state_lock
from gateway.supervise import supervise
from gateway.targets import SiteDirectory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from drivers.profiles import Library
    from gateway.config.links import LinkConfig
    from gateway.config.models import Site
    from gateway.config.sinks import SinkConfig
    from gateway.control.server import Answer
    from gateway.interfaces import Clock, Directory, Link, Sink
    from gateway.layout import Layout
    from gateway.targets import RatioChanges

STOP_S = 4.0  # of the 5 s a stop may take; the rest is for closing the journal and the interpreter
CLOSE_LINKS_S = 1.0
GOODBYE_S = 1.0
GC_YOUNG = 10_000  # objects made since that start a round of the garbage collector; CPython's default is 700
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
        inline_journal: bool = False,
        control: bool = True,
        reraise: bool = False,
    ) -> None:
        """links, sinks: make what a table describes; None: what the assembly makes. inline_journal: no writer thread (virtual time).

        control: serve the local socket. reraise: let bugs out instead of restarting their task (tests).
        """
        self.site, self._library, self._clock, self._reraise = site, library, clock, reraise
        self._new_link = links or partial(assembly.link, state_dir=site.gateway.state_dir)
        self._new_sink = sinks
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
        self._round_s = 0.0
        self._maintenance: Maintenance | None = None
        self.journal: Journal
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
            await self._run(stop, built)
        finally:
            await self.journal.close()
        notify("STATUS=stopped")
        pending = {d.id: d.reader.pending for d in self._deliverers}
        log.info("gateway stopped", journaled=self.journal.readings, lost=self.journal.lost, pending=pending)
        return self.figures()

    async def _run(self, stop: asyncio.Event, built: Callable[[], None]) -> None:
        recorder = Recorder(self.journal, self._clock, self.health)
        recorder.event(
            "start", self.site.gateway.id, software=__version__, config=self.site.digest, pid=os.getpid()
        )
        self.journal.note_config(self.site.digest, self.site.gateway.id)
        self._note_plans(recorder)
        self.directory.replaced = lambda layout, changed: self._note_layout(recorder, layout, changed)
        self.directory.remember(self.journal.layouts())
        if self.journal.stepped_at_start:
            log.warning("the wall clock is behind the journal; a new epoch begins", epoch=self.journal.epoch)
        await self._make_deliverers()
        pollers = self._pollers(recorder)
        maintenance, replays = self._take_requests(recorder, pollers)
        async with asyncio.TaskGroup() as tasks:
            base = [
                tasks.create_task(self._supervised("journal", self.journal.run)),
                tasks.create_task(self._supervised("clock", lambda: watch_clock(self._clock, recorder))),
                tasks.create_task(watchdog(self._clock, self._alive)),
                tasks.create_task(self._rounds()),
                tasks.create_task(self._supervised("maintenance", maintenance.run)),
                tasks.create_task(self._supervised("replay", replays.run)),
            ]
            if self._control:
                control = ControlServer(self.site.gateway.socket_path, self.answers)
                base.append(tasks.create_task(self._supervised("control", control.run)))
            sinks = {d: tasks.create_task(self._supervised(f"sink {d.id}", d.run)) for d in self._deliverers}
            links = [
                tasks.create_task(self._supervised(f"link {poller.id}", poller.run)) for poller in pollers
            ]
            built()
            notify("READY=1")
            log.info("gateway runs", **self._sizes())
            await stop.wait()
            end_s = self._clock.monotonic() + STOP_S
            notify("STOPPING=1")
            log.info("gateway stops: polling ends, what is journaled is delivered", stop_s=STOP_S)
            await _cancel(links, CLOSE_LINKS_S)
            recorder.event("stop", self.site.gateway.id)
            await self._drain(sinks, end_s)
            await _cancel(base, max(end_s - self._clock.monotonic(), 0.0))

    def _sizes(self) -> dict[str, int]:
        site = self.site
        return {"links": len(site.links), "meters": len(self.health.meters), "sinks": len(site.sinks)}

    async def _supervised(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        await supervise(name, run, self._clock, self.health, crashed=self._crashed, reraise=self._reraise)

    def _crashed(self, name: str, error: str) -> None:
        kind, _, id_ = name.partition(" ")
        if kind == "link":
            self.health.links[id_].state, self.health.links[id_].error = "down", f"bug: {error}"
        elif kind == "sink":
            self.health.sinks[id_].state, self.health.sinks[id_].error = "down", f"bug: {error}"
        self.journal.note(Event(self._clock.wall_ns(), "crash", name, {"error": error}))

    def _note_plans(self, recorder: Recorder, only: str = "") -> None:
        """Journal what each meter (or only one) is read for: expected counts come from here, not from readings."""
        for meter in self.site.meters:
            if only in ("", meter.id):
                periods = assembly.by_period(meter, channels(meter, self._library))
                for period_s, keys in periods.items():
                    recorder.event(
                        "plan",
                        meter.id,
                        link=meter.link,
                        period_s=period_s,
                        channels=list(keys),
                        enabled=meter.enabled,
                    )

    def _note_layout(self, recorder: Recorder, layout: Layout, changed: RatioChanges) -> None:
        recorder.event(
            "layout",
            layout.meter,
            period_s=layout.period_s,
            digest=layout.digest,
            ratios=dict(layout.ratios),
            changed=changed,
        )
        self._note_plans(recorder, layout.meter)

    async def _make_deliverers(self) -> None:
        for config in self.site.sinks:
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

    def _take_requests(self, recorder: Recorder, pollers: list[LinkPoller]) -> tuple[Maintenance, Replays]:
        """Say who answers which request on the control socket."""
        meters = {info.id: info.link for info in self.directory.meters}
        site = self.site
        self._maintenance = Maintenance(site.gateway.state_dir, meters, recorder, self._clock)
        errands = Errands({poller.id: poller for poller in pollers}, self._targets, self._clock)
        counters = counters_of(site, self._library)
        ratios = {meter.id: {key: str(value) for key, value in meter.ratios.items()} for meter in site.meters}
        changes = Changes(recorder, self.journal, self._clock, errands.read_meter, ratios, counters)
        readers = {deliverer.id: deliverer.reader for deliverer in self._deliverers}
        replays = Replays(
            site,
            self._library,
            self.journal,
            recorder,
            self._clock,
            self.directory,
            self._new_sink,
            readers,
            self.rules,
        )
        self.answers = {
            "status": self._status,
            "ask": errands.ask,
            "poll": errands.poll,
            "browse": errands.browse,
            "maintenance": self._maintenance.answer,
            "swap": changes.swap,
            "ratio_change": changes.ratio_change,
            "commissioned": changes.commissioned,
            "replay": replays.start,
            "replay_state": replays.state,
            "replay_stop": replays.stop,
        }
        return self._maintenance, replays

    async def _drain(self, sinks: dict[Deliverer, asyncio.Task[None]], end_s: float) -> None:
        """Commit what is open, give the sinks that are up a moment to take it, and let each say goodbye."""
        flushing = asyncio.create_task(self.journal.flush())
        await asyncio.wait([flushing], timeout=max(end_s - GOODBYE_S - self._clock.monotonic(), 0.0))
        await asyncio.gather(*(self._end(deliverer, task, end_s) for deliverer, task in sinks.items()))
        await asyncio.wait([flushing], timeout=max(end_s - self._clock.monotonic(), 0.0))

    async def _end(self, deliverer: Deliverer, task: asyncio.Task[None], end_s: float) -> None:
        """End one sink: at once if it is down, for a connection begun now might outlast the stop."""
        deliverer.drain()
        until_s = end_s - GOODBYE_S
        while (
            self._clock.monotonic() < until_s
            and deliverer.reader.pending
            and self.health.sinks[deliverer.id].state == "up"
        ):
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
        for deliverer in self._deliverers:
            reader = deliverer.reader
            figures["sinks"][deliverer.id] |= {
                "delivered": reader.delivered,
                "pending": reader.pending,
                "backlog": reader.backlog,
                "refused": reader.refused,
                "missed": reader.missed,
            }
        clock = self._clock.state()
        figures["journal"] = self.journal.figures()
        figures["lost"] = self.journal.lost
        figures["maintenance"] = self._maintenance.figures() if self._maintenance else []
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


def _spare_collector() -> None:
    """Take what lasts as long as the process out of the garbage collector's sight, and start its rounds less often.

    A full round looked at every object of site file, profiles and libraries: 43 ms of 500 meters, in the midst of a
    burst of polls. What comes later goes by reference count; cycles are few.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 10, 10)


async def serve(site: Site, library: Library, clock: Clock) -> dict[str, Any]:
    """Run the gateway until SIGTERM or SIGINT; return its final figures. Raises ConfigError, StorageError."""
    os.umask(0o077)  # journal and socket are the gateway's own
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with state_lock(site.gateway.state_dir):
        return await Gateway(site, library, clock).run(stop, _spare_collector)

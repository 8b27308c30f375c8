"""A plant under virtual time: the real gateway over fake links and sinks, killed and restarted as scripted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from gateway.app import Gateway
from gateway.journal.journal import Journal
from gateway.model import Event
from simulators.fakes import FakeLink, FakeSink, Trouble
from simulators.virtual import VirtualClock, run
from tests.sim import site
from tests.sim.destination import FakeDestination
from tests.unit import journal_rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from gateway.health import Health
    from gateway.interfaces import Link, Poll
    from gateway.model import Frame, Sample

START_NS = 1_700_000_000_000_000_000
STOP_MAX_S = 4.5
WATCH_S = 5.0  # how often the oracles' figures are taken


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at `at_s`. kind: kill, stop, step (of the wall clock, by `step_s`), unsync, sync."""

    at_s: float
    kind: str
    step_s: float = 0.0
    away_s: float = 1.0


@dataclass(slots=True)
class Plan:
    """What a run consists of; meters are dealt to links in turn. feed_troubles: destination of the feed -> its troubles. interval: "": 15 min."""

    until_s: float
    meters: int = 40
    channels: int = 10
    period_s: float = 10.0
    links: int = 4
    link_troubles: dict[str, list[Trouble]] = field(default_factory=dict)
    sink_troubles: dict[str, list[Trouble]] = field(default_factory=lambda: {"influx": [], "mqtt": []})
    acts: Sequence[Act] = ()
    refuse: Callable[[Frame], str] = lambda _frame: ""
    size_max: int = 1 << 30
    seed: int = 1
    backlog_rate: float = 5_000.0
    feed_troubles: dict[str, list[Trouble]] = field(default_factory=dict)
    interval: str = ""


def feed_alone(until_s: float, *acts: Act, meters: int = 2) -> Plan:
    """Return a small plant with intervals of a minute, a feed and no other sink."""
    return Plan(
        until_s, meters=meters, channels=3, links=1, acts=acts, sink_troubles={}, feed_troubles={"feed": []},
        interval="1min",
    )  # fmt: skip


class FakeTarget:
    """A target without a profile."""

    def __init__(self, poll: Poll) -> None:
        self.meter, self.period_s = poll.meter, poll.layout.period_s
        self.keys = tuple(channel.key for channel in poll.layout.channels)
        self._poll = poll

    async def poll(self, link: Link) -> Poll:
        return self._poll

    def reconnected(self) -> None:
        """Nothing is remembered."""


class TimedLink(FakeLink):
    """A fake link that keeps when each read of a period began; its meters hold a ratio too."""

    def __init__(self, clock: VirtualClock, troubles: Iterable[Trouble], *, seed: int) -> None:
        super().__init__(clock, troubles, seed=seed)
        self.reads: list[tuple[str, float]] = []
        self.shown: dict[tuple[str, int], list[tuple[float, ...]]] = {}  # a clock put back shows a time again
        self._wall = clock

    async def read(self, poll: Poll) -> list[Sample]:
        if not poll.layout.period_s:
            return [sample._replace(raw=site.CT.to_bytes(2, "big")) for sample in await super().read(poll)]
        self.reads.append((poll.meter, self._wall.monotonic()))
        samples = await super().read(poll)
        for sample in samples:
            key = poll.meter, sample.time_ns
            self.shown.setdefault(key, []).append(self.truth[key])
        return samples


@dataclass(slots=True)
class Figures:
    """What was seen at one moment."""

    at_s: float
    waiting_bytes: int
    tail_bytes: int
    pending: dict[str, int]


@dataclass(slots=True)
class Account:
    """A sink's bookkeeping at the end."""

    delivered: int
    refused: int
    missed: int
    pending: int


@dataclass(slots=True, repr=False)
class Result:
    """What a run left behind, for the oracles."""

    plan: Plan
    links: dict[str, TimedLink]
    sinks: dict[str, FakeSink]
    meters: dict[str, list[str]]  # link -> those the site file names
    logs: list[dict[str, Any]]
    health: Health = field(init=False)  # of the last life
    figures: list[Figures] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    journaled: int = 0
    unstored: int = 0
    dropped: int = 0
    uncommitted: int = 0  # readings in memory at kills
    recorded: int = 0  # readings the recorder made frames of
    destinations: dict[str, FakeDestination] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)  # as journaled, read back at the end
    events: list[Event] = field(default_factory=list)  # as journaled


class Plant:
    """The gateway of one plan; `run` plays it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """folder: of site file and journal."""
        self.plan, self.folder = plan, folder
        self.clock = VirtualClock(START_NS)
        self.site, self._library = site.write(plan, folder)
        links = {
            link.id: TimedLink(self.clock, plan.link_troubles.get(link.id, []), seed=plan.seed * 1000 + n)
            for n, link in enumerate(self.site.links)
        }
        sinks = {
            id_: FakeSink(id_, self.clock, troubles, plan.refuse, plan.seed * 100 + n)
            for n, (id_, troubles) in enumerate(plan.sink_troubles.items())
        }
        meters = {id_: [meter.id for meter in self.site.meters if meter.link == id_] for id_ in links}
        destinations = {id_: FakeDestination(self.clock, of) for id_, of in plan.feed_troubles.items()}
        self.result = Result(plan, links, sinks, meters, [], destinations=destinations)

    async def run(self) -> Result:
        """Play the plan and return what it left behind."""
        waits = sorted(self.plan.acts, key=lambda act: act.at_s)
        restarts = [act for act in waits if act.kind in {"kill", "stop"}]
        others = asyncio.create_task(self._act([act for act in waits if act not in restarts]))
        for act in restarts:
            await self._live(act.at_s, kill=act.kind == "kill")
            await self.clock.sleep_until(act.at_s + act.away_s)
        await self._live(self.plan.until_s, kill=False)
        await others
        await self._account()
        return self.result

    async def _act(self, acts: Sequence[Act]) -> None:
        for act in acts:
            await self.clock.sleep_until(act.at_s)
            if act.kind == "step":
                self.clock.step(act.step_s)
            else:
                self.clock.synchronised = act.kind == "sync"

    def _gateway(self) -> Gateway:
        return Gateway(
            self.site,
            self._library,
            self.clock,
            links=lambda config, _: self.result.links[config.id],
            sinks=lambda config, *_: self.result.sinks[config.id],
            destinations=lambda config, *_: self.result.destinations[config.id],
            inline_journal=True,
            control=False,
            reraise=True,
        )

    async def _live(self, until_s: float, *, kill: bool) -> None:
        """One life of the gateway."""
        gateway, stop = self._gateway(), asyncio.Event()
        self.result.health = gateway.health
        life = asyncio.create_task(gateway.run(stop))
        watch = asyncio.create_task(self._watch(gateway))
        ending = asyncio.create_task(self.clock.sleep_until(until_s))
        await asyncio.wait([ending, life], return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, watch):
            task.cancel()
        await asyncio.gather(ending, watch, return_exceptions=True)
        if not life.done() and kill:
            self._kill(gateway)
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            return
        stop.set()
        began_s = self.clock.monotonic()
        await life  # a gateway that ended by itself has a bug: raise it
        assert self.clock.monotonic() - began_s <= STOP_MAX_S, "a stop takes at most 5 s"
        self.result.recorded += gateway.health.readings

    def _kill(self, gateway: Gateway) -> None:
        """Let nothing more reach the disk, and count what was only in memory."""
        journal = gateway.journal
        self.result.recorded += gateway.health.readings
        self.result.uncommitted += journal._open.readings + sum(g.readings for g in journal._waiting.take())
        journal_rig.kill(journal)
        journal._closed = True

    async def _watch(self, gateway: Gateway) -> None:
        while True:
            await self.clock.sleep_until(self.clock.monotonic() + WATCH_S)
            pending = {deliverer.id: deliverer.reader.pending for deliverer in gateway._deliverers}
            journal = gateway.journal
            waiting = journal._waiting.size + journal._open.size
            self.result.figures.append(Figures(self.clock.monotonic(), waiting, journal._tail.size, pending))

    async def _account(self) -> None:
        """Read everything back from disk, as the next start would."""
        journal = Journal(self.folder, self.clock, size_max=self.plan.size_max, free_min=0, inline=True)
        for id_ in self.result.sinks:
            reader = await journal.reader(f"sink:{id_}")
            account = Account(reader.delivered, reader.refused, reader.missed, reader.pending)
            self.result.accounts[id_] = account
        figures = journal.figures()
        self.result.journaled, self.result.unstored = figures["readings"], figures["unstored"]
        self.result.dropped = figures["dropped"]
        position = journal.oldest
        while position < journal.following:
            groups = await journal.fetch(position, journal.following, 100_000)
            self.result.frames += [frame for group in groups for frame in group.frames]
            self.result.events += [r for group in groups for r in group.records if isinstance(r, Event)]
            position = groups[-1].id + 1
        await journal.close()


def play(plan: Plan, folder: Path) -> Result:
    """Return what the plan led to. Raises Stalled if the pipeline hangs."""

    async def main() -> Result:
        return await Plant(plan, folder).run()

    with structlog.testing.capture_logs() as logs:
        result = run(main())
    result.logs = [dict(entry) for entry in logs]
    return result

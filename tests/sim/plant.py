"""A plant under virtual time: the gateway's pipeline over fake links and sinks, killed and restarted as scripted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from gateway.deliver import Deliverer
from gateway.health import Health, LinkHealth, MeterHealth, SinkHealth
from gateway.journal import Journal
from gateway.poll import LinkPoller, Recorder, watch_clock
from simulators.fakes import FakeLink, FakeSink, Trouble, fake_site
from simulators.virtual import VirtualClock, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from gateway.interfaces import Link, Poll
    from gateway.journal_reader import Reader
    from gateway.model import Frame, Sample

START_NS = 1_700_000_000_000_000_000
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
    """What a run consists of; meters are dealt to links in turn."""

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
    """A fake link that keeps when each read began."""

    def __init__(self, clock: VirtualClock, troubles: Iterable[Trouble], *, seed: int) -> None:
        super().__init__(clock, troubles, seed=seed)
        self.reads: list[tuple[str, float]] = []
        self.shown: dict[tuple[str, int], list[tuple[float, ...]]] = {}  # a clock put back shows a time again
        self._wall = clock

    async def read(self, poll: Poll) -> list[Sample]:
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
    tail_readings: int
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
    health: Health
    logs: list[dict[str, Any]]
    figures: list[Figures] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    journaled: int = 0
    unstored: int = 0
    dropped: int = 0
    uncommitted: int = 0  # readings in memory at kills
    recorded: int = 0  # readings the recorder made frames of
    frames: list[Frame] = field(default_factory=list)  # as journaled, read back at the end


class Plant:
    """The pipeline of one plan; `run` plays it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """folder: of the journal."""
        folder.mkdir(parents=True, exist_ok=True)
        self.plan, self.folder = plan, folder
        self.clock = VirtualClock(START_NS)
        self._site = fake_site(plan.meters, plan.channels, plan.period_s, plan.links)
        links = {
            id_: TimedLink(self.clock, plan.link_troubles.get(id_, []), seed=plan.seed * 1000 + n)
            for n, id_ in enumerate(self._site)
        }
        sinks = {
            id_: FakeSink(id_, self.clock, troubles, plan.refuse, plan.seed * 100 + n)
            for n, (id_, troubles) in enumerate(plan.sink_troubles.items())
        }
        self.result = Result(plan, links, sinks, self._health(), [])
        self.journal: Journal
        self.readers: dict[str, Reader] = {}

    def _health(self) -> Health:
        polls = [(link, poll) for link, polls in self._site.items() for poll in polls]
        return Health(
            links={id_: LinkHealth("fake") for id_ in self._site},
            meters={poll.meter: MeterHealth(link, poll.layout.period_s) for link, poll in polls},
            sinks={id_: SinkHealth("fake") for id_ in self.plan.sink_troubles},
        )

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

    def _open(self) -> Journal:
        return Journal(self.folder, self.clock, size_max=self.plan.size_max, free_min=0, inline=True)

    async def _live(self, until_s: float, *, kill: bool) -> None:
        """One life of the gateway."""
        journal = self.journal = self._open()
        health = self.result.health
        recorder = Recorder(journal, self.clock, health)
        self.readers = {id_: await journal.reader(id_) for id_ in self.result.sinks}
        deliverers = [
            Deliverer(
                id_,
                sink,
                self.readers[id_],
                journal,
                self.clock,
                health.sinks[id_],
                backlog_rate=self.plan.backlog_rate,
            )
            for id_, sink in self.result.sinks.items()
        ]
        pollers = [
            LinkPoller(
                id_, link, [FakeTarget(poll) for poll in self._site[id_]], recorder, self.clock, health
            )
            for id_, link in self.result.links.items()
        ]
        runs = [journal.run(), watch_clock(self.clock, recorder), self._watch()]
        runs += [deliverer.run() for deliverer in deliverers]
        runs += [poller.run() for poller in pollers]
        tasks = [asyncio.create_task(coroutine) for coroutine in runs]
        ending = asyncio.create_task(self.clock.sleep_until(until_s))
        done, _ = await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, *tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done - {ending}:
            task.result()  # a task that ended is a bug: raise it
        self.result.recorded = health.readings
        if kill:
            self._kill()
        else:
            await journal.close()

    def _kill(self) -> None:
        journal = self.journal
        self.result.uncommitted += journal._open.readings + sum(g.readings for g in journal._waiting.take())
        journal._store.close()
        journal._losses.close()

    async def _watch(self) -> None:
        while True:
            pending = {id_: reader.pending for id_, reader in self.readers.items()}
            waiting = self.journal._waiting.size + self.journal._open.size
            tail = self.journal._tail._readings
            self.result.figures.append(Figures(self.clock.monotonic(), waiting, tail, pending))
            await self.clock.sleep_until(self.clock.monotonic() + WATCH_S)

    async def _account(self) -> None:
        """Read everything back from disk, as the next start would."""
        journal = self._open()
        for id_ in self.result.sinks:
            reader = await journal.reader(id_)
            account = Account(reader.delivered, reader.refused, reader.missed, reader.pending)
            self.result.accounts[id_] = account
        figures = journal.figures()
        self.result.journaled, self.result.unstored = figures["readings"], figures["unstored"]
        self.result.dropped = figures["dropped"]
        position = journal.oldest
        while position < journal.following:
            groups = await journal.fetch(position, journal.following, 100_000)
            self.result.frames += [frame for group in groups for frame in group.frames]
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

"""A plant under virtual time for days: the real gateway, its memory looked at every simulated hour.

Nothing here keeps what passes through (tests/sim/soak_ledger.py), so growth of the process is growth of the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

import structlog

from gateway.app import Gateway
from gateway.model import NS
from gateway.serve import spare_collector
from simulators.fakes import FakeLink, FakeSink
from simulators.virtual import VirtualClock, run
from tests.sim import site
from tests.sim.plant import START_NS, Plan
from tests.sim.sizes import sizes
from tests.sim.soak_ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.interfaces import Poll
    from gateway.model import Batch, Refusal, Sample
    from simulators.fakes import SinkTrouble, Trouble
    from tests.sim.soak_ledger import MeterLedger

HOUR_S = 3600.0
GROUP_S = 1.0  # a poll burst of ten seconds is then one commit or two
_RATIO = site.CT.to_bytes(2, "big")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Script:
    """The troubles of one link or sink, of which only those in force are looked at."""

    def __init__(self, troubles: Iterable[Trouble]) -> None:
        """troubles: of the whole run."""
        self._all = list(troubles)
        self._edges = sorted({t.start_s for t in self._all} | {t.end_s for t in self._all})
        self.until_s = 0.0
        self.now: list[Trouble] = []

    def at(self, now_s: float) -> list[Trouble]:
        """Return what is in force."""
        if now_s >= self.until_s:
            self.now = [trouble for trouble in self._all if trouble.start_s <= now_s < trouble.end_s]
            self.until_s = next((edge for edge in self._edges if edge > now_s), float("inf"))
        return self.now


class SoakLink(FakeLink):
    """A fake link whose meters show what their ledgers say."""

    def __init__(
        self, clock: VirtualClock, script: Script, meters: dict[str, MeterLedger], *, seed: int
    ) -> None:
        """meters: of the whole site."""
        super().__init__(clock, seed=seed)
        self._script, self._meters, self._wall = script, meters, clock
        self.newest_s: dict[str, float] = {}
        self.told: Callable[[int], None] | None = None  # hears the time of every poll

    async def read(self, poll: Poll) -> list[Sample]:
        if not poll.layout.period_s:
            return [sample._replace(raw=_RATIO) for sample in await super().read(poll)]
        samples = await super().read(poll)
        self.newest_s[poll.meter] = self._wall.monotonic()
        return samples

    def _shown(self, poll: Poll, time_ns: int) -> bytes:
        if not poll.layout.period_s:
            return _RATIO
        if self.told is not None:
            self.told(time_ns)
        return self._meters[poll.meter].show(time_ns)

    def _find(self, meter: str, kinds: set[str]) -> Trouble | None:
        self.troubles = self._script.at(self._wall.monotonic())
        return super()._find(meter, kinds) if self.troubles else None


@dataclass(slots=True)
class SoakSink(FakeSink):
    """A fake sink that checks what it takes and keeps none of it. lose_at: a write of which it loses all, 0: none."""

    script: Script = field(default_factory=lambda: Script(()))
    ledger: Ledger = field(default_factory=lambda: Ledger((), 0, 0, ()))
    lose_at: int = 0

    def _take(self, batch: Batch) -> list[Refusal]:
        if self.write_count == self.lose_at:
            return []
        place, meters = self.ledger.sinks.index(self.id), self.ledger.meters
        for frame in batch.frames:
            meters[frame.layout.meter].arrived(place, frame, backfill=batch.backfill)
        return []

    def _find(self, kind: SinkTrouble) -> Trouble | None:
        self.troubles = self.script.at(self.clock.monotonic())
        return FakeSink._find(self, kind)


class LogWatch:
    """Takes every log entry: counts it, and sees that what goes down is told once a reason, and once that it is back."""

    PAIRS = (
        ("link down", "link up", "link"),
        ("meter off", "meter answers again", "meter"),
        ("channels off", "channels answer again", "meter"),
        ("sink down; readings wait in the journal", "sink up", "sink"),
    )

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.counts: Counter[str] = Counter()
        self.twice: list[str] = []
        self._states: dict[tuple[str, str], tuple[str, str]] = {}

    def __call__(self, logger: object, method: str, entry: Any) -> NoReturn:
        event = entry["event"]
        self.counts[event] += 1
        for down, up, who in self.PAIRS:
            if event in (down, up):
                told = event, entry.get("reason", "")
                if self._states.get((down, entry[who])) == told:
                    self.twice.append(f"{entry[who]}: {event}")
                self._states[down, entry[who]] = told
        raise structlog.DropEvent


@dataclass(slots=True)
class Hour:
    """The process at one moment. blocks: memory blocks Python has in use; sizes: containers of the gateway."""

    at_s: float
    rss_mb: float
    blocks: int
    timers: int
    tasks: int
    pending: dict[str, int]
    waiting_bytes: int
    tail_bytes: int
    used_bytes: int
    sizes: dict[str, int]


@dataclass(slots=True, repr=False)
class Soak:
    """What a run left behind."""

    plan: Plan
    ledger: Ledger
    logs: LogWatch
    links: dict[str, SoakLink]
    sinks: dict[str, SoakSink]
    hours: list[Hour] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


class SoakPlant:
    """The gateway of one plan and one life; `run` plays it."""

    def __init__(self, plan: Plan, folder: Path, logs: LogWatch) -> None:
        """folder: of site file and journal."""
        self.plan, self._clock = plan, VirtualClock(START_NS)
        config, library = site.write(plan, folder)
        journal = config.journal.model_copy(update={"group_s": GROUP_S})
        config = config.model_copy(update={"journal": journal})
        polls_max = round(plan.until_s / plan.period_s * 1.05) + 100
        names = [meter.id for meter in config.meters]
        ledger = Ledger(names, plan.channels, polls_max, list(plan.sink_troubles))
        links = {
            link.id: SoakLink(
                self._clock,
                Script(plan.link_troubles.get(link.id, [])),
                ledger.meters,
                seed=plan.seed * 1000 + n,
            )
            for n, link in enumerate(config.links)
        }
        sinks = {
            id_: SoakSink(id_, self._clock, seed=plan.seed * 100 + n, script=Script(troubles), ledger=ledger)
            for n, (id_, troubles) in enumerate(plan.sink_troubles.items())
        }
        self.soak = Soak(plan, ledger, logs, links, sinks)
        self.gateway = Gateway(
            config,
            library,
            self._clock,
            links=lambda table, _: links[table.id],
            sinks=lambda table, *_: sinks[table.id],
            inline_journal=True,
            control=False,
            reraise=True,
        )

    async def run(self, every_s: float) -> Soak:
        """Play the plan, looked at `every_s`, and return what it left behind."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._watch(every_s)), asyncio.create_task(self._act())]
        tasks.append(asyncio.create_task(self._end(stop)))
        try:
            self.soak.figures = await self.gateway.run(stop, lambda: spare_disk(self.gateway))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self.soak

    async def _end(self, stop: asyncio.Event) -> None:
        await self._clock.sleep_until(self.plan.until_s)
        stop.set()

    async def _act(self) -> None:
        for act in sorted(self.plan.acts, key=lambda act: act.at_s):
            await self._clock.sleep_until(act.at_s)
            if act.kind == "step":
                self._clock.step(act.step_s)
            else:
                self._clock.synchronised = act.kind == "sync"

    async def _watch(self, every_s: float) -> None:
        """Look at the gateway in the middle between two bursts of polls, which come on the wall grid."""
        period_ns, at_s = round(self.plan.period_s * NS), every_s
        while True:
            await self._clock.sleep_until(at_s)
            short_ns = (period_ns // 2 - self._clock.wall_ns()) % period_ns
            await self._clock.sleep_until(at_s + short_ns / NS)
            self.soak.hours.append(look(self.gateway, self._clock.monotonic()))
            at_s += every_s


def look(gateway: Gateway, at_s: float) -> Hour:
    """Return how much memory the process and everything in the gateway takes now."""
    gc.collect()
    loop, journal = asyncio.get_running_loop(), gateway.journal
    statm = Path("/proc/self/statm").read_text().split()
    return Hour(
        at_s,
        int(statm[1]) * _PAGE_BYTES / 1e6,
        sys.getallocatedblocks(),
        len(loop._scheduled),  # type: ignore[attr-defined]
        len(asyncio.all_tasks()),
        {sink.id: sink.reader.pending for sink in gateway._deliverers},
        journal._waiting.size + journal._open.size,
        journal._tail.size,
        journal.used_bytes,
        sizes(gateway),
    )


def play(
    plan: Plan,
    folder: Path,
    *,
    every_s: float = HOUR_S,
    spoil: Callable[[SoakPlant], None] = lambda _plant: None,
) -> Soak:
    """Return what the plan led to. spoil: changes the plant before it starts. Raises Stalled if it hangs."""
    logs = LogWatch()
    plant = SoakPlant(plan, folder, logs)
    spoil(plant)
    with spared(logs):
        return run(plant.run(every_s))


def _at_once(fd: int) -> None:
    """Take the place of what waits for the disk."""


@contextlib.contextmanager
def spared(logs: LogWatch) -> Iterator[None]:
    """Send the log to `logs` and the disk nothing to wait for; collect garbage as the gateway does."""
    before, thresholds = structlog.get_config(), gc.get_threshold()
    structlog.configure(processors=[logs])
    spare_collector()
    try:
        with mock.patch.object(os, "fdatasync", _at_once):  # a Mock would keep every call
            yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        structlog.configure(**before)


def spare_disk(gateway: Gateway) -> None:
    """Let SQLite not wait for the disk: virtual time knows no power cuts, and waiting is a third of all real time."""
    gateway.journal._store._db.execute("PRAGMA synchronous=OFF")

"""A line that is unplugged, refused or left half open at random comes back within two back-off periods (R24)."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, cast

import pytest
import structlog

from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.link import LineLink
from drivers.lines.timing import Timing
from drivers.modbus.line import line_reader
from gateway.errors import LinkDown
from gateway.health import Health, LinkHealth, MeterHealth
from gateway.interfaces import Poll
from gateway.polling.poll import LinkPoller
from gateway.polling.trial import METER_PAUSE_MAX_S
from simulators.virtual import VirtualClock, run
from tests.sim.plant import FakeTarget
from tests.unit.lines.fake_port import own, refuse
from tests.unit.modbus.polls import holding, make_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.layout import Layout
    from gateway.model import Sample
    from gateway.polling.recorder import Recorder as RealRecorder

START_NS = 1_790_000_000_000_000_000
TIMEOUT_S = 1.0
COUNT = 2  # registers of a poll; other requests are refused by meters that are strict
SPREAD = 1.2  # pauses of different links differ by up to a fifth
REPEATS = 150


class Outage:
    """The trouble of one repeat. strict: the meters refuse what is not one of their blocks, as many do."""

    def __init__(self, rng: Random) -> None:
        self.kind = rng.choice(["unplugged", "down", "half_open", "silent"])
        self.begin_s = rng.uniform(5, 25)
        self.length_s = rng.choice([rng.uniform(0.1, 5), rng.uniform(5, 70)])
        self.end_s = self.begin_s + self.length_s
        self.period_s = rng.choice([1.0, 2.0, 10.0])
        self.meters = rng.choice([1, 1, 2, 5])
        self.retry_max_s = rng.choice([2.0, 5.0, 60.0])
        self.strict = rng.random() < 0.7
        self.held_share = rng.choice([0.0, 0.5])

    def lasts(self, now_s: float) -> bool:
        return self.begin_s <= now_s < self.end_s

    @property
    def bound_s(self) -> float:
        """Return how long after its end the last meter may be back.

        Two pauses (none has grown past the outage; of the link, or of a meter that is silent while others answer), and
        one timeout of each meter on the connection that is dead.
        """
        vain_s = self.meters * (TIMEOUT_S + 0.3)
        pause_s = min(self.retry_max_s, max(1.0, self.length_s + vain_s))
        if self.meters > 1:
            pause_s = max(pause_s, min(METER_PAUSE_MAX_S, max(self.period_s, self.length_s + vain_s)))
        return 2 * SPREAD * pause_s + 2 * self.period_s + vain_s + 0.5


class OutagePort:
    """Implements `Port`: meters on a line whose port fails as the outage says.

    A connection that was open during `half_open` stays mute; of its requests some are answered later, when somebody is
    connected again, as device servers do that keep what came.
    """

    def __init__(self, outage: Outage, rng: Random) -> None:
        self.name = "memory"
        self.lost: str | None = "not open"
        self._outage, self._rng = outage, rng
        self._mute = False
        self._on_bytes: Callable[[bytes], None] | None = None
        self._on_lost: Callable[[], None] = lambda: None
        asyncio.get_running_loop().call_at(outage.begin_s, self._begin)

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._outage.kind in {"unplugged", "down"} and self._outage.lasts(now_s):
            raise LinkDown("no such port")
        self._mute = self._outage.kind == "half_open" and self._outage.lasts(now_s)
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self.lost = ""

    def write(self, data: bytes) -> None:
        self.check()
        loop = asyncio.get_running_loop()
        exact = int.from_bytes(data[4:6]) == COUNT and data[1] == 3
        answer = refuse(data, 2 if data[1] > 2 else 1)
        if exact or (data[1] > 2 and not self._outage.strict):
            answer = own(data)
        delay_s = self._rng.uniform(0.01, 0.08)
        silent = self._outage.kind == "silent" and self._outage.lasts(loop.time())
        if self._mute or silent:
            if self._rng.random() >= self._outage.held_share:
                return
            delay_s = self._rng.uniform(1.2, 9.0)
        loop.call_later(delay_s, self._come, answer)

    def check(self) -> None:
        if self.lost:
            raise LinkDown(self.lost)

    async def close(self) -> None:
        self.lost, self._on_bytes = self.lost or "closed", None

    def _come(self, answer: bytes) -> None:
        if self._on_bytes is not None and not self._mute:
            self._on_bytes(answer)

    def _begin(self) -> None:
        self._mute = self._outage.kind == "half_open"
        if self._outage.kind in {"unplugged", "down"} and not self.lost:
            self.lost = "the port is gone"
            self._on_lost()


class Recorder:
    """Keeps when each meter's first sample after the outage came; every sample is looked at."""

    def __init__(self, outage: Outage) -> None:
        self.quiet: set[str] = set()
        self.back: dict[str, float] = {}
        self._outage = outage
        self.events = self
        self.before_epoch: list[object] = []

    def record(self, layout: Layout, sample: Sample) -> None:
        number = int(layout.meter.removeprefix("m-"))
        assert sample.raw == (100 * number).to_bytes(2) + (100 * number + 1).to_bytes(2), "another's answer"
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._outage.end_s:
            self.back.setdefault(layout.meter, now_s - self._outage.end_s)

    def note(self, *_: object, **__: object) -> None:
        """Nobody reads events here."""

    note_at = note


async def recover(seed: int) -> tuple[Outage, dict[str, float]]:
    """Return an outage, and for each meter when it was back after it."""
    rng = Random(seed)
    outage, clock = Outage(rng), VirtualClock(START_NS)
    ids = [f"m-{n}" for n in range(1, outage.meters + 1)]
    polls = [
        Poll(id_, "modbus", n, make_layout(sources, id_), sources, TIMEOUT_S, None)
        for n, id_ in enumerate(ids, 1)
        for sources in [(holding(100 * n), holding(100 * n + 1))]
    ]
    line = HalfDuplexLine(OutagePort(outage, rng), LineSettings(Timing(19_200)), clock, "line")
    link = LineLink(line, clock, "line", {"modbus": line_reader})
    targets = [FakeTarget(poll) for poll in polls]
    for target in targets:
        target.period_s = outage.period_s
    health = Health(
        links={"line": LinkHealth("serial")},
        meters={id_: MeterHealth("line", outage.period_s) for id_ in ids},
    )
    recorder = Recorder(outage)
    poller = LinkPoller(
        "line",
        link,
        list(targets),
        cast("RealRecorder", recorder),
        clock,
        health,
        pause_max_s=outage.retry_max_s,
        timeout_s=TIMEOUT_S,
        spread=rng.random(),
    )
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(outage.end_s + outage.bound_s + 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert line.stats.gap_violations == 0
    return outage, {id_: recorder.back.get(id_, float("inf")) for id_ in ids}


@pytest.mark.parametrize("first", range(0, 4 * REPEATS, REPEATS))
def test_data_are_back_within_two_pauses_after_any_outage_r24(first: int) -> None:
    late = []
    for seed in range(first, first + REPEATS):
        with structlog.testing.capture_logs():  # thousands, which nobody reads
            outage, back = run(recover(seed))
        if max(back.values()) > outage.bound_s:
            late.append((seed, vars(outage), round(outage.bound_s, 1), back))
    assert not late, f"{len(late)} of {REPEATS}: {late[:3]}"

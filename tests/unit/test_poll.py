"""One link's task: isolation, identity of samples, epochs, quiet logs."""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest
import structlog

from gateway.health import Health, LinkHealth, MeterHealth
from gateway.journal.event_log import EventLog
from gateway.model import Event, Flag, Frame, Sample
from gateway.polling.poll import LinkPoller
from gateway.polling.recorder import Recorder, watch_clock
from simulators.fakes import FakeLink, Trouble, fake_layout, fake_site
from simulators.virtual import VirtualClock, run
from tests.sim.plant import FakeTarget
from tests.unit.journal_rig import MS_NS, START_NS, open_journal, small_layout, uncommitted

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Poll
    from gateway.journal.journal import Journal

LAYOUT = small_layout()
S = 1_000_000_000


def sample(time_ns: int) -> Sample:
    return Sample(time_ns, None, b"\0\1\0\2", array("H", [0, 0]))


def frames(journal: Journal) -> list[tuple[int, int]]:
    return [(r.epoch, r.time_ns - START_NS) for r in uncommitted(journal) if isinstance(r, Frame)]


class Bench:
    """A recorder on a journal nobody commits."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(START_NS)
        self.journal = open_journal(folder, self.clock)
        self.health = Health(meters={"m-1": MeterHealth("link-1")})
        self.recorder = Recorder(self.journal, EventLog(self.journal, self.clock), self.clock, self.health)


def test_times_are_whole_milliseconds_and_rise_strictly(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await asyncio.sleep(1)
        for offset_ns in (500_600, 700_700, 2_999_999, 1_000_000):
            bench.recorder.record(LAYOUT, sample(START_NS + offset_ns))
        assert frames(bench.journal) == [(0, 0), (0, MS_NS), (0, 2 * MS_NS), (0, 3 * MS_NS)]

    run(main())


def test_times_rise_over_a_restart_with_a_clock_a_little_behind(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        bench.recorder.record(LAYOUT, sample(START_NS + 500 * MS_NS))
        await bench.journal.close()
        again = Bench(tmp_path)
        again.recorder.record(LAYOUT, sample(START_NS))
        assert frames(again.journal) == [(0, 501 * MS_NS)]

    run(main())


def test_a_step_back_is_noticed_with_the_first_sample_after_it(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await asyncio.sleep(60)
        bench.recorder.record(LAYOUT, sample(bench.clock.wall_ns()))
        bench.clock.step(-30)
        bench.recorder.record(LAYOUT, sample(bench.clock.wall_ns()))
        bench.recorder.watch_clock()
        assert frames(bench.journal) == [(0, 60 * S), (1, 30 * S)]

    run(main())


def test_an_answer_from_before_the_step_does_not_hold_time_back(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await asyncio.sleep(60)
        before = sample(bench.clock.wall_ns())
        bench.clock.step(-30)
        bench.recorder.watch_clock()
        bench.recorder.record(LAYOUT, before)
        bench.recorder.record(LAYOUT, sample(bench.clock.wall_ns()))
        times = frames(bench.journal)
        assert [epoch for epoch, _ in times] == [1, 2]
        assert times[-1][1] == 30 * S

    run(main())


def test_a_slew_is_no_step(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        task = asyncio.create_task(watch_clock(bench.clock, bench.recorder))
        for _ in range(100):
            bench.clock.step(0.3)
            await asyncio.sleep(1)
        assert bench.journal.epoch == 0
        bench.clock.step(1.5)
        await asyncio.sleep(2)
        assert bench.journal.epoch == 1
        task.cancel()

    run(main())


def test_an_unsynchronised_clock_is_one_more_doubt(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        bench.clock.synchronised = False
        bench.recorder.watch_clock()
        flags = array("H", [int(Flag.STALE), 0])
        bench.recorder.record(LAYOUT, Sample(START_NS, None, b"\0\1\0\2", flags))
        bench.recorder.record(LAYOUT, sample(START_NS + S))
        marks = [list(r.flags) for r in uncommitted(bench.journal) if isinstance(r, Frame)]
        assert marks == [[8 | 512, 512], [512, 512]]
        assert bench.health.meters["m-1"].flagged == 1

    run(main())


def test_layouts_compiled_anew_keep_the_memory_of_the_checks_and_do_not_pile_up(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        for n in range(20):
            bench.recorder.record(small_layout(), sample(START_NS + n * S))
        assert len(bench.recorder._checkers) == 1
        before = bench.recorder._checkers.copy()
        bench.recorder.record(small_layout(), sample(START_NS + 100 * S))
        assert list(bench.recorder._checkers.values()) == list(before.values())
        bench.recorder.record(small_layout(coefficient="2"), sample(START_NS + 200 * S))
        assert list(bench.recorder._checkers.values()) != list(before.values())

    run(main())


class Line:
    """A link under test with its poller."""

    def __init__(
        self,
        folder: Path,
        meters: int,
        troubles: list[Trouble],
        *,
        timeout_s: float = 0.5,
        period_s: float = 10.0,
    ) -> None:
        self.clock = VirtualClock(START_NS)
        self.polls = fake_site(meters, 3, period_s, timeout_s=timeout_s)["link-1"]
        self.health = Health(
            links={"link-1": LinkHealth("fake")},
            meters={poll.meter: MeterHealth("link-1", period_s) for poll in self.polls},
        )
        self.journal = open_journal(folder, self.clock)
        self.link = FakeLink(self.clock, troubles)
        events = EventLog(self.journal, self.clock)
        self.recorder = Recorder(self.journal, events, self.clock, self.health)
        self.own([FakeTarget(poll) for poll in self.polls])

    def own(self, targets: list[FakeTarget], **more: Any) -> None:
        """Make a poller for these targets. more: as `LinkPoller` takes it."""
        self.poller = LinkPoller(
            "link-1", self.link, list(targets), self.recorder, self.clock, self.health, **more
        )

    async def go(self, until_s: float) -> list[str]:
        """Poll until then; return the log events."""
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(self.poller.run())
            await asyncio.sleep(until_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return [entry["event"] for entry in logs]


def test_a_dead_meter_is_probed_at_a_growing_pause_and_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 3, [Trouble("dead", 15, 400, who="m-002")])
        told = await line.go(599)
        assert told == ["link up", "meter off", "meter answers again"]
        assert line.link.read_count["m-001"] == line.link.read_count["m-003"] == 59
        assert 6 <= line.link.failures["m-002", "timeout"] <= 10

    run(main())


def test_one_spoilt_answer_costs_one_poll(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [Trouble("garbage", 15, 25, who="m-002")])
        await line.go(100.5)
        assert (line.link.read_count["m-001"], line.link.read_count["m-002"]) == (10, 10)

    run(main())


def test_a_line_whose_meters_are_all_silent_is_down_until_one_answers(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [Trouble("dead", 15, 300)])
        told = await line.go(500)
        assert [event for event in told if event.startswith("link")] == ["link up", "link down", "link up"]
        assert line.health.links["link-1"].state == "up"
        assert line.link.open_count > 3  # it is opened anew meanwhile

    run(main())


def test_pauses_between_attempts_begin_anew_after_an_outage(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 1, [Trouble("down", 100, 300), Trouble("down", 1000, 1001)])
        await line.go(1050)
        assert line.link.read_count["m-001"] >= 10 + 60 + 3  # at 1010 it is read again

    run(main())


def two_periods(line: Line, slow_s: float = 60.0) -> None:
    """Give the first meter a second, slower target."""
    fast = line.polls[0]
    slow = replace(fast, layout=fake_layout(fast.meter, 2, slow_s))
    line.own([FakeTarget(poll) for poll in (slow, *line.polls)])


def events(journal: Journal) -> list[tuple[str, float | None]]:
    """Return (kind, period) of the events of the first meter."""
    found = [r for r in uncommitted(journal) if isinstance(r, Event) and r.subject == "m-001"]
    return [(event.kind, event.detail.get("period_s")) for event in found]  # type: ignore[misc]


def test_a_meter_with_two_periods_costs_one_timeout_when_it_is_dead(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [Trouble("dead", 15, 400, who="m-001")])
        two_periods(line, 10.0)
        told = await line.go(30)
        assert line.link.failures["m-001", "timeout"] == 1
        assert told == ["link up", "meter off"]

    run(main())


@pytest.mark.parametrize("kind", ["exception", "dead"])
@pytest.mark.parametrize("period_s", [10.0, 60.0])
def test_one_period_that_always_fails_is_told_once_and_leaves_the_meter_on(
    tmp_path: Path, kind: Literal["exception", "dead"], period_s: float
) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [])
        two_periods(line)
        read = line.link.read

        async def refused(poll: Poll) -> list[Sample]:
            if poll.meter == "m-001" and poll.layout.period_s == period_s:
                line.link.troubles = [Trouble(kind)]
            try:
                return await read(poll)
            finally:
                line.link.troubles = []

        line.link.read = refused  # type: ignore[method-assign]
        told = await line.go(3601)
        assert told.count("channels off") == 1
        assert told.count("meter off") <= 1  # a first silence may be the meter's
        assert ("channels_off", period_s) in (journaled := events(line.journal))
        assert len(journaled) <= 4, journaled
        assert line.health.meters["m-001"].state == "on"
        assert line.link.read_count["m-002"] == 360
        working = {10.0: 60, 60.0: 360}[period_s]
        assert line.link.read_count["m-001"] >= working + 25  # the one is read, the other probed

    run(main())


def test_channels_that_answer_again_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        troubles = [Trouble("exception", 99, 100.5, who="m-001"), Trouble("dead", 200, 500, who="m-001")]
        line = Line(tmp_path, 2, troubles)
        two_periods(line)  # the slower one is due at 40, 100, 160 …
        told = await line.go(1000)
        journaled = events(line.journal)
        assert journaled[:5] == [
            ("meter_on", None),
            ("channels_off", 60.0),
            ("meter_off", None),  # both were refused
            ("meter_on", None),
            ("channels_on", 60.0),
        ]
        assert journaled[5:7] == [("meter_off", None), ("meter_on", None)]
        assert len(journaled) in (7, 9)  # the slower one may answer before the other
        assert told.count("meter off") == told.count("meter answers again") == 2
        assert line.health.meters["m-001"].error == ""

    run(main())


def test_the_first_pause_is_the_targets_own_period(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 2, [Trouble("dead", 15, 36, who="m-001")])
        two_periods(line)
        await line.go(60.5)
        of_meter = [
            r for r in uncommitted(line.journal) if isinstance(r, Frame) and r.layout.meter == "m-001"
        ]
        assert [(r.time_ns - START_NS) // S for r in of_meter] == [10, 40, 40, 50, 60]

    run(main())


@pytest.mark.parametrize("step_s", [-3600, -5, 5, 3600])
def test_a_clock_step_costs_no_burst_and_no_long_pause(tmp_path: Path, step_s: float) -> None:
    async def main() -> None:
        line = Line(tmp_path, 1, [])
        task = asyncio.create_task(line.go(100.5))
        await asyncio.sleep(32)
        line.clock.step(step_s)
        await task
        assert 9 <= line.link.read_count["m-001"] <= 11
        assert line.health.meters["m-001"].skipped == 0

    run(main())


def test_overruns_are_skipped_counted_and_journaled_once_a_minute(tmp_path: Path) -> None:
    async def main() -> None:
        line = Line(tmp_path, 1, [Trouble("slow", 0, 150, delay_s=15)], timeout_s=60)
        await line.go(200.5)
        told = [r.detail for r in uncommitted(line.journal) if isinstance(r, Event) and r.kind == "overrun"]
        counts = [detail["count"] for detail in told]
        assert counts[0] == 1
        assert len(counts) <= 4
        assert sum(counts) == line.health.meters["m-001"].skipped  # type: ignore[arg-type]
        frames_there = [r for r in uncommitted(line.journal) if isinstance(r, Frame)]
        assert len(frames_there) + line.health.meters["m-001"].skipped == 20
        assert (told[0]["first_ns"], told[0]["last_ns"]) == (START_NS + 10 * S, START_NS + 20 * S)

    run(main())

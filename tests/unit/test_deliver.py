"""One sink's task: at least once, live first, outages told once, refusals recorded."""

from __future__ import annotations

import asyncio
import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from gateway.deliver import Deliverer
from gateway.errors import SinkUnavailable
from gateway.health import SinkHealth
from gateway.journal import reader as journal_reader
from simulators.fakes import FakeSink, Trouble
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import START_NS, frame, open_journal, small_layout

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.model import Batch, Refusal

LAYOUT = small_layout()


class Rig:
    """A journal that gets a frame a second, and one sink."""

    def __init__(self, folder: Path, sink: FakeSink | None = None, **options: float) -> None:
        self.clock = VirtualClock(START_NS)
        self.journal = open_journal(folder, self.clock)
        self.sink = sink or FakeSink("sink", self.clock)
        self.sink.clock = self.clock
        self.health = SinkHealth("fake")
        self.options = options
        self.n = 0
        self.deliverer: Deliverer
        self.logs: list[str] = []
        self.entries: list[Any] = []

    async def go(self, until_s: int, *, live_s: int | None = None) -> None:
        """Deliver until then, with frames while live_s lasts."""
        reader = await self.journal.reader("sink")
        self.deliverer = Deliverer(
            "sink", self.sink, reader, self.journal, self.clock, self.health, **self.options
        )
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(self.deliverer.run())
            for second in range(until_s):
                if live_s is None or second < live_s:
                    self.n += 1
                    self.journal.append(frame(LAYOUT, self.n))
                await self.journal.flush()
                await asyncio.sleep(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.entries += logs
        self.logs += [entry["event"] for entry in logs]

    def numbers(self) -> list[int]:
        return [(time_ns - START_NS) // 1_000_000 for _, _, time_ns in self.sink.identities()]


def test_everything_arrives_in_order_and_the_outage_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        rig = Rig(tmp_path, FakeSink("sink", clock, [Trouble("away", 10, 100)]))
        await rig.go(200)
        assert sorted(set(rig.numbers())) == list(range(1, 201))
        assert rig.deliverer.reader.pending == 0
        assert rig.logs.count("sink down; readings wait in the journal") == 1
        assert rig.logs.count("sink up") == 2
        late = [d for d in rig.sink.deliveries if d.backfill]
        assert len(late) > 20

    run(main())


def test_a_lost_acknowledgement_repeats_the_batch_and_counts_it_once(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        rig = Rig(tmp_path, FakeSink("sink", clock, [Trouble("doubtful", 10, 12)]))
        await rig.go(60)
        assert len(rig.numbers()) > 60
        assert sorted(set(rig.numbers())) == list(range(1, 61))
        assert rig.deliverer.reader.delivered == 120

    run(main())


def test_the_backlog_is_delivered_though_nothing_is_polled_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        rig = Rig(tmp_path, FakeSink("sink", clock, [Trouble("away", 5, 100)]), backlog_rate=10.0)
        await rig.go(400, live_s=90)
        assert rig.deliverer.reader.pending == 0

    run(main())


def test_a_slow_sink_gets_live_and_backlog_in_turn(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        troubles = [Trouble("away", 5, 100), Trouble("slow", 100, 2000, delay_s=1.5)]
        rig = Rig(tmp_path, FakeSink("sink", clock, troubles))
        await rig.go(300)
        assert rig.deliverer.reader.backlog == 0

    run(main())


def test_refused_frames_are_recorded_with_their_reason(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        sink = FakeSink(
            "sink", clock, refuse=lambda f: "field type" if f.time_ns == START_NS + 3_000_000 else ""
        )
        rig = Rig(tmp_path, sink)
        await rig.go(10)
        await rig.journal.flush()
        (row,) = await rig.journal.refusals()
        assert (row.reader, row.meter, row.readings, row.reason) == ("sink", "m-1", 2, "field type")
        assert (rig.deliverer.reader.delivered, rig.deliverer.reader.refused) == (18, 2)

    run(main())


def test_what_the_sink_asks_to_wait_is_told(tmp_path: Path) -> None:
    class Busy(FakeSink):
        async def write(self, batch: Batch) -> list[Refusal]:
            if self.write_count == 0:
                self.write_count += 1
                raise SinkUnavailable("429", retry_after_s=40)
            return await super().write(batch)

    async def main() -> None:
        rig = Rig(tmp_path, Busy("sink", VirtualClock(START_NS)))
        await rig.go(30)
        assert rig.health.error == "429; asked to wait 40 s, waits 40 s"

    run(main())


@pytest.mark.parametrize(
    ("asked_s", "waited_s"), [(40, 40), (1e9, 300), (math.inf, 300), (-5, 0.25), (0, 0.25)]
)
def test_what_the_sink_asks_to_wait_is_waited_within_reason(
    tmp_path: Path, asked_s: float, waited_s: float
) -> None:
    class Busy(FakeSink):
        async def write(self, batch: Batch) -> list[Refusal]:
            if self.write_count == 0:
                self.write_count += 1
                raise SinkUnavailable("429", retry_after_s=asked_s)
            return await super().write(batch)

    async def main() -> None:
        rig = Rig(tmp_path, Busy("sink", VirtualClock(START_NS)))
        await rig.go(310, live_s=2)
        assert waited_s <= min(d.at_s for d in rig.sink.deliveries) <= waited_s + 3

    run(main())


def test_a_sink_that_flaps_is_told_seldom_and_in_turn(tmp_path: Path) -> None:
    class Flapping(FakeSink):
        async def write(self, batch: Batch) -> list[Refusal]:
            refusals = await super().write(batch)
            if self.write_count % 2 and self.clock.monotonic() < 600:
                raise SinkUnavailable("closed")
            return refusals

    async def main() -> None:
        rig = Rig(tmp_path, Flapping("sink", VirtualClock(START_NS)))
        await rig.go(720)
        downs = "sink down; readings wait in the journal"
        told = [event for event in rig.logs if event in {downs, "sink up"}]
        assert rig.health.downs > 200
        assert told[:4] == [downs, "sink up"] * 2
        assert 10 <= len(told) <= 4 + 12
        assert all(a != b for a, b in itertools.pairwise(told))
        assert told[-1] == "sink up", "what the log says last is true"
        unsaid = sum(entry.get("unsaid") or 0 for entry in rig.entries)
        assert unsaid + len(told) >= 2 * rig.health.downs

    run(main())


def test_a_sink_that_was_not_reached_yet_says_so() -> None:
    assert SinkHealth("mqtt").error == "connecting"


def test_frames_are_collected_for_flush_s_and_at_once_when_the_gateway_stops(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path, flush_s=10.0)
        task = asyncio.create_task(rig.go(35))
        await asyncio.sleep(33)
        writes, pending = rig.sink.write_count, rig.deliverer.reader.pending
        assert writes in {3, 4}
        assert pending > 0
        rig.deliverer.drain()
        await asyncio.sleep(0.5)
        assert rig.deliverer.reader.pending == 0
        await task

    run(main())


def test_a_whole_batch_that_waits_is_not_put_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        rig = Rig(tmp_path, flush_s=10.0)
        await rig.go(65)
        assert rig.deliverer.reader.pending <= 20 + 6  # collected for 10 s, and less than a batch

    monkeypatch.setattr(journal_reader, "LIVE_READINGS", 6)
    run(main())


def test_a_backlog_goes_on_while_live_readings_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        rig = Rig(tmp_path, FakeSink("sink", clock, [Trouble("away", 5, 100)]), flush_s=10.0)
        await rig.go(150)
        late = [one for one in rig.sink.deliveries if one.backfill]
        assert len(late) > 90
        assert rig.deliverer.reader.backlog == 0
        assert rig.sink.write_count < 90  # two frames of backlog a write; ten live ones

    monkeypatch.setattr(journal_reader, "BACKLOG_READINGS", 4)
    run(main())


def test_a_disk_that_cannot_be_read_is_an_outage_and_no_bug(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        rig = Rig(tmp_path, FakeSink("sink", clock, [Trouble("away", 0, 30)]))
        await rig.go(30)
        rig.journal._tail.forget(1 << 40)
        rig.journal._store.close()
        reader = rig.deliverer.reader
        deliverer = Deliverer("sink", rig.sink, reader, rig.journal, clock, rig.health)
        task = asyncio.create_task(deliverer.run())
        await asyncio.sleep(60)
        assert not task.done()
        assert "journal" in rig.health.error
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())

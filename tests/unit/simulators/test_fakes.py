"""The fakes of the simulation tests: what they show is what they remember, and they fail when told to."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from gateway.clock import sleep_for
from gateway.errors import DeviceError, LinkDown, SinkUnavailable
from gateway.model import Batch, Frame
from simulators.fakes import FakeLink, FakeSink, Trouble, fake_site
from simulators.virtual import VirtualClock, run

if TYPE_CHECKING:
    from gateway.interfaces import Clock, Link, Sink

START_NS = 1_795_316_400_000_000_000


def test_the_fakes_are_what_the_gateway_expects() -> None:
    clock: Clock = VirtualClock(START_NS)
    link: Link = FakeLink(clock)
    sink: Sink = FakeSink("s", clock)
    assert link is not None
    assert sink is not None


def test_a_site_is_dealt_to_its_links() -> None:
    site = fake_site(40, 10, 10.0, 3)
    polls = [poll for of_link in site.values() for poll in of_link]
    assert list(site) == ["link-1", "link-2", "link-3"]
    assert len({poll.meter for poll in polls}) == 40
    assert {len(poll.layout.channels) for poll in polls} == {10}
    assert len({(link, poll.address) for link, of_link in site.items() for poll in of_link}) == 40
    assert {channel.kind for channel in polls[0].layout.channels} == {"gauge", "counter"}


def test_a_sample_decodes_to_the_truth_and_counters_roll_over() -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        link = FakeLink(clock, seed=3)
        (poll,) = fake_site(1, 12, 10.0)["link-1"]
        await link.open()
        rolled = 0
        before: tuple[float, ...] = ()
        for _ in range(300):
            (sample,) = await link.read(poll)
            assert sample.time_ns % 1_000_000 == 0
            truth = link.truth[poll.meter, sample.time_ns]
            assert list(poll.layout.decode(sample.raw, sample.flags)) == pytest.approx(truth)
            if before:
                rolled += any(b > t for b, t in zip(before[5::6], truth[5::6], strict=True))
            before = truth
            await sleep_for(clock, 10)
        assert rolled == 2  # both odd counters start close to their modulus

    run(main())


def test_link_troubles_by_meter_and_time() -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        troubles = [
            Trouble("dead", who="m-001", end_s=10),
            Trouble("garbage", who="m-002", end_s=10),
            Trouble("slow", who="m-003", end_s=10, delay_s=0.2),
            Trouble("down", start_s=20, end_s=30),
        ]
        link = FakeLink(clock, troubles)
        dead, garbage, slow = fake_site(3, 3, 1.0)["link-1"]
        await link.open()
        before_s = clock.monotonic()
        with pytest.raises(DeviceError, match="timeout"):
            await link.read(dead)
        assert clock.monotonic() - before_s == pytest.approx(dead.timeout_s)
        with pytest.raises(DeviceError, match="garbage") as caught:
            await link.read(garbage)
        assert caught.value.raw
        before_s = clock.monotonic()
        await link.read(slow)
        assert clock.monotonic() - before_s > 0.2
        await clock.sleep_until(15)
        await link.read(dead)
        await clock.sleep_until(25)
        with pytest.raises(LinkDown):
            await link.read(dead)
        with pytest.raises(LinkDown):
            await link.open()
        await clock.sleep_until(31)
        await link.open()
        await link.read(dead)
        assert link.failures == {("m-001", "timeout"): 1, ("m-002", "garbage"): 1}

    run(main())


def test_a_link_with_two_owners_is_a_bug() -> None:
    async def main() -> None:
        import asyncio

        link = FakeLink(VirtualClock(START_NS))
        (poll,) = fake_site(1, 3, 1.0)["link-1"]
        with pytest.raises(RuntimeError, match="not open"):
            await link.read(poll)
        await link.open()
        with pytest.raises(RuntimeError, match="two owners"):
            await asyncio.gather(link.read(poll), link.read(poll))

    run(main())


def batch_of(count: int, *, backfill: bool = False) -> Batch:
    layout = fake_site(1, 3, 1.0)["link-1"][0].layout
    frames = [
        Frame(
            layout, 0, START_NS + i * 1_000_000, None, b"", array("d", (1.0, 2.0, float(i))), layout.no_flags
        )
        for i in range(count)
    ]
    return Batch(frames, 1, count, backfill)


def test_a_sink_keeps_order_refuses_and_goes_away() -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        troubles = [Trouble("away", 10, 20), Trouble("doubtful", 30, 31), Trouble("slow", 40, 50, delay_s=3)]
        sink = FakeSink("s", clock, troubles, refuse=lambda frame: "no" if frame.values[2] == 1 else "")
        await sink.open()
        refusals = await sink.write(batch_of(3))
        assert [(refusal.index, refusal.reason) for refusal in refusals] == [(1, "no")]
        assert [time_ns - START_NS for _, _, time_ns in sink.identities()] == [0, 2_000_000]
        await clock.sleep_until(12)
        with pytest.raises(SinkUnavailable):
            await sink.write(batch_of(1))
        with pytest.raises(SinkUnavailable):
            await sink.open()
        await clock.sleep_until(30)
        await sink.open()
        with pytest.raises(SinkUnavailable, match="acknowledgement"):
            await sink.write(batch_of(3))
        await clock.sleep_until(40)
        await sink.open()
        await sink.write(batch_of(3, backfill=True))
        assert clock.monotonic() > 43
        assert len(sink.deliveries) == 6  # the doubtful batch was taken, then came again
        assert sink.first_times("m-001") == [(0, START_NS), (0, START_NS + 2_000_000)]
        assert sink.first_times("m-001", backfill=True) == []

    run(main())

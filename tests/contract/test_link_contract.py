"""One contract for every kind of link: what `gateway.interfaces.Link` promises, whatever is at the other end."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from asyncua import ua

from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from tests.contract.link_rigs import DEAD_S, KINDS, rigged
from tests.contract.opcua_server import PlantServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.interfaces import Link, Poll
    from gateway.model import Sample
    from tests.contract.link_rigs import Rig

PATIENCE_S = 15.0  # longer than a late answer of a line is expected


@pytest.fixture(scope="module")
def _servers() -> Iterator[list[PlantServer]]:
    """Start the OPC UA server when it is first needed, once."""
    started: list[PlantServer] = []
    yield started
    for server in started:
        server.__exit__()


@pytest.fixture(params=KINDS)
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, _servers: list[PlantServer]
) -> AsyncIterator[Rig]:
    def server() -> PlantServer:
        if not _servers:
            made = PlantServer().__enter__()
            made.add("Flow", 1.5, ua.VariantType.Double)
            made.add("Level", 2.5, ua.VariantType.Double)
            _servers.append(made)
        return _servers[0]

    async with rigged(request.param, tmp_path, server) as made:
        yield made


async def some(link: Link, poll: Poll) -> list[Sample]:
    """Return at least one sample; a subscription may have none for a moment."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if samples := await link.read(poll):
                return samples
            await asyncio.sleep(0.02)


def is_whole(poll: Poll, sample: Sample) -> bool:
    size = poll.layout.size
    return (
        len(sample.raw) == size and len(sample.flags) == len(poll.layout.channels) and not any(sample.flags)
    )


async def test_samples_have_the_shape_of_the_layout_and_their_times_rise(rig: Rig) -> None:
    await rig.link.open()
    before_ns = SystemClock().wall_ns()
    samples = [sample for _ in range(3) for sample in await some(rig.link, rig.poll)]
    for sample in samples:
        assert is_whole(rig.poll, sample)
        assert sample.flags.typecode == "H"
        values = rig.poll.layout.decode(sample.raw, sample.flags[:])
        assert len(values) == len(rig.poll.layout.channels)
    times = [sample.time_ns for sample in samples]
    assert times == sorted(times)
    assert len(set(times)) > 1
    assert before_ns - 10**7 <= times[0]
    assert times[-1] <= SystemClock().wall_ns()
    samples[0].flags[0] = 1  # each sample owns its flags: the checks write into them
    assert not any(rig.poll.layout.no_flags)


async def test_open_and_close_may_be_called_twice_and_never_raise(rig: Rig) -> None:
    await rig.link.close()
    await rig.link.open()
    await rig.link.open()
    await some(rig.link, rig.poll)
    await rig.link.close()
    await rig.link.close()


async def test_a_link_that_is_not_open_is_down(rig: Rig) -> None:
    with pytest.raises(rig.not_open):
        await rig.link.read(rig.poll)
    await rig.link.open()
    await some(rig.link, rig.poll)
    await rig.link.close()
    with pytest.raises(rig.not_open):
        await rig.link.read(rig.poll)


async def test_a_poll_of_another_protocol_is_refused_and_costs_nobody_else(rig: Rig) -> None:
    await rig.link.open()
    with pytest.raises(DeviceError, match=rig.poll.meter) as refused:
        await rig.link.read(replace(rig.poll, protocol="profibus"))
    assert refused.value.reason == "refused"
    assert is_whole(rig.poll, (await some(rig.link, rig.poll))[0])


async def test_a_dead_meter_costs_its_timeout_and_is_an_error_of_its_own(rig: Rig) -> None:
    await rig.link.open()
    rig.before_dead()
    clock = SystemClock()
    before_s = clock.monotonic()
    with pytest.raises(DeviceError) as failed:
        await rig.link.read(rig.dead)
    assert failed.value.reason == "timeout"
    assert 0.9 * DEAD_S <= clock.monotonic() - before_s < DEAD_S + 1.5
    assert rig.dead.meter in str(failed.value)


async def down(rig: Rig) -> None:
    """Read as an owner does until the link is down; a poll or two may fail first."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await rig.link.read(rig.poll)
            except DeviceError:
                pass
            except LinkDown:
                return
            await asyncio.sleep(0.01)


async def test_a_peer_that_is_gone_is_link_down_and_works_once_opened_again(rig: Rig) -> None:
    await rig.link.open()
    await some(rig.link, rig.poll)
    for _ in range(2):
        rig.vanish()
        await down(rig)
        await rig.link.close()
        with suppress(LinkDown):
            await rig.link.open()
            await down(rig)  # at the latest: a broken peer may accept and cut
        await rig.link.close()
        rig.come_back()
        await rig.link.open()
        assert is_whole(rig.poll, (await some(rig.link, rig.poll))[0])


async def test_a_read_that_is_cancelled_leaves_no_wrong_sample_behind(rig: Rig) -> None:
    await rig.link.open()
    await some(rig.link, rig.poll)
    for turns in range(6):
        reading = asyncio.ensure_future(rig.link.read(rig.poll))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        async with asyncio.timeout(PATIENCE_S):
            while True:
                samples: list[Sample] = []
                try:
                    samples = await rig.link.read(rig.poll)
                except DeviceError:
                    pass  # lawful for a while: its late answer may still come
                except LinkDown:
                    await rig.link.close()
                    await rig.link.open()
                if samples:
                    break
                await asyncio.sleep(0.02)
        assert all(is_whole(rig.poll, sample) for sample in samples)


async def test_an_open_that_is_cancelled_may_be_tried_again(rig: Rig) -> None:
    for turns in range(4):
        opening = asyncio.ensure_future(rig.link.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await rig.link.close()
    await rig.link.open()
    assert is_whole(rig.poll, (await some(rig.link, rig.poll))[0])


async def test_figures_are_plain_json_at_any_time_and_go_on_over_reopening(rig: Rig) -> None:
    first = rig.link.figures()
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    await rig.link.open()
    await some(rig.link, rig.poll)
    await rig.link.close()
    told = rig.link.figures()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    await rig.link.open()
    later = rig.link.figures()
    for key, count in told.items():
        if isinstance(count, int):
            assert later[key] >= count, key  # type: ignore[operator]


async def test_a_notice_may_be_set_at_any_time(rig: Rig) -> None:
    rig.link.notice("channel_absent", "m-1", channels=[])  # nobody has set one: nobody is told
    told: list[str] = []
    rig.link.notice = lambda kind, _subject, /, **_detail: told.append(kind)
    await rig.link.open()
    await some(rig.link, rig.poll)
    assert set(told) <= {"meter_clock"}, "nothing is told of a meter that answers"

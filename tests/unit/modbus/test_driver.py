"""What a poll of several requests costs and keeps when some of them fail; and opening."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from drivers.modbus.driver import ModbusTcpLink
from drivers.registers import ReadLimits, RegisterSource
from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from gateway.model import ClockState, Flag
from tests.unit.modbus.hostile import HostileServer, Request
from tests.unit.modbus.polls import holding, make_poll

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.interfaces import Clock
    from tests.unit.modbus.polls import Source

COMMS = Flag.MISSING | Flag.COMMS
DEVICE = Flag.MISSING | Flag.DEVICE
APART = [holding(0), holding(10), holding(20)]  # three requests, since holes are unknown
TOGETHER = [holding(0), holding(1), holding(2), holding(10)]


class ManualClock:
    """Time that passes only while somebody waits for it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.wall = 1_000_000_007

    def wall_ns(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float) -> None:
        self.now_s = max(self.now_s, monotonic_s)

    def state(self) -> ClockState:
        return ClockState(True, None, None)


@asynccontextmanager
async def linked(
    script: Callable[[Request], bytes | None] | None = None, clock: Clock | None = None
) -> AsyncIterator[tuple[HostileServer, ModbusTcpLink]]:
    async with HostileServer(script) as server:
        link = ModbusTcpLink("127.0.0.1", server.port, timeout_s=0.05, clock=clock or SystemClock())
        await link.open()
        try:
            yield server, link
        finally:
            await link.close()


def addresses(server: HostileServer) -> list[int]:
    """Return what was asked since the last call."""
    asked = [request.address for request in server.requests]
    server.requests.clear()
    return asked


async def test_a_sample_carries_the_time_of_its_last_answer_and_flags_of_its_own() -> None:
    async with linked(clock=ManualClock()) as (_, link):
        for sources in ([holding(5)], APART):
            poll = make_poll(sources)
            (sample,) = await link.read(poll)
            assert (sample.time_ns, sample.device_time_ns) == (1_000_000_007, None)
            sample.flags[0] = Flag.SENTINEL  # as Layout.decode may
            assert not any(poll.layout.no_flags)


async def test_a_failed_request_spoils_only_its_channels() -> None:
    async with linked(lambda r: r.refuse(4) if r.address == 10 else r.own()) as (server, link):
        (sample,) = await link.read(make_poll(APART))
        assert sample.raw == bytes.fromhex("0000 0000 0014")
        assert list(sample.flags) == [Flag.OK, DEVICE, Flag.OK]
        assert addresses(server) == [0, 10, 20]
        assert (link.stats.answers, link.stats.exceptions) == (2, 1)


async def test_garbage_does_not_end_the_poll() -> None:
    async with linked(lambda r: r.answer(1, unit=9) if r.address == 0 else r.own()) as (_, link):
        (sample,) = await link.read(make_poll(APART))
        assert list(sample.flags) == [COMMS, Flag.OK, Flag.OK]


async def test_a_dead_meter_of_many_requests_costs_one_timeout() -> None:
    async with linked(lambda _: None) as (server, link):
        poll = make_poll(APART)
        for _ in range(3):
            with pytest.raises(DeviceError, match="2 other requests failed or were not asked") as caught:
                await link.read(poll)
            assert caught.value.reason == "timeout"
        assert link.stats.timeouts == link.stats.requests == 3
        assert addresses(server) == [0, 10, 20]  # each poll begins with another request


async def test_a_request_that_is_never_answered_is_asked_last() -> None:
    async with linked(lambda r: None if r.address == 0 else r.own()) as (server, link):
        poll = make_poll(APART)
        with pytest.raises(DeviceError):
            await link.read(poll)
        for _ in range(2):
            (sample,) = await link.read(poll)
            assert list(sample.flags) == [COMMS, Flag.OK, Flag.OK]
        assert addresses(server) == [0, 10, 20, 0, 10, 20, 0]


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_that_says_the_meter_is_silent_ends_the_poll(code: int) -> None:
    async with linked(lambda r: r.refuse(code)) as (server, link):
        with pytest.raises(DeviceError, match=f"exception {code}") as caught:
            await link.read(make_poll(APART))
        assert caught.value.reason == "exception"
        assert addresses(server) == [0]


async def test_requests_not_asked_share_the_cause() -> None:
    async with linked(lambda r: r.refuse(11) if r.address == 10 else r.own()) as (_, link):
        (sample,) = await link.read(make_poll(APART))
        assert list(sample.flags) == [Flag.OK, DEVICE, DEVICE]


async def test_what_was_read_before_the_connection_went_is_kept() -> None:
    async with linked() as (server, link):

        def script(request: Request) -> bytes | None:
            if request.address == 10:
                server.cut()
                return None
            return request.own()

        server.script = script
        poll = make_poll([holding(5), *APART[1:]])
        with pytest.raises(LinkDown, match="closed by the peer") as caught:
            await link.read(poll)
        (sample,) = caught.value.samples
        assert sample.raw == bytes.fromhex("0005 0000 0000")
        assert list(sample.flags) == [Flag.OK, COMMS, COMMS]


def _has(*missing: int) -> Callable[[Request], bytes]:
    """Return the script of a meter without these registers."""

    def script(request: Request) -> bytes:
        asked = range(request.address, request.address + request.count)
        return request.refuse(2) if set(asked) & set(missing) else request.own()

    return script


async def test_an_address_the_meter_lacks_does_not_cost_its_neighbours() -> None:
    async with linked(_has(1)) as (server, link):
        poll = make_poll(TOGETHER)
        for _ in range(2):
            (sample,) = await link.read(poll)
            assert sample.raw == bytes.fromhex("0000 0000 0002 000A")
            assert list(sample.flags) == [Flag.OK, DEVICE, Flag.OK, Flag.OK]
        # Found out in the first poll; in the second it is not asked for any more.
        assert addresses(server) == [0, 10, 0, 1, 2, 10, 0, 2, 10]


async def test_a_wrong_meter_altogether() -> None:
    async with linked(lambda r: r.refuse(2)) as (server, link):
        poll = make_poll([holding(0), holding(1)])
        for _ in range(2):
            with pytest.raises(
                DeviceError, match=r"exception 2 .*illegal data address.*counts? from 1"
            ) as caught:
                await link.read(poll)
            assert caught.value.reason == "exception"
        assert addresses(server) == [0, 0, 1, 0]


async def test_pauses_lie_between_requests_and_between_polls() -> None:
    clock = ManualClock()
    asked_s: list[float] = []

    def script(request: Request) -> bytes:
        asked_s.append(clock.now_s)
        return request.own()

    async with linked(script, clock) as (_, link):
        poll = make_poll(APART[:2], settings=ReadLimits(pause_ms=20))
        await link.read(poll)
        await link.read(poll)
        assert asked_s == pytest.approx([0.0, 0.02, 0.04, 0.06])


WAKE = ReadLimits(wake=True)


async def test_a_meter_that_is_only_woken_by_the_first_request_is_asked_once_more() -> None:
    asleep = [True]

    def answer(request: Request) -> bytes | None:
        if asleep:
            asleep.clear()
            return None
        return request.own()

    async with linked(answer) as (server, link):
        (sample,) = await link.read(make_poll(APART, settings=WAKE))
        assert not any(sample.flags)
        assert addresses(server) == [0, 0, 10, 20]
        asleep.append(True)
        with pytest.raises(DeviceError) as caught:  # any other meter type: one timeout, as ever
            await link.read(make_poll([holding(0)]))
        assert caught.value.reason == "timeout"


async def test_a_meter_that_does_not_wake_is_asked_twice_a_poll_and_no_more() -> None:
    async with linked(lambda _: None) as (server, link):
        for _ in range(2):
            with pytest.raises(DeviceError) as caught:
                await link.read(make_poll(APART, settings=WAKE))
            assert caught.value.reason == "timeout"
            assert addresses(server) == [0, 0]


async def test_bits_come_as_two_bytes_each() -> None:
    bits = [(RegisterSource(1, address, 1),) for address in (3, 4, 5, 6)]
    async with linked(lambda r: r.raw[:4] + bytes((0, 4, r.unit, 1, 1, 0b1101))) as (server, link):
        (sample,) = await link.read(make_poll(bits))
        assert sample.raw == bytes.fromhex("0001 0000 0001 0001")
        assert (server.requests[0].address, server.requests[0].count) == (3, 4)


async def test_two_bits_whose_byte_has_the_size_of_nothing_else() -> None:
    """One bit answers one byte and fills two: the answer is never the raw sample."""
    async with linked(lambda r: r.raw[:4] + bytes((0, 4, r.unit, 2, 1, 1))) as (_, link):
        (sample,) = await link.read(make_poll([(RegisterSource(2, 0, 1),)]))
        assert sample.raw == b"\x00\x01"


async def test_meters_behind_one_connection_are_told_apart_by_unit() -> None:
    async with linked(lambda r: r.answer(r.unit)) as (_, link):
        for unit in (1, 17, 255):
            (sample,) = await link.read(make_poll([holding(0)], unit=unit))
            assert sample.raw == bytes((0, unit))


@pytest.mark.parametrize(
    ("sources", "settings", "unit", "text"),
    [
        ([holding(0, 2)], ReadLimits(registers_max=1), 1, "channel ch_0"),
        ([holding(0)], "fast please", 1, "no read limits"),
        ([holding(0)], None, 300, "unit 300"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    sources: list[Source], settings: ReadLimits, unit: int, text: str
) -> None:
    async with linked() as (server, link):
        with pytest.raises(DeviceError, match=text) as caught:
            await link.read(make_poll(sources, settings=settings, unit=unit))
        assert caught.value.reason == "refused"
        assert not server.requests


@pytest.mark.parametrize(("protocol", "address"), [("dlt645", "202611220001"), ("modbus", "1")])
async def test_a_meter_of_another_protocol_is_refused_and_costs_nobody_else(
    protocol: str, address: str
) -> None:
    async with linked(lambda r: r.answer(7)) as (server, link):
        with pytest.raises(
            DeviceError, match=f"{protocol} address '{address}' on a link that reads modbus"
        ) as caught:
            await link.read(make_poll([holding(0)], unit=address, protocol=protocol))
        assert caught.value.reason == "refused"
        assert not server.requests
        (sample,) = await link.read(make_poll([holding(0)]))
        assert sample.raw == bytes((0, 7))


async def test_a_link_that_is_not_open_is_down() -> None:
    link = ModbusTcpLink("127.0.0.1", 1, timeout_s=0.05, clock=SystemClock())
    with pytest.raises(LinkDown, match="not connected"):
        await link.read(make_poll([holding(0)]))
    await link.close()


async def test_a_closed_port_says_what_to_do(free_port: Callable[[], int]) -> None:
    link = ModbusTcpLink("127.0.0.1", free_port(), timeout_s=0.05, clock=SystemClock(), name="hall-1")
    with pytest.raises(
        LinkDown, match=r"link hall-1: cannot connect to 127.0.0.1:\d+: .*errno 111.*check the port"
    ):
        await link.open()
    await link.close()
    await link.close()


async def test_a_host_that_does_not_answer_says_what_to_do() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):  # the queue is full: the next one is not even refused
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        link = ModbusTcpLink("127.0.0.1", port, timeout_s=0.05, connect_timeout_s=0.05, clock=SystemClock())
        with pytest.raises(LinkDown, match=r"no connection within 0\.05 s; .*firewall"):
            await link.open()


@pytest.mark.parametrize("host", ["", "a" * 64, "meter..example", "127.0.0.1\0"])
async def test_a_name_that_is_none_says_so(host: str) -> None:
    link = ModbusTcpLink(host, 1, timeout_s=0.05, clock=SystemClock(), connect_timeout_s=1)
    with pytest.raises(LinkDown, match="check"):
        await link.open()


async def test_open_may_be_called_again() -> None:
    async with linked() as (server, link):
        await link.open()
        (sample,) = await link.read(make_poll([holding(5)]))
        assert sample.raw == b"\x00\x05"
        assert server.connections == link.stats.connects == 2


async def test_counters() -> None:
    async with linked() as (_, link):
        poll = make_poll([holding(5, 2)])
        for _ in range(3):
            await link.read(poll)
        stats = link.stats
        assert (stats.requests, stats.answers, stats.bytes_sent, stats.bytes_received) == (3, 3, 36, 39)


async def test_discards_are_logged_once_a_minute() -> None:
    clock = ManualClock()
    with capture_logs() as logged:
        async with linked(lambda r: r.answer(1, unit=9), clock) as (_, link):
            for now_s in (0.0, 1.0, 59.0, 60.0):
                clock.now_s = now_s
                with pytest.raises(DeviceError):
                    await link.read(make_poll([holding(0)]))
            assert link.stats.discarded["unit"] == 4
    lines = [entry for entry in logged if entry["event"] == "answer discarded"]
    assert [entry["raw"] for entry in lines] == ["0001000000050903020001", "0004000000050903020001"]
    assert [entry["unsaid"] for entry in lines] == [None, 2]

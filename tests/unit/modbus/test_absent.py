"""Addresses a meter does not have: left alone, told once, tried again after a day. And several requests at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drivers.modbus.driver import ModbusTcpLink
from drivers.registers import ReadLimits
from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from gateway.model import Flag
from tests.unit.modbus.hostile import HostileServer, Request
from tests.unit.modbus.polls import holding, make_poll
from tests.unit.modbus.test_driver import APART, COMMS, DEVICE, TOGETHER, ManualClock, addresses, linked

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400.0


class Notices(list[tuple[str, str, dict[str, Any]]]):
    """Events as they were told."""

    def __call__(self, kind: str, subject: str, /, **detail: object) -> None:
        self.append((kind, subject, detail))


def _without(missing: set[int]) -> Callable[[Request], bytes]:
    def script(request: Request) -> bytes:
        asked = range(request.address, request.address + request.count)
        return request.refuse(2) if missing & set(asked) else request.own()

    return script


async def test_an_illegal_address_disables_its_channel_only_and_is_told_once_r4() -> None:
    missing, clock, notices = {1}, ManualClock(), Notices()
    async with linked(_without(missing), clock) as (server, link):
        link.notice = notices
        poll = make_poll(TOGETHER)
        for _ in range(3):
            (sample,) = await link.read(poll)
            assert list(sample.flags) == [Flag.OK, DEVICE, Flag.OK, Flag.OK]
        assert addresses(server) == [0, 10, 0, 1, 2, 10, 0, 2, 10, 0, 2, 10]
        ((kind, meter, detail),) = notices
        assert (kind, meter, detail["channels"], detail["reason"]) == (
            "channel_absent", "m-1", ["ch_1"], "illegal_address",
        )  # fmt: skip
        assert "address 1 " in str(detail["where"])
        assert "exception 2" in str(detail["error"])
        assert link.figures()["channels_off"] == {"m-1": 1}


async def test_it_is_tried_again_after_a_day_and_told_when_it_is_back() -> None:
    missing, clock, notices = {1}, ManualClock(), Notices()
    async with linked(_without(missing), clock) as (server, link):
        link.notice = notices
        poll = make_poll(TOGETHER)
        await link.read(poll)
        addresses(server)
        clock.now_s += DAY_S
        await link.read(poll)
        assert 1 in addresses(server)
        clock.now_s += DAY_S - 1
        await link.read(poll)
        assert 1 not in addresses(server)
        missing.clear()
        clock.now_s += 2
        (sample,) = await link.read(poll)
        assert not any(sample.flags)
        assert [(kind, detail["channels"]) for kind, _, detail in notices] == [
            ("channel_absent", ["ch_1"]), ("channel_found", ["ch_1"]),
        ]  # fmt: skip
        assert link.figures()["channels_off"] == {}


async def test_a_reconnect_tells_nothing_twice_and_asks_for_nothing_in_vain() -> None:
    notices = Notices()
    async with linked(_without({1})) as (server, link):
        link.notice = notices
        for _ in range(3):
            await link.read(make_poll(TOGETHER))
            await link.open()
        addresses(server)
        (sample,) = await link.read(make_poll(TOGETHER))
        assert list(sample.flags) == [Flag.OK, DEVICE, Flag.OK, Flag.OK]
        assert addresses(server) == [0, 2, 10]
        assert len(notices) == 1


async def test_a_channel_asked_alone_needs_two_refusals() -> None:
    notices = Notices()
    async with linked(_without({10})) as (server, link):
        link.notice = notices
        poll = make_poll(APART)
        for _ in range(3):
            (sample,) = await link.read(poll)
            assert list(sample.flags) == [Flag.OK, DEVICE, Flag.OK]
        assert addresses(server) == [0, 10, 20, 0, 10, 20, 0, 20]
        assert [kind for kind, _, _ in notices] == ["channel_absent"]


async def test_a_meter_that_has_nothing_is_an_error_of_every_poll_and_nothing_is_disabled() -> None:
    notices = Notices()
    async with linked(_without(set(range(100)))) as (_, link):
        link.notice = notices
        for poll in (make_poll(TOGETHER), make_poll([holding(0)])):
            for _ in range(3):
                with pytest.raises(DeviceError, match="illegal data address") as caught:
                    await link.read(poll)
                assert (caught.value.reason, caught.value.code) == ("exception", 2)
        assert not notices
        assert link.figures()["channels_off"] == {}


@pytest.mark.parametrize("code", [5, 6])
async def test_busy_is_flagged_and_no_value(code: int) -> None:
    async with linked(lambda r: r.refuse(code) if r.address == 10 else r.own()) as (_, link):
        (sample,) = await link.read(make_poll(APART))
        assert list(sample.flags) == [Flag.OK, DEVICE, Flag.OK]


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateways_word_for_an_offline_meter_has_its_code_r31(code: int) -> None:
    async with linked(lambda r: r.refuse(code)) as (_, link):
        with pytest.raises(DeviceError) as caught:
            await link.read(make_poll([holding(0)]))
        assert caught.value.code == code


async def test_timeouts_follow_the_round_trip_r17() -> None:
    clock = SystemClock()
    async with HostileServer() as server:
        link = ModbusTcpLink("127.0.0.1", server.port, timeout_s=5, clock=clock, timeout_min_s=0.03)
        await link.open()
        poll = make_poll([holding(0)], timeout_s=5)
        for _ in range(5):
            await link.read(poll)
        server.script = lambda _: None
        before_s = clock.monotonic()
        with pytest.raises(DeviceError) as caught:
            await link.read(poll)
        assert caught.value.reason == "timeout"
        assert clock.monotonic() - before_s < 2.5
        (figures,) = link.figures()["meters"].values()  # type: ignore[attr-defined]
        assert figures["timeouts"] == 1
        assert 0 < figures["round_trip_ms"] < 1000
        await link.close()


class Slow:
    """Answers nothing until so many requests are waiting, then all, the last first."""

    def __init__(self, together: int) -> None:
        self.together, self.waiting = together, list[Request]()

    def __call__(self, request: Request) -> bytes | None:
        self.waiting.append(request)
        if len(self.waiting) < self.together:
            return None
        answers = b"".join(request.own() for request in reversed(self.waiting))
        self.waiting.clear()
        return answers


async def _piped(server: HostileServer, pipeline: int) -> ModbusTcpLink:
    link = ModbusTcpLink("127.0.0.1", server.port, timeout_s=1, clock=SystemClock(), pipeline=pipeline)
    await link.open()
    return link


async def test_several_requests_may_be_on_their_way() -> None:
    async with HostileServer() as server:
        server.script = Slow(3)
        link = await _piped(server, 3)
        (sample,) = await link.read(make_poll(APART, timeout_s=1))
        assert sample.raw == bytes.fromhex("0000 000A 0014")
        await link.close()


async def test_no_more_are_on_their_way_than_allowed() -> None:
    async with HostileServer() as server:
        server.script = Slow(2)
        link = await _piped(server, 2)
        (sample,) = await link.read(make_poll([holding(10 * n) for n in range(6)], timeout_s=1))
        assert not any(sample.flags)
        await link.close()


async def test_with_several_on_their_way_a_silent_one_spoils_only_its_own_and_ends_the_poll() -> None:
    async with HostileServer(lambda r: None if r.address == 10 else r.own()) as server:
        link = await _piped(server, 2)
        poll = make_poll([*APART, holding(30), holding(40)], timeout_s=0.05)
        (sample,) = await link.read(poll)
        assert list(sample.flags) == [Flag.OK, COMMS, Flag.OK, COMMS, COMMS]
        assert addresses(server) == [0, 10, 20]
        await link.close()


async def test_with_several_on_their_way_the_connection_may_go() -> None:
    async with HostileServer() as server:

        def script(request: Request) -> bytes | None:
            if request.address == 20:
                server.cut()
            return request.own() if request.address == 5 else None

        server.script = script
        link = await _piped(server, 3)
        poll = make_poll([holding(5), *APART[1:]], timeout_s=0.5)
        with pytest.raises(LinkDown) as caught:
            await link.read(poll)
        (sample,) = caught.value.samples
        assert list(sample.flags) == [Flag.OK, COMMS, COMMS]
        await link.close()


async def test_a_meter_that_wants_rests_is_asked_one_by_one() -> None:
    async with HostileServer(lambda r: r.own()) as server:
        link = await _piped(server, 4)
        (sample,) = await link.read(make_poll(APART, settings=ReadLimits(pause_ms=1)))
        assert not any(sample.flags)
        await link.close()

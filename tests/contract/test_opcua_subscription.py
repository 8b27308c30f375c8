"""Subscriptions against a real server: every change arrives, losses are counted, silence is noticed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import BadTooManySubscriptions

from drivers.opcua import subscription
from drivers.opcua.subscription import Reporting
from gateway.errors import LinkDown
from gateway.model import Flag
from tests.contract.opcua_server import ITEMS_LIMIT_ID, PlantServer, exact, new_link, poll_of, read_one

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from drivers.opcua.driver import OpcUaLink
    from gateway.interfaces import Poll
    from gateway.model import Sample

FAST = Reporting(reporting_s=0.05, queue=100)
GONE = Flag.MISSING | Flag.DEVICE
T0 = datetime(2026, 11, 1, tzinfo=UTC)
OVERFLOW = 0x480  # info type DataValue, overflow bit; Part 4, 7.39.1


@pytest.fixture(scope="module")
def _server() -> Iterator[PlantServer]:
    with PlantServer() as made:
        made.add("Flow", 1.0, ua.VariantType.Double)
        made.add("Pressure", 5.0, ua.VariantType.Double)
        yield made


@pytest.fixture
def server(_server: PlantServer) -> Iterator[PlantServer]:
    _server.write("Flow", value(1.0))
    _server.write("Pressure", value(5.0))
    _server.reads.clear()
    _server.items.clear()
    yield _server
    _server.is_mute = False
    _server.limit(0, ITEMS_LIMIT_ID)


@pytest.fixture
async def link(server: PlantServer) -> AsyncIterator[OpcUaLink]:
    made = new_link(server.url, reporting=FAST)
    await made.open()
    yield made
    await made.close()


def told(link: OpcUaLink) -> list[tuple[str, str, dict[str, object]]]:
    found: list[tuple[str, str, dict[str, object]]] = []
    link.notice = lambda kind, subject, /, **detail: found.append((kind, subject, detail))
    return found


def value(number: float, second: float = 0.0, status: int = 0) -> ua.DataValue:
    stamp: Any = T0 + timedelta(seconds=second)
    return ua.DataValue(ua.Variant(number, ua.VariantType.Double), ua.StatusCode(ua.UInt32(status)), stamp)


async def collect(link: OpcUaLink, poll: Poll, until: Callable[[list[Sample]], bool]) -> list[Sample]:
    """Read until enough has come; the server reports at its own times."""
    found: list[Sample] = []
    async with asyncio.timeout(5):
        while not until(found):
            found += await link.read(poll)
            await asyncio.sleep(0.01)
    return found


def column(poll: Poll, samples: list[Sample], at: int) -> list[Decimal]:
    """Return the different values of a channel in the order they came."""
    found: list[Decimal] = []
    for sample in samples:
        got = exact(poll, sample)[at]
        if got is not None and (not found or found[-1] != got):
            found.append(got)
    return found


async def test_every_change_between_two_reads_is_a_sample_in_order_of_time(
    link: OpcUaLink, server: PlantServer
) -> None:
    poll = poll_of("ns=2;s=Flow", "ns=2;s=Pressure")
    first, *_ = await link.read(poll)
    for n in range(1, 21):
        server.write("Flow", value(10.0 + n, n * 0.01))
    server.write("Pressure", value(6.0, 0.20))
    got = await collect(link, poll, lambda found: bool(found) and exact(poll, found[-1]) == [30, 6])
    assert column(poll, got, 0)[-20:] == [10 + n for n in range(1, 21)]
    times = [sample.time_ns for sample in [first, *got]]
    assert times == sorted(set(times))
    assert server.reads == [2], "after the first Read nothing is asked for"
    assert not any(flag for sample in got for flag in sample.flags)


async def test_a_value_that_stands_still_is_told_with_its_old_source_time_while_the_server_lives(
    link: OpcUaLink, server: PlantServer
) -> None:
    server.write("Flow", value(2.0))
    poll = poll_of("ns=2;s=Flow")
    first, *_ = await link.read(poll)
    got = await collect(link, poll, lambda found: len(found) >= 3)
    assert {sample.raw for sample in got} == {first.raw}, "source time and StatusCode as they were reported"
    assert [sample.time_ns for sample in got] == sorted({sample.time_ns for sample in got})
    server.is_mute = True
    await asyncio.sleep(0.2)
    await link.read(poll)
    for _ in range(3):
        assert await link.read(poll) == [], "nothing heard, so nothing is known"


async def test_an_overflow_of_the_servers_queue_is_an_event_once_a_minute(
    link: OpcUaLink, server: PlantServer
) -> None:
    events = told(link)
    poll = poll_of("ns=2;s=Flow", "ns=2;s=Pressure")
    await link.read(poll)
    server.write("Flow", value(7.0, 1, OVERFLOW))
    got = await collect(link, poll, lambda found: 7 in column(poll, found, 0))
    assert not any(got[-1].flags), "the value itself is good"
    server.write("Flow", value(8.0, 2, OVERFLOW))
    await collect(link, poll, lambda found: 8 in column(poll, found, 0))
    assert events == [
        ("subscription_overflow", "boiler-1", {"count": 1, "channels": ["c0"], "where": "server_queue"})
    ]
    assert link.figures()["overflows"] == 2
    await link.close()
    assert len(events) == 2, "what was not told yet is told at the end"


async def test_a_buffer_that_is_full_drops_the_oldest_and_counts(
    link: OpcUaLink, server: PlantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PENDING_MAX", 5)
    events = told(link)
    poll, other = poll_of("ns=2;s=Flow"), poll_of("ns=2;s=Pressure")
    await link.read(poll)
    await link.read(other)
    for n in range(20):
        server.write("Flow", value(100.0 + n, n))
    server.write("Pressure", value(9.0, 20))
    await collect(link, other, lambda found: 9 in column(other, found, 0))
    got = await link.read(poll)
    assert len(got) <= 5
    assert exact(poll, got[-1]) == [119]
    ((kind, meter, detail),) = events
    assert (kind, meter, detail["where"]) == ("subscription_overflow", "boiler-1", "gateway_buffer")
    assert detail["count"] == link.figures()["dropped"]
    assert 14 <= int(str(detail["count"])) <= 16


async def test_a_message_that_never_came_is_counted(link: OpcUaLink, server: PlantServer) -> None:
    events = told(link)
    poll = poll_of("ns=2;s=Flow")
    await link.read(poll)
    await collect(link, poll, bool)
    assert link._subscription is not None
    link._subscription._next -= 3  # as if three messages had been sent and not received
    server.write("Flow", value(3.5, 1))
    await collect(link, poll, lambda found: Decimal("3.5") in column(poll, found, 0))
    assert [(kind, detail["where"]) for kind, _, detail in events] == [("subscription_overflow", "message")]


async def test_a_deadband_is_the_servers_and_is_left_out_where_it_cannot_be(server: PlantServer) -> None:
    server.add("Running", True, ua.VariantType.Boolean)
    link = new_link(server.url, reporting=FAST._replace(deadband=1.0))
    await link.open()
    poll = poll_of("ns=2;s=Flow", "ns=2;s=Running")
    await link.read(poll)
    for n, number in enumerate((1.5, 1.9, 4.0), 1):
        server.write("Flow", value(number, n))
    got = await collect(link, poll, lambda found: 4 in column(poll, found, 0))
    assert column(poll, got, 0)[-1] == 4
    assert Decimal("1.9") not in column(poll, got, 0)
    await link.close()


async def test_a_request_for_items_keeps_within_the_servers_limit(server: PlantServer) -> None:
    server.limit(2, ITEMS_LIMIT_ID)
    sources = [server.add(f"V{n}", float(n), ua.VariantType.Double) for n in range(5)]
    link = new_link(server.url, reporting=FAST)
    await link.open()
    poll = poll_of(*sources)
    await link.read(poll)
    assert server.items == [2, 2, 1]
    server.write("V4", value(44.0, 1))
    await collect(link, poll, lambda found: 44 in column(poll, found, 4))
    await link.close()


async def test_what_nobody_has_read_survives_a_new_connection(link: OpcUaLink, server: PlantServer) -> None:
    poll = poll_of("ns=2;s=Flow")
    other = poll_of("ns=2;s=Pressure")
    await link.read(poll)
    await link.read(other)
    server.write("Flow", value(3.0, 1))
    server.write("Pressure", value(4.0, 1))
    await collect(link, other, lambda found: 4 in column(other, found, 0))
    await link.close()
    await link.open()
    got = await link.read(poll)
    assert {exact(poll, sample)[0] for sample in got} == {3}
    assert len(got) >= 2, "what was reported before, and the first Read"
    assert got[0].time_ns < got[1].time_ns


async def test_stale_after_hears_of_new_source_times_too(server: PlantServer) -> None:
    link = new_link(server.url, reporting=FAST._replace(by_time=True), stale_after_s=3600.0)
    await link.open()
    poll = poll_of("ns=2;s=Flow")
    for n in (1, 2):
        now: Any = datetime.now(UTC) - timedelta(hours=2) * (2 - n)
        server.write("Flow", ua.DataValue(ua.Variant(2.5), SourceTimestamp=now))
        got = await collect(link, poll, lambda found: len(found) > 2)
        assert list(got[-1].flags) == [Flag.STALE if n == 1 else 0]
    await link.close()


async def test_a_server_that_stops_is_told_with_the_next_step(free_port: Callable[[], int]) -> None:
    plant = await asyncio.to_thread(PlantServer(free_port()).__enter__)
    plant.add("Flow", 1.0, ua.VariantType.Double)
    made, poll = new_link(plant.url, reporting=FAST), poll_of("ns=2;s=Flow")
    await made.open()
    await made.read(poll)
    await asyncio.to_thread(plant.__exit__)
    with pytest.raises(LinkDown, match=r"stop.* or restart.*; it is tried again by itself") as caught:
        await collect(made, poll, lambda _: False)
    assert "is this the port" not in str(caught.value)
    await made.close()


async def test_a_server_without_subscriptions_says_what_to_do(
    server: PlantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise BadTooManySubscriptions

    monkeypatch.setattr("asyncua.client.ua_client.UaClient.create_subscription", refuse)
    link = new_link(server.url, reporting=FAST)
    with pytest.raises(LinkDown, match=r'BadTooManySubscriptions.*mode = "poll"'):
        await link.open()


async def test_period_zero_is_one_read_call_always(link: OpcUaLink, server: PlantServer) -> None:
    poll = poll_of("ns=2;s=Flow", period_s=0.0)
    for _ in range(3):
        await read_one(link, poll)
    assert server.reads == [1, 1, 1]

"""Answers that are too much work: refused before they are decoded, so that other links are read meanwhile."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
import structlog
from asyncua import ua

from drivers.opcua import allowance
from drivers.opcua.allowance import ANSWER_BYTES, VALUE_BYTES, Allowance
from drivers.opcua.browse import browse
from drivers.opcua.subscription import Reporting
from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from tests.contract.opcua_server import PlantServer, new_link, poll_of, read_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.opcua.driver import OpcUaLink
    from gateway.interfaces import Poll
    from gateway.model import Sample

FAST = Reporting(reporting_s=0.05, queue=2)


@pytest.fixture
def server() -> Iterator[PlantServer]:
    with PlantServer() as made:
        made.add("Flow", 1.0, ua.VariantType.Double)
        yield made


def written(value: str) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.String))


async def until_down(link: OpcUaLink, poll: Poll) -> None:
    async with asyncio.timeout(5):
        while True:
            await link.read(poll)
            await asyncio.sleep(0.02)


async def test_an_answer_far_longer_than_what_was_asked_is_no_value_and_costs_nobody_else(
    server: PlantServer,
) -> None:
    long = server.add("Long", [0] * 8000, ua.VariantType.Byte)
    flow = server.add("Level", 2.0, ua.VariantType.Double)
    link = new_link(server.url)
    await link.open()
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            (sample,) = await link.read(poll_of(long))
            assert all(sample.flags)
    (told,) = (entry["error"] for entry in logs if entry["event"] == "variable is too long for a number")
    assert re.search(r"an answer of \d+ bytes to a ReadRequest, which needs 4160", told)
    assert not any((await read_one(link, poll_of(flow))).flags)
    await link.close()


@pytest.mark.parametrize("reporting", [None, FAST], ids=["polled", "subscribed"])
async def test_a_variable_far_longer_than_a_number_costs_only_itself(
    server: PlantServer, reporting: Reporting | None
) -> None:
    names = ["Level", "Long", "Pressure", "Longer", "Heat"]
    sources = [
        server.add(name, "x" * 30_000, ua.VariantType.String)
        if "Long" in name
        else server.add(name, float(n), ua.VariantType.Double)
        for n, name in enumerate(names)
    ]
    link = new_link(server.url, reporting=reporting)
    await link.open()
    poll = poll_of(*sources)
    for _ in range(2):
        sample = (await link.read(poll) or await until_rows(link, poll))[0]
        values = poll.layout.decode(sample.raw, sample.flags)
        assert [values[0], values[2], values[4]] == [0.0, 2.0, 4.0]
        assert [bool(flags) for flags in sample.flags] == [False, True, False, True, False]
    await link.close()


async def until_rows(link: OpcUaLink, poll: Poll) -> list[Sample]:
    async with asyncio.timeout(5):
        while True:
            if rows := await link.read(poll):
                return rows
            await asyncio.sleep(0.02)


async def test_a_report_far_longer_than_what_is_subscribed_ends_the_connection(server: PlantServer) -> None:
    flow = server.add("Level", "short", ua.VariantType.String)
    link = new_link(server.url, reporting=FAST)
    await link.open()
    poll = poll_of(flow)
    await link.read(poll)
    server.write("Level", written("x" * 20_000))
    with pytest.raises(LinkDown, match=r"bytes to a PublishRequest, which needs 4288 at most"):
        await until_down(link, poll)
    await link.close()


async def test_browsing_may_read_more(server: PlantServer) -> None:
    server.add("Long", "x" * 50_000, ua.VariantType.String)
    link = new_link(server.url)
    await link.open()
    found = await browse(link, SystemClock())
    assert "Long" in {variable.path[-1] for variable in found.variables}
    await link.close()


async def test_answers_slow_to_decode_are_garbage_from_the_second_on(
    server: PlantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = server.add("Level", 2.0, ua.VariantType.Double)
    link = new_link(server.url)
    await link.open()
    monkeypatch.setattr(allowance, "SLOW_S", -1.0)
    await link.read(poll_of(flow))
    with pytest.raises(DeviceError, match="to decode, 2 in a row") as caught:
        await link.read(poll_of(flow))
    assert caught.value.reason == "garbage"
    monkeypatch.undo()
    await link.read(poll_of(flow))
    await link.close()


def test_what_is_allowed_grows_with_what_is_asked() -> None:
    allowed = Allowance(None)
    read = ua.ReadRequest(Parameters=ua.ReadParameters(NodesToRead=[ua.ReadValueId()] * 1000))
    assert not allowed.fault(read, ANSWER_BYTES + 1000 * VALUE_BYTES)
    assert "ReadRequest" in allowed.fault(read, ANSWER_BYTES + 1000 * VALUE_BYTES + 1)
    assert not allowed.fault(ua.GetEndpointsRequest(), 60_000)
    assert allowed.fault(ua.CreateSubscriptionRequest(), 60_000)

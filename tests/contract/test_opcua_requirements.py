"""What a plant's OPC UA server does to a gateway, one test for each requirement; each fails without the behaviour."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes as Code

from drivers.opcua import subscription
from drivers.opcua.subscription import Reporting
from gateway.errors import DeviceError, LinkDown
from gateway.model import Flag
from tests.contract.opcua_server import PlantServer, exact, new_link, poll_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.opcua.driver import OpcUaLink
    from gateway.interfaces import Poll

FAST = Reporting(reporting_s=0.05, queue=100)
PATIENCE_S = 10.0
GONE = Flag.MISSING | Flag.DEVICE
MODES = [pytest.param(None, id="poll"), pytest.param(FAST, id="subscribe")]


@pytest.fixture
def server() -> Iterator[PlantServer]:
    with PlantServer() as made:
        made.add("Flow", 1.0, ua.VariantType.Double)
        yield made


def told(link: OpcUaLink) -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    link.notice = lambda kind, _, /, **detail: found.append((kind, detail))
    return found


async def down(link: OpcUaLink, poll: Poll) -> str:
    """Read as an owner does until the link is down; return why."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await link.read(poll)
            except LinkDown as error:
                return str(error)
            await asyncio.sleep(0.01)


async def until_value(link: OpcUaLink, poll: Poll, wanted: float, at: int = 0) -> None:
    async with asyncio.timeout(10):
        while True:
            for sample in await link.read(poll):
                if exact(poll, sample)[at] == wanted:
                    return
            await asyncio.sleep(0.01)


async def reopened(link: OpcUaLink) -> None:
    """Open again as an owner does: for ever."""
    await link.close()
    async with asyncio.timeout(20):
        while True:
            try:
                return await link.open()
            except LinkDown:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("what", ["restart", "mute", "forget"])
async def test_r07_session_and_subscription_are_rebuilt_for_ever(server: PlantServer, what: str) -> None:
    link = new_link(server.url, timeout_s=1.0, reporting=FAST)
    await link.open()
    poll = poll_of("ns=2;s=Flow", timeout_s=5.0)
    for attempt in range(1, 3):
        await until_value(link, poll, 1.0 if attempt == 1 else 21.0)
        if what == "restart":
            await asyncio.to_thread(server.restart)
        elif what == "forget":
            server.forget_subscriptions()
        else:
            server.is_mute = True
        why = await down(link, poll)
        assert ("keep-alives are missing" in why) or what == "restart", why
        server.is_mute = False
        await reopened(link)
        await link.read(poll)
        server.write("Flow", ua.DataValue(ua.Variant(20.0 + attempt)))
        await until_value(link, poll, 20.0 + attempt)
    await link.close()
    server.wait_for_connections(0)


@pytest.mark.parametrize("how", MODES)
async def test_r10_a_bad_node_id_is_told_once_and_costs_only_itself(
    server: PlantServer, how: Reporting | None
) -> None:
    link = new_link(server.url, reporting=how)
    events = told(link)
    await link.open()
    poll = poll_of("ns=2;s=Flow", "ns=2;s=Nowhere", "ns=2;s=Lost")
    samples = [*await link.read(poll), *await link.read(poll)]
    await reopened(link)
    samples += await link.read(poll)
    for sample in samples:
        assert list(sample.flags) == [0, GONE, GONE]
    assert events == [
        (
            "channel_absent",
            {"channels": [key], "reason": "bad_node", "where": where, "error": "BadNodeIdUnknown"},
        )
        for key, where in (("c1", "ns=2;s=Nowhere"), ("c2", "ns=2;s=Lost"))
    ]
    with pytest.raises(DeviceError, match="refuses every channel"):
        await link.read(poll_of("ns=2;s=Nowhere"))
    server.add("Lost", 7.0, ua.VariantType.Double)
    for feeding in link._feedings.values():
        feeding.retry_s = 0.0  # a day has passed
    await until_value(link, poll, 7, at=2)
    assert [kind for kind, _ in events] == ["channel_absent", "channel_absent", "channel_found"]
    assert events[-1][1]["where"] == "ns=2;s=Lost"
    await link.close()


@pytest.mark.parametrize("how", MODES)
async def test_r11_three_states_with_the_raw_code_and_no_old_value_as_fresh(
    server: PlantServer, how: Reporting | None
) -> None:
    link = new_link(server.url, reporting=how)
    await link.open()
    poll = poll_of("ns=2;s=Flow")
    await link.read(poll)
    for code, flag, number in (
        (Code.UncertainLastUsableValue, Flag.STALE, 1),
        (Code.BadNoCommunication, GONE, None),
        (Code.GoodLocalOverride, Flag.OK, 1),
    ):
        server.write("Flow", ua.DataValue(ua.Variant(1.0), ua.StatusCode(ua.UInt32(code))))
        async with asyncio.timeout(5):
            while True:
                got = await link.read(poll)
                if got and got[-1].raw[9:13] == code.to_bytes(4, "big"):
                    break
                await asyncio.sleep(0.01)
        assert list(got[-1].flags) == [flag]
        assert exact(poll, got[-1]) == [number]
    if how is not None:
        server.is_mute = True
        await asyncio.sleep(0.2)
        await link.read(poll)
        assert await link.read(poll) == [], "a value nobody vouches for is not given again"
    await link.close()


async def test_r29_items_are_created_in_halves_until_the_server_takes_them(
    server: PlantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "BATCH_MAX", 8)
    server.items_max = 3
    sources = [server.add(f"V{n}", float(n), ua.VariantType.Double) for n in range(9)]
    link = new_link(server.url, reporting=FAST)
    await link.open()
    poll = poll_of(*sources)
    await link.read(poll)
    assert server.items == [8, 4, 2, 2, 2, 2, 1]
    server.write("V8", ua.DataValue(ua.Variant(88.0)))
    await until_value(link, poll, 88, at=8)
    await link.close()

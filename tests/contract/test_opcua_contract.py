"""The OPC UA link against a real server: values, doubts, losses, and coming back for ever."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.status_codes import StatusCodes as Code

from drivers.opcua import driver, session
from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from gateway.model import NS, Flag
from tests.contract.opcua_server import (
    PASSWORD,
    DamagingWire,
    PlantServer,
    exact,
    new_link,
    poll_of,
    read_one,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from drivers.opcua.driver import OpcUaLink

GONE = Flag.MISSING | Flag.DEVICE
COUNTER = 2**53 + 1
VARIABLES: dict[str, tuple[object, ua.VariantType, str]] = {
    "Double": (0.1, ua.VariantType.Double, "0.1"),
    "Float": (230.1, ua.VariantType.Float, "230.1"),
    "Int64": (-COUNTER, ua.VariantType.Int64, str(-COUNTER)),
    "UInt64": (2**64 - 1, ua.VariantType.UInt64, str(2**64 - 1)),
    "UInt16": (65535, ua.VariantType.UInt16, "65535"),
    "Boolean": (True, ua.VariantType.Boolean, "1"),
    "Line;A=1.电能": (COUNTER, ua.VariantType.UInt64, str(COUNTER)),
}


@pytest.fixture(scope="module")
def _server() -> Iterator[PlantServer]:
    with PlantServer() as server:
        for name, (value, kind, _) in VARIABLES.items():
            server.add(name, value, kind)
        server.add("Doubtful", 1.5, ua.VariantType.Double)
        server.add("Text", "12.5", ua.VariantType.String)
        server.add("Array", [1.0, 2.0], ua.VariantType.Double)
        yield server


@pytest.fixture
def server(_server: PlantServer) -> Iterator[PlantServer]:
    _server.reads.clear()
    yield _server
    _server.on_read = lambda _: None
    _server.limit(0)


@pytest.fixture
async def link(server: PlantServer) -> AsyncIterator[OpcUaLink]:
    made = new_link(server.url)
    await made.open()
    yield made
    await made.close()


def status(code: Any) -> ua.StatusCode:
    return ua.StatusCode(code)


async def test_one_read_call_brings_every_type_exactly(link: OpcUaLink, server: PlantServer) -> None:
    clock = SystemClock()
    poll = poll_of(*(f"ns=2;s={name}" for name in VARIABLES))
    before_ns = clock.wall_ns()
    sample = await read_one(link, poll)
    assert before_ns <= sample.time_ns <= clock.wall_ns()
    assert exact(poll, sample) == [Decimal(text) for _, _, text in VARIABLES.values()]
    flags = sample.flags
    assert list(poll.layout.decode(sample.raw, flags))[:2] == pytest.approx([0.1, 230.1], rel=1e-7)
    assert not any(flags)
    assert sample.device_time_ns is not None
    assert 0 <= sample.time_ns - sample.device_time_ns < 60 * NS
    await link.read(poll)
    assert server.reads == [len(VARIABLES)] * 2


@pytest.mark.parametrize(
    ("answer", "flag", "value"),
    [
        pytest.param(ua.DataValue(ua.Variant(2.5)), Flag.OK, "2.5", id="no-source-time"),
        pytest.param(
            ua.DataValue(ua.Variant(2.5), status(Code.UncertainLastUsableValue)),
            Flag.STALE,
            "2.5",
            id="uncertain",
        ),
        pytest.param(
            ua.DataValue(ua.Variant(2.5), status(Code.GoodLocalOverride)),
            Flag.OK,
            "2.5",
            id="good",
        ),
        pytest.param(
            ua.DataValue(ua.Variant(2.5), status(Code.BadNoCommunication)),
            GONE,
            None,
            id="bad",
        ),
        pytest.param(
            ua.DataValue(ua.Variant(2.5), SourceTimestamp=datetime(9999, 12, 31, tzinfo=UTC)),  # type: ignore[arg-type]
            Flag.OK,
            "2.5",
            id="time-beyond-all",
        ),
        pytest.param(ua.DataValue(ua.Variant(float("nan"), ua.VariantType.Double)), Flag.OK, None, id="nan"),
    ],
)
async def test_status_codes_become_flags(
    link: OpcUaLink, server: PlantServer, answer: ua.DataValue, flag: Flag, value: str | None
) -> None:
    server.write("Doubtful", answer)
    poll = poll_of("ns=2;s=Doubtful", "ns=2;s=UInt16")
    sample = await read_one(link, poll)
    assert list(sample.flags) == [flag, Flag.OK]
    assert exact(poll, sample) == [None if value is None else Decimal(value), 65535]


async def test_a_source_time_that_stopped_is_stale_where_the_link_asks(server: PlantServer) -> None:
    for stale_after_s, flag in ((0.0, Flag.OK), (80.0, Flag.OK), (60.0, Flag.STALE)):
        stamp: Any = datetime.now(UTC) - timedelta(seconds=70)
        server.write("Doubtful", ua.DataValue(ua.Variant(2.5), SourceTimestamp=stamp))
        link = new_link(server.url, stale_after_s=stale_after_s)
        await link.open()
        sample = await read_one(link, poll_of("ns=2;s=Doubtful"))
        await link.close()
        assert list(sample.flags) == [flag]
        assert sample.device_time_ns == round(stamp.timestamp() * 1e6) * 1000


async def test_what_is_unreadable_is_isolated_and_said_once(
    link: OpcUaLink,
) -> None:
    poll = poll_of("ns=2;s=Nowhere", "ns=2;s=Text", "ns=2;s=UInt16", "ns=2;s=Array")
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            sample = await read_one(link, poll)
            assert list(sample.flags) == [GONE, GONE, Flag.OK, GONE]
            assert exact(poll, sample) == [None, None, Decimal(65535), None]
    assert len(said) == 3
    assert {(entry["link"], entry["meter"]) for entry in said} == {("dcs", "boiler-1")}
    assert (said[0]["source"], said[0]["error"]) == ("ns=2;s=Nowhere", "BadNodeIdUnknown")
    assert "a String, not a number" in said[1]["error"]
    assert "an array" in said[2]["error"]


async def test_a_meter_refused_whole_is_an_error_that_names_its_ids(link: OpcUaLink) -> None:
    poll = poll_of(*(f"ns=2;s=No{i}" for i in range(5)))
    with pytest.raises(
        DeviceError, match=r"boiler-1: .*ns=2;s=No0 BadNodeIdUnknown.*No2.*and 2 more; compare"
    ) as e:
        await link.read(poll)
    assert e.value.reason == "refused"
    assert not any((await read_one(link, poll_of("ns=2;s=UInt16"))).flags)


async def test_a_wrong_node_id_costs_one_meter_only(link: OpcUaLink) -> None:
    with pytest.raises(DeviceError, match=r"boiler-1: 'UInt16' is no OPC UA node id.*site file"):
        await link.read(poll_of("ns=2;s=UInt64", "UInt16"))
    assert not any((await read_one(link, poll_of("ns=2;s=UInt16"))).flags)


async def test_a_meter_of_another_protocol_is_refused(link: OpcUaLink) -> None:
    with pytest.raises(DeviceError, match=r"link dcs is an OPC UA server.*probe dcs") as e:
        await link.read(replace(poll_of("ns=2;s=Boiler1.Flow"), protocol="modbus"))
    assert e.value.reason == "refused"


async def test_requests_keep_to_the_limit_the_server_names(server: PlantServer) -> None:
    server.limit(3)
    link = new_link(server.url)
    await link.open()
    poll = poll_of(*(f"ns=2;s={name}" for name in VARIABLES))
    sample = await read_one(link, poll)
    await link.close()
    assert server.reads == [3, 3, 1]
    assert exact(poll, sample) == [Decimal(text) for _, _, text in VARIABLES.values()]


async def test_a_server_that_hides_its_limit_is_asked_in_halves(link: OpcUaLink, server: PlantServer) -> None:
    def refuse(count: int) -> None:
        if count > 2:
            raise ServiceError(Code.BadTooManyOperations)

    server.on_read = refuse
    poll = poll_of(*(f"ns=2;s={name}" for name in VARIABLES))
    assert not any((await read_one(link, poll)).flags)
    assert server.reads == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    server.reads.clear()
    await link.read(poll)
    assert server.reads == [1] * 7


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.BadSessionIdInvalid, LinkDown),
        (Code.BadTcpInternalError, LinkDown),
        (Code.BadTimeout, DeviceError),
    ],
)
async def test_a_refused_read(link: OpcUaLink, server: PlantServer, code: int, kind: type[Exception]) -> None:
    def refuse(_: int) -> None:
        raise ServiceError(code)

    server.on_read = refuse
    with pytest.raises(kind, match="Bad"):
        await link.read(poll_of("ns=2;s=UInt16"))


async def test_a_slow_answer_costs_the_meter_its_timeout_and_no_more(
    link: OpcUaLink, server: PlantServer
) -> None:
    answer = threading.Event()
    server.on_read = lambda _: answer.wait(10)
    with pytest.raises(DeviceError, match=r"boiler-1: no answer .* within 0.2 s") as caught:
        await link.read(poll_of("ns=2;s=UInt64", timeout_s=0.2))
    assert caught.value.reason == "timeout"
    answer.set()
    poll = poll_of("ns=2;s=UInt16")
    assert exact(poll, await read_one(link, poll)) == [65535]  # not the late answer


@pytest.mark.parametrize("noticed_by", ["read", "nobody"])
async def test_a_server_that_hangs_is_left_for_good(
    server: PlantServer, noticed_by: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "WATCHDOG_S", 0.1)
    monkeypatch.setattr(driver, "CLOSE_S", 0.2)
    answer = threading.Event()
    server.on_read = lambda _: answer.wait(10)
    link = new_link(server.url, timeout_s=1.0)
    await link.open()
    poll = poll_of("ns=2;s=UInt16", timeout_s=0.3)
    with pytest.raises(DeviceError, match="no answer"):
        await link.read(poll)
    if noticed_by == "read":
        with pytest.raises(LinkDown, match="connection lost"):
            await link.read(poll)
    await link.close()
    answer.set()
    await asyncio.to_thread(server.wait_for_connections, 0)
    await link.open()
    assert not any((await read_one(link, poll_of("ns=2;s=UInt16"))).flags)
    await link.close()
    assert [r for r in caplog.records if r.name.startswith("asyncua.client")] == []


async def test_the_same_link_comes_back_after_a_restart(free_port: Callable[[], int]) -> None:
    port = free_port()
    link = new_link(f"opc.tcp://127.0.0.1:{port}")
    poll = poll_of("ns=2;s=Energy")
    for value in (COUNTER, COUNTER + 1):
        plant = await asyncio.to_thread(PlantServer(port).__enter__)
        plant.add("Energy", value, ua.VariantType.UInt64)
        await link.open()
        assert exact(poll, await read_one(link, poll)) == [value]
        await asyncio.to_thread(plant.__exit__)
        with pytest.raises(LinkDown, match=f"dcs .*127.0.0.1:{port}.*lost: the server stopped or restarted"):
            await link.read(poll)
        await link.close()
        with pytest.raises(LinkDown, match=r"refused: the server that answered here before .* by itself"):
            await link.open()


async def test_rounds_without_a_server_leave_nothing_behind(free_port: Callable[[], int]) -> None:
    link = new_link(f"opc.tcp://127.0.0.1:{free_port()}")
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    for _ in range(3):
        async with asyncio.timeout(1):
            with pytest.raises(LinkDown, match="connection refused"):
                await link.open()
        with pytest.raises(LinkDown, match="not open"):
            await link.read(poll_of("ns=2;s=UInt16"))
        assert asyncio.all_tasks() == tasks
        assert threading.active_count() == threads
        await link.close()


async def test_close_frees_session_and_tasks_and_may_be_called_twice(server: PlantServer) -> None:
    link = new_link(server.url)
    tasks = asyncio.all_tasks()
    for _ in range(3):
        await link.open()
        await link.open()  # opening again drops the first connection
        await link.close()
        await link.close()
        assert asyncio.all_tasks() == tasks
    await asyncio.to_thread(server.wait_for_connections, 0)


async def test_user_and_password(server: PlantServer, caplog: pytest.LogCaptureFixture) -> None:
    link = new_link(server.url, user="reader", password=PASSWORD)
    with structlog.testing.capture_logs() as said:
        for _ in range(2):
            await link.open()
            assert not any((await read_one(link, poll_of("ns=2;s=UInt16"))).flags)
            await link.close()
    assert len(said) == 1
    assert "unencrypted" in said[0]["event"]
    assert said[0]["link"] == "dcs"
    assert PASSWORD not in caplog.text + repr(said)
    link = new_link(server.url, user="reader", password="wrong")
    with pytest.raises(LinkDown, match=r"check user and password_file of the link \(BadUserAccessDenied\)"):
        await link.open()


async def test_whoever_listens_there_is_no_opc_ua_server() -> None:
    async def hang_up(answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        if answer:
            writer.close()
        else:
            await reader.read()  # until the link gives up
            writer.close()

    for answer, said in (
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is this the port of an OPC UA"),
        (b"", "no answer"),
    ):
        listener = await asyncio.start_server(partial(hang_up, answer), "127.0.0.1", 0)
        async with listener:
            link = new_link(f"opc.tcp://127.0.0.1:{listener.sockets[0].getsockname()[1]}", timeout_s=0.3)
            async with asyncio.timeout(2):
                with pytest.raises(LinkDown, match=said):
                    await link.open()
            await asyncio.sleep(0.01)


async def test_opening_can_be_cancelled_at_any_time(server: PlantServer) -> None:
    tasks = asyncio.all_tasks()
    for i in range(12):
        link = new_link(server.url)
        opening = asyncio.create_task(link.open())
        await asyncio.sleep(0.002 * i)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled() or opening.exception() is None
        await link.close()
        assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("during", ["open", "read"])
async def test_damaged_answers_never_become_anything_else(server: PlantServer, during: str) -> None:
    poll = poll_of(*(f"ns=2;s={name}" for name in VARIABLES), timeout_s=0.1)
    outcomes = set()
    for seed in range(40):
        wire = DamagingWire(server.port, random.Random(seed))
        async with wire.relaying():
            link = new_link(f"opc.tcp://127.0.0.1:{wire.port}", timeout_s=0.1)
            wire.damage = during == "open"
            try:
                await link.open()
                wire.damage = True
                await link.read(poll)
                outcomes.add("sample")
            except (DeviceError, LinkDown) as error:
                outcomes.add(type(error).__name__)
            wire.damage = False
            await link.close()
    assert "LinkDown" in outcomes
    assert "DeviceError" in outcomes or during == "open"


def test_a_host_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(LinkDown, match="host name not found"):
        asyncio.run(new_link("opc.tcp://nowhere").open())


def test_asyncua_keeps_quiet_unless_asked() -> None:
    new_link("opc.tcp://plc")
    assert not logging.getLogger("asyncua.client.ua_client.UASocketProtocol").isEnabledFor(logging.CRITICAL)

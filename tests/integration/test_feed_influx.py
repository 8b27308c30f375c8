"""The feed into a database that answers badly, through the dispatcher: what is refused is recorded, what is in doubt waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from gateway.dispatch import Dispatcher
from gateway.errors import SinkUnavailable
from gateway.health import SinkHealth
from gateway.sinks.feed_influx import FeedInflux
from gateway.sinks.influx_connection import InfluxLines
from tests.fakes.feed import CHAIN, entry, interval_payload, seal
from tests.fakes.influx import Answer, FakeInflux, influx_error
from tests.fakes.outbox import FakeOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.feed.entries import Entry

TOKEN = "very-secret-token"


def make_feed(server: FakeInflux) -> FeedInflux:
    return FeedInflux(
        InfluxLines(
            id="db", url=server.url, org="plant", bucket="feed", token=TOKEN, clock=SystemClock(), timeout_s=5
        )
    )


def make_outbox(count: int) -> FakeOutbox:
    """Return an outbox with an interval of another meter in each message: two lines each."""
    outbox = FakeOutbox()
    outbox.add(count=count)
    for seq, one in outbox.kept.items():
        payload = interval_payload(seq)
        payload["intervals"][0]["meter"] = f"m-{seq}"
        outbox.kept[seq] = one._replace(jws=seal(payload))
    return outbox


@asynccontextmanager
async def dispatching(server: FakeInflux, outbox: FakeOutbox) -> AsyncIterator[tuple[Dispatcher, SinkHealth]]:
    health = SinkHealth("feed-influx")
    dispatcher = Dispatcher(
        "db",
        make_feed(server),
        outbox,
        SystemClock(),
        health,
        body=None,
        first=1,
        backlog_rate=1000.0,
        pause_max_s=0.3,
    )
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher, health
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - the dispatcher gives no event to wait for
            await asyncio.sleep(0.01)


def meters(server: FakeInflux) -> set[str]:
    """Return whose lines of both channels were stored."""
    lines = [line.decode().split(",") for line in set(server.stored)]
    found = [next(part for part in line if part.startswith("meter="))[6:] for line in lines]
    return {meter for meter in found if found.count(meter) >= 2}


async def test_the_gateways_own_sink_writes_fitting_rates_with_what_they_stand_on() -> None:
    outbox = FakeOutbox()
    outbox.add(count=1)
    outbox.kept[1] = entry(1, "fitting")
    async with FakeInflux() as server, dispatching(server, outbox) as (it, _):
        await until(lambda: not it.pending)
        assert it.figures()["refused"] == 0
        lines = set(server.stored)
    assert sorted(line.split(b",")[0] for line in lines) == [b"fitting", b"fitting", b"fitting_share"]
    for line in lines:
        assert b'as_of="2026-08-01",inventory="' + b"ab" * 32 + b'"' in line
        assert (b"superseded=0i" in line) is line.startswith(b"fitting_share")


@pytest.mark.parametrize("all_or_nothing", [True, False])
async def test_messages_of_which_a_line_is_refused_are_recorded_and_all_others_stored(
    all_or_nothing: bool,
) -> None:
    def why(line: bytes) -> str:
        return "field type conflict" if b"meter=m-7," in line and b"power_active" in line else ""

    outbox = make_outbox(20)
    async with (
        FakeInflux(refuse=why, all_or_nothing=all_or_nothing) as server,
        dispatching(server, outbox) as (it, _),
    ):
        await until(lambda: not it.pending)
        figures = it.figures()
        assert meters(server) == {f"m-{n}" for n in range(1, 21) if n != 7}
        assert any(b"m-7,channel=energy" in line for line in server.stored), "its good line is"
    assert (figures["delivered"], figures["refused"], figures["missed"]) == (19, 1, 0)
    (refusal,) = figures["refusals"]
    assert refusal["seq"] == 7
    assert "field type conflict" in refusal["reason"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (influx_error(429, "too many requests", "slow down", ("Retry-After", "0")), "429"),
        (influx_error(503, "unavailable", "overloaded"), "503"),
        (influx_error(500, "internal error", "broken"), "500"),
        (influx_error(401, "unauthorized", "no such token"), "check the sink's token file"),
        (influx_error(404, "not found", "no bucket"), "bucket feed"),
        (Answer(400, b"<html>plain HTTP request was sent to HTTPS port</html>"), "did not blame a line"),
        (Answer(trouble="cut"), "sink db (influx http"),
    ],
)
async def test_an_answer_that_leaves_doubt_holds_the_position_and_nothing_is_lost(
    answer: Answer, told: str
) -> None:
    outbox = make_outbox(5)
    async with FakeInflux(script=[answer] * 2) as server, dispatching(server, outbox) as (it, health):
        await until(lambda: health.downs > 0)
        assert told in health.error
        assert TOKEN not in health.error
        assert it.positions.live == 1
        await until(lambda: not it.pending)
        assert meters(server) == {f"m-{n}" for n in range(1, 6)}
        assert it.figures()["delivered"] == 5


async def test_requests_that_are_too_large_are_halved() -> None:
    outbox = make_outbox(300)
    async with FakeInflux(bytes_max=30_000) as server, dispatching(server, outbox) as (it, _):
        await until(lambda: not it.pending)
        assert len(meters(server)) == 300
        assert (it.figures()["delivered"], it.figures()["refused"]) == (300, 0)


def damaged(seq: int) -> list[Entry]:
    odd = interval_payload(seq)
    odd["intervals"][0]["meter"] = "a\nb"
    return [entry(seq)._replace(jws=jws) for jws in (b"no message", seal(odd), seal({"kind": "data"}))]


async def test_what_is_not_of_the_contract_is_refused_and_blocks_nothing() -> None:
    async with FakeInflux() as server:
        feed = make_feed(server)
        await feed.open([], chain=CHAIN, seq=0)
        refusals = await feed.write([entry(1), *damaged(2), entry(3)], late=False)
        await feed.close()
        assert [refusal.index for refusal in refusals] == [1, 2, 3]
        assert all(refusal.reason.startswith("not of the contract: ") for refusal in refusals)
        assert len(server.stored) == 4


async def test_a_message_without_lines_costs_no_request() -> None:
    async with FakeInflux() as server:
        feed = make_feed(server)
        await feed.open([entry(1, "birth")], chain=CHAIN, seq=1)
        assert await feed.write([entry(1, "birth"), entry(2, "event")], late=True) == []
        await feed.close()
        with pytest.raises(SinkUnavailable, match="not open"):
            await feed.write([entry(1)], late=False)
        assert server.requests == []


async def test_several_refused_lines_are_one_refusal() -> None:
    async with FakeInflux(refuse=lambda _line: "no") as server:
        feed = make_feed(server)
        await feed.open([], chain=CHAIN, seq=0)
        (refusal,) = await feed.write([entry(1)], late=False)
        await feed.close()
        assert refusal.reason.startswith("2 lines, the first: ")

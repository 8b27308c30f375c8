"""The InfluxDB sink: values against real VictoriaMetrics, every way to fail against a scripted server."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import SystemClock
from gateway.errors import SinkUnavailable
from gateway.model import Batch, Flag
from gateway.sinks import influx_connection as module
from gateway.sinks.influx import InfluxSink
from gateway.sinks.line_protocol import Encoder
from tests.fakes.frames import FakeDirectory, make_batch, make_frame, make_layout, make_site
from tests.fakes.influx import Answer, FakeInflux, influx_error
from tests.servers import VictoriaMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TOKEN = "very-secret-token"


@contextlib.asynccontextmanager
async def opened(url: str, site: FakeDirectory, **settings: Any) -> AsyncIterator[InfluxSink]:
    sink = InfluxSink(
        id="history-db",
        url=url,
        org="plant",
        bucket="meters",
        token=TOKEN,
        directory=site,
        clock=SystemClock(),
        **({"timeout_s": 5} | settings),
    )
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()
        await sink.close()


def lines_of(site: FakeDirectory, batch: Batch) -> list[bytes]:
    return [line for line in Encoder(site).lines(batch.frames) if line is not None]


@pytest.mark.parametrize("gzip", [True, False])
async def test_what_is_written_reads_back_and_a_repeat_changes_nothing(
    tmp_path: Path, free_port: Callable[[], int], gzip: bool
) -> None:
    site = make_site(meters=5, channels=4)
    start_ns = time.time_ns() // 10**9 * 10**9 - 60 * 10**9
    batch = make_batch(site, polls=10, start_ns=start_ns)
    flagged = make_frame(
        site.in_force[0], [1.5, 2.0, 3.0, 4.0], flags=[0, Flag.RANGE, 0, 0], time_ns=start_ns
    )
    flagged.epoch = 1
    frames = [*batch.frames, flagged]
    with VictoriaMetrics(tmp_path, free_port()) as database:
        async with opened(database.url, site, gzip=gzip) as sink:
            for _ in range(3):
                assert await sink.write(Batch(frames, 1, 1)) == []
        found = {
            (labels["meter"], labels["__name__"], labels.get("epoch", "0"), time_ms): values
            for labels, times in ((dict(key), times) for key, times in database.export().items())
            for time_ms, values in times.items()
        }
    wanted = {
        (f.layout.meter, f"meter_{channel.key}", str(f.epoch), f.time_ns // 10**6): [value]
        for f in frames
        for channel, value in zip(f.layout.channels, f.values, strict=True)
    }
    flag_key = f"meter_flag_{flagged.layout.channels[1].key}"
    wanted[flagged.layout.meter, flag_key, "1", start_ns // 10**6] = [16.0]
    assert set(found) == set(wanted)
    assert all(len(values) == 1 for values in found.values()), "a repeat counted twice"
    # About 15 significant digits survive in VictoriaMetrics.
    assert all(found[key][0] == pytest.approx(value[0], rel=1e-12) for key, value in wanted.items())


async def test_the_request_is_what_the_specification_says() -> None:
    site = make_site(meters=3, channels=2)
    batch = make_batch(site)
    async with FakeInflux() as server, opened(server.url + "/", site) as sink:
        assert await sink.write(batch) == []
    (request,) = server.requests
    assert request.query == {"org": "plant", "bucket": "meters", "precision": "ms"}
    assert request.headers["authorization"] == f"Token {TOKEN}"
    assert request.headers["content-encoding"] == "gzip"
    assert len(request.body) < len(b"\n".join(request.lines))
    assert server.stored == lines_of(site, batch)


async def test_frames_without_anything_to_write_make_no_request() -> None:
    site = make_site(meters=1, channels=2)
    nothing = make_frame(site.in_force[0], [float("nan")] * 2)
    async with FakeInflux() as server, opened(server.url, site) as sink:
        assert await sink.write(Batch([nothing], 1, 1)) == []
        assert server.requests == []


async def test_requests_are_limited_in_lines_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(meters=200, channels=60)
    batch = make_batch(site, polls=4)
    async with FakeInflux() as server, opened(server.url, site) as sink:
        await sink.write(batch)
        assert len(server.requests) > 1
        assert all(sum(map(len, r.lines)) + len(r.lines) <= module.BYTES_MAX + 1 for r in server.requests)
        monkeypatch.setattr(module, "LINES_MAX", 300)
        server.requests.clear()
        await sink.write(batch)
        assert [len(r.lines) for r in server.requests] == [300, 300, 200]
    assert server.stored == lines_of(site, batch) * 2


@pytest.mark.parametrize("all_or_nothing", [True, False])
@pytest.mark.parametrize("bad", [[0], [7], [63], [0, 1, 2], [5, 31, 32, 60]])
async def test_refused_lines_are_found_and_all_others_stored(bad: list[int], all_or_nothing: bool) -> None:
    site = make_site(meters=64, channels=2)
    batch = make_batch(site)
    names = {batch.frames[i].layout.meter.encode() for i in bad}

    def refuse(line: bytes) -> str:
        return (
            'field type conflict: input field "x"' if any(b"meter=" + n + b"," in line for n in names) else ""
        )

    async with (
        FakeInflux(refuse=refuse, all_or_nothing=all_or_nothing) as server,
        opened(server.url, site) as sink,
    ):
        refusals = await sink.write(batch)
        assert [refusal.index for refusal in refusals] == bad
        assert all("field type conflict" in refusal.reason for refusal in refusals)
        good = [line for line in lines_of(site, batch) if not refuse(line)]
        assert set(server.stored) == set(good)
        assert len(server.requests) <= 2 * 7 * len(bad) + 1
        # The next batch is not touched by what happened to this one.
        server.refuse = lambda _line: ""
        assert await sink.write(batch) == []


async def test_a_count_that_names_all_lines_needs_no_search() -> None:
    site = make_site(meters=50, channels=1)
    fake = FakeInflux(refuse=lambda _: "points beyond retention policy")
    async with fake as server, opened(server.url, site) as sink:
        refusals = await sink.write(make_batch(site))
    assert [refusal.index for refusal in refusals] == list(range(50))
    assert len(server.requests) == 1


async def test_the_search_is_bounded_and_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCH_MAX", 40)
    site = make_site(meters=64, channels=1)
    batch = make_batch(site)
    fake = FakeInflux(refuse=lambda _: "bad line", all_or_nothing=True)
    async with fake as server, opened(server.url, site) as sink:
        for _ in range(20):
            before = len(server.requests)
            try:
                refusals = await sink.write(batch)
                break
            except SinkUnavailable as error:
                asked_s = error.retry_after_s
            assert asked_s == 0
            assert len(server.requests) - before <= 41
    assert [refusal.index for refusal in refusals] == list(range(64))
    assert len(server.requests) > 41


async def test_created_means_partly_rejected() -> None:
    site = make_site(meters=4, channels=1)
    rejected = b'{"error":"partial write","data":[{"error_message":"invalid column type","line_number":2}]}'
    async with (
        FakeInflux(
            script=[
                Answer(201, rejected),
                Answer(204),
                Answer(201, rejected),
                Answer(204),
                Answer(201, rejected),
            ]
        ) as server,
        opened(server.url, site) as sink,
    ):
        (refusal,) = await sink.write(make_batch(site))
    assert refusal.index == 3
    assert "invalid column type" in refusal.reason


async def test_too_large_is_halved_and_remembered() -> None:
    site = make_site(meters=100, channels=20)
    batch = make_batch(site)
    async with FakeInflux(bytes_max=30_000) as server, opened(server.url, site) as sink:
        assert await sink.write(batch) == []
        assert set(server.stored) == set(lines_of(site, batch))
        assert any(request.status == 413 for request in server.requests)
        server.requests.clear()
        await sink.write(batch)
        assert all(request.status == 204 for request in server.requests)


async def test_a_single_line_that_is_too_large_is_a_refusal() -> None:
    site = make_site(meters=1, channels=2)
    site.in_force.append(make_layout("m-002", tuple(f"long_{i}" for i in range(200))))
    async with FakeInflux(bytes_max=2_000) as server, opened(server.url, site) as sink:
        (refusal,) = await sink.write(make_batch(site))
    assert refusal.index == 1
    assert refusal.reason.startswith("413 ")
    assert len(server.stored) == 1


@pytest.mark.parametrize(
    ("answer", "text", "retry_after_s"),
    [
        (influx_error(401, "unauthorized", "unauthorized access"), "401 .*unauthorized access; check the sink's token file", None),
        (influx_error(403, "forbidden", "insufficient permissions"), "403 .*write permission on bucket meters", None),
        (influx_error(404, "not found", 'bucket "meters" not found'), "404 .*org plant and bucket meters, or create", None),
        (influx_error(429, "too many requests", "slow down", ("Retry-After", "17")), "429 .*slow down", 17.0),
        (influx_error(503, "unavailable", "starting", ("Retry-After", "3")), "503 .*starting", 3.0),
        (Answer(503, b"", (("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)), "503", None),
        (Answer(503, b"", (("Retry-After", "-5"),)), "503", None),
        (Answer(500, b"panic"), "500 .*panic", None),
        (Answer(502, b"<html>Bad gateway</html>"), "502", None),
        (Answer(302, b"", (("Location", "http://127.0.0.1:1/login"),)), "302 .*check the sink's url", None),
        (Answer(400, b"Client sent an HTTP request to an HTTPS server."), "400 .*did not blame a line", None),
        (Answer(400, b"<html><h1>400 Bad Request</h1></html>"), "400 .*did not blame a line", None),
        (influx_error(400, "invalid", "gzip: invalid header"), "400 .*did not blame a line", None),
        (Answer(200, b"<html>Please log in</html>", (("Content-Type", "text/html"),)), "answered 200 OK text/html: .*Please log in.*only 204 means stored.*stands in between", None),
        (Answer(200), "answered 200 OK; only 204", None),
        (Answer(202, b"{}", (("Content-Type", "application/json"),)), "answered 202 .*only 204", None),
        (Answer(201), "answered 201 .*only 204", None),
        (Answer(201, b"<html>a new line in the field</html>"), "answered 201 .*only 204", None),
        (Answer(201, b'{"id": 7, "data": [{"name": "x"}]}'), "answered 201 .*only 204", None),
        (influx_error(401, "unauthorized", f"no such token: {TOKEN}!"), "401 .*no such token: …!", None),
        (Answer(400, zlib.compress(b"parse error", wbits=31), (("Content-Encoding", "gzip"),)), "400 .*did not blame", None),
        (Answer(trouble="cut"), "disconnected", None),
        (Answer(trouble="hang"), r"no answer within 0\.2 s", None),
    ],
)  # fmt: skip
async def test_trouble_holds_the_batch_and_the_next_attempt_delivers_it(
    answer: Answer, text: str, retry_after_s: float | None
) -> None:
    site = make_site(meters=3, channels=1)
    batch = make_batch(site)
    async with FakeInflux(script=[answer]) as server, opened(server.url, site, timeout_s=0.2) as sink:
        with pytest.raises(SinkUnavailable, match=f"(?is)sink history-db .*{text}") as caught:
            await sink.write(batch)
        assert caught.value.retry_after_s == retry_after_s
        assert TOKEN not in str(caught.value)
        assert server.stored == []
        await sink.close()
        await sink.open()
        assert await sink.write(batch) == []
        assert server.stored == lines_of(site, batch)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("status", [200, 400, 503])
async def test_an_answer_without_end_is_left_at_64_kib(status: int, packed: bool) -> None:
    site = make_site(meters=3, channels=1)
    answer = Answer(
        status, b"x" * 65536, (("Content-Encoding", "gzip"),) if packed else (), trouble="endless"
    )
    async with FakeInflux(script=[answer]) as server, opened(server.url, site, timeout_s=20) as sink:
        async with asyncio.timeout(5):
            with pytest.raises(SinkUnavailable, match=f"answered {status} ") as caught:
                await sink.write(make_batch(site))
            await server.left.wait()
        assert len(str(caught.value)) < 1000
        assert server.sent < 8 << 20
        assert await sink.write(make_batch(site)) == []


async def test_a_ping_without_end_is_left_too() -> None:
    site = make_site(1, 1)
    async with FakeInflux(ping=Answer(200, b"x" * 65536, trouble="endless")) as server:
        async with asyncio.timeout(5), opened(server.url, site, timeout_s=20) as sink:
            assert await sink.write(make_batch(site)) == []
            await server.left.wait()
        assert server.sent < 8 << 20


async def test_a_refusal_that_shows_the_token_is_recorded_without_it() -> None:
    site = make_site(1, 1)
    answer = influx_error(422, "unprocessable entity", f"partial write: {TOKEN} dropped=1")
    async with FakeInflux(script=[answer]) as server, opened(server.url, site) as sink:
        (refusal,) = await sink.write(make_batch(site))
    assert refusal.reason == "422 Error: partial write: … dropped=1"


async def test_trouble_in_the_middle_of_a_search_keeps_what_was_found() -> None:
    site = make_site(meters=8, channels=1)
    batch = make_batch(site)
    async with (
        FakeInflux(refuse=lambda line: "bad line" if b"m-001" in line else "", all_or_nothing=True) as server,
        opened(server.url, site) as sink,
    ):
        parse_error = influx_error(400, "invalid", "unable to parse 'x': bad line")
        server.script = [parse_error] * 4 + [Answer(503)]
        with pytest.raises(SinkUnavailable, match="503"):
            await sink.write(batch)
        server.requests.clear()
        (refusal,) = await sink.write(batch)
    assert (refusal.index, len(server.requests)) == (0, 1)
    assert "unable to parse" in refusal.reason


async def test_nobody_there(free_port: Callable[[], int]) -> None:
    with pytest.raises(
        SinkUnavailable, match=r"sink history-db \(influx http://127.0.0.1:\d+\): .*[Cc]onnect"
    ):
        async with opened(f"http://user:pass@127.0.0.1:{free_port()}", make_site(1, 1)):
            pass


async def test_a_server_without_ping_is_a_server() -> None:
    async with FakeInflux() as server:
        site = make_site(1, 1)
        async with opened(f"{server.url}/below", site) as sink:
            with pytest.raises(SinkUnavailable, match="404"):
                await sink.write(make_batch(site))


async def test_cancelled_while_the_server_is_silent() -> None:
    site = make_site(1, 1)
    async with FakeInflux(script=[Answer(trouble="hang")]) as server, opened(server.url, site) as sink:
        writing = asyncio.create_task(sink.write(make_batch(site)))
        await server.arrived.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await sink.write(make_batch(site)) == []

"""The local socket: many clients, idle clients, clients that are there when the gateway stops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.control.server import ControlServer, ask_async, check_path
from gateway.errors import ConfigError, MetergateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def status(request: dict[str, Any]) -> dict[str, Any]:
    return {"asked": request["do"]}


async def connect(path: Path) -> Streams:
    """Return a connection once the server listens."""
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(path: Path, **limits: Any) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(ControlServer(path, {"status": status}, **limits).run())
    (await connect(path))[1].close()  # it listens
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def ask(streams: Streams) -> Any:
    reader, writer = streams
    writer.write(b'{"do": "status"}\n')
    return orjson.loads(await reader.readline())


async def test_an_answer_without_a_key_comes_from_an_older_gateway(path: Path) -> None:
    async with serving(path):
        answer = await ask_async(path, "status")
        assert answer == {"asked": "status"}
        with pytest.raises(MetergateError, match=r"older than this command.*restart it"):
            answer["newer"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket lies."""
    return tmp_path / "s"


async def test_a_client_that_asks_nothing_is_sent_away(path: Path) -> None:
    async with serving(path, idle_s=0.05):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_one_client_too_many_is_told_and_has_room_later(path: Path) -> None:
    async with serving(path, connections_max=2):
        first, second = [await asyncio.open_unix_connection(path) for _ in range(2)]
        assert (await ask(first))["ok"]
        assert (await ask(second))["ok"]
        third = await asyncio.open_unix_connection(path)
        answer = orjson.loads(await third[0].readline())
        assert not answer["ok"]
        assert "2 connections" in answer["error"]
        assert await third[0].read() == b""
        first[1].close()
        await first[1].wait_closed()
        while True:  # the server sees the end in its own time
            fourth = await asyncio.open_unix_connection(path)
            if (await ask(fourth))["ok"]:
                break
            fourth[1].close()
        for _, writer in (second, third, fourth):
            writer.close()


class Slow:
    """Takes until it is let go or cancelled."""

    def __init__(self) -> None:
        self.begun, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, _: dict[str, Any]) -> str:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "done"


async def begun(path: Path, do: str) -> tuple[Slow, Streams]:
    """Return a slow request that is under way, and its client's streams."""
    slow = SLOW[do]
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(orjson.dumps({"do": do}) + b"\n")
    await slow.begun.wait()
    return slow, (reader, writer)


async def gone(path: Path, do: str) -> None:
    """Return when a client's leaving has been noticed, so that of those before it was noticed too."""
    slow, (_, writer) = await begun(path, do)
    writer.close()
    async with asyncio.timeout(1):
        await slow.cancelled.wait()


SLOW: dict[str, Slow] = {}


@pytest.fixture
async def busy(path: Path) -> AsyncIterator[Path]:
    """A socket on which everything takes until it is let go."""
    SLOW.update({do: Slow() for do in ("ask", "poll", "browse", "swap")})
    server = asyncio.create_task(ControlServer(path, SLOW).run())
    (await connect(path))[1].close()
    yield path
    server.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await server


@pytest.mark.parametrize("do", ["ask", "poll", "browse"])
async def test_what_touches_a_line_is_given_up_when_whoever_asked_has_gone(busy: Path, do: str) -> None:
    await gone(busy, do)


async def test_a_command_that_is_cancelled_gives_its_request_up(busy: Path) -> None:
    asking = asyncio.create_task(ask_async(busy, "ask"))
    await SLOW["ask"].begun.wait()
    asking.cancel()
    async with asyncio.timeout(1):
        await SLOW["ask"].cancelled.wait()


async def test_what_changes_something_is_done_to_its_end(busy: Path) -> None:
    swap, (_, writer) = await begun(busy, "swap")
    writer.close()
    await gone(busy, "ask")
    assert not swap.cancelled.is_set()
    swap.go.set()


async def test_a_client_that_asks_no_more_still_gets_its_answer(busy: Path) -> None:
    slow, (reader, writer) = await begun(busy, "poll")
    writer.write_eof()
    await gone(busy, "ask")
    slow.go.set()
    assert orjson.loads(await reader.readline()) == {"ok": True, "answer": "done"}
    writer.close()


async def test_requests_sent_at_once_are_answered_in_turn(path: Path) -> None:
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"do": "status"}\n' * 3)
        for _ in range(3):
            assert orjson.loads(await reader.readline())["ok"]
        writer.close()


async def test_a_stop_does_not_wait_for_a_client_that_stays(path: Path) -> None:
    async with serving(path) as task:
        streams = await asyncio.open_unix_connection(path)
        assert (await ask(streams))["answer"] == {"asked": "status"}
        task.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await streams[0].read() == b""
        streams[1].close()
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(path)


def test_a_file_that_is_no_socket_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("precious")
    with pytest.raises(ConfigError, match="a file or folder already"):
        check_path(file)
    assert file.read_text() == "precious"


def test_a_socket_that_answers_is_somebody_elses_and_a_dead_one_is_ours(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ConfigError, match="another gateway answers"):
            check_path(path)
    check_path(path)
    assert path.exists(), "checking changes nothing"


@pytest.mark.parametrize("name", ["missing/control.sock", "x" * 120])
def test_a_place_where_no_socket_can_be_is_refused_before_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_path(tmp_path / name)
    assert [finding.path for finding in refused.value.findings] == ["gateway.socket"]


async def test_a_server_removes_only_its_own_socket(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"

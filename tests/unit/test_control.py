"""The local socket: many clients, idle clients, clients that are there when the gateway stops."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.control import ControlServer

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

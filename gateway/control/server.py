"""The local Unix socket through which commands ask the running gateway.

One JSON object a line each way: `{"do": "status"}` → `{"ok": true, "answer": …}` or `{"ok": false, "error": …}`.
The socket is mode 0600: whoever may open it may ask. Commands never open the journal themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import stat
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from gateway.errors import ConfigError, Finding, MetergateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    Answer = Callable[[dict[str, Any]], Awaitable[Any]]

T = TypeVar("T")

LINE_MAX = 1024 * 1024
CLIENT_TIMEOUT_S = 10.0
IDLE_S = 30.0  # a connection that asks nothing for this long is closed
CONNECTIONS_MAX = 16
WITHDRAWN = frozenset({"ask", "poll", "browse"})
"""What is given up when whoever asked has gone: it changes nothing, and a line's time is dear."""
LOOK_EVERY_S = 0.2
PATH_MAX = 107  # sun_path of sockaddr_un, less the closing zero; Source: unix(7)


class ControlServer:
    """Serves `answers` (name → coroutine function of the request) on a socket file."""

    def __init__(
        self,
        path: Path,
        answers: Mapping[str, Answer],
        *,
        idle_s: float = IDLE_S,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """path: replaced if a dead gateway left it behind. idle_s: patience with a client that asks nothing."""
        self._path, self._answers = path, dict(answers)
        self._idle_s, self._connections_max = idle_s, connections_max
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled, then remove the socket file."""
        check_path(self._path)
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._connected, self._path, limit=LINE_MAX)
        self._path.chmod(0o600)
        own = _identity(self._path)
        try:
            await server.serve_forever()
        finally:
            with contextlib.suppress(OSError):
                if _identity(self._path) == own:  # never another gateway's
                    self._path.unlink()
            server.close()
            connections = list(self._connections)
            for connection in connections:  # from Python 3.12 on wait_closed() waits for them
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
            await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._connections_max:
            text = f"{self._connections_max} connections are open already; close one or try again"
            writer.write(orjson.dumps({"ok": False, "error": text}) + b"\n")
            writer.close()
            return
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it goes, asks nothing for a while, or does not take its answer."""
        try:
            with contextlib.suppress(ConnectionError, ValueError, TimeoutError):
                while line := await self._in_time(reader.readline()):
                    writer.write(orjson.dumps(await self._answer(line, writer)) + b"\n")
                    await self._in_time(writer.drain())
        finally:
            writer.close()

    async def _in_time(self, wait: Awaitable[T]) -> T:
        async with asyncio.timeout(self._idle_s):
            return await wait

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> dict[str, Any]:
        """Return the answer to a request. writer: to whoever asked. Raises ConnectionError if he has gone."""
        try:
            request = orjson.loads(line)
            do, answer = request["do"], self._answers[request["do"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            known = ", ".join(sorted(self._answers))
            return {"ok": False, "error": f'expected {{"do": NAME}} with NAME one of: {known}'}
        work = answer(request)
        try:
            return {
                "ok": True,
                "answer": await (_unless_gone(work, writer) if do in WITHDRAWN else work),
            }
        except MetergateError as error:
            return {"ok": False, "error": str(error)}


async def _unless_gone(work: Awaitable[Any], writer: asyncio.StreamWriter) -> Any:
    """Return what `work` returns; it is cancelled when whoever asked has gone, so that nobody waits behind it.

    A client that only says that it asks no more (`nc -N`) still gets its answer. Raises ConnectionError.
    """
    look, task = select.poll(), asyncio.ensure_future(work)
    try:
        look.register(writer.get_extra_info("socket"), 0)
        while not (await asyncio.wait({task}, timeout=LOOK_EVERY_S))[0]:
            if look.poll(0):  # only POLLHUP: both directions are closed; Source: poll(2), unix(7)
                raise ConnectionError("whoever asked has gone")
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _identity(path: Path) -> tuple[int, int, int]:
    """Return what tells one file from another at the same path; inode numbers alone are used again."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_ctime_ns


def check_path(path: Path) -> None:
    """Raise ConfigError unless a socket may be made at `path`: nothing is there, or what a dead gateway left.

    A file that is no socket is never replaced, and a socket that answers belongs to somebody.
    """
    if len(bytes(path)) > PATH_MAX:
        found = f"a path of {len(bytes(path))} bytes: {path}"
        raise _refused(found, f"at most {PATH_MAX} bytes, which is all a Unix socket takes")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
            raise _refused(f"{path}, whose folder cannot be used", "a folder the gateway may write") from None
        return
    except OSError as error:
        raise _refused(f"{path}: {error.strerror}", "a folder the gateway may write") from error
    if not stat.S_ISSOCK(mode):
        raise _refused(f"{path}, which is a file or folder already", "a name nothing else has")
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(CLIENT_TIMEOUT_S)
            sock.connect(str(path))
    except OSError:
        return
    raise _refused(f"{path}, on which another gateway answers", "a socket of its own")


def _refused(found: str, expected: str) -> ConfigError:
    hint = "set gateway.socket to a short path such as /run/metergate/control.sock"
    return ConfigError([Finding("gateway.socket", found, expected, hint)])


def ask(path: Path, do: str, **parameters: object) -> Any:
    """Return the running gateway's answer. Raises ConnectionError if none answers, MetergateError if it refuses."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(CLIENT_TIMEOUT_S)
            sock.connect(str(path))
            sock.sendall(orjson.dumps({"do": do, **parameters}) + b"\n")
            with sock.makefile("rb") as file:
                line = file.readline()
    except OSError as error:
        raise ConnectionError(
            f"no gateway answers on {path} ({error}); is it running? Start it with `metergate run`"
        ) from error
    if not line:
        raise ConnectionError(f"the gateway on {path} closed the connection")
    return _answer_in(line)


async def ask_async(
    path: Path, do: str, /, *, patience_s: float = CLIENT_TIMEOUT_S, **parameters: object
) -> Any:
    """Return the running gateway's answer, as `ask` does, for commands with an event loop of their own."""
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_MAX)
            try:
                writer.write(orjson.dumps({"do": do, **parameters}) + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise ConnectionError(
            f"no gateway answers on {path} ({error}); is it running? Start it with `metergate run`"
        ) from error
    if not line:
        raise ConnectionError(f"the gateway on {path} closed the connection")
    return _answer_in(line)


class _Table(dict[str, Any]):
    """A table of the gateway's answer; one that lacks a key comes from another version."""

    def __missing__(self, key: str) -> Any:
        """Raise MetergateError."""
        raise MetergateError(
            f'the running gateway is older than this command (its answer has no "{key}"): restart it'
        )


def _answer_in(line: bytes) -> Any:
    answer = orjson.loads(line)
    if not answer["ok"]:
        raise MetergateError(answer["error"])
    return _tables(answer["answer"])


def _tables(value: Any) -> Any:
    if isinstance(value, dict):
        return _Table({key: _tables(inner) for key, inner in value.items()})
    return [_tables(inner) for inner in value] if isinstance(value, list) else value

"""The local Unix socket through which commands ask the running gateway.

One JSON object a line each way: `{"do": "status"}` → `{"ok": true, "answer": …}` or `{"ok": false, "error": …}`.
The socket is mode 0600: whoever may open it may ask. Commands never open the journal themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import ConfigError, Finding, MetergateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    Answer = Callable[[dict[str, Any]], Awaitable[Any]]

LINE_MAX = 1024 * 1024
CLIENT_TIMEOUT_S = 10.0
PATH_MAX = 107  # sun_path of sockaddr_un, less the closing zero; Source: unix(7)


class ControlServer:
    """Serves `answers` (name → coroutine function of the request) on a socket file."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        """path: replaced if a dead gateway left it behind."""
        self._path, self._answers = path, dict(answers)

    async def run(self) -> None:
        """Serve until cancelled, then remove the socket file."""
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_MAX)
        self._path.chmod(0o600)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(orjson.dumps(await self._answer(line)) + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
            answer = self._answers[request["do"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            known = ", ".join(sorted(self._answers))
            return {"ok": False, "error": f'expected {{"do": NAME}} with NAME one of: {known}'}
        try:
            return {"ok": True, "answer": await answer(request)}
        except MetergateError as error:
            return {"ok": False, "error": str(error)}


def check_path(path: Path) -> None:
    """Raise ConfigError if the socket's path is longer than the system takes."""
    if len(bytes(path)) > PATH_MAX:
        raise ConfigError(
            [
                Finding(
                    "gateway.socket",
                    f"a path of {len(bytes(path))} bytes: {path}",
                    f"at most {PATH_MAX} bytes, which is all a Unix socket takes",
                    "set gateway.socket to a short path such as /run/metergate/control.sock",
                )
            ]
        )


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
        raise ConnectionError(f"no gateway answers on {path}: {error}") from error
    if not line:
        raise ConnectionError(f"the gateway on {path} closed the connection")
    answer = orjson.loads(line)
    if not answer["ok"]:
        raise MetergateError(answer["error"])
    return answer["answer"]

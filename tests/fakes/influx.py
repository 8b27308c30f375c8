"""A small InfluxDB v2 write endpoint that answers as scripted and remembers what it stored.

Only what a write needs: `/ping` and `/api/v2/write`, one request after another on a connection.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Answer:
    """One scripted answer, instead of storing.

    hang: take the request and say nothing. cut: close instead. endless: the body again and again, in chunks.
    """

    status: int = 204
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    trouble: Literal["", "hang", "cut", "endless"] = ""


@dataclass
class Request:
    """A write as it came in."""

    query: dict[str, str]
    headers: dict[str, str]
    body: bytes  # as sent
    lines: list[bytes]
    status: int


def influx_error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    """Return an error as InfluxDB 2 words it."""
    body = json.dumps({"code": code, "message": message}).encode()
    return Answer(status, body, (("Content-Type", "application/json; charset=utf-8"), *headers))


@dataclass
class FakeInflux:
    """Use as `async with FakeInflux() as influx`; `influx.url` is its address.

    script: answers to the next writes, in order; when it is empty the rules decide:
    refuse: returns why a line is refused, or "". all_or_nothing: a bad line spoils the request (a parse
    error); otherwise the good lines are stored (a partial write, as InfluxDB 2 does with type conflicts).
    ping: answers /ping. bytes_max: longer bodies (unpacked) get 413. count: whether a partial write says how many it dropped.
    """

    script: list[Answer] = field(default_factory=list)
    refuse: Callable[[bytes], str] = lambda _line: ""
    all_or_nothing: bool = False
    bytes_max: int = 1 << 30
    count: bool = True
    requests: list[Request] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    ping: Answer = Answer()
    sent: int = 0  # bytes of an endless answer
    left: asyncio.Event = field(default_factory=asyncio.Event)  # the client closed during an endless answer
    url: str = ""

    async def __aenter__(self) -> Self:
        self._writers: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        url = urlsplit(target)
        if method == "GET" and url.path == "/ping":
            answer = self.ping
        elif method == "POST" and url.path == "/api/v2/write":
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            answer = self._write(query, headers, body)
            self.arrived.set()
        else:
            answer = Answer(404, b"no such path")
        if answer.trouble == "hang":
            await asyncio.Event().wait()
        if answer.trouble == "cut":
            return False
        lines = [f"HTTP/1.1 {answer.status} {'OK' if answer.status < 300 else 'Error'}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if answer.trouble == "endless":
            await self._endless(writer, lines, answer.body)
        if answer.status != 204:
            lines.append(f"Content-Length: {len(answer.body)}")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
        await writer.drain()
        return True

    async def _endless(self, writer: asyncio.StreamWriter, head: list[str], body: bytes) -> None:
        writer.write("\r\n".join([*head, "Transfer-Encoding: chunked"]).encode() + b"\r\n\r\n")
        try:
            while True:
                writer.write(b"%x\r\n%b\r\n" % (len(body), body))
                await writer.drain()
                self.sent += len(body)
        finally:
            self.left.set()

    def _write(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> Answer:
        plain = zlib.decompress(body, wbits=31) if headers.get("content-encoding") == "gzip" else body
        lines = plain.split(b"\n")
        answer = self.script.pop(0) if self.script else self._rules(plain, lines)
        self.requests.append(Request(query, headers, body, lines, answer.status))
        return answer

    def _rules(self, plain: bytes, lines: list[bytes]) -> Answer:
        if len(plain) > self.bytes_max:
            return influx_error(413, "request too large", "unable to read data: points batch is too large")
        bad = [(line, why) for line in lines if (why := self.refuse(line))]
        if bad and self.all_or_nothing:
            return influx_error(400, "invalid", f"unable to parse '{bad[0][0].decode()}': {bad[0][1]}")
        spoilt = {line for line, _ in bad}
        self.stored += [line for line in lines if line not in spoilt]
        if not bad:
            return Answer()
        dropped = f" dropped={len(bad)}" if self.count else ""
        return influx_error(
            422,
            "unprocessable entity",
            f"failure writing points to database: partial write: {bad[0][1]}{dropped}",
        )

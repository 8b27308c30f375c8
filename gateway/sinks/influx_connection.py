"""An InfluxDB v2 write endpoint: ready-made line protocol through influxdb-client, every answer read for what it means."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.service.write_service import WriteService

from gateway.errors import SinkUnavailable
from gateway.model import Refusal
from gateway.sinks.influx_answer import read
from gateway.sinks.tls import TlsFiles, hide, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Clock
    from gateway.sinks.influx_answer import Answer

LINES_MAX = 5_000  # a request; Source: InfluxDB documentation, "Optimize writes"
BYTES_MAX = 1024 * 1024
BYTES_MIN = 16 * 1024
SEARCH_MAX = 500  # requests in one write that only look for refused lines


class _Line(NamedTuple):
    place: int  # in what is written
    text: bytes


class InfluxLines:
    """Lines to one bucket. Writing them again changes nothing."""

    def __init__(
        self,
        *,
        id: str,
        url: str,
        org: str,
        bucket: str,
        token: str,
        clock: Clock,
        gzip: bool = True,
        timeout_s: float = 10,
        tls: TlsFiles | None = None,
    ) -> None:
        """timeout_s: for a whole request. tls: for an https URL whose CA the system does not know."""
        parts = urlsplit(url)
        self._name = f"sink {id} (influx {parts.scheme}://{parts.netloc.rpartition('@')[2]})"
        self._url = url.rstrip("/")
        self._org, self._bucket, self._token = org, bucket, token
        self._clock = clock
        self._gzip = gzip
        self._timeout_s = timeout_s
        self._tls = tls or TlsFiles()
        self._client: Any = None  # influxdb-client has no types
        self._service: Any = None
        self._bytes_max = BYTES_MAX
        self._refused: dict[bytes, str] = {}  # line -> reason, of what is being written
        self._searches = 0

    async def open(self) -> None:
        """Make a client and see that a server answers there. Raises SinkUnavailable."""
        await self.close()
        secure = self._url.startswith("https:")
        # Without a context of ours influxdb-client loads every CA of the system, also for plain http.
        context = self._tls.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        service: Any = WriteService
        client: Any = InfluxDBClientAsync(
            self._url,
            token=self._token,
            org=self._org,
            timeout=round(self._timeout_s * 1000),
            enable_gzip=False,  # its gzip is level 9: ten times the time of level 1 for a seventh less
            allow_redirects=False,  # a redirected POST turns into a GET, whose 200 would look like success
            ssl_context=context,
            client_session_kwargs={"auto_decompress": False},
        )
        client.api_client.set_default_header("Accept-Encoding", "identity")
        if self._gzip:
            client.api_client.set_default_header("Content-Encoding", "gzip")
        self._client = client
        self._service = service(client.api_client)
        self._bytes_max = BYTES_MAX
        try:
            # Not every server with this write API has a ping: any answer will do.
            await read(await client.api_client.rest_client.GET(f"{self._url}/ping", _preload_content=False))
        except (aiohttp.ClientError, OSError) as error:
            await self.close()
            raise self._unreachable(error) from error

    @property
    def is_open(self) -> bool:
        """Return whether it may be written to."""
        return self._client is not None

    async def write_lines(self, texts: Sequence[bytes | None]) -> list[Refusal]:
        """Return the lines the server refuses, once it has stored every other one; None stands for no line.

        Raises SinkUnavailable, with `retry_after_s` where the server said it.
        """
        if self._client is None:
            raise SinkUnavailable(f"{self._name}: not open")
        return await self._write(texts)

    async def _write(self, texts: Sequence[bytes | None]) -> list[Refusal]:
        refusals = []
        lines = []
        for index, text in enumerate(texts):
            if text is None:
                continue
            known = self._refused.get(text)
            if known is None:
                lines.append(_Line(index, text))
            else:
                refusals.append(Refusal(index, known))
        self._searches = 0
        for request in self._requests(lines):
            refusals += await self._deliver(request)
        self._refused.clear()
        return sorted(refusals, key=lambda refusal: refusal.index)

    async def close(self) -> None:
        """Close the connections; never raises, may be called twice."""
        client, self._client, self._service = self._client, None, None
        if client is not None:
            await client.close()

    def _requests(self, lines: Sequence[_Line]) -> list[Sequence[_Line]]:
        """Return the lines in requests of at most LINES_MAX lines and about `_bytes_max` bytes."""
        requests: list[Sequence[_Line]] = []
        start = size = 0
        for n, line in enumerate(lines):
            size += len(line.text) + 1
            if n > start and (n - start >= LINES_MAX or size > self._bytes_max):
                requests.append(lines[start:n])
                start, size = n, len(line.text) + 1
        if start < len(lines):
            requests.append(lines[start:])
        return requests

    async def _deliver(self, request: Sequence[_Line]) -> list[Refusal]:
        """Return the refused lines of a request; it is halved until each half is stored or a single line.

        Bounded: at most SEARCH_MAX extra requests in one write. What was found is remembered, so the next
        attempt at the same batch goes on from there.
        """
        refusals: list[Refusal] = []
        waiting = [request]
        while waiting:
            part = waiting.pop()
            no = await self._post(part)
            if no is None:
                continue
            if len(part) == 1 or no.dropped == len(part):
                for line in part:
                    self._refused[line.text] = no.reason
                    refusals.append(Refusal(line.place, no.reason))
                continue
            self._searches += 2
            if self._searches > SEARCH_MAX:
                raise SinkUnavailable(
                    f"{self._name}: still searching for the lines it refuses, {len(self._refused)} found so far, "
                    f"the last answer: {no.reason}",
                    retry_after_s=0,
                )
            half = len(part) // 2
            waiting += [part[half:], part[:half]]
        return refusals

    async def _post(self, lines: Sequence[_Line]) -> _No | None:
        """Return None when the server stored all lines, else why not. Raises SinkUnavailable."""
        body = sent = b"\n".join([line.text for line in lines])
        if self._gzip:
            sent = await asyncio.to_thread(zlib.compress, body, 1, wbits=31)  # the loop goes on meanwhile
        try:
            answer = await read(
                await self._service.post_write_async(
                    org=self._org,
                    bucket=self._bucket,
                    body=sent,
                    precision="ms",
                    content_type="text/plain; charset=utf-8",
                    _preload_content=False,
                )
            )
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        if answer.status == 413:
            self._bytes_max = max(BYTES_MIN, min(self._bytes_max, len(body) // 2))
        return None if answer.status == 204 else self._judge(answer)

    def _judge(self, answer: Answer) -> _No:
        """Return why these lines were refused. Raises SinkUnavailable where the lines are not to blame."""
        told = answer.told(self._token)
        if answer.blames_lines():
            return _No(told, answer.dropped())
        advice = {
            400: "; it did not blame a line: check the sink's url (http or https) and what stands in between",
            401: "; check the sink's token file",
            403: f"; the token needs write permission on bucket {self._bucket}",
            404: f"; check the sink's url, org {self._org} and bucket {self._bucket}, or create the bucket",
        }.get(answer.status, "")
        if answer.status < 400:
            advice = "; only 204 means stored: check the sink's url and what stands in between"
        raise SinkUnavailable(
            f"{self._name}: answered {told}{advice}",
            retry_after_s=answer.asked_s(self._clock.wall_ns() / 1e9),
        )

    def _unreachable(self, error: Exception) -> SinkUnavailable:
        if isinstance(error, TimeoutError):
            return SinkUnavailable(f"{self._name}: no answer within {self._timeout_s:g} s")
        doubt = self._tls.doubt() if self._url.startswith("https:") else ""
        return SinkUnavailable(f"{self._name}: {hide(reason(error), self._token)}{doubt}")


class _No(NamedTuple):
    """Why a request was refused; dropped: how many of its lines by the server's own count, 0 if it did not say."""

    reason: str
    dropped: int = 0

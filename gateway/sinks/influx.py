"""The InfluxDB v2 sink: ready-made line protocol through influxdb-client, every answer read for what it means."""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from gateway.errors import SinkUnavailable
from gateway.model import Refusal
from gateway.sinks.line_protocol import Encoder
from gateway.sinks.tls import TlsFiles, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Clock, Directory
    from gateway.model import Batch

LINES_MAX = 5_000  # a request; Source: InfluxDB documentation, "Optimize writes"
BYTES_MAX = 1024 * 1024
BYTES_MIN = 16 * 1024
SEARCH_MAX = 500  # requests in one write that only look for refused lines
_REASON_MAX = 500  # characters
_DROPPED = re.compile(r"\bdropped=(\d+)")
_ABOUT_LINES = re.compile(
    r"partial write|pars|\bline|field|timestamp|retention|dropped|\bpoint", re.IGNORECASE
)
_ABOUT_REQUEST = re.compile(
    r"https?\b|html|gzip|encoding|precision|organization|\bbucket|header|request body", re.IGNORECASE
)


class _Line(NamedTuple):
    frame: int  # index in the batch
    text: bytes


class InfluxSink:
    """Readings (docs/specs/influx-schema.md) to one bucket. Writing a batch again changes nothing."""

    def __init__(
        self,
        *,
        id: str,
        url: str,
        org: str,
        bucket: str,
        token: str,
        directory: Directory,
        clock: Clock,
        measurement: str = "meter",
        gzip: bool = True,
        timeout_s: float = 10,
        tls: TlsFiles | None = None,
    ) -> None:
        """timeout_s: for a whole request. tls: for an https URL whose CA the system does not know."""
        parts = urlsplit(url)
        self._name = f"sink {id} (influx {parts.scheme}://{parts.netloc.rpartition('@')[2]})"
        self._url = url.rstrip("/")
        self._org, self._bucket, self._token = org, bucket, token
        self._directory = directory
        self._clock = clock
        self._measurement = measurement
        self._gzip = gzip
        self._timeout_s = timeout_s
        self._tls = tls or TlsFiles()
        self._client: Any = None  # influxdb-client has no types
        self._service: Any = None
        self._encoder: Encoder | None = None
        self._bytes_max = BYTES_MAX
        self._refused: dict[bytes, str] = {}  # line -> reason, of the batch being written
        self._searches = 0

    async def open(self) -> None:
        """Make a client and see that a server answers there. Raises SinkUnavailable."""
        await self.close()
        secure = self._url.startswith("https:")
        # Without a context of ours influxdb-client loads every CA of the system, also for plain http.
        context = self._tls.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        service: Any = WriteService
        self._encoder = Encoder(self._directory, self._measurement)
        client: Any = InfluxDBClientAsync(
            self._url,
            token=self._token,
            org=self._org,
            timeout=round(self._timeout_s * 1000),
            enable_gzip=False,  # its gzip is level 9: ten times the time of level 1 for a seventh less
            allow_redirects=False,  # a redirected POST turns into a GET, whose 200 would look like success
            ssl_context=context,
        )
        if self._gzip:
            client.api_client.set_default_header("Content-Encoding", "gzip")
        self._client = client
        self._service = service(client.api_client)
        self._bytes_max = BYTES_MAX
        try:
            await client.api_client.rest_client.GET(f"{self._url}/ping")
        except ApiException:
            pass  # not every server with this write API has a ping; it answered
        except (aiohttp.ClientError, OSError) as error:
            await self.close()
            raise self._unreachable(error) from error

    async def write(self, batch: Batch) -> list[Refusal]:
        """Return the frames whose line the server refuses, once it has stored every other one.

        Raises SinkUnavailable, with `retry_after_s` where the server said it.
        """
        if self._encoder is None or self._client is None:
            raise SinkUnavailable(f"{self._name}: not open")
        refusals = []
        lines = []
        for index, text in enumerate(self._encoder.lines(batch.frames)):
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
                    refusals.append(Refusal(line.frame, no.reason))
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
            _, status, _ = await self._service.post_write_async(
                org=self._org,
                bucket=self._bucket,
                body=sent,
                precision="ms",
                content_type="text/plain; charset=utf-8",
                _return_http_data_only=False,
            )
        except ApiException as error:
            no = self._judge(error)
            if error.status == 413:
                self._bytes_max = max(BYTES_MIN, min(self._bytes_max, len(body) // 2))
            return no
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        if status == 201:  # InfluxDB Clustered and Cloud Serverless: some lines stored, some rejected
            return _No(
                _message(self._service.api_client.last_response.data) or "201: part of the lines was rejected"
            )
        return None

    def _judge(self, error: ApiException) -> _No:
        """Return why these lines were refused. Raises SinkUnavailable where the lines are not to blame."""
        status, text = error.status, _message(error.body)
        told = f"{status} {error.reason}" + (f": {text}" if text else "")
        if status == 413:
            return _No(told)
        if status == 422 or (status == 400 and _blames_lines(error.body, text)):
            dropped = _DROPPED.search(text)
            return _No(told, int(dropped[1]) if dropped else 0)
        advice = {
            400: "; it did not blame a line: check the sink's url (http or https) and what stands in between",
            401: "; check the sink's token file",
            403: f"; the token needs write permission on bucket {self._bucket}",
            404: f"; check the sink's url, org {self._org} and bucket {self._bucket}, or create the bucket",
        }.get(status, "; check the sink's url" if status < 400 else "")
        raise SinkUnavailable(
            f"{self._name}: answered {told}{advice}", retry_after_s=_seconds(error.retry_after)
        ) from error

    def _unreachable(self, error: Exception) -> SinkUnavailable:
        if isinstance(error, TimeoutError):
            return SinkUnavailable(f"{self._name}: no answer within {self._timeout_s:g} s")
        return SinkUnavailable(f"{self._name}: {reason(error)}")


class _No(NamedTuple):
    """Why a request was refused; dropped: how many of its lines by the server's own count, 0 if it did not say."""

    reason: str
    dropped: int = 0


def _message(body: bytes | None) -> str:
    """Return the server's own words from an answer: JSON of InfluxDB 1, 2 or 3, or plain text."""
    if not body:
        return ""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace").strip()[:_REASON_MAX]
    if not isinstance(found, dict):
        return str(found)[:_REASON_MAX]
    text = str(found.get("message") or found.get("error") or "")
    rows = found.get("data")
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        text += f": {rows[0].get('error_message', '')}"
    return text[:_REASON_MAX]


def _blames_lines(body: bytes | None, text: str) -> bool:
    """Return whether a 400 speaks of lines. A proxy's page or a plain-http answer must not cost a reading."""
    if _ABOUT_REQUEST.search(text):
        return False
    return bool((body or b"").lstrip().startswith(b"{") or _ABOUT_LINES.search(text))


def _seconds(retry_after: str | None) -> float | None:
    """Return Retry-After in seconds; the form with a date is not used by these servers."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None

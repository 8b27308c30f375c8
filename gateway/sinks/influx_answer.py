"""What an InfluxDB write endpoint, or whatever stands in its place, answered; and what that means.

An answer is somebody else's bytes: it is read up to a limit, not unpacked, and only a 204 is believed to mean
that readings are stored.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.sinks.tls import hide

if TYPE_CHECKING:
    import aiohttp

ANSWER_MAX = 64 * 1024  # bytes
_REASON_MAX = 500  # characters
_DROPPED = re.compile(r"\bdropped=(\d{1,9})\b")
_ABOUT_LINES = re.compile(
    r"partial write|pars|\bline|field|timestamp|retention|dropped|\bpoint", re.IGNORECASE
)
_ABOUT_REQUEST = re.compile(
    r"https?\b|html|gzip|encoding|precision|organization|\bbucket|header|request body", re.IGNORECASE
)


class Answer(NamedTuple):
    """One answer. body: its first ANSWER_MAX bytes; empty if it is packed, which nobody asked for."""

    status: int
    phrase: str = ""
    kind: str = ""  # content type
    retry_after: str = ""
    body: bytes = b""

    def told(self, secret: str) -> str:
        """Return the answer in words, without `secret`."""
        text = self.text(secret)
        head = f"{self.status} {hide(self.phrase, secret)}" + (f" {self.kind}" if self.status < 300 else "")
        return head.strip() + (f": {text}" if text else "")

    def text(self, secret: str = "") -> str:
        """Return the server's own words without `secret`: JSON of InfluxDB 1, 2 or 3, or plain text."""
        found = self._json()
        if found is None:
            words = self.body.decode(errors="replace").strip()
        elif isinstance(found, dict):
            words = str(found.get("message") or found.get("error") or "")
            rows = found.get("data")
            if isinstance(rows, list) and rows and isinstance(rows[0], dict):
                words += f": {rows[0].get('error_message', '')}"
        else:
            words = str(found)
        return hide(words, secret)[:_REASON_MAX]

    def blames_lines(self) -> bool:
        """Return whether lines are to blame. A proxy's page or a plain-http answer must not cost a reading."""
        text = self.text()
        if self.status == 201:  # InfluxDB Clustered and Cloud Serverless: some lines stored, some rejected
            found = self._json()
            return isinstance(found, dict) and ("line" in found or _ABOUT_LINES.search(text) is not None)
        if self.status != 400:
            return self.status in {413, 422}
        if _ABOUT_REQUEST.search(text):
            return False
        return self.body.lstrip().startswith(b"{") or _ABOUT_LINES.search(text) is not None

    def dropped(self) -> int:
        """Return how many lines were refused by the server's own count, 0 if it did not say."""
        found = _DROPPED.search(self.text()) if self.status in {400, 422} else None
        return int(found[1]) if found else 0

    def asked_s(self, now_s: float) -> float | None:
        """Return Retry-After in seconds, from a number or a date; None without one, or where it is over.

        now_s: since 1970.
        """
        if self.retry_after.isascii() and self.retry_after.isdecimal():
            return float(self.retry_after)
        try:
            until = parsedate_to_datetime(self.retry_after)
        except (ValueError, OverflowError):
            return None
        wait_s = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now_s
        return wait_s if wait_s > 0 else None

    def _json(self) -> object:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


async def read(response: aiohttp.ClientResponse) -> Answer:
    """Return an answer; the connection is kept only if all of it was read. Raises aiohttp.ClientError."""
    body = bytearray()
    try:
        while len(body) < ANSWER_MAX and (chunk := await response.content.read(ANSWER_MAX - len(body))):
            body += chunk
    finally:
        if response.content.at_eof():
            response.release()
        else:
            response.close()
    packed = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    return Answer(
        response.status,
        (response.reason or "")[:_REASON_MAX],
        response.headers.get("Content-Type", "")[:_REASON_MAX],
        response.headers.get("Retry-After", "").strip(),
        b"" if packed else bytes(body),
    )

"""Recordings of a feed: what a subscriber received, one message a line: {"t": ms, "topic", "retain", "payload"}; also gzip (`.gz`).

The payload is kept as it came, so a recording can be verified years later.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.errors import MetergateError
from gateway.feed.jws import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase
    from pathlib import Path
    from types import TracebackType

LINE_BYTES_MAX = 2 * MESSAGE_BYTES_MAX  # JSON may escape; a longer line is none of ours
_SKIP_BYTES = 1 << 16


class Message(NamedTuple):
    """What a subscriber received. t_ms: when, milliseconds since 1970 UTC."""

    topic: str
    payload: bytes
    retain: bool
    t_ms: int


class Spoiled(NamedTuple):
    """A line that is no message. is_cut: the file ends in its middle."""

    text: str
    is_cut: bool = False


class Writer:
    """Appends messages to a recording. count: of them."""

    def __init__(self, path: Path) -> None:
        """path: made if it is not there; `.gz`: compressed. Raises MetergateError."""
        try:
            self._disk = path.open("ab")
        except OSError as error:
            raise MetergateError(f"{path}: {error.strerror}") from error
        packs = path.suffix == ".gz"
        self._file: BufferedIOBase = gzip.GzipFile(fileobj=self._disk, mode="ab") if packs else self._disk
        self.count = 0

    def write(self, message: Message) -> None:
        """Append a message. Raises OSError."""
        self._file.write(line(message))
        self.count += 1

    def flush(self) -> None:
        """Hand what was written to the system. Raises OSError."""
        self._file.flush()

    def sync(self) -> None:
        """Return once the disk has what was written. Raises OSError."""
        self._file.flush()
        self._disk.flush()
        os.fsync(self._disk.fileno())

    def close(self) -> None:
        """Write what is left and close. Raises OSError."""
        self._file.close()
        self._disk.close()

    def __enter__(self) -> Writer:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def line(message: Message) -> bytes:
    """Return a message as a line of a recording. Bytes that are no UTF-8 are replaced: they are no message anyway."""
    payload = message.payload.decode("utf-8", "replace")
    body = {"t": message.t_ms, "topic": message.topic, "retain": message.retain, "payload": payload}
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


class _Unpacked(io.RawIOBase):
    """What a compressed file holds, up to where it was cut: GzipFile gives nothing of the last kilobytes then."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._packed.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class Reader:
    """Reads a recording from begin to end; memory is bounded by the longest line. `bytes_read` of `size` bytes on disk are done."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises MetergateError."""
        try:
            self._file = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise MetergateError(f"{path}: {error.strerror}") from error
        packed = self._file.peek(2)[:2] == b"\x1f\x8b"
        self._lines: io.BufferedReader = (
            io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=self._file)), _SKIP_BYTES)
            if packed
            else self._file
        )

    @property
    def bytes_read(self) -> int:
        """Return how far it is."""
        return self._file.tell()

    def __iter__(self) -> Iterator[tuple[int, Message | Spoiled]]:
        """Yield (number of the line from 1, message), or what is wrong with the line."""
        number = 0
        while True:
            number += 1
            try:
                text = self._lines.readline(LINE_BYTES_MAX + 1)
                if not text:
                    return
                is_long = len(text) > LINE_BYTES_MAX and not text.endswith(b"\n")
                if is_long:
                    self._skip()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                yield number, Spoiled(f"the compressed file ends or is damaged here ({error})", is_cut=True)
                return
            if is_long:
                yield number, Spoiled(f"the line is longer than {LINE_BYTES_MAX} bytes")
            elif text.strip():
                yield number, _read(text)
            else:
                number += self._skip_blank()

    def _skip_blank(self) -> int:
        """Pass over line ends that are at hand; return how many. Some kB of `.gz` may hold a hundred million of them."""
        ahead = self._lines.peek()
        count = len(ahead) - len(ahead.lstrip(b"\n"))
        self._lines.read(count)
        return count

    def _skip(self) -> None:
        while (rest := self._lines.readline(_SKIP_BYTES)) and not rest.endswith(b"\n"):
            pass

    def close(self) -> None:
        """Close the file."""
        self._lines.close()
        self._file.close()

    def __enter__(self) -> Reader:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _read(text: bytes) -> Message | Spoiled:
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        if not text.endswith(b"\n"):
            return Spoiled("the file ends in the middle of this line", is_cut=True)
        return Spoiled("the line is no JSON")
    if not isinstance(body, dict):
        return Spoiled("the line is no JSON object")
    topic, payload, t_ms = body.get("topic"), body.get("payload"), body.get("t", 0)
    if not isinstance(topic, str) or not isinstance(payload, str) or not isinstance(t_ms, int):
        return Spoiled('the line lacks "topic" or "payload" as text')
    return Message(topic, payload.encode(), body.get("retain") is True, t_ms)

"""A recording that outlives whoever writes it: every message is on disk before the broker hears that we have it."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from typing import TYPE_CHECKING

import orjson

from gateway.errors import MetergateError
from gateway.feed.recording import LINE_BYTES_MAX, Message, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.regulator.subscriber import Delivery, Subscriber

_PIECE = 1 << 16
_CUT = EOFError, zlib.error, gzip.BadGzipFile


async def record(subscriber: Subscriber, writer: Writer) -> None:
    """Write what comes, until it is cancelled. Raises BrokerAway if going on is hopeless, MetergateError if the disk takes no more."""
    while True:
        store(await subscriber.take(subscriber.session.receive_max), writer, subscriber)


def store(deliveries: Sequence[Delivery], writer: Writer, subscriber: Subscriber) -> None:
    """Write messages, wait until the disk has them, then acknowledge them. Raises MetergateError; then none is acknowledged."""
    try:
        for delivery in deliveries:
            writer.write(Message(*delivery.message))
        writer.sync()
    except OSError as error:
        raise MetergateError(f"the recording cannot be written: {error.strerror}") from error
    subscriber.acknowledge(deliveries)


def mend(path: Path) -> str:
    """Make the end of a recording such that one can go on; return what was done, "" if there was nothing to do.

    Who was killed while writing leaves half a line, or half a compressed stream, behind which nothing could be read any more. No
    message is lost: one whose line was not whole was not acknowledged. Raises MetergateError.
    """
    try:
        if not path.exists() or not path.stat().st_size:
            return ""
        return _mend_packed(path) if path.suffix == ".gz" else _mend_lines(path)
    except OSError as error:
        raise MetergateError(f"{path}: {error.strerror or error}") from error


def _mend_lines(path: Path) -> str:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(0, size - LINE_BYTES_MAX - 1)
        file.seek(begin)
        tail = file.read()
        if tail.endswith(b"\n") or (b"\n" not in tail and begin):
            return ""
        rest = tail.rpartition(b"\n")[2]
        end = _ended(rest)
        file.truncate(size - len(rest))
        file.seek(0, os.SEEK_END)
        file.write(end)
        file.flush()
        os.fsync(file.fileno())
    if end:
        return f"{path}: its last line had no end yet; it has one now"
    return f"{path}: ended in the middle of a line; its {len(rest)} bytes were taken off"


def _ended(rest: bytes) -> bytes:
    """Return the last line with its end, if that is all that lacks, else nothing."""
    try:
        orjson.loads(rest)
    except orjson.JSONDecodeError:
        return b""
    return rest + b"\n"


def _mend_packed(path: Path) -> str:
    """Pack anew what can be read of a compressed recording that was cut, and let it take the old one's place."""
    if _is_whole(path):
        return ""
    fresh = path.with_name(f"{path.name}.mending")
    try:
        with fresh.open("wb") as disk:
            with gzip.GzipFile(fileobj=disk, mode="wb") as packed:
                for line in _readable(path):
                    packed.write(line)
            disk.flush()
            os.fsync(disk.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return f"{path}: was cut while it was written; what is whole was packed anew"


def _is_whole(path: Path) -> bool:
    last = b""
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                last = piece[-1:]
    except _CUT:
        return False
    return last in (b"", b"\n")


def _readable(path: Path) -> Iterator[bytes]:
    """Yield the whole lines there are before the place where it was cut."""
    rest = b""
    with contextlib.suppress(*_CUT), gzip.open(path) as file:
        while piece := file.read1(_PIECE):
            lines, end, rest = (rest + piece).rpartition(b"\n")
            yield lines + end
    yield _ended(rest)

"""A file of records that only grows: one JSON object a line, each with the hash of the one before; damage is told, never mended.

A line is `{"number", "prev", "body", "digest"}`; `digest` is SHA-256 over the canonical JSON of the other three. Whoever keeps a
digest can show later that nothing up to it was changed or taken away.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.errors import StorageError
from gateway.state_folder import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FILE_BYTES_MAX = 256 * 1024 * 1024


class Entry(NamedTuple):
    """One record. number: 1 for the first. prev: digest of the one before, "" at the first."""

    number: int
    prev: str
    body: dict[str, Any]
    digest: str


class ChainedFile:
    """One such file; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        """path: in a folder of the state folder."""
        self.path = path

    def entries(self) -> list[Entry]:
        """Return every record. Raises StorageError that names the line where one is damaged."""
        try:
            if not self.path.exists():
                return []
            if self.path.stat().st_size > FILE_BYTES_MAX:
                raise StorageError(f"{self.path} is larger than {FILE_BYTES_MAX} bytes: this is no such file")
            text = self.path.read_bytes()
        except OSError as error:
            raise StorageError(
                f"{self.path}: {error.strerror}; run it as the gateway's user or as root"
            ) from error
        return read_entries(text, str(self.path))

    def append(self, *bodies: Mapping[str, Any]) -> list[Entry]:
        """Add records, all or none, and return them. Raises StorageError, also if the file is damaged: nothing is added to it."""
        with self.held() as entries:
            return self._add(entries, bodies)

    @contextmanager
    def held(self) -> Iterator[list[Entry]]:
        """Hold the file for this process and yield its records; what they decide can then be added with `add`."""
        try:
            if not self.path.parent.exists():
                self.path.parent.mkdir(parents=True, mode=0o700)
                give(self.path.parent)
            lock = self.path.with_name(self.path.name + ".lock")
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            give(lock)
        except OSError as error:
            raise StorageError(
                f"{self.path}: {error.strerror}; run it as the gateway's user or as root"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield self.entries()
        finally:
            os.close(fd)

    def add(self, entries: list[Entry], *bodies: Mapping[str, Any]) -> list[Entry]:
        """Add records to those `held` yielded, within it, and return them. Raises StorageError."""
        return self._add(entries, bodies)

    def _add(self, entries: list[Entry], bodies: tuple[Mapping[str, Any], ...]) -> list[Entry]:
        made: list[Entry] = []
        prev = entries[-1].digest if entries else ""
        for number, body in enumerate(bodies, len(entries) + 1):
            plain = orjson.loads(orjson.dumps(body))
            made.append(Entry(number, prev, plain, _digest(number, prev, plain)))
            prev = made[-1].digest
        text = b"".join(orjson.dumps(entry._asdict()) + b"\n" for entry in [*entries, *made])
        try:
            replace_file(self.path, text)
            give(self.path)
        except OSError as error:
            raise StorageError(
                f"{self.path}: {error.strerror}; nothing was added, make room and enter it again"
            ) from error
        return made


def give(path: Path) -> None:
    """Give what root made to the owner of the folder it is in: the gateway has to read it. Raises OSError."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def read_entries(text: bytes, name: str) -> list[Entry]:
    """Return the records of such a file. Raises StorageError that says which line is damaged. name: of the file, for people."""
    entries: list[Entry] = []
    prev = ""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = Entry(**orjson.loads(line))
        except (TypeError, ValueError) as error:
            raise _damaged(name, number, "it cannot be read") from error
        if entry.number != number:
            raise _damaged(name, number, f"it has number {entry.number}: lines were taken out or put in")
        if entry.prev != prev:
            raise _damaged(name, number, "it does not follow the line before, which was changed")
        if entry.digest != _digest(number, prev, entry.body):
            raise _damaged(name, number, "it was changed after it was written")
        entries.append(entry)
        prev = entry.digest
    return entries


def _digest(number: int, prev: str, body: object) -> str:
    canonical = orjson.dumps({"number": number, "prev": prev, "body": body}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _damaged(name: str, number: int, what: str) -> StorageError:
    return StorageError(
        f"{name} line {number} is damaged: {what}; nothing behind it is trusted. A backup or an evidence pack has it whole"
    )

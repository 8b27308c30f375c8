"""Counters of what the journal lost, in a file that is as large as it will ever be.

A disk that is full can still be told what was lost on it: the file is preallocated and overwritten in place,
two slots in turn, so a power cut in the middle leaves the other one.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

_SLOT = 512
_BODY = struct.Struct("<8sQQQQQ")
_MAGIC = b"mgloss01"


@dataclass(slots=True)
class Losses:
    """unstored: readings polled that never reached the disk. dropped: readings removed at the size cap.

    undelivered: of the dropped ones, those some sink had not delivered yet (summed over sinks).
    """

    unstored: int = 0
    dropped: int = 0
    undelivered: int = 0


class LossFile:
    """The preallocated file; reading and writing it never needs a new block."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises StorageError."""
        self._path = path
        self._turn = 0
        self.losses = Losses()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._fd).st_size < 2 * _SLOT:
                os.pwrite(self._fd, bytes(2 * _SLOT), 0)
                os.fsync(self._fd)
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error}") from error
        for slot in (0, 1):
            self._load(os.pread(self._fd, _SLOT, slot * _SLOT))

    def _load(self, slot: bytes) -> None:
        magic, turn, *counts = _BODY.unpack_from(slot)
        (crc,) = struct.unpack_from("<I", slot, _BODY.size)
        if magic == _MAGIC and crc == zlib.crc32(slot[: _BODY.size]) and turn > self._turn:
            self._turn = turn
            self.losses = Losses(*counts[:3])

    def save(self) -> None:
        """Make the counters durable. Raises StorageError; in place, so it works on a full disk."""
        self._turn += 1
        counts = self.losses
        body = _BODY.pack(_MAGIC, self._turn, counts.unstored, counts.dropped, counts.undelivered, 0)
        try:
            slot = self._turn % 2
            os.pwrite(self._fd, body + struct.pack("<I", zlib.crc32(body)), slot * _SLOT)
            os.fdatasync(self._fd)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

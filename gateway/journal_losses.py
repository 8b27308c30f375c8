"""What the disk did not take, counted in a file that is as large as it will ever be.

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
from gateway.model import Gap

if TYPE_CHECKING:
    from pathlib import Path

_SLOT = 512
_BODY = struct.Struct("<8sQQQqq")
_MAGIC = b"mgloss01"


NO_GAP = Gap(0, "journal_dropped", 0, 0, 0)


def joined(gap: Gap, readings: int, first_ns: int, last_ns: int) -> Gap:
    """Return the gap with more lost readings in it; an empty one has `readings` 0."""
    if not readings:
        return gap
    first_ns = min(first_ns, gap.first_ns) if gap.readings else first_ns
    return Gap(0, gap.reason, first_ns, max(last_ns, gap.last_ns), gap.readings + readings)


@dataclass(slots=True)
class Losses:
    """unstored: readings polled that never reached the disk, since the file was made.

    unrecorded: of these, the ones no gap record in the journal tells of yet; first_ns, last_ns: their times.
    """

    unstored: int = 0
    unrecorded: int = 0
    first_ns: int = 0
    last_ns: int = 0


class LossFile:
    """The preallocated file; reading and writing it never needs a new block."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises StorageError."""
        self._path = path
        self._turn = 0
        self.losses = Losses()
        self.saved = True
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._fd).st_size < 2 * _SLOT:
                os.pwrite(self._fd, bytes(2 * _SLOT), 0)
                os.fsync(self._fd)
            slots = [os.pread(self._fd, _SLOT, slot * _SLOT) for slot in (0, 1)]
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error}") from error
        for slot in slots:
            self._load(slot)

    def _load(self, slot: bytes) -> None:
        magic, turn, *counts = _BODY.unpack_from(slot)
        (crc,) = struct.unpack_from("<I", slot, _BODY.size)
        if magic == _MAGIC and crc == zlib.crc32(slot[: _BODY.size]) and turn > self._turn:
            self._turn = turn
            self.losses = Losses(*counts)

    @property
    def gap(self) -> Gap:
        """Return the loss no gap record tells of yet; `readings` 0: none."""
        counts = self.losses
        return joined(NO_GAP, counts.unrecorded, counts.first_ns, counts.last_ns)

    def lose(self, readings: int, first_ns: int, last_ns: int) -> None:
        """Count readings that never reached the disk."""
        self.losses.unstored += readings
        self._set(joined(self.gap, readings, first_ns, last_ns))

    def recorded(self, gap: Gap) -> None:
        """Take a gap that was committed off; more may have been lost meanwhile."""
        if gap.readings:
            now = self.gap
            self._set(joined(NO_GAP, now.readings - gap.readings, now.first_ns, now.last_ns))

    def _set(self, gap: Gap) -> None:
        counts = self.losses
        counts.unrecorded, counts.first_ns, counts.last_ns = gap.readings, gap.first_ns, gap.last_ns
        self.saved = False

    def save(self) -> None:
        """Make the counters durable. Raises StorageError; in place, so it works on a full disk."""
        self._turn += 1
        self.saved = True
        counts = self.losses
        body = _BODY.pack(
            _MAGIC, self._turn, counts.unstored, counts.unrecorded, counts.first_ns, counts.last_ns
        )
        try:
            slot = self._turn % 2
            os.pwrite(self._fd, body + struct.pack("<I", zlib.crc32(body)), slot * _SLOT)
            os.fdatasync(self._fd)
        except OSError as error:
            self.saved = False
            raise StorageError(f"cannot write {self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

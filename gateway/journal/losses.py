"""What the disk did not take, counted in a file that is as large as it will ever be.

A disk that is full can still be told what was lost on it: the file is preallocated and overwritten in place,
two slots in turn, so a power cut in the middle leaves the other one. Beside the losses it keeps the journal's numbers,
so that a journal that is damaged or gone when it is opened begins anew where the old one ended.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import structlog

from gateway.errors import StorageError
from gateway.model import Gap

if TYPE_CHECKING:
    from pathlib import Path

_SLOT = 512
_BODY = struct.Struct("<8sQQQqq")
_MAGIC = b"mgloss01"
_MORE = struct.Struct("<10q")
_MORE_AT = 64
NUMBERS_S = 1.0  # the numbers are saved this often while there are commits
HURRY_GROUPS = 1000  # and as soon as so many groups were committed
SKIP_GROUPS = 10_000  # group ids a new file leaves out: more than were committed since the numbers were saved

log = structlog.get_logger("journal")

NO_GAP = Gap(0, "journal_dropped", 0, 0, 0)


def _more_crc(body: bytes, more: bytes) -> int:
    """Return the checksum that ties the numbers to their slot. Body and its CRC together would add a constant."""
    return zlib.crc32(body + more)


def joined(gap: Gap, readings: int, first_ns: int, last_ns: int) -> Gap:
    """Return the gap with more lost readings in it; an empty one has `readings` 0."""
    if not readings:
        return gap
    first_ns = min(first_ns, gap.first_ns) if gap.readings else first_ns
    return Gap(0, gap.reason, first_ns, max(last_ns, gap.last_ns), gap.readings + readings)


@dataclass(slots=True)
class Losses:
    """unstored: readings polled that never reached the disk, since the file was made.

    unrecorded: lost readings no gap record in the journal tells of yet; first_ns, last_ns: their times.
    undelivered: readings pending, summed over readers, when a journal was found damaged or gone.
    """

    unstored: int = 0
    unrecorded: int = 0
    first_ns: int = 0
    last_ns: int = 0
    undelivered: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where the journal is, as of its last commit or up to `NUMBERS_S` before it.

    pending: undelivered readings, summed over readers. oldest_before, oldest_ns: readings journaled before the oldest
    group, and its first time. The others are those of the journal's counters.
    """

    epoch: int = 0
    following: int = 1
    readings: int = 0
    frames: int = 0
    dropped: int = 0
    oldest_before: int = 0
    oldest_ns: int = 0
    last_ns: int = 0
    pending: int = 0


class LossFile:
    """The preallocated file; reading and writing it never needs a new block."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises StorageError."""
        self._path = path
        self._turn = 0
        self.losses = Losses()
        self.numbers: Numbers | None = None
        self._kept_s = float("-inf")
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
            more = slot[_MORE_AT : _MORE_AT + _MORE.size]
            (crc,) = struct.unpack_from("<I", slot, _MORE_AT + _MORE.size)
            self.numbers = None
            if crc == _more_crc(slot[: _BODY.size], more):
                self.losses.undelivered, *numbers = _MORE.unpack(more)
                self.numbers = Numbers(*numbers)

    @property
    def gap(self) -> Gap:
        """Return the loss no gap record tells of yet; `readings` 0: none."""
        counts = self.losses
        return joined(NO_GAP, counts.unrecorded, counts.first_ns, counts.last_ns)

    def lose(self, readings: int, first_ns: int, last_ns: int) -> None:
        """Count readings that never reached the disk."""
        self.losses.unstored += readings
        unstored = self.losses.unstored
        log.error("readings lost: the disk did not take them", readings=readings, total=unstored)
        self._set(joined(self.gap, readings, first_ns, last_ns))

    def lose_stored(self, readings: int, first_ns: int, last_ns: int) -> None:
        """Count readings that were on the disk and are gone with a file, before any gap record could tell of them."""
        self._set(joined(self.gap, readings, first_ns, last_ns))

    def lose_file(self, readings: int, undelivered: int, numbers: Numbers) -> None:
        """Count what was in a journal that is gone, and begin at `numbers`."""
        self.losses.undelivered += undelivered
        old = self.numbers or numbers
        self._set(joined(self.gap, readings, old.oldest_ns, max(old.oldest_ns, old.last_ns)))
        self.numbers, self.saved = numbers, False

    def keep(self, numbers: Numbers, now_s: float) -> None:
        """Take the journal's numbers, to be saved if that is due. now_s: monotonic; infinite: due in any case."""
        old = self.numbers
        if (
            old is None
            or numbers.epoch != old.epoch
            or numbers.following >= old.following + HURRY_GROUPS
            or (numbers != old and now_s >= self._kept_s + NUMBERS_S)
        ):
            self.numbers, self._kept_s, self.saved = numbers, now_s, False

    def recorded(self, gap: Gap) -> None:
        """Take a gap that was committed off; more may have been lost meanwhile."""
        if gap.readings:
            now = self.gap
            self._set(joined(NO_GAP, now.readings - gap.readings, now.first_ns, now.last_ns))

    def _set(self, gap: Gap) -> None:
        counts = self.losses
        counts.unrecorded, counts.first_ns, counts.last_ns = gap.readings, gap.first_ns, gap.last_ns
        self.saved = False

    def try_save(self) -> None:
        """Make everything durable if the disk takes it; if not, it is due again."""
        try:
            self.save()
        except StorageError as error:
            log.error("loss counters not written", error=str(error))

    def save(self) -> None:
        """Make the counters durable. Raises StorageError; in place, so it works on a full disk."""
        self._turn += 1
        self.saved = True
        counts = self.losses
        body = _BODY.pack(
            _MAGIC, self._turn, counts.unstored, counts.unrecorded, counts.first_ns, counts.last_ns
        )
        body = (body + struct.pack("<I", zlib.crc32(body))).ljust(_MORE_AT, b"\0")
        if self.numbers is not None:
            more = _MORE.pack(counts.undelivered, *astuple(self.numbers))
            body += more + struct.pack("<I", _more_crc(body[: _BODY.size], more))
        try:
            slot = self._turn % 2
            os.pwrite(self._fd, body.ljust(_SLOT, b"\0"), slot * _SLOT)
            os.fdatasync(self._fd)
        except OSError as error:
            self.saved = False
            raise StorageError(f"cannot write {self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

"""A run: messages of a chain that follow each other and are linked by `prev`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.feed.jws import Parsed

DIGEST_BYTES = 16  # kept of each message, to tell a repeat from a fork
REMEMBERED_MAX = 1 << 18  # messages of a run; 4 MiB
SIGNERS_MAX = 1000  # stretches of one key in a run
HEAD_AT = len("sha256:")


class Held(NamedTuple):
    """A message that is judged. hash: of the message, as `prev` of the next has it.

    is_kept: of a kind the broker keeps, on its own topic: it may be from before the recording and come again at any time.
    retain: the flag it came with, which nobody signed. is_late: on …/backfill.
    """

    seq: int
    prev: str
    hash: str
    line: int
    parsed: Parsed
    issued: str = ""
    is_kept: bool = False
    is_late: bool = False
    retain: bool = False


class Outcome(Enum):
    """What became of a message."""

    NEW = "new"
    REPEAT = "repeat"
    REFUSED = "refused"


@dataclass(eq=False)
class Run:
    """Messages first … last, linked. proven: newest seq a good signature speaks for (first - 1: none). kid: of the last; "": look.

    came_live: not all of it had the retain flag. dropped_line: where the first message stands that had no key yet and is not in `pending` any more, else 0.
    """

    first: int
    last: int
    first_prev: str
    head: str
    line: int
    kid: str
    is_kept: bool
    base: int
    proven: int
    issued: tuple[str, str] = ("", "")  # of the first, of the last
    signers: list[tuple[int, str]] = field(default_factory=list)  # first seq, kid of each stretch
    digests: bytearray = field(default_factory=bytearray)
    pending: list[Held] = field(default_factory=list)
    dropped_line: int = 0
    came_live: bool = False

    def drop(self, count: int) -> None:
        """Keep only the newest messages whose signature nobody could look at yet."""
        if count > 0:
            self.dropped_line = self.dropped_line or self.pending[0].line
            del self.pending[:count]

    def prove(self, seq: int) -> None:
        """Take a good signature of a message."""
        self.proven, self.dropped_line = max(self.proven, seq), 0

    def digest(self, seq: int) -> bytes:
        """Return what is kept of a message, empty if it is too long ago."""
        at = (seq - self.base) * DIGEST_BYTES
        return bytes(self.digests[at : at + DIGEST_BYTES]) if at >= 0 else b""

    def append(self, held: Held) -> None:
        """Put the next message at the end."""
        kid = held.parsed.header.kid
        if not self.signers or (self.signers[-1][1] != kid and len(self.signers) < SIGNERS_MAX):
            self.signers.append((held.seq, kid))
        self.last, self.head, self.kid = held.seq, held.hash, kid
        self.issued = self.issued[0] or held.issued, held.issued
        self.is_kept &= held.is_kept
        self.came_live |= not held.retain
        self.digests += short(held.hash)
        self.pending.append(held)
        if len(self.digests) > 2 * REMEMBERED_MAX * DIGEST_BYTES:
            over = len(self.digests) - REMEMBERED_MAX * DIGEST_BYTES
            del self.digests[:over]
            self.base += over // DIGEST_BYTES

    def cut(self, seq: int, prev: str) -> None:
        """Take out message `seq` and all after it. prev: hash of the one before it."""
        self.last, self.head, self.kid = seq - 1, prev, ""
        self.proven, self.issued = min(self.proven, self.last), (self.issued[0], "")
        self.signers = [one for one in self.signers if one[0] < seq]
        self.pending = [one for one in self.pending if one.seq < seq]
        del self.digests[max(0, seq - self.base) * DIGEST_BYTES :]

    def join(self, after: Run) -> None:
        """Put the run that follows at the end."""
        if after.proven >= after.first:
            self.proven, self.pending, self.dropped_line = after.proven, after.pending, after.dropped_line
        else:
            self.pending = self.pending + after.pending
            self.dropped_line = self.dropped_line or after.dropped_line
        self.last, self.head, self.kid = after.last, after.head, after.kid
        self.issued, self.signers = (self.issued[0], after.issued[1]), self.signers + after.signers
        self.is_kept &= after.is_kept
        self.came_live |= after.came_live
        if after.base > after.first:  # the beginning is too long ago on both sides then
            self.digests, self.base = after.digests, after.base
        else:
            self.digests += after.digests


def short(hash_: str) -> bytes:
    """Return the part of a hash that is kept."""
    return bytes.fromhex(hash_[HEAD_AT : HEAD_AT + 2 * DIGEST_BYTES])

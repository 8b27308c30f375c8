"""What a line and the protocols on it expect of each other (docs/decisions/0014-lines-and-readers.md).

A line owns the bytes: opening, silence between frames, turnaround, flushing, time stamps, deadlines, counting. A
protocol says what to send and which bytes are the answer; it keeps no port and no buffer. So one line may carry
meters of several protocols, and a protocol runs unchanged over a serial port and over a serial device server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway.interfaces import Poll
    from gateway.model import Sample


class Found(NamedTuple):
    """An answer inside the bytes received: it lies in [start, end); what is before it is noise or foreign.

    refusal: it says no instead of values, so it shows nothing of its request but the meter: set it, or a late refusal
    may be taken for proof that no late values will come. by_meter: a refusal nobody but the meter can have given (a
    converter does not know which addresses it has): the meter has come to this request. lead: so many bytes before start
    are its wake-up bytes, no noise.
    """

    start: int
    end: int
    refusal: bool = False
    by_meter: bool = False
    lead: int = 0


class LineAsk(Protocol):
    """One request on a line, ready to be sent any number of times. Pure, hashable by identity."""

    @property
    def request(self) -> bytes:
        """Return the whole frame as the wire carries it."""

    @property
    def meter(self) -> Hashable:
        """Return (protocol, address): whom it asks. The line pauses when this changes, and doubts late answers by it."""

    @property
    def answer_size(self) -> int:
        """Return the longest right answer in bytes: the time the line allows for it follows from this."""

    @property
    def signature(self) -> Hashable:
        """Return what a right answer of values shows of its request; equal for requests whose answers look the same.

        A request that was given up must not be followed by another of the same meter and signature until the late
        answer can no longer come (or has come): see `Line.ask`.
        """

    def find(self, received: bytes) -> Found | None:
        """Return where in `received` the answer to this request lies (values or refusal, check digits right), or None.

        Skips noise, echoes and frames of others. Work is bounded whatever was received: what would need more is no answer.
        """

    def why(self, raw: bytes) -> tuple[str, str]:
        """Return what bytes that hold no answer are, as a kind for counting and in words with the likely cause.

        Kinds: `crc` (an answer, check digits wrong), `foreign` (a whole frame of another meter or master, or an answer to
        something else), `echo` (the request itself), `noise`.
        """


class Line(Protocol):
    """One half-duplex line, owned by one task."""

    async def ask(self, ask: LineAsk, timeout_s: float) -> tuple[int, bytes]:
        """Send a request and return (wall time in ns at which the answer was complete, the answer's frame).

        timeout_s: from the last byte sent to the first of the answer; the wire time of both frames is added.
        Less where the meter's earlier answers were much faster, never less than the line's own minimum: readers need
        not adapt it. Raises NoAnswer (InDoubt if the request was not even sent), LinkDown. A late answer of an earlier
        request is never returned.
        """


class Reader(Protocol):
    """A protocol on a line; stateless but for what it learned of each meter."""

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the samples of one poll. Raises DeviceError, LinkDown."""

    def figures(self) -> dict[str, object]:
        """Return what it counts, as plain JSON values."""

"""The four seams of the gateway: Link, Sink, Clock and Directory.

Everything above them is protocol-free and runs unchanged under virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from gateway.layout import Layout
    from gateway.model import Batch, ClockState, MeterInfo, Refusal, Sample


class Notice(Protocol):
    """Takes note of an event."""

    def __call__(self, kind: str, subject: str, /, **detail: object) -> None:
        """kind, subject, detail: as `gateway.model.Event` has them."""


def unnoticed(_kind: str, _subject: str, /, **_detail: object) -> None:
    """Take note of nothing: what `Link.notice` is until somebody owns the link."""


@dataclass(frozen=True, slots=True, eq=False)
class Poll:
    """What a link reads from one meter at one period; hashable by identity, so drivers may cache by it.

    protocol: how it is read ("modbus", "opcua"); a link refuses one it has no reader for.
    address: the meter's address on the link, as the protocol has it (Modbus: the unit id; "" where there is none).
    sources: where each channel of `layout` comes from, same order; the type belongs to the driver.
    settings: limits of the meter type the driver needs (a frozen object of the driver's own type), or None.
    """

    meter: str
    protocol: str
    address: Hashable
    layout: Layout
    sources: tuple[Hashable, ...]
    timeout_s: float
    settings: Hashable = None


class Link(Protocol):
    """A physical connection. One task owns it, so it needs no locks.

    notice: told of what is worth an event beside the result of a poll: notice(kind, meter, **detail), kinds of
    docs/specs/journal.md. Its owner sets it; until then a link tells nobody.
    """

    notice: Notice

    async def open(self) -> None:
        """Connect. Raises LinkDown."""

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the samples of one poll: one for a polled protocol, all since the last call for a subscription.

        Raises DeviceError (this meter, this poll), LinkDown (connection gone; with what the poll had brought before).
        """

    async def close(self) -> None:
        """Disconnect; never raises, may be called twice."""

    def figures(self) -> dict[str, object]:
        """Return what it has counted since the process started, as plain JSON values; for status and metrics."""


class Sink(Protocol):
    """A destination. Writing the same batch twice has the effect of once."""

    async def open(self) -> None:
        """Connect and announce. Raises SinkUnavailable."""

    async def write(self, batch: Batch) -> list[Refusal]:
        """Return the frames refused for good once every other one is acknowledged.

        Raises SinkUnavailable when anything is in doubt; the whole batch comes again.
        """

    async def close(self) -> None:
        """Say goodbye and disconnect; never raises, may be called twice."""


class Clock(Protocol):
    """The only way to time."""

    def wall_ns(self) -> int:
        """Return wall time, nanoseconds since the Unix epoch: for stamping, never for waiting."""

    def monotonic(self) -> float:
        """Return seconds that never step: for waiting, never for stamping."""

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return when `monotonic()` has reached `monotonic_s`."""

    def state(self) -> ClockState:
        """Return whether the system calls its clock synchronised."""


class Directory(Protocol):
    """What a sink may announce of the gateway: its meters and the layouts in force."""

    gateway: str
    software: str
    config_digest: str
    meters: Sequence[MeterInfo]

    def layouts(self) -> Sequence[Layout]:
        """Return the layouts in force, one per (meter, period), in stable order."""

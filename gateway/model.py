"""The things that flow through the gateway: flags, channels, samples, frames, batches.

Columnar: one `Frame` per poll with `array('d')` values and `array('H')` flags; never an object per value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

    from gateway.layout import Layout

Kind = Literal["gauge", "counter"]
NS = 1_000_000_000  # nanoseconds of a second: all `time_ns` count them since 1970 UTC
MS_NS = 1_000_000


class Flag(IntFlag):
    """A doubt about one value; 0 is good. 16 bits; meanings in docs/specs/flags.md, never re-used."""

    OK = 0
    MISSING = 1
    COMMS = 2
    DEVICE = 4
    STALE = 8
    RANGE = 16
    ROLLBACK = 32
    JUMP = 64
    SENTINEL = 128
    STUCK = 256
    CLOCK = 512
    MAINTENANCE = 1024
    MANUAL = 2048
    ESTIMATED = 4096


ABSENT = Flag.MISSING | Flag.COMMS | Flag.DEVICE | Flag.SENTINEL
"""Flags under which there is no value: NaN in frames, null in JSON, absent in line protocol."""


def shared_flag(flags: array[int]) -> int:
    """Return the flags that all channels have in common if they are the same for every one, else 0."""
    first = flags[0]
    return first if first and flags.count(first) == len(flags) else 0


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity of a meter, in canonical units.

    low, high: plausible limits; outside them the value is flagged RANGE. None: no limit known.
    rate_max: largest plausible rise of a counter per second; above it JUMP.
    modulus: the counter rolls over from just under it to 0. None: not documented, so never assumed.
    reference: condition a gas volume is stated at ("0 °C, 101.325 kPa"), "" where it does not apply.
    report: enters intervals and the regulators' feed.
    """

    key: str
    quantity: str
    unit: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    rate_max: float | None = None
    modulus: str | None = None  # decimal string, exact
    reference: str = ""
    report: bool = False


class Sample(NamedTuple):
    """What a protocol returns for one poll of one meter.

    time_ns: wall time at which the answer was complete. device_time_ns: the meter's or server's own time.
    raw: fixed-length slots in channel order (docs/specs/journal.md). flags: one `Flag` value a channel;
    a channel that could not be read has zero bytes in its slot and MISSING with its cause.
    """

    time_ns: int
    device_time_ns: int | None
    raw: bytes
    flags: array[int]


@dataclass(slots=True)
class Frame:
    """A decoded sample: one value (canonical unit, NaN if absent) and one flag per channel of `layout`."""

    layout: Layout
    epoch: int
    time_ns: int
    device_time_ns: int | None
    raw: bytes
    values: array[float]
    flags: array[int]


@dataclass(slots=True)
class Batch:
    """Frames of one or more commit groups on their way to a sink, in journal order.

    first_group, last_group: journal positions, for messages and logs. backfill: late, after an outage.
    """

    frames: Sequence[Frame]
    first_group: int
    last_group: int
    backfill: bool = False

    @property
    def readings(self) -> int:
        """Return how many readings the batch carries (channels of all frames, absent ones included)."""
        return sum(len(frame.flags) for frame in self.frames)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One frame a sink refused for good, with the destination's reason; it is recorded and skipped."""

    index: int
    reason: str


class ClockState(NamedTuple):
    """What the system says of its clock. offset_s, max_error_s: None where it does not say."""

    synchronised: bool
    offset_s: float | None
    max_error_s: float | None


@dataclass(frozen=True, slots=True)
class MeterInfo:
    """What messages and commands say of a meter beside its readings."""

    id: str
    name: str
    link: str
    profile: str
    energy_kind: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A transition worth keeping: link, meter, start, stop, configuration, clock step.

    kind: closed list in docs/specs/journal.md. detail: JSON object.
    """

    time_ns: int
    kind: str
    subject: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Gap:
    """A counted loss: journal groups or readings that are gone. reason: docs/specs/gap-reasons.md."""

    time_ns: int
    reason: str
    first_ns: int
    last_ns: int
    readings: int
    subject: str = ""

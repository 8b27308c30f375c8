"""What an interval holds; contract: docs/specs/intervals.md. Pure values, made once and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from gateway.model import Flag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model import Kind

Reason = Literal[
    "meter_off",
    "link_down",
    "gateway_down",
    "config_off",
    "maintenance",
    "removed_for_verification",
    "rejected",
    "journal_dropped",
]
"""Why a reading that was due is not there or not good; closed list: docs/specs/gap-reasons.md."""
Source = Literal["meter", "manual"]
How = Literal["normal", "rollover", "swap", "reset", "missing"]
"""How the amount between two boundary readings came about: `swap` adds what lies on both sides of a declared swap or ratio change, if both are known; `reset` and `missing` have none."""
Cause = Literal["", "late", "replay", "meter_swap", "ratio_change"]
"""Why an interval was made anew; "": it is the first one."""

NOT_GOOD = ~(Flag.CLOCK | Flag.MANUAL | Flag.ESTIMATED) & 0xFFFF
"""Flags under which a reading is not good; the others are doubts that travel with it (docs/specs/gap-reasons.md)."""

WORST_FIRST = (
    Flag.COMMS,
    Flag.DEVICE,
    Flag.SENTINEL,
    Flag.MISSING,
    Flag.ROLLBACK,
    Flag.JUMP,
    Flag.RANGE,
    Flag.STALE,
    Flag.STUCK,
    Flag.MAINTENANCE,
    Flag.ESTIMATED,
    Flag.MANUAL,
    Flag.CLOCK,
)
"""From no value at all, over a value that cannot be, to one that is only doubted."""


def worst(flags: int) -> str:
    """Return the name of the worst flag among `flags` in lower case, "" if there is none."""
    return next((str(flag.name).lower() for flag in WORST_FIRST if flags & flag), "")


@dataclass(frozen=True, slots=True)
class Boundary:
    """A good reading next to a boundary of an interval, never interpolated. time_ns: when it was read. flags: doubts it carries."""

    reading: Decimal
    time_ns: int
    flags: int = 0
    source: Source = "meter"


@dataclass(frozen=True, slots=True)
class ChannelInterval:
    """One channel in one interval; exact decimals in the canonical unit.

    expected: readings that were due. received: of them, those with a frame. good: of them, those without a doubt that
    counts (NOT_GOOD). flags: all that occurred. gaps: reason -> readings; their sum is expected - good.
    Counters: opening, closing, delta (None: unknown, never 0 instead), how. Gauges: mean, low, high of good readings.
    """

    key: str
    unit: str
    kind: Kind
    expected: int
    received: int
    good: int
    flags: int = 0
    gaps: Mapping[Reason, int] = field(default_factory=dict)
    opening: Boundary | None = None
    closing: Boundary | None = None
    delta: Decimal | None = None
    how: How | None = None
    mean: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None

    @property
    def is_known(self) -> bool:
        """Return whether the interval has what it is for: a counter's amount, a gauge's mean."""
        return self.delta is not None if self.kind == "counter" else self.mean is not None


@dataclass(frozen=True, slots=True)
class Interval:
    """One meter in [start_ns, end_ns) of one epoch: identity (meter, epoch, start_ns, rev).

    rev: 0 for the first, then rising; cause: why it was made anew. closed_ns: wall time it was made.
    swapped: the meter was exchanged in it. layouts: digests of the layouts its readings came with.
    verification: state of the instrument's verification, "" while no inventory tells.
    """

    meter: str
    epoch: int
    start_ns: int
    end_ns: int
    channels: tuple[ChannelInterval, ...]
    closed_ns: int
    rev: int = 0
    cause: Cause = ""
    swapped: bool = False
    energy_kind: str = ""
    layouts: tuple[str, ...] = ()
    verification: str = ""

    def channel(self, key: str) -> ChannelInterval | None:
        """Return the channel of that key, None if the interval has none."""
        return next((channel for channel in self.channels if channel.key == key), None)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _boundary_row(boundary: Boundary | None) -> list[Any] | None:
    if boundary is None:
        return None
    return [_text(boundary.reading), boundary.time_ns, boundary.flags, boundary.source]


def _boundary(row: list[Any] | None) -> Boundary | None:
    return None if row is None else Boundary(Decimal(row[0]), row[1], row[2], row[3])


def channel_row(channel: ChannelInterval) -> dict[str, Any]:
    """Return a channel as plain JSON values, without what is empty; `channel_of` gives an equal one back."""
    body: dict[str, Any] = {
        "key": channel.key,
        "unit": channel.unit,
        "kind": channel.kind,
        "expected": channel.expected,
        "received": channel.received,
        "good": channel.good,
        "flags": channel.flags,
        "gaps": dict(channel.gaps),
        "opening": _boundary_row(channel.opening),
        "closing": _boundary_row(channel.closing),
        "delta": _text(channel.delta),
        "how": channel.how,
        "mean": _text(channel.mean),
        "low": _text(channel.low),
        "high": _text(channel.high),
    }
    return {key: value for key, value in body.items() if value is not None and value not in ({}, "")}


def channel_of(row: Mapping[str, Any]) -> ChannelInterval:
    """Return the channel a row stands for. Raises KeyError, TypeError or ArithmeticError on a damaged one."""
    return ChannelInterval(
        key=row["key"],
        unit=row["unit"],
        kind=row["kind"],
        expected=row["expected"],
        received=row["received"],
        good=row["good"],
        flags=row.get("flags", 0),
        gaps=row.get("gaps", {}),
        opening=_boundary(row.get("opening")),
        closing=_boundary(row.get("closing")),
        delta=_decimal(row.get("delta")),
        how=row.get("how"),
        mean=_decimal(row.get("mean")),
        low=_decimal(row.get("low")),
        high=_decimal(row.get("high")),
    )


def interval_row(interval: Interval) -> dict[str, Any]:
    """Return what of an interval is not in its identity and times, as plain JSON values."""
    body: dict[str, Any] = {"channels": [channel_row(channel) for channel in interval.channels]}
    more = {
        "swapped": interval.swapped,
        "energy_kind": interval.energy_kind,
        "layouts": list(interval.layouts),
        "verification": interval.verification,
    }
    return body | {key: value for key, value in more.items() if value}


def interval_of(
    meter: str,
    epoch: int,
    start_ns: int,
    end_ns: int,
    rev: int,
    closed_ns: int,
    cause: Cause,
    row: Mapping[str, Any],
) -> Interval:
    """Return the interval that identity, times and row stand for. Raises KeyError, TypeError or ArithmeticError on a damaged one."""
    return Interval(
        meter=meter,
        epoch=epoch,
        start_ns=start_ns,
        end_ns=end_ns,
        channels=tuple(map(channel_of, row["channels"])),
        closed_ns=closed_ns,
        rev=rev,
        cause=cause,
        swapped=row.get("swapped", False),
        energy_kind=row.get("energy_kind", ""),
        layouts=tuple(row.get("layouts", ())),
        verification=row.get("verification", ""),
    )

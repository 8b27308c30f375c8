"""How complete a period was: counts and reasons, added up over intervals. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.intervals.model import Interval

TARGET_PERCENT = Decimal(90)
"""uploaded / due. Source: what state platforms ask of collected data (重点用能单位能耗在线监测, seen in public acceptance texts)."""
DEVIATION_MAX_PERCENT = Decimal(5)
"""Sum of days against month. Source: the same."""
BOUNDARY_MAX_S = 60
"""A day's statistic time against 00:00. Source: the same."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """due, known: interval values (one a reported channel and interval). expected, received, good: readings. gaps: reason -> readings.

    revised: intervals with a revision. manual: boundary readings entered by hand.
    """

    due: int = 0
    known: int = 0
    expected: int = 0
    received: int = 0
    good: int = 0
    gaps: Mapping[str, int] = field(default_factory=dict)
    revised: int = 0
    manual: int = 0

    @property
    def percent(self) -> Decimal | None:
        """Return known / due in percent, cut (never rounded up) to two decimals; None if nothing was due."""
        return percent(self.known, self.due)

    def plus(self, other: Completeness) -> Completeness:
        """Return the sum of both."""
        gaps = dict(self.gaps)
        for reason, count in other.gaps.items():
            gaps[reason] = gaps.get(reason, 0) + count
        return Completeness(
            self.due + other.due,
            self.known + other.known,
            self.expected + other.expected,
            self.received + other.received,
            self.good + other.good,
            gaps,
            self.revised + other.revised,
            self.manual + other.manual,
        )

    def row(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "due": self.due,
            "known": self.known,
            "expected": self.expected,
            "received": self.received,
            "good": self.good,
            "gaps": dict(self.gaps),
            "percent": None if self.percent is None else f"{self.percent:f}",
            "revised": self.revised,
            "manual": self.manual,
        }


def completeness_of_row(row: Mapping[str, Any]) -> Completeness:
    """Return what a row stands for. Raises KeyError on a damaged one."""
    counts = (row["due"], row["known"], row["expected"], row["received"], row["good"])
    return Completeness(*counts, dict(row["gaps"]), row["revised"], row["manual"])


def percent(part: int, whole: int) -> Decimal | None:
    """Return part / whole in percent, cut to two decimals, so that 89.999 never reads 90; None if there is no whole."""
    return Decimal(10_000 * part // whole).scaleb(-2) if whole else None


def of_interval(interval: Interval) -> Completeness:
    """Return how complete one interval is."""
    gaps: dict[str, int] = {}
    manual = 0
    for channel in interval.channels:
        for reason, count in channel.gaps.items():
            gaps[reason] = gaps.get(reason, 0) + count
        manual += sum(
            end is not None and end.source == "manual" for end in (channel.opening, channel.closing)
        )
    channels = interval.channels
    return Completeness(
        due=len(channels),
        known=sum(channel.is_known for channel in channels),
        expected=sum(channel.expected for channel in channels),
        received=sum(channel.received for channel in channels),
        good=sum(channel.good for channel in channels),
        gaps=gaps,
        revised=int(interval.rev > 0),
        manual=manual,
    )


def summed(parts: Iterable[Completeness]) -> Completeness:
    """Return the sum of all parts."""
    total = Completeness()
    for part in parts:
        total = total.plus(part)
    return total

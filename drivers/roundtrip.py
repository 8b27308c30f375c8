"""How long to wait for a meter, from how long its answers took. Pure.

Smoothed mean plus four smoothed deviations, as TCP does it: far above what a meter usually needs, far below what a
dead one would cost at the configured timeout.
Source: RFC 6298, 2.2, 2.3 (gains 1/8 and 1/4, K = 4).

Not TCP's: a time-out does not double the wait. The configured timeout is tried at once, by every meter of the link until
one answers, and so it is after the link was opened: a gateway that still waits for a dead meter keeps the next one's request waiting too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

_GAIN_MEAN = 1 / 8
_GAIN_DEVIATION = 1 / 4
_DEVIATIONS = 4
METERS_MAX = 4096  # of one link; a line has up to 247


class RoundTrip:
    """What one meter needs from the last byte asked to its answer. wait_s: infinite until it has answered."""

    __slots__ = ("deviation_s", "smoothed_s", "timeouts", "wait_s")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.smoothed_s = 0.0
        self.deviation_s = 0.0
        self.wait_s = math.inf
        self.timeouts = 0

    def answered(self, took_s: float) -> None:
        """Take one measurement."""
        if self.wait_s == math.inf and not self.smoothed_s:
            self.smoothed_s = took_s
            self.deviation_s = took_s / 2
        else:
            off_s = took_s - self.smoothed_s
            self.deviation_s += _GAIN_DEVIATION * (abs(off_s) - self.deviation_s)
            self.smoothed_s += _GAIN_MEAN * off_s
        self.wait_s = self.smoothed_s + _DEVIATIONS * self.deviation_s


class RoundTrips:
    """The round trips of a link's meters."""

    def __init__(self, low_s: float) -> None:
        """low_s: never wait less; infinite: never wait less than the poll allows, that is, do not adapt."""
        self.low_s = low_s
        self._meters: dict[Hashable, RoundTrip] = {}
        self._shaken = False  # a meter met its timeout and none has answered since

    def of(self, meter: Hashable) -> RoundTrip:
        """Return the round trip of a meter; hold on to it."""
        trip = self._meters.get(meter)
        if trip is None:
            if len(self._meters) >= METERS_MAX:
                self._meters.clear()
            trip = self._meters[meter] = RoundTrip()
        return trip

    def timeout_s(self, trip: RoundTrip, high_s: float) -> float:
        """Return how long to wait for its next answer, at most high_s."""
        if self._shaken:
            return high_s
        return min(high_s, max(self.low_s, trip.wait_s))

    def answered(self, trip: RoundTrip, took_s: float) -> None:
        """Take note of an answer."""
        self._shaken = False
        trip.answered(took_s)

    def timed_out(self, trip: RoundTrip) -> None:
        """Take note of silence."""
        self._shaken = True
        trip.timeouts += 1
        trip.wait_s = math.inf

    def reopened(self) -> None:
        """Wait in full until somebody answers: what lies between may have been started anew and be slow."""
        self._shaken = True

    def figures(self) -> dict[str, object]:
        """Return meter -> smoothed round trip and count of timeouts, as plain JSON values."""
        return {
            _name(meter): {
                "round_trip_ms": round(trip.smoothed_s * 1000, 3) if trip.smoothed_s else None,
                "timeouts": trip.timeouts,
            }
            for meter, trip in self._meters.items()
        }


def _name(meter: Hashable) -> str:
    """Return a meter as a key: its address, before it the protocol where there are several."""
    return " ".join(map(str, meter)) if isinstance(meter, tuple) else str(meter)

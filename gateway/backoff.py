"""Growing pauses between attempts."""

from __future__ import annotations

DOUBLINGS_MAX = 32  # 2**32 x any first pause is above every cap; more would overflow a float one day


class Backoff:
    """Pauses that double from `first_s` up to `most_s`, spread by a share of themselves so that links part.

    spread: 0…1 from the caller's seeded source; the same for the whole life of the object, so that equal links
    do not reconnect in step.
    """

    def __init__(self, first_s: float, most_s: float, spread: float = 0.0) -> None:
        """first_s, most_s: bounds of the pause before spreading."""
        self._first_s, self._most_s = first_s, most_s
        self._stretch = 1 + 0.2 * spread
        self.failures = 0

    def next_s(self) -> float:
        """Return the pause before the next attempt and count one more failure."""
        pause_s = self._first_s * 2.0 ** min(self.failures, DOUBLINGS_MAX)
        self.failures += 1
        return min(pause_s, self._most_s) * self._stretch

    def reset(self) -> None:
        """Start over: the last attempt went well."""
        self.failures = 0

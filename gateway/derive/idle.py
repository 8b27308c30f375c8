"""How late it is while there is nothing to read: wall time, as far as it can be believed. Pure but for the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model import NS, Event, Gap

if TYPE_CHECKING:
    from gateway.interfaces import Clock
    from gateway.model import Frame

STEP_NS = NS  # what moves by more against monotonic time is a step (gateway/polling/recorder.py)
PATIENCE_S = 10.0  # a step is journaled within some 2 s; one nobody told by then is none: the clock was set little by little


class IdleTime:
    """Wall time that moved with the monotonic clock; a step counts once the journal tells it.

    Who has nothing to read may take the wall clock's time for the journal's, but a step is seen here up to a second before
    the journal tells it, and the time it jumped over was never due.
    """

    def __init__(self, clock: Clock) -> None:
        """The wall clock is believed as it is now: `watch_clock` looks for the first time before anybody is idle."""
        self._clock = clock
        self._offset_ns = self._offset()
        self._doubted_s: float | None = None  # since when it is not where it was

    def _offset(self) -> int:
        return self._clock.wall_ns() - round(self._clock.monotonic() * NS)

    def told(self, record: Frame | Event | Gap) -> None:
        """Take a record of the journal: a step it tells is believed; one of an earlier life explains nothing."""
        step_s = (
            record.detail.get("step_s") if isinstance(record, Event) and record.kind == "clock_step" else None
        )
        if isinstance(step_s, int | float):
            away_ns, step_ns = self._offset() - self._offset_ns, round(step_s * NS)
            if abs(away_ns - step_ns) < abs(away_ns):
                self._offset_ns += step_ns

    def now_ns(self) -> int:
        """Return up to when nothing has come. Never later than the wall clock says."""
        wall_ns, now_s = self._clock.wall_ns(), self._clock.monotonic()
        offset_ns = wall_ns - round(now_s * NS)
        if abs(offset_ns - self._offset_ns) > STEP_NS:
            self._doubted_s = now_s if self._doubted_s is None else self._doubted_s
            if now_s - self._doubted_s < PATIENCE_S:
                return min(wall_ns, self._offset_ns + round(now_s * NS))
        self._offset_ns, self._doubted_s = offset_ns, None
        return wall_ns

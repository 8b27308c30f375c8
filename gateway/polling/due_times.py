"""What is due on one link and when, over lost connections and steps of the wall clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model import NS
from gateway.polling.recorder import STEP_NS
from gateway.schedule import Timetable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.interfaces import Clock
    from gateway.polling.link_state import LinkState
    from gateway.polling.recorder import Recorder
    from gateway.polling.target import Target
    from gateway.polling.trial import Breaker

STEP_SEEN_NS = NS  # within which the recorder sees a step: what was due after it by the old clock never was


class DueTimes:
    """The timetable of one link; what passes unasked is counted by the clock that was in force. restarts: how often the clock was stepped."""

    def __init__(
        self, targets: list[Target], breaker: Breaker, state: LinkState, recorder: Recorder, clock: Clock
    ) -> None:
        """targets: in the timetable's order. Nothing is due before the link was opened once."""
        self._targets, self._breaker, self._state = targets, breaker, state
        self._recorder, self._clock = recorder, clock
        self._timetable: Timetable | None = None
        self._offset_ns = 0  # wall time less monotonic time, when last looked at
        self.restarts = 0
        recorder.before_epoch.append(self._stepped)

    def has_stepped(self, wall_ns: int, now_s: float) -> bool:
        """Return whether the wall clock was stepped since this was asked last; what is due is another then."""
        offset_ns = wall_ns - round(now_s * NS)
        before_ns, self._offset_ns = self._offset_ns, offset_ns
        if abs(offset_ns - before_ns) <= STEP_NS:
            return False
        restarts = self.restarts
        self._recorder.watch_clock()  # the epoch ends now, and not when somebody else has looked
        if restarts == self.restarts:  # it was set little by little, which ends none
            self._stepped(offset_ns - before_ns)
        return True

    def _stepped(self, step_ns: int) -> None:
        """Tell what was not asked by the clock as it was before a step, and begin with the clock as it is."""
        wall_ns = self._clock.wall_ns()
        self._offset_ns = wall_ns - round(self._clock.monotonic() * NS)
        timetable = self._timetable
        if timetable is None:
            return
        until_ns = wall_ns - step_ns - STEP_SEEN_NS
        if not self._state.is_up:
            until_ns, self._state.down_ns = min(until_ns, self._state.down_ns), wall_ns
        self._pass(timetable.lapsed(until_ns))
        self._breaker.close(step_ns)
        timetable.restart(wall_ns)
        self.restarts += 1

    def _pass(self, passed: Iterable[tuple[int, int, int]]) -> None:
        for index, due_ns, count in passed:
            self._breaker.passed(self._breaker.trials[self._targets[index]], due_ns, count)

    def resumed(self, *, was_lost: bool) -> Timetable:
        """Return what is due on a new connection: after an outage what was missed is due once, after a step of the clock nothing is."""
        wall_ns, now_s = self._clock.wall_ns(), self._clock.monotonic()
        timetable = self._timetable
        if timetable is None:
            self._offset_ns = wall_ns - round(now_s * NS)
            timetable = self._timetable = Timetable([round(t.period_s * NS) for t in self._targets], wall_ns)
        else:
            self.has_stepped(wall_ns, now_s)
        if was_lost:
            self._pass(timetable.resume(wall_ns, self._state.down_ns))
        return timetable

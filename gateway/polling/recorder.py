"""From samples to frames: identity, checks, flags, and what the counters told; then into the journal."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import structlog

from gateway.checks import Checker
from gateway.clock import sleep_for
from gateway.log import Seldom
from gateway.model import MS_NS, NS, Flag, Frame
from gateway.polling.counter_log import CounterLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from gateway.health import Health
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal
    from gateway.layout import Layout
    from gateway.model import Sample

STEP_NS = NS  # wall time that jumps by more than this against monotonic time is a step, not a correction

USUAL = frozenset({"counter_rollover", "counter_moves"})  # nothing is wrong
TOLD = (
    "channel",
    "closing",
    "opening",
    "reading",
    "unit",
    "count",
)  # of an event's detail, what the log says

log = structlog.get_logger("poll")


class Recorder:
    """Turns samples into frames: identity, checks, flags; then into the journal.

    marks: meter -> flags that all its readings get for now. quiet: links and meters whose warnings are not
    logged. Both are set by `under_maintenance`. before_epoch: called with the step of the clock, ns, before an epoch ends by
    it: what was held back is told while its times still mean something.
    """

    def __init__(self, journal: Journal, events: EventLog, clock: Clock, health: Health) -> None:
        """Start with the journal's newest time, so that identities rise across restarts."""
        self._journal, self._clock, self._health = journal, clock, health
        self.events = events
        self._last_ns: dict[str, int] = {}
        self._checkers: dict[Layout, Checker] = {}
        self._newest: dict[tuple[str, float], Layout] = {}
        self._floor_ns = journal.last_ns
        self._offset_ns = self._offset()
        self.clock_flag = 0
        self.marks: dict[str, int] = {}
        self.quiet: frozenset[str] = frozenset()
        self.before_epoch: list[Callable[[int], None]] = []
        self._seldom: dict[tuple[str, bool], Seldom] = {}
        self.counters = CounterLog(self._tell_counter)
        self.watch_clock()

    def _offset(self) -> int:
        return self._clock.wall_ns() - round(self._clock.monotonic() * NS)

    def watch_clock(self) -> None:
        """Start a new epoch if wall time has stepped against monotonic time since the last call; note its state."""
        self.clock_flag = 0 if self._clock.state().synchronised else int(Flag.CLOCK)
        before_ns, self._offset_ns = self._offset_ns, self._offset()
        step_ns = self._offset_ns - before_ns
        if abs(step_ns) > STEP_NS:
            self._step(step_ns)

    def _step(self, step_ns: int, *, is_told: bool = False) -> None:
        """Begin an epoch. is_told: another one began by the same step."""
        for tell in self.before_epoch:
            tell(0 if is_told else step_ns)
        epoch = self._journal.new_epoch()
        self._last_ns.clear()
        self._floor_ns = 0
        for checker in self._checkers.values():
            checker.clock_stepped()
        step_s = round(step_ns / NS, 3)
        log.error("wall clock stepped; a new epoch begins", step_s=step_s, epoch=epoch)
        self.events.note("clock_step", "gateway", step_s=step_s, epoch=epoch)

    def record(self, layout: Layout, sample: Sample) -> None:
        """Check one sample and append it."""
        flags = sample.flags
        raw = sample.raw
        values = layout.decode(raw, flags)
        checker = self._checkers.get(layout)
        if checker is None:
            checker = self._checker(layout)
        time_ns = sample.time_ns // MS_NS * MS_NS
        if time_ns > self._offset_ns + self._clock.monotonic() * NS + STEP_NS:
            self.watch_clock()  # the clock was put forward while it was asked: its time is the next epoch's
        last_ns = self._last_ns.get(layout.meter, self._floor_ns)
        if time_ns <= last_ns:
            time_ns = self._later(layout.meter, time_ns, last_ns)
        self._last_ns[layout.meter] = time_ns
        checker.check(time_ns, values, flags, raw)
        if checker.findings:
            self.counters.take(layout, checker.findings, self._clock.monotonic())
        health = self._health
        meter = health.meters[layout.meter]
        count = len(flags)
        mark = self.clock_flag | self.marks.get(layout.meter, 0) if self.marks else self.clock_flag
        if flags != layout.no_flags:
            meter.flagged += count - flags.count(0)
            if mark:
                flags = array("H", (flag | mark for flag in flags))
        elif mark:
            flags = array("H", (mark,)) * count
        frame = Frame(layout, self._journal.epoch, time_ns, sample.device_time_ns, raw, values, flags)
        self._journal.append(frame)
        meter.readings += count
        meter.last_ns = time_ns
        meter.latest[layout.period_s] = frame
        health.frames += 1
        health.readings += count

    def _checker(self, layout: Layout) -> Checker:
        """Return the checks of a layout not seen before; one equal to its predecessor goes on with its memory."""
        key = layout.meter, layout.period_s
        before, self._newest[key] = self._newest.get(key), layout
        known = None if before is None else self._checkers.pop(before)
        checker = known if known and before and before.digest == layout.digest else Checker(layout)
        self._checkers[layout] = checker
        return checker

    def _later(self, meter: str, time_ns: int, last_ns: int) -> int:
        """Return the time of a sample that is not later than the meter's last one, made unique."""
        now_ns = self._clock.wall_ns()
        if last_ns > now_ns:  # the clock was put back; do not wait for the watch to see it
            self.watch_clock()
            last_ns = self._last_ns.get(meter, self._floor_ns)
        if last_ns > now_ns + STEP_NS:  # an answer from before the step opened this epoch
            self._step(now_ns - last_ns, is_told=True)
            last_ns = 0
        return time_ns if time_ns > last_ns else last_ns + MS_NS

    def _tell_counter(self, kind: str, meter: str, /, **detail: object) -> None:
        """Journal what happened to a counter, and log it, of a meter that has much to tell seldom."""
        self.events.note(kind, meter, **detail)
        now_s = self._clock.monotonic()
        key = meter, kind in USUAL
        seldom = self._seldom.get(key) or self._seldom.setdefault(key, Seldom(now_s))
        if meter not in self.quiet and seldom.may(now_s):
            say = log.info if kind in USUAL else log.warning
            say(kind.replace("_", " "), meter=meter, **{key: detail.get(key) for key in TOLD})

    def readings(self, meter: str) -> dict[str, tuple[Decimal, int]]:
        """Return counter -> (its last good reading, exact; its time) as known since the start or the last swap."""
        found: dict[str, tuple[Decimal, int]] = {}
        for layout, checker in self._checkers.items():
            if layout.meter == meter:
                found |= checker.readings()
        return found

    def reset_ns(self, meter: str) -> int:
        """Return when a counter of the meter was last found reset, since the start or the last swap; 0: never."""
        found = (checker.reset_ns for layout, checker in self._checkers.items() if layout.meter == meter)
        return max(found, default=0)

    def newest_ns(self, meter: str) -> int | None:
        """Return the time of the meter's newest sample in this epoch, None if there was none since the start."""
        return self._last_ns.get(meter)

    def layouts(self, meter: str) -> list[Layout]:
        """Return the layouts the meter's newest samples came with, one for each period."""
        return [layout for (id_, _), layout in self._newest.items() if id_ == meter]

    def under_maintenance(self, meters: Iterable[str], subjects: Iterable[str]) -> None:
        """Mark the readings of these meters, and of no others, MAINTENANCE; keep them and `subjects` out of the log."""
        self.marks = dict.fromkeys(meters, int(Flag.MAINTENANCE))
        self.quiet = frozenset(subjects) | frozenset(self.marks)

    def swapped(self, meter: str) -> None:
        """Forget the meter's last readings: what comes next is another device's, and no reset."""
        for layout, checker in self._checkers.items():
            if layout.meter == meter:
                checker.swapped()


async def watch_clock(clock: Clock, recorder: Recorder, *, every_s: float = 1.0) -> None:
    """Start a new epoch when the wall clock steps, flag readings while it is not synchronised; tell what was held."""
    while True:
        recorder.watch_clock()
        recorder.counters.sweep(clock.monotonic())
        await sleep_for(clock, every_s)

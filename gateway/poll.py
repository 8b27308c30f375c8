"""Polling: one task per link reads its meters on the wall grid and appends frames to the journal.

Isolation: a meter that fails costs its timeout once and is then probed at a growing pause; the others on its link
keep their times. The link itself is closed only when it says so (LinkDown) or when all its meters are silent.
A meter with several periods has a target for each, and failures are told apart: it is off when its most frequent
target gets no answer, or when all of them fail; a single one that fails is "channels off". Nothing here waits for
a destination.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.backoff import Backoff
from gateway.checks import Checker
from gateway.clock import MS_NS, NS, sleep_for
from gateway.errors import DeviceError, LinkDown
from gateway.model import Event, Flag, Frame
from gateway.schedule import Timetable

if TYPE_CHECKING:
    from gateway.health import Health, LinkHealth
    from gateway.interfaces import Clock, Link, Poll
    from gateway.journal.journal import Journal
    from gateway.layout import Layout
    from gateway.model import Sample

SLEEP_MAX_S = 10.0  # a step of the wall clock is noticed at least this often
METER_PAUSE_MAX_S = 60.0
LINK_PAUSE_FIRST_S = 0.5
OVERRUN_TOLD_S = 60.0  # skipped polls of a target are one event in this time
STEP_NS = NS  # wall time that jumps by more than this against monotonic time is a step, not a correction

log = structlog.get_logger("poll")


class Target(Protocol):
    """One (meter, period) to read."""

    meter: str
    period_s: float
    keys: tuple[str, ...]  # its channels

    async def poll(self, link: Link) -> Poll:
        """Return what to read; may read ratios from the meter first. Raises DeviceError, LinkDown."""

    def reconnected(self) -> None:
        """Forget what was read from the meter: its link was opened anew."""


class Recorder:
    """Turns samples into frames: identity, checks, flags; then into the journal."""

    def __init__(self, journal: Journal, clock: Clock, health: Health) -> None:
        """Start with the journal's newest time, so that identities rise across restarts."""
        self._journal, self._clock, self._health = journal, clock, health
        self._last_ns: dict[str, int] = {}
        self._checkers: dict[Layout, Checker] = {}
        self._newest: dict[tuple[str, float], Layout] = {}
        self._floor_ns = journal.last_ns
        self._offset_ns = self._offset()
        self.clock_flag = 0
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

    def _step(self, step_ns: int) -> None:
        epoch = self._journal.new_epoch()
        self._last_ns.clear()
        self._floor_ns = 0
        for checker in self._checkers.values():
            checker.clock_stepped()
        step_s = round(step_ns / NS, 3)
        log.error("wall clock stepped; a new epoch begins", step_s=step_s, epoch=epoch)
        self.event("clock_step", "gateway", step_s=step_s, epoch=epoch)

    def record(self, layout: Layout, sample: Sample) -> None:
        """Check one sample and append it."""
        flags = sample.flags
        values = layout.decode(sample.raw, flags)
        checker = self._checkers.get(layout)
        if checker is None:
            checker = self._checker(layout)
        time_ns = sample.time_ns // MS_NS * MS_NS
        last_ns = self._last_ns.get(layout.meter, self._floor_ns)
        if time_ns <= last_ns:
            time_ns = self._later(layout.meter, time_ns, last_ns)
        self._last_ns[layout.meter] = time_ns
        checker.check(time_ns, values, flags)
        health = self._health
        meter = health.meters[layout.meter]
        count = len(flags)
        if flags != layout.no_flags:
            meter.flagged += count - flags.count(0)
            if self.clock_flag:
                flags = array("H", (flag | self.clock_flag for flag in flags))
        elif self.clock_flag:
            flags = array("H", (self.clock_flag,)) * count
        frame = Frame(layout, self._journal.epoch, time_ns, sample.device_time_ns, sample.raw, values, flags)
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
            self._step(now_ns - last_ns)
            last_ns = 0
        return time_ns if time_ns > last_ns else last_ns + MS_NS

    def event(self, kind: str, subject: str, **detail: object) -> None:
        """Journal a transition (kinds: docs/specs/journal.md)."""
        self._journal.note(Event(self._clock.wall_ns(), kind, subject, detail))


class _Trial:
    """How one target fares. told: its failure is journaled on its own, apart from its meter's."""

    __slots__ = (
        "backoff", "failing", "first_ns", "is_main", "last_ns", "rest_until_s", "skipped", "skips_told_s",
        "target", "told", "yielded",
    )  # fmt: skip

    def __init__(self, target: Target, spread: float) -> None:
        self.target = target
        self.backoff = Backoff(target.period_s, METER_PAUSE_MAX_S, spread)
        self.is_main = False  # the most frequent one of its meter
        self.failing = self.told = False
        self.rest_until_s = 0.0
        self.yielded = False  # it rested for another target that met silence: next time it is tried
        self.skipped = self.first_ns = self.last_ns = 0  # due times skipped and not told yet
        self.skips_told_s = -OVERRUN_TOLD_S


class LinkPoller:
    """The task that owns one link."""

    def __init__(
        self,
        id_: str,
        link: Link,
        targets: list[Target],
        recorder: Recorder,
        clock: Clock,
        health: Health,
        *,
        pause_max_s: float = 60.0,
        spread: float = 0.0,
    ) -> None:
        """pause_max_s: longest pause between attempts to open the link."""
        self.id = id_
        self._link, self._targets, self._recorder, self._clock = link, targets, recorder, clock
        self._health = health
        self._own: LinkHealth = health.links[id_]
        self._backoff = Backoff(LINK_PAUSE_FIRST_S, pause_max_s, spread)
        self._trials = {target: _Trial(target, spread) for target in targets}
        self._of_meter: dict[str, list[_Trial]] = {}
        for trial in self._trials.values():
            self._of_meter.setdefault(trial.target.meter, []).append(trial)
        for trials in self._of_meter.values():
            min(trials, key=lambda trial: trial.target.period_s).is_main = True
        self._silent: set[str] = set()
        self._mute = False  # the link was given up because no meter answered: it is up when one does

    async def run(self) -> None:
        """Keep the link open and its meters read, for ever."""
        try:
            while True:
                try:
                    await self._link.open()
                    self._opened()
                    await self._serve()
                except LinkDown as error:
                    self._down(error)
                await self._link.close()
                await sleep_for(self._clock, self._backoff.next_s())
        finally:
            for trial in self._trials.values():
                self._tell_skips(trial)
            await self._link.close()

    def _opened(self) -> None:
        self._own.ups += 1
        if not self._mute:
            self._up()
        self._silent.clear()
        for target, trial in self._trials.items():
            trial.rest_until_s, trial.yielded = 0.0, False
            target.reconnected()

    def _up(self) -> None:
        self._mute = False
        if self._own.state != "up":
            self._own.state, self._own.error = "up", ""
            log.info("link up", link=self.id)
            self._recorder.event("link_up", self.id)

    def _down(self, error: LinkDown) -> None:
        self._own.downs += 1
        if self._own.state != "down" or not self._own.error:
            log.warning("link down", link=self.id, error=str(error))
            self._recorder.event("link_down", self.id, error=str(error))
        self._own.state, self._own.error = "down", str(error)
        for target in self._targets:
            meter = self._health.meters[target.meter]
            if meter.state == "on":  # nobody can tell whether it still is
                meter.state, meter.error = "unknown", f"link {self.id} is down"

    async def _serve(self) -> None:
        """Read every target at its times. Raises LinkDown."""
        clock = self._clock
        wall_ns, now_s = clock.wall_ns(), clock.monotonic()
        timetable = Timetable([round(t.period_s * NS) for t in self._targets], wall_ns)
        offset_ns = wall_ns - round(now_s * NS)
        while True:
            due_ns, index = timetable.head()
            wall_ns, now_s = clock.wall_ns(), clock.monotonic()
            before_ns, offset_ns = offset_ns, wall_ns - round(now_s * NS)
            if abs(offset_ns - before_ns) > STEP_NS:  # nothing was missed, and nothing is due twice
                timetable.restart(wall_ns)
                continue
            if wall_ns < due_ns:
                await clock.sleep_until(now_s + min((due_ns - wall_ns) / NS, SLEEP_MAX_S))
                continue
            target = self._targets[index]
            pause_s = await self._read(target)
            skipped = timetable.done(clock.wall_ns(), round(pause_s * NS))
            trial = self._trials[target]
            if skipped:
                self._skipped(trial, due_ns, skipped)
            if trial.skipped:
                self._tell_skips(trial, OVERRUN_TOLD_S)

    def _skipped(self, trial: _Trial, due_ns: int, count: int) -> None:
        """Note that `count` due times after `due_ns` passed while the link was busy."""
        period_ns = round(trial.target.period_s * NS)
        self._health.meters[trial.target.meter].skipped += count
        trial.first_ns = trial.first_ns or due_ns + period_ns
        trial.last_ns = due_ns + count * period_ns
        trial.skipped += count

    def _tell_skips(self, trial: _Trial, every_s: float = 0.0) -> None:
        now_s = self._clock.monotonic()
        if not trial.skipped or now_s < trial.skips_told_s + every_s:
            return
        self._recorder.event(
            "overrun",
            trial.target.meter,
            period_s=trial.target.period_s,
            count=trial.skipped,
            first_ns=trial.first_ns,
            last_ns=trial.last_ns,
        )
        trial.skipped = trial.first_ns = trial.last_ns = 0
        trial.skips_told_s = now_s

    async def _read(self, target: Target) -> float:
        """Read one target; return the pause it has earned, 0 if it answered."""
        meter = self._health.meters[target.meter]
        trial = self._trials[target]
        if trial.rest_until_s:
            rest_s = trial.rest_until_s - self._clock.monotonic()
            if rest_s > 0:  # another target of its meter met silence
                return rest_s
            trial.rest_until_s, trial.yielded = 0.0, False
        meter.polls += 1
        self._own.polls += 1
        try:
            poll = await target.poll(self._link)
            samples = await self._link.read(poll)
        except DeviceError as error:
            return self._failed(target, error)
        layout = poll.layout
        for sample in samples:
            self._recorder.record(layout, sample)
        if self._own.state != "up":
            self._up()
        self._backoff.reset()
        if trial.failing or meter.state != "on":
            self._answered(trial)
        return 0.0

    def _answered(self, trial: _Trial) -> None:
        id_ = trial.target.meter
        meter = self._health.meters[id_]
        if meter.state != "on":
            if meter.state == "off":
                log.info("meter answers again", link=self.id, meter=id_)
            self._recorder.event("meter_on", id_)
            meter.state, meter.error = "on", ""
            self._silent.clear()
            for other in self._of_meter[id_]:
                if other is not trial and not other.told:
                    self._compare(other)
        if trial.told:
            log.info("channels answer again", link=self.id, meter=id_, period_s=trial.target.period_s)
            self._event_of_channels("channels_on", trial)
        trial.failing = trial.told = False
        trial.backoff.reset()
        if not any(other.failing for other in self._of_meter[id_]):
            meter.error = ""

    def _compare(self, other: _Trial) -> None:
        """Look at another target of a meter that answers again: is it only that one that fails?"""
        if other.failing and other.is_main:  # its silence was taken for the meter's, and is its own
            self._tell_channels(other, self._health.meters[other.target.meter].error, "timeout")
        else:
            other.failing, other.rest_until_s, other.yielded = False, 0.0, False
            other.backoff.reset()

    def _failed(self, target: Target, error: DeviceError) -> float:
        meter, trial = self._health.meters[target.meter], self._trials[target]
        meter.failures[error.reason] += 1
        meter.error = str(error)
        silent = error.reason == "timeout"
        was_failing, trial.failing = trial.failing, True
        if meter.state != "off":
            if (silent and trial.is_main and not was_failing) or all(
                other.failing for other in self._of_meter[target.meter]
            ):
                meter.state = "off"
                log.warning(
                    "meter off",
                    link=self.id,
                    meter=target.meter,
                    error=str(error),
                    raw=error.raw.hex() or None,
                )
                self._recorder.event("meter_off", target.meter, reason=error.reason, error=str(error))
            elif not trial.told:
                self._tell_channels(trial, str(error), error.reason)
        first = not trial.backoff.failures
        pause_s = trial.backoff.next_s()
        if not silent:
            self._silent.discard(target.meter)
            if first:  # it did answer: one spoilt answer costs one poll
                return 0.0
        elif meter.state == "off":
            self._met_silence(trial, pause_s, error)
        return pause_s

    def _met_silence(self, trial: _Trial, pause_s: float, error: DeviceError) -> None:
        """Let the other targets of a silent meter rest once; raise LinkDown if all meters are silent."""
        self._silent.add(trial.target.meter)
        if len(self._silent) == len(self._of_meter):
            self._mute = True
            raise LinkDown(f"none of the {len(self._silent)} meters answers; last: {error}")
        for other in self._of_meter[trial.target.meter]:
            if other is not trial and not other.yielded:
                other.rest_until_s, other.yielded = self._clock.monotonic() + pause_s, True

    def _tell_channels(self, trial: _Trial, error: str, reason: str) -> None:
        trial.told = True
        target = trial.target
        log.warning(
            "channels off", link=self.id, meter=target.meter, period_s=target.period_s,
            channels=",".join(target.keys), error=error,
        )  # fmt: skip
        self._event_of_channels("channels_off", trial, reason=reason, error=error)

    def _event_of_channels(self, kind: str, trial: _Trial, **detail: object) -> None:
        target = trial.target
        self._recorder.event(
            kind, target.meter, period_s=target.period_s, channels=list(target.keys), **detail
        )


async def watch_clock(clock: Clock, recorder: Recorder, *, every_s: float = 1.0) -> None:
    """Start a new epoch when the wall clock steps, and flag readings while it is not synchronised."""
    while True:
        recorder.watch_clock()
        await sleep_for(clock, every_s)

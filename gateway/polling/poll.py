"""Polling: one task per link reads its meters on the wall grid and appends frames to the journal.

Isolation: a meter that fails costs its timeout once and is then probed at a growing pause; the others on its link
keep their times. The link itself is closed only when it says so (LinkDown) or when all its meters are silent.
A meter with several periods has a target for each, and failures are told apart: it is off when its most frequent
target gets no answer, or when all of them fail; a single one that fails is "channels off" (`gateway.polling.trial`).
Nothing here waits for a destination.

Whoever else wants something of a link hands its owner an errand, done between two polls. A watch closes and reopens a
link on which one thing (opening, a poll, an errand) takes longer than anything may, whatever the driver hangs on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog

from gateway.backoff import Backoff
from gateway.errors import DeviceError, LinkDown
from gateway.model import NS
from gateway.polling.errand_queue import ErrandQueue
from gateway.polling.link_state import LinkState
from gateway.polling.recorder import STEP_NS
from gateway.polling.trial import METER_PAUSE_MAX_S, OVERRUN_TOLD_S, AllSilent, Breaker
from gateway.polling.watch import CLOSE_S, HANG_MIN_S, Hung, ended, limit_s
from gateway.schedule import Timetable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.health import Health, LinkHealth
    from gateway.interfaces import Clock, Link, Poll
    from gateway.model import Sample
    from gateway.polling.recorder import Recorder
    from gateway.polling.target import Target
    from gateway.polling.trial import Trial

T = TypeVar("T")

SLEEP_MAX_S = 10.0  # a step of the wall clock is noticed at least this often
LINK_PAUSE_FIRST_S = 0.5
ERRAND_SHARE = 1 / 10  # of the link's time that errands may take once one has made a poll late
HOLD_PERIODS = 2  # of its own for which a suspect waits for somebody else's answer
IDLE_OPEN_S = 30.0  # a link without meters stays open for this long after an errand

log = structlog.get_logger("poll")


class LinkPoller:
    """The owner of one link."""

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
        timeout_s: float = 0.0,
        spread: float = 0.0,
        renew: Callable[[], Link] | None = None,
    ) -> None:
        """pause_max_s: longest pause between attempts to open the link. timeout_s: the link's own.

        renew: makes another link in place of one that does not even let itself be closed.
        """
        self.id = id_
        self._targets, self._recorder, self._clock = targets, recorder, clock
        self._health = health
        self._own: LinkHealth = health.links[id_]
        self._renew = renew
        self._take(link)
        self._backoff = Backoff(LINK_PAUSE_FIRST_S, pause_max_s, spread)
        self._breaker = Breaker(id_, targets, recorder, clock, health, spread)
        self._state = LinkState(id_, self._own, recorder, clock, self._breaker.warn)
        self._mute = False  # the link was given up though it could be opened: it is up when a meter answers
        self._was_lost = self._is_anew = (
            False  # the link was down for a while, before this connection or the next
        )
        self._is_open = self._was_opened = False  # now; in this session or the last
        self._errands = ErrandQueue(id_, self._wake)
        self._errands_from_s = 0.0  # when the next errand may begin
        self._errand_broke_s: float | None = None  # when that errand began at which the connection broke
        self._asleep: asyncio.Task[object] | None = None  # the task that sleeps and may be woken
        self._busy_since_s: float | None = None  # since when it is at one thing
        self._began_s = 0.0  # of the poll or errand under way
        self._timeout_s = timeout_s  # the longest in use
        self._asking: Trial | None = None  # the target that is being asked
        self._timetable: Timetable | None = None
        self._offset_ns = 0  # wall time less monotonic time, when last looked at
        self._shortest_s = min((target.period_s for target in targets), default=0.0)

    def _take(self, link: Link) -> None:
        self._link = link
        link.notice = self._notice
        self._own.counts = link.figures

    def _notice(self, kind: str, subject: str, /, **detail: object) -> None:
        self._own.notices[kind] += 1
        if kind in {"channel_absent", "channel_found"}:
            self._health.channels(subject, off=kind == "channel_absent", **detail)
        self._recorder.events.note(kind, subject, **detail)

    async def errand(self, work: Callable[[Link], Awaitable[T]], *, timeout_s: float) -> T:
        """Return what `work` returns, done on the open link between two polls; what it raises goes to the caller.

        timeout_s: for waiting and working together. Raises LinkDown if the link cannot be used, Busy if too much
        waits already or the time is up.
        """
        if self._targets and not self._is_open and not self._mute:
            raise LinkDown(f"link {self.id} is down: {self._own.error or 'it is being opened'}")
        return await self._errands.ask(work, timeout_s)

    def _wake(self) -> None:
        """End the owner's sleep; see `_sleep_until`."""
        if self._asleep is not None:
            self._asleep.cancel()
            self._asleep = None

    async def _sleep_until(self, when_s: float) -> None:
        """Sleep until then, or until an errand comes.

        A cancellation wakes the sleeper, which costs a sleep nothing, and is told from a real one by its count, as
        `asyncio.timeout` does.
        """
        task = asyncio.current_task()
        self._asleep = task
        try:
            await self._clock.sleep_until(when_s)
        except asyncio.CancelledError:
            if self._asleep is not None or task is None or task.uncancel():
                raise
        finally:
            self._asleep = None

    async def run(self) -> None:
        """Keep the link open and its meters read, for ever."""
        try:
            while True:
                pause_s = 0.0
                try:
                    await self._session()
                except LinkDown as error:
                    pause_s = self._lost(error)
                await self._close()
                if pause_s and not self._errands:
                    await self._sleep_until(self._clock.monotonic() + pause_s)
        finally:
            self._breaker.close()
            self._state.tell_cuts()
            self._errands.refuse(f"link {self.id}: the gateway stops")
            await self._close()

    def _lost(self, error: LinkDown) -> float:
        """Judge why the connection is gone; return the pause before the next, 0: it is opened anew at once."""
        trial, self._asking = self._asking, None
        if isinstance(error, Hung):
            self._breaker.cut(trial, error, hung=True)
        elif self._was_opened and not isinstance(error, AllSilent):
            is_meters = self._breaker.cut(trial, error)
            if not self._breaker.blame.is_the_links:
                self._state.cut("" if is_meters else str(error))
                return 0.0
        self._mute |= self._was_opened and not isinstance(error, Hung)
        self._was_lost = True
        self._down(error)
        return self._backoff.next_s()

    async def _session(self) -> None:
        """Open the link and serve it under the watch. Raises LinkDown; returns if nobody needs the link any more."""
        if not self._targets:
            while not self._errands:
                await self._sleep_until(self._clock.monotonic() + SLEEP_MAX_S)
        self._busy_since_s = self._clock.monotonic()
        self._was_opened = False
        task = asyncio.create_task(self._open_and_serve())
        try:
            while not (await asyncio.wait({task}, timeout=HANG_MIN_S / 4))[0]:
                self._look_for_a_hang()
            await task
        finally:
            self._is_open = False
            if not await ended(task):
                self._replace("what it was at could not be ended")

    async def _open_and_serve(self) -> None:
        await self._link.open()
        self._is_open = self._was_opened = True
        self._opened()
        await self._serve()

    def _look_for_a_hang(self) -> None:
        """Raise LinkDown if what the link is at has taken longer than anything may."""
        since_s = self._busy_since_s
        if since_s is None:
            return
        idle_s = round(self._clock.monotonic() - since_s, 3)
        if idle_s < limit_s(self._shortest_s, self._timeout_s):
            return
        error = f"nothing was completed for {idle_s:g} s; the link is closed and opened anew"
        self._own.rebuilt += 1
        self._recorder.events.note("link_rebuilt", self.id, error=error, idle_s=idle_s)
        raise Hung(error)

    async def _close(self) -> None:
        """Close the link, whatever it takes, within bounds."""
        task = asyncio.create_task(self._link.close())
        try:
            done, _ = await asyncio.wait({task}, timeout=CLOSE_S)
        finally:
            await ended(task)
        if not done:
            self._replace("it could not be closed")
        elif not task.cancelled():
            task.result()  # closing never raises; if it does, that is a bug to be seen

    def _replace(self, why: str) -> None:
        """Leave a link alone that obeys no more, and go on with another one in its place."""
        self._breaker.warn("link replaced", self.id, error=why)
        if self._renew is not None:
            self._take(self._renew())

    def _opened(self) -> None:
        now_s = self._clock.monotonic()
        self._state.opened()
        if self._targets and not self._mute:
            self._up()
        self._breaker.opened(anew=self._was_lost)
        if self._errand_broke_s is not None:  # what it cost to open the link anew is the errand's
            self._pay_errand(now_s - self._errand_broke_s)
            self._errand_broke_s = None

    def _up(self) -> None:
        self._mute = False
        self._state.up()

    def _down(self, error: LinkDown) -> None:
        """Say that the link was lost, and that nobody can tell how its meters are."""
        reason = error.reason if isinstance(error, Hung | AllSilent) else "connection"
        self._state.down(reason, str(error))
        self._breaker.link_down()
        if not isinstance(error, AllSilent):  # a link nobody answers on still does errands
            self._errands.refuse(f"link {self.id} is down: {error}")

    def _pay_errand(self, cost_s: float) -> None:
        """Let errands wait for as long as keeps them within their share of the link's time."""
        self._errands_from_s = self._clock.monotonic() + cost_s * (1 / ERRAND_SHARE - 1)

    def _timetable_now(self) -> Timetable:
        """Return what is due; after an outage what was missed is due once, after a step of the clock nothing is."""
        wall_ns, now_s = self._clock.wall_ns(), self._clock.monotonic()
        before_ns, self._offset_ns = self._offset_ns, wall_ns - round(now_s * NS)
        timetable = self._timetable
        if timetable is None or abs(self._offset_ns - before_ns) > STEP_NS:
            timetable = self._timetable = Timetable([round(t.period_s * NS) for t in self._targets], wall_ns)
        self._is_anew, self._was_lost = self._was_lost, False
        if self._is_anew:
            timetable.resume(wall_ns)
        return timetable

    async def _serve(self) -> None:
        """Read every target at its times, and do errands between. Raises LinkDown."""
        if not self._targets:
            await self._serve_errands()
            return
        clock, breaker, errands = self._clock, self._breaker, self._errands
        suspects = breaker.blame.suspects
        timetable = self._timetable_now()
        while True:
            if errands and clock.monotonic() >= self._errands_from_s:
                await self._do_errand()
                if timetable.head()[0] < clock.wall_ns():
                    self._pay_errand(self._cost_s())
            when_ns, index = timetable.head()
            wall_ns, now_s = clock.wall_ns(), clock.monotonic()
            before_ns, self._offset_ns = self._offset_ns, wall_ns - round(now_s * NS)
            if abs(self._offset_ns - before_ns) > STEP_NS:  # nothing was missed, and nothing is due twice
                timetable.restart(wall_ns)
                continue
            if wall_ns < when_ns:
                self._busy_since_s = None
                self._state.look()
                if not errands or self._errands_from_s > now_s:
                    until_s = now_s + min((when_ns - wall_ns) / NS, SLEEP_MAX_S)
                    await self._sleep_until(min(until_s, self._errands_from_s) if errands else until_s)
                continue
            target = self._targets[index]
            if target in suspects and self._holds(target, timetable, index):
                continue
            self._busy_since_s = self._began_s = now_s
            trial = breaker.trials[target]
            due_ns = timetable.due_ns(index)
            pause_s = await self._read(target)
            skipped = timetable.done(clock.wall_ns(), round(pause_s * NS))
            if skipped:
                breaker.skipped(trial, due_ns, skipped)
            if trial.skipped:
                breaker.tell_skips(trial, OVERRUN_TOLD_S)
            if timetable.held and breaker.blame.is_good:
                timetable.release()

    def _holds(self, target: Target, timetable: Timetable, index: int) -> bool:
        """Put off a suspect's turn until others have shown that the connection is good; return whether that was done.

        At its first cut, and after an outage, it goes behind those that are due now; later it waits for those due soon.
        """
        trial, wall_ns = self._breaker.trials[target], self._clock.wall_ns()
        if index in timetable.held or trial.rest_until_s > self._clock.monotonic():
            return False
        is_brief = self._is_anew or self._breaker.blame.suspects[target] == 1
        most_s = 0.0 if is_brief else min(HOLD_PERIODS * target.period_s, METER_PAUSE_MAX_S)
        until_ns = wall_ns + round(most_s * NS)
        if not self._breaker.waits(trial, [self._targets[i] for i in timetable.due_by(until_ns)]):
            return False
        timetable.hold(until_ns)
        return True

    async def _serve_errands(self) -> None:
        """Do errands on a link without meters until none has come for a while."""
        until_s = self._clock.monotonic() + IDLE_OPEN_S
        while self._errands or self._clock.monotonic() < until_s:
            if self._errands:
                await self._do_errand()
                until_s = self._clock.monotonic() + IDLE_OPEN_S
            else:
                self._busy_since_s = None
                await self._sleep_until(until_s)

    async def _do_errand(self) -> None:
        self._busy_since_s = self._began_s = self._clock.monotonic()
        self._own.errands += 1
        try:
            await self._errands.run_one(self._link)
        except LinkDown:
            self._errand_broke_s = self._began_s
            raise

    async def _read(self, target: Target) -> float:
        """Read one target; return the pause it has earned, 0 if it answered. Raises LinkDown."""
        meter = self._health.meters[target.meter]
        trial = self._breaker.trials[target]
        if trial.rest_until_s:
            rest_s = self._breaker.rest_s(trial)
            if rest_s > 0:  # another target of its meter met silence, or it broke the connection
                return rest_s
        meter.polls += 1
        self._own.polls += 1
        self._asking = trial
        try:
            poll = await target.poll(self._link)
            self._timeout_s = max(self._timeout_s, poll.timeout_s)
            samples = await self._ask(poll)
        except DeviceError as error:
            pause_s = self._failed(trial, error)
            self._asking = None
            return pause_s
        self._asking = None
        for sample in samples:
            self._recorder.record(poll.layout, sample)
        if self._own.state != "up":
            self._up()
        self._backoff.reset()
        self._breaker.serves(trial)
        if trial.failing or trial.backoff.failures or meter.state != "on":
            self._breaker.answered(trial)
        return 0.0

    async def _ask(self, poll: Poll) -> list[Sample]:
        """Return the samples of a poll; what came before the connection went is recorded, too."""
        try:
            return await self._link.read(poll)
        except LinkDown as error:
            for sample in error.samples:
                self._recorder.record(poll.layout, sample)
            raise

    def _failed(self, trial: Trial, error: DeviceError) -> float:
        """Return the pause that a failed poll has earned its target. Raises LinkDown."""
        if error.reason == "exception":  # an answer, if not the one that was wanted
            self._breaker.heard(trial)
            self._backoff.reset()
        elif error.reason == "garbage":
            self._breaker.blame.garbled(trial.target)
        if error.reason in {"exception", "garbage"} and self._own.state != "up":
            self._up()
        return self._breaker.failed(trial, error, self._cost_s())

    def _cost_s(self) -> float:
        return self._clock.monotonic() - self._began_s

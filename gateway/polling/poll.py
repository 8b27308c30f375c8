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
from gateway.polling.due_times import DueTimes
from gateway.polling.errand_queue import ErrandQueue
from gateway.polling.link_state import LinkState
from gateway.polling.trial import METER_PAUSE_MAX_S, OVERRUN_TOLD_S, AllSilent, Breaker
from gateway.polling.watch import CLOSE_S, Hung, Watch, ended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.health import Health, LinkHealth
    from gateway.interfaces import Clock, Link, Poll
    from gateway.model import Sample
    from gateway.polling.recorder import Recorder
    from gateway.polling.target import Target
    from gateway.polling.trial import Trial
    from gateway.schedule import Timetable

T = TypeVar("T")

SLEEP_MAX_S = 10.0  # a step of the wall clock is noticed at least this often
LINK_PAUSE_FIRST_S = 0.5
ERRAND_BREAK_S = 0.1  # what an errand costs at least at which the connection broke
HOLD_PERIODS = 2  # of its own for which a suspect waits for somebody else's answer
REST_S = 1.0  # after so long without anything to do an answer from before says nothing of the connection now
IDLE_S = 5.0  # a link that had nothing to do for so long may have lost its connection unseen
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
        self._state = LinkState(id_, self._own, recorder.events, clock, self._breaker.warn)
        shortest_s = min((target.period_s for target in targets), default=0.0)
        self._watch, self._shortest_ns = Watch(clock, shortest_s, timeout_s), round(shortest_s * NS)
        self._is_open = self._was_opened = False  # now; in this session or the last
        self._is_stuck = False  # the session could not be ended: the link obeys no more
        self._was_lost = False  # the link was down for a while: what was due last is asked at once
        self._is_anew = False  # the connection was opened after an outage
        self._idle_since_s = 0.0  # since when it had nothing to do, the last time
        self._polls_from_s = (
            0.0  # the pause after an outage, which is for polls; errands need not wait for it
        )
        self._asking: Trial | None = None  # the target that is being asked
        self._errands = ErrandQueue(id_, self._wake)
        self._errand_broke_s: float | None = None  # when that errand began at which the connection broke
        self._asleep: asyncio.Task[object] | None = None  # the task that sleeps and may be woken
        self._dues = DueTimes(targets, self._breaker, self._state, recorder, clock)

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
        if self._targets and not self._is_open and not self._state.is_mute:
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
                try:
                    await self._session()
                except LinkDown as error:
                    self._lost(error)
                await self._close()
                if self._polls_from_s > self._clock.monotonic() and not self._errands:
                    await self._sleep_until(self._polls_from_s)
        finally:
            self._breaker.close()
            self._state.tell_cuts()
            self._errands.refuse(f"link {self.id}: its owner ends")
            await self._close()

    def crashed(self, error: str) -> None:
        """Say that the owner ended by a bug, and begins again later. error: as it is told."""
        self._was_lost = True
        self._state.down("bug", f"bug: {error}")
        self._breaker.link_down()

    def _lost(self, error: LinkDown) -> None:
        """Judge why the connection is gone: it is opened anew at once, or there is a pause before the next poll."""
        trial, self._asking = self._asking, None
        if isinstance(error, Hung):
            self._breaker.cut(trial, error, hung_s=self._watch.cost_s)
        elif self._was_opened and not isinstance(error, AllSilent):
            was_stale = self._breaker.blame.is_stale
            is_meters = self._breaker.cut(trial, error)
            if self._state.is_mute and (trial is None or was_stale):
                return  # an errand's doing, or the pause's: the link is down as before
            if was_stale or not self._breaker.blame.is_the_links:
                self._state.cut("" if is_meters else str(error))
                return
        self._was_lost = True
        is_mute = self._was_opened and not isinstance(error, Hung)
        self._state.down(error.reason, str(error), is_mute=is_mute)
        self._breaker.link_down()
        if not isinstance(error, AllSilent):  # a link nobody answers on still does errands
            self._errands.refuse(f"link {self.id} is down: {error}")
        pause_s = self._backoff.next_s()
        self._polls_from_s = self._clock.monotonic() + pause_s
        self._own.retry_ns = self._clock.wall_ns() + round(pause_s * NS)

    async def _session(self) -> None:
        """Open the link and serve it under the watch. Raises LinkDown; returns if nobody needs the link any more."""
        if not self._targets:
            while not self._errands:
                await self._sleep_until(self._clock.monotonic() + SLEEP_MAX_S)
        self._watch.begin()
        self._was_opened, self._asking = False, None
        task = asyncio.create_task(self._open_and_serve())
        try:
            await self._watch.over(task)
            if task.cancelled():  # not by us, or this would have been, too: the driver let one escape
                raise LinkDown(f"link {self.id}: its driver cancelled itself; it is opened anew")
            await task
        except Hung as error:
            self._own.rebuilt += 1
            idle_s = round(self._watch.cost_s, 3)
            self._recorder.events.note("link_rebuilt", self.id, error=str(error), idle_s=idle_s)
            raise
        finally:
            self._is_open = False
            self._is_stuck = not await ended(task)

    async def _open_and_serve(self) -> None:
        await self._link.open()
        self._is_open = self._was_opened = True
        self._opened()
        await self._serve()

    async def _close(self) -> None:
        """Close the link, whatever it takes, within bounds; one that obeys no more is closed as far as it can be, and replaced."""
        task = asyncio.create_task(self._link.close())
        try:
            done, _ = await asyncio.wait({task}, timeout=CLOSE_S)
        finally:
            await ended(task)
        if self._is_stuck or not done:
            self._is_stuck = False
            self._replace("it could not be closed" if not done else "what it was at could not be ended")
        elif not task.cancelled():
            task.result()  # closing never raises; if it does, that is a bug to be seen

    def _replace(self, why: str) -> None:
        """Leave a link alone that obeys no more, and go on with another one in its place."""
        self._breaker.warn("link replaced", self.id, error=why)
        if self._renew is not None:
            self._take(self._renew())

    def _opened(self) -> None:
        self._state.opened()
        if self._targets and not self._state.is_mute:
            self._state.up()
        self._is_anew = self._was_lost
        self._breaker.opened(anew=self._is_anew)
        if self._errand_broke_s is not None:  # what it cost to open the link anew is the errand's
            now_s = self._clock.monotonic()
            self._errands.pay(max(now_s - self._errand_broke_s, ERRAND_BREAK_S), now_s)
            self._errand_broke_s = None

    async def _serve(self) -> None:
        """Read every target at its times, and do errands between. Raises LinkDown."""
        if not self._targets:
            await self._serve_errands(self._clock.monotonic() + IDLE_OPEN_S, IDLE_OPEN_S)
            return
        await self._serve_errands(self._polls_from_s)
        clock, breaker, errands = self._clock, self._breaker, self._errands
        suspects = breaker.blame.suspects
        timetable, watch = self._dues.resumed(was_lost=self._was_lost), self._watch
        self._was_lost = False
        while True:
            if errands and clock.monotonic() >= self._errands.from_s:
                await self._do_errand()
                if timetable.head()[0] < clock.wall_ns():
                    errands.pay(watch.cost_s, clock.monotonic())
            when_ns, index = timetable.head()
            wall_ns, now_s = clock.wall_ns(), clock.monotonic()
            if self._dues.has_stepped(wall_ns, now_s):  # nothing is due twice
                continue
            if wall_ns < when_ns:
                self._rest(now_s)
                self._state.look()
                if not errands or self._errands.from_s > now_s:
                    until_s = now_s + min((when_ns - wall_ns) / NS, SLEEP_MAX_S)
                    await self._sleep_until(min(until_s, self._errands.from_s) if errands else until_s)
                continue
            if not watch.is_busy and now_s - self._idle_since_s > REST_S:
                breaker.blame.idled(long=now_s - self._idle_since_s > IDLE_S)
            target = self._targets[index]
            if target in suspects and self._holds(target, timetable, index):
                continue
            watch.began_s, watch.is_busy = now_s, True
            trial = breaker.trials[target]
            due_ns = timetable.due_ns(index)
            if wall_ns - due_ns >= self._shortest_ns:  # some may have gone by before anybody asked
                breaker.passed(trial, due_ns, timetable.catch_up(wall_ns))
                due_ns = timetable.due_ns(index)
            restarts = self._dues.restarts
            was_asked, pause_s = await self._read(target)
            wall_ns = clock.wall_ns()
            self._dues.has_stepped(wall_ns, clock.monotonic())
            if restarts != self._dues.restarts:  # the clock was stepped meanwhile: it is due anew
                continue
            passed = timetable.done(wall_ns, round(pause_s * NS), was_asked=was_asked)
            if passed:
                breaker.passed(trial, due_ns, passed, was_asked=was_asked)
            if trial.skipped:
                breaker.tell_skips(trial, OVERRUN_TOLD_S)
            if timetable.held and breaker.blame.is_good:
                timetable.release()

    def _rest(self, now_s: float) -> None:
        if self._watch.is_busy:
            self._watch.is_busy, self._idle_since_s = False, now_s

    def _holds(self, target: Target, timetable: Timetable, index: int) -> bool:
        """Put off a suspect's turn behind those due now, or later those due soon; return whether that was done."""
        blame, trial, now_s = self._breaker.blame, self._breaker.trials[target], self._clock.monotonic()
        if blame.is_good or index in timetable.held or trial.rest_until_s > now_s:
            return False
        wall_ns = self._clock.wall_ns()
        is_brief = self._is_anew or blame.suspects[target] == 1
        most_s = 0.0 if is_brief else min(HOLD_PERIODS * target.period_s, METER_PAUSE_MAX_S)
        until_ns = wall_ns + round(most_s * NS)
        waits = blame.waits(target, [self._targets[i] for i in timetable.due_by(until_ns)])
        if not waits and trial.retry_s <= now_s:
            return False
        timetable.hold(until_ns if waits else wall_ns + round((trial.retry_s - now_s) * NS))
        return True

    async def _serve_errands(self, until_s: float, more_s: float = 0.0) -> None:
        """Do errands and nothing else until then, and for `more_s` after each."""
        while (now_s := self._clock.monotonic()) < until_s:
            if self._errands and now_s >= self._errands.from_s:
                await self._do_errand()
                until_s = max(until_s, self._clock.monotonic() + more_s)
            else:
                self._rest(now_s)
                await self._sleep_until(min(until_s, self._errands.from_s) if self._errands else until_s)

    async def _do_errand(self) -> None:
        self._watch.begin()
        self._own.errands += 1
        try:
            await self._errands.run_one(self._link)
        except LinkDown:
            self._errand_broke_s = self._watch.began_s
            raise

    async def _read(self, target: Target) -> tuple[bool, float]:
        """Read one target; return whether it was asked, and the pause it has earned. Raises LinkDown."""
        meter = self._health.meters[target.meter]
        trial = self._breaker.trials[target]
        if trial.rest_until_s:
            rest_s = self._breaker.rest_s(trial)
            if rest_s > 0:  # another target of its meter met silence, or it broke the connection
                return False, rest_s
        meter.polls += 1
        self._own.polls += 1
        self._asking = trial
        try:
            poll = await target.poll(self._link)
            self._watch.timeout_s = max(self._watch.timeout_s, poll.timeout_s)
            samples = await self._ask(poll)
        except DeviceError as error:
            pause_s = self._failed(trial, error)
            self._asking = None
            return True, pause_s
        self._asking = None
        for sample in samples:
            self._recorder.record(poll.layout, sample)
        if not self._state.is_up:
            self._state.up()
        self._backoff.reset()
        self._breaker.served(trial, meter)
        return True, 0.0

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
        if error.reason in {"exception", "garbage"} and not self._state.is_up:
            self._state.up()
        return self._breaker.failed(trial, error, self._watch.cost_s)

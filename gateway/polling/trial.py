"""How the targets of one link fare: who is off, and who is probed when.

State is kept for each (link, meter) and its targets, never by address alone. A meter that fails costs its timeout once
and is then probed by one poll, which a driver ends with its first silent request, at a growing pause. On a
link that cannot keep up, the pause from the second silence on is long enough that all silent meters together take at
most a twentieth of the link's time.

A target that breaks good connections, twice running, is to blame for it (`gateway.polling.blame`): it rests like one that
fails, and the connection is opened anew at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.backoff import Backoff
from gateway.errors import DeviceError, LinkDown
from gateway.log import Turns
from gateway.model import NS
from gateway.polling.blame import Blame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.health import Health, MeterHealth
    from gateway.interfaces import Clock
    from gateway.polling.recorder import Recorder
    from gateway.polling.target import Target

METER_PAUSE_MAX_S = 60.0
OVERRUN_TOLD_S = 60.0  # skipped polls of a target are one event in this time
PROBE_PAUSE_MAX_S = 600.0  # between probes, on a link that does not keep up with its due times
PROBE_SHARE = 1 / 20  # of the link's time that probing silent meters may take

log = structlog.get_logger("poll")


class Trial:
    """How one target fares. told: its failure is journaled on its own, apart from its meter's."""

    __slots__ = (
        "backoff", "failing", "first_ns", "is_main", "last_ns", "rest_until_s", "retry_s", "skipped", "skips_told_s",
        "target", "told", "yielded",
    )  # fmt: skip

    def __init__(self, target: Target, spread: float) -> None:
        """target: the one on trial. spread: as in `Backoff`."""
        self.target = target
        self.backoff = Backoff(target.period_s, METER_PAUSE_MAX_S, spread)
        self.is_main = False  # the most frequent one of its meter
        self.failing = self.told = False
        self.rest_until_s = 0.0
        self.retry_s = 0.0  # not asked before, unless another answers: the connection broke at it
        self.yielded = False  # it rested for another target that met silence: next time it is tried
        self.skipped = self.first_ns = self.last_ns = 0  # due times skipped and not told yet
        self.skips_told_s = -OVERRUN_TOLD_S

    def wake(self) -> None:
        """End its rest: it is tried when it is due."""
        self.rest_until_s = self.retry_s = 0.0
        self.yielded = False


class Breaker:
    """The trials of one link."""

    def __init__(
        self,
        link: str,
        targets: Sequence[Target],
        recorder: Recorder,
        clock: Clock,
        health: Health,
        spread: float = 0.0,
    ) -> None:
        """link: its id. targets: all that are read on it."""
        self._link, self._recorder, self._clock, self._health = link, recorder, clock, health
        self.trials = {target: Trial(target, spread) for target in targets}
        self._of_meter: dict[str, list[Trial]] = {}
        for trial in self.trials.values():
            self._of_meter.setdefault(trial.target.meter, []).append(trial)
        for trials in self._of_meter.values():
            min(trials, key=lambda trial: trial.target.period_s).is_main = True
        self._silent: set[str] = set()
        self.blame = Blame()
        self._accused: dict[Trial, DeviceError] = {}  # to blame, and told as soon as another target answers
        self._turns = {id_: Turns(clock.monotonic(), "on") for id_ in self._of_meter}
        self._untold: set[str] = set()  # meters whose state the log does not have yet
        self._scarce_until_s = 0.0  # the link did not keep up with its due times lately

    def warn(self, event: str, subject: str, **more: object) -> None:
        """Log a warning about a link or meter, unless maintenance keeps it quiet."""
        quiet = self._recorder.quiet
        say = log.debug if quiet and (subject in quiet or self._link in quiet) else log.warning
        say(event, link=self._link, **more)

    def _say(self, id_: str, state: str, error: DeviceError | None = None) -> None:
        """Log that a meter is on or off; one that flaps is told seldom, in the end how it is."""
        turns = self._turns[id_]
        unsaid = turns.turn(state, self._clock.monotonic())
        (self._untold.add if turns.is_untold else self._untold.discard)(id_)
        if unsaid is None:
            return
        if error is None:
            log.info("meter answers again", link=self._link, meter=id_, unsaid=unsaid or None)
            return
        raw = error.raw.hex() or None
        self.warn("meter off", id_, meter=id_, error=str(error), raw=raw, unsaid=unsaid or None)

    def opened(self, *, anew: bool) -> None:
        """Take note of a new connection. anew: the link was lost, so everybody is tried again but those to blame."""
        self.blame.opened()
        if anew:
            self._silent.clear()
        for target, trial in self.trials.items():
            if anew and not self.blame.is_proved(target):  # else: it rests on, and its own probes will tell
                trial.wake()
            target.reconnected()

    def link_down(self) -> None:
        """Say that nobody can tell how the meters are."""
        if self.blame.is_the_links:
            self._accused.clear()
        for id_ in self._of_meter:
            meter = self._health.meters[id_]
            if meter.state == "on":
                meter.state, meter.error = "unknown", f"link {self._link} is down"

    def rest_s(self, trial: Trial) -> float:
        """Return how long a target still rests because another one of its meter met silence; 0: it is tried now."""
        rest_s = trial.rest_until_s - self._clock.monotonic()
        if rest_s > 0:
            return rest_s
        trial.wake()
        return 0.0

    def heard(self, trial: Trial) -> None:
        """Note that a target answered, be it a refusal, so the connection is good."""
        self.blame.answered(trial.target)
        if self._accused:
            self._accused.pop(trial, None)
            for other, error in self._accused.items():
                self._judge(other, error)
            self._accused.clear()

    def served(self, trial: Trial, meter: MeterHealth) -> None:
        """Note that a target brought values. meter: its meter's figures."""
        self.heard(trial)
        if self._untold and trial.target.meter in self._untold:
            self._say(trial.target.meter, "on")
        if trial.failing or trial.backoff.failures or meter.state != "on":
            self._recovered(trial)

    def _recovered(self, trial: Trial) -> None:
        """Tell that a target answers again."""
        id_ = trial.target.meter
        meter = self._health.meters[id_]
        if meter.state != "on":
            if meter.state == "off":
                self._say(id_, "on")
            self._recorder.events.note("meter_on", id_)
            meter.state, meter.error = "on", ""
            self._silent.clear()
            for other in self._of_meter[id_]:
                if other is not trial and not other.told:
                    self._compare(other, meter.error)
        if trial.told:
            log.info("channels answer again", link=self._link, meter=id_, period_s=trial.target.period_s)
            self._event_of_channels("channels_on", trial)
        trial.failing = trial.told = False
        trial.backoff.reset()
        if not any(other.failing for other in self._of_meter[id_]):
            meter.error = ""

    def _compare(self, other: Trial, error: str) -> None:
        """Look at another target of a meter that answers again: is it only that one that fails? error: the meter's last."""
        if self.blame.is_proved(other.target):
            self._tell_channels(other, error, "garbage")
        elif other.failing and other.is_main:  # its silence was taken for the meter's, and is its own
            self._tell_channels(other, error, "timeout")
        else:
            other.failing = False
            other.wake()
            other.backoff.reset()

    def failed(self, trial: Trial, error: DeviceError, cost_s: float) -> float:
        """Return the pause a failure has earned; cost_s: what it took of the link's time. Raises LinkDown."""
        id_ = trial.target.meter
        meter = self._health.meters[id_]
        meter.failures[error.reason] += 1
        self._judge(trial, error)
        first = not trial.backoff.failures
        pause_s = trial.backoff.next_s()
        if error.reason != "timeout":
            self._silent.discard(id_)
            if first:  # it did answer: one spoilt answer costs one poll
                return 0.0
        elif meter.state == "off":
            if not first:
                pause_s = max(pause_s, self._fair_s(cost_s))
            self._met_silence(trial, pause_s, error)
        return pause_s

    def _judge(self, trial: Trial, error: DeviceError) -> None:
        """Tell if a failure means that the meter, or this target, is off."""
        id_ = trial.target.meter
        meter = self._health.meters[id_]
        meter.error = str(error)
        silent = error.reason == "timeout"
        was_failing, trial.failing = trial.failing, True
        if meter.state != "off":
            if (silent and trial.is_main and not was_failing) or all(
                other.failing for other in self._of_meter[id_]
            ):
                meter.state = "off"
                self._say(id_, "off", error)
                self._recorder.events.note("meter_off", id_, reason=error.reason, error=str(error))
            elif not trial.told:
                self._tell_channels(trial, str(error), error.reason)
        elif id_ in self._untold:
            self._say(id_, "off", error)

    def cut(self, trial: Trial | None, error: LinkDown, *, hung_s: float = 0.0) -> bool:
        """Take note that the connection broke while a target (None: an errand) was asked; return whether one is to blame.

        hung_s: it did not break, but was given up because nothing had happened for so long.

        At the first time it is asked again at once: nothing is lost. After that it rests. What it is to blame for is
        told when another one answers on the new connection: only then the link is proved to be in order.
        """
        suspect = self.blame.broke(trial.target if trial is not None else None, hung=hung_s > 0)
        if suspect is None or (self.blame.suspects[suspect] == 1 and not self.blame.is_proved(suspect)):
            return False
        culprit, now_s = self.trials[suspect], self._clock.monotonic()
        reason, does = ("timeout", "hangs the link") if hung_s else ("garbage", "breaks the connection")
        self._health.meters[suspect.meter].failures[reason] += 1
        if not self.blame.is_proved(suspect):
            culprit.retry_s = now_s + culprit.backoff.next_s() / 2  # it stays due: at first nothing is lost
            return False
        pause_s = max(culprit.backoff.next_s(), min(hung_s / PROBE_SHARE, PROBE_PAUSE_MAX_S))
        culprit.rest_until_s, culprit.yielded = now_s + pause_s, False
        self._accused[culprit] = DeviceError(f"{does} it shares: {error}", reason=reason)
        return True

    def is_told_off(self, trial: Trial) -> bool:
        """Return whether an event says why a target is not read; what it misses needs no other reason."""
        return trial.told or self._health.meters[trial.target.meter].state == "off"

    def _fair_s(self, cost_s: float) -> float:
        """Return the pause with which probes of all silent meters take their share of the link's time and no more.

        Where the link keeps up with all its due times the share is free, so nobody waits for longer than usual.
        """
        fair_s = cost_s / PROBE_SHARE * max(len(self._silent), 1)
        is_scarce = self._clock.monotonic() < self._scarce_until_s
        return min(fair_s, PROBE_PAUSE_MAX_S if is_scarce else METER_PAUSE_MAX_S)

    def _met_silence(self, trial: Trial, pause_s: float, error: DeviceError) -> None:
        """Let the other targets of a silent meter rest once; raise LinkDown if all meters are silent."""
        self._silent.add(trial.target.meter)
        if len(self._silent) == len(self._of_meter):
            for one in self.trials.values():  # the link's own pause grows instead
                one.backoff.reset()
            count = len(self._silent)
            who = f"none of the {count} meters" if count > 1 else "its only meter never"
            raise AllSilent(f"{who} answers; last: {error}")
        for other in self._of_meter[trial.target.meter]:
            if other is not trial and not other.yielded:
                other.rest_until_s, other.yielded = self._clock.monotonic() + pause_s, True

    def _tell_channels(self, trial: Trial, error: str, reason: str) -> None:
        trial.told = True
        target = trial.target
        self.warn(
            "channels off", target.meter, meter=target.meter, period_s=target.period_s,
            channels=",".join(target.keys), error=error,
        )  # fmt: skip
        self._event_of_channels("channels_off", trial, reason=reason, error=error)

    def _event_of_channels(self, kind: str, trial: Trial, **detail: object) -> None:
        target = trial.target
        self._recorder.events.note(
            kind, target.meter, period_s=target.period_s, channels=list(target.keys), **detail
        )

    def passed(self, trial: Trial, due_ns: int, count: int, *, was_asked: bool = False) -> None:
        """Count due times from `due_ns` on without a sample, unless an event says why.

        was_asked: the first was made use of late; its sample stands for the last due time before it, whichever that is.
        """
        if not count or self.is_told_off(trial):
            return
        self._health.meters[trial.target.meter].skipped += count
        trial.first_ns = trial.first_ns or due_ns
        trial.last_ns = due_ns + (count - 1 + was_asked) * round(trial.target.period_s * NS)
        trial.skipped += count
        if trial.rest_until_s <= self._clock.monotonic():  # not because it rested
            self._scarce_until_s = self._clock.monotonic() + PROBE_PAUSE_MAX_S

    def tell_skips(self, trial: Trial, every_s: float = 0.0, *, step_ns: int = 0) -> None:
        """Journal what was skipped, unless that was done within `every_s`. step_ns: by which the clock was stepped since."""
        now_s = self._clock.monotonic()
        if not trial.skipped or now_s < trial.skips_told_s + every_s:
            return
        self._recorder.events.note_at(
            self._clock.wall_ns() - step_ns,
            "overrun",
            trial.target.meter,
            period_s=trial.target.period_s,
            count=trial.skipped,
            first_ns=trial.first_ns,
            last_ns=trial.last_ns,
        )
        trial.skipped = trial.first_ns = trial.last_ns = 0
        trial.skips_told_s = now_s

    def close(self, step_ns: int = 0) -> None:
        """Journal what is still to be told. step_ns: as in `tell_skips`."""
        for trial in self.trials.values():
            self.tell_skips(trial, step_ns=step_ns)


class AllSilent(LinkDown):
    """The link is open and none of its meters answers: it is opened anew, in case it is to blame."""

    reason = "silent"

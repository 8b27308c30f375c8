"""What was due of each meter, and why what is missing is missing; rules: docs/specs/gap-reasons.md. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.intervals.accounting import OFF, Account, Judge, account_of, windows
from gateway.intervals.facts import Facts
from gateway.intervals.outages import EVER, Turns
from gateway.intervals.plans import Meter, Plan, Target, target_of
from gateway.intervals.timeline import EpochSpan, Timeline
from gateway.model import NS, Event, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.intervals.model import Reason

__all__ = ["Account", "EpochSpan", "Expectation"]

VERSION = 1
REASONS: dict[str, Reason] = {state: reason for reason, states in OFF.items() for state in states}
AHEAD_NS = (
    600 * NS
)  # an overrun tells of a whole rest when it begins (gateway/polling/trial.py: PROBE_PAUSE_MAX_S)
TASK = "link "  # what the name of a link's task begins with


def _whole(value: object) -> int | None:
    """Return a whole number of an event's detail, None if it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class Expectation:
    """What was due, and why what is missing is missing; fed in journal order.

    last_resorts: due times accounted for without anything that explains them. is_away: whether a meter is away for
    verification at a wall time, as the inventory says; None: there is none.
    """

    def __init__(self) -> None:
        """Nothing is known."""
        self.last_resorts = 0
        self.is_away: Callable[[str, int], bool] | None = None
        self._line = Timeline()
        self._facts = Facts()
        self._own: dict[str, Meter] = {}
        self._targets: dict[tuple[str, float], Target] = {}
        self._of_meter: dict[str, list[Target]] = {}

    def note(self, record: Event | Gap) -> None:
        """Take an event or a gap record; kinds that explain nothing are passed over."""
        line = self._line
        if isinstance(record, Gap):
            self._facts.lose(max(record.time_ns - line.shift, line.told), line.shift, record)
        elif record.kind == "start":
            self._start(record)
        elif record.kind == "clock_step":
            self._step(record)
        elif (
            record.kind != "journal_damaged"
        ):  # told before the start it was found at: not the last sign of a life
            at = line.event(record.time_ns)
            take = HANDLERS.get(record.kind)
            if take is not None:
                take(self, at, record)

    def frame(self, meter: str, period_s: float, epoch: int, time_ns: int) -> None:
        """Take note that a poll was answered."""
        line = self._line
        if epoch != line.epoch and not self._enter(meter, period_s, epoch, time_ns):
            return
        at = time_ns - line.shift
        if at > line.newest:  # noqa: PLR1730 - twice as fast
            line.newest = at
        target = self._targets.get((meter, period_s))
        if target is None:
            return
        target.last = at
        slot = time_ns // target.period_ns
        if target.is_fresh:
            target.take_fresh(slot, line.stretches[-1])
        runs = target.runs
        until = runs[-1]
        if slot == until:
            runs[-1] = slot + 1
        elif slot > until:
            runs += (slot, slot + 1)
        elif slot + 1 != until:
            target.take_late(runs, slot)
        own = target.own
        if own.waits:
            own.turn(at, "on")

    def _enter(self, meter: str, period_s: float, epoch: int, time_ns: int) -> bool:
        """Take a frame of another epoch than the one in force; return whether that is in force now."""
        line = self._line
        if epoch < line.epoch:
            target = self._targets.get((meter, period_s))
            if target is not None and line.find(epoch) is not None:
                target.take_late(target.before.setdefault(epoch, [0, 0]), time_ns // target.period_ns)
            return False
        before = line.current
        if line.enter(epoch, time_ns):
            self._begin_epoch(before)
        return True

    def _begin_epoch(self, before: int) -> None:
        for target in self._targets.values():
            target.step(before)

    def _start(self, event: Event) -> None:
        """Begin a new life; one that did not end by a stop was killed when it was last heard of."""
        facts, line, epoch = self._facts, self._line, self._line.current
        if line.stretches and not facts.is_down:
            kill = line.newest
            facts.kills.append(kill)
            facts.stop(kill)
            self._tell(kill, "gateway_down", self._planned())
        at = line.start(event.time_ns, _whole(event.detail.get("epoch")))
        if epoch not in (-1, line.current):
            self._begin_epoch(epoch)
        facts.start(at)
        for turns in facts.links.values():
            turns.turn(at, "down")
        for own in self._own.values():
            own.turn(at, "on")
            for turns in own.absent.values():
                turns.turn(at, "")
        for target in self._targets.values():
            target.off.turn(at, "")
            target.end_plan(at)
            target.end_overruns(at)

    def _step(self, event: Event) -> None:
        step_s, before, newest = event.detail.get("step_s", 0), self._line.current, self._line.newest
        step_ns = round(step_s * NS) if isinstance(step_s, int | float) else 0
        at = self._line.step(event.time_ns, step_ns, _whole(event.detail.get("epoch")))
        if at < newest:  # told and read after the clock was set and before anybody noticed
            self._facts.clamp(at)
            for own in self._own.values():
                for turns in own.all_turns():
                    turns.clamp(at)
            for target in self._targets.values():
                target.clamp(at)
        for target in self._targets.values():
            target.end_overruns(at)
        if before >= 0:
            self._begin_epoch(before)

    def _planned(self, link: str = "") -> Iterator[Target]:
        """Yield the targets with a plan in force, of a link if one is named."""
        for target in self._targets.values():
            plan = target.plan
            if plan is not None and link in ("", plan.link):
                yield target

    def _tell(self, at: int, reason: Reason, targets: Iterator[Target] | list[Target]) -> None:
        shift = self._line.shift
        for target in targets:
            target.tell(at, shift, reason)

    def _stop(self, at: int, event: Event) -> None:
        self._tell(at, "gateway_down", self._planned())
        self._facts.stop(at)

    def _plan(self, at: int, event: Event) -> None:
        detail, meter = event.detail, event.subject
        period_s, keys, reports = detail.get("period_s"), detail.get("channels"), detail.get("reports")
        if not isinstance(period_s, int | float) or period_s <= 0 or not isinstance(keys, list):
            return
        link = str(detail.get("link", ""))
        link_turns = self._facts.links.setdefault(link, Turns([at], ["down"]))
        own = self._own.get(meter)
        if own is None:
            own = self._own[meter] = Meter()
        if link_turns.now == "up" and not any(other.plan for other in self._of_meter.get(meter, ())):
            own.turn(at, "wait")  # nobody has asked it since; one that comes back like one that is new
        target = self._targets.get((meter, period_s))
        if target is None:
            target = self._targets[meter, period_s] = Target(meter, period_s, own, at)
            self._of_meter.setdefault(meter, []).append(target)
        kinds = None
        if isinstance(reports, dict):
            kinds = {
                str(key): [str(row.get("unit", "")), str(row.get("kind", ""))] for key, row in reports.items()
            }
        channels = [str(key) for key in keys]
        kind = str(detail.get("energy_kind", ""))
        plan = Plan(at, None, link, detail.get("enabled") is not False, channels, kinds, kind)
        now = target.plan
        if now is None or now.row()[2:] != plan.row()[2:]:
            target.begin_plan(plan)

    def _link_up(self, at: int, event: Event) -> None:
        self._facts.links.setdefault(event.subject, Turns()).turn(at, "up")
        for target in self._planned(event.subject):
            if target.own.turns.now != "off":
                target.own.turn(at, "wait")

    def _link_down(self, at: int, event: Event) -> None:
        turns = self._facts.links.setdefault(event.subject, Turns())
        if turns.now == "crash":
            return
        if event.detail.get("reason") == "silent":
            turns.turn(at, "up")
        elif turns.now != "down":
            self._tell(at, "link_down", self._planned(event.subject))
            turns.turn(at, "down")

    def _crash(self, at: int, event: Event) -> None:
        if event.subject.startswith(TASK):
            link = event.subject[len(TASK) :]
            self._tell(at, "gateway_down", self._planned(link))
            self._facts.links.setdefault(link, Turns()).turn(at, "crash")

    def _meter_off(self, at: int, event: Event) -> None:
        own = self._own.get(event.subject)
        if own is not None:
            self._tell(at, "meter_off", self._of_meter[event.subject])
            own.turn(at, "off")

    def _meter_on(self, at: int, event: Event) -> None:
        own = self._own.get(event.subject)
        if own is not None:
            own.turn(at, "on")

    def _target(self, event: Event) -> Target | None:
        period_s = event.detail.get("period_s")
        return self._targets.get((event.subject, period_s)) if isinstance(period_s, int | float) else None

    def _channels_off(self, at: int, event: Event) -> None:
        target = self._target(event)
        if target is not None:
            reason = str(event.detail.get("reason"))
            reason = reason if reason in REASONS else "timeout"
            target.tell(at, self._line.shift, REASONS[reason])
            target.off.turn(at, reason)

    def _channels_on(self, at: int, event: Event) -> None:
        target = self._target(event)
        if target is not None:
            target.off.turn(at, "")

    def _absence(self, at: int, event: Event) -> None:
        own, keys = self._own.get(event.subject), event.detail.get("channels")
        if own is None or not isinstance(keys, list):
            return
        is_absent = event.kind == "channel_absent"
        for key in map(str, keys):
            own.absent.setdefault(key, Turns()).turn(at, "absent" if is_absent else "")
        if is_absent:
            for target in self._of_meter[event.subject]:
                read = {key for plan in target.plans for key in plan.keys}
                named = [key for key in map(str, keys) if key in read]
                if named:
                    target.tell(at, self._line.shift, "rejected", named)

    def _overrun(self, at: int, event: Event) -> None:
        target = self._target(event)
        first_ns, last_ns = _whole(event.detail.get("first_ns")), _whole(event.detail.get("last_ns"))
        if target is not None and first_ns is not None and last_ns is not None:
            ahead_ns = AHEAD_NS + target.period_ns
            first, last = (self._line.line_of(one, ahead_ns) for one in (first_ns, last_ns))
            if first <= last:
                target.overruns.append([first, last])

    def _maintenance_begin(self, at: int, event: Event) -> None:
        until_ns = _whole(event.detail.get("until_ns"))
        removed = event.detail.get("removed") is True
        self._facts.begin_work(at, event.subject, EVER if until_ns is None else until_ns, removed)

    def _maintenance_end(self, at: int, event: Event) -> None:
        self._facts.end_work(at, event.subject)

    def meters(self) -> list[str]:
        """Return those with a plan in force, or whose plan ended since the last `forget`."""
        return [meter for meter, targets in self._of_meter.items() if any(target.plans for target in targets)]

    def epochs(self) -> list[EpochSpan]:
        """Return the epochs not forgotten, in order, the one in force last."""
        return self._line.spans()

    def reports(
        self, meter: str, epoch: int, start_ns: int, end_ns: int
    ) -> Mapping[str, tuple[str, str, float, str]]:
        """Return reported channel -> (unit, kind, period_s, energy_kind).

        As the newest plans tell that were in force at some time of start_ns <= time < end_ns of an epoch.
        """
        stretch = self._line.find(epoch)
        if stretch is None:
            return {}
        first = max(start_ns - stretch.shift, stretch.begin)
        until = min(end_ns - stretch.shift, EVER if stretch.end is None else stretch.end)
        plans = [
            (plan, target)
            for target in self._of_meter.get(meter, ())
            for plan in target.plans
            if plan.begin < until and plan.span[1] > first
        ]
        plans.sort(key=lambda pair: (pair[0].end is None, pair[0].begin))
        return {
            key: (unit, kind, target.period_s, plan.energy_kind)
            for plan, target in plans
            for key, (unit, kind) in (plan.reports or {}).items()
        }

    def account(
        self, meter: str, epoch: int, start_ns: int, end_ns: int, now_ns: int
    ) -> dict[float, Account]:
        """Return by period what was due in start_ns <= due < end_ns of an epoch, and until now_ns in the one in force.

        Periods of which nothing was due are left out. now_ns: wall time up to which the journal was read.
        """
        line, found = self._line, {}
        stretch = line.find(epoch)
        if stretch is None:
            return {}
        now = now_ns - line.shift
        for target in self._of_meter.get(meter, ()):
            asked = windows(target, stretch, start_ns, end_ns, now)
            if asked:
                judge = Judge(target, self._facts, stretch, now, self.is_away)
                found[target.period_s] = account_of(target, judge, asked, line.current)
                self.last_resorts += judge.last_resorts
        return found

    def forget(self, before_ns: int) -> None:
        """Forget what ended before that time of the epoch in force; it is not asked for any more."""
        line = self._line
        before = before_ns - line.shift
        gone = line.forget(before)
        for target in self._targets.values():
            target.forget(before, before_ns // target.period_ns, gone)
        self._targets = {key: target for key, target in self._targets.items() if target.plans}
        self._of_meter = {}
        for target in self._targets.values():
            self._of_meter.setdefault(target.meter, []).append(target)
        self._own = {meter: self._own[meter] for meter in self._of_meter}
        for own in self._own.values():
            own.forget(before)
        links = {plan.link for target in self._targets.values() for plan in target.plans}
        oldest_ns = min((before + stretch.shift for stretch in line.stretches), default=before_ns)
        self._facts.forget(before, oldest_ns, links)

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain JSON values; `restore` makes an equal one of it."""
        return {
            "version": VERSION,
            "last_resorts": self.last_resorts,
            "line": self._line.snapshot(),
            "facts": self._facts.snapshot(),
            "meters": {meter: own.row() for meter, own in self._own.items()},
            "targets": [target.row() for target in self._targets.values()],
        }

    @classmethod
    def restore(cls, body: Mapping[str, Any]) -> Expectation:
        """Return the expectation a snapshot was taken of. Raises ValueError on one of another version."""
        if body.get("version") != VERSION:
            raise ValueError(f"expectation of version {body.get('version')}, this one knows {VERSION}")
        found = cls()
        found.last_resorts = body["last_resorts"]
        found._line = Timeline.restore(body["line"])
        found._facts = Facts.restore(body["facts"])
        found._own = {meter: Meter.restore(row) for meter, row in body["meters"].items()}
        for row in body["targets"]:
            target = target_of(row, found._own)
            found._targets[target.meter, target.period_s] = target
            found._of_meter.setdefault(target.meter, []).append(target)
        return found


HANDLERS: dict[str, Callable[[Expectation, int, Event], None]] = {
    "stop": Expectation._stop,
    "plan": Expectation._plan,
    "link_up": Expectation._link_up,
    "link_down": Expectation._link_down,
    "crash": Expectation._crash,
    "meter_off": Expectation._meter_off,
    "meter_on": Expectation._meter_on,
    "channels_off": Expectation._channels_off,
    "channels_on": Expectation._channels_on,
    "channel_absent": Expectation._absence,
    "channel_found": Expectation._absence,
    "overrun": Expectation._overrun,
    "maintenance_begin": Expectation._maintenance_begin,
    "maintenance_end": Expectation._maintenance_end,
}

"""Which due times have a frame, and the reason of each that has none: the table of docs/specs/gap-reasons.md. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from gateway.intervals.outages import EVER, Span, count, in_slots, within, without
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gateway.intervals.facts import Facts
    from gateway.intervals.model import Reason
    from gateway.intervals.plans import Plan, Target
    from gateway.intervals.timeline import Stretch

KILLED_NS = 60 * NS  # an overrun is told once a minute at most; Source: docs/specs/journal.md, Events
STEPPED_NS = (
    10 * NS
)  # a link finds out about a step of the clock within (gateway/polling/poll.py: SLEEP_MAX_S)
UNSEEN_NS = 2 * NS  # and the gateway within (gateway/polling/recorder.py, watch_clock), with a margin
UNTOLD_NS = (
    75 * NS
)  # an overrun or hang is told this long after, and three periods (gateway/polling/watch.py: HANG_MIN_S, LOOK_S)
OFF: Mapping[Reason, tuple[str, ...]] = {
    "meter_off": ("timeout", "garbage"),
    "rejected": ("exception", "refused"),
}

Missing = dict["Reason", int]
Dues = tuple[int, ...] | range
Layer = tuple["Reason", list[Span]]


class Account(NamedTuple):
    """What was due of one period of one meter in a stretch of one epoch.

    due: due times, ns. there: how many of them have a frame. missing: those without, by reason; sums to len(due) - there.
    channels: only those that fared otherwise than the period: key -> (due times, missing). named: all that were due.
    energy_kind: of the newest plan.
    """

    due: Dues
    there: int
    missing: Mapping[Reason, int]
    channels: Mapping[str, tuple[Dues, Mapping[Reason, int]]]
    named: frozenset[str] = frozenset()
    energy_kind: str = ""


class Window(NamedTuple):
    """What is asked for: slots [first, until) of one target, as far as one plan was in force."""

    plan: Plan
    first: int
    until: int


class Judge:
    """Explains the missing due times of one target in one epoch."""

    def __init__(
        self,
        target: Target,
        facts: Facts,
        stretch: Stretch,
        now: int,
        is_away: Callable[[str, int], bool] | None,
    ) -> None:
        """now: line up to which the journal was read. is_away: whether a meter is away for verification at a wall time."""
        self._target, self._facts, self._stretch, self._now, self._is_away = (
            target,
            facts,
            stretch,
            now,
            is_away,
        )
        self.epoch, self.last_resorts = stretch.epoch, 0

    def _slots(self, spans: Iterable[Span]) -> list[Span]:
        return in_slots(spans, self._stretch.shift, self._target.period_ns)

    def _declared(self, plan: Plan, missing: Sequence[Span]) -> Iterator[Layer]:
        """Yield what was declared or lost, in order of the table."""
        target, facts, shift = self._target, self._facts, self._stretch.shift
        if not plan.enabled:
            yield "config_off", [(0, EVER)]
        if facts.works:
            spans = facts.work_spans((target.meter,), shift, removed=True)
            yield "removed_for_verification", self._slots(spans)
        if self._is_away is not None:
            dues = (slot for first, until in missing for slot in range(first, until))
            away = [slot for slot in dues if self._is_away(target.meter, slot * target.period_ns)]
            yield "removed_for_verification", [(slot, slot + 1) for slot in away]
        if facts.works:
            spans = facts.work_spans((target.meter, plan.link), shift, removed=False)
            yield "maintenance", self._slots(spans)
        if facts.losses:
            yield "journal_dropped", self._slots(facts.loss_spans(target.meter, shift, target.period_ns))

    def _open(self, plan: Plan) -> Iterator[Layer]:
        """Yield the intervals that were open, in order of the table, as far as they hold for every channel."""
        target, facts = self._target, self._facts
        yield "gateway_down", self._slots(facts.down_spans())
        link = facts.links.get(plan.link)
        if link is not None:
            yield "gateway_down", self._slots(link.spans("crash"))
            yield "link_down", self._slots(link.spans("down"))
        yield "link_down", self._slots((first, last + 1) for first, last in target.overruns)
        yield "meter_off", self._slots(target.own.turns.spans("off", "wait"))

    def _channels_off(self) -> Iterator[Layer]:
        for reason, states in OFF.items():
            yield reason, self._slots(self._target.off.spans(*states))

    def _told(self, key: str) -> Iterator[Layer]:
        """Yield what events say of due times before them, the earliest first. key: of a channel, "" for all."""
        told = self._target.told
        if key:
            for first, line, reason, keys in told:
                if keys is None or key in keys:
                    yield reason, self._slots([(first, line)])
            return
        by_reason: dict[Reason, list[Span]] = {}  # they never overlap, so any order will do
        for first, line, reason, keys in told:
            if keys is None:
                by_reason.setdefault(reason, []).append((first, line))
        for reason, spans in by_reason.items():
            yield reason, self._slots(spans)

    def _untold(self) -> Iterator[Layer]:
        """Yield what holds where the journal says nothing (yet)."""
        yield "gateway_down", self._slots((kill - KILLED_NS, kill + 1) for kill in self._facts.kills)
        begin, end = self._stretch.begin, self._stretch.end
        yield "gateway_down", self._slots([(begin, begin + STEPPED_NS)])
        if end is not None:
            yield "gateway_down", self._slots([(end - UNSEEN_NS, end)])
        if not self._facts.is_down:
            yield "link_down", self._slots([(self._now - UNTOLD_NS - 3 * self._target.period_ns, EVER)])

    def absent(self, window: Window) -> set[str]:
        """Return the channels of which the meter may have had no value in a window, or was found to have none after it."""
        turns = self._target.own.absent
        told = {key for row in self._target.told if row[3] for key in row[3]}
        return {key for key in window.plan.named if key in turns or key in told}

    def early(self) -> list[tuple[int, list[str]]]:
        """Return slots whose frame was taken under the plan that came after them, and the channels it reports."""
        begin, shift, period_ns = self._stretch.begin, self._stretch.shift, self._target.period_ns
        return [((line + shift) // period_ns, keys) for line, keys in self._target.early if line >= begin]

    def reasons(self, plan: Plan, missing: list[Span], key: str = "") -> Missing:
        """Return why due times under a plan have no frame. key: of a channel that is told of on its own; "": all others."""
        found: Missing = Counter()
        if not missing:
            return found
        layers: list[Iterator[Layer]] = [self._declared(plan, missing), self._open(plan)]
        if key in self._target.own.absent:
            layers.append(iter([("rejected", self._slots(self._target.own.absent[key].spans("absent")))]))
        for layer in (*layers, self._channels_off(), self._told(key), self._untold()):
            for reason, slots in layer:
                rest = without(missing, slots)
                taken = count(missing) - count(rest)
                if taken:
                    found[reason] += taken
                    missing = rest
                if not rest:
                    return found
        if not key:
            self.last_resorts += count(missing)
        found["gateway_down"] += count(missing)
        return found


def windows(target: Target, stretch: Stretch, start_ns: int, end_ns: int, now: int) -> list[Window]:
    """Return the plans of a target with the due times of an epoch that fell to them in [start_ns, end_ns)."""
    period_ns, shift = target.period_ns, stretch.shift
    until = now + 1 if stretch.end is None else stretch.end
    asked = -(-start_ns // period_ns), -(-end_ns // period_ns)
    found = []
    for plan in target.plans:
        begin, end = plan.span
        (held,) = in_slots([(max(begin, stretch.begin), min(end, until))], shift, period_ns) or [(0, 0)]
        found += [Window(plan, *part) for part in within([held], *asked)]
    return found


def account_of(target: Target, judge: Judge, asked: Sequence[Window], current: int) -> Account:
    """Return the account of one target. current: the epoch in force."""
    received, missing, parts = 0, Counter[str](), []
    for window in asked:
        here = target.there(judge.epoch, current, window.first, window.until)
        gone = without([(window.first, window.until)], here)
        received += count(here)
        reasons = judge.reasons(window.plan, gone)
        missing.update(reasons)
        parts.append((window, gone, reasons))
    named = frozenset[str]().union(*(window.plan.named for window in asked))
    channels = _channels(target, judge, parts, named)
    due, energy_kind = _due(asked, target.period_ns), asked[-1].plan.energy_kind
    return Account(due, received, dict(missing), channels, named, energy_kind)  # type: ignore[arg-type]


def _due(windows: Sequence[Window], period_ns: int) -> Dues:
    """Return the due times of windows of one target, ns."""
    if all(a.until == b.first for a, b in pairwise(windows)):
        return range(windows[0].first * period_ns, windows[-1].until * period_ns, period_ns)
    return tuple(slot * period_ns for window in windows for slot in range(window.first, window.until))


def _channels(
    target: Target,
    judge: Judge,
    parts: list[tuple[Window, list[Span], Missing]],
    named: frozenset[str],
) -> dict[str, tuple[Dues, Mapping[Reason, int]]]:
    """Return channel -> (due, missing) of those that were not in every plan, that a frame left out, or the meter had no value of."""
    special = {key for window, gone, _ in parts if gone for key in judge.absent(window)}
    if len(parts) > 1:
        special |= {key for key in named if any(key not in window.plan.named for window, _, _ in parts)}
    early = judge.early() if target.early else []
    special |= {key for _, keys in early for key in named.difference(keys)}
    found: dict[str, tuple[Dues, Mapping[Reason, int]]] = {}
    for key in special:
        due, missing = [], Counter[str]()
        for window, gone, reasons in parts:
            if key not in window.plan.named:
                continue
            due.append(window)
            missing.update(judge.reasons(window.plan, gone, key) if gone else reasons)
            left_out = [slot for slot, keys in early if key not in keys]
            missing["config_off"] += sum(window.first <= slot < window.until for slot in left_out)
        gaps = {reason: n for reason, n in missing.items() if n}
        found[key] = _due(due, target.period_ns), gaps  # type: ignore[assignment]
    return found

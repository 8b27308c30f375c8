"""What one period of a meter is read for, which of its due times have a frame, and what was told of it. Pure.

Times are on the line (`timeline`); slots are due times as multiples of the period, by the wall clock.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from gateway.intervals.outages import EVER, Span, Turns, within
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.intervals.timeline import Stretch


class Plan:
    """A plan in force from `begin` until `end` (None: still).

    reports: reported channel -> (unit, kind), None: nobody said. named: those whose due times count, all it reads if nobody said.
    """

    __slots__ = ("begin", "enabled", "end", "energy_kind", "keys", "link", "named", "reports")

    def __init__(
        self,
        begin: int,
        end: int | None,
        link: str,
        enabled: bool,
        keys: list[str],
        reports: Mapping[str, list[str]] | None,
        energy_kind: str,
    ) -> None:
        """keys: channels it reads."""
        self.begin, self.end, self.link, self.enabled = begin, end, link, enabled
        self.keys, self.reports, self.energy_kind = keys, reports, energy_kind
        self.named = frozenset(keys if reports is None else reports)

    @property
    def span(self) -> Span:
        """Return when it is in force."""
        return self.begin, EVER if self.end is None else self.end

    def row(self) -> list[Any]:
        """Return it as plain JSON values, in the constructor's order."""
        return [getattr(self, name) for name in ("begin", "end", "link", "enabled")] + [
            self.keys,
            self.reports,
            self.energy_kind,
        ]


class Meter:
    """How one meter was: `on`, `off`, or `wait` (nobody has heard of it since its link came up).

    absent: channel -> whether the meter has no such value. waits: as `turns`, for the hot path.
    """

    __slots__ = ("absent", "turns", "waits")

    def __init__(self) -> None:
        """Nothing is known against it."""
        self.turns = Turns()
        self.absent: dict[str, Turns] = {}
        self.waits = False

    def turn(self, line: int, state: str) -> None:
        """Take a new state."""
        self.turns.turn(line, state)
        self.waits = self.turns.now == "wait"

    def all_turns(self) -> list[Turns]:
        """Return every state that is kept."""
        return [self.turns, *self.absent.values()]

    def forget(self, before: int) -> None:
        """Forget what ended before, and channels that have had their values since."""
        for turns in self.all_turns():
            turns.forget(before)
        self.absent = {key: turns for key, turns in self.absent.items() if turns.states not in ([""], [])}

    def row(self) -> list[Any]:
        """Return it as plain JSON values; `restore` makes an equal one of it."""
        return [self.turns.row(), {key: turns.row() for key, turns in self.absent.items()}]

    @classmethod
    def restore(cls, row: list[Any]) -> Meter:
        """Return the one a row stands for."""
        found = cls()
        found.turns = Turns(*row[0])
        found.absent = {key: Turns(*turns) for key, turns in row[1].items()}
        found.waits = found.turns.now == "wait"
        return found


class Target:
    """One period of one meter.

    runs: slots with a frame in the epoch in force, as [first, until, first, until, ...]; it begins with an empty run.
    last: line of the newest frame, or from just before the first plan. before: epoch -> its runs.
    told: [from, until, reason, channel keys or None]: an event at `until` speaks for due times without a frame before it.
    is_fresh: no due time of the plan in force has a frame yet. early: [due time, channels of its frame], of due times before
    a plan whose first frame came under it.
    """

    __slots__ = (
        "before", "early", "is_fresh", "last", "meter", "off", "overruns", "own", "period_ns", "period_s", "plans",
        "runs", "told",
    )  # fmt: skip

    def __init__(self, meter: str, period_s: float, own: Meter, line: int) -> None:
        """own: its meter's state. line: of its first plan."""
        self.meter, self.period_s, self.own = meter, period_s, own
        self.period_ns = round(period_s * NS)
        self.plans: list[Plan] = []
        self.runs = [0, 0]
        self.before: dict[int, list[int]] = {}
        self.last = line - 1
        self.off = Turns()
        self.overruns: list[list[int]] = []
        self.told: list[list[Any]] = []
        self.is_fresh = False
        self.early: list[list[Any]] = []

    @property
    def plan(self) -> Plan | None:
        """Return the plan in force."""
        return self.plans[-1] if self.plans and self.plans[-1].end is None else None

    def begin_plan(self, plan: Plan) -> None:
        """Let a plan be in force in place of the one before."""
        self.end_plan(plan.begin)
        self.plans.append(plan)
        self.is_fresh = True

    def end_plan(self, line: int) -> None:
        """End the plan in force."""
        plan, self.is_fresh = self.plan, False
        if plan is not None:
            plan.end = max(line, plan.begin)
            if plan.end == plan.begin:
                self.plans.pop()

    def end_overruns(self, line: int) -> None:
        """Let none that was told go on: whoever is read from then on has another timetable."""
        for row in self.overruns:
            row[1] = min(row[1], line - 1)

    def take_fresh(self, slot: int, stretch: Stretch) -> None:
        """Take the first frames under a new plan: one may stand for a due time of the plan before, which read other channels."""
        plan, line = self.plan, slot * self.period_ns - stretch.shift
        if plan is None or line >= plan.begin:
            self.is_fresh = False
        elif (
            line >= stretch.begin and self.runs[-1] <= slot and not any(row[0] == line for row in self.early)
        ):
            self.early.append([line, sorted(plan.named)])

    def take_late(self, runs: list[int], slot: int) -> None:
        """Put a slot into runs it does not extend at the end."""
        i = bisect_right(runs, slot)  # odd: inside a run, or at its end if that equals
        if i & 1:
            return
        starts_next = i < len(runs) and runs[i] == slot + 1
        ends_last = runs[i - 1] == slot and i > 2
        if starts_next and ends_last:
            del runs[i - 1 : i + 1]
        elif starts_next:
            runs[i] = slot
        elif ends_last:
            runs[i - 1] = slot + 1
        else:
            runs[i:i] = (slot, slot + 1)

    def there(self, epoch: int, current: int, first: int, until: int) -> list[Span]:
        """Return the slots with a frame in [first, until) of an epoch. current: the one in force."""
        runs = self.runs if epoch == current else self.before.get(epoch, [])
        begin = max(bisect_right(runs, first) - 1, 0) & ~1
        found: list[Span] = []
        for i in range(begin, len(runs), 2):
            if runs[i] >= until:
                break
            found.append((runs[i], runs[i + 1]))
        return within(found, first, until)

    def tell(self, line: int, shift: int, reason: str, keys: list[str] | None = None) -> None:
        """Take note of an event that says why due times before it have no frame. shift: of the epoch in force."""
        first = self.last + 1
        if keys is None:
            for row in reversed(self.told):
                if row[3] is None:
                    first = max(first, row[1])
                    break
        period_ns = self.period_ns
        if first < line and (first + shift - 1) // period_ns != (line + shift - 1) // period_ns:
            self.told.append([first, line, reason, keys])

    def step(self, epoch: int) -> None:
        """Begin a new epoch after `epoch`."""
        if len(self.runs) > 2:
            self.before[epoch] = self.runs
        self.runs = [0, 0]

    def clamp(self, line: int) -> None:
        """Let nothing be later than `line`: the clock was stepped there."""
        self.last = min(self.last, line)
        self.off.clamp(line)
        for plan in self.plans:
            plan.begin = min(plan.begin, line)
            plan.end = None if plan.end is None else min(plan.end, line)
        for row in self.overruns:
            row[:] = [min(time, line) for time in row]
        self.early = [row for row in self.early if row[0] < line]
        for told in self.told:
            told[:2] = [min(time, line) for time in told[:2]]

    def forget(self, before: int, slot: int, epochs: list[int]) -> None:
        """Forget what ended before a line and, in the epoch in force, before a slot; of epochs that are gone everything."""
        for epoch in epochs:
            self.before.pop(epoch, None)
        keep = 2
        while keep < len(self.runs) and self.runs[keep + 1] <= slot:
            keep += 2
        del self.runs[2:keep]
        self.off.forget(before)
        self.plans = [plan for plan in self.plans if plan.end is None or plan.end > before]
        self.early = [row for row in self.early if row[0] >= before]
        self.overruns = [row for row in self.overruns if row[1] >= before]
        self.told = [row for row in self.told if row[1] > before]

    def row(self) -> list[Any]:
        """Return it as plain JSON values; `target_of` gives an equal one back."""
        plans = [plan.row() for plan in self.plans]
        older = [[epoch, runs.copy()] for epoch, runs in self.before.items()]
        overruns, told = [row.copy() for row in self.overruns], [row.copy() for row in self.told]
        return [
            self.meter, self.period_s, self.last, plans, self.runs.copy(), older, self.off.row(), overruns, told,
            self.is_fresh, [row.copy() for row in self.early],
        ]  # fmt: skip


def target_of(row: list[Any], meters: Mapping[str, Meter]) -> Target:
    """Return the target a row stands for. Rows are not shared with it."""
    meter, period_s, last, plans, runs, older, off, overruns, told, is_fresh, early = [*row, False, []][:11]
    found = Target(meter, period_s, meters[meter], 0)
    found.last = last
    found.plans = [Plan(*plan) for plan in plans]
    found.runs = list(runs)
    found.before = {epoch: list(runs) for epoch, runs in older}
    found.off = Turns(*off)
    found.overruns = [list(row) for row in overruns]
    found.told = [list(row) for row in told]
    found.is_fresh, found.early = is_fresh, [list(row) for row in early]
    return found

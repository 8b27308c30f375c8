"""Intervals the naive way: every frame is kept in a list, and each interval is worked out of all of them.

The rules are those of docs/specs/intervals.md, once more, without a thought for speed; only what was due is asked of an
`Expectation` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any

from gateway.counters import delta
from gateway.intervals.expected import Account, Expectation
from gateway.intervals.model import NOT_GOOD, Boundary, ChannelInterval, Interval
from gateway.model import NS, Event, Flag, Frame, Gap
from tests.unit.engine_rig import IN, OUT, POWER, T0

if TYPE_CHECKING:
    from gateway.intervals.grid import Grid

Record = Frame | Event | Gap
KEPT = 4
Edge = tuple[Boundary, str]  # a reading near a boundary and its coefficient
UNITS = {IN: "kWh", OUT: "kWh", POWER: "kW"}


@dataclass(frozen=True)
class Idle:
    """Nothing is left to read, and the wall clock shows this."""

    now_ns: int


class Naive:
    """What the engine is compared with."""

    def __init__(self, grid: Grid, grace_ns: int) -> None:
        self.length, self.tolerance, self.grace = grid.length_ns, grid.tolerance_ns, grace_ns
        self.expectation = Expectation()
        self.frames: dict[tuple[str, int], list[Frame]] = {}
        self.swaps: list[tuple[Event, int]] = []
        self.epoch, self.progress = -1, 0
        self.next_start: int | None = None
        self.closed: list[tuple[int, int]] = []  # (epoch, start), oldest first, all there ever were
        self.begins: dict[int, int] = {}
        self.revs: dict[tuple[str, int, int], int] = {}
        self.dirty: dict[tuple[str, int, int], str] = {}
        self.dirty_since = 0
        self.out: list[Interval] = []

    def run(self, steps: list[Record | Idle]) -> list[Interval]:
        for step in steps:
            self._settle()
            if isinstance(step, Idle):
                if self.next_start is not None:
                    self.progress = max(self.progress, step.now_ns)
                self._settle()
            elif isinstance(step, Frame):
                self._frame(step)
            else:
                self._note(step)
        self._settle()
        return self.out

    def start_of(self, time_ns: int) -> int:
        return T0 + (time_ns - T0) // self.length * self.length

    # taking

    def _frame(self, step: Frame) -> None:
        meter, period_s = step.layout.meter, step.layout.period_s
        self.expectation.frame(meter, period_s, step.epoch, step.time_ns)
        self._epoch(step.time_ns)
        near = [
            (start_ns, at, key)
            for epoch, start_ns in self._kept()
            for at in (start_ns, start_ns + self.length)
            for key in (IN, OUT)
            if epoch == step.epoch and abs(step.time_ns - at) <= self.tolerance
        ]
        before = [self._edge(meter, step.epoch, at, key) for _, at, key in near]
        self.frames.setdefault((meter, step.epoch), []).append(step)
        after = [self._edge(meter, step.epoch, at, key) for _, at, key in near]
        touched = {row[0] for row, old, new in zip(near, before, after, strict=True) if old != new}
        for epoch, start_ns in self._kept():
            belongs = slot_of(step) >= self.begins[step.epoch] and self.start_of(slot_of(step)) == start_ns
            if epoch == step.epoch and (start_ns in touched or belongs):
                self._mark(meter, epoch, start_ns, "late")
        if step.epoch == self.epoch:
            self.progress = max(self.progress, step.time_ns)

    def _note(self, step: Event | Gap) -> None:
        self.expectation.note(step)
        self._epoch(step.time_ns)
        self.progress = max(self.progress, step.time_ns)
        if isinstance(step, Event) and step.kind == "meter_swap":
            self._swap(step)

    def _swap(self, step: Event) -> None:
        at = step.detail["effective_ns"]
        assert isinstance(at, int)
        epoch = max((e for e, begin in self.begins.items() if begin <= at), default=min(self.begins))
        if "undoes" in step.detail:
            self.swaps = [row for row in self.swaps if row[0].detail["effective_ns"] != at]
        else:
            self.swaps.append((step, epoch))
        for key in self._kept():
            if key[0] != epoch:
                continue
            ends = [
                (self._edge(step.subject, key[0], key[1], name), self._edge(step.subject, key[0], key[1] + self.length, name))
                for name in (IN, OUT)
            ]  # fmt: skip
            parts = any(a and b and a[0].time_ns < at <= b[0].time_ns for a, b in ends)
            if key[1] <= at < key[1] + self.length or parts:
                self._mark(step.subject, *key, "meter_swap")

    def _epoch(self, time_ns: int) -> None:
        spans = self.expectation.epochs()
        if not spans or spans[-1].epoch == self.epoch:
            return
        ended = [span for span in spans if span.epoch == self.epoch]
        if ended:
            assert ended[0].end_ns is not None
            assert self.next_start is not None
            while self.next_start < ended[0].end_ns:
                self._close(time_ns)
            self._remake(time_ns)
        self.epoch, self.next_start = spans[-1].epoch, self.start_of(spans[-1].start_ns)
        self.begins[self.epoch] = spans[-1].start_ns
        self.progress = max(time_ns, spans[-1].start_ns)

    def _kept(self) -> list[tuple[int, int]]:
        return self.closed[-KEPT:]

    def _mark(self, meter: str, epoch: int, start_ns: int, cause: str) -> None:
        if not self.dirty:
            self.dirty_since = self.progress
        key = meter, epoch, start_ns
        self.dirty[key] = cause if cause != "late" else self.dirty.get(key, cause)

    # closing

    def _settle(self) -> None:
        if self.dirty and self.progress >= self.dirty_since + self.grace:
            self._remake(self.progress)
        while self.next_start is not None and self.next_start + self.length + self.grace <= self.progress:
            self._close(self.progress)

    def _close(self, now_ns: int) -> None:
        start_ns = self.next_start
        assert start_ns is not None
        came = {
            meter for meter, epoch in self.frames if epoch == self.epoch and self._of(epoch, start_ns, meter)
        }
        for meter in sorted({*self.expectation.meters(), *came}):
            due = self.expectation.account(meter, self.epoch, start_ns, start_ns + self.length, now_ns)
            if due or meter in came:
                self.revs[meter, self.epoch, start_ns] = 0
                self.out.append(self._make(meter, self.epoch, start_ns, now_ns, ""))
        leaving = self.closed[-KEPT] if len(self.closed) >= KEPT else None
        if leaving and any((epoch, s) == leaving for _, epoch, s in self.dirty):
            self.closed.append((self.epoch, start_ns))
            self._remake(now_ns)
        else:
            self.closed.append((self.epoch, start_ns))
        self.next_start = start_ns + self.length

    def _remake(self, now_ns: int) -> None:
        dirty, self.dirty = self.dirty, {}
        for (meter, epoch, start_ns), cause in sorted(
            dirty.items(), key=lambda row: (row[0][2], row[0][1], row[0][0])
        ):
            if (meter, epoch, start_ns) not in self.revs and not self._is_there(
                meter, epoch, start_ns, now_ns
            ):
                continue
            rev = self.revs[meter, epoch, start_ns] = self.revs.get((meter, epoch, start_ns), -1) + 1
            self.out.append(self._make(meter, epoch, start_ns, now_ns, cause if rev else ""))

    def _is_there(self, meter: str, epoch: int, start_ns: int, now_ns: int) -> bool:
        """Return whether a meter was due, came, or was to be reported in an interval."""
        of = meter, epoch, start_ns, start_ns + self.length
        told = self.expectation.account(*of, now_ns) or self.expectation.reports(*of)
        return bool(told) or bool(self._of(epoch, start_ns, meter))

    def _of(self, epoch: int, start_ns: int, meter: str) -> list[Frame]:
        begin = self.begins[epoch]
        found = self.frames.get((meter, epoch), ())
        return [f for f in found if slot_of(f) >= begin and self.start_of(slot_of(f)) == start_ns]

    def _edge(self, meter: str, epoch: int, at_ns: int, key: str) -> Edge | None:
        i = place(key)
        found = [
            (abs(f.time_ns - at_ns), f.time_ns, f)
            for f in self.frames.get((meter, epoch), ())
            if carries(f, key)
            and not f.flags[i] & NOT_GOOD
            and -self.tolerance <= f.time_ns - at_ns <= min(self.tolerance, self.grace)
        ]
        if not found:
            return None
        _, time_ns, f = min(found, key=lambda row: row[:2])
        exact = f.layout.exact(f.raw, i)
        assert exact is not None
        return Boundary(exact, time_ns, f.flags[i]), f.layout.slots[i].coefficient

    def _make(self, meter: str, epoch: int, start_ns: int, now_ns: int, cause: Any) -> Interval:
        end_ns = start_ns + self.length
        frames = self._of(epoch, start_ns, meter)
        accounts = self.expectation.account(meter, epoch, start_ns, end_ns, now_ns)
        account = next(iter(accounts.values()), Account((), 0, {}, {}))
        of_meter = [row for row, in_epoch in self.swaps if row.subject == meter and in_epoch == epoch]
        channels = []
        said = self.expectation.reports(meter, epoch, start_ns, end_ns)
        for key in sorted(key for key in UNITS if key in said or any(carries(f, key) for f in frames)):
            due, missing = account.channels.get(key, (account.due, account.missing))
            if key not in account.named:
                due, missing = (), {}
            carrying = [f for f in frames if carries(f, key)]
            first: dict[int, tuple[int, Frame]] = {}
            for f in carrying:
                slot, flags = slot_of(f), f.flags[place(key)]
                if slot not in first or (first[slot][0] & NOT_GOOD and not flags & NOT_GOOD):
                    first[slot] = flags, f
            gaps: dict[Any, int] = dict(missing)
            good = []
            for slot in due:
                if slot not in first:
                    continue
                flags, f = first[slot]
                if flags & NOT_GOOD:
                    gaps[why(flags)] = gaps.get(why(flags), 0) + 1
                else:
                    good.append(f)
            all_flags = 0
            for f in carrying:
                all_flags |= f.flags[place(key)]
            body: dict[str, Any] = {
                "key": key, "unit": UNITS[key], "kind": "gauge" if key == POWER else "counter",
                "expected": len(due), "received": len(first.keys() & set(due)), "good": len(good),
                "flags": all_flags, "gaps": gaps,
            }  # fmt: skip
            if key == POWER:
                body |= self._mean([f.layout.exact(f.raw, place(key)) for f in good])
            else:
                opening, closing = (self._edge(meter, epoch, at, key) for at in (start_ns, end_ns))
                amount, how = amount_of(key, opening, closing, of_meter)
                ends = {"opening": opening and opening[0], "closing": closing and closing[0]}
                body |= {**ends, "delta": amount, "how": how}
            channels.append(ChannelInterval(**body))
        swapped = any(start_ns <= row.detail["effective_ns"] < end_ns for row in of_meter)  # type: ignore[operator]
        rev = self.revs[meter, epoch, start_ns]
        digests = dict.fromkeys(f.layout.digest for f in frames)
        return Interval(
            meter, epoch, start_ns, end_ns, tuple(channels), now_ns, rev, cause, swapped, "electricity", tuple(digests)
        )  # fmt: skip

    @staticmethod
    def _mean(readings: list[Any]) -> dict[str, Any]:
        if not readings:
            return {}
        mean = Context(prec=28, rounding=ROUND_HALF_EVEN).divide(
            sum(readings, Decimal(0)), Decimal(len(readings))
        )
        return {"mean": Context(prec=12).plus(mean), "low": min(readings), "high": max(readings)}


def amount_of(key: str, first: Edge | None, last: Edge | None, swaps: list[Event]) -> tuple[Any, str]:
    """Return amount and how, one meter after another."""
    if first is None or last is None:
        return None, "missing"
    opening, closing = first[0], last[0]
    modulus = Decimal(10000) if key == IN else None
    inside = [s for s in swaps if opening.time_ns < s.detail["effective_ns"] <= closing.time_ns]  # type: ignore[operator]
    if not inside and first[1] != last[1]:
        return None, "reset"
    if not inside:
        return delta(opening.reading, closing.reading, modulus)
    readings: list[Any] = [opening.reading]
    for s in sorted(inside, key=lambda s: str(s.detail["effective_ns"])):
        for side in ("closing", "opening"):
            row = s.detail[side][key]  # type: ignore[index]
            readings.append(None if row is None else Decimal(row["reading"]))
    readings.append(closing.reading)
    if None in readings:
        return None, "swap"
    parts = [delta(a, b, modulus) for a, b in zip(readings[::2], readings[1::2], strict=True)]
    if any(part.amount is None for part in parts):
        return None, "reset"
    return sum(part.amount for part in parts if part.amount is not None), "swap"


def place(key: str) -> int:
    return {IN: 1, POWER: 2, OUT: 3}[key]


def slot_of(of: Frame) -> int:
    period_ns = int(of.layout.period_s) * NS
    return of.time_ns // period_ns * period_ns


def carries(of: Frame, key: str) -> bool:
    """Return whether a frame's layout reports a channel."""
    return of.layout.channels[place(key)].report


def why(flags: int) -> str:
    if flags & Flag.MAINTENANCE:
        return "maintenance"
    return "meter_off" if flags & Flag.COMMS else "rejected"

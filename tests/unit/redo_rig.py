"""What the tests of redoing share: a journal and a history of one meter, and what its intervals should be, worked out by hand."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.clock import SystemClock
from gateway.counters import delta
from gateway.derive.redoing import Redoer
from gateway.history.work import Work
from gateway.intervals.engine import Engine
from gateway.intervals.model import NOT_GOOD
from gateway.intervals.redoing import Redo
from gateway.layout import Layout
from gateway.model import NS, Event, Frame
from gateway.replay.corrector import Corrector
from gateway.replay.rules import Rule, Rules
from tests.unit.engine_rig import GRACE_S, GRID, IN, POWER, T0, again
from tests.unit.history_rig import open_history
from tests.unit.journal_rig import open_journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from gateway.history.history import History
    from gateway.intervals.model import Boundary, ChannelInterval, Interval
    from gateway.journal.journal import Journal
    from tests.unit.engine_rig import Record

BAD = int(NOT_GOOD)
LENGTH = 300


class Past:
    """What a gateway left: a journal, and a history of what the engine made of it."""

    def __init__(self, folder: Path, journal: Journal, history: History) -> None:
        self.journal, self.history, self.folder = journal, history, folder
        self.engine = Engine(GRID, round(GRACE_S * NS))
        self.rules = Rules(folder)
        self.frames: list[Frame] = []
        self.redoer = Redoer(
            journal, history, GRID, round(GRACE_S * NS), lambda: Rules(folder), SystemClock()
        )

    async def live(self, records: Iterable[Record]) -> None:
        """Journal records, and make intervals of them."""
        events = []
        for record in records:
            if isinstance(record, Frame):
                self.journal.append(record)
                self.frames.append(record)
            else:
                self.journal.note(record)
                events += [record] if isinstance(record, Event) else []
            self.engine.take(record)
            if len(self.frames) % 300 == 0:
                await self.journal.flush()
        await self.journal.flush()
        await self.history.commit(Work(intervals=self.engine.close(0, idle=False), events=events))

    def rule(self, before: Layout, after: Layout, from_s: float, to_s: float, *, rev: int = 1) -> Redo:
        """Keep a rule as a replay does, and return what is to be done."""
        from_ns, to_ns = T0 + round(from_s * NS), T0 + round(to_s * NS)
        body = after.to_dict()
        self.rules.add(Rule(before.meter, from_ns, to_ns, before.digest, after.digest, rev, body))
        return Redo("replay", before.meter, from_ns, to_ns, before.digest, after.digest, body, rev)

    async def redo(self, wanted: Redo, until: int | None = None) -> list[Interval]:
        """Do it portion by portion, each committed; return every revision."""
        made: list[Interval] = []
        self.engine.redo = [wanted]
        while self.engine.redo:
            self.engine = again(self.engine)  # what is left to do is kept with everything else
            found = await self.redoer.step(self.engine, self.journal.following if until is None else until)
            assert found is not None
            await self.history.commit(Work(intervals=found))
            made += found
        return made

    async def revisions(self) -> dict[int, list[Interval]]:
        """Return start, in lengths since T0 -> every revision, oldest first."""
        found: dict[int, list[Interval]] = {}
        for one in await self.history.read(lambda store: list(store.intervals(all_revisions=True))):
            found.setdefault((one.start_ns - T0) // (LENGTH * NS), []).append(one)
        return found


@contextlib.asynccontextmanager
async def past(folder: Path) -> AsyncIterator[Past]:
    """Open an empty one."""
    clock = SystemClock()
    journal, history = open_journal(folder, clock), open_history(folder, clock)
    try:
        yield Past(folder, journal, history)
    finally:
        await history.close()
        await journal.close()


def corrected(frames: Iterable[Frame], rules: Iterable[tuple[Redo, Layout]]) -> list[Frame]:
    """Return frames as the newest rule for each reads them. rules: oldest first, each with the layout before."""
    known = [(redo, Corrector(before, _layout(redo))) for redo, before in rules]
    read = []
    for frame in frames:
        for redo, corrector in reversed(known):
            if frame.layout.digest == redo.before and redo.from_ns <= frame.time_ns < redo.to_ns:
                read.append(corrector.frame(frame))
                break
        else:
            read.append(frame)
    return read


def _layout(redo: Redo) -> Layout:
    return Layout.from_dict(redo.layout)


def reading(frames: list[Frame], key: str, boundary_ns: int) -> tuple[Decimal, int, str] | None:
    """Return the good reading nearest to a boundary, its time and coefficient, looked for among all frames."""
    near = []
    for frame in frames:
        place = [channel.key for channel in frame.layout.channels].index(key)
        distance = frame.time_ns - boundary_ns
        if -GRID.tolerance_ns <= distance <= GRACE_S * NS and not frame.flags[place] & BAD:
            value = frame.layout.exact(frame.raw, place)
            assert value is not None
            near.append(
                (abs(distance), frame.time_ns, value, str(Decimal(frame.layout.slots[place].coefficient)))
            )
    if not near:
        return None
    _, time_ns, value, scale = min(near)
    return value, time_ns, scale


def told(boundary: Boundary | None) -> tuple[Decimal, int] | None:
    return None if boundary is None else (boundary.reading, boundary.time_ns)


def check(one: Interval, frames: list[Frame], first: Interval) -> None:
    """Raise AssertionError unless an interval is what the frames, as read by now, make of it. first: its revision 0."""
    for channel in one.channels:
        was = first.channel(channel.key)
        assert was is not None
        slots: dict[int, bool] = {}
        goods: list[Decimal] = []
        flags = 0
        for frame in frames:
            slot = frame.time_ns // (10 * NS) * (10 * NS)
            if not one.start_ns <= slot < one.end_ns:
                continue
            place = [each.key for each in frame.layout.channels].index(channel.key)
            flags |= frame.flags[place]
            slots[slot] = is_good = not frame.flags[place] & BAD
            value = frame.layout.exact(frame.raw, place)
            if is_good and value is not None:
                goods.append(value)
        assert (
            (channel.expected, channel.received) == (was.expected, was.received) == (was.expected, len(slots))
        )
        assert (channel.good, channel.flags) == (sum(slots.values()), flags), (one.start_ns, channel)
        assert sum(channel.gaps.values()) == channel.expected - channel.good
        assert channel.gaps.get("rejected", 0) == len(slots) - sum(slots.values())
        if channel.key == POWER:
            mean = sum(goods, Decimal(0)) / len(goods) if goods else None
            assert (channel.low, channel.high) == (min(goods, default=None), max(goods, default=None))
            assert mean is None or (channel.mean is not None and abs(channel.mean - mean) < Decimal("1e-9"))
            continue
        _check_counter(channel, one, frames)


def _check_counter(channel: ChannelInterval, one: Interval, frames: list[Frame]) -> None:
    opening = reading(frames, channel.key, one.start_ns)
    closing = reading(frames, channel.key, one.end_ns)
    assert told(channel.opening) == (opening and opening[:2]), (one.start_ns, channel)
    assert told(channel.closing) == (closing and closing[:2]), (one.start_ns, channel)
    if opening is None or closing is None:
        assert (channel.delta, channel.how) == (None, "missing")
    elif opening[2] != closing[2]:
        assert (channel.delta, channel.how) == (None, "reset")
    else:
        modulus = Decimal(10000) if channel.key == IN else None
        assert (channel.delta, channel.how) == tuple(delta(opening[0], closing[0], modulus))

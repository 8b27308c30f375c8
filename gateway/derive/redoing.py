"""Intervals closed long ago, made anew: samples read by a corrected rule, a swap recorded days late.

A long replay goes in portions, each committed together with what is left of it; so a kill repeats a portion at most, and what is
in memory is that of a portion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from gateway.clock import sleep_for
from gateway.errors import StorageError
from gateway.intervals.collecting import Lane
from gateway.intervals.recollecting import Collected, lane_of
from gateway.intervals.redoing import Redo
from gateway.intervals.remaking import (
    DECLARED,
    IncompleteError,
    Remaker,
    by_splits,
    declared,
    distrusted,
    effective_ns,
    splits_of,
    with_cause,
)
from gateway.layout import Layout
from gateway.model import NS
from gateway.replay.corrector import Corrector, journaled
from gateway.replay.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.history.history import History
    from gateway.history.read import Queries
    from gateway.interfaces import Clock
    from gateway.intervals.amounts import Split
    from gateway.intervals.engine import Engine
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Interval
    from gateway.intervals.recollecting import Key
    from gateway.journal.journal import Journal
    from gateway.model import Event, Frame
    from gateway.replay.rules import Rules

PORTION_NS = 6 * 3600 * NS
LEAD_NS = 3600 * NS  # the checks of a portion begin so long before it; Source: gateway/stuck.py, UNSEEN_NS
YIELD_FRAMES = 500

log = structlog.get_logger("intervals")


class Done(NamedTuple):
    """What a portion came to. made: revisions, in order of start. rest: what is left to be done, None: nothing."""

    made: list[Interval]
    rest: Redo | None


class _Portion(NamedTuple):
    """Intervals that start at first_ns <= start < until_ns; last_ns: until_ns of the last portion.

    from_ns: frames are read from then on; to_ns: up to then.
    """

    first_ns: int
    until_ns: int
    last_ns: int
    from_ns: int
    to_ns: int


class _Reading:
    """Frames of a meter by the rule of the time and by the one that holds."""

    def __init__(self, wanted: Redo, rules: Sequence[Rule], grid: Grid, after_ns: int) -> None:
        """rules: of the meter, newest first."""
        self._wanted, self._rules, self._grid = wanted, rules, grid
        self.old, self.new = Collected(grid, after_ns), Collected(grid, after_ns)
        self.cells: set[Key] = set()
        self.edges: set[Key] = set()
        self.keys: set[str] = set()  # channels that are read in another way
        self._lanes: dict[Layout, Lane] = {}
        self._correctors: dict[tuple[str, str], tuple[Corrector, Lane]] = {}

    def take(self, frame: Frame, *, is_lead: bool) -> None:
        """Take a frame. is_lead: it only tells the checks what came before."""
        layout = frame.layout
        rule = next(
            (r for r in self._rules if r.before == layout.digest and r.from_ns <= frame.time_ns < r.to_ns),
            None,
        )
        lane = self._lanes.get(layout)
        if lane is None:
            lane = self._lanes[layout] = Lane(layout)
        if rule is None:
            if not is_lead:
                self.old.take(frame, lane)
                self.new.take(frame, self._same(layout))
            return
        corrector, corrected = self._corrector(layout, rule)
        read = corrector.frame(frame)
        if is_lead:
            return
        self.old.take(frame, lane)
        self.new.take(read, corrected)
        if layout.digest == self._wanted.before:
            slot_ns = frame.time_ns - frame.time_ns % lane.period_ns
            self.cells.add((frame.epoch, self._grid.start_of(slot_ns)))
            boundary_ns = self.new.boundary(frame.time_ns)
            if boundary_ns is not None:
                self.edges.add((frame.epoch, boundary_ns))

    def _same(self, layout: Layout) -> Lane:
        """Return the lane of frames that no rule corrects, on the corrected side."""
        key = layout.digest, layout.digest
        if key not in self._correctors:
            self._correctors[key] = Corrector(layout, layout), Lane(layout)
        return self._correctors[key][1]

    def _corrector(self, layout: Layout, rule: Rule) -> tuple[Corrector, Lane]:
        key = rule.before, rule.after
        if key not in self._correctors:
            assert rule.layout is not None
            after = Layout.from_dict(rule.layout)
            self._correctors[key] = Corrector(layout, after), lane_of(after, layout)
            both = zip(layout.channels, layout.slots, after.slots, strict=True)
            self.keys |= {channel.key for channel, was, is_ in both if was != is_}
        return self._correctors[key]


class Redoer:
    """Carries out what the engine cannot; changes nothing by itself: whoever asks commits what comes back."""

    def __init__(
        self,
        journal: Journal,
        history: History,
        grid: Grid,
        grace_ns: int,
        rules: Callable[[], Rules],
        clock: Clock,
    ) -> None:
        """rules: of all replays, as they are by now."""
        self._clock = clock
        self._journal, self._history, self._grid, self._rules = journal, history, grid, rules
        self._after_ns = min(grid.tolerance_ns, grace_ns)
        self._begin = (0, 0)  # a time, and the first group that may have one from then on

    async def step(self, engine: Engine, until: int) -> list[Interval] | None:
        """Return what the next portion of an engine's `redo` leads to, and leave the rest there; None: it cannot be done now.

        Both belong into one commit. until: as of `redo`.
        """
        if not engine.redo:
            return None
        wanted = engine.redo[0]
        learned = engine.learned.get(wanted.meter, {})
        moduli = {fact.key: fact.modulus for facts in learned.values() for fact in facts.channels}
        try:
            done = await self.redo(wanted, until=until, moduli=moduli)
        except StorageError as error:
            log.warning("intervals cannot be made anew now", meter=wanted.meter, error=str(error))
            return None
        engine.redo[:1] = [] if done.rest is None else [done.rest]
        for one in done.made:
            engine.revised(one.meter, one.epoch, one.start_ns, one.rev)
        return done.made

    async def redo(self, wanted: Redo, *, until: int, moduli: Mapping[str, str | None] | None = None) -> Done:
        """Return the revisions a portion of what is wanted leads to, and what is left.

        until: groups of the journal below it have become intervals. moduli: counter -> its modulus, decimal text. Every interval
        of the meter there must be in the history. Raises StorageError.
        """
        try:
            if wanted.kind == "replay":
                return await self._replay(wanted, until)
            return await self._declared(wanted, moduli or {})
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:  # or it would be tried for ever
            log.error("what is to be made anew cannot be read", meter=wanted.meter, error=repr(error))
            return Done([], None)

    def again(self, made: Sequence[Interval]) -> list[Redo]:
        """Return what must be done again: intervals made anew out of frames as the rule of the time reads them."""
        late = [one for one in made if one.rev and one.cause != "replay"]
        try:
            return [redo for one in late for redo in self._again(one)]
        except StorageError as error:
            log.error("what was replayed is not known; intervals stay as they are", error=str(error))
            return []

    def _again(self, one: Interval) -> list[Redo]:
        begin_ns, end_ns = one.start_ns - self._grid.tolerance_ns, one.end_ns + self._after_ns
        return [
            _redo_of(rule, one)
            for rule in self._rules().of(one.meter)
            if rule.from_ns < end_ns and begin_ns < rule.to_ns and rule.layout is not None
        ]

    # -- replays ------------------------------------------------------------------------------------------

    def _portion(self, wanted: Redo) -> _Portion:
        """Return what of a replay is done at once. Its first portion includes the neighbour before it, the last that after it."""
        grid, length_ns = self._grid, self._grid.length_ns
        period_ns = max(round(float(wanted.layout["period_s"]) * NS), 1)
        since_ns = wanted.detail.get("since_ns")
        if since_ns is None:
            since_ns = wanted.from_ns
            first_ns = grid.start_of(wanted.from_ns - wanted.from_ns % period_ns) - length_ns
        else:
            first_ns = wanted.from_ns
        last_ns = grid.start_of(wanted.to_ns - 1) + 2 * length_ns
        until_ns = min(last_ns, first_ns + max(PORTION_NS // length_ns, 1) * length_ns)
        from_ns = first_ns - grid.tolerance_ns
        lead_ns = max(min(from_ns, since_ns), from_ns - LEAD_NS)
        return _Portion(first_ns, until_ns, last_ns, lead_ns, until_ns + max(self._after_ns + 1, period_ns))

    async def _replay(self, wanted: Redo, until: int) -> Done:
        rules, portion = self._rules_of(wanted), self._portion(wanted)
        skipped = await self._skip(wanted, portion, until)
        if skipped is not None:
            return Done([], skipped if skipped.from_ns < portion.last_ns else None)
        reading = _Reading(wanted, rules, self._grid, self._after_ns)
        lead_ns = portion.first_ns - self._grid.tolerance_ns
        begin = self._begin[1]
        parts = journaled(self._journal, wanted.meter, portion.from_ns, portion.to_ns, until, begin)
        async for part in parts:
            for n, frame in enumerate(part.frames, 1):
                reading.take(frame, is_lead=frame.time_ns < lead_ns)
                if n % YIELD_FRAMES == 0:
                    await sleep_for(self._clock, 0.0)
        made = await self._remade(wanted, portion, reading)
        if portion.until_ns >= portion.last_ns:
            return Done(made, None)
        return Done(made, _rest(wanted, portion.until_ns))

    async def _skip(self, wanted: Redo, portion: _Portion, until: int) -> Redo | None:
        """Find the first group of a portion; return what is left if the journal has nothing of that time, None if it has."""
        from_ns, begin = self._begin
        first = begin if from_ns <= portion.from_ns else 0
        first = max(first, self._journal.oldest)
        later_ns = None
        while first < until:
            spans = await self._journal.spans(first, until)
            if not spans:
                break
            for id_, first_ns, last_ns in spans:
                if last_ns >= portion.from_ns:
                    if first_ns < portion.to_ns:
                        self._begin = portion.from_ns, id_
                        return None
                    later_ns = first_ns if later_ns is None else min(later_ns, first_ns)
            first = spans[-1][0] + 1
        if later_ns is None:
            return _rest(wanted, portion.last_ns)
        start_ns = self._grid.start_of(later_ns - LEAD_NS)
        return _rest(wanted, max(portion.until_ns, start_ns))

    def _rules_of(self, wanted: Redo) -> list[Rule]:
        """Return the rules that hold for the meter, newest first, the wanted one among them. Raises StorageError."""
        Layout.from_dict(wanted.layout)
        own = Rule(
            wanted.meter, wanted.from_ns, wanted.to_ns, wanted.before, wanted.after, wanted.rev,
            dict(wanted.layout),
        )  # fmt: skip
        since_ns = wanted.detail.get("since_ns", wanted.from_ns)
        rules = [*self._rules().of(wanted.meter), own._replace(from_ns=since_ns)]
        return sorted((r for r in rules if r.layout is not None), key=lambda r: -r.rev)

    async def _remade(self, wanted: Redo, portion: _Portion, reading: _Reading) -> list[Interval]:
        touched = reading.cells, reading.edges
        if not (reading.cells or reading.edges):
            return []
        revisions = await self._revisions(wanted.meter, portion.first_ns, portion.until_ns)
        splits = await self._splits(wanted, reading)
        remaker = Remaker(reading.old, reading.new, touched, splits, self._grid.length_ns)
        made: list[Interval] = []
        unchanged = left = 0
        for n, before in enumerate(revisions, 1):
            if not remaker.is_touched(before[-1]):
                continue
            try:
                one = remaker.remake(before[-1], before, self._clock.wall_ns())
            except IncompleteError:
                left += 1
            else:
                unchanged += one is None
                made += [] if one is None else [one]
            if n % 50 == 0:
                await sleep_for(self._clock, 0.0)
        log.info(
            "intervals of a replay made anew",
            meter=wanted.meter, made=len(made), unchanged=unchanged, left=left,
            from_ns=portion.first_ns, to_ns=portion.until_ns,
        )  # fmt: skip
        return made

    async def _revisions(self, meter: str, from_ns: int, to_ns: int) -> list[list[Interval]]:
        """Return the intervals that start in a stretch of time, each with every revision, oldest first."""

        def ask(store: Queries) -> list[list[Interval]]:
            found: dict[Key, list[Interval]] = {}
            for one in store.intervals(from_ns, to_ns, [meter], all_revisions=True):
                found.setdefault((one.epoch, one.start_ns), []).append(one)
            return list(found.values())

        return await self._history.read(ask)

    # -- what was declared --------------------------------------------------------------------------------

    async def _events(self, meter: str) -> list[Event]:
        return declared(
            await self._history.read(lambda store: list(store.events(kinds=DECLARED, subjects=[meter])))
        )

    async def _splits(self, wanted: Redo, reading: _Reading) -> list[Split]:
        events = await self._events(wanted.meter)
        spans = [(rule.from_ns, rule.to_ns) for rule in self._rules_of(wanted)]
        keys = frozenset(reading.keys)
        events = [distrusted(event, spans, keys) for event in events]
        return splits_of(events, await self._epochs(wanted.meter, [effective_ns(event) for event in events]))

    async def _epochs(self, meter: str, times_ns: list[int]) -> dict[int, int]:
        """Return time -> the newest epoch with an interval of the meter around it."""

        def ask(store: Queries) -> dict[int, int]:
            found: dict[int, int] = {}
            for at_ns in times_ns:
                start_ns = self._grid.start_of(at_ns)
                epochs = [one.epoch for one in store.intervals(start_ns, start_ns + 1, [meter])]
                if epochs:
                    found[at_ns] = max(epochs)
            return found

        return await self._history.read(ask)

    async def _declared(self, wanted: Redo, moduli: Mapping[str, str | None]) -> Done:
        """Return what a swap or a changed ratio makes of intervals closed long ago, out of their own boundary readings."""
        undone = wanted.detail.get("undoes")
        at_ns = (undone if isinstance(undone, dict) else wanted.detail).get("effective_ns")
        if not isinstance(at_ns, int):
            return Done([], None)
        events = await self._events(wanted.meter)
        times_ns = [at_ns, *map(effective_ns, events)]
        epochs = await self._epochs(wanted.meter, times_ns)
        if at_ns not in epochs:
            return Done([], None)  # the meter had no intervals then
        rules = self._rules().of(wanted.meter)
        spans = [(rule.from_ns, rule.to_ns) for rule in rules]
        keys = self._read_otherwise(rules)
        splits = splits_of([distrusted(event, spans, keys) for event in events], epochs)
        made = []
        for before in await self._revisions(wanted.meter, wanted.from_ns, wanted.to_ns):
            one = by_splits(before[-1], before, splits, (epochs[at_ns], at_ns), moduli)
            made += [] if one is None else [with_cause(one, wanted.kind, self._clock.wall_ns())]
        log.info("intervals made anew", meter=wanted.meter, cause=wanted.kind, made=len(made))
        return Done(made, None)

    def _read_otherwise(self, rules: Sequence[Rule]) -> frozenset[str]:
        """Return the channels that some rule reads in another way than its samples were read."""
        known = {layout.digest: layout for layout in self._journal.layouts()}
        keys: set[str] = set()
        for rule in rules:
            before = known.get(rule.before)
            if before is not None and rule.layout is not None:
                after = Layout.from_dict(rule.layout)
                both = zip(before.channels, before.slots, after.slots, strict=False)
                keys |= {channel.key for channel, was, is_ in both if was != is_}
        return frozenset(keys)


def _rest(wanted: Redo, from_ns: int) -> Redo:
    """Return what of a replay is left from an interval's start on. Its rule still holds since it began."""
    since_ns = wanted.detail.get("since_ns", wanted.from_ns)
    return wanted._replace(from_ns=from_ns, detail={"since_ns": since_ns})


def _redo_of(rule: Rule, one: Interval) -> Redo:
    """Return what a rule does to one interval."""
    return Redo(
        "replay", rule.meter, one.start_ns, one.end_ns, rule.before, rule.after, rule.layout or {}, rule.rev,
        {"since_ns": rule.from_ns},
    )  # fmt: skip

"""The task that derives: it reads the journal in order, closes intervals, and commits them with all that follows from them.

One transaction carries intervals, events, messages, the chain and the place in the journal. So a kill between journal and
history repeats work and never doubles or skips it. While the history cannot be written nothing is read on: the journal keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from gateway.clock import iso, sleep_for
from gateway.derive.agenda import Agenda
from gateway.derive.committing import RETRY_S, Committing
from gateway.derive.diary import Diary
from gateway.derive.idle import IdleTime
from gateway.derive.marks import Marks
from gateway.derive.place import Within, read_before, reader_state, within
from gateway.derive.redoing import Redoer
from gateway.derive.site_grid import grid_of
from gateway.derive.telling import Teller
from gateway.errors import StorageError
from gateway.history.work import SiteConfig, Work
from gateway.intervals.engine import Engine
from gateway.intervals.expected import Expectation
from gateway.model import NS, Event, Gap
from gateway.replay.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.models import Site
    from gateway.derive.messenger import Messenger
    from gateway.history.history import History
    from gateway.interfaces import Clock
    from gateway.intervals.model import Interval
    from gateway.journal.event_log import EventLog
    from gateway.journal.groups import Committed
    from gateway.journal.journal import Journal

TOGETHER_S = 0.2  # what is journaled within is read together
LOOK_S = 1.0  # intervals close by the wall clock too; looked at so often
SAVE_S = 60.0  # the place in the journal is committed at least so often: what a restart reads again at most
TELL_S = 2.0  # events wait so long for company
PORTION = 2_000  # intervals of one commit, roughly: after a long stop there are a million
STATES = ("intervals", "reader", "agenda", "feed", "diary", "fitting")

log = structlog.get_logger("intervals")


class Deriver(Committing):
    """Makes intervals of the journal and keeps them. Used by one task; `open` first."""

    def __init__(
        self,
        site: Site,
        journal: Journal,
        history: History,
        clock: Clock,
        events: EventLog,
        messenger: Messenger | None,
        rules: Rules | None = None,
        marks: Marks | None = None,
    ) -> None:
        """messenger: None where nothing is signed. rules: of all replays, those the running gateway adds among them.

        marks: how the verification of each meter's instrument stands; None: nobody knows.
        """
        rules = rules or Rules(site.gateway.state_dir)
        self._marks = marks or Marks(site.site.timezone)
        super().__init__(site, history, clock, events, messenger)
        self._journal = journal
        self.grid = grid_of(site)
        self._grace_ns = round(site.intervals.grace_s * NS)
        self._teller = Teller(site, self.grid, messenger)
        self._redoer = Redoer(journal, history, self.grid, self._grace_ns, lambda: rules, clock)
        self._idle = IdleTime(clock)
        self._too_late = 0
        self._done = asyncio.Event()

    async def open(self) -> None:
        """Go on where the history ends, or begin at the oldest group of the journal. Raises StorageError."""
        self._go_on(await self._history.read(lambda store: {name: store.state(name) for name in STATES}))
        if self._history.damage is not None:
            self._tell_damage(self._history.damage)

    def _tell_damage(self, damage: Mapping[str, Any]) -> None:
        detail = {"moved_to": damage["moved_to"]}  # the error names folders of this machine: the log has it
        self.tell(Event(self._clock.wall_ns(), "history_damaged", self._site.gateway.id, detail))

    def _go_on(self, states: Mapping[str, Any]) -> None:
        """Go on with these states; those that are None begin."""
        own = self._site.intervals
        told = () if self._messenger is None else [one.id for one in self._site.aggregates]
        self._agenda = Agenda(self.grid, states["agenda"], own, aggregates=told)
        self._engine = self._restored(states["intervals"])
        self._engine.keep_ns = round(self._site.history.keep_s * NS)
        self._engine.mark = self._marks.of
        self.diary, self.published = Diary(states["diary"]), states["fitting"]
        self._has_news = False
        self._reader = self._journal.reader_at("intervals", reader_state(states["reader"]))
        self._within = within(states["reader"])
        self._read_before = read_before(states["reader"], self._journal)
        site = self._site
        self._work.config = SiteConfig(site.digest, self._clock.wall_ns(), _text(site))
        self._begin_chain(states["feed"])

    def _restored(self, body: Any) -> Engine:
        """Return the engine that goes on; with open intervals given up where they are of another version."""
        if body is None:
            return Engine(self.grid, self._grace_ns)
        try:
            engine = Engine.restore(self.grid, self._grace_ns, body)
            if engine.lengths.turns:
                until_ns = engine.lengths.turns[-1].until_ns
                log.info("intervals of another length or time zone run out first", until=iso(until_ns))
            return engine
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            reason = str(error)
        try:
            expectation = Expectation.restore(body["expectation"])
        except (ArithmeticError, KeyError, TypeError, ValueError):
            expectation = Expectation()
        engine = Engine(self.grid, self._grace_ns, expectation)
        spans = expectation.epochs()
        agenda = self._agenda  # of another epoch it says nothing: its times may come again
        closed_ns = agenda.closed_ns if not spans or spans[-1].epoch == agenda.body()["epoch"] else 0
        begin_ns = max(closed_ns, spans[-1].start_ns if spans else 0)
        if begin_ns:  # nothing has closed and nothing is known: begin with the first record
            engine.begin_at(begin_ns)
        log.warning("open intervals are given up; new ones begin at the next boundary", reason=reason)
        return engine

    def _begin_chain(self, body: Any) -> None:
        if self._messenger is not None:
            began = self._messenger.begin(self._history, body)
            if began is not None:
                self.tell(began)

    def tell(self, event: Event) -> None:
        """Keep an event that is the history's own and not in the journal, and tell it on the feed."""
        self._work.events.append(event)
        self._teller.event(event)
        self._changed = True
        self._reader.awake.set()

    @property
    def position(self) -> int:
        """Return the first group of the journal that is not derived."""
        return self._reader.live

    @property
    def closed_ns(self) -> int:
        """Return the end of the newest interval that has closed, 0 if none has."""
        return self._agenda.closed_ns

    def announce(self) -> None:
        """Say what is measured, where it is not what was announced last."""
        if self._messenger is not None:
            self._messenger.announce()
            self._reader.awake.set()

    def publish(self, body: Mapping[str, Any], published: Mapping[str, Any]) -> None:
        """Say fitting rates on the feed; the same commit keeps what was published."""
        if self._messenger is not None:
            self._messenger.say("fitting", body)
            self.published = self._work.states["fitting"] = dict(published)
            self._reader.awake.set()

    async def run(self) -> None:
        """Derive for ever; after `drain` until everything journaled has been derived."""
        if self._work.intervals or self._work.totals:
            await self._commit()  # after a bug: nothing is read on while what was read cannot be kept
        while True:
            self._reader.awake.clear()
            has_read = await self._read()
            # While the disk refuses the journal, or to read it, there is more: it will say what became of the readings.
            has_more = self._reader.live < self._journal.following or self._journal.has_unwritten
            is_idle = not has_read and not has_more
            await self._close(self._idle.now_ns(), idle=is_idle)
            if self._is_due(idle=not has_read):
                await self._commit()
            if self._engine.redo and not self._stopping.is_set():
                await self._redo()
            if has_read:
                continue
            if self._stopping.is_set():
                await self._commit()
                self._done.set()
                await asyncio.Event().wait()
            await self._wait()

    async def drain(self, end_s: float) -> None:
        """Derive what is journaled, commit it, and rest: the gateway is stopping. Returns at `end_s` at the latest."""
        self._stopping.set()
        self._reader.awake.set()
        try:
            async with asyncio.timeout(max(end_s - self._clock.monotonic(), 0.0)):
                await self._done.wait()
        except TimeoutError:
            log.warning("intervals are behind; the rest is derived after the next start")

    async def _read(self) -> bool:
        """Take the next groups of the journal; return whether there were any."""
        try:
            reader = self._reader
            groups = await reader.take_groups(backlog=True)
        except StorageError as error:
            log.error("journal cannot be read; intervals wait", error=str(error))
            return False
        if groups is None:
            return False
        for group in groups:
            await self._derive(group)
            if self._reader is not reader:
                return True  # the history was lost meanwhile: everything is derived anew
        if self._within is not None and groups and self._within.group <= groups[-1].id + 1:
            self._within = None
        self._reader.acknowledge(sum(group.readings for group in groups), 0)
        self._changed = True
        return True

    async def _derive(self, group: Committed) -> None:
        """Take a group of the journal, or the rest of it where the newest commit is in the midst of it."""
        before, done, reader = self._read_before, 0, self._reader
        if self._within is not None and group.id <= self._within.group:
            if group.id < self._within.group:
                return
            done = self._within.records
        self._miss(group)
        for number, record in enumerate(group.records[done:] if done else group.records, done):
            if self._engine.behind:
                self._within = Within(group.id, number, before)
                await self._close()
                if self._reader is not reader:
                    return
            self._engine.take(record)
        if len(group.records) != len(group.frames):
            for record in group.records:
                self._idle.told(record)
                self._teller.record(record, self._work)
                self._has_news |= isinstance(record, Event) and self.diary.take(record)
            for reading in self._work.manual:
                self._agenda.entered(reading.time_ns)
            self._agenda.declared(self._work.events)
        self._within = Within(group.id + 1, 0, self._read_before)
        await sleep_for(self._clock, 0.0)

    async def _close(self, now_ns: int = 0, *, idle: bool = False) -> None:
        """Close what is due, a portion at a time; all but the last one is committed, with the place in the journal."""
        while True:
            limit = max(PORTION // max(len(self._engine.expectation.meters()), 1), 1)
            await self._through(self._engine.closing(now_ns, idle=idle, limit=limit))
            skipped, self._engine.skipped = self._engine.skipped, []
            for epoch, from_ns, to_ns in skipped:
                self._skipped(epoch, from_ns, to_ns)
            await self._take(self._engine.close(0, idle=False, limit=0))
            if not self._engine.behind:
                return
            idle = False
            if len(self._work.intervals) >= PORTION:
                await self._commit()

    def _skipped(self, epoch: int, from_ns: int, to_ns: int) -> None:
        log.warning("intervals older than history.keep are not made", first=iso(from_ns), until=iso(to_ns))
        detail = {"epoch": epoch, "from_ns": from_ns, "to_ns": to_ns}
        self.tell(Event(self._clock.wall_ns(), "intervals_skipped", self._site.gateway.id, detail))

    def _miss(self, group: Committed) -> None:
        """Let the engine know of readings that went before they were read, for the cap or with a file, before it reads on.

        The journal's own gap record comes when it may be too late, or went too; it is what the feed tells.
        """
        records = group.records
        if not records:  # damaged: its readings are missing before the next
            return
        lost = group.readings_after - group.readings - self._read_before
        self._read_before = max(self._read_before, group.readings_after)
        if lost > 0 and self._engine.progress_ns:
            last_ns = min(record.time_ns for record in records)
            first_ns = min(self._engine.progress_ns, last_ns)
            told = records[0]
            is_told = isinstance(told, Gap) and told.first_ns <= first_ns and told.readings >= lost
            if not is_told:
                self._engine.take(Gap(last_ns, "journal_dropped", first_ns, last_ns, lost))

    async def _take(self, intervals: list[Interval]) -> None:
        if self._engine.too_late:
            late, self._engine.too_late = self._engine.too_late, []
            self._too_late += len(late)
            log.warning("readings came too late for their intervals", frames=len(late), meter=late[0][0])
        if not intervals:
            return
        self._work.intervals += intervals
        self._engine.redo += self._redoer.again(intervals)
        closed = self._agenda.closed
        fresh = [one for one in intervals if closed(one.start_ns, one.end_ns, one.epoch, one.rev)]
        await self._through(self._teller.intervals(await self._whole(intervals), fresh))

    async def _redo(self) -> None:
        """Make a portion of old intervals anew; what comes of it and what is left to do go into one commit."""
        if self._work.intervals or self._work.events:
            await self._commit()  # a portion begins with what the history has
        made = await self._redoer.step(self._engine, self._reader.live)
        if made is not None:
            await self._take(
                [replace(one, verification=self._marks.of(one.meter, one.start_ns)) for one in made]
            )
            self._changed = True
            self._reader.awake.set()

    def _is_due(self, *, idle: bool) -> bool:
        age_s = self._clock.monotonic() - self._saved_s
        has_words = self._teller.has_words or (self._messenger is not None and self._messenger.has_words)
        if self._work.intervals or self._work.manual or self._work.totals:
            return True
        return (has_words and age_s >= TELL_S) or (self._changed and idle and age_s >= SAVE_S)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._reader.awake.wait()
        except TimeoutError:
            return
        if not self._stopping.is_set():  # several commits together, and after the sinks, which are in a hurry
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TOGETHER_S):
                    await self._stopping.wait()

    async def _begin_anew(self) -> None:
        """Begin a new history in place of a damaged one; what the journal still has goes into it."""
        try:
            damage = await self._history.begin_anew()
        except StorageError as error:
            log.error("damaged history cannot be moved aside", error=str(error))
            await sleep_for(self._clock, RETRY_S)
            return
        self._work = Work()
        self._teller.forget()
        self._go_on(dict.fromkeys(STATES))
        self._tell_damage(damage)

    def figures(self) -> dict[str, Any]:
        """Return how far it is, for status; counts of the journal are readings."""
        return {
            "closed_until_ns": self._agenda.closed_ns,
            "behind": self._reader.pending,
            "waiting": len(self._work.intervals),
            "too_late": self._too_late,
            "unexplained": self._engine.expectation.last_resorts,
        }


def _text(site: Site) -> str:
    return orjson.dumps(dict(site.body), option=orjson.OPT_SORT_KEYS, default=str).decode()

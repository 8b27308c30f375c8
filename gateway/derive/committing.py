"""What waits for the history, and how it gets there: one transaction carries all of it, whatever the disk says meanwhile."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from gateway.clock import sleep_for
from gateway.derive.place import Within, reader_body
from gateway.derive.summaries import Words, read_sums, retold_state
from gateway.derive.untold import Untold
from gateway.errors import StorageError
from gateway.history.work import TotalRow, Work
from gateway.journal.store import StorageDamaged

if TYPE_CHECKING:
    from gateway.config.models import Site
    from gateway.derive.agenda import Agenda, Due
    from gateway.derive.diary import Diary
    from gateway.derive.messenger import Messenger
    from gateway.derive.summaries import Summed
    from gateway.derive.telling import Teller
    from gateway.history.history import History
    from gateway.history.read import Queries
    from gateway.interfaces import Clock
    from gateway.intervals.engine import Engine
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Interval
    from gateway.intervals.pieces import Steps
    from gateway.journal.event_log import EventLog
    from gateway.journal.reader import Reader

RETRY_S = 2.0
SUMS = (
    24  # hours summed up in one commit: after a long stop there are many, and each commit stores the engine
)

T = TypeVar("T")
log = structlog.get_logger("intervals")


class Committing:
    """Commits what was derived. Used by one task; `_begin_anew` is its heir's."""

    grid: Grid
    _engine: Engine
    _reader: Reader
    _agenda: Agenda
    _within: Within | None
    _teller: Teller
    diary: Diary

    def __init__(
        self, site: Site, history: History, clock: Clock, events: EventLog, messenger: Messenger | None
    ) -> None:
        """messenger: None where nothing is signed."""
        self._site, self._history, self._clock = site, history, clock
        self._events, self._messenger = events, messenger
        self._has_news = False  # the diary is not as it was committed
        self._work = Work()
        self._saved_s = clock.monotonic()
        self._changed = False
        self._stopping = asyncio.Event()
        self.untold = Untold()

    def forget(self, destinations: list[str]) -> None:
        """Forget destinations in the commit that tells so."""
        self._work.destinations_gone += destinations

    async def _through(self, steps: Steps[T]) -> T:
        """Return the result of work, with everything else that is due between two pieces of it."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            await sleep_for(self._clock, 0.0)

    async def _commit(self) -> None:
        """Make durable what was derived, then sum up what is over; tries again for ever while the disk refuses."""
        while True:
            try:
                await self._commit_once()
                if not await self._sum_due():
                    return
            except StorageDamaged:
                await self._begin_anew()
            except StorageError as error:
                log.warning("history cannot be written; intervals wait", error=str(error))
                await sleep_for(self._clock, RETRY_S)

    async def _sum_due(self) -> bool:
        """Sum up what is over, hours several together; return whether there was any. Raises StorageError."""
        for number in range(SUMS):
            due = self._agenda.due()
            if due is None or (number and due.period != "hour"):
                return number > 0
            ask = partial(read_sums, grid=self.grid, due=due, settings=self._site.intervals)
            self._sum_up(due, await self._history.read(ask))
            if due.period != "hour":
                break
        return True

    def _sum_up(self, due: Due, found: Summed) -> None:
        self._changed = True
        self._agenda.done(due, again=found.has_open_end)
        if due.period == "interval":
            retold = self._teller.anew(found.together, found.retold, self._agenda.was_told)
            if retold:
                self._work.states[retold_state(due.span.start_ns)] = retold
            return
        is_told = self._messenger is not None
        words = Words(self.grid, due, found, self._site.aggregates if is_told else (), is_told=is_told)
        if not words.is_news:
            return
        now_ns = self._clock.wall_ns()
        self._work.totals.append(
            TotalRow(due.period, due.span.start_ns, found.rev, due.span.end_ns, now_ns, words.row())
        )
        if self._messenger is not None:
            for body in words.messages():
                self._messenger.say("summary", body)

    async def _commit_once(self) -> None:
        """Commit what waits in one transaction. Raises StorageError: it still waits."""
        stored = await self._through(self._engine.storing())
        self._teller.flush()
        work, self._work = self._work, Work()
        said = [] if self._messenger is None else self._messenger.take()
        own, sealed, is_durable = dict(work.states), None, False
        try:
            untold = self.untold if self._messenger is not None else self.untold.more(work.intervals)
            work.states |= {
                "intervals": stored,
                "reader": reader_body(self._reader.snapshot(), self._within),
                "agenda": self._agenda.body(),
                "untold": untold.body(),
            }
            if self._has_news:
                work.states["diary"] = self.diary.body()
            if self._messenger is not None:
                sealed = self._messenger.seal(said)
                work.entries, work.chain = sealed.entries, sealed.sealer.chain
                work.kid, work.topics_gone = sealed.kid, sealed.topics_gone
                work.states["feed"] = self._messenger.state(sealed)
            dropped = await self._history.commit(work)
            is_durable = True
        finally:
            if not is_durable:  # also after a bug: engine, agenda and reader are past what waits here
                self._put_back(work, own)
                if self._messenger is not None:
                    self._messenger.put_back(said)
        self._saved_s = self._clock.monotonic()
        self._changed, self._has_news, self.untold = False, False, untold
        if self._messenger is not None and sealed is not None:
            self._messenger.committed(sealed)
        if dropped:
            self._events.note("history_dropped", self._site.gateway.id, **dropped.detail())

    async def _whole(self, intervals: list[Interval]) -> list[Interval]:
        """Return intervals as they are told: before one that revises what nobody was told come its earlier revisions."""
        revised = [] if self._messenger is None else self.untold.revised(intervals)
        earlier: list[Interval] = []
        for one in revised:
            span, meters = (one.start_ns, one.start_ns + 1), {one.meter}
            ask = partial(_revisions, span=span, meters=meters)
            try:
                found = await self._history.read(ask)
            except StorageError as error:
                log.error("earlier revisions cannot be read to be told", error=str(error))
                break
            earlier += [each for each in found if each.epoch == one.epoch and each.rev < one.rev]
        return [*earlier, *intervals]

    def _put_back(self, work: Work, states: dict[str, Any]) -> None:
        """Have it in the next commit. states: its own, without those every commit has."""
        now = self._work
        self._work = Work(
            intervals=work.intervals + now.intervals,
            totals=work.totals + now.totals,
            events=work.events + now.events,
            config=work.config or now.config,
            manual=work.manual + now.manual,
            destinations_gone=work.destinations_gone + now.destinations_gone,
            states=states | now.states,
        )

    async def _begin_anew(self) -> None:
        raise NotImplementedError


def _revisions(store: Queries, span: tuple[int, int], meters: set[str]) -> list[Interval]:
    return list(store.intervals(*span, meters=meters, all_revisions=True))

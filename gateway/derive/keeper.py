"""The task that keeps the inventory: tells what was applied, which instruments are in doubt, which verifications are due; publishes rates.

Every event goes into the journal once. What was told is known from the journal as it is derived (`Diary`), so nothing is told
before everything journaled has been read. A failure here is logged and told; nothing else waits for it. What takes long with
thousands of instruments is worked out in a thread, and journaled in portions.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from gateway.clock import sleep_for
from gateway.derive.diary import APPLIED, DUE, Diary, News
from gateway.errors import MetergateError
from gateway.evidence.days import span_of
from gateway.fitting.evidence import window_before
from gateway.inventory.calendar import due_reminders
from gateway.model import NS, Event

if TYPE_CHECKING:
    from datetime import date

    from gateway.config.models import Site
    from gateway.derive.deriver import Deriver
    from gateway.derive.following import Following
    from gateway.derive.rating import Rating
    from gateway.interfaces import Clock
    from gateway.inventory.revisions import Head, Revision
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal

LOOK_S = 60.0
SOON_S = 5.0  # while something waits for intervals
PATIENCE_S = 7200.0  # so long rates wait for the last interval of their window, once that is over
RETRY_S = 600.0  # between attempts at rates that failed
BACK_S = (
    86_400.0  # so long a clock nobody synchronises is not believed when it says a day before what was told
)
MISSING = "inventory_missing"
TOGETHER = 100  # events journaled before anybody else's turn

log = structlog.get_logger("inventory")


class Keeper:
    """Used by one task. rating: None where nothing is signed."""

    def __init__(
        self,
        site: Site,
        journal: Journal,
        deriver: Deriver,
        events: EventLog,
        clock: Clock,
        following: Following,
        rating: Rating | None,
    ) -> None:
        """following: has looked once."""
        self._site, self._journal, self._deriver = site, journal, deriver
        self._events, self._clock, self._following, self._rating = events, clock, following, rating
        self._wanted = journal.following  # what was journaled before tells what was told
        self._diary: Diary | None = None  # with what is noted and not derived yet
        self._missed = 0  # newest revision told of, while it is gone
        self._told: tuple[int, date] | None = None  # revision and day of what was told last
        self._day: date | None = None
        self._day_s = 0.0
        self._back_s: float | None = None  # since when the clock has been back
        self._retry_s = 0.0
        self._failure = ""

    async def run(self) -> None:
        """Keep the inventory for ever."""
        while True:
            is_settled = await self._look()
            await sleep_for(self._clock, LOOK_S if is_settled else SOON_S)

    async def _look(self) -> bool:
        """Do what is to be done; return False where something waits for intervals."""
        is_new, today = await self._following.look(), self._following.marks.day(self._clock.wall_ns())
        if is_new or today != self._day:
            if today != self._day:
                self._day, self._day_s = today, self._clock.monotonic()
            self._retry_s = 0.0
            self._deriver.announce()
        revision = self._following.revision
        if self._deriver.position >= self._wanted and not self._following.figures()["error"]:
            self._miss(0 if revision is None else revision.number)
        if revision is None:
            return True
        if self._diary is None:
            if self._deriver.position < self._wanted:
                return False
            self._diary = Diary(self._deriver.diary.body())
        if self._is_back(today, self._diary):
            return True
        if self._told != (revision.number, today):
            await self._tell(revision, today, self._diary)
            self._told = revision.number, today
        return self._rating is None or await self._rate(self._rating, revision, today)

    def _miss(self, newest: int) -> None:
        """Tell once that a revision which was told of is not there any more: no gap shows where the newest files went."""
        told = (self._diary or self._deriver.diary).revision
        if newest < told and self._missed != told:
            log.error("the newest revision of the inventory is gone", told=told, newest=newest)
            self._events.note(MISSING, self._site.gateway.id, told=told, newest=newest)
        self._missed = told if newest < told else 0

    def _is_back(self, today: date, diary: Diary) -> bool:
        """Return whether the clock is not to be believed: it says a day before what was told, and nobody synchronises it.

        A clock that was ahead and was put right by hand looks the same, so that is believed after a day.
        """
        if today >= self._following.marks.day(diary.told_ns) or self._clock.state().synchronised:
            self._back_s = None
            return False
        now_s = self._clock.monotonic()
        if self._back_s is None:
            self._back_s = now_s
            log.warning("the clock is back before what was told; nothing is told", day=today.isoformat())
        return now_s - self._back_s < BACK_S

    async def _tell(self, revision: Revision, today: date, diary: Diary) -> None:
        """Journal what nobody was told yet."""
        heads = self._following.since(diary.revision)
        oldest = today - timedelta(seconds=self._site.history.keep_s)
        self._deriver.diary.forget(oldest)
        news = await asyncio.to_thread(self._news, revision, today, oldest, diary)
        for number, one in enumerate([*map(self._applied, heads), *news], 1):
            event = Event(self._clock.wall_ns(), one.kind, one.subject, one.detail)
            self._events.note(one.kind, one.subject, **one.detail)
            diary.take(event)
            if number % TOGETHER == 0:
                await sleep_for(self._clock, 0.0)

    def _applied(self, head: Head) -> News:
        detail = {
            "revision": head.number,
            "by": head.by,
            "why": head.why,
            "digest": head.digest,
            "applied_ns": head.applied_ns,
            "changes": len(head.changes),
        }
        return News(APPLIED, self._site.gateway.id, detail)

    def _news(self, revision: Revision, today: date, oldest: date, diary: Diary) -> list[News]:
        """Return what an inventory has to tell: spans of doubt; verifications that end, once for each step ahead and once when over."""
        diary.forget(oldest)
        found = list(diary.spans(revision.inventory, today, oldest))
        meters = {one.id: one.meter for one in revision.inventory.instruments}
        steps = self._site.inventory.remind_days
        for one in due_reminders(revision.inventory, today, diary.reminded(today), steps):
            detail = {
                "instrument": one.instrument,
                "meter": meters[one.instrument],
                "last_day": one.last_day.isoformat(),
                "days_left": one.days_left,
                "step": one.step,
            }
            found.append(News(DUE, one.instrument, detail))
        return found

    async def _rate(self, rating: Rating, revision: Revision, today: date) -> bool:
        """Publish the fitting rates as they stand today, where that was not done; return False where that has to wait."""
        now_s = self._clock.monotonic()
        now_ns = self._clock.wall_ns()
        last = window_before(today).last
        end_ns = span_of(self._deriver.grid, last).end_ns  # after midnight, where days begin later
        is_late = now_ns >= end_ns + round(PATIENCE_S) * NS and now_s - self._day_s >= PATIENCE_S
        if self._deriver.closed_ns < end_ns and not is_late:
            return False
        if now_s < self._retry_s:
            return True
        self._retry_s = now_s + RETRY_S
        published = self._deriver.published
        try:
            found = await asyncio.to_thread(rating.rate, revision, today, now_ns, published)
        except MetergateError as error:
            if str(error) != self._failure:
                self._failure = str(error)
                log.error("fitting rates cannot be told", error=str(error))
                self._events.note("fitting_failed", self._site.gateway.id, error=str(error))
            return True
        self._failure = ""
        if found is not None:
            self._deriver.publish(*found)
            log.info("fitting rates told", as_of=today.isoformat(), revision=revision.number)
        return True

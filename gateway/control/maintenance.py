"""Maintenance: for a declared time a meter's (or a link's) readings carry MAINTENANCE and nobody is alarmed.

Readings go on, events stay. Of a meter that is away for verification (送检) what is missing has a reason of its own. It ends by itself and outlasts a restart: what is declared lies in `maintenance.json`
in the state folder, replaced as a whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import structlog

from gateway.clock import sleep_for
from gateway.control.requests import BadRequest, flag, number, one_of, only, text
from gateway.errors import StorageError
from gateway.model import NS
from gateway.state_folder import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog
    from gateway.polling.recorder import Recorder

FILE = "maintenance.json"
LONGEST_S = 90 * 86_400.0
CHECK_S = 1.0
ALL = "gateway"  # subject of an end that is that of everything declared before

log = structlog.get_logger("maintenance")


class Work(NamedTuple):
    """Maintenance of one subject. until_ns: wall time at which it ends by itself. removed: the meter is away for verification."""

    until_ns: int
    why: str
    by: str
    removed: bool = False

    def detail(self) -> dict[str, object]:
        """Return what its events say: `removed` only where it is true."""
        found = self._asdict()
        if not self.removed:
            del found["removed"]
        return found


class Maintenance:
    """What is under maintenance now."""

    def __init__(
        self, folder: Path, meters: Mapping[str, str], recorder: Recorder, events: EventLog, clock: Clock
    ) -> None:
        """folder: of the state. meters: meter -> link, of all that are read."""
        self._file, self._meters, self._clock = folder / FILE, meters, clock
        self._recorder, self._events = recorder, events
        self._subjects = frozenset(meters) | frozenset(meters.values())
        self._saving = asyncio.Lock()
        self._is_stale = False  # the file still names what was dropped when it was read
        self._works = self._load()
        self._apply()

    def _load(self) -> dict[str, Work]:
        try:
            entries = orjson.loads(self._file.read_bytes()).items()
        except FileNotFoundError:
            return {}
        except (OSError, orjson.JSONDecodeError, AttributeError) as error:
            self._drop(ALL, f"{self._file} cannot be read: {error}")
            return {}
        works = {}
        for subject, entry in entries:
            try:
                works[subject] = self._work(subject, entry)
            except (KeyError, OverflowError, TypeError, ValueError) as error:
                self._drop(subject, f"it cannot be used any more: {error}")
        return works

    def _work(self, subject: str, entry: Mapping[str, object]) -> Work:
        """Return an entry of the file. Raises KeyError, OverflowError, TypeError, ValueError on one that is none."""
        work = Work(int(entry["until_ns"]), str(entry["why"]), str(entry["by"]))  # type: ignore[call-overload]
        work = work._replace(removed=entry.get("removed") is True and subject in self._meters)
        if subject not in self._subjects:
            raise ValueError("no such link or enabled meter")
        if not 0 <= work.until_ns <= self._clock.wall_ns() + round(LONGEST_S * NS):
            raise ValueError("its end is out of bounds")
        return work

    def _drop(self, subject: str, why: str) -> None:
        """Forget maintenance that was declared before the start; in the journal it would stay open for ever."""
        self._is_stale = True
        log.error("maintenance is forgotten", subject=subject, why=why)
        self._events.note("maintenance_end", subject, why=why)

    def _apply(self) -> None:
        """Tell the recorder whose readings to mark and whom to keep quiet."""
        meters = [id_ for id_, link in self._meters.items() if id_ in self._works or link in self._works]
        self._recorder.under_maintenance(meters, self._works)

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """Declare maintenance, or end it with `for_s` 0: {"subject", "for_s", "why", "by", "removed"}; return what is in force.

        Raises BadRequest, StorageError.
        """
        only(request, "subject", "for_s", "why", "by", "removed")
        subject = one_of(request, "subject", self._subjects)
        for_s = number(request, "for_s", 0, LONGEST_S)
        by, removed = text(request, "by", ""), flag(request, "removed")
        if removed and subject not in self._meters:
            raise BadRequest(f"removed: only a meter is sent for verification, and {subject} is a link")
        if not for_s:
            durable = await self._end(subject, by=by)
            return {"subject": subject, "until_ns": None, "removed": False, "durable": durable}
        work = Work(self._clock.wall_ns() + round(for_s * NS), text(request, "why"), by, removed)
        self._works[subject] = work
        self._apply()
        log.info("maintenance begins", subject=subject, for_s=for_s, why=work.why, by=work.by)
        durable = await self._events.note_for_good("maintenance_begin", subject, **work.detail())
        await self._save()  # after the event: readings are marked whether the file takes it or not
        return {"subject": subject, "until_ns": work.until_ns, "removed": removed, "durable": durable}

    async def _end(self, subject: str, **more: object) -> bool:
        """End maintenance; return whether the event is on disk (true where there was nothing to end)."""
        work = self._works.pop(subject, None)
        if work is None:
            return True
        self._apply()
        log.info("maintenance ends", subject=subject, why=work.why)
        durable = await self._events.note_for_good("maintenance_end", subject, **(work.detail() | more))
        await self._save()
        return durable

    async def _save(self) -> None:
        body = orjson.dumps({subject: work._asdict() for subject, work in self._works.items()})
        async with self._saving:
            try:
                await asyncio.to_thread(replace_file, self._file, body)
            except OSError as error:
                text_ = (
                    f"maintenance holds until the gateway stops, but {self._file} cannot be written: {error}. Free space, or give "
                    "it to the gateway's user; then declare it again"
                )
                raise StorageError(text_) from error
        self._is_stale = False

    async def run(self) -> None:
        """End what is over, for ever."""
        if self._is_stale:
            try:
                await self._save()
            except StorageError as error:
                log.warning("maintenance that is forgotten stays in its file", error=str(error))
        while True:
            now_ns = self._clock.wall_ns()
            for subject in [subject for subject, work in self._works.items() if work.until_ns <= now_ns]:
                try:
                    await self._end(subject)
                except StorageError as error:
                    log.warning("the end of a maintenance is not on disk", subject=subject, error=str(error))
            await sleep_for(self._clock, CHECK_S)

    def figures(self) -> list[dict[str, Any]]:
        """Return what is under maintenance, as plain JSON values."""
        return [{"subject": subject} | work._asdict() for subject, work in sorted(self._works.items())]

"""Maintenance: for a declared time a meter's (or a link's) readings carry MAINTENANCE and nobody is alarmed.

Readings go on, events stay. It ends by itself and outlasts a restart: what is declared lies in `maintenance.json`
in the state folder, replaced as a whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import structlog

from gateway.clock import NS, sleep_for
from gateway.errors import StorageError
from gateway.model import Flag
from gateway.requests import number, one_of, only, text
from gateway.state_folder import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.interfaces import Clock
    from gateway.recorder import Recorder

FILE = "maintenance.json"
LONGEST_S = 90 * 86_400.0
CHECK_S = 1.0

log = structlog.get_logger("maintenance")


class Work(NamedTuple):
    """Maintenance of one subject. until_ns: wall time at which it ends by itself."""

    until_ns: int
    why: str
    by: str


class Maintenance:
    """What is under maintenance now."""

    def __init__(self, folder: Path, meters: Mapping[str, str], recorder: Recorder, clock: Clock) -> None:
        """folder: of the state. meters: meter -> link, of all that are read."""
        self._file, self._meters, self._recorder, self._clock = folder / FILE, meters, recorder, clock
        self._subjects = frozenset(meters) | frozenset(meters.values())
        self._saving = asyncio.Lock()
        self._works = self._load()
        self._apply()

    def _load(self) -> dict[str, Work]:
        try:
            body = orjson.loads(self._file.read_bytes())
            works = {
                subject: Work(int(entry["until_ns"]), str(entry["why"]), str(entry["by"]))
                for subject, entry in body.items()
            }
        except FileNotFoundError:
            return {}
        except (
            OSError,
            orjson.JSONDecodeError,
            AttributeError,
            KeyError,
            OverflowError,
            TypeError,
            ValueError,
        ) as error:
            log.error(
                "maintenance is forgotten: its file cannot be read", file=str(self._file), error=str(error)
            )
            return {}
        latest_ns = self._clock.wall_ns() + round(LONGEST_S * NS)
        return {
            subject: work
            for subject, work in works.items()
            if subject in self._subjects and 0 <= work.until_ns <= latest_ns
        }

    def _apply(self) -> None:
        """Tell the recorder whose readings to mark and whom to keep quiet."""
        meters = [id_ for id_, link in self._meters.items() if id_ in self._works or link in self._works]
        self._recorder.marks = dict.fromkeys(meters, int(Flag.MAINTENANCE))
        self._recorder.quiet = frozenset(self._works) | frozenset(meters)

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """Declare maintenance, or end it with `for_s` 0: {"subject", "for_s", "why", "by"}; return what is in force.

        Raises BadRequest, StorageError.
        """
        only(request, "subject", "for_s", "why", "by")
        subject = one_of(request, "subject", self._subjects)
        for_s = number(request, "for_s", 0, LONGEST_S)
        by = text(request, "by", "")
        if not for_s:
            await self._end(subject, by=by)
            return {"subject": subject, "until_ns": None}
        work = Work(self._clock.wall_ns() + round(for_s * NS), text(request, "why"), by)
        self._works[subject] = work
        self._apply()
        await self._save()
        log.info("maintenance begins", subject=subject, for_s=for_s, why=work.why, by=work.by)
        await self._recorder.event_for_good("maintenance_begin", subject, **work._asdict())
        return {"subject": subject, "until_ns": work.until_ns}

    async def _end(self, subject: str, **more: object) -> None:
        work = self._works.pop(subject, None)
        if work is None:
            return
        self._apply()
        log.info("maintenance ends", subject=subject, why=work.why)
        self._recorder.event("maintenance_end", subject, **(work._asdict() | more))
        await self._save()

    async def _save(self) -> None:
        body = orjson.dumps({subject: work._asdict() for subject, work in self._works.items()})
        async with self._saving:
            try:
                await asyncio.to_thread(replace_file, self._file, body)
            except OSError as error:
                text_ = (
                    f"maintenance holds until the gateway stops, but {self._file} cannot be written: {error}"
                )
                raise StorageError(text_) from error

    async def run(self) -> None:
        """End what is over, for ever."""
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

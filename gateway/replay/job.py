"""The verb `replay` of a running gateway: one at a time, in the background, a few thousand readings in memory.

First everything is counted; then the rule is journaled (event `replay`) and kept; then the corrected readings go to the
InfluxDB sinks, over connections of their own. Broken off and asked for again, it writes the same lines again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import structlog

from gateway.backoff import Backoff
from gateway.clock import local, sleep_for
from gateway.config.sinks import InfluxConfig, MqttConfig
from gateway.control.requests import BadRequest, one_of, only, text
from gateway.errors import MetergateError, SinkUnavailable
from gateway.replay.corrector import Corrector, journaled
from gateway.replay.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site
    from gateway.config.sinks import SinkConfig
    from gateway.interfaces import Clock, Directory, Sink
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal
    from gateway.journal.reader import Reader
    from gateway.model import Frame
    from gateway.replay.rules import Rule, Rules
    from gateway.sinks.influx import InfluxSink

FRAMES_MAX = 1_000  # in one write
CAUGHT_UP_S = 15.0  # a sink has this long to take what is journaled of that time
OUTAGE_MAX_S = 120.0  # of a sink during a replay
PAUSE_S = 0.2

log = structlog.get_logger("replay")


class Wanted(NamedTuple):
    """One replay as it was asked for."""

    meter: str
    from_ns: int
    to_ns: int
    dry_run: bool
    same_addresses: bool
    by: str
    why: str


class Replays:
    """The replays of a running gateway."""

    def __init__(
        self,
        site: Site,
        library: Library,
        journal: Journal,
        events: EventLog,
        clock: Clock,
        directory: Directory,
        new_sink: Callable[[SinkConfig, Directory, Clock], Sink],
        readers: Mapping[str, Reader],
        rules: Rules,
    ) -> None:
        """new_sink: makes a sink of its own for each replay. readers: by sink, as the deliverers advance them."""
        self._site, self._library, self._journal, self._events = site, library, journal, events
        self._clock, self._directory, self._new_sink, self._readers = clock, directory, new_sink, readers
        self._rules = rules
        self._meters = {meter.id: meter for meter in site.meters}
        self._asked: asyncio.Queue[Wanted] = asyncio.Queue()
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._figures: dict[str, Any] = {"phase": "idle"}

    async def start(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Begin a replay: {"meter", "from_ns", "to_ns", "dry_run", "same_addresses", "by", "why"}. Raises BadRequest."""
        only(request, "meter", "from_ns", "to_ns", "dry_run", "same_addresses", "by", "why")
        if self._figures["phase"] not in {"idle", "done", "failed"}:
            raise BadRequest(f"a replay of {self._figures['meter']} runs; one at a time")
        from_ns, to_ns = _time(request, "from_ns"), _time(request, "to_ns")
        if from_ns >= to_ns:
            zone = self._site.site.timezone
            raise BadRequest(f"from_ns: {local(from_ns, zone)} is not before {local(to_ns, zone)}")
        wanted = Wanted(
            one_of(request, "meter", self._meters),
            from_ns,
            to_ns,
            request.get("dry_run") is True,
            request.get("same_addresses") is True,
            text(request, "by", ""),
            text(request, "why", "" if request.get("dry_run") is True else None),
        )
        self._figures = {"phase": "counting", "meter": wanted.meter, "done": 0.0}
        self._asked.put_nowait(wanted)
        return self._figures

    async def state(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Return how far the replay is: phase (idle, counting, waiting, writing, done, failed), done (0 to 1), result or error."""
        only(request)
        return self._figures

    async def stop(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Break the replay off; asked for again it writes the same lines again."""
        only(request)
        if self._task is not None:
            self._task.cancel()
        return self._figures

    async def run(self) -> None:
        """Do one replay after another, for ever."""
        while True:
            wanted = await self._asked.get()
            self._task = asyncio.create_task(self._replay(wanted))
            try:
                await asyncio.wait({self._task})
            finally:
                if not self._task.done():
                    self._task.cancel()
                    await asyncio.wait({self._task})
            self._end(wanted, self._task)
            self._task = None

    def _end(self, wanted: Wanted, task: asyncio.Task[dict[str, Any]]) -> None:
        if task.cancelled():
            self._figures = {"phase": "failed", "meter": wanted.meter, "error": "stopped before its end"}
            return
        error = task.exception()
        if error is None:
            self._figures = {"phase": "done", "meter": wanted.meter, "done": 1.0, "result": task.result()}
        elif isinstance(error, MetergateError):
            log.warning("replay failed", meter=wanted.meter, error=str(error))
            self._figures = {"phase": "failed", "meter": wanted.meter, "error": str(error)}
        else:  # a bug: seen by whoever supervises this task
            self._figures = {"phase": "failed", "meter": wanted.meter, "error": f"bug: {error!r}"}
            raise error

    def _tell(self, phase: str, done: float) -> None:
        self._figures = self._figures | {"phase": phase, "done": round(done, 4)}

    async def _replay(self, wanted: Wanted) -> dict[str, Any]:
        """Return what was, or would be, done. Raises CannotReplay, StorageError, SinkUnavailable."""
        await self._journal.flush()
        until = self._journal.following
        survey = await self._survey(wanted, self._meters[wanted.meter], until)
        found = survey.rules(self._rules, wanted.from_ns, wanted.to_ns)
        result: dict[str, Any] = wanted._asdict() | {
            "layouts": [
                tally.to_json(found[digest][0].rev if digest in found else 0)
                for digest, tally in survey.tallies.items()
            ],
            "oldest_ns": await self._oldest_ns(),
            "older_gone": self._journal.oldest_before > 0,
            "repeat": bool(found) and not any(new for _, new in found.values()),
            "sinks": {},
            "not_told": [sink.id for sink in self._site.sinks if isinstance(sink, MqttConfig)],
        }
        if wanted.dry_run or not found:
            return result
        configs = [config for config in self._site.sinks if isinstance(config, InfluxConfig)]
        for config in configs:
            await self._caught_up(config.id, survey)
        result["durable"] = await self._declare(wanted, survey, found)
        correctors = {digest: survey.tallies[digest].corrector for digest in found}
        for config in configs:
            result["sinks"][config.id] = await self._write(wanted, config, correctors, found, until)
        log.info("replayed", meter=wanted.meter, by=wanted.by, sinks=result["sinks"])
        return result

    async def _oldest_ns(self) -> int | None:
        """Return the time from which on the journal has readings, None if it has none."""
        spans = await self._journal.spans(self._journal.oldest, self._journal.following)
        return spans[0][1] if spans else None

    async def _survey(self, wanted: Wanted, meter: MeterConfig, until: int) -> Survey:
        zone = self._site.site.timezone
        survey = Survey(meter, self._library, zone, same_addresses=wanted.same_addresses)
        async for part in journaled(self._journal, wanted.meter, wanted.from_ns, wanted.to_ns, until):
            survey.take(part.frames, part.first_group, part.last_group)
            self._tell("counting", part.done)
        return survey

    async def _caught_up(self, sink: str, survey: Survey) -> None:
        """Return once a sink has all that is to be replayed, for what it takes later would undo it. Raises MetergateError."""
        end_s = self._clock.monotonic() + CAUGHT_UP_S
        self._tell("waiting", 0.0)
        while not _has_taken(self._readers[sink], survey.first_group, survey.last_group):
            if self._clock.monotonic() > end_s:
                raise MetergateError(
                    f"sink {sink} has not taken all readings of that time yet, and would put the old values over the corrected "
                    "ones; replay again when `metergate status` shows nothing pending"
                )
            await sleep_for(self._clock, PAUSE_S)

    async def _declare(self, wanted: Wanted, survey: Survey, found: Mapping[str, tuple[Rule, bool]]) -> bool:
        """Journal and keep the new rules; return whether their events are on disk."""
        durable = True
        for digest, (rule, is_new) in found.items():
            if is_new:
                await asyncio.to_thread(self._rules.add, rule)
                detail = rule._asdict() | {"readings": survey.tallies[digest].readings}
                del detail["meter"]
                detail |= {"by": wanted.by, "why": wanted.why}
                durable &= await self._events.note_for_good("replay", wanted.meter, **detail)
        return durable

    async def _write(
        self,
        wanted: Wanted,
        config: SinkConfig,
        correctors: Mapping[str, Corrector],
        found: Mapping[str, tuple[Rule, bool]],
        until: int,
    ) -> dict[str, Any]:
        """Return what a sink took: readings written, refused, and the last reason."""
        sink = cast("InfluxSink", self._new_sink(config, self._directory, self._clock))
        fresh = {digest: Corrector(c.before, c.after) for digest, c in correctors.items()}
        counts: dict[str, Any] = {"written": 0, "refused": 0, "reason": ""}
        try:
            async for part in journaled(self._journal, wanted.meter, wanted.from_ns, wanted.to_ns, until):
                by_rev: dict[int, list[Frame]] = {}
                for frame in part.frames:
                    if frame.layout.digest in fresh:
                        rev = found[frame.layout.digest][0].rev
                        by_rev.setdefault(rev, []).append(fresh[frame.layout.digest].frame(frame))
                for rev, frames in by_rev.items():
                    for n in range(0, len(frames), FRAMES_MAX):
                        await self._rewrite(sink, frames[n : n + FRAMES_MAX], rev, counts)
                self._tell("writing", part.done)
        finally:
            await sink.close()
        return counts

    async def _rewrite(self, sink: InfluxSink, frames: list[Frame], rev: int, counts: dict[str, Any]) -> None:
        """Write frames, through an outage of some length. Raises SinkUnavailable."""
        backoff = Backoff(0.25, 10.0)
        end_s = self._clock.monotonic() + OUTAGE_MAX_S
        while True:
            try:
                if not sink.is_open:
                    await sink.open()
                refusals = await sink.rewrite(frames, rev)
            except SinkUnavailable as error:
                if self._clock.monotonic() > end_s:
                    text_ = f"{error}; replay again when it is back: the rule stands, the same lines are written again"
                    raise SinkUnavailable(text_) from error
                await sink.close()
                await sleep_for(self._clock, max(backoff.next_s(), min(error.retry_after_s or 0.0, 30.0)))
                continue
            refused = sum(len(frames[refusal.index].flags) for refusal in refusals)
            counts["written"] += sum(len(frame.flags) for frame in frames) - refused
            counts["refused"] += refused
            counts["reason"] = refusals[-1].reason if refusals else counts["reason"]
            return


def _has_taken(reader: Reader, first: int, last: int) -> bool:
    """Return whether a reader has passed the groups first to last, and will not take them again."""
    if reader.live <= last:
        return False
    return not any(span.start <= last and first < span.until for span in reader.snapshot().backlog)


def _time(request: Mapping[str, object], key: str) -> int:
    found = request.get(key)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise BadRequest(f"{key}: expected nanoseconds since 1970, found {found!r:.80}")
    return found

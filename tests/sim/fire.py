"""Delivery under fire: a simulated plant whose disk refuses, whose files go, at scripted moments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import apsw
import structlog

from gateway.history.read import ReadOnlyHistory
from gateway.model import NS, Gap
from simulators.virtual import run
from tests.sim import feed_oracles
from tests.sim.plant import START_NS, Plant
from tests.unit import history_rig, journal_rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.app import Gateway
    from gateway.intervals.model import Interval
    from tests.sim.plant import Plan, Result

Blow = tuple[float, "Callable[[FirePlant], None]"]
"""When, and what happens to the plant."""


class FirePlant(Plant):
    """gateway: of the life that is on, or of the last one."""

    gateway: Gateway

    def __init__(self, plan: Plan, folder: Path, blows: Iterable[Blow]) -> None:
        super().__init__(plan, folder)
        self._blows = sorted(blows, key=lambda blow: blow[0])

    def _gateway(self) -> Gateway:
        self.gateway = super()._gateway()
        return self.gateway

    async def run(self) -> Result:
        striking = asyncio.create_task(self._strike())
        result = await super().run()
        await striking
        return result

    async def _strike(self) -> None:
        for at_s, blow in self._blows:
            await self.clock.sleep_until(at_s)
            blow(self)


def play(plan: Plan, folder: Path, blows: Iterable[Blow] = (), *, history_max: int = 0) -> Result:
    """Return what the plan led to under these blows. history_max: bytes of the history, 0: as by default; smaller than a file may say."""

    async def main() -> Result:
        plant = FirePlant(plan, folder, blows)
        if history_max:
            history = plant.site.history.model_copy(update={"size_max_bytes": history_max})
            plant.site = plant.site.model_copy(update={"history": history})
        return await plant.run()

    with structlog.testing.capture_logs() as logs:
        result = run(main())
    result.logs = [dict(entry) for entry in logs]
    return result


def history_full(begin_s: float, end_s: float) -> list[Blow]:
    """Return a disk that takes nothing of the history for a while."""

    def turn(is_full: bool) -> Callable[[FirePlant], None]:
        return lambda plant: history_rig.disk_refuses(plant.gateway.derivation.history, is_full)

    return [(begin_s, turn(True)), (end_s, turn(False))]


def journal_full(begin_s: float, end_s: float) -> list[Blow]:
    """Return a disk that takes nothing of the journal for a while."""

    def turn(is_full: bool) -> Callable[[FirePlant], None]:
        return lambda plant: journal_rig.disk_refuses(plant.gateway.journal, is_full)

    return [(begin_s, turn(True)), (end_s, turn(False))]


def no_more_pages(database: str, begin_s: float, end_s: float) -> list[Blow]:
    """Return a disk on which a file (`journal` or `history`) cannot grow for a while: the system says that it is full."""

    def limit(is_full: bool) -> Callable[[FirePlant], None]:
        def blow(plant: FirePlant) -> None:
            gateway = plant.gateway
            db = (gateway.journal if database == "journal" else gateway.derivation.history)._store._db
            db.execute(f"PRAGMA max_page_count={1 if is_full else 1 << 30}")  # 1: as many as it has

        return blow

    return [(begin_s, limit(True)), (end_s, limit(False))]


def remove(plant: FirePlant, name: str) -> None:
    """Delete a database between two lives."""
    for path in plant.folder.glob(f"{name}*"):
        path.unlink()


def noise(path: Path, share: float) -> None:
    """Spoil the last part of a file."""
    body = path.read_bytes()
    start = round(len(body) * (1 - share))
    path.write_bytes(body[:start] + b"\xa5" * (len(body) - start))


def spoil_running(db: apsw.Connection, path: Path) -> None:
    """Damage a file under the gateway's hands, and have SQLite look at it."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("PRAGMA shrink_memory")
    noise(path, 0.8)


def spoil_groups(folder: Path, begin_s: float, end_s: float) -> None:
    """Turn bits over in the groups of frames that were journaled in a stretch of time."""
    db = apsw.Connection(str(folder / "journal.db"))
    span = [START_NS + round(at_s * NS) for at_s in (begin_s, end_s)]
    db.execute(
        "UPDATE groups SET body = zeroblob(length(body)) WHERE frames > 0 AND first_ns >= ? AND first_ns < ?",
        span,
    )
    db.close()


def kept(folder: Path) -> list[Interval]:
    """Return the newest revision of every interval, in order."""
    with ReadOnlyHistory(folder / "history.db") as history:
        found = feed_oracles.newest(list(history.intervals(all_revisions=True)))
    return sorted(found.values(), key=lambda one: (one.epoch, one.start_ns, one.meter))


def position(folder: Path, name: str) -> dict[str, Any]:
    """Return how far a destination of the feed is."""
    with ReadOnlyHistory(folder / "history.db") as history:
        return history.destinations()[name]


def gaps(folder: Path) -> list[Gap]:
    """Return the gap records the journal holds at the end."""
    return [record for record in journal_rig.notes(folder) if isinstance(record, Gap)]


def missing(intervals: Iterable[Interval], reason: str) -> int:
    """Return how many readings of reported channels are missing for that reason."""
    return sum(channel.gaps.get(reason, 0) for one in intervals for channel in one.channels)  # type: ignore[call-overload]

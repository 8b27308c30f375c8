"""What an entered reading is held against: the newest before its time, read or entered, of the meter that hangs there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.control.history import History
from gateway.control.last_readings import Lasts
from gateway.declared import Declared, Swap
from gateway.journal.event_log import EventLog
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel
from simulators.virtual import VirtualClock
from tests.unit.journal_rig import MS_NS, START_NS, frame, open_journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.journal.journal import Journal
KEY = "energy_active_import_total"
UNITS = {KEY: "kW·h"}
COUNTER = Layout(
    "m-1",
    1.0,
    (Channel(KEY, "energy_active_import", "kW·h", "counter"),),
    (Slot((Part("u16"),), coefficient="1"),),
)


class Rig:
    def __init__(self, folder: Path, clock: VirtualClock, journal: Journal) -> None:
        self.journal, self.declared = journal, Declared(folder)
        self.events = EventLog(journal, clock)
        self.lasts = Lasts(journal, History(journal, clock), self.declared, clock)

    async def entered(self, reading: str, ms: int, meter: str = "m-1") -> None:
        at = {"channel": KEY, "reading": reading, "unit": "kW·h", "time_ns": START_NS + ms * MS_NS}
        await self.events.note_for_good("manual_reading", meter, **at, by="Li", why="w")

    async def before(self, ms: int) -> tuple[str, str] | None:
        found = (await self.lasts.before("m-1", UNITS, START_NS + ms * MS_NS)).get(KEY)
        return None if found is None else (f"{found.exact:f}", found.origin)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock = VirtualClock(START_NS + 1000 * MS_NS)
    journal = open_journal(tmp_path, clock)
    yield Rig(tmp_path, clock, journal)
    await journal.close()


async def test_nothing_is_known_of_a_meter_without_readings(rig: Rig) -> None:
    await rig.entered("5", 1, meter="m-2")
    assert await rig.before(10) is None


async def test_the_newest_counts_whoever_read_it(rig: Rig) -> None:
    rig.journal.append(frame(COUNTER, 100))
    assert await rig.before(200) == ("100", "journal")
    await rig.entered("150", 150)
    assert await rig.before(200) == ("150", "manual")
    assert await rig.before(120) == ("100", "journal"), "what came later says nothing"
    rig.journal.append(frame(COUNTER, 180))
    assert await rig.before(200) == ("180", "journal")


async def test_a_slip_of_the_pen_is_put_right_without_a_word(rig: Rig) -> None:
    """Entered again with the same time: the later of two counts."""
    await rig.entered("99999", 10)
    assert await rig.before(10) is None
    await rig.entered("9999", 10)
    assert await rig.before(20) == ("9999", "manual")


async def test_another_meter_begins_anew(rig: Rig) -> None:
    await rig.entered("5000", 10)
    rig.declared.add_swap("m-1", Swap("A77", START_NS + 50 * MS_NS, "Li", "dead"))
    assert await rig.before(40) == ("5000", "manual")
    assert await rig.before(60) is None
    await rig.entered("3", 70)
    assert await rig.before(80) == ("3", "manual")

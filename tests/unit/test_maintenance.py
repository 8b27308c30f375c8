"""What the journal says of maintenance when the disk refuses, and when the file names what is not there any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.control.maintenance import FILE, Maintenance
from gateway.control.requests import BadRequest
from gateway.errors import StorageError
from gateway.health import Health, MeterHealth
from gateway.journal.event_log import EventLog
from gateway.model import NS, Event, Flag
from gateway.polling.recorder import Recorder
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import START_NS, disk_refuses, notes, open_journal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

METERS = {"m-1": "link-1", "m-2": "link-1"}


class Bench:
    """Maintenance of two meters, with the journal it tells."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(START_NS)
        self.journal = open_journal(folder, self.clock)
        health = Health(meters={id_: MeterHealth("link-1") for id_ in METERS})
        self.events = EventLog(self.journal, self.clock)
        self.recorder = Recorder(self.journal, self.events, self.clock, health)
        self.maintenance = Maintenance(folder, METERS, self.recorder, self.events, self.clock)


def told(folder: Path, script: Callable[[Bench], Awaitable[None]]) -> list[tuple[str, str]]:
    """Return (kind, subject) of what was journaled of maintenance."""

    async def main() -> None:
        bench = Bench(folder)
        await script(bench)
        await bench.journal.close()

    run(main())
    events = [note for note in notes(folder) if isinstance(note, Event)]
    return [(event.kind, event.subject) for event in events if event.kind.startswith("maintenance")]


def details(folder: Path) -> list[object]:
    """Return what the journal's events of maintenance say of `removed`."""
    return [
        note.detail.get("removed")
        for note in notes(folder)
        if isinstance(note, Event) and "maint" in note.kind
    ]


def entry(until_s: float = 60.0) -> dict[str, Any]:
    return {"until_ns": START_NS + round(until_s * NS), "why": "w", "by": ""}


async def nothing(_: Bench) -> None:
    """Only start and stop."""


def test_what_marks_readings_is_journaled_although_it_cannot_be_saved(tmp_path: Path) -> None:
    async def script(bench: Bench) -> None:
        (tmp_path / FILE).mkdir()  # a file that cannot be replaced
        with pytest.raises(StorageError, match="cannot be written"):
            await bench.maintenance.answer({"subject": "m-1", "for_s": 60, "why": "CT"})
        assert bench.recorder.marks == {"m-1": Flag.MAINTENANCE}

    assert told(tmp_path, script) == [("maintenance_begin", "m-1")]


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ({"m-1": entry(), "m-9": entry()}, ["m-9"]),
        ({"m-1": entry(), "m-2": entry(until_s=1e9)}, ["m-2"]),
        ({"m-1": entry(), "m-2": {"until_ns": "soon"}}, ["m-2"]),
        ([1], ["gateway"]),
    ],
)
def test_what_a_start_drops_does_not_stay_open(tmp_path: Path, body: object, ended: list[str]) -> None:
    (tmp_path / FILE).write_bytes(orjson.dumps(body))
    assert told(tmp_path, nothing) == [("maintenance_end", subject) for subject in ended]


def test_what_a_start_drops_is_told_once(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(orjson.dumps({"m-1": entry(), "m-9": entry()}))

    async def twice(bench: Bench) -> None:
        task = asyncio.create_task(bench.maintenance.run())
        await asyncio.sleep(3)
        task.cancel()
        again = Maintenance(tmp_path, METERS, bench.recorder, bench.events, bench.clock)
        assert [row["subject"] for row in again.figures()] == ["m-1"]

    assert told(tmp_path, twice) == [("maintenance_end", "m-9")]


def test_a_link_marks_all_its_meters_and_keeps_both_quiet(tmp_path: Path) -> None:
    async def script(bench: Bench) -> None:
        await bench.maintenance.answer({"subject": "link-1", "for_s": 60, "why": "CT"})
        assert set(bench.recorder.marks) == {"m-1", "m-2"}
        assert bench.recorder.quiet == {"link-1", "m-1", "m-2"}

    told(tmp_path, script)


def test_an_answer_says_whether_it_is_on_disk(tmp_path: Path) -> None:
    async def script(bench: Bench) -> None:
        asked = {"subject": "m-1", "for_s": 60, "why": "CT"}
        assert (await bench.maintenance.answer(asked))["durable"] is True
        disk_refuses(bench.journal, True)
        assert (await bench.maintenance.answer(asked))["durable"] is False
        assert (await bench.maintenance.answer({"subject": "m-1", "for_s": 0}))["durable"] is False
        disk_refuses(bench.journal, False)
        assert await bench.events.note_for_good("stop", "gateway") is True

    assert len(told(tmp_path, script)) == 3


def test_a_meter_away_for_verification_is_told_in_file_events_and_figures(tmp_path: Path) -> None:
    async def script(bench: Bench) -> None:
        asked = {"subject": "m-1", "for_s": 60, "why": "verification", "removed": True}
        assert (await bench.maintenance.answer(asked))["removed"] is True
        assert bench.recorder.marks == {"m-1": Flag.MAINTENANCE}
        again = Maintenance(tmp_path, METERS, bench.recorder, bench.events, bench.clock)
        assert [row["removed"] for row in again.figures()] == [True]
        await again.answer({"subject": "m-1", "for_s": 0})
        await again.answer({"subject": "m-1", "for_s": 60, "why": "CT"})

    assert [kind for kind, _ in told(tmp_path, script)] == [
        "maintenance_begin", "maintenance_end", "maintenance_begin",
    ]  # fmt: skip
    assert details(tmp_path) == [True, True, None]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"subject": "link-1", "removed": True}, "only a meter is sent for verification"),
        ({"removed": "yes"}, "removed: expected true or false"),
        ({"gone": True}, "no such key"),
    ],
)
def test_who_cannot_be_away_is_refused(tmp_path: Path, more: dict[str, object], said: str) -> None:
    async def script(bench: Bench) -> None:
        with pytest.raises(BadRequest, match=said):
            await bench.maintenance.answer({"subject": "m-1", "for_s": 60, "why": "w"} | more)

    assert told(tmp_path, script) == []


def test_a_file_of_an_earlier_version_takes_nobody_for_away(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(orjson.dumps({"m-1": entry(), "link-1": entry() | {"removed": True}}))

    async def script(bench: Bench) -> None:
        assert [row["removed"] for row in bench.maintenance.figures()] == [False, False]

    told(tmp_path, script)

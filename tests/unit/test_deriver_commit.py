"""What waits for a commit that fails is in the next one, whatever it failed by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.clock import SystemClock
from gateway.config.site_file import from_toml
from gateway.derive.agenda import Agenda
from gateway.derive.deriver import Deriver
from gateway.errors import StorageError
from gateway.history.work import Dropped, TotalRow
from gateway.intervals.engine import Engine
from gateway.intervals.model import Interval
from gateway.journal.store import ReaderState
from gateway.model import NS, Event
from tests.unit.test_deriver_begin import SITE

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.history.work import Work

ONE = Interval("m-1", 0, 0, 900 * NS, (), 930 * NS)


class History:
    """Takes a commit after it has failed as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.taken = list(failures), list[Any]()

    async def commit(self, work: Work) -> Dropped:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(work)
        return Dropped()


class Reader:
    """Stands somewhere in the journal."""

    def snapshot(self) -> ReaderState:
        return ReaderState("intervals", 1, 0)


def deriver(folder: Path, history: History) -> Deriver:
    """Return one that has an interval, a summary and an event to commit."""
    site = from_toml(SITE, folder / "site.toml")
    nothing = cast("Any", None)
    made = Deriver(site, nothing, cast("Any", history), SystemClock(), nothing, None)
    made._agenda = Agenda(made.grid, None, site.intervals)
    made._engine, made._reader = Engine(made.grid, 0), cast("Any", Reader())
    made._within = None
    made._work.intervals.append(ONE)
    made._work.totals.append(TotalRow("hour", 0, 0, 3600 * NS, 0, {"meters": {}}))
    made._work.events.append(Event(1, "start", "plant-1", {}))
    made._work.states["aggregates 1"] = {"rev": 1}
    return made


@pytest.mark.parametrize("failure", [StorageError("disk full"), ValueError("a bug")])
async def test_what_was_not_committed_is_in_the_next_commit(tmp_path: Path, failure: Exception) -> None:
    history = History(failure)
    made = deriver(tmp_path, history)
    with pytest.raises(type(failure)):
        await made._commit_once()
    made._work.events.append(Event(2, "stop", "plant-1", {}))
    await made._commit_once()
    (work,) = history.taken
    assert work.intervals == [ONE]
    assert [row.period for row in work.totals] == ["hour"]
    assert [event.kind for event in work.events] == ["start", "stop"]
    assert work.states["aggregates 1"] == {"rev": 1}
    assert {"intervals", "reader", "agenda"} <= work.states.keys()
    assert not made._work.intervals


async def test_after_a_bug_nothing_is_read_on_before_what_waits_is_kept(tmp_path: Path) -> None:
    made = deriver(tmp_path, History(ValueError("a bug")))
    made._reader = cast("Any", None)  # to read from it would be another error
    with pytest.raises(AttributeError):
        await made._commit_once()  # the place in the journal cannot be told
    assert made._work.intervals == [ONE]
    made._reader = cast("Any", Reader())
    with pytest.raises(ValueError, match="a bug"):
        await made.run()
    assert made._work.intervals == [ONE]

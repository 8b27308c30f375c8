"""The journal against a simple model, with crash points: kills, a disk that refuses, sinks that stop half way."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from simulators.virtual import VirtualClock, VirtualLoop
from tests.unit.journal_rig import START_NS, disk_refuses, frame, kill, open_journal, small_layout

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.journal.journal import Journal
    from gateway.journal.reader import Reader

LAYOUTS = [small_layout("m-1", channels=1), small_layout("m-2", channels=30)]
SINKS = ("a", "b")


class JournalModel(RuleBasedStateMachine):
    """What was appended, committed and acknowledged, kept in plain lists beside the journal."""

    options: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.loop = VirtualLoop()
        self.clock = VirtualClock(START_NS)
        self.n = 0
        self.open: list[tuple[int, int]] = []  # (number, readings), appended and not committed
        self.committed: list[tuple[int, int]] = []
        self.received: dict[str, list[int]] = {sink: [] for sink in SINKS}
        self.acknowledged: dict[str, set[int]] = {sink: set() for sink in SINKS}
        self.durable: dict[str, set[int]] = {sink: set() for sink in SINKS}
        self.refuses = False
        self.journal: Journal
        self.readers: dict[str, Reader] = {}
        self._reopen()
        self._do(self.journal.flush())  # the readers begin here

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def _reopen(self) -> None:
        async def opened() -> None:
            self.journal = open_journal(self.folder, self.clock, **self.options)
            self.readers = {sink: await self.journal.reader(sink) for sink in SINKS}

        self._do(opened())

    @rule(kind=st.integers(0, 1), count=st.integers(1, 100))
    def append(self, kind: int, count: int) -> None:
        layout = LAYOUTS[kind]
        for _ in range(count):
            self.n += 1
            self._do(self._append(frame(layout, self.n)))
            self.open.append((self.n, len(layout.slots)))

    async def _append(self, what: Any) -> None:
        self.journal.append(what)

    @rule()
    def commit(self) -> None:
        self._do(self.journal.flush())
        if self.refuses:
            assert not self.open or self.journal.error
            return
        if "pages_max" in self.options and self.journal.error:
            return  # more at once than the whole file holds
        assert self.journal.error is None
        self.committed += self.open
        self.open = []
        self.durable = {sink: set(numbers) for sink, numbers in self.acknowledged.items()}

    @rule(sink=st.sampled_from(SINKS), answer=st.sampled_from(["good", "silent"]))
    def deliver(self, sink: str, answer: str) -> None:
        reader = self.readers[sink]
        batch = self._do(reader.take(backlog=True))
        if batch is None:
            return
        numbers = [(f.time_ns - START_NS) // 1_000_000 for f in batch.frames]
        assert numbers == sorted(numbers)
        self.received[sink] += numbers
        if answer == "good":
            reader.acknowledge(batch.readings, 0)
            self.acknowledged[sink] |= set(numbers)

    @rule(sink=st.sampled_from(SINKS))
    def shift(self, sink: str) -> None:
        self.readers[sink].shift()

    @precondition(lambda self: not self.refuses)
    @rule()
    def disk_fails(self) -> None:
        disk_refuses(self.journal, True)
        self.refuses = True

    @precondition(lambda self: self.refuses)
    @rule()
    def disk_is_well(self) -> None:
        disk_refuses(self.journal, False)
        self.refuses = False

    @rule()
    def kill_and_restart(self) -> None:
        kill(self.journal)
        self.open = []
        self.refuses = False
        self.acknowledged = {sink: set(numbers) for sink, numbers in self.durable.items()}
        self._reopen()

    @precondition(lambda self: not self.refuses)
    @rule()
    def stop_and_restart(self) -> None:
        self.commit()
        if self.journal.error:
            return
        self._do(self.journal.close())
        self._reopen()

    @invariant()
    def every_reading_is_accounted_for(self) -> None:
        total = sum(readings for _, readings in self.committed)
        assert self.journal.readings == total
        for reader in self.readers.values():
            assert reader.delivered + reader.refused + reader.missed + reader.pending == total
            assert reader.pending >= 0
            assert reader.missed >= 0

    @invariant()
    def nothing_is_delivered_that_was_not_committed(self) -> None:
        known = {number for number, _ in self.committed}
        for numbers in self.received.values():
            assert set(numbers) <= known

    def _finish(self, sink: str) -> None:
        reader = self.readers[sink]
        while (batch := self._do(reader.take(backlog=True))) is not None:
            self.received[sink] += [(f.time_ns - START_NS) // 1_000_000 for f in batch.frames]
            reader.acknowledge(batch.readings, 0)

    def teardown(self) -> None:
        """Every committed frame arrives in the end, or is counted as missed."""
        try:
            for sink in SINKS:
                self._finish(sink)
                missing = [n for n in self.committed if n[0] not in set(self.received[sink])]
                assert sum(readings for _, readings in missing) <= self.readers[sink].missed
                if self.journal.figures()["dropped"] == 0:
                    assert not missing
                assert self.readers[sink].pending == 0
        finally:
            kill(self.journal)
            self.loop.close()
            asyncio.set_event_loop(None)
            shutil.rmtree(self.folder)


class CappedJournalModel(JournalModel):
    """The same with a cap that bites after a few groups."""

    options: ClassVar[dict[str, int]] = {"size_max": 12 * 4096}


class FullDiskJournalModel(JournalModel):
    """The same with a file that cannot grow: SQLite itself says full."""

    options: ClassVar[dict[str, int]] = {"pages_max": 14}


for model in (JournalModel, CappedJournalModel, FullDiskJournalModel):
    model.TestCase.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
TestJournalModel = JournalModel.TestCase
TestCappedJournalModel = CappedJournalModel.TestCase
TestFullDiskJournalModel = FullDiskJournalModel.TestCase

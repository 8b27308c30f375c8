"""The history against a simple model: commits, kills, a disk that refuses, a new chain, a size it may not pass."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.errors import StorageError
from gateway.feed.contract import RETAINED
from gateway.history.work import Work
from simulators.virtual import VirtualClock, VirtualLoop
from tests.unit.history_rig import (
    START_NS,
    disk_refuses,
    entry,
    event,
    interval,
    kill,
    open_history,
    position,
    total,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.feed.contract import Kind
    from gateway.feed.entries import Entry
    from gateway.history.history import History
    from gateway.intervals.model import Interval

KINDS: tuple[Kind, ...] = ("data", "data", "event", "birth", "meter", "checkpoint")


class HistoryModel(RuleBasedStateMachine):
    """What was committed, kept in plain lists beside the history; what it says went is taken out of them."""

    options: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="history-model-"))
        self.loop = VirtualLoop()
        self.clock = VirtualClock(START_NS)
        self.n = self.state = 0
        self.intervals: dict[tuple[int, str, int], Interval] = {}
        self.events = self.totals = 0
        self.chain = ""
        self.entries: dict[int, Entry] = {}
        self.retained: dict[tuple[str, str], int] = {}
        self.oldest = 1
        self.positions: dict[str, dict[str, Any]] = {}
        self.gone = dict.fromkeys(("intervals", "events", "totals"), 0)
        self.made = 0
        self.history: History
        self._open()

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def _open(self) -> None:
        async def opened() -> None:
            self.history = open_history(self.folder, self.clock, **self.options)

        self._do(opened())

    @initialize(chain=st.sampled_from(["", "c-0"]))
    def begin(self, chain: str) -> None:
        self.chain = chain
        self._do(self.history.commit(Work(chain=chain)))

    def _work(self, meters: int, late: int, messages: list[int], size: int) -> Work:
        seq = max(self.entries, default=0)
        kinds = [KINDS[one] for one in messages] if self.chain else []
        entries = [
            entry(seq + 1 + i, kind, f"m-{i % 2}" if kind == "meter" else "", size=size, time_ns=START_NS)
            for i, kind in enumerate(kinds)
        ]
        intervals = [interval(self.n, f"m-{m}") for m in range(meters)]
        old = list(self.intervals.values())[-late:] if late else []
        newest = {(i.start_ns, i.meter): i for i in old}
        again = [
            interval((i.start_ns - START_NS) // (i.end_ns - i.start_ns), i.meter, rev=i.rev + 1, cause="late")
            for i in newest.values()
            if (i.start_ns, i.meter, i.rev + 1) not in self.intervals
        ]
        state = {"intervals": self.n}
        totals, events = [total(self.n)], [event(self.n)]
        return Work([*intervals, *again], totals, events, entries=entries, states=state)

    @rule(
        meters=st.integers(0, 4),
        late=st.integers(0, 3),
        messages=st.lists(st.integers(0, len(KINDS) - 1), max_size=6),
        size=st.sampled_from([50, 5000]),
        refuses=st.sampled_from([False, False, False, True]),
    )
    def commit(self, meters: int, late: int, messages: list[int], size: int, refuses: bool) -> None:
        self.n += 1
        work = self._work(meters, late, messages, size)
        if refuses:
            disk_refuses(self.history, True)
        try:
            dropped = self._do(self.history.commit(work))
        except StorageError:
            assert refuses or "pages_max" in self.options
            return
        finally:
            disk_refuses(self.history, False)
        assert not refuses
        self.state = self.n
        self.intervals |= {(i.start_ns, i.meter, i.rev): i for i in work.intervals}
        self.made += len(work.intervals)
        self.events, self.totals = self.events + 1, self.totals + 1
        if dropped:
            assert dropped.first_seq == self.oldest
            behind = {
                name: sum(
                    body["chain"] != self.chain or seq >= body["live"]
                    for seq in range(self.oldest, dropped.until_seq)
                )
                for name, body in self.positions.items()
            }
            assert dropped.unacknowledged == {name: count for name, count in behind.items() if count}
            self.oldest = dropped.until_seq
            for what in self.gone:
                self.gone[what] += getattr(dropped, what)
        for one in work.entries:
            self.entries[one.seq] = one
            if one.kind in RETAINED:
                self.retained[one.kind, one.subject] = one.seq

    @rule(name=st.sampled_from("ab"), behind=st.integers(0, 5))
    def acknowledge(self, name: str, behind: int) -> None:
        live = max(1, max(self.entries, default=0) + 1 - behind)
        self.positions[name] = position(live, chain=self.chain)
        self._do(self.history.save_position(name, self.positions[name]))

    @rule()
    def kill_and_restart(self) -> None:
        kill(self.history)
        self._open()
        assert self.history.damage is None

    @rule()
    def begin_a_chain(self) -> None:
        seq = max(self.entries, default=0)
        before = self.chain
        self.chain = f"c-{self.n + 1}" if before != f"c-{self.n + 1}" else before + "x"
        dropped = self._do(self.history.commit(Work(chain=self.chain)))
        assert dropped.messages == seq + 1 - self.oldest
        self.entries, self.retained, self.oldest = {}, {}, 1

    @rule(first=st.integers(1, 60), most=st.integers(0, 20), bytes_max=st.integers(1, 20_000))
    def read_messages(self, first: int, most: int, bytes_max: int) -> None:
        found = self._do(self.history.entries(first, first + most, bytes_max))
        wanted = [self.entries[s] for s in range(max(first, self.oldest), first + most) if s in self.entries]
        assert found == wanted[: len(found)]
        assert bool(found) == bool(wanted)
        size = sum(len(one.jws) for one in found)
        assert size <= bytes_max or len(found) == 1
        if len(found) < len(wanted):
            assert size + len(wanted[len(found)].jws) > bytes_max

    @invariant()
    def holds_what_was_committed(self) -> None:
        found = self._do(self.history.read(whole))
        assert {key: self.entries[key] for key in self.entries if key >= self.oldest} == {
            one.seq: one for one in found["entries"]
        }
        assert [one.seq for one in found["retained"]] == sorted(self.retained.values())
        assert self.history.oldest == self.oldest
        assert found["state"] == (self.state or None)
        assert found["chain"][0] == self.chain
        assert len(found["intervals"]) + self.gone["intervals"] == self.made
        assert len(found["events"]) + self.gone["events"] == self.events
        assert len(found["totals"]) + self.gone["totals"] == self.totals
        assert all(self.intervals[i.start_ns, i.meter, i.rev] == i for i in found["intervals"])
        for name, body in self.positions.items():
            assert self.history.destination(name) == body

    def teardown(self) -> None:
        self._do(self.history.close())
        self.loop.close()
        shutil.rmtree(self.folder)


class CappedHistoryModel(HistoryModel):
    """The same under a size that a few commits fill."""

    options: ClassVar[dict[str, int]] = {"size_max": 130_000}


class FullHistoryModel(HistoryModel):
    """The same on a disk that is soon full."""

    options: ClassVar[dict[str, int]] = {"pages_max": 60}


SETTINGS = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestHistory = HistoryModel.TestCase
TestHistory.settings = SETTINGS
TestCappedHistory = CappedHistoryModel.TestCase
TestCappedHistory.settings = SETTINGS
TestFullHistory = FullHistoryModel.TestCase
TestFullHistory.settings = SETTINGS


def test_the_capped_model_does_drop() -> None:
    """The model's own test: without it a size that is never reached would prove nothing."""
    model = CappedHistoryModel()
    model.begin("c-0")
    for _ in range(60):
        model.commit(4, 1, [0, 3], 5000, False)
        model.holds_what_was_committed()
    assert model.oldest > 20
    assert model.gone["intervals"] > 20
    model.teardown()
    asyncio.set_event_loop(None)

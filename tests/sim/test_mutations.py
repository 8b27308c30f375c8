"""The oracles themselves: each wrong variant of a key function must turn one red.

The one place where patching is the point.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest

from gateway import wire
from gateway.deliver import Deliverer
from gateway.errors import LinkDown
from gateway.journal import groups as journal_groups
from gateway.journal import reader as journal_reader
from gateway.journal import records as journal_records
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from gateway.journal.store import GroupRow, Store
from gateway.layout import Layout
from gateway.polling.poll import LinkPoller
from gateway.polling.recorder import Recorder
from gateway.polling.trial import Breaker
from simulators.fakes import Trouble
from tests.sim import oracles
from tests.sim.plant import Act, Plan, play

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable
    from pathlib import Path

    from gateway.errors import DeviceError
    from gateway.journal.commit import Draft, Written
    from gateway.journal.store import Commit
    from gateway.model import Batch, Sample
    from gateway.polling.trial import Trial
    from tests.sim.plant import Result

    Oracle = Callable[[Result], None]


def plan() -> Plan:
    """Return minutes with a kill, an outage and a dead meter: enough for every oracle to bite."""
    return Plan(
        700,
        meters=8,
        links=2,
        link_troubles={"link-1": [Trouble("dead", 420, 450, who="m-001")]},
        sink_troubles={
            "influx": [Trouble("away", 55, 330), Trouble("doubtful", 460, 550, share=0.5)],
            "mqtt": [],
        },
        acts=[Act(203.33, "kill"), Act(350.5, "step", -600)],
        backlog_rate=20,
    )


Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def small_backlog_batches(monkeypatch: Patch) -> None:
    """Let live readings come between those of a backlog, as they do on a busy gateway."""
    monkeypatch.setattr(journal_reader, "BACKLOG_READINGS", 100)


def scale_off(patch: Patch) -> None:
    decode = Layout.decode

    def wrong(self: Layout, raw: bytes, flags: array[int]) -> array[float]:
        values = decode(self, raw, flags)
        values[0] *= 1.001
        return values

    patch.setattr(Layout, "decode", wrong)


def word_order(patch: Patch) -> None:
    patch.setattr(wire, "ORDERS", dict.fromkeys(wire.ORDERS, wire.ORDERS["ABCD"]))
    wire.order_of.cache_clear()


def value_zeroed(patch: Patch) -> None:
    decode = Layout.decode

    def wrong(self: Layout, raw: bytes, flags: array[int]) -> array[float]:
        values = decode(self, raw, flags)
        if len(values) > 1:  # the captures of the profile, one channel each, must still load
            values[2] = 0.0
        return values

    patch.setattr(Layout, "decode", wrong)


def commit_skipped(patch: Patch) -> None:
    commit = Store.commit
    count = 0

    def wrong(self: Store, what: Commit) -> list[int]:
        nonlocal count
        count += bool(what.groups)
        return [] if count == 7 and what.groups else commit(self, what)

    patch.setattr(Store, "commit", wrong)


def group_forgotten(patch: Patch) -> None:
    write = Journal._write

    def wrong(self: Journal, draft: Draft) -> Written:
        draft.waiting = draft.waiting[:-1] if len(draft.waiting) > 1 or self.following == 5 else draft.waiting
        return write(self, draft)

    patch.setattr(Journal, "_write", wrong)


def acknowledged_before_written(patch: Patch) -> None:
    following = Deliverer._next

    async def wrong(self: Deliverer) -> Batch:
        batch = await following(self)
        taken = self.reader._taken
        self.reader.acknowledge(batch.readings, 0)
        self.reader._taken = taken
        return batch

    def twice(self: Reader, delivered: int, refused: int) -> None:
        if self._taken is None or self._taken.until <= self._taken.span.start:
            self._taken = None
            return
        acknowledge(self, delivered, refused)

    acknowledge = Reader.acknowledge
    patch.setattr(Reader, "acknowledge", twice)
    patch.setattr(Deliverer, "_next", wrong)


def outage_skipped(patch: Patch) -> None:
    def wrong(self: Reader, **_: bool) -> None:
        self._extend()
        self._live.advance(self._live.until, self._live.until_before)

    patch.setattr(Reader, "shift", wrong)


def frames_reversed(patch: Patch) -> None:
    take = Reader.take

    async def wrong(self: Reader, **options: bool) -> Batch | None:
        batch = await take(self, **options)
        if batch is not None:
            batch.frames = batch.frames[::-1]
        return batch

    patch.setattr(Reader, "take", wrong)


def positions_ahead(patch: Patch) -> None:
    snapshot = Reader.snapshot

    def wrong(self: Reader) -> Any:
        state = snapshot(self)
        state.live, state.live_before = 1 << 40, 1 << 40
        return state

    patch.setattr(Reader, "snapshot", wrong)


def epoch_not_counted(patch: Patch) -> None:
    def wrong(self: Recorder, step_ns: int) -> None:
        self._last_ns.clear()
        self._floor_ns = 0

    patch.setattr(Recorder, "_step", wrong)


def down_told_every_time(patch: Patch) -> None:
    def wrong(self: Deliverer, state: str, say: Callable[..., object], event: str, **more: object) -> None:
        self._health.state = state
        say(event, sink=self.id, **more)

    patch.setattr(Deliverer, "_turn", wrong)


def meter_given_up(patch: Patch) -> None:
    failed = LinkPoller._failed

    def wrong(self: LinkPoller, trial: Trial, error: DeviceError) -> float:
        return failed(self, trial, error) + 1e6

    patch.setattr(LinkPoller, "_failed", wrong)


def waits_for_ever_in_memory(patch: Patch) -> None:
    def wrong(self: journal_groups.Waiting) -> None:
        self._taken = 0
        self.size += 200_000

    patch.setattr(journal_groups.Waiting, "done", wrong)


MUTANTS: dict[Callable[[Patch], None], set[Oracle]] = {
    scale_off: {oracles.truth},
    word_order: {oracles.truth},
    value_zeroed: {oracles.truth},
    commit_skipped: {oracles.conservation},
    group_forgotten: {oracles.conservation},
    acknowledged_before_written: {oracles.conservation},
    outage_skipped: {oracles.conservation},
    frames_reversed: {oracles.order},
    positions_ahead: {oracles.conservation},
    epoch_not_counted: {oracles.order, oracles.identity},
    down_told_every_time: {oracles.quiet_logs},
    meter_given_up: {oracles.liveness},
    waits_for_ever_in_memory: {oracles.bounded},
}


def red(result: Result) -> set[Oracle]:
    """Return the oracles that object."""
    found: set[Oracle] = set()
    for oracle in oracles.ALWAYS:
        try:
            oracle(result)
        except AssertionError:
            found.add(oracle)
    return found


def test_the_plan_is_green_without_a_mutation(tmp_path: Path) -> None:
    assert red(play(plan(), tmp_path)) == set()


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_a_mutation_turns_an_oracle_red(
    mutate: Callable[[Patch], None], tmp_path: Path, monkeypatch: Patch
) -> None:
    try:
        mutate(monkeypatch)
        found = red(play(plan(), tmp_path))
    finally:
        monkeypatch.undo()
        wire.order_of.cache_clear()
    assert found & MUTANTS[mutate], f"red: {sorted(oracle.__name__ for oracle in found)}"


def damaged(row: GroupRow) -> bytes:
    """Return a body with one bit of the last raw byte turned: it still unpacks, and lies."""
    return row.body[:-1] + bytes([row.body[-1] ^ 1])


@pytest.mark.parametrize("ignored", [False, True])
def test_a_checksum_that_is_ignored_delivers_a_lie(ignored: bool, tmp_path: Path, monkeypatch: Patch) -> None:
    """Damage on disk: with the checksum the oracles hold, without it truth is broken."""
    read = Store.read

    def wrong(self: Store, first: int, until: int, readings_max: int) -> list[GroupRow]:
        rows = []
        for row in read(self, first, until, readings_max):
            body = damaged(row) if row.id == 8 else row.body
            intact = ignored or zlib.crc32(body) == zlib.crc32(row.body)
            rows.append(row._replace(body=body, intact=intact))
        return rows

    monkeypatch.setattr(Store, "read", wrong)
    away = {"influx": [Trouble("away", 0, 300)]}
    result = play(Plan(400, meters=8, links=2, sink_troubles=away, acts=[Act(205, "stop")]), tmp_path)
    assert (oracles.truth in red(result)) is ignored
    if not ignored:
        assert result.accounts["influx"].missed > 0
        assert red(result) == {oracles.conservation}  # only that a group cannot be read back


def test_flags_that_are_lost_on_disk_are_seen(tmp_path: Path, monkeypatch: Patch) -> None:
    """What comes from disk must say the same as what came from memory."""
    pack = journal_records.pack

    def wrong(records: Any, layout_id: Any) -> bytes:
        kept = []
        for record in records:
            if hasattr(record, "flags"):
                record.flags = record.layout.no_flags[:]
            kept.append(record)
        return pack(kept, layout_id)

    monkeypatch.setattr("gateway.journal.commit.pack", wrong)
    result = play(Plan(100, meters=4, links=1, acts=[Act(15, "unsync")]), tmp_path)
    assert not any(any(frame.flags) for frame in result.frames)


def test_a_dead_meter_that_takes_its_link_down_is_seen(tmp_path: Path, monkeypatch: Patch) -> None:
    dead = Plan(400, meters=8, links=2, link_troubles={"link-1": [Trouble("dead", 100, 200, who="m-001")]})
    oracles.rate(play(dead, tmp_path / "right"), except_meters=["m-001"])

    def wrong(self: LinkPoller, trial: Trial, error: DeviceError) -> float:
        raise LinkDown(str(error))

    monkeypatch.setattr(LinkPoller, "_failed", wrong)
    oracles.rate(play(dead, tmp_path / "blamed"), except_meters=["m-001"])  # the meter that does so rests
    monkeypatch.setattr(Breaker, "cut", lambda *_: False)
    with pytest.raises(AssertionError, match="polled"):
        oracles.rate(play(dead, tmp_path / "wrong"), except_meters=["m-001"])


def test_a_lost_sample_is_seen(tmp_path: Path, monkeypatch: Patch) -> None:
    record = Recorder.record
    count = 0

    def wrong(self: Recorder, layout: Layout, sample: Sample) -> None:
        nonlocal count
        count += 1
        before = self._journal._open
        record(self, layout, sample)
        if count == 50:
            before.records.pop()

    monkeypatch.setattr(Recorder, "record", wrong)
    assert oracles.conservation in red(play(plan(), tmp_path))

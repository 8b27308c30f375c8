"""The newest groups in memory: bounded in bytes, and what they are said to take is what they take."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from gateway.journal import groups as journal_groups
from gateway.journal.groups import Tail
from gateway.journal.records import pack
from gateway.journal.store import NewGroup
from tests.unit.journal_rig import frame, small_layout

if TYPE_CHECKING:
    from gateway.model import Frame


def group(id_: int, frames: list[Frame]) -> tuple[list[Frame], NewGroup]:
    readings = sum(len(frame.flags) for frame in frames)
    first_ns, last_ns = frames[0].time_ns, frames[-1].time_ns
    body = pack(frames, lambda _: 1)
    return frames, NewGroup(id_, first_ns, last_ns, len(frames), readings, 0, body)


@pytest.mark.parametrize("channels", [1, 10, 100])
def test_the_memory_of_the_tail_is_known_within_a_quarter(channels: int) -> None:
    layout, tail = small_layout(channels=channels), Tail()
    tracemalloc.start()
    try:
        groups = [group(n, [frame(layout, n * 100 + i) for i in range(100)]) for n in range(1, 21)]
        bodies = sum(len(new.body) for _, new in groups)
        taken = tracemalloc.get_traced_memory()[0] - bodies
    finally:
        tracemalloc.stop()
    tail.extend(groups, 1)
    assert tail.size == pytest.approx(taken, rel=0.25)


def test_the_tail_keeps_the_newest_groups_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, tail = small_layout(), Tail()
    tail.extend([group(1, [frame(layout, 1)])], 1)
    one = tail.size
    monkeypatch.setattr(journal_groups, "TAIL_BYTES", 5 * one)
    for n in range(2, 21):
        tail.extend([group(n, [frame(layout, n)])], 1)
        assert tail.size == min(n, 5) * one
    assert tail.fetch(15, 21, 1000) is None
    found = tail.fetch(16, 21, 1000)
    assert found is not None
    assert [committed.id for committed in found] == [16, 17, 18, 19, 20]
    tail.forget(21)
    assert tail.size == 0
    assert tail.first is None

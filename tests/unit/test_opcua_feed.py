"""Reported changes become rows: none lost, none merged, times that rise and lie between the messages."""

from __future__ import annotations

from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua import slot
from drivers.opcua.feed import Change, Feed
from gateway.model import Flag, Sample

MS = 1_000_000
NEVER_NS = 1 << 62
GOOD = 0


def change(arrival_ms: int, channel: int, number: int, source_ms: int) -> Change:
    source_ns = source_ms * MS
    return Change(arrival_ms * MS, channel, slot.pack(8, number, GOOD, source_ns), GOOD, source_ns)


def begun(count: int, at_ms: int) -> Feed:
    feed = Feed(count, NEVER_NS)
    first = [change(at_ms, channel, -1, 1) for channel in range(count)]
    feed.begin(Sample(at_ms * MS, None, b"".join(c.slot for c in first), array("H", [0] * count)), first)
    return feed


def numbers(sample: Sample) -> list[int]:
    size = len(slot.pack(0, None, 0, 0))
    return [
        int.from_bytes(sample.raw[i + 1 : i + 9], "big", signed=True) for i in range(0, len(sample.raw), size)
    ]


def test_changes_of_one_message_stand_as_far_apart_as_their_source_times() -> None:
    feed = begun(2, 10_000)
    for channel, number, source_ms in ((0, 1, 5000), (0, 2, 5200), (1, 7, 5100), (0, 3, 5300)):
        feed.report(change(11_000, channel, number, source_ms))
    rows = feed.rows()
    assert [numbers(row) for row in rows] == [[1, 7], [2, 7], [3, 7]]
    assert [row.time_ns // MS for row in rows] == [10_800, 10_900, 11_000]


def test_what_is_heard_without_a_change_is_one_row_at_that_time() -> None:
    feed = begun(1, 10_000)
    assert feed.rows() == []
    feed.heard(10_500 * MS)
    feed.heard(11_000 * MS)
    (row,) = feed.rows()
    assert row.time_ns == 11_000 * MS
    assert feed.rows() == []


def test_a_channel_never_reported_is_absent_and_one_lost_is_refused() -> None:
    feed = Feed(2, NEVER_NS)
    feed.report(change(1000, 0, 5, 900))
    (row,) = feed.rows()
    assert list(row.flags) == [0, Flag.MISSING | Flag.COMMS]
    feed.lost(0, 0x80340000)
    feed.heard(2000 * MS)
    (row,) = feed.rows()
    assert list(row.flags) == [Flag.MISSING | Flag.DEVICE, Flag.MISSING | Flag.COMMS]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5000)), min_size=1, max_size=20), max_size=6
    )
)
def test_every_change_is_in_a_row_in_the_servers_order(messages: list[list[tuple[int, int]]]) -> None:
    feed = begun(4, 1000)
    sent: dict[int, list[int]] = {channel: [-1] for channel in range(4)}
    number = 0
    for n, message in enumerate(messages):
        for channel, source_ms in message:
            number += 1
            sent[channel].append(number)
            assert feed.report(change(2000 + 100 * n, channel, number, source_ms))
    rows = feed.rows()
    for channel, wanted in sent.items():
        seen = [-1]
        for row in rows:
            if numbers(row)[channel] != seen[-1]:
                seen.append(numbers(row)[channel])
        assert seen == wanted
    times = [1000 * MS, *(row.time_ns for row in rows)]
    assert all(after - before >= MS for before, after in pairwise(times))


def test_making_room_keeps_the_value_that_counts() -> None:
    feed = begun(1, 1000)
    for number in (1, 2, 3):
        feed.report(change(2000, 0, number, 1500 + number))
    dropped = feed.drop_oldest()
    assert dropped is not None
    assert [numbers(row) for row in feed.rows()] == [[2], [3]]
    assert feed.drop_oldest() is None


def test_overflow_is_told_by_the_info_bits_alone() -> None:
    assert slot.overflowed(0x480)
    assert not slot.overflowed(0x080)
    assert not slot.overflowed(0x400)
    assert not slot.overflowed(0x40000000)

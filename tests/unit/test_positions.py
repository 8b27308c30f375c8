"""Positions of a destination: live first, ranges oldest first, everything below accounted for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.feed.positions import REFUSALS_KEPT, Positions, Span, Taken


def late(positions: Positions, most: int = 1000) -> Taken | None:
    return positions.take(1, live_most=0, backlog_most=most)


def test_live_goes_first_and_in_order() -> None:
    positions = Positions(1)
    positions.shift(5)
    assert positions.take(8, live_most=2, backlog_most=9) == Taken(5, 7, late=False)
    assert positions.acknowledge(7, 2, 0) == 0
    assert positions.take(8, live_most=2, backlog_most=9) == Taken(7, 8, late=False)
    positions.acknowledge(8, 1, 0)
    assert positions.take(8, live_most=2, backlog_most=3) == Taken(1, 4, late=True)
    assert positions.pending(8) == 4
    assert positions.acknowledge(4, 2, 0) == 1, "one of them is gone"
    assert (positions.delivered, positions.missed, positions.waiting) == (5, 1, 1)


def test_what_was_not_acknowledged_comes_again() -> None:
    positions = Positions(3)
    assert positions.take(9, live_most=2, backlog_most=0) == Taken(3, 5, late=False)
    assert positions.take(9, live_most=5, backlog_most=0) == Taken(3, 8, late=False)
    positions.shift(9)
    with pytest.raises(AssertionError, match="nothing taken"):
        positions.acknowledge(8, 5, 0)
    assert positions.backlog == [Span(3, 9)]


def test_outages_in_a_row_are_one_range() -> None:
    positions = Positions(1)
    positions.shift(10)
    positions.shift(10)
    positions.shift(20)
    assert positions.backlog == [Span(1, 20)]
    assert positions.live == 20


def test_what_is_sent_again_goes_once_and_only_what_is_not_to_go_anyway() -> None:
    positions = Positions(50)
    positions.backlog = [Span(10, 20), Span(30, 40)]
    assert positions.add(5, 60) == 5 + 10 + 10
    assert positions.backlog == [Span(5, 50)]
    assert positions.add(5, 60) == 0
    assert positions.add(60, 70) == 0, "live brings it"
    assert positions.add(9, 9) == positions.add(9, 3) == 0
    assert positions.resent == 25


def test_a_range_that_was_begun_is_finished_first_and_the_others_go_oldest_first() -> None:
    positions = Positions(100)
    positions.backlog = [Span(40, 50)]
    assert late(positions, 2) == Taken(40, 42, late=True)
    positions.add(20, 25)
    positions.add(1, 5)
    positions.acknowledge(42, 2, 0)
    assert positions.backlog == [Span(42, 50), Span(1, 5), Span(20, 25)]
    assert (
        Positions.from_json(positions.to_json("c"), "c", oldest=1, following=100).backlog == positions.backlog
    )
    late(positions)
    positions.acknowledge(50, 8, 0)
    positions.add(60, 70)
    positions.add(5, 6)
    assert positions.backlog == [Span(1, 6), Span(20, 25), Span(60, 70)]


def test_a_range_not_begun_gives_way_to_an_older_one() -> None:
    positions = Positions(100)
    positions.add(40, 50)
    positions.add(10, 20)
    assert late(positions) == Taken(10, 20, late=True)


def test_sent_again_while_the_same_is_under_way() -> None:
    positions = Positions(100)
    positions.add(10, 20)
    late(positions, 5)
    assert positions.add(12, 18) == 0, "not acknowledged yet, so still to go"
    positions.acknowledge(15, 5, 0)
    assert positions.add(10, 20) == 5
    assert positions.backlog == [Span(15, 20), Span(10, 15)]


def test_what_is_gone_is_missed() -> None:
    positions = Positions(100)
    positions.backlog = [Span(10, 20), Span(30, 40)]
    assert positions.move_up(35) == 15
    assert positions.backlog == [Span(35, 40)]
    assert positions.move_up(35) == 0
    assert positions.move_up(120) == 5 + 20
    assert (positions.live, positions.backlog, positions.missed) == (120, [], 40)


def test_the_newest_refusals_are_kept_with_their_reasons() -> None:
    positions = Positions(1)
    for seq in range(1, 100):
        positions.refuse(seq, f"why {seq}")
    assert len(positions.refusals) == REFUSALS_KEPT
    assert positions.refusals[-1] == (99, "why 99")


def _full() -> Positions:
    positions = Positions(100)
    positions.add(1, 5)
    positions.add(7, 9)
    positions.delivered, positions.refused, positions.missed = 80, 3, 2
    positions.refuse(4, "too large")
    return positions


def test_saved_and_found_again() -> None:
    body = _full().to_json("c1")
    assert Positions.from_json(body, "c1", oldest=1, following=100).to_json("c1") == body


def test_another_chain_begins_at_its_oldest_message_and_keeps_the_counts() -> None:
    found = Positions.from_json(_full().to_json("c1"), "c2", oldest=3, following=9)
    assert (found.live, found.backlog, found.delivered, found.refused) == (3, [], 80, 3)


def test_positions_the_outbox_has_not_are_corrected() -> None:
    found = Positions.from_json(_full().to_json("c1"), "c1", oldest=8, following=50)
    assert (found.live, found.backlog) == (50, [Span(8, 9)])


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"live": "x"}, {"live": None}, {"backlog": [[1]]}, {"backlog": 5}, {"delivered": None},
        {"refusals": [1]}, {"backlog": [["a", "b"]]},
    ],
)  # fmt: skip
def test_a_damaged_body_sends_everything_again(change: dict[str, Any]) -> None:
    found = Positions.from_json(_full().to_json("c1") | change, "c1", oldest=2, following=100)
    assert found.live == 2
    assert found.pending(100) == 98
    assert Positions.from_json({}, "c1", oldest=2, following=100).live == 2


def test_ranges_of_a_body_that_overlap_go_once() -> None:
    body = _full().to_json("c1") | {"backlog": [[1, 9], [5, 12], [40, 200], [7, 3]]}
    assert Positions.from_json(body, "c1", oldest=1, following=100).backlog == [Span(1, 12), Span(40, 100)]

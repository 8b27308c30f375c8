"""Growing pauses."""

from __future__ import annotations

from gateway.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(0.5, 5.0)
    assert [backoff.next_s() for _ in range(6)] == [0.5, 1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_a_thousand_failures_do_not_overflow() -> None:
    backoff = Backoff(0.5, 60.0)
    assert max(backoff.next_s() for _ in range(2000)) == 60.0


def test_links_part_by_their_spread() -> None:
    assert Backoff(1.0, 60.0, 0.5).next_s() == 1.1
    assert Backoff(1.0, 60.0, 1.0).next_s() == 1.2

"""Spans of due times: what is left of them when others are taken."""

from __future__ import annotations

import pytest

from gateway.intervals.outages import Span, without


@pytest.mark.parametrize(
    ("slots", "taken", "left"),
    [
        ([(0, 10)], [(2, 8), (3, 4)], [(0, 2), (8, 10)]),  # one inside the other
        ([(0, 10)], [(1, 9), (2, 3), (4, 5)], [(0, 1), (9, 10)]),
        ([(0, 10)], [(2, 6), (4, 8)], [(0, 2), (8, 10)]),
        ([(0, 10)], [(2, 4), (2, 6), (3, 4)], [(0, 2), (6, 10)]),
        ([(0, 4), (5, 9)], [(1, 7), (2, 3)], [(0, 1), (7, 9)]),
        ([(0, 4), (5, 9)], [(-5, 20), (1, 2)], []),
        ([(0, 4)], [], [(0, 4)]),
        ([(0, 4)], [(-3, 0), (4, 9)], [(0, 4)]),
    ],
)
def test_what_is_taken_twice_is_taken_once(slots: list[Span], taken: list[Span], left: list[Span]) -> None:
    assert without(slots, taken) == left

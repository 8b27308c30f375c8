"""Runs join in any grouping, and equal last less first reading whatever is lost between; completeness is a sum of its parts."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from gateway.intervals.completeness import of_interval, percent, summed
from gateway.intervals.totals import Run, joined, run_of_row, runs
from tests.unit.sums_rig import KEY, LENGTH_NS, at, interval

T0 = at("2026-08-01T00:00")
decimals = st.decimals(0, 10**15, allow_nan=False, allow_infinity=False, places=5)


@st.composite
def pieces(draw: st.DrawFn) -> list[Run]:
    """Draw runs of consecutive intervals: readings lost, counters that fall, swaps, other layouts and units."""
    found = []
    closing: Decimal | None = draw(decimals)
    for n in range(draw(st.integers(2, 7))):
        opening = closing if draw(st.booleans()) else None
        rise = draw(st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("7.25"), Decimal(-3)]))
        closing = draw(decimals) if closing is None else closing + rise
        if draw(st.integers(0, 3)) == 0:
            closing = None
        one = interval(
            T0 + n * LENGTH_NS,
            opening,
            closing,
            swapped=draw(st.integers(0, 9)) == 0,
            layouts=draw(st.sampled_from([("a",), ("a", "b"), ("c",), ()])),
        )
        run = runs([one])[KEY]
        found.append(replace(run, unit=draw(st.sampled_from(["kWh"] * 9 + ["m3"]))))
    return found


@given(pieces(), st.data())
def test_joining_is_associative(parts: list[Run], data: st.DataObject) -> None:
    whole = reduce(Run.then, parts)
    cut = data.draw(st.integers(1, len(parts) - 1))
    left, right = reduce(Run.then, parts[:cut]), reduce(Run.then, parts[cut:])
    assert left.then(right) == whole
    assert joined([{KEY: left}, {KEY: right}]) == {KEY: whole}
    assert run_of_row(whole.row()) == whole


@given(st.lists(st.integers(0, 500), min_size=2, max_size=40), st.data())
def test_a_total_is_last_less_first_known_reading(rises: list[int], data: st.DataObject) -> None:
    readings: list[Decimal | None] = [Decimal("0.01")]
    for rise in rises:
        assert readings[-1] is not None
        readings.append(readings[-1] + Decimal(rise) / 100)
    for n in data.draw(st.sets(st.integers(0, len(rises)))):
        readings[n] = None
    parts = [interval(T0 + n * LENGTH_NS, readings[n], readings[n + 1]) for n in range(len(rises))]
    run = runs(parts)[KEY]
    there = [one for one in readings if one is not None]
    assert run.known == (there[-1] - there[0] if there else 0)
    has_ends = readings[0] is not None and readings[-1] is not None
    assert run.amount == (run.known if has_ends else None)
    halves = data.draw(st.integers(1, len(parts)))
    months = joined(runs(half) for half in (parts[:halves], parts[halves:]))
    assert months[KEY] == run, "a month is its days joined"
    total = summed(map(of_interval, parts))
    assert sum(total.gaps.values()) == total.expected - total.good


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_percentage_is_never_more_than_it_is(part: int, whole: int) -> None:
    found = percent(part, whole)
    assert found is not None
    exact = Decimal(100 * part) / whole
    assert found <= exact < found + Decimal("0.01")
    assert exact.to_integral_value(ROUND_CEILING) >= found

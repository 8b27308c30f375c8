"""Tariffs are refused exactly where a minute of some month lies in none of them or in several."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.check_periods import EVERY_MONTH, PROBLEMS_MAX, _tariffs
from gateway.config.periods import TariffConfig, clock_time_s

STEP_S = 3600 * 4
marks = st.lists(st.integers(1, 5), max_size=5, unique=True).map(lambda cuts: [0, *sorted(cuts), 6])
months = st.just(EVERY_MONTH) | st.lists(
    st.sampled_from(EVERY_MONTH), min_size=1, max_size=12, unique=True
).map(tuple)


def clock(mark: int) -> str:
    return f"{mark * STEP_S // 3600:02}:00"


@st.composite
def tariffs(draw: st.DrawFn) -> list[TariffConfig]:
    """Draw tariffs that cover the day, and now and then take hours out or add some."""
    ends = draw(marks)
    hours = [f"{clock(a)}-{clock(b)}" for a, b in pairwise(ends)]
    if draw(st.booleans()):
        hours.pop(draw(st.integers(0, len(hours) - 1)))
    if draw(st.booleans()):
        begin = draw(st.integers(0, 5))
        hours.append(f"{clock(begin)}-{clock(draw(st.integers(begin + 1, 6)))}")
    names: list[Literal["peak", "flat", "valley"]] = ["peak", "flat", "valley"]
    kinds = st.sampled_from(names)
    return [
        TariffConfig(
            kind=draw(kinds), hours=(own,), months=draw(months) if draw(st.booleans()) else EVERY_MONTH
        )
        for own in hours
    ]


@given(tariffs())
def test_what_is_refused_is_wrong_and_what_is_wrong_is_refused(given: list[TariffConfig]) -> None:
    times = {
        sum(
            month in tariff.months and begin <= at < end
            for tariff in given
            for begin, end in [tuple(map(clock_time_s, tariff.hours[0].split("-")))]
        )
        for month in EVERY_MONTH
        for at in range(0, 86_400, STEP_S)
    }
    found = list(_tariffs(given, 900))
    assert (not found) is (times == {1})
    assert len(found) <= PROBLEMS_MAX
    if len(found) == PROBLEMS_MAX:  # not all are told
        return
    assert (0 in times) is any("no tariff" in finding.found for finding in found)
    assert bool(times - {0, 1}) is any(" and " in finding.found for finding in found)

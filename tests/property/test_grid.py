"""Whatever the zone and the moment: each time lies in exactly one interval, hour, day and month."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from gateway.intervals.grid import Grid, Span
from gateway.model import MS_NS, NS

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Asia/Pyongyang",
)
FIRST_S, LAST_S = 946_684_800, 2_524_608_000  # 2000 to 2050
CHANGES = (  # moments at which one of the zones changes its clock
    1_774_746_000,
    1_792_890_000,
    1_772_953_200,
    1_793_512_800,
    1_775_314_800,
    1_791_041_400,
    1_776_981_600,
    1_792_875_600,
    1_525_446_000,
)

grids = st.builds(
    lru_cache(None)(lambda z, n, d, m: Grid(z, n, day_start_s=d, month_day=m)),
    st.sampled_from(ZONES),
    st.sampled_from((60, 300, 400, 720, 900, 1800, 3600)),
    st.sampled_from((0, 1800, 3600, 5400, 7200, 9000, 8 * 3600, 84_600)),
    st.sampled_from((1, 26, 28)),
)
seconds = st.integers(FIRST_S, LAST_S) | st.builds(
    lambda change, by: change + by, st.sampled_from(CHANGES), st.integers(-100_000, 100_000)
)
times = st.builds(lambda s, rest: s * NS + rest, seconds, st.integers(0, NS - 1))


def whole(find: object, span: Span, time_ns: int) -> None:
    """Each moment of a period finds this very period, the moment before and the one at its end another that touches it."""
    assert callable(find)
    assert span.start_ns <= time_ns < span.end_ns
    assert find(span.start_ns) == find(span.end_ns - 1) == find((span.start_ns + time_ns) // 2) == span
    assert find(span.end_ns).start_ns == span.end_ns
    assert find(span.start_ns - 1).end_ns == span.start_ns


@given(grids, times)
def test_each_time_lies_in_exactly_one_interval_hour_day_and_month(grid: Grid, time_ns: int) -> None:
    for find in (grid.interval, grid.hour, grid.day, grid.month):
        whole(find, find(time_ns), time_ns)
    assert grid.start_of(time_ns) == grid.interval(time_ns).start_ns


@given(grids, times)
def test_an_interval_lies_in_one_hour_and_a_day_in_one_month(grid: Grid, time_ns: int) -> None:
    inner, hour = grid.interval(time_ns), grid.hour(time_ns)
    assert hour.start_ns <= inner.start_ns < inner.end_ns <= hour.end_ns
    day, month = grid.day(time_ns), grid.month(time_ns)
    assert month.start_ns <= day.start_ns < day.end_ns <= month.end_ns
    length_s = grid.length_ns // NS
    assert inner.end_ns - inner.start_ns <= grid.length_ns
    assert grid.second_of_day(inner.start_ns) % length_s in {0, 1800 % length_s}


@given(grids, times, st.integers(0, 30 * 3600))
def test_starts_are_the_starts_of_every_interval_in_a_stretch(grid: Grid, time_ns: int, long_s: int) -> None:
    starts = list(grid.starts(time_ns, time_ns + long_s * NS))
    assert starts == sorted(set(starts))
    assert all(time_ns <= start < time_ns + long_s * NS and grid.start_of(start) == start for start in starts)
    for at in range(time_ns, time_ns + long_s * NS, 600 * NS):
        start = grid.start_of(at)
        assert start < time_ns or start in starts


@given(grids, times, st.integers(0, 96))
def test_a_time_of_the_clock_lies_in_the_day_or_where_it_ends(grid: Grid, time_ns: int, quarter: int) -> None:
    day = grid.day(time_ns)
    assert day.start_ns <= grid.clock(day, quarter * 900) <= day.end_ns + 3600 * NS


@given(grids, times)
def test_iso_names_the_moment_to_the_millisecond(grid: Grid, time_ns: int) -> None:
    moment = datetime.fromisoformat(grid.iso(time_ns))
    assert round(moment.timestamp() * 1000) == time_ns // MS_NS
    assert len(grid.iso(time_ns)) == len("2026-03-01T10:15:00.000+08:00")

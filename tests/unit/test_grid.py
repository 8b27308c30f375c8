"""The site's grid of intervals, days, months and shifts, at the clock changes that are known."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest

from gateway.intervals.grid import Grid, Span, cut_by_changes
from gateway.model import NS

HOUR_NS = 3600 * NS
QUARTER_S = 900


def ns(text: str) -> int:
    """Return the time an ISO text with an offset stands for."""
    return round(datetime.fromisoformat(text).timestamp()) * NS


def hours(span: Span) -> float:
    return (span.end_ns - span.start_ns) / HOUR_NS


def test_intervals_lie_on_the_local_clock() -> None:
    kathmandu = Grid("Asia/Kathmandu", 3600)
    assert kathmandu.start_of(ns("2026-03-01T10:59:59+05:45")) == ns("2026-03-01T10:00+05:45")
    shanghai = Grid("Asia/Shanghai", QUARTER_S)
    assert shanghai.interval(ns("2026-03-01T10:15+08:00")) == (
        ns("2026-03-01T10:15+08:00"),
        ns("2026-03-01T10:30+08:00"),
    )
    assert shanghai.start_of(ns("2026-03-01T10:15+08:00") - 1) == ns("2026-03-01T10:00+08:00")


@pytest.mark.parametrize(
    ("length_s", "tolerance_s"), [(60, 6), (300, 30), (600, 60), (QUARTER_S, 60), (3600, 60)]
)
def test_the_tolerance_is_a_tenth_and_a_minute_at_most(length_s: int, tolerance_s: int) -> None:
    assert Grid("UTC", length_s).tolerance_ns == tolerance_s * NS


@pytest.mark.parametrize(
    ("zone", "noon", "long"),
    [
        ("Europe/Berlin", "2026-03-29T12:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00+01:00", 25),
        ("Europe/Berlin", "2026-10-26T12:00+01:00", 24),
        ("America/New_York", "2026-03-08T12:00-04:00", 23),
        ("America/New_York", "2026-11-01T12:00-05:00", 25),
        ("Australia/Lord_Howe", "2026-10-04T12:00+11:00", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T12:00+10:30", 24.5),
        ("Africa/Cairo", "2026-04-24T12:00+03:00", 23),  # midnight itself is left out
        ("Asia/Beirut", "2026-10-24T12:00+03:00", 25),  # the last hour is shown twice
        ("Asia/Shanghai", "2026-03-29T12:00+08:00", 24),
        ("Asia/Kathmandu", "2026-03-29T12:00+05:45", 24),
    ],
)
def test_a_day_across_a_change_of_the_clock(zone: str, noon: str, long: float) -> None:
    grid = Grid(zone, QUARTER_S)
    day = grid.day(ns(noon))
    assert hours(day) == long
    assert grid.second_of_day(day.end_ns) == 0
    starts = list(grid.starts(*day))
    assert len(starts) == 4 * long
    assert starts[0] == day.start_ns
    assert all(after - before == QUARTER_S * NS for before, after in pairwise(starts))


def test_a_day_that_begins_in_the_hour_left_out_begins_behind_it_and_its_predecessor_ends_there() -> None:
    grid = Grid("Europe/Berlin", QUARTER_S, day_start_s=2 * 3600 + 1800)
    begins = ns("2026-03-29T03:30+02:00")
    assert grid.day(begins).start_ns == begins
    for moment in ("2026-03-29T01:59+01:00", "2026-03-29T03:10+02:00"):
        assert grid.day(ns(moment)) == (ns("2026-03-28T02:30+01:00"), begins)


def test_a_day_that_begins_in_the_hour_shown_twice_begins_when_it_is_shown_first() -> None:
    grid = Grid("Europe/Berlin", QUARTER_S, day_start_s=2 * 3600 + 1800)
    begins = ns("2026-10-25T02:30+02:00")
    for moment in ("2026-10-25T02:30+02:00", "2026-10-25T02:10+01:00", "2026-10-25T02:40+01:00"):
        assert grid.day(ns(moment)) == (begins, ns("2026-10-26T02:30+01:00"))


def test_a_day_from_eight_to_eight() -> None:
    grid = Grid("Asia/Shanghai", QUARTER_S, day_start_s=8 * 3600)
    assert grid.day(ns("2026-03-02T07:59:59+08:00")).start_ns == ns("2026-03-01T08:00+08:00")
    assert grid.day(ns("2026-03-02T08:00+08:00")).start_ns == ns("2026-03-02T08:00+08:00")


@pytest.mark.parametrize(
    ("moment", "begins", "ends"),
    [
        ("2026-03-26T07:59:59+08:00", "2026-02-26T08:00+08:00", "2026-03-26T08:00+08:00"),
        ("2026-03-26T08:00:00+08:00", "2026-03-26T08:00+08:00", "2026-04-26T08:00+08:00"),
        ("2026-03-01T00:00:00+08:00", "2026-02-26T08:00+08:00", "2026-03-26T08:00+08:00"),
        ("2026-01-10T00:00:00+08:00", "2025-12-26T08:00+08:00", "2026-01-26T08:00+08:00"),
        ("2026-12-31T23:59:59+08:00", "2026-12-26T08:00+08:00", "2027-01-26T08:00+08:00"),
    ],
)
def test_a_month_from_its_closing_day(moment: str, begins: str, ends: str) -> None:
    grid = Grid("Asia/Shanghai", QUARTER_S, day_start_s=8 * 3600, month_day=26)
    assert grid.month(ns(moment)) == (ns(begins), ns(ends))


def test_a_calendar_month_across_a_change_of_the_clock() -> None:
    march = Grid("Europe/Berlin", QUARTER_S).month(ns("2026-03-15T00:00+01:00"))
    assert march == (ns("2026-03-01T00:00+01:00"), ns("2026-04-01T00:00+02:00"))
    assert hours(march) == 31 * 24 - 1


def test_starts_go_on_across_a_change_of_the_clock() -> None:
    grid = Grid("Europe/Berlin", 3600)
    shown = [
        grid.iso(start)[11:16] + grid.iso(start)[23:]
        for start in grid.starts(ns("2026-10-25T01:00+02:00"), ns("2026-10-25T04:00+01:00"))
    ]
    assert shown == ["01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00"]
    assert list(grid.starts(ns("2026-10-25T01:00+02:00") + 1, ns("2026-10-25T02:00+02:00") + 1)) == [
        ns("2026-10-25T02:00+02:00")
    ]
    assert list(grid.starts(0, 0)) == []


def test_half_an_hour_of_change_makes_half_an_hour_of_its_own() -> None:
    """Lord Howe Island sets its clock by 30 minutes, so hours on the face are cut; nothing lies in two of them."""
    grid = Grid("Australia/Lord_Howe", 3600)
    spring = ns("2026-10-04T02:30+11:00")  # 02:00 +10:30
    assert grid.interval(spring - 1) == (ns("2026-10-04T01:00+10:30"), spring)
    assert grid.interval(spring) == (spring, ns("2026-10-04T03:00+11:00"))
    autumn = ns("2026-04-05T01:30+10:30")  # 02:00 +11:00
    assert grid.interval(autumn - 1) == (ns("2026-04-05T01:00+11:00"), autumn)
    assert grid.hour(autumn) == (autumn, ns("2026-04-05T02:00+10:30"))


def test_lengths_that_changes_of_the_clock_cut() -> None:
    assert cut_by_changes("Australia/Lord_Howe", 3600)
    assert not cut_by_changes("Australia/Lord_Howe", 1800)
    for zone in ("Asia/Shanghai", "Asia/Kathmandu", "Europe/Berlin", "America/New_York", "Pacific/Chatham"):
        assert not cut_by_changes(zone, 3600)


def test_when_the_clock_shows_a_time_within_a_day() -> None:
    grid = Grid("Asia/Shanghai", QUARTER_S, day_start_s=8 * 3600)
    day = grid.day(ns("2026-03-01T09:00+08:00"))
    assert grid.clock(day, 8 * 3600) == day.start_ns
    assert grid.clock(day, 0) == grid.clock(day, 24 * 3600) == ns("2026-03-02T00:00+08:00")
    assert grid.clock(day, 7 * 3600) == ns("2026-03-02T07:00+08:00")


def test_a_shift_across_a_change_of_the_clock_begins_and_ends_by_the_face() -> None:
    grid = Grid("Europe/Berlin", QUARTER_S)
    day = grid.day(ns("2026-10-25T12:00+01:00"))
    begins, ends = grid.clock(day, 2 * 3600), grid.clock(day, 10 * 3600)
    assert (begins, ends) == (ns("2026-10-25T02:00+02:00"), ns("2026-10-25T10:00+01:00"))
    assert (ends - begins) / HOUR_NS == 9


def test_what_the_local_clock_shows() -> None:
    grid = Grid("Asia/Kathmandu", QUARTER_S)
    moment = ns("2026-02-28T23:59:59+05:45")
    assert (grid.local_month(moment), grid.second_of_day(moment)) == (2, 86_399)
    assert grid.local_month(moment + NS) == 3
    assert grid.iso(moment + 7_999_999) == "2026-02-28T23:59:59.007+05:45"
    assert Grid("UTC", QUARTER_S).iso(0) == "1970-01-01T00:00:00.000+00:00"

"""What is to be summed up: every period once, in order, anew what was revised, after stops all of it, whatever the cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.derive.agenda import RANGES_MAX, Agenda, Due
from gateway.model import NS, Event
from tests.unit.sums_rig import LENGTH_NS, at, grid, settings, swap

if TYPE_CHECKING:
    from gateway.intervals.grid import Grid

T0 = at("2026-08-01T00:00")
HOUR_NS, DAY_NS = 3600 * NS, 86_400 * NS


def again(agenda: Agenda, own: Grid | None = None, **more: list[str]) -> Agenda:
    """Return it as a restart does."""
    return Agenda(own or grid(), orjson.loads(orjson.dumps(agenda.body())), settings(), **more)


def close(agenda: Agenda, from_ns: int, to_ns: int, **more: int) -> None:
    for start_ns in range(from_ns, to_ns, LENGTH_NS):
        agenda.closed(start_ns, start_ns + LENGTH_NS, **more)


def work(agenda: Agenda) -> list[tuple[str, int]]:
    """Do all that is due; return period and start, in order."""
    found: list[tuple[str, int]] = []
    while (due := agenda.due()) is not None:
        found.append((due.period, due.span.start_ns))
        agenda.done(due)
    return found


def starts(period: str, from_ns: int, to_ns: int, length_ns: int) -> list[tuple[str, int]]:
    return [(period, start_ns) for start_ns in range(from_ns, to_ns, length_ns)]


def test_hours_days_and_a_month_come_once_each_when_they_are_over() -> None:
    agenda = Agenda(grid())
    found = []
    for start_ns in range(T0, T0 + 31 * DAY_NS, LENGTH_NS):
        agenda.closed(start_ns, start_ns + LENGTH_NS)
        new = work(agenda)
        found += new
        assert not new or (start_ns + LENGTH_NS - T0) % HOUR_NS == 0
    assert [one for one in found if one[0] == "hour"] == starts("hour", T0, T0 + 31 * DAY_NS, HOUR_NS)
    assert [one for one in found if one[0] == "day"] == starts("day", T0, T0 + 31 * DAY_NS, DAY_NS)
    assert found[-2:] == [("day", T0 + 30 * DAY_NS), ("month", T0)]


def test_a_revised_interval_brings_its_hour_day_and_month_anew_in_that_order() -> None:
    agenda = Agenda(grid())
    close(agenda, T0, T0 + 40 * DAY_NS)
    work(agenda)
    at_ns = T0 + 3 * DAY_NS + 5 * HOUR_NS
    agenda.closed(at_ns + LENGTH_NS, at_ns + 2 * LENGTH_NS, rev=1)
    assert work(agenda) == [("hour", at_ns), ("day", T0 + 3 * DAY_NS), ("month", T0)]
    agenda.closed(T0 + 39 * DAY_NS, T0 + 39 * DAY_NS + LENGTH_NS, rev=1)
    assert [period for period, _ in work(agenda)] == ["hour", "day"], "its month is not over yet"


def test_a_replay_of_months_forgets_nothing() -> None:
    agenda = Agenda(grid())
    close(agenda, T0, T0 + 62 * DAY_NS)
    work(agenda)
    close(agenda, T0, T0 + 61 * DAY_NS, rev=1)
    found = work(again(agenda))
    assert len(found) == 61 * 24 + 61 + 2
    assert len(orjson.dumps(agenda.body())) < 500


def test_after_a_long_stop_everything_comes() -> None:
    agenda = Agenda(grid())
    close(agenda, T0, T0 + HOUR_NS)
    work(agenda)
    close(agenda, T0 + HOUR_NS, T0 + 3 * DAY_NS)
    hours = starts("hour", T0 + HOUR_NS, T0 + 3 * DAY_NS, HOUR_NS)
    assert work(agenda) == hours + starts("day", T0, T0 + 3 * DAY_NS, DAY_NS)


def test_a_clock_that_was_years_ahead_for_an_hour_makes_no_years_of_summaries() -> None:
    agenda = Agenda(grid())
    close(agenda, T0, T0 + 2 * HOUR_NS)
    ahead_ns = at("2036-08-01T05:00")
    close(agenda, ahead_ns, ahead_ns + HOUR_NS, epoch=1)
    found = work(agenda)
    assert [one for one in found if one[0] == "hour"] == [
        ("hour", T0),
        ("hour", T0 + HOUR_NS),
        ("hour", ahead_ns),
    ]
    close(agenda, T0 + 2 * HOUR_NS, T0 + DAY_NS, epoch=2)
    found = work(agenda)
    assert [one for one in found if one[0] == "hour"] == starts(
        "hour", T0 + 2 * HOUR_NS, T0 + DAY_NS, HOUR_NS
    )
    assert ("day", T0) in found


def test_time_that_comes_again_makes_its_periods_anew_once_they_are_over_again() -> None:
    agenda = Agenda(grid(), aggregates=["net"])
    close(agenda, T0, T0 + 3 * HOUR_NS)
    work(agenda)
    back_ns = T0 + HOUR_NS
    firsts = [agenda.closed(t, t + LENGTH_NS, 1) for t in range(back_ns, back_ns + 4 * HOUR_NS, LENGTH_NS)]
    assert firsts == [False] * 8 + [True] * 8
    found = work(agenda)
    assert [one for one in found if one[0] == "hour"] == starts(
        "hour", back_ns, back_ns + 4 * HOUR_NS, HOUR_NS
    )
    assert [one for one in found if one[0] == "interval"] == starts(
        "interval", back_ns, T0 + 3 * HOUR_NS, LENGTH_NS
    )


def test_reported_quantities_are_due_anew_only_where_there_are_some() -> None:
    for has in (True, False):
        agenda = Agenda(grid(), aggregates=["net"] * has)
        assert agenda.closed(T0, T0 + LENGTH_NS)
        assert not agenda.closed(T0, T0 + LENGTH_NS, rev=1)
        assert [one[0] for one in work(again(agenda, aggregates=["net"] * has))] == ["interval"] * has


def test_a_month_without_its_last_reading_is_made_again_a_day_later() -> None:
    agenda, end_ns = Agenda(grid()), at("2026-09-01T00:00")
    close(agenda, end_ns - HOUR_NS, end_ns)
    while (due := agenda.due()) is not None:
        agenda.done(due, again=due.period == "month")
    agenda = again(agenda)
    close(agenda, end_ns, end_ns + DAY_NS - HOUR_NS)
    assert ("month", at("2026-08-01T00:00")) not in work(agenda)
    close(agenda, end_ns + DAY_NS - HOUR_NS, end_ns + DAY_NS)
    due = agenda.due()
    while due is not None and due.period != "month":
        agenda.done(due)
        due = agenda.due()
    assert due == Due("month", grid().month(at("2026-08-15T00:00")))
    agenda.done(due, again=True)
    assert agenda.due() is None


@pytest.mark.parametrize(
    ("hours", "months"), [(-20, ["2026-08", "2026-09"]), (-30, []), (20, ["2026-08", "2026-09"]), (36, [])]
)
def test_a_reading_by_hand_near_a_months_end_makes_both_months_anew(hours: int, months: list[str]) -> None:
    agenda, end_ns = Agenda(grid()), at("2026-09-01T00:00")
    close(agenda, end_ns - HOUR_NS, at("2026-10-01T00:00"))
    work(agenda)
    agenda.entered(end_ns + hours * HOUR_NS)
    assert work(agenda) == [("month", at(f"{month}-01T00:00")) for month in months]


def test_a_shift_across_midnight_makes_the_next_day_anew_too() -> None:
    night = settings(shifts=[{"id": "night", "start": "22:00", "end": "06:00"}])
    agenda = Agenda(grid(), None, night)
    close(agenda, T0, T0 + 4 * DAY_NS)
    work(agenda)
    agenda.closed(T0 + 23 * HOUR_NS, T0 + 23 * HOUR_NS + LENGTH_NS, rev=1)
    assert work(agenda) == [("hour", T0 + 23 * HOUR_NS), ("day", T0), ("day", T0 + DAY_NS)]


def test_what_is_scattered_is_bounded_and_nothing_is_forgotten() -> None:
    agenda = Agenda(grid())
    close(agenda, T0, T0 + 90 * DAY_NS)
    work(agenda)
    wanted = [T0 + n * 2 * HOUR_NS for n in range(RANGES_MAX + 100)]
    for start_ns in wanted:
        agenda.closed(start_ns, start_ns + LENGTH_NS, rev=1)
    assert len(agenda.body()["todo"]["hour"]) <= RANGES_MAX
    assert set(wanted) <= {start_ns for period, start_ns in work(agenda) if period == "hour"}


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 1), st.booleans(), st.booleans()), max_size=60))
def test_restarts_at_any_moment_change_nothing(steps: list[tuple[int, int, bool, bool]]) -> None:
    straight, cut = Agenda(grid()), Agenda(grid())
    told: list[list[tuple[str, int]]] = [[], []]
    for place, rev, restarts, works in steps:
        if restarts:
            cut = again(cut)
        for n, agenda in enumerate((straight, cut)):
            start_ns = T0 + place * LENGTH_NS
            agenda.closed(start_ns, start_ns + LENGTH_NS, rev=rev)
            if works and (due := agenda.due()) is not None:
                told[n].append((due.period, due.span.start_ns))
                agenda.done(due)
    assert told[0] == told[1]
    assert work(straight) == work(cut)


def test_what_a_clock_set_back_left_unfinished_is_summed_up_and_the_new_time_waits_for_its_end() -> None:
    agenda, ahead_ns = Agenda(grid()), at("2036-08-01T05:00")
    close(agenda, ahead_ns, ahead_ns + 2 * LENGTH_NS)
    assert work(agenda) == [], "the hour is not over"
    close(agenda, T0, T0 + LENGTH_NS, epoch=1)
    left = [("hour", ahead_ns), ("day", at("2036-08-01T00:00")), ("month", at("2036-08-01T00:00"))]
    assert work(agenda) == left, "it never will be; and the new hour is not over either"
    close(agenda, T0 + LENGTH_NS, T0 + 4 * LENGTH_NS, epoch=1)
    assert work(agenda) == [("hour", T0)]


def test_what_is_declared_of_a_time_without_intervals_is_summed_up_anew() -> None:
    agenda, swapped_ns = Agenda(grid()), at("2026-08-31T12:34")
    close(agenda, at("2026-08-30T00:00"), at("2026-09-02T00:00"))
    work(agenda)
    agenda.declared([swap(swapped_ns, 10, 0), Event(swapped_ns, "commissioned", "m-1", {})])
    due = [
        ("hour", at("2026-08-31T12:00")),
        ("day", at("2026-08-31T00:00")),
        ("month", at("2026-08-01T00:00")),
    ]
    assert work(again(agenda)) == due
    agenda = Agenda(grid())
    close(agenda, at("2026-08-30T00:00"), at("2026-09-02T00:00"))
    work(agenda)
    undone = {"undoes": {"serial": "S2", "effective_ns": swapped_ns}, "effective_ns": swapped_ns}
    agenda.declared([Event(at("2026-09-01T23:00"), "meter_swap", "m-1", undone)])
    assert work(agenda) == due
    agenda.declared([Event(0, "meter_swap", "m-1", {"effective_ns": "now"})])
    assert work(agenda) == []


def test_since_when_a_reported_quantity_is_told_survives_restarts_and_a_time_without_it() -> None:
    agenda = Agenda(grid())
    close(agenda, T0, T0 + HOUR_NS)
    for n, ids in enumerate((["net"], [], ["net", "gross"]), 1):
        agenda = again(agenda, aggregates=ids)
        close(agenda, T0 + n * HOUR_NS, T0 + (n + 1) * HOUR_NS)
        close(agenda, T0, T0 + HOUR_NS, rev=1)
    agenda = again(agenda)
    told = {name: [agenda.was_told(name, T0 + n * HOUR_NS) for n in range(5)] for name in ("net", "gross")}
    assert told == {"net": [False, True, False, True, False], "gross": [False, False, False, True, False]}
    assert agenda.body()["told"]["net"] == [[T0 + n * HOUR_NS, T0 + (n + 1) * HOUR_NS] for n in (1, 3)]

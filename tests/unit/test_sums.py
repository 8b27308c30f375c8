"""Sums of days and months: 23 and 25 hours, shifts, tariffs, closing days, and readings that stand in at a month's ends."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.derive.stand_ins import has_open_end, with_stand_ins
from gateway.derive.sums import of_day, of_intervals, of_month, of_row, shift_spans, tariff_stretches, to_row
from gateway.history.work import ManualReading
from gateway.intervals.grid import Span
from gateway.model import NS
from tests.unit.sums_rig import KEY, LENGTH_NS, Kept, amounts, at, grid, hours, seen, settings, steady

if TYPE_CHECKING:
    from gateway.config.periods import IntervalsConfig
    from gateway.derive.sums import Sums
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Interval

NEW_YORK = "America/New_York"  # 2026: an hour is left out on 8 March, one comes twice on 1 November
HOUR_NS = 3600 * NS
NIGHT = {"id": "night", "start": "22:00", "end": "06:00"}
DAY = {"id": "day", "start": "06:00", "end": "22:00"}
PLAIN = settings()


def month_of(own: Grid, kept: list[Interval], span: Span, given: IntervalsConfig = PLAIN) -> Sums:
    store, days, day = Kept(kept).store, [], own.day(span.start_ns)
    while day.start_ns < span.end_ns:
        days.append(of_row(orjson.loads(orjson.dumps(to_row(of_day(store, own, day, given))))))
        day = own.day(day.end_ns)
    return of_month(days, span, {})


@pytest.mark.parametrize(("date", "length_h"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-11-02", 24)])
@pytest.mark.parametrize("day_start_s", [0, 8 * 3600])
def test_a_day_has_the_hours_the_clock_gives_it(date: str, length_h: int, day_start_s: int) -> None:
    own = grid(NEW_YORK, day_start_s=day_start_s)
    day = own.day(
        at(f"{date}T00:30", NEW_YORK)
    )  # with day_start 08:00 that of the day before, which has the change
    kept = steady(day.start_ns - 4 * LENGTH_NS, day.end_ns + 4 * LENGTH_NS)
    found = of_day(Kept(kept).store, own, day, PLAIN)["m-1"]
    assert hours(day) == length_h
    assert amounts(found.runs) == {KEY: str(length_h * 4)}
    assert found.completeness.due == length_h * 4


@pytest.mark.parametrize(("date", "night_h"), [("2026-03-08", 7), ("2026-11-01", 9), ("2026-11-02", 8)])
def test_a_shift_across_midnight_ends_on_its_day_and_a_change_of_the_clock_makes_it_longer_or_shorter(
    date: str, night_h: int
) -> None:
    own, given = grid(NEW_YORK), settings(shifts=[NIGHT, DAY])
    day = own.day(at(f"{date}T12:00", NEW_YORK))
    spans = dict(shift_spans(own, day, given))
    assert {name: hours(span) for name, span in spans.items()} == {"night": night_h, "day": 16}
    assert spans["night"].end_ns == spans["day"].start_ns == at(f"{date}T06:00", NEW_YORK)
    assert own.second_of_day(spans["night"].start_ns) == 22 * 3600
    kept = steady(day.start_ns - 12 * LENGTH_NS, day.end_ns)
    shifts = of_day(Kept(kept).store, own, day, given)["m-1"].shifts
    assert {name: amounts(own) for name, own in shifts.items()} == {
        "night": {KEY: str(night_h * 4)},
        "day": {KEY: "64"},
    }


def test_shifts_of_a_day_that_begins_at_eight_lie_in_it_and_follow_each_other() -> None:
    own = grid(day_start_s=8 * 3600)
    given = settings(
        day_start="08:00",
        shifts=[
            {"id": "a", "start": "08:00", "end": "16:00"},
            {"id": "b", "start": "16:00", "end": "00:00"},
            {"id": "c", "start": "00:00", "end": "08:00"},
        ],
    )
    day = own.day(at("2026-08-02T07:00"))
    assert day == Span(at("2026-08-01T08:00"), at("2026-08-02T08:00"))
    spans = dict(shift_spans(own, day, given))
    assert (spans["a"].start_ns, spans["c"].end_ns) == day
    assert spans["a"].end_ns == spans["b"].start_ns
    assert spans["b"].end_ns == spans["c"].start_ns


def test_a_shift_that_began_before_the_meter_is_no_whole_shift() -> None:
    own, given = grid(), settings(shifts=[NIGHT])
    day = own.day(at("2026-08-02T12:00"))
    run = of_day(Kept(steady(day.start_ns, day.end_ns)).store, own, day, given)["m-1"].shifts["night"][KEY]
    assert seen(run.amount, run.known, run.start_ns) == (None, 24, at("2026-08-01T22:00"))


def tariffs() -> IntervalsConfig:
    summer = {"months": [7, 8]}
    rest = {"months": [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]}
    return settings(
        tariffs=[
            {"kind": "valley", "hours": ["00:00-08:00"]},
            {"kind": "flat", "hours": ["12:00-24:00"]},
            {"kind": "peak", "hours": ["08:00-10:00"], **summer},
            {"kind": "sharp", "hours": ["10:00-12:00"], **summer},
            {"kind": "peak", "hours": ["08:00-12:00"], **rest},
        ]
    )


def parts_of(date: str, lost: set[int]) -> dict[str, tuple[str | None, str]]:
    own = grid()
    day = own.day(at(f"{date}T12:00"))
    found = of_day(Kept(steady(day.start_ns, day.end_ns, lost=lost)).store, own, day, tariffs())["m-1"]
    return {
        kind: (None if part[KEY].amount is None else str(part[KEY].amount), str(part[KEY].known))
        for kind, part in found.tariffs.items()
    }


def test_tariffs_go_by_season() -> None:
    assert parts_of("2026-08-31", set()) == {
        "valley": ("32", "32"), "peak": ("8", "8"), "sharp": ("8", "8"), "flat": ("48", "48"),
    }  # fmt: skip
    assert parts_of("2026-09-01", set()) == {
        "valley": ("32", "32"),
        "peak": ("16", "16"),
        "flat": ("48", "48"),
    }


def test_a_gap_inside_one_tariff_period_does_not_matter_and_one_across_two_is_in_neither() -> None:
    inside = parts_of("2026-08-01", {at("2026-08-01T09:00"), at("2026-08-01T09:15")})
    assert inside["peak"] == ("8", "8")
    across = parts_of("2026-08-01", {at("2026-08-01T10:00")})
    assert (across["peak"], across["sharp"]) == ((None, "7"), (None, "7"))
    assert (across["valley"], across["flat"]) == (("32", "32"), ("48", "48"))


def test_tariff_stretches_of_a_day_with_a_change_of_the_clock_are_all_of_it() -> None:
    own = grid(NEW_YORK, day_start_s=6 * 3600)
    for date in ("2026-03-07", "2026-10-31", "2026-08-01"):
        day = own.day(at(f"{date}T12:00", NEW_YORK))
        stretches = [span for _, span in tariff_stretches(own, day, tariffs())]
        assert [stretches[0].start_ns, stretches[-1].end_ns] == [*day]
        assert all(a.end_ns == b.start_ns for a, b in pairwise(stretches))


def test_a_month_with_a_closing_day_is_its_days_joined_and_rows_go_round() -> None:
    own, given = grid(month_day=26, day_start_s=8 * 3600), tariffs()
    span = own.month(at("2026-08-26T07:59"))
    assert span == Span(at("2026-07-26T08:00"), at("2026-08-26T08:00"))
    lost = {at("2026-08-10T08:00"), at("2026-08-12T03:00")}  # one of them at the boundary of two days
    found = month_of(own, steady(span.start_ns, span.end_ns, lost=lost), span, given)["m-1"]
    assert amounts(found.runs) == {KEY: str(31 * 96)}
    assert found.completeness.due == 31 * 96
    assert {kind: part[KEY].amount for kind, part in found.tariffs.items()} == {
        "peak": None, "valley": None, "sharp": 31 * 8, "flat": 31 * 48,
    }  # fmt: skip
    assert of_row(orjson.loads(orjson.dumps(to_row({"m-1": found})))) == {"m-1": found}


def test_a_month_that_began_before_the_meter_has_no_amount_nor_have_its_tariffs() -> None:
    own = grid()
    span = own.month(at("2026-08-15T00:00"))
    found = month_of(own, steady(at("2026-08-03T00:00"), span.end_ns), span, tariffs())["m-1"]
    assert seen(found.runs[KEY].amount, found.runs[KEY].known) == (None, 29 * 96)
    assert seen(found.tariffs["flat"][KEY].amount, found.tariffs["flat"][KEY].known) == (None, 29 * 48)


def test_an_hour_is_that_of_the_clock() -> None:
    span = grid().hour(at("2026-08-01T10:30"))
    found = of_intervals(reversed(steady(*span)), span, {})["m-1"]
    assert seen(found.completeness.due, found.runs[KEY].amount) == (4, 4)


# -- stand-ins -----------------------------------------------------------------------------------------------

BEGIN, END = at("2026-08-01T00:00"), at("2026-09-01T00:00")
SPAN = Span(BEGIN, END)
EVER = steady(BEGIN - 200 * LENGTH_NS, END + 200 * LENGTH_NS)


def kept(lost_from_ns: int, lost_to_ns: int) -> list[Interval]:
    lost = set(range(lost_from_ns, lost_to_ns + 1, LENGTH_NS))
    return steady(EVER[0].start_ns, EVER[-1].end_ns, lost=lost, base_ns=BEGIN)


def by_hand(time_ns: int, reading: str, entered_ns: int = 0) -> ManualReading:
    return ManualReading("m-1", KEY, time_ns, Decimal(reading), "kWh", "Li", "offline", entered_ns)


def stood_in(intervals: list[Interval], *manual: ManualReading) -> Sums:
    month = month_of(grid(), intervals, SPAN)
    return with_stand_ins(Kept(intervals, manual).store, SPAN, month, {})


def ends(found: Sums) -> tuple[int, int, str, str]:
    run = found["m-1"].runs[KEY]
    assert run.first is not None
    assert run.last is not None
    return run.first.time_ns, run.last.time_ns, run.first.source, run.last.source


def test_a_month_with_both_readings_needs_nobody_to_stand_in() -> None:
    found = stood_in(kept(0, 0), by_hand(BEGIN, "5"))
    assert ends(found) == (BEGIN, END, "meter", "meter")
    assert (amounts(found["m-1"].runs), found["m-1"].completeness.manual) == ({KEY: str(31 * 96)}, 0)


@pytest.mark.parametrize(
    ("before_h", "after_h", "stands_in_h"), [(3, 5, -3.25), (5, 3, 3.25), (30, 5, 5.25), (30, 30, None)]
)
def test_the_nearest_reading_within_a_day_stands_in_at_its_own_time(
    before_h: int, after_h: int, stands_in_h: float | None
) -> None:
    found = stood_in(kept(END - before_h * HOUR_NS, END + after_h * HOUR_NS))
    run = found["m-1"].runs[KEY]
    if stands_in_h is None:
        assert (run.amount, run.closes) == (None, False)
        return
    assert ends(found)[1] == END + round(stands_in_h * HOUR_NS)
    assert run.amount == 31 * 96 + round(stands_in_h * 4)
    assert run.end_ns == END
    assert found["m-1"].completeness.manual == 0


@pytest.mark.parametrize(
    ("before_h", "after_h", "stands_in_h"), [(3, 5, -3.25), (5, 3, 3.25), (30, 30, None)]
)
def test_so_it_does_at_the_beginning(before_h: int, after_h: int, stands_in_h: float | None) -> None:
    found = stood_in(kept(BEGIN - before_h * HOUR_NS, BEGIN + after_h * HOUR_NS))
    run = found["m-1"].runs[KEY]
    if stands_in_h is None:
        assert (run.amount, run.opens) == (None, False)
        return
    assert ends(found)[0] == BEGIN + round(stands_in_h * HOUR_NS)
    assert seen(run.amount, run.start_ns) == (31 * 96 - round(stands_in_h * 4), BEGIN)


def test_a_reading_entered_by_hand_stands_in_marked_and_counted() -> None:
    lost = kept(END - 30 * HOUR_NS, END + 30 * HOUR_NS)
    at_ns = END + 2 * HOUR_NS
    wrong, right = by_hand(at_ns, "1", 1), by_hand(at_ns, str(1000 + 31 * 96 + 8), 2)
    found = stood_in(lost, wrong, right, by_hand(END + 9 * HOUR_NS, "9999"))
    assert ends(found) == (BEGIN, at_ns, "meter", "manual")
    assert seen(found["m-1"].runs[KEY].amount, found["m-1"].completeness.manual) == (31 * 96 + 8, 1)


def test_the_meters_own_goes_before_one_by_hand_that_is_as_near_but_not_before_a_nearer_one() -> None:
    lost = kept(END - 3 * HOUR_NS, END + 3 * HOUR_NS)
    own_ns = END + 3 * HOUR_NS + LENGTH_NS
    assert ends(stood_in(lost, by_hand(own_ns, "4000")))[3] == "meter"
    nearer = by_hand(END - HOUR_NS, str(1000 + 31 * 96 - 4))
    found = stood_in(lost, nearer)
    assert (ends(found)[1], ends(found)[3]) == (END - HOUR_NS, "manual")
    assert found["m-1"].runs[KEY].amount == 31 * 96 - 4


def test_a_meter_that_was_never_read_has_a_month_between_two_readings_by_hand() -> None:
    lost = kept(EVER[0].start_ns, EVER[-1].end_ns)
    found = stood_in(lost, by_hand(BEGIN + HOUR_NS, "100"), by_hand(END - HOUR_NS, "175.5"))
    assert (amounts(found["m-1"].runs), found["m-1"].completeness.manual) == ({KEY: "75.5"}, 2)


def test_a_reading_by_hand_that_is_less_than_the_meters_makes_the_month_unknown() -> None:
    lost = kept(END - 3 * HOUR_NS, END + 30 * HOUR_NS)
    found = stood_in(lost, by_hand(END, "12"))
    assert found["m-1"].runs[KEY].amount is None


def test_nothing_stands_in_from_beyond_a_swap_nobody_recorded() -> None:
    lost = kept(END - 30 * HOUR_NS, END + 2 * HOUR_NS)
    swapped = [replace(one, swapped=one.start_ns == END + HOUR_NS) for one in lost]
    assert stood_in(lost)["m-1"].runs[KEY].amount is not None
    assert stood_in(swapped)["m-1"].runs[KEY].amount is None
    early = kept(BEGIN - 2 * HOUR_NS, BEGIN + 30 * HOUR_NS)
    exchanged = [replace(one, swapped=one.start_ns == BEGIN - HOUR_NS) for one in early]
    assert stood_in(early)["m-1"].runs[KEY].amount is not None
    assert stood_in(exchanged)["m-1"].runs[KEY].amount is None


def test_an_end_is_open_until_its_own_reading_is_there() -> None:
    assert not has_open_end(month_of(grid(), kept(0, 0), SPAN))
    assert has_open_end(month_of(grid(), kept(END, END), SPAN))

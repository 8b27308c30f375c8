"""A month takes every hour once, whatever its days were: another begin of the day, another timezone, days not summed up."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.derive.agenda import Due
from gateway.derive.summaries import Words, read_sums
from gateway.derive.sums import parts_of_month
from gateway.history.work import TotalRow
from tests.unit.sums_rig import KEY, LENGTH_NS, Kept, at, grid, seen, settings, steady

if TYPE_CHECKING:
    from gateway.derive.sums import MeterSums
    from gateway.intervals.grid import Grid

CHANGE = at("2026-08-15T00:00")
TARIFFS = {
    "tariffs": [
        {"kind": "peak", "hours": ["08:00-20:00"]},
        {"kind": "valley", "hours": ["00:00-08:00", "20:00-24:00"]},
    ]
}
PLAIN = settings(**TARIFFS)
EIGHT = 8 * 3600


class Counted(Kept):
    """Counts how many intervals were asked for."""

    asked = 0

    def intervals(self, *given: Any) -> Any:
        for one in super().intervals(*given):
            self.asked += 1
            yield one


def days(store: Kept, own: Grid, from_ns: int, to_ns: int, rev: int = 0) -> None:
    """Sum up the days of a grid that lie in a stretch, as a gateway with it does."""
    day = own.day(from_ns)
    while day.end_ns <= to_ns:
        if day.start_ns >= from_ns:
            due = Due("day", day)
            row = Words(own, due, read_sums(store.store, own, due, PLAIN)).row()
            body = orjson.loads(orjson.dumps(row))
            store.summaries.append(TotalRow("day", day.start_ns, rev, day.end_ns, 0, body))
        day = own.day(day.end_ns)


def month(store: Kept, own: Grid) -> MeterSums:
    found = read_sums(store.store, own, Due("month", own.month(CHANGE)), PLAIN)
    assert [own for part in found.days for own in part] == ["m-1"] * len(found.days)
    return found.sums["m-1"]


def site(own: Grid) -> Counted:
    """Return a meter that counts 1 a quarter of an hour from a day before the month to a day after it."""
    span = own.month(CHANGE)
    return Counted(steady(span.start_ns - 96 * LENGTH_NS, span.end_ns + 96 * LENGTH_NS))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (grid(day_start_s=EIGHT), grid()),
        (grid(), grid(day_start_s=EIGHT)),
        (grid("Asia/Tokyo"), grid()),
        (grid("Europe/Berlin"), grid(day_start_s=EIGHT, month_day=10)),
    ],
)
@pytest.mark.parametrize("resummed", [False, True])
def test_a_change_inside_a_month_leaves_nothing_out_and_counts_nothing_twice(
    before: Grid, after: Grid, resummed: bool
) -> None:
    store, span = site(after), after.month(CHANGE)
    days(store, before, span.start_ns - 96 * LENGTH_NS, CHANGE)
    days(store, after, after.day(CHANGE).start_ns, span.end_ns)
    if resummed:  # an interval of the old grid's time was made anew
        one = after.day(CHANGE - 5 * 96 * LENGTH_NS)
        days(store, after, one.start_ns, one.end_ns)
    store.asked = 0
    found = month(store, after)
    assert store.asked < 5 * 96, "of the days only those that are cut are summed up anew"
    quarters = (span.end_ns - span.start_ns) // LENGTH_NS
    assert seen(found.completeness.due, found.runs[KEY].amount) == (quarters, quarters)
    tariffs = {kind: (part[KEY].amount, part[KEY].known) for kind, part in found.tariffs.items()}
    half = Decimal(quarters) / 2
    assert tariffs == {"peak": (half, half), "valley": (half, half)}


def test_a_day_kept_under_the_same_begin_but_another_end_is_none_of_the_present_grid() -> None:
    own, store = grid(), site(grid())
    span = own.month(CHANGE)
    days(store, own, span.start_ns, span.end_ns)
    (first, *rest) = store.summaries
    store.summaries = [first._replace(end_ns=first.end_ns + 40 * LENGTH_NS), *rest]
    assert seen(month(store, own).runs[KEY].amount) == (31 * 96,)


def test_days_nobody_summed_up_are_unknown_where_there_are_no_intervals() -> None:
    own = grid()
    span = own.month(CHANGE)
    store = Kept(steady(CHANGE, span.end_ns))
    days(store, own, CHANGE, span.end_ns)
    parts = parts_of_month(store.store, own, span, PLAIN)
    assert [bool(part) for part in parts] == [False] * 14 + [True] * 17
    found = read_sums(store.store, own, Due("month", span), PLAIN).sums["m-1"]
    assert seen(found.runs[KEY].amount, found.runs[KEY].known) == (None, 17 * 96)
    assert seen(found.tariffs["peak"][KEY].amount) == (None,)

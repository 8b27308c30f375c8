"""The amount between two boundary readings, and a gauge's tally."""

from __future__ import annotations

from decimal import Decimal

from gateway.intervals.amounts import Amount, Split, Tally, between, split_from, split_of, split_row
from gateway.intervals.model import Boundary
from gateway.model import Event
from tests.unit.engine_rig import IN, POWER, frame, layout

TURN = Decimal(10000)


def at(time_ns: int, reading: str) -> Boundary:
    return Boundary(Decimal(reading), time_ns)


def split(effective_ns: int, closing: str | None, opening: str | None) -> Split:
    sides = [{IN: None if text is None else Decimal(text)} for text in (closing, opening)]
    return Split("meter_swap", 0, effective_ns, "2", *sides)


def amount(opening: Boundary | None, closing: Boundary | None, *splits: Split, alike: bool = True) -> Amount:
    return between(IN, opening, closing, splits, TURN, same_scale=alike)


def test_without_a_split_it_is_what_counters_say() -> None:
    assert amount(at(0, "1.20"), at(9, "1.30")) == (Decimal("0.10"), "normal")
    assert amount(at(0, "9999"), at(9, "1")) == (Decimal(2), "rollover")
    assert amount(at(0, "5000"), at(9, "1")) == (None, "reset")
    assert amount(None, at(9, "1")) == (None, "missing")
    assert amount(at(0, "1"), None) == (None, "missing")
    assert amount(at(0, "1"), at(9, "1")) == (Decimal(0), "normal"), "nothing counted is zero, and known"


def test_readings_by_different_coefficients_have_no_difference() -> None:
    assert amount(at(0, "1"), at(9, "2"), alike=False) == (None, "reset")
    assert amount(at(0, "1"), at(9, "2"), split(5, "1", "1"), alike=False) == (Decimal(1), "swap")


def test_a_reading_at_the_very_moment_of_a_swap_is_the_new_meters() -> None:
    assert amount(at(0, "1"), at(5, "2"), split(5, "3", "0")) == (Decimal(4), "swap")
    assert amount(at(5, "1"), at(9, "2"), split(5, "3", "0")) == (Decimal(1), "normal")


def test_each_meter_is_counted_on_its_own_and_may_turn_over() -> None:
    assert amount(at(0, "9999"), at(9, "7"), split(5, "1", "7")) == (Decimal(2), "swap")
    assert amount(at(0, "1"), at(9, "7"), split(6, "1", "6"), split(3, "4", "0")) == (Decimal(5), "swap")


def test_what_one_side_does_not_know_makes_it_unknown_and_never_zero() -> None:
    for one in (split(5, None, "0"), split(5, "3", None), Split("meter_swap", 0, 5, "", {}, {})):
        assert amount(at(0, "1"), at(9, "2"), one) == (None, "swap")
    assert amount(at(0, "3"), at(9, "2"), split(5, "2", "0")) == (None, "reset")


def test_an_event_that_cannot_be_read_is_known_to_nobody() -> None:
    sides = {"closing": {IN: {"reading": "x"}, POWER: {}}, "opening": {IN: {"reading": "1.50"}, POWER: None}}
    found = split_of(Event(0, "meter_swap", "m-1", sides), 3, 7)
    assert found == Split("meter_swap", 3, 7, "", {IN: None, POWER: None}, {IN: Decimal("1.50"), POWER: None})
    assert split_of(Event(0, "meter_swap", "m-1", {"closing": 5}), 0, 7).closing == {}
    assert split_from(split_row(found)) == found


def test_a_tally_reads_each_layouts_bytes_by_its_own_rule() -> None:
    first, second = layout(), layout()
    tally = Tally()
    for of, readings in ((first, (5, 5, -3)), (second, (5,)), (first, (1,))):
        tally.read_by(of, 2)
        start = of.starts[2]
        for power in readings:
            piece = frame(of, 0, power=power).raw[start : start + of.slots[2].size]
            tally.counts[piece] = tally.counts.get(piece, 0) + 1
    again = Tally.of(tally.row())
    assert again.mean() == tally.mean() == Decimal("0.0026")
    assert (again.low, again.high, again.number) == (Decimal("-0.003"), Decimal("0.005"), 5)
    assert Tally().mean() is None


def test_a_mean_has_twelve_significant_digits() -> None:
    of, tally = layout(), Tally()
    tally.read_by(of, 2)
    start = of.starts[2]
    for power in (1, 1, 2):
        piece = frame(of, 0, power=power).raw[start : start + of.slots[2].size]
        tally.counts[piece] = tally.counts.get(piece, 0) + 1
    assert tally.mean() == Decimal("0.00133333333333")

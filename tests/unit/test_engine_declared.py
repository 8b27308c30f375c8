"""Swaps, changed ratios and replays: what they make of intervals, open, closed and long gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.layout import Layout
from gateway.model import NS
from tests.unit.engine_rig import IN, OUT, T0, again, engine, event, layout, minutes, plan, run, start, swap

if TYPE_CHECKING:
    from gateway.intervals.model import How, Interval

METER = layout()
BEGIN = [*start(), plan(0)]


def amount(one: Interval, key: str = IN) -> tuple[str | None, How | None]:
    channel = one.channel(key)
    assert channel is not None
    return None if channel.delta is None else f"{channel.delta:f}", channel.how


def test_a_swap_adds_what_both_meters_counted() -> None:
    frames = [*minutes(METER, 0, 150), *minutes(METER, 170, 330)]
    (one,) = run(engine(), [*BEGIN, *frames[:15], swap(165, 160, "1.60", "0.50"), *frames[15:]])
    assert amount(one) == ("4.10", "swap"), "1.60 - 0.00 and 3.00 - 0.50"
    assert one.swapped
    assert (one.rev, one.cause) == (0, "")


def test_a_side_nobody_knows_leaves_the_amount_unknown() -> None:
    for closing, opening in ((None, "0"), ("1.60", None)):
        (one,) = run(engine(), [*BEGIN, swap(1, 160, closing, opening), *minutes(METER, 0, 330)])
        assert amount(one) == (None, "swap")
        assert one.swapped


def test_two_swaps_in_one_interval() -> None:
    events = [swap(1, 100, "1.00", "0.00"), swap(2, 200, "0.70", "2.00")]
    (one,) = run(engine(), [*BEGIN, *events, *minutes(METER, 0, 330)])
    assert amount(one) == ("2.70", "swap"), "1.00, 0.70 and 3.00 - 2.00"


def test_a_fall_on_one_side_of_a_swap_is_a_reset() -> None:
    (one,) = run(engine(), [*BEGIN, swap(1, 160, "1.60", "3.20"), *minutes(METER, 0, 330)])
    assert amount(one, OUT) == ("4.40", "swap"), "1.60 - 0.00 and 6.00 - 3.20"
    assert amount(one) == (None, "reset")


def test_a_swap_between_boundary_and_reading_belongs_to_the_interval_whose_readings_it_separates() -> None:
    records = [*BEGIN, *minutes(METER, 0, 330), swap(340, 300.1, "3.00", "0.00"), *minutes(METER, 340, 660)]
    made = run(engine(), records)
    found = {((one.start_ns - T0) // NS, one.rev): one for one in made}
    assert amount(found[0, 0]) == ("3.00", "normal")
    assert amount(found[0, 1]) == ("6.00", "swap"), (
        "3.00 - 0.00 and 3.00 - 0.00: the reading at 300.2 is the new meter's"
    )
    assert not found[0, 1].swapped
    assert found[0, 1].cause == "meter_swap"
    assert amount(found[300, 0]) == ("3.00", "normal")
    assert found[300, 0].swapped


def test_a_swap_in_a_closed_interval_makes_it_anew_and_taking_it_back_does_so_again() -> None:
    one = engine()
    (first,) = run(one, [*BEGIN, *minutes(METER, 0, 330)])
    assert amount(first) == ("3.00", "normal")
    (second,) = run(again(one), [swap(340, 160, "1.60", "0.50"), event(365, "config")])
    assert (second.rev, second.cause, amount(second)) == (1, "meter_swap", ("4.10", "swap"))
    run(one, [swap(340, 160, "1.60", "0.50"), event(365, "config")])
    one = again(one)
    undoes = {"serial": "2", "effective_ns": T0 + 160 * NS}
    (third,) = run(one, [swap(370, 160, None, None, undoes=undoes), event(395, "config")])
    assert (third.rev, third.cause, amount(third)) == (2, "meter_swap", ("3.00", "normal"))
    assert not third.swapped
    assert one.redo == []


def test_a_changed_ratio_splits_like_a_swap_and_is_no_exchange() -> None:
    other = layout(coefficient="0.02")
    side = {IN: {"reading": "1.60", "unit": "kWh", "time_ns": 0, "from": "read"}}
    later = {IN: {"reading": "3.40", "unit": "kWh", "time_ns": 0, "from": "journal"}}
    change = event(
        165, "ratio_change", "m-1", ratio="ct", before="1", after="2", closing=side, opening=later,
        effective_ns=T0 + 165 * NS,
    )  # fmt: skip
    (one,) = run(engine(), [*BEGIN, *minutes(METER, 0, 160), change, *minutes(other, 170, 330)])
    assert amount(one) == ("4.20", "swap"), "1.60 and 6.00 - 3.40"
    assert amount(one, OUT) == (None, "swap")
    assert not one.swapped


def test_what_is_closed_too_long_is_left_to_journal_and_history() -> None:
    one = engine()
    run(one, [*BEGIN, *minutes(METER, 0, 2130)])
    declared = swap(2130, 160, "1.60", "0.50")
    assert run(one, [declared, event(2200, "config")]) == []
    (redo,) = again(one).redo
    assert (redo.kind, redo.meter, redo.from_ns, redo.to_ns) == ("meter_swap", "m-1", T0, T0 + 300 * NS)
    assert redo.detail == declared.detail
    one.redo.clear()
    assert run(one, [swap(2200, 900, "9.00", "0.50"), event(2230, "config")])[0].rev == 1
    assert [(r.from_ns, r.to_ns) for r in one.redo] == [(T0 + 600 * NS, T0 + 900 * NS)], (
        "the interval before may end with a reading of the new meter"
    )


def test_a_replay_waits_until_all_its_intervals_are_closed() -> None:
    after = layout(coefficient="0.1")
    one = engine()
    run(one, [*BEGIN, *minutes(METER, 0, 100)])
    detail = {
        "from_ns": T0 - 10 * NS, "to_ns": T0 + 5000 * NS, "before": METER.digest, "after": after.digest, "rev": 1,
        "layout": after.to_dict(), "readings": 10, "by": "x", "why": "",
    }  # fmt: skip
    run(one, [event(101, "replay", "m-1", **detail), *minutes(METER, 110, 320)])
    assert one.redo == []
    one = again(one)
    run(one, minutes(METER, 320, 340))
    (redo,) = one.redo
    assert (redo.kind, redo.meter, redo.before, redo.after, redo.rev) == (
        "replay", "m-1", METER.digest, after.digest, 1,
    )  # fmt: skip
    assert Layout.from_dict(redo.layout).digest == after.digest
    assert (redo.from_ns, redo.to_ns) == (T0 - 10 * NS, T0 + 5000 * NS)

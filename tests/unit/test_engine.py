"""The engine: what an interval holds, and when it is made."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.intervals.engine import Engine
from gateway.intervals.model import Boundary
from gateway.model import NS, Flag, Gap
from tests.unit.engine_rig import (
    IN,
    OUT,
    POWER,
    T0,
    again,
    engine,
    event,
    frame,
    layout,
    minutes,
    plan,
    run,
    start,
)  # fmt: skip

METER = layout()


def test_an_interval_of_a_meter_that_answers_is_complete() -> None:
    (one,) = run(engine(), [*start(), plan(0), *minutes(METER, 0, 330)])
    assert (one.meter, one.epoch, one.start_ns, one.end_ns) == ("m-1", 0, T0, T0 + 300 * NS)
    assert (one.rev, one.cause, one.energy_kind, one.layouts) == (0, "", "electricity", (METER.digest,))
    assert one.closed_ns == T0 + 320 * NS + NS // 5, "by the record that took the time past end and grace"
    taken = one.channel(IN)
    assert taken is not None
    assert (taken.unit, taken.expected, taken.received, taken.good, dict(taken.gaps)) == (
        "kWh", 30, 30, 30, {},
    )  # fmt: skip
    assert taken.opening == Boundary(Decimal("0.00"), T0 + NS // 5)
    assert taken.closing == Boundary(Decimal("3.00"), T0 + 300 * NS + NS // 5)
    assert (taken.delta, taken.how) == (Decimal("3.00"), "normal")
    assert [channel.key for channel in one.channels] == [OUT, IN, POWER], "those that are reported"


def test_nothing_comes_out_before_end_and_grace() -> None:
    one = engine()
    assert run(one, [*start(), plan(0), *minutes(METER, 0, 320)]) == []
    assert one.close(T0 + 319 * NS, idle=True) == []
    (interval,) = one.close(T0 + 320 * NS, idle=True)
    assert interval.closed_ns == T0 + 320 * NS
    assert one.close(T0 + 400 * NS, idle=True) == []


def test_a_gauge_is_the_mean_of_its_good_readings_to_twelve_digits() -> None:
    readings = [frame(METER, 10 * i + 0.3, power=power) for i, power in enumerate([-5, 1, 2, 3000, 7], 1)]
    readings[3].flags[2] = Flag.RANGE
    one = engine()
    run(one, [*start(), plan(0), *readings])
    (interval,) = again(one).close(T0 + 330 * NS, idle=True)
    power = interval.channel(POWER)
    assert power is not None
    assert (power.mean, power.low, power.high) == (Decimal("0.00125"), Decimal("-0.005"), Decimal("0.007"))
    assert (power.good, power.gaps["rejected"], power.flags) == (4, 1, Flag.RANGE)
    assert power.delta is None
    assert power.how is None


def test_each_doubt_has_its_reason() -> None:
    doubts = {
        "maintenance": Flag.MAINTENANCE | Flag.COMMS | Flag.MISSING,
        "meter_off": Flag.COMMS | Flag.MISSING,
        "rejected": Flag.STUCK,
    }
    for reason, flags in doubts.items():
        odd = frame(METER, 50.2, 5, 5, flags=(0, int(flags), 0, 0))
        records = [odd if f.time_ns == odd.time_ns else f for f in minutes(METER, 0, 330)]
        (one,) = run(engine(), [*start(), plan(0), *records])
        taken, given = one.channel(IN), one.channel(OUT)
        assert taken is not None
        assert given is not None
        assert (taken.good, taken.gaps, taken.flags) == (taken.received - 1, {reason: 1}, flags)
        assert given.good == given.received


def test_a_doubt_that_does_not_count_is_good_and_travels_with_the_reading() -> None:
    clock = int(Flag.CLOCK)
    records = [frame(METER, t + 0.2, t, t, flags=(clock,) * 4) for t in range(0, 330, 10)]
    (one,) = run(engine(), [*start(), plan(0), *records])
    taken = one.channel(IN)
    assert taken is not None
    assert taken.good == taken.expected
    assert taken.flags == clock
    assert taken.opening is not None
    assert taken.opening.flags == clock


def test_the_reading_nearest_to_a_boundary_closes_one_interval_and_opens_the_next() -> None:
    near = {290.0: 1, 297.0: 2, 304.0: 3, 310.0: 4}
    frames = [frame(METER, t, n, n) for t, n in near.items()]
    first, second = run(engine(), [*start(), plan(0), *frames, event(620, "config")])
    ends = first.channel(IN), second.channel(IN)
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].closing == ends[1].opening == Boundary(Decimal("0.02"), T0 + 297 * NS)
    assert (ends[0].delta, ends[0].how) == (None, "missing")


def test_no_reading_beyond_tolerance_or_grace_stands_for_a_boundary() -> None:
    frames = [frame(METER, 269.9, 1, 1), frame(METER, 320.1, 2, 2)]
    first, _ = run(engine(), [*start(), plan(0), *frames, event(620, "config")])
    taken = first.channel(IN)
    assert taken is not None
    assert taken.closing is None


def test_a_meter_nobody_hears_of_is_reported_with_its_reason_and_no_amount() -> None:
    (one,) = run(
        engine(), [*start(), plan(0), event(1, "meter_off", "m-1", reason="timeout"), event(320, "config")]
    )
    taken, power = one.channel(IN), one.channel(POWER)
    assert taken is not None
    assert power is not None
    assert (taken.expected, taken.received, taken.good) == (30, 0, 0)
    assert taken.gaps == {"meter_off": 30}
    assert taken.delta is None
    assert taken.how == "missing"
    assert power.mean is None


def test_without_reports_in_the_plan_channels_are_those_of_the_layouts() -> None:
    records = [*start(), plan(0, told=False), *minutes(METER, 0, 330), event(920, "config")]
    first, second, third = run(engine(), records)
    assert [c.key for c in first.channels] == [c.key for c in third.channels] == [OUT, IN, POWER]
    assert second.energy_kind == "electricity"
    assert third.channels[0].received == 0


def test_a_meter_that_left_is_reported_for_the_interval_in_which_it_left_and_not_after() -> None:
    gone = [event(400, "stop"), *start(401), plan(401, "m-2"), event(1300, "config")]
    made = run(engine(), [*start(), plan(0), *minutes(METER, 0, 400), *gone])
    assert [(one.meter, (one.start_ns - T0) // NS) for one in made] == [
        ("m-1", 0), ("m-1", 300), ("m-2", 300), ("m-2", 600), ("m-2", 900),
    ]  # fmt: skip


def test_a_second_frame_of_a_due_time_counts_where_the_first_was_not_good() -> None:
    bad = (0, int(Flag.STALE), int(Flag.STALE), 0)
    frames = [
        frame(METER, 50.2, 1, 1, 10, flags=bad), frame(METER, 58.0, 1, 1, 20), frame(METER, 59.0, 1, 1, 30),
        frame(METER, 60.2, 1, 1, 40), frame(METER, 61.2, 1, 1, 50, flags=bad),
    ]  # fmt: skip
    (one,) = run(engine(), [*start(), plan(0), *frames, event(320, "config")])
    power = one.channel(POWER)
    assert power is not None
    assert (power.received, power.good, power.flags) == (2, 2, Flag.STALE)
    assert power.mean == Decimal("0.03")


def test_a_late_frame_makes_one_revision_with_its_companions_and_the_shared_boundary() -> None:
    other = layout("m-2")
    on_time = [*minutes(METER, 0, 290), *minutes(other, 0, 330)]
    one = engine()
    first = run(one, [*start(), plan(0), plan(0, "m-2"), *sorted(on_time, key=lambda f: f.time_ns)])
    assert [(i.meter, i.rev) for i in first] == [("m-1", 0), ("m-2", 0)]
    late = [frame(METER, 290.2, 290, 580), frame(METER, 300.2, 300, 600)]
    assert run(one, late) == []
    (revised,) = run(again(one), [event(345, "config"), event(350.3, "config"), event(360, "config")])
    assert (revised.meter, revised.rev, revised.cause) == ("m-1", 1, "late")
    taken = revised.channel(IN)
    assert taken is not None
    assert taken.good == taken.expected == 30
    assert taken.delta == Decimal("3.00")


def test_what_is_later_than_what_is_kept_is_told() -> None:
    one = engine()
    other = layout("m-2")
    run(one, [*start(), plan(0), plan(0, "m-2"), *minutes(METER, 0, 100), frame(other, 1900.2)])
    run(one, [frame(METER, 110.2), frame(METER, 900.2)])
    assert one.too_late == [("m-1", T0 + 110 * NS + NS // 5)]
    assert again(one).too_late == one.too_late


def test_a_clock_step_closes_what_was_open_and_begins_anew() -> None:
    records = [*start(), plan(0), *minutes(METER, 0, 420), event(120, "clock_step", step_s=-300, epoch=1)]
    made = run(engine(), [*records, *minutes(METER, 120, 330, epoch=1)])
    assert [(one.epoch, (one.start_ns - T0) // NS) for one in made] == [(0, 0), (0, 300), (1, 0)]
    cut, again_ = made[1].channel(IN), made[2].channel(IN)
    assert cut is not None
    assert again_ is not None
    assert (cut.expected, cut.good, cut.how) == (12, 12, "missing")
    assert (again_.expected, again_.good, again_.opening) == (18, 18, None)


def test_times_a_step_jumped_over_have_no_interval() -> None:
    records = [*start(), plan(0), *minutes(METER, 0, 100), event(1000, "clock_step", step_s=900, epoch=1)]
    made = run(engine(), [*records, *minutes(METER, 1000, 1230, epoch=1)])
    assert [(one.epoch, (one.start_ns - T0) // NS) for one in made] == [(0, 0), (1, 900)]


def test_a_changed_coefficient_nobody_declared_gives_no_amount() -> None:
    other = layout(coefficient="0.02")
    one, two = run(engine(), [*start(), plan(0), *minutes(METER, 0, 200), *minutes(other, 200, 630)])
    first, second = one.channel(IN), two.channel(IN)
    assert first is not None
    assert second is not None
    assert (first.delta, first.how, first.good) == (None, "reset", first.expected)
    assert (second.delta, second.how) == (Decimal("6.00"), "normal")
    assert one.layouts == (METER.digest, other.digest)


def test_a_long_stop_can_be_closed_in_parts() -> None:
    records = [*start(), plan(0), *minutes(METER, 0, 100), event(100, "stop"), event(30_000, "start")]
    whole, parts = engine(), engine()
    expected = run(whole, records)
    for record in records:
        parts.take(record)
    found = []
    while parts.behind:
        found += parts.close(0, idle=False, limit=7)
        parts = again(parts)
    assert found == expected
    assert len(found) == 99
    assert expected[50].channels[0].gaps == {"gateway_down": 30}


def test_a_dropped_journal_is_a_reason() -> None:
    gap = Gap(T0 + 400 * NS, "journal_dropped", T0, T0 + 299 * NS, 10)
    (one,) = run(engine(), [*start(), plan(0), gap])
    assert one.channels[0].gaps == {"journal_dropped": 30}


def test_a_revision_made_elsewhere_is_counted() -> None:
    one, other = engine(), layout("m-2")
    run(one, [*start(), plan(0), plan(0, "m-2"), *minutes(METER, 0, 100), frame(other, 330.2)])
    one.revised("m-1", 0, T0, 3)
    (revised,) = run(one, [frame(METER, 110.2), event(400, "config")])
    assert (revised.rev, revised.cause) == (4, "late")


def test_a_meter_read_seldom_has_intervals_in_which_nothing_was_due() -> None:
    seldom = layout("m-1", 600.0)
    one = engine()
    made = run(one, [*start(), plan(0, "m-1", 600.0), frame(seldom, 1.0), event(925, "config")])
    assert [channel.expected for interval in made for channel in interval.channels[:1]] == [1, 0, 1]
    assert made[0].channels[0].received == 1
    assert made[2].channels[0].received == 0
    (late,) = run(one, [frame(seldom, 930.0, 7, 7), event(960, "config")])
    assert (late.start_ns, late.rev, late.cause) == (T0 + 600 * NS, 1, "late")
    assert (late.channels[0].received, late.channels[0].closing) == (1, None)


def test_a_gauge_is_read_by_the_layout_of_each_frame() -> None:
    other = layout(coefficient="0.02")
    frames = [frame(METER, 10.2, power=5), frame(other, 20.2, power=5), frame(METER, 30.2, power=5)]
    (one,) = run(engine(), [*start(), plan(0), *frames, event(320, "config")])
    power = one.channel(POWER)
    assert power is not None
    assert (power.low, power.high, power.mean) == (Decimal("0.005"), Decimal("0.05"), Decimal("0.02"))


def test_a_closed_interval_is_stored_as_it_is_and_not_as_it_was_when_open() -> None:
    one, other = engine(), layout("m-2")
    begin = [*start(), plan(0), plan(0, "m-2"), *minutes(METER, 0, 100)]
    run(one, begin)
    one.snapshot()
    run(one, [frame(METER, 110.2), frame(other, 330.2)])
    one.snapshot()
    run(one, [frame(METER, 120.2)])
    (revised,) = run(again(again(one)), [event(400, "config")])
    assert (revised.rev, revised.channels[0].received) == (1, 12)


def test_a_snapshot_of_another_version_is_refused() -> None:
    one = engine()
    body = run(one, [*start(), plan(0)]) or one.snapshot()
    assert isinstance(body, dict)
    with pytest.raises(ValueError, match="version 2"):
        Engine.restore(one.grid, one.grace_ns, body | {"version": 2})

"""Channels, meters and periods that leave the site file and come back: what is reported of them, and for how long."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from tests.sim.lives import play, verified
from tests.sim.plant import START_NS, Act, Plan

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.intervals.model import Interval
    from tests.sim.lives import Edit
    from tests.sim.plant import Result

METER, KEY, GAUGE = "m-001", "energy_active_import_2", "power_active_0"
LENGTH_NS = 60 * NS
Due = dict[tuple[str, str], set[int]]  # (meter, channel) -> due times


def due_of(result: Result, until_ns: int) -> Due:
    """Return what the plans of the journal say was due, until then."""
    found: Due = defaultdict(set)
    open_plans: dict[tuple[str, float], tuple[int, list[str]]] = {}

    def end(which: tuple[str, float], at_ns: int) -> None:
        since_ns, keys = open_plans.pop(which, (at_ns, []))
        period_ns = round(which[1] * NS)
        times = range(-(-since_ns // period_ns) * period_ns, at_ns, period_ns)
        for key in keys:
            found[which[0], key].update(times)

    for event in result.events:
        if event.kind == "start":
            for which in list(open_plans):
                end(which, event.time_ns)
        elif event.kind == "plan":
            which = event.subject, float(str(event.detail["period_s"]))
            end(which, event.time_ns)
            open_plans[which] = event.time_ns, list(event.detail["reports"])  # type: ignore[call-overload]
    for which in list(open_plans):
        end(which, until_ns)
    return found


def read_of(result: Result) -> Due:
    """Return the due times with a frame that carries a channel to be reported."""
    found: Due = defaultdict(set)
    for frame in result.frames:
        period_ns = round(frame.layout.period_s * NS)
        for channel in frame.layout.channels:
            if channel.report:
                found[frame.layout.meter, channel.key].add(frame.time_ns // period_ns * period_ns)
    return found


def told(folder: Path) -> list[Interval]:
    with ReadOnlyHistory(folder / "history.db") as history:
        return list(history.intervals())


def held(result: Result, folder: Path) -> list[Interval]:
    """Hold every interval to plans and frames; return them."""
    intervals = told(folder)
    due, read = due_of(result, max(one.end_ns for one in intervals)), read_of(result)
    for one in intervals:
        for channel in one.channels:
            which = one.meter, channel.key
            times = {t for t in due[which] if one.start_ns <= t < one.end_ns}
            assert channel.expected == len(times), (which, one.start_ns - START_NS)
            assert channel.received == len(times & read[which]), (which, one.start_ns - START_NS)
        names = {channel.key for channel in one.channels}
        for meter, key in due:
            if meter == one.meter and key not in names:
                assert not any(one.start_ns <= t < one.end_ns for t in due[meter, key]), (key, one)
    feed = result.destinations["feed"]
    report = verified(feed)
    assert report["verified"], report
    return intervals


def minutes(intervals: list[Interval], key: str, meter: str = METER) -> list[int]:
    """Return the minutes whose intervals report a channel, counted from the first full one."""
    first_ns = START_NS // LENGTH_NS * LENGTH_NS
    return [
        (one.start_ns - first_ns) // LENGTH_NS for one in intervals if one.meter == meter and one.channel(key)
    ]


def plan(*acts: Act, meters: int = 1, links: int = 1) -> Plan:
    return Plan(
        900,
        meters=meters,
        channels=3,
        links=links,
        interval="1min",
        sink_troubles={},
        feed_troubles={"feed": []},
        acts=acts,
    )


def reporting(text: str) -> str:
    return re.sub(r'(channels = \["\*"\]\n)', r"\1[meters.override.power_active_0]\nreport = true\n", text)


def only_gauge(text: str) -> str:
    return text.replace('["*"]', '["power_active_0"]')


def silent(text: str) -> str:
    return re.sub(r'(channels = \["\*"\]\n)', rf"\1[meters.override.{KEY}]\nreport = false\n", text)


def slower(text: str) -> str:
    return text.replace('period = "10s"', 'period = "30s"')


LAST = 14
STOP = Act(300, "stop", away_s=5)  # at 305, in minute 5
BACK = Act(560.5, "kill", away_s=45)  # at 605.5, in minute 10


@pytest.mark.parametrize("edit", [only_gauge, silent])
def test_a_channel_that_leaves_is_reported_for_the_minute_it_left_in_and_when_it_is_back(
    tmp_path: Path, edit: Edit
) -> None:
    result = play(plan(STOP, BACK), tmp_path, [str, edit, str])
    intervals = held(result, tmp_path)
    assert minutes(intervals, KEY) == [*range(6), *range(10, LAST)]
    left = next(one.channel(KEY) for one in intervals if one.start_ns == START_NS + 280 * NS)
    assert left is not None
    assert (left.expected, left.received, left.gaps) == (3, 2, {"gateway_down": 1})
    assert (left.delta, left.how) == (None, "missing")


def test_a_gauge_that_is_reported_no_more_keeps_the_mean_of_what_came_before(tmp_path: Path) -> None:
    result = play(plan(STOP), tmp_path, [reporting, str])
    intervals = held(result, tmp_path)
    assert minutes(intervals, GAUGE) == [*range(6)]
    left = next(one.channel(GAUGE) for one in intervals if one.start_ns == START_NS + 280 * NS)
    assert left is not None
    assert (left.expected, left.received) == (3, 2)
    assert left.mean is not None


def test_a_channel_that_is_reported_from_then_on_begins_in_the_minute_of_the_start(tmp_path: Path) -> None:
    result = play(plan(STOP), tmp_path, [str, reporting])
    intervals = held(result, tmp_path)
    assert minutes(intervals, GAUGE) == [*range(5, LAST)]
    first = next(one.channel(GAUGE) for one in intervals if one.channel(GAUGE))
    assert first is not None
    assert (first.expected, first.received, first.gaps) == (3, 3, {})


def test_another_period_is_due_from_its_start_on_and_both_make_one_mean(tmp_path: Path) -> None:
    result = play(plan(STOP), tmp_path, [reporting, lambda text: slower(reporting(text))])
    intervals = held(result, tmp_path)
    assert minutes(intervals, GAUGE) == minutes(intervals, KEY) == [*range(LAST)]
    one = next(one for one in intervals if one.start_ns == START_NS + 280 * NS)
    gauge = one.channel(GAUGE)
    assert gauge is not None
    assert (gauge.expected, gauge.received, gauge.gaps) == (4, 3, {"gateway_down": 1})
    readings = [
        frame.layout.exact(frame.raw, place)
        for frame in result.frames
        for place, channel in enumerate(frame.layout.channels)
        if channel.key == GAUGE and one.start_ns <= frame.time_ns < one.end_ns
    ]
    assert len(readings) == 3
    assert (gauge.low, gauge.high) == (min(readings), max(readings))  # type: ignore[type-var]


def without_second(text: str) -> str:
    """Leave out m-002."""
    head, *meters = text.split("[[meters]]")
    return head + "".join("[[meters]]" + part for part in meters if '"m-002"' not in part)


def test_a_meter_that_leaves_comes_back_and_a_renamed_one(tmp_path: Path) -> None:
    edits: list[Edit] = [str, without_second, lambda text: text.replace('"m-001"', '"m-100"')]
    intervals = held(play(plan(STOP, BACK, meters=2), tmp_path, edits), tmp_path)
    assert minutes(intervals, KEY, "m-002") == [*range(6), *range(10, LAST)]
    assert minutes(intervals, KEY, "m-001") == [*range(11)]
    assert minutes(intervals, KEY, "m-100") == [*range(10, LAST)]


def test_a_meter_moved_to_another_link_is_the_same_meter(tmp_path: Path) -> None:
    there = re.compile(r'(id = "m-002"\nlink = )"link-2"\nunit = 1')
    edits: list[Edit] = [str, lambda text: there.sub(r'\1"link-1"\nunit = 2', text)]
    result = play(plan(STOP, meters=2, links=2), tmp_path, edits)
    intervals = held(result, tmp_path)
    assert minutes(intervals, KEY, "m-002") == [*range(LAST)]
    links = {str(e.detail["link"]) for e in result.events if e.kind == "plan" and e.subject == "m-002"}
    assert links == {"link-1", "link-2"}

"""Which channels an interval reports, and what was due of those that come, leave, or are read with another period."""

from __future__ import annotations

import orjson

from gateway.intervals.expected import Expectation
from gateway.model import NS
from tests.unit.engine_rig import T0 as ENGINE_T0
from tests.unit.engine_rig import engine, event, plan, run, start, swap
from tests.unit.test_expected import T0, Rig

KWH = {"unit": "kWh", "kind": "counter"}


def dues(*seconds: int) -> list[int]:
    return [T0 + at_s * NS for at_s in seconds]


class Site(Rig):
    """The rig, with lives that begin again."""

    def again(self, stop_s: float, start_s: float) -> None:
        """Stop and start, with the link up at once; plans are told next."""
        self.note(stop_s, "stop", "plant-1")
        self.note(start_s, "start", "plant-1")

    def reports(self, start_s: float, end_s: float, meter: str = "m-1") -> list[str]:
        at = T0 + round(start_s * NS), T0 + round(end_s * NS)
        return sorted(self.expectation.reports(meter, 0, *at))

    def fate(self, key: str, start_s: float, end_s: float, now_s: float) -> tuple[list[int], dict[str, int]]:
        """Return the due times of a channel and why those that are missing are, over all periods."""
        at = (T0 + round(s * NS) for s in (start_s, end_s, now_s))
        found: list[int] = []
        reasons: dict[str, int] = {}
        for account in self.expectation.account("m-1", 0, *at).values():
            if key in account.named:
                due, missing = account.channels.get(key, (account.due, account.missing))
                found += due
                for reason, number in missing.items():
                    reasons[reason] = reasons.get(reason, 0) + number
        return sorted(found), reasons


def test_a_channel_is_due_while_a_plan_names_it_and_not_else() -> None:
    rig = Site()
    rig.plan(0, ("a", "b"))
    rig.read(0, 10, 20)
    rig.plan(25, ("a", "c"))
    rig.read(30)
    account = rig.ask(0, 40, 45)
    assert (len(account.due), account.there, account.missing) == (4, 4, {})
    assert account.named == {"a", "b", "c"}
    assert rig.fate("b", 0, 40, 45) == (dues(0, 10, 20), {})
    assert rig.fate("c", 0, 40, 45) == (dues(30), {})
    assert rig.ask(30, 40, 45).named == {"a", "c"}


def test_what_is_not_reported_any_more_is_reported_for_the_time_it_left_in_and_not_after() -> None:
    """`a` stays, `b` leaves the channels, `c` is read and not reported, `d` is reported from then on."""
    rig = Site(plan=False)
    rig.plan(0, ("a", "b", "c", "d"), reports=dict.fromkeys("abc", KWH))
    rig.note(0, "link_up", "link-1")
    rig.read(0, 10, 20)
    rig.again(25, 28)
    rig.plan(28, ("a", "c", "d"), reports=dict.fromkeys("ad", KWH))
    rig.note(28.5, "link_up", "link-1")
    rig.read(30, 40, 50, 60, 70)
    assert rig.reports(0, 60) == ["a", "b", "c", "d"]
    assert rig.reports(60, 120) == ["a", "d"]
    assert rig.reports(0, 28) == ["a", "b", "c"]
    for key in "bc":
        assert rig.fate(key, 0, 60, 80) == (dues(0, 10, 20), {})
        assert rig.fate(key, 60, 80, 80) == ([], {})
    assert rig.fate("a", 0, 60, 80) == (dues(0, 10, 20, 30, 40, 50), {})
    assert rig.fate("d", 0, 60, 80) == (dues(30, 40, 50), {})
    rig.note(130, "stop", "plant-1")
    assert rig.fate("b", 60, 120, 130) == ([], {}), "nor is anything missing of it"


def test_a_channel_is_due_until_the_next_start_whoever_has_edited_the_file_before() -> None:
    rig = Site()
    rig.plan(0, ("a", "b"))
    rig.read(0, 10)
    rig.again(15, 45)
    rig.plan(45, ("a",))
    rig.note(45, "link_up", "link-1")
    rig.read(50)
    assert rig.fate("b", 0, 60, 70) == (dues(0, 10, 20, 30, 40), {"gateway_down": 3})


def test_a_frame_of_the_new_plan_is_none_of_a_channel_it_does_not_carry() -> None:
    """The first frame after a start comes before the next due time, and stands for the one before the start."""
    rig = Site()
    rig.plan(0, ("a", "b"), reports=dict.fromkeys("ab", KWH))
    rig.read(0, 10)
    rig.again(21, 23)
    rig.plan(23, ("a", "b"), reports={"a": KWH})
    rig.note(23, "link_up", "link-1")
    rig.read(24, 26, 30)
    for _ in range(2):
        assert (rig.ask(0, 40, 45).there, rig.ask(0, 40, 45).missing) == (4, {})
        assert rig.fate("a", 0, 40, 45) == (dues(0, 10, 20, 30), {})
        assert rig.fate("b", 0, 40, 45) == (dues(0, 10, 20), {"config_off": 1})
        rig.expectation = Expectation.restore(orjson.loads(orjson.dumps(rig.expectation.snapshot())))
    rig.expectation.forget(T0 + 25 * NS)
    assert rig.expectation.snapshot()["targets"][0][-1] == []


def test_a_due_time_that_was_read_before_the_stop_stays_read() -> None:
    rig = Site()
    rig.plan(0, ("a", "b"))
    rig.read(0, 10, 20)
    rig.again(21, 23)
    rig.plan(23, ("a",))
    rig.read(24, 30)
    assert rig.fate("b", 0, 40, 45) == (dues(0, 10, 20), {})


def test_a_channel_read_with_another_period_is_due_with_each_while_its_plan_was_in_force() -> None:
    rig = Site(plan=False)
    rig.plan(0, ("a", "b"), reports=dict.fromkeys("ab", KWH))
    rig.note(0, "link_up", "link-1")
    rig.read(0, 10)
    rig.again(22, 25)
    rig.plan(25, ("b",), reports={"b": KWH})
    rig.plan(25, ("a",), 30, reports={"a": KWH | {"kind": "gauge"}})
    rig.note(25, "link_up", "link-1")
    rig.read(30, 40, 50)
    assert rig.fate("a", 0, 60, 60)[0] == dues(0, 10, 20, 40)
    assert rig.fate("b", 0, 60, 60)[0] == dues(0, 10, 20, 30, 40, 50)
    assert rig.expectation.reports("m-1", 0, T0, T0 + 60 * NS)["a"] == ("kWh", "gauge", 30, "")


def test_a_meter_that_comes_back_is_due_from_then_on_and_not_between() -> None:
    rig = Site()
    rig.read(0, 10)
    rig.again(12, 13)
    rig.plan(13, meter="m-2")
    rig.again(32, 33)
    rig.plan(33, link="link-2", reports={"a": KWH})
    rig.note(33, "link_up", "link-2")
    rig.read(40)
    assert rig.fate("a", 0, 60, 60) == (dues(0, 10, 40, 50), {"link_down": 1})
    assert rig.reports(13, 33) == []
    assert rig.reports(0, 60) == ["a"]
    assert rig.ask(0, 60, 60).due == tuple(dues(0, 10, 40, 50))


def test_reports_are_those_of_the_newest_plans() -> None:
    rig = Site(plan=False)
    rig.plan(0, ("a", "b"), reports={"a": KWH}, energy_kind="electricity")
    rig.plan(0, ("c",), 60, reports={"c": KWH | {"kind": "gauge"}}, energy_kind="electricity")
    at = T0, T0 + 60 * NS
    assert rig.expectation.reports("m-1", 0, *at) == {
        "a": ("kWh", "counter", 10, "electricity"),
        "c": ("kWh", "gauge", 60, "electricity"),
    }
    rig.note(20, "start", "plant-1")
    rig.plan(20, ("a",), 60, reports={"a": KWH}, energy_kind="heat")
    assert rig.expectation.reports("m-1", 0, *at)["a"] == ("kWh", "counter", 60, "heat")
    assert rig.expectation.reports("m-9", 0, *at) == rig.expectation.reports("m-1", 7, *at) == {}
    rig.plan(21, ("z",), meter="m-2")
    assert rig.expectation.reports("m-2", 0, *at) == {}


def test_a_snapshot_from_before_frames_under_a_new_plan_were_told_apart_is_taken() -> None:
    rig = Site()
    rig.read(0, 10)
    body = rig.expectation.snapshot()
    body["targets"] = [row[:9] for row in body["targets"]]
    rig.expectation = Expectation.restore(body)
    assert rig.ask(0, 20, 25).there == 2


def test_a_meter_whose_plan_comes_after_its_link_is_waited_for_whether_it_was_known_or_not() -> None:
    for keeps_in_mind in (True, False):
        rig = Site()
        rig.read(0, 10)
        rig.again(12, 13)
        rig.plan(13, meter="m-2")
        if not keeps_in_mind:
            rig.expectation.forget(T0 + 20 * NS)
        rig.again(32, 33)
        rig.note(33, "link_up", "link-1")
        rig.plan(33)
        rig.read(50)
        assert rig.missing(40, 60, 400) == {"meter_off": 1}


def test_a_swap_told_of_a_time_a_meter_was_not_there_makes_no_interval_of_it() -> None:
    one = engine()
    away = [event(400, "stop"), *start(401), plan(401, "m-2"), event(1300, "config")]
    made = run(one, [*start(), plan(0), *away, swap(1300, 700, "5", "0"), event(1400, "config")])
    assert [(i.start_ns - ENGINE_T0) // NS for i in made if i.meter == "m-1"] == [0, 300]


def test_the_kind_of_energy_is_that_of_a_plan_that_reports_nothing() -> None:
    (one,) = run(engine(), [*start(), plan(0, reported=()), event(320, "config")])
    assert (one.energy_kind, one.channels) == ("electricity", ())

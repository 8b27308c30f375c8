"""What was due and why it is missing: the cases a random history does not reach, and what memory costs."""

from __future__ import annotations

import orjson
import pytest

from gateway.intervals.expected import Account, EpochSpan, Expectation
from gateway.model import NS, Event, Gap

T0 = 1_700_000_000 * NS


class Rig:
    """One meter on one link, read every 10 s; times in seconds after T0."""

    def __init__(self, *, plan: bool = True) -> None:
        """Started at 0, and up."""
        self.expectation = Expectation()
        self.note(0, "start", "plant-1")
        if plan:
            self.plan(0)
            self.note(0, "link_up", "link-1")

    def note(self, at_s: float, kind: str, subject: str, /, **detail: object) -> None:
        self.expectation.note(Event(T0 + round(at_s * NS), kind, subject, detail))

    def plan(
        self,
        at_s: float,
        keys: tuple[str, ...] = ("a",),
        period_s: float = 10,
        meter: str = "m-1",
        **more: object,
    ) -> None:
        detail = {"link": "link-1", "period_s": period_s, "channels": list(keys), "enabled": True}
        self.note(at_s, "plan", meter, **(detail | more))

    def read(self, *seconds: float, epoch: int = 0, meter: str = "m-1") -> None:
        for at_s in seconds:
            self.expectation.frame(meter, 10.0, epoch, T0 + round(at_s * NS))

    def ask(self, start_s: float, end_s: float, now_s: float, *, epoch: int = 0) -> Account:
        at = (T0 + round(s * NS) for s in (start_s, end_s, now_s))
        return self.expectation.account("m-1", epoch, *at)[10.0]

    def missing(self, start_s: float, end_s: float, now_s: float, *, epoch: int = 0) -> dict[str, int]:
        return {str(reason): n for reason, n in self.ask(start_s, end_s, now_s, epoch=epoch).missing.items()}


def test_a_frame_stands_for_the_last_due_time_before_it() -> None:
    rig = Rig()
    rig.read(10.2, 29.9, 30.0)
    account = rig.ask(10, 50, 60)
    assert account.due == range(T0 + 10 * NS, T0 + 50 * NS, 10 * NS)
    assert (account.there, account.missing) == (3, {"link_down": 1})  # 40: an overrun that is not told yet


def test_a_meter_without_a_frame_since_the_link_came_up_is_off_until_the_first() -> None:
    rig = Rig()
    assert rig.missing(10, 40, 45) == {"meter_off": 3}
    rig.read(32)
    assert rig.missing(10, 50, 55) == {"meter_off": 2, "link_down": 1}


def test_an_event_speaks_for_due_times_before_it_up_to_the_last_frame_and_the_event_before() -> None:
    rig = Rig()
    rig.read(10, 30)
    rig.note(55, "meter_off", "m-1", reason="timeout")
    rig.note(57, "meter_on", "m-1")
    rig.note(71, "channels_off", "m-1", period_s=10.0, channels=["a"], reason="exception")
    rig.note(400, "link_cut", "link-1", count=1)
    assert rig.missing(20, 30, 400) == {"gateway_down": 1}  # not what was told after the frame at 30
    assert rig.missing(40, 60, 400) == {"meter_off": 2}
    assert rig.missing(60, 80, 400) == {"rejected": 2}


def test_what_was_read_between_a_step_and_its_discovery_spoils_neither_epoch() -> None:
    """The clock jumps an hour at 25; a frame is read at 25.4, a meter goes off at 25.6, and at 26 the step is seen."""
    rig = Rig()
    rig.read(10.2, 20.2, 3625.4)
    rig.note(3625.6, "meter_off", "m-1", reason="timeout")
    rig.note(3626, "clock_step", "gateway", step_s=3600.0, epoch=1)
    rig.note(3634, "meter_on", "m-1")
    rig.read(3642, epoch=1)
    assert rig.expectation.epochs() == [
        EpochSpan(0, T0, T0 + 26 * NS),
        EpochSpan(1, T0 + 3626 * NS, None),
    ]
    assert rig.ask(0, 4000, 3645).there == 2
    account = rig.ask(0, 4000, 3645, epoch=1)
    assert account.due == range(T0 + 3630 * NS, T0 + 3650 * NS, 10 * NS)
    assert (account.there, account.missing) == (1, {"meter_off": 1})


def test_times_that_come_again_are_due_again() -> None:
    rig = Rig()
    rig.read(10.2, 20.2, 30.2)
    rig.note(15, "clock_step", "gateway", step_s=-20.0, epoch=1)  # at 35
    rig.read(20.2, epoch=1)
    assert rig.ask(10, 60, 35).missing == {}
    assert rig.ask(10, 60, 35).due == range(T0 + 10 * NS, T0 + 40 * NS, 10 * NS)
    account = rig.ask(10, 60, 35, epoch=1)
    assert account.due == range(T0 + 20 * NS, T0 + 40 * NS, 10 * NS)
    assert (account.there, account.missing) == (1, {"link_down": 1})


def test_a_start_behind_the_journal_begins_an_epoch_whose_number_the_first_frame_tells() -> None:
    rig = Rig()
    rig.read(10, 20, 30)
    rig.note(5, "start", "plant-1")
    rig.plan(5)
    rig.note(6, "link_up", "link-1")
    rig.read(20, epoch=4)
    spans = [EpochSpan(0, T0, T0 + 30 * NS), EpochSpan(4, T0 + 5 * NS, None)]
    assert rig.expectation.epochs() == spans
    assert rig.ask(0, 60, 25, epoch=4).missing == {"meter_off": 1}
    assert rig.ask(10, 60, 25).there == 2


def test_a_journal_that_was_lost_begins_an_epoch_at_the_start_before() -> None:
    """Nothing tells of it but the frames' epoch; the clock was never behind."""
    rig = Rig()
    rig.read(10, 20)
    rig.note(38, "journal_damaged", "gateway", moved_to="x")  # by the opening, before `start`
    rig.expectation.note(Gap(T0 + 38 * NS, "journal_dropped", T0 + 8 * NS, T0 + 9 * NS, 4))
    rig.note(39, "start", "plant-1")
    rig.plan(39)
    rig.note(39.5, "link_up", "link-1")
    rig.read(41, epoch=2)
    assert rig.expectation.epochs() == [EpochSpan(0, T0, T0 + 39 * NS), EpochSpan(2, T0 + 39 * NS, None)]
    assert rig.missing(10, 60, 45) == {"gateway_down": 1}  # 30; it was last heard of at 20
    assert rig.ask(10, 60, 45, epoch=2).there == 1


def test_a_start_may_tell_its_epoch() -> None:
    expectation = Expectation()
    for at_s, epoch in ((0, 3), (50, 3), (40, 4), (60, 6)):
        expectation.note(Event(T0 + at_s * NS, "start", "plant-1", {"epoch": epoch}))
    assert expectation.epochs() == [
        EpochSpan(3, T0, T0 + 50 * NS),
        EpochSpan(4, T0 + 40 * NS, T0 + 60 * NS),
        EpochSpan(6, T0 + 60 * NS, None),
    ]


def test_an_overrun_that_began_before_a_step_reaches_back_over_it() -> None:
    rig = Rig()
    rig.read(10.1)
    rig.note(3645, "clock_step", "gateway", step_s=3600.0, epoch=1)  # at 45
    rig.read(3680, epoch=1)
    detail = {"count": 5, "first_ns": T0 + 20 * NS, "last_ns": T0 + 3670 * NS}
    rig.note(3685, "overrun", "m-1", period_s=10.0, **detail)
    for _ in range(20):
        rig.read(3690 + 10 * _, epoch=1)
    assert rig.missing(10, 60, 3900) == {"link_down": 3}
    assert rig.missing(3600, 3690, 3900, epoch=1) == {"link_down": 3}
    assert rig.expectation.last_resorts == 0


def test_an_overrun_tells_of_a_rest_in_advance_and_ends_with_its_epoch() -> None:
    rig = Rig()
    rig.read(10, 20)
    ahead = {"period_s": 10.0, "count": 9, "first_ns": T0 + 30 * NS, "last_ns": T0 + 90 * NS}
    rig.note(31, "overrun", "m-1", **ahead)
    rig.read(60)
    rig.note(1075, "clock_step", "gateway", step_s=1000.0, epoch=1)  # at 75
    assert rig.missing(30, 75, 3000) == {"link_down": 4}
    assert rig.missing(1090, 1100, 3000, epoch=1) == {"gateway_down": 1}  # at 90
    assert rig.expectation.last_resorts == 1


def test_an_overrun_told_in_advance_ends_with_the_life_of_the_gateway() -> None:
    rig = Rig()
    rig.read(10, 20)
    ahead = {"period_s": 10.0, "count": 9, "first_ns": T0 + 30 * NS, "last_ns": T0 + 90 * NS}
    rig.note(31, "overrun", "m-1", **ahead)
    rig.note(45, "stop", "plant-1")
    rig.note(51, "start", "plant-1")
    rig.plan(51)
    rig.note(52, "link_up", "link-1")
    rig.read(101)
    assert rig.missing(30, 100, 900) == {"link_down": 2, "gateway_down": 1, "meter_off": 4}


def test_a_due_time_just_before_a_step_was_noticed_may_never_have_been() -> None:
    rig = Rig()
    rig.read(10, 20)
    rig.note(1041, "clock_step", "gateway", step_s=1000.0, epoch=1)  # at 41
    assert rig.missing(40, 41, 3000) == {"gateway_down": 1}
    assert rig.expectation.last_resorts == 0
    assert rig.missing(30, 40, 3000) == {"gateway_down": 1}
    assert rig.expectation.last_resorts == 1


def test_channels_that_were_off_may_be_read_after_a_start() -> None:
    """Whoever starts tries everything again and tells what it finds."""
    rig = Rig()
    rig.read(10)
    rig.note(11, "channels_off", "m-1", period_s=10.0, channels=["a"], reason="exception")
    rig.note(25, "stop", "plant-1")
    rig.note(25.5, "start", "plant-1")
    rig.plan(25.5)
    rig.note(26, "link_up", "link-1")
    rig.note(26.5, "meter_on", "m-1")
    rig.note(200, "link_cut", "link-1", count=1)
    assert rig.missing(10, 30, 200) == {"rejected": 1}
    assert rig.missing(30, 50, 200) == {"gateway_down": 2}
    assert rig.expectation.last_resorts == 2


def test_a_crash_outweighs_the_link_down_behind_it() -> None:
    rig = Rig()
    rig.read(10)
    rig.note(15, "crash", "link link-1", error="bug")
    rig.note(16, "link_down", "link-1", reason="connection")
    rig.note(45, "link_up", "link-1")
    rig.note(46, "link_down", "link-1", reason="connection")
    assert rig.missing(20, 50, 55) == {"gateway_down": 3}
    assert rig.missing(50, 60, 65) == {"link_down": 1}


def test_a_loss_that_is_told_explains_nothing_later() -> None:
    rig = Rig()
    rig.read(10)
    rig.expectation.note(Gap(T0 + 35 * NS, "journal_dropped", T0 + 22 * NS, T0 + 28 * NS, 9))
    rig.note(15, "clock_step", "gateway", step_s=-21.0, epoch=1)
    rig.read(17, epoch=1)
    assert rig.missing(20, 30, 21) == {"journal_dropped": 1}
    assert rig.missing(20, 30, 21, epoch=1) == {"gateway_down": 1}  # the link does not know of the step yet
    assert rig.expectation.last_resorts == 0


def test_maintenance_lasts_no_longer_than_declared_whoever_is_there_to_end_it() -> None:
    rig = Rig()
    rig.read(10)
    rig.note(15, "maintenance_begin", "link-1", until_ns=T0 + 35 * NS)
    rig.note(18, "stop", "plant-1")
    rig.note(60, "start", "plant-1")
    assert rig.missing(20, 60, 65) == {"maintenance": 2, "gateway_down": 2}


def test_a_meter_away_for_verification_is_away_whatever_its_link_is_under() -> None:
    rig = Rig()
    rig.read(10)
    rig.note(15, "maintenance_begin", "link-1", until_ns=T0 + 65 * NS)
    rig.note(25, "maintenance_begin", "m-1", until_ns=T0 + 900 * NS, removed=True)
    body = orjson.loads(orjson.dumps(rig.expectation.snapshot()))
    rig.expectation = Expectation.restore(body)
    rig.note(45, "maintenance_end", "m-1", until_ns=T0 + 900 * NS, removed=True)
    rig.note(55, "maintenance_begin", "m-1", until_ns=T0 + 75 * NS)  # back, and worked on
    assert rig.missing(20, 90, 95) == {"maintenance": 4, "removed_for_verification": 2, "link_down": 1}
    assert rig.missing(30, 50, 95) == {"removed_for_verification": 2}


def test_maintenance_in_a_snapshot_from_before_anybody_could_be_away_is_maintenance() -> None:
    rig = Rig()
    rig.note(5, "maintenance_begin", "m-1", until_ns=T0 + 35 * NS)
    body = rig.expectation.snapshot()
    body["facts"]["works"] = [work[:4] for work in body["facts"]["works"]]
    rig.expectation = Expectation.restore(body)
    assert rig.missing(10, 40, 45) == {"maintenance": 3}


def test_an_instrument_that_is_away_is_asked_of_the_inventory() -> None:
    rig = Rig()
    rig.expectation.is_away = lambda meter, time_ns: meter == "m-1" and time_ns < T0 + 30 * NS
    assert rig.missing(10, 50, 60) == {"removed_for_verification": 2, "meter_off": 2}


def test_the_last_resort_is_counted() -> None:
    rig = Rig()
    rig.read(10, 30, 40)
    rig.note(500, "link_cut", "link-1", count=1)
    assert rig.missing(20, 30, 500) == {"gateway_down": 1}
    assert rig.expectation.last_resorts == 1


def test_what_an_overrun_may_still_explain_is_laid_to_the_link_unless_the_gateway_was_killed() -> None:
    rig = Rig()
    rig.read(10, 30, 40)
    assert rig.missing(20, 30, 100) == {"link_down": 1}
    rig.note(102, "start", "plant-1")
    assert rig.missing(20, 30, 105) == {"gateway_down": 1}
    assert rig.expectation.last_resorts == 0


def test_a_late_frame_is_found_when_it_is_asked_again() -> None:
    rig = Rig()
    rig.read(10, 40, 50)
    assert rig.ask(10, 60, 65).there == 3
    rig.read(20.5, 31, 20.7)
    assert (rig.ask(10, 60, 65).there, rig.ask(10, 60, 65).missing) == (5, {})


def test_a_meter_that_left_is_there_until_it_is_forgotten() -> None:
    rig = Rig()
    rig.read(10)
    rig.note(30, "start", "plant-1")
    rig.plan(30, meter="m-2")
    assert rig.expectation.meters() == ["m-1", "m-2"]
    assert rig.ask(0, 900, 900).due == range(T0, T0 + 30 * NS, 10 * NS)
    rig.expectation.forget(T0 + 31 * NS)
    assert rig.expectation.meters() == ["m-2"]


def test_memory_does_not_grow_with_time() -> None:
    """A day of a flapping meter on a flapping link, half of its due times missing."""
    rig = Rig()
    sizes = []
    for quarter in range(96):
        for at_s in range(quarter * 900, quarter * 900 + 900, 20):
            rig.read(at_s + 0.3)
            rig.note(at_s + 11, "meter_off", "m-1", reason="timeout")
            rig.note(at_s + 12, "link_down", "link-1", reason="connection")
            rig.note(at_s + 13, "link_up", "link-1")
            rig.note(at_s + 14, "meter_on", "m-1")
            gap_ns = T0 + at_s * NS
            rig.expectation.note(Gap(gap_ns + 14 * NS, "journal_dropped", gap_ns, gap_ns, 1))
        rig.expectation.forget(T0 + (quarter - 3) * 900 * NS)
        sizes.append(len(orjson.dumps(rig.expectation.snapshot())))
    assert max(sizes) < 1.1 * sizes[8] < 60_000


def test_a_snapshot_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        Expectation.restore({"version": 2})


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("plan", {}),
        ("plan", {"period_s": 0, "channels": []}),
        ("overrun", {"period_s": 10.0}),
        ("overrun", {"period_s": "x"}),
        ("channels_off", {}),
        ("channel_absent", {}),
        ("clock_step", {}),
        ("no_such_kind", {}),
    ],
)
def test_events_of_later_versions_are_survived(kind: str, detail: dict[str, object]) -> None:
    rig = Rig()
    rig.note(5, kind, "m-1", **detail)
    rig.read(10)
    assert rig.expectation.meters() == ["m-1"]

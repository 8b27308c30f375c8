"""A meter away for verification (送检): its gaps are the same wherever the gateway's memory is stored and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.intervals.expected import Expectation
from gateway.model import NS, Event
from tests.unit.test_expected import T0

if TYPE_CHECKING:
    from gateway.intervals.expected import Account

Record = Event | float  # an event, or when m-1 is read
STEP_S = 1000


def note(at_s: float, kind: str, subject: str, **detail: object) -> Event:
    return Event(T0 + round(at_s * NS), kind, subject, detail)


def begin(at_s: float, subject: str, until_s: float, *, removed: bool) -> Event:
    more = {"removed": True} if removed else {}
    return note(at_s, "maintenance_begin", subject, until_ns=T0 + round(until_s * NS), **more)


def life(at_s: float, stop_s: float | None = None) -> list[Record]:
    plan = {"link": "link-1", "period_s": 10.0, "channels": ["a"], "enabled": True}
    ended = [] if stop_s is None else [note(stop_s, "stop", "plant-1")]
    return [
        *ended,
        note(at_s, "start", "plant-1"),
        note(at_s, "plan", "m-1", **plan),
        note(at_s, "link_up", "link-1"),
    ]


HISTORY: list[Record] = [
    *life(0), 10.2, 20.2,
    begin(25, "m-1", 400, removed=True),  # due 30 to 100: away, over a stop and a kill
    begin(33, "link-1", 300, removed=False),
    *life(45, stop_s=35),
    *life(75),
    note(105, "maintenance_end", "m-1"),  # 110: the link is worked on
    note(115, "maintenance_end", "gateway"), 120.2, 130.2,
    begin(135, "m-1", 172, removed=True),  # 140 to 170, then it is overdue
    note(175, "meter_off", "m-1", reason="timeout"),  # 180, 190
    begin(191, "m-1", 9999, removed=True), 200.2,  # somebody answered
    note(215 + STEP_S, "clock_step", "gateway", step_s=float(STEP_S), epoch=1),
    note(235 + STEP_S, "maintenance_end", "m-1"),
    note(245 + STEP_S, "link_cut", "link-1", count=1),
]  # fmt: skip


def feed(expectation: Expectation, record: Record) -> None:
    if isinstance(record, Event):
        expectation.note(record)
    else:
        expectation.frame("m-1", 10.0, 0, T0 + round(record * NS))


def again(one: Expectation) -> Expectation:
    return Expectation.restore(orjson.loads(orjson.dumps(one.snapshot())))


def found(expectation: Expectation) -> list[dict[float, Account]]:
    """Return the account of every due time, one after another, of both epochs."""
    now_ns = T0 + (245 + STEP_S) * NS
    return [
        expectation.account("m-1", epoch, due_ns, due_ns + 10 * NS, now_ns)
        for epoch, first_s in ((0, 0), (1, 210 + STEP_S))
        for due_ns in range(T0 + first_s * NS, T0 + (first_s + 240) * NS, 10 * NS)
    ]


def test_why_each_due_time_is_missing() -> None:
    expectation = Expectation()
    for record in HISTORY:
        feed(expectation, record)
    reasons = {
        (account[10.0].due[0] - T0) // NS: next(iter(account[10.0].missing), "")
        for account in found(expectation)
        if account
    }
    away = {due_s for due_s, reason in reasons.items() if reason == "removed_for_verification"}
    assert away == {*range(30, 110, 10), *range(140, 180, 10), 210, 220 + STEP_S, 230 + STEP_S}
    assert reasons[110] == "maintenance"
    assert (reasons[180], reasons[190], reasons[200]) == ("meter_off", "meter_off", "")


@pytest.mark.parametrize("cut", range(len(HISTORY) + 1))
def test_a_cut_anywhere_changes_no_reason(cut: int) -> None:
    whole, parts = Expectation(), Expectation()
    for i, record in enumerate(HISTORY):
        if i == cut:
            parts = again(parts)
        feed(whole, record)
        feed(parts, record)
    assert found(again(parts)) == found(whole)


def test_a_cut_after_every_record_changes_no_reason() -> None:
    whole, parts = Expectation(), Expectation()
    for record in HISTORY:
        feed(whole, record)
        feed(parts, record)
        parts = again(parts)
    assert found(parts) == found(whole)


def test_it_stays_away_however_much_is_forgotten() -> None:
    expectation = Expectation()
    for record in HISTORY[:8]:  # declared until 400 and not back
        feed(expectation, record)
    for before_s in range(40, 390, 50):
        expectation.forget(T0 + before_s * NS)
        expectation = again(expectation)
    account = expectation.account("m-1", 0, T0 + 390 * NS, T0 + 420 * NS, T0 + 2000 * NS)[10.0]
    assert account.missing == {"removed_for_verification": 1, "gateway_down": 2}

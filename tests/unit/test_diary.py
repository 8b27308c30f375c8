"""What is told of an inventory: each span once, anew when its end changes, taken back when it was a mistake."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.derive.diary import KINDS, Diary
from gateway.inventory.calendar import due_reminders
from gateway.inventory.validity import validity
from gateway.model import Event
from tests.unit.inventory_rig import VERIFIED, inventory
from tests.unit.test_marks import instruments

if TYPE_CHECKING:
    from gateway.inventory.model import Inventory

TODAY = date(2026, 8, 1)
OLDEST = date(2025, 1, 1)
ENDED = VERIFIED | {"until": "2026-07-01"}
AGAIN = {"on": "2026-07-20", "period_months": 12, "certificate": "C-2"}
WRONG = {"found": "2026-07-15", "since": "2026-03-01", "why": "seal broken"}


def told(diary: Diary, found: Inventory, today: date = TODAY) -> list[tuple[str, Any, Any]]:
    """Tell what is to be told; return kind, begin and end of each."""
    news = list(diary.spans(found, today, OLDEST))
    for one in news:
        assert one.kind in KINDS
        assert diary.take(Event(0, one.kind, one.subject, one.detail))
    return [(one.kind, one.detail["since"], one.detail.get("until")) for one in news]


def test_a_span_is_told_once_and_anew_with_its_end() -> None:
    diary = Diary()
    expired = inventory({"verifications": [ENDED]})
    assert told(diary, expired) == [("instrument_expired", "2026-07-02", None)]
    assert told(diary, expired) == []
    assert told(Diary(diary.body()), expired, TODAY + timedelta(days=9)) == [], "kept across restarts"
    verified = inventory({"verifications": [ENDED, AGAIN]})
    assert told(diary, verified) == [
        ("instrument_expired", "2026-07-02", "2026-07-20"),
        ("instrument_valid_again", "2026-07-20", None),
    ]
    assert told(diary, verified) == []


def test_it_is_told_on_the_day_after_the_last() -> None:
    found = inventory({"verifications": [ENDED]})
    assert told(Diary(), found, date(2026, 7, 1)) == []
    assert told(Diary(), found, date(2026, 7, 2)) == [("instrument_expired", "2026-07-02", None)]


def test_a_finding_reaches_back_and_names_the_meter_and_why() -> None:
    diary = Diary()
    (one,) = diary.spans(inventory({"nonconformities": [WRONG]}), TODAY, OLDEST)
    assert (one.kind, one.subject) == ("instrument_nonconforming", "e-1")
    assert one.detail == {
        "instrument": "e-1", "meter": "m-001", "since": "2026-03-01", "until": None,
        "why": "found on 2026-07-15: seal broken", "state": "nonconforming",
    }  # fmt: skip


def test_a_failed_verification_doubts_everything_since_the_good_one_before() -> None:
    failed = AGAIN | {"conforming": False}
    assert told(Diary(), inventory({"verifications": [VERIFIED, failed]})) == [
        ("instrument_nonconforming", "2023-01-01", None)
    ]


def test_a_span_that_was_a_mistake_is_taken_back_and_can_come_again() -> None:
    diary, wrong, right = Diary(), inventory({"nonconformities": [WRONG]}), inventory({})
    told(diary, wrong)
    assert told(diary, right) == [
        ("instrument_nonconforming", "2026-03-01", "2026-03-01"),
        ("instrument_valid_again", "2026-08-01", None),
    ]
    assert told(diary, right) == []
    assert told(diary, wrong) == [("instrument_nonconforming", "2026-03-01", None)]


def test_another_meter_is_another_span() -> None:
    diary = Diary()
    told(diary, inventory({"nonconformities": [WRONG]}))
    news = list(diary.spans(inventory({"nonconformities": [WRONG], "meter": "m-007"}), TODAY, OLDEST))
    assert [(one.detail["meter"], one.detail["until"]) for one in news] == [
        ("m-007", None),
        ("m-001", "2026-03-01"),
    ]


def test_a_clock_set_back_takes_nothing_back() -> None:
    diary, found = Diary(), inventory({"verifications": [ENDED], "nonconformities": [WRONG]})
    assert len(told(diary, found)) == 2
    assert told(diary, found, date(1970, 1, 1)) == []
    assert told(diary, found, date(2026, 5, 1)) == []
    assert told(diary, found) == []


def test_of_an_instrument_that_has_left_nothing_is_taken_back() -> None:
    diary = Diary()
    told(diary, inventory({"nonconformities": [WRONG]}))
    assert told(diary, inventory()) == []


def test_what_was_over_before_the_history_began_is_not_told() -> None:
    over = WRONG | {"since": "2024-03-01", "found": "2024-03-05", "until": "2024-04-01"}
    assert told(Diary(), inventory({"nonconformities": [over]})) == []


def test_spare_ones_may_be_out_of_period_and_removed_ones_too() -> None:
    assert told(Diary(), inventory({"verifications": [ENDED], "role": "spare"})) == []
    assert told(Diary(), inventory({"verifications": [ENDED], "removed": "2026-06-01"})) == []


def test_reminders_and_revisions_are_known_by_their_events() -> None:
    diary, found = Diary(), inventory({"verifications": [VERIFIED | {"until": "2026-08-20"}]})
    (one,) = due_reminders(found, TODAY, diary.reminders)
    assert one.step == 30
    detail = {"instrument": "e-1", "last_day": "2026-08-20", "days_left": 19, "step": 30}
    diary = diary.with_([Event(0, "verification_due", "e-1", detail), Event(0, "link_up", "x", {})])
    assert due_reminders(found, TODAY, Diary(diary.body()).reminders) == []
    assert [due.step for due in due_reminders(found, date(2026, 8, 15), diary.reminders)] == [7]
    diary.take(Event(0, "inventory_applied", "plant-1", {"revision": 4}))
    assert Diary(diary.body()).revision == 4


@given(st.lists(st.tuples(instruments(), st.integers(0, 400)), min_size=1, max_size=4))
def test_whatever_happens_the_newest_spans_told_are_those_there_are(
    life: list[tuple[dict[str, Any], int]],
) -> None:
    diary, today = Diary(), TODAY
    spans: dict[tuple[str, ...], str | None] = {}
    is_bad = False
    for row, days in life:
        found = inventory(row)
        today += timedelta(days=days)
        for one in diary.spans(found, today, date(2000, 1, 1)):
            diary.take(Event(0, one.kind, one.subject, one.detail))
            if one.kind != "instrument_valid_again":
                spans[one.detail["state"], one.detail["since"]] = one.detail["until"]
                is_bad = is_bad or one.detail["until"] is None
            else:
                is_bad = False
        day = date(2024, 1, 1)
        while day <= today:
            marked = validity(found.instruments[0], day)
            on = day.isoformat()
            covering = {
                state
                for (state, since), until in spans.items()
                if since <= on and (until is None or on < until)
            }
            if marked in ("nonconforming", "expired"):
                assert marked in covering
            elif marked == "valid":
                assert not covering & {"nonconforming"}
            day += timedelta(days=13)
        if validity(found.instruments[0], today) == "valid":
            assert not is_bad

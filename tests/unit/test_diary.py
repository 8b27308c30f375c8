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
    from collections.abc import Iterator

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


def test_a_span_keeps_the_meter_it_was_told_with() -> None:
    diary = Diary()
    told(diary, inventory({"nonconformities": [WRONG]}))
    moved = inventory({"nonconformities": [WRONG], "meter": "m-007"})
    assert list(diary.spans(moved, TODAY, OLDEST)) == [], (
        "the old meter was no mistake, the new one did not measure then"
    )
    ended = inventory({"nonconformities": [WRONG | {"until": "2026-07-20"}], "meter": "m-007"})
    (span, _) = diary.spans(ended, TODAY, OLDEST)
    assert (span.detail["meter"], span.detail["until"]) == ("m-001", "2026-07-20")
    later = WRONG | {"since": "2026-07-25", "found": "2026-07-30"}
    both = inventory({"nonconformities": [WRONG, later], "meter": "m-007"})
    assert [one.detail["meter"] for one in diary.spans(both, TODAY, OLDEST)] == ["m-007"]


def test_a_clock_set_back_takes_nothing_back_and_ends_no_doubt() -> None:
    diary, found = Diary(), inventory({"verifications": [ENDED], "nonconformities": [WRONG]})
    assert len(told(diary, found)) == 2
    for today in (date(1970, 1, 1), date(2026, 5, 1), TODAY):
        assert told(diary, found, today) == []
    expired, diary = inventory({"verifications": [ENDED]}), Diary()
    assert told(diary, expired) == [("instrument_expired", "2026-07-02", None)]
    for today in (date(2026, 6, 20), TODAY, date(2026, 9, 1)):
        assert told(diary, expired, today) == [], "valid on 06-20, but that is not after the doubt"
    assert told(diary, inventory({"verifications": [ENDED, AGAIN]}), date(2026, 9, 1)) == [
        ("instrument_expired", "2026-07-02", "2026-07-20"),
        ("instrument_valid_again", "2026-07-20", None),
    ]


def test_what_a_clock_ahead_told_too_early_is_taken_back_once_it_will_not_come() -> None:
    diary, found = Diary(), inventory({"verifications": [ENDED]})
    assert told(diary, found, date(2027, 1, 1)) == [("instrument_expired", "2026-07-02", None)]
    assert told(diary, found, date(2026, 6, 1)) == []
    in_time = inventory({"verifications": [ENDED, AGAIN | {"on": "2026-06-20"}]})
    assert told(diary, in_time, date(2026, 6, 21)) == [
        ("instrument_expired", "2026-07-02", "2026-07-02"),
        ("instrument_valid_again", "2026-06-21", None),
    ]


def test_a_reminder_told_while_the_clock_was_ahead_is_told_again_in_time() -> None:
    diary, found = Diary(), inventory({"verifications": [ENDED]})

    def remind(today: date) -> list[int]:
        due = due_reminders(found, today, diary.reminded(today))
        for one in due:
            detail = {
                "instrument": one.instrument, "last_day": one.last_day.isoformat(),
                "days_left": one.days_left, "step": one.step,
            }  # fmt: skip
            diary.take(Event(0, "verification_due", one.instrument, detail))
        return [one.step for one in due]

    assert remind(date(2027, 1, 1)) == [-1], "for a minute"
    assert remind(date(2026, 6, 30)) == [7]
    diary = Diary(diary.body())
    assert remind(date(2026, 7, 2)) == [-1]
    assert remind(date(2026, 7, 2)) == remind(date(2027, 1, 1)) == []


def test_what_is_over_and_older_than_the_history_is_forgotten_and_not_told_again() -> None:
    diary, over = (
        Diary(),
        inventory({"nonconformities": [WRONG | {"until": "2026-07-20"}], "verifications": [ENDED]}),
    )
    told(diary, over)
    for last_day in ("2020-01-01", "2026-07-01"):
        detail = {"instrument": "e-1", "last_day": last_day, "days_left": -1, "step": -1}
        diary.take(Event(0, "verification_due", "e-1", detail))
    diary.forget(date(2027, 1, 1))
    body = diary.body()
    assert [span[2:] for span in body["spans"]] == [["expired", "2026-07-02", None]], "still open"
    assert [key[:2] for key in body["due"]] == [["e-1", "2026-07-01"]]
    assert list(diary.spans(over, date(2027, 6, 1), date(2027, 1, 1))) == []


def test_a_plant_of_thousands_is_worked_out_in_time_linear_in_what_was_told() -> None:
    diary = Diary()
    days = [(date(2010, 1, 1) + timedelta(days=30 * n)) for n in range(6)]
    rows = [
        {
            "found": day.isoformat(),
            "since": day.isoformat(),
            "until": (day + timedelta(days=9)).isoformat(),
            "why": "x",
        }
        for day in days
    ]
    plant = inventory(*[{"nonconformities": rows} for _ in range(800)])
    told_ = list(diary.spans(plant, TODAY, date(2000, 1, 1)))
    assert len(told_) == 4800
    for one in told_:
        diary.take(Event(0, one.kind, one.subject, one.detail))
    looked = _Counting()
    diary._spans = {name: looked.count(spans) for name, spans in diary._spans.items()}
    assert list(diary.spans(plant, TODAY, date(2000, 1, 1))) == []
    assert looked.seen <= 4 * 4800


class _Counting:
    """Counts entries looked at in mappings."""

    def __init__(self) -> None:
        self.seen = 0

    def count(self, spans: dict[Any, Any]) -> Any:
        counting = self

        class Spans(dict[Any, Any]):
            def __iter__(self) -> Iterator[Any]:
                counting.seen += len(self)
                return super().__iter__()

            def items(self) -> Any:
                counting.seen += len(self)
                return super().items()

        return Spans(spans)


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
    (one,) = due_reminders(found, TODAY, diary.reminded(TODAY))
    assert one.step == 30
    detail = {"instrument": "e-1", "last_day": "2026-08-20", "days_left": 19, "step": 30}
    assert diary.take(Event(0, "verification_due", "e-1", detail))
    assert not diary.take(Event(0, "link_up", "x", {}))
    assert due_reminders(found, TODAY, Diary(diary.body()).reminded(TODAY)) == []
    later = date(2026, 8, 15)
    assert [due.step for due in due_reminders(found, later, diary.reminded(later))] == [7]
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

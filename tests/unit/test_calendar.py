"""Which verifications end when, what is reminded of once, and the calendar other programs read."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gateway.inventory.calendar import OVERDUE, STEPS, calendar, due_reminders
from gateway.inventory.model import Inventory
from gateway.reports.ics import folded, ics, text

TODAY = date(2026, 11, 22)
STAMP = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def ledger(**instruments: dict[str, Any]) -> Inventory:
    rows = [
        {"id": name.replace("_", "-"), "name": name, "category": "electricity_meter"} | more
        for name, more in instruments.items()
    ]
    return Inventory.model_validate({"organization": {"name": "Plant"}, "instruments": rows})


def until(day: str | date, **more: Any) -> dict[str, Any]:
    """Return an instrument verified until a day."""
    return {"verifications": [{"on": "2025-01-10", "until": str(day)}]} | more


def left(days: int, **more: Any) -> dict[str, Any]:
    return until(TODAY + timedelta(days=days), **more)


# -- the calendar --------------------------------------------------------------------------------------------


def test_what_is_worst_comes_first_then_by_day() -> None:
    found = calendar(
        ledger(
            good=left(100),
            soon=left(0),
            never={},
            undated={"verifications": [{"on": "2025-01-10"}]},
            over=left(-1),
            longer_over=left(-30),
            bad=left(50, nonconformities=[{"found": "2026-11-01", "why": "creeps"}]),
            failed={"verifications": [{"on": "2026-11-01", "conforming": False, "period_months": 12}]},
        ),
        TODAY,
    )
    assert [(one.instrument.id, one.state, one.days_left) for one in found] == [
        ("failed", "nonconforming", None),
        ("bad", "nonconforming", 50),
        ("longer-over", "overdue", -30),
        ("over", "overdue", -1),
        ("never", "unverified", None),
        ("undated", "undated", None),
        ("soon", "due", 0),
        ("good", "due", 100),
    ]
    assert {one.instrument.id: one.last_day for one in found}["soon"] == TODAY


def test_removed_ones_are_gone_and_ones_to_come_are_in() -> None:
    found = calendar(
        ledger(
            gone=left(3, removed="2026-11-22"),
            here=left(3, removed="2026-11-23"),
            later=left(3, installed="2027-01-01"),
        ),
        TODAY,
    )
    assert [one.instrument.id for one in found] == ["here", "later"]


def test_the_newest_verification_counts_and_its_last_day_is_computed() -> None:
    rows = [{"on": "2024-02-29", "until": "2030-01-01"}, {"on": "2025-12-01", "period_months": 12}]
    (one,) = calendar(ledger(a={"verifications": rows}), TODAY, usual=lambda _: "72 months, JJG 596")
    assert (one.last_day, one.days_left, one.usual) == (date(2026, 11, 30), 8, "72 months, JJG 596")


# -- reminders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "step"),
    [(91, None), (90, 90), (31, 90), (30, 30), (8, 30), (7, 7), (0, 7), (-1, OVERDUE), (-400, OVERDUE)],
)
def test_a_reminder_is_of_the_latest_step_passed(days: int, step: int | None) -> None:
    found = due_reminders(ledger(a=left(days)), TODAY)
    assert [(one.instrument, one.days_left, one.step) for one in found] == (
        [] if step is None else [("a", days, step)]
    )


def test_each_step_is_told_once_day_after_day_and_a_new_date_begins_anew() -> None:
    told: set[tuple[str, str, int]] = set()
    steps = []
    for n in range(120):
        for one in due_reminders(ledger(a=left(100)), TODAY + timedelta(days=n), told):
            told.add(one.key)
            steps.append((n, one.step, one.days_left))
    assert steps == [(10, 90, 90), (70, 30, 30), (93, 7, 7), (101, OVERDUE, -1)]
    assert [one.step for one in due_reminders(ledger(a=left(5)), TODAY, told)] == [7]


def test_steps_are_the_sites() -> None:
    assert [one.step for one in due_reminders(ledger(a=left(45)), TODAY, steps=(60, 14))] == [60]
    assert not due_reminders(ledger(a=left(45)), TODAY, steps=())
    assert [one.step for one in due_reminders(ledger(a=left(-1)), TODAY, steps=())] == [OVERDUE]


@pytest.mark.parametrize(
    "more",
    [
        {"status": "stopped"},
        {"role": "spare"},
        {"measurement": "estimated"},
        {"removed": "2026-11-22"},
        {"verifications": []},
        {"verifications": [{"on": "2026-01-01"}]},
        {"verifications": [{"on": "2026-01-01", "conforming": False, "until": "2026-11-25"}]},
    ],
)
def test_what_nobody_uses_or_nothing_dates_is_not_reminded_of(more: dict[str, Any]) -> None:
    assert not due_reminders(ledger(a=left(3, **more)), TODAY)


# -- iCalendar -----------------------------------------------------------------------------------------------


def unfolded(body: str) -> list[str]:
    """Return the content lines of a calendar, as RFC 5545 3.1 has them read."""
    assert body.endswith("\r\n")
    assert "\n" not in body.replace("\r\n", "")
    assert all(len(line.encode()) <= 75 for line in body.split("\r\n"))
    return body.replace("\r\n ", "").split("\r\n")[:-1]


def made(inventory: Inventory, **more: Any) -> list[str]:
    return unfolded(ics(calendar(inventory, TODAY), "plant-1", STAMP, **more))


def test_a_calendar_is_made_of_properties_any_program_knows() -> None:
    lines = made(ledger(a=until("2026-12-31", location="高压室; 2 号柜, 左"), b={}))
    assert lines[:5] == [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Metergate//Verifications due//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH",
    ]  # fmt: skip
    begin, end = lines.index("BEGIN:VEVENT"), lines.index("END:VEVENT")
    event = lines[begin + 1 : end]
    assert event[:7] == [
        "UID:verification-a@plant-1",
        "DTSTAMP:20261122T123000Z",
        f"SEQUENCE:{(date(2026, 12, 31) - date(1970, 1, 1)).days}",
        "DTSTART;VALUE=DATE:20261231",
        "DTEND;VALUE=DATE:20270101",
        "SUMMARY:检定到期 Verification ends: a a",
        "DESCRIPTION:上次 last: 2025-01-10",
    ]
    assert "LOCATION:高压室\\; 2 号柜\\, 左" in event
    assert [line for line in event if line.startswith("TRIGGER")] == [f"TRIGGER:-P{step}D" for step in STEPS]
    assert lines.count("BEGIN:VALARM") == lines.count("END:VALARM") == 3
    assert lines[-1] == "END:VCALENDAR"
    assert lines.count("BEGIN:VEVENT") == 1, "what has no date is no event"


def test_an_event_moves_with_its_verification_and_never_doubles() -> None:
    old, new = made(ledger(a=until("2026-12-31"))), made(ledger(a=until("2027-12-31")))
    uid = [[line for line in lines if line.startswith("UID:")] for lines in (old, new)]
    sequence = [
        int(line.partition(":")[2]) for lines in (old, new) for line in lines if line.startswith("SEQUENCE:")
    ]
    assert uid[0] == uid[1]
    assert sequence[0] < sequence[1]


def test_the_stamp_is_utc_whatever_zone_it_comes_in() -> None:
    from zoneinfo import ZoneInfo

    body = ics(calendar(ledger(a=left(3)), TODAY), "p", STAMP.astimezone(ZoneInfo("Asia/Shanghai")))
    assert "DTSTAMP:20261122T123000Z" in body


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("a\\b", "a\\\\b"), ("a;b,c", "a\\;b\\,c"), ("a\r\nb\nc\rd", "a\\nb\\nc\\nd"), ("a\x00\tb\x1b", "ab"), ("检:定", "检:定")],
)  # fmt: skip
def test_texts_are_escaped(value: str, wanted: str) -> None:
    assert text(value) == wanted


@pytest.mark.parametrize("line", ["", "x" * 75, "x" * 76, "x" * 500, "检" * 200, "a" * 74 + "检", "😀" * 100])
def test_lines_are_cut_at_octets_and_never_inside_a_character(line: str) -> None:
    parts = folded(line).split("\r\n")
    assert all(len(part.encode()) <= 75 for part in parts)
    assert all(part.startswith(" ") for part in parts[1:])
    assert parts[0] + "".join(part[1:] for part in parts[1:]) == line
    assert len(line.encode()) > 75 or len(parts) == 1


def test_hostile_names_add_no_line() -> None:
    inventory = ledger(a=left(3))
    bad = inventory.instruments[0].model_copy(update={"name": "x\r\nEND:VCALENDAR\r\nBEGIN:VEVENT\u2028"})
    lines = made(inventory.model_copy(update={"instruments": (bad,)}))
    assert lines.count("END:VCALENDAR") == 1
    assert lines.count("BEGIN:VEVENT") == 1
    assert all(re.fullmatch(r"[A-Z-]+(;[A-Z-]+=[A-Z]+)?:.*", line) for line in lines)

"""Marks of intervals and births: the state of the meter's main instrument on the day, by the inventory known then."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.derive.marks import WORST_FIRST, Marks
from gateway.feed.contract import About, Verification
from gateway.inventory.validity import validity
from gateway.model import NS
from tests.unit.inventory_rig import VERIFIED, inventory

ZONE = "Asia/Shanghai"


def ns(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()) * NS


def test_without_inventory_or_instrument_nothing_is_marked() -> None:
    assert Marks(ZONE).of("m-001", ns("2026-08-01")) == ""
    marks = Marks(ZONE, inventory({}))
    assert marks.of("m-999", ns("2026-08-01")) == ""
    assert marks.about("m-999", ns("2026-08-01")) == {"accuracy_class": None, "verification": None}


def test_the_last_day_is_included_in_the_zone_of_the_site() -> None:
    marks = Marks(ZONE, inventory({"verifications": [VERIFIED | {"until": "2026-08-01"}]}))
    assert marks.of("m-001", ns("2026-08-01T23:45")) == "valid"
    assert marks.of("m-001", ns("2026-08-02T00:00")) == "expired"
    assert Marks("UTC", marks.inventory).of("m-001", ns("2026-08-02T00:00")) == "valid"


@pytest.mark.parametrize(
    "given",
    [
        {"role": "check"}, {"measurement": "derived"}, {"installed": "2026-08-02"}, {"removed": "2026-08-01"}, {"meter": ""},
    ],
)  # fmt: skip
def test_only_the_main_instrument_in_its_place_speaks(given: dict[str, Any]) -> None:
    assert Marks(ZONE, inventory(given)).of("m-001", ns("2026-08-01T12:00")) == ""


def test_of_several_the_worst_speaks_also_in_the_birth() -> None:
    other = {"meter": "m-001", "verifications": [], "accuracy_class": "1"}
    marks = Marks(ZONE, inventory({}, other))
    at_ns = ns("2026-08-01T12:00")
    assert marks.of("m-001", at_ns) == "unverified"
    assert marks.about("m-001", at_ns) == {
        "accuracy_class": "1",
        "verification": {"instrument": "e-2", "state": "unverified"},
    }


def test_the_birth_tells_certificate_and_days() -> None:
    told = Marks(ZONE, inventory({})).about("m-001", ns("2026-08-01T12:00"))
    assert told == {
        "accuracy_class": "0.5S",
        "verification": {
            "instrument": "e-1", "state": "valid", "kind": "verification", "on": "2023-01-01", "until": "2028-12-31",
            "certificate": "C-1", "body": "institute",
        },
    }  # fmt: skip
    Verification.model_validate(told["verification"], strict=True)
    About.model_validate({"id": "m-001", "energy_kind": "electricity", "channels": []} | told, strict=True)


def test_another_inventory_counts_at_once() -> None:
    marks, at_ns = Marks(ZONE, inventory({"verifications": []})), ns("2026-08-01T12:00")
    assert marks.of("m-001", at_ns) == "unverified"
    marks.follow(inventory({}))
    assert marks.of("m-001", at_ns) == "valid"
    marks.follow(None)
    assert marks.of("m-001", at_ns) == ""


DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))


@st.composite
def instruments(draw: st.DrawFn) -> dict[str, Any]:
    done = [
        {"on": on.isoformat(), "conforming": draw(st.booleans())}
        | draw(st.sampled_from([{}, {"period_months": 6}, {"period_months": 12}]))
        for on in draw(st.lists(DAYS, max_size=3, unique=True))
    ]
    found = [
        {
            "found": on.isoformat(),
            "since": (on - timedelta(days=draw(st.integers(0, 60)))).isoformat(),
            "why": "off",
        }
        for on in draw(st.lists(DAYS, max_size=1))
    ]
    return {"verifications": done, "nonconformities": found, "meter": "m-001"}


@given(st.lists(instruments(), min_size=1, max_size=3), st.lists(DAYS, min_size=1, max_size=5))
def test_marks_follow_validity(rows: list[dict[str, Any]], days: list[date]) -> None:
    found = inventory(*rows)
    marks = Marks(ZONE, found)
    for day in days:
        own = {validity(one, day) for one in found.instruments}
        at_ns = ns(f"{day.isoformat()}T00:00")
        told = marks.of("m-001", at_ns), marks.of("m-001", at_ns + 86_399 * NS)
        assert told == (next(state for state in WORST_FIRST if state in own),) * 2
        birth = marks.about("m-001", at_ns)["verification"]
        assert birth["state"] == told[0]
        Verification.model_validate(birth, strict=True)

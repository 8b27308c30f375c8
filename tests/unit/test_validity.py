"""Of two verifications on one day the last that is listed speaks."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.inventory.model import Instrument
from gateway.inventory.validity import doubts, validity

DAY = date(2026, 5, 1)
PASSED: dict[str, Any] = {"on": "2026-05-01", "period_months": 12}
FAILED: dict[str, Any] = {"on": "2026-05-01", "conforming": False}
EARLIER: dict[str, Any] = {"on": "2025-05-01", "period_months": 12}


def instrument(*verifications: dict[str, Any]) -> Instrument:
    body = {"id": "m", "name": "m", "category": "steam_flow_meter", "verifications": list(verifications)}
    return Instrument.model_validate(body)


def test_passed_and_then_failed_on_one_day_is_nonconforming() -> None:
    one = instrument(EARLIER, PASSED, FAILED)
    assert validity(one, DAY) == "nonconforming"
    newest = one.verification(DAY)
    assert newest is not None
    assert not newest.conforming
    (span,) = doubts(one, date(2026, 12, 31))
    assert (span.since, span.until) == (date(2025, 5, 1), None), "what passed on that day does not speak"


def test_failed_and_then_passed_on_one_day_is_valid_from_that_day() -> None:
    one = instrument(EARLIER, FAILED, PASSED)
    assert validity(one, DAY) == "valid"
    assert validity(one, date(2026, 4, 30)) == "nonconforming"
    (span,) = doubts(one, date(2026, 12, 31))
    assert (span.since, span.until) == (date(2025, 5, 1), DAY)


@pytest.mark.parametrize(("periods", "state"), [((12, 1), "expired"), ((1, 12), "valid")])
def test_of_two_that_passed_on_one_day_the_last_tells_until_when(
    periods: tuple[int, int], state: str
) -> None:
    one = instrument(*({"on": "2026-05-01", "period_months": months} for months in periods))
    assert validity(one, date(2026, 8, 1)) == state

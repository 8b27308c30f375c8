"""Texts and days of an inventory: blank is nothing, what steers is refused, days stay within the calendar."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from gateway.commands.fitting_work import day_of
from gateway.errors import ConfigError
from gateway.evidence.evidence_file import read_evidence
from gateway.inventory.model import Answer, Flow, Loss, Organization, Verification
from gateway.inventory.values import DAY_MAX, DAY_MIN
from tests.unit.inventory_plant import changed, findings

if TYPE_CHECKING:
    from pathlib import Path

LOSS = {"energy_kind": "electricity", "percent": 1}
ANSWER = {"item": "a", "answer": "yes"}


@pytest.mark.parametrize(
    ("table", "body", "key"),
    [
        (Organization, {}, "name"),
        (Loss, LOSS, "source"),
        (Answer, ANSWER, "document"),
        (Answer, {"answer": "yes", "document": "d"}, "item"),
    ],
)
@pytest.mark.parametrize("blank", [" ", "\t", "\u3000", "\n"])
def test_blanks_are_no_text(table: Any, body: dict[str, Any], key: str, blank: str) -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        table.model_validate({**body, key: blank})
    assert getattr(table.model_validate({**body, key: f" x{blank}"}), key) == "x"


def test_a_blank_settlement_is_none() -> None:
    body = {
        "id": "f",
        "from": "outside",
        "to": "organization",
        "energy_kind": "steam",
        "seasonal_heating": True,
    }
    assert Flow.model_validate(body | {"other_settlement": " \u3000"}).other_settlement == ""


@pytest.mark.parametrize(
    "char", ["\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200b", "\u2028", "\x00", "\r"]
)
def test_what_steers_a_terminal_is_a_finding(tmp_path: Path, char: str) -> None:
    (finding,) = findings(changed(('name = "烧成车间"', f'name = "烧成\\u{ord(char):04x}车间"')), tmp_path)
    assert finding.path == "units.kilns.name"
    assert finding.expected.endswith(f"U+{ord(char):04X}")
    assert char not in str(finding)


def test_lines_and_tabs_within_a_text_stay() -> None:
    assert Organization.model_validate({"name": "a\r\nb\tc"}).name == "a\nb\tc"


@pytest.mark.parametrize("day", ["1899-12-31", "2201-01-01", "9990-01-01", "0001-01-05"])
def test_days_beyond_any_plant_are_refused(day: str) -> None:
    for given in (day, date.fromisoformat(day)):
        with pytest.raises(ValidationError, match="a day from 1900-01-01 to 2200-12-31"):
            Verification.model_validate({"on": given})


def test_the_last_day_there_is_has_periods_and_days_after_it() -> None:
    one = Verification.model_validate({"on": DAY_MAX, "period_months": 240})
    assert one.last_day == date(2220, 12, 30)
    assert day_of(str(DAY_MIN), None) == DAY_MIN


def test_a_day_of_a_command_or_of_evidence_has_the_same_bounds(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is no day"):
        day_of("0001-01-05", None)
    file = tmp_path / "e.json"
    file.write_text('{"from": "2026-10-01", "to": "9999-12-31"}')
    with pytest.raises(ConfigError, match=r"e\.json: to"):
        read_evidence(file)

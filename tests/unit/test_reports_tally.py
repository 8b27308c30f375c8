"""Figures as reports show them: rounded down, counts added, nothing averaged."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from gateway.fitting import result
from gateway.fitting.outcome import Row
from gateway.reports import page_cells
from gateway.reports.tally import hidden_miss, percent, subtotals, tally


def _row(need: int, fitted: int, required: str | None = "95", **more: object) -> Row:
    figures: dict[str, object] = {
        "ruleset": "x", "level": 1, "energy_kind": "electricity", "judged": (), "clauses": (), "confidence": "R",
        "conflict": "", "surplus": (), "connected": None, "effective": None, "intact": None, "verified": None,
        "accurate": None, "auto_collected": None, "completeness": None, "completeness_of": 0, "covered": None,
        "required": None if required is None else Decimal(required), "need": need, "fitted": fitted,
        "rate": Fraction(fitted, need) if need else None,
    }  # fmt: skip
    return Row(**(figures | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (Fraction(94997, 100000), "94.99"),
        (Fraction(94999999, 100000000), "94.99"),
        (Fraction(2, 3), "66.66"),
        (Fraction(127, 443), "28.66"),
        (Fraction(1), "100.00"),
        (Fraction(0), "0.00"),
    ],
)
def test_a_share_is_rounded_down(share: Fraction, shown: str) -> None:
    assert str(percent(share)) == shown


def test_unknown_stays_unknown() -> None:
    assert percent(None) is None


def test_a_miss_that_rounding_would_hide_is_told() -> None:
    told = hidden_miss(Fraction(94997, 100000), Decimal(95))
    assert told.startswith("94.997 % < 95 %")
    assert hidden_miss(Fraction(95, 100), Decimal(95)) == ""
    assert hidden_miss(Fraction(94, 100), Decimal(95)) == ""
    assert hidden_miss(None, Decimal(95)) == ""


def test_counts_are_added_and_rates_never_averaged() -> None:
    total = tally(
        [
            _row(1, 1, intact=Fraction(1), verified=Fraction(0)),
            _row(9, 3, intact=Fraction(2, 3), verified=Fraction(1, 3)),
        ]
    )
    assert (total.need, total.fitted, total.intact, total.verified) == (10, 4, 3, 1)
    assert percent(total.of_need(total.fitted)) == Decimal("40.00")  # the average would be 66.66
    assert percent(total.of_fitted(total.verified)) == Decimal("25.00")


def test_one_unknown_count_makes_the_sum_unknown() -> None:
    known, unknown = _row(2, 1, connected=1, auto_collected=Fraction(1, 2)), _row(1, 1)
    assert tally([known]).connected == tally([known]).collected == 1
    assert tally([known, unknown]).connected is None
    assert tally([known, unknown]).collected is None
    assert tally([known, _row(0, 0)]).connected == 1


def test_without_a_need_there_is_no_rate() -> None:
    empty = tally([_row(0, 0)])
    assert empty.of_need(0) is None
    assert empty.of_fitted(0) is None


def test_kinds_without_a_demanded_rate_are_told_apart() -> None:
    rows = [_row(4, 2), _row(6, 6, None)]
    assert [(total.need, total.fitted) for _, total in subtotals(rows, 1)] == [(10, 8), (4, 2)]
    assert len(subtotals(rows[:1], 1)) == 1


def test_terminal_page_workbook_and_json_round_down_alike() -> None:
    nearly = 1 - Fraction(1, 10**40)  # more digits than a decimal of the usual precision holds
    assert percent(nearly) == Decimal("99.99")
    assert page_cells.percent(nearly) == "99.99"
    assert result.percent(nearly) == 99.9999

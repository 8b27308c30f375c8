"""Fitting rates as the feed has them: the same figures as `metergate fitting --json`, and short enough for a message."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.derive.rating import percent, result
from gateway.feed.bodies import BODY_MAX
from gateway.feed.contract_fitting import FittingResult
from gateway.fitting.evaluate import evaluate
from gateway.fitting.result import result as whole
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.model import Inventory
from tests.unit.inventory_rig import inventory

if TYPE_CHECKING:
    from gateway.fitting.result_shape import ResultBody

AS_OF = date(2026, 8, 2)
RULESETS = Rulesets()


def judged(found: Inventory) -> tuple[FittingResult, ResultBody]:
    """Return the result of the feed, and that of `metergate fitting --json`."""
    outcome = evaluate(found, RULESETS.get("GB17167-2006"), RULESETS.get("GBT24789-2022"), AS_OF, None)
    body = result(outcome)
    assert len(orjson.dumps(body)) <= BODY_MAX
    return FittingResult.model_validate(body, strict=True), whole(outcome)


def test_the_figures_are_those_of_the_command() -> None:
    told, own = judged(inventory({}, {"verifications": []}, {"status": "stopped"}))
    (row,) = told.rates
    (expected,) = own["rates"]
    for name in ("need", "fitted", "connected", "effective", "meets", "clauses", "surplus"):
        assert getattr(row, name) == dict(expected)[name]
    for name in (
        "rate_percent",
        "required_percent",
        "verified_percent",
        "accurate_percent",
        "intact_percent",
    ):
        told_ = getattr(row, name)
        assert (None if told_ is None else float(told_)) == dict(expected)[name]
    assert (row.need, row.fitted, row.rate_percent) == (3, 2, "66.6666")
    assert row.missing == [one["flow"] for one in expected["missing"]] == ["f-3"]
    assert (row.connected, row.effective, row.auto_collected_percent) == (None, None, None), "no evidence"


def test_a_superseded_ruleset_says_so_in_the_message() -> None:
    told, _ = judged(inventory({}))
    assert (told.superseded_on, told.superseded_by) == ("2026-02-01", "GB17167-2025")
    assert told.doubts
    assert (told.window_from, told.window_to) == ("2026-07-01", "2026-07-31")


def test_a_long_one_leaves_names_out_and_says_how_many() -> None:
    flows = [
        {"id": f"feeder-of-a-long-name-{n}", "from": "outside", "to": "organization", "energy_kind": kind}
        for kind in ("electricity", "natural_gas", "water")
        for n in range(len(kind) * 10_000, len(kind) * 10_000 + 2_000)
    ]
    told, _ = judged(Inventory.model_validate({"organization": {"name": "plant"}, "flows": flows}))
    assert sum(row.need for row in told.rates if row.ruleset == "GB17167-2006") == 6_000
    names = sum(len(row.missing) + len(row.undetermined) + len(row.exempt) for row in told.rates)
    assert 0 < names < told.left_out


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, None), (Fraction(1), "100.0000"), (Fraction(2, 3), "66.6666"), (Fraction(0), "0.0000"), (Fraction(999_999_999, 10**9), "99.9999")],
)  # fmt: skip
def test_a_share_is_rounded_down(share: Fraction | None, text: str | None) -> None:
    assert percent(share) == text

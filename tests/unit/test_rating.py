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
from gateway.fitting.evidence import Evidence
from gateway.fitting.result import percent as percent_of
from gateway.fitting.result import result as whole
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.model import Inventory
from tests.unit.fitting_rig import flow, instruments, judge, machine, plant, process
from tests.unit.inventory_rig import inventory

if TYPE_CHECKING:
    from gateway.fitting.result_shape import ResultBody

AS_OF = date(2026, 8, 2)
RULESETS = Rulesets()


def judged(found: Inventory, evidence: Evidence | None = None) -> tuple[FittingResult, ResultBody]:
    """Return the result of the feed, and that of `metergate fitting --json`."""
    outcome = evaluate(found, RULESETS.get("GB17167-2006"), RULESETS.get("GBT24789-2022"), AS_OF, evidence)
    body = result(outcome)
    assert len(orjson.dumps(body)) <= BODY_MAX
    return FittingResult.model_validate(body, strict=True), whole(outcome)


def test_the_figures_are_those_of_the_command() -> None:
    told, own = judged(inventory({}, {"verifications": []}, {"status": "stopped"}))
    (row,) = told.rates
    (expected,) = own["rates"]
    for name in (
        "need",
        "fitted",
        "connected",
        "effective",
        "meets",
        "clauses",
        "surplus",
        "completeness_of",
    ):
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
    assert row.required_percent == "100"
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
    [(None, None), (100.0, "100.0000"), (66.6666, "66.6666"), (0.0, "0.0000"), (99.9999, "99.9999")],
)
def test_a_share_has_four_places(share: float | None, text: str | None) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("numerator", [1, 2, 333_333, 666_667, 999_999, 1_000_000])
def test_a_share_is_that_of_the_command_rounded_down(numerator: int) -> None:
    share = Fraction(numerator, 1_000_003)
    text = percent(percent_of(share))
    assert text is not None
    assert Fraction(text) <= share * 100 < Fraction(text) + Fraction(1, 10_000)


def test_every_row_says_whether_its_ruleset_is_superseded_and_the_whole_what_is_in_doubt() -> None:
    told, own = judged(inventory({}))
    assert {row.superseded for row in told.rates if row.ruleset == "GB17167-2006"} == {True}
    assert {row.superseded for row in told.water_shares} == {False}
    assert told.doubts == own["doubts"]
    assert told.whole is None, "no evidence"
    half = Evidence.model_validate({"from": "2026-07-01", "to": "2026-07-31", "whole": False})
    assert judged(inventory({}), half)[0].whole is False


def test_a_message_says_how_far_a_demand_is_to_be_trusted_and_exempts_no_need_that_is_counted() -> None:
    # Three pumps behind one metered feeder: all exempt, one of them kept and counted (decision 28).
    pumps = [machine(f"p{n}", "house", electricity="110 kW") for n in range(3)]
    flows = [
        flow("house-in", "organization>house", "electricity"),
        flow("heat", "outside>organization", "hot_water"),
    ]
    flows += [flow(f"p{n}-in", f"house>p{n}", "electricity") for n in range(3)]
    fitted = instruments("electricity", "house-in")
    found = plant(units=[process("house")], equipment=pumps, flows=flows, instruments=fitted)
    rows = {(row["energy_kind"], row["level"]): row for row in result(judge(found))["rates"]}
    assert rows["electricity", 3]["exempt"] == ["p1-in", "p2-in"]
    assert (rows["electricity", 3]["need"], rows["electricity", 3]["fitted"]) == (1, 1)
    assert (rows["electricity", 3]["confidence"], rows["hot_water", 1]["confidence"]) == ("S", "U")

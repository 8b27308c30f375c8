from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from gateway.errors import MetergateError
from gateway.fitting.explain import Explainer
from gateway.fitting.result import percent, result
from tests.unit.fitting_rig import (
    delivered,
    evidence,
    flow,
    instrument,
    judge,
    machine,
    plant,
    process,
    unit,
)


def explained(name: str, **parts: Any) -> dict[str, Any]:
    return Explainer(judge(_plant(**parts))).explain(name)


def _plant(**parts: Any) -> Any:
    usual: dict[str, Any] = {
        "units": [unit("shop"), unit("office"), process("pumps", "shop")],
        "equipment": [
            machine("press", "shop", electricity="160 kW"),
            machine("pump-1", "pumps", electricity="110 kW"),
        ],
        "flows": [
            flow("in", "outside>organization", "electricity", "800 kW"),
            flow("shop-in", "organization>shop", "electricity", "400 kW"),
            flow("office-in", "organization>office", "electricity", "9.9 kW"),
            flow("press-in", "shop>press", "electricity"),
            flow("pumps-in", "shop>pumps", "electricity"),
            flow("pump-in", "pumps>pump-1", "electricity"),
            flow("cold", "organization>office", "water", state="disconnected"),
        ],
        "instruments": [
            instrument("em-in", "in", accuracy_class="0.5S"),
            instrument("em-shop", "shop-in", verifications=[{"on": "2024-03-01", "period_months": 12}]),
            instrument("em-pumps", "pumps-in"),
            instrument("em-office", "office-in"),
            instrument("em-spare", role="spare"),
        ],
    }
    return plant(**(usual | parts))


def test_a_main_unit_says_by_which_amount_against_which_limit() -> None:
    body = explained("shop")
    assert body["is_main"] is True
    assert body["because"] == ["electricity 400 kW ≥ 10 kW (its inflows)"]
    assert body["because_zh"] == ["电力 400 kW ≥ 10 kW (输入合计)"]
    assert [(need["level"], need["flow"], need["verdict"]) for need in body["needs"]] == [
        (2, "shop-in", "fitted"),
        (3, "press-in", "missing"),
        (3, "pump-in", "exempt"),
    ]


def test_a_unit_below_its_limit_is_told_to_be_no_main_one_with_the_figures() -> None:
    body = explained("office")
    assert body["is_main"] is False
    assert body["because"] == ["electricity 9.9 kW < 10 kW (its inflows)"]
    assert body["needs"] == []


def test_a_missing_instrument_comes_with_its_clause_its_rate_and_what_to_fit_where() -> None:
    (need,) = explained("press-in")["needs"]
    assert need["clause"].startswith("GB17167-2006 4.3.5")
    assert need["row"] == {
        "need": 1,
        "fitted": 0,
        "rate_percent": 0.0,
        "required_percent": 95.0,
        "meets": False,
    }
    assert need["advice"] == "fit an electricity meter, class 1.0 or better on press-in: shop → press"
    assert need["advice_zh"].startswith("在 press-in (shop → press) 上配备电能表")


def test_a_flow_that_nothing_needs_says_why() -> None:
    told = explained("office-in")["because"]
    assert told[0] == "it does not cross the boundary of the organisation (level 1)"
    assert told[1] == "office is no main one: electricity 9.9 kW < 10 kW (its inflows)"
    assert explained("cold")["because"] == ["it is disconnected: no need"]


def test_an_instrument_tells_the_needs_it_serves_the_exemptions_that_rest_on_it_and_what_speaks_against_it() -> (
    None
):
    central = explained("em-pumps")
    assert [need["flow"] for need in central["exemptions"]] == ["pump-in"]
    assert explained("em-shop")["standing"]["why"] == ["out of its verification period"]
    assert explained("em-spare")["because"] == ["it does not count: role spare, measured, status qualified"]
    assert explained("em-office")["because"] == [
        "it counts for no need: nothing needs its flows measured (surplus)"
    ]


def test_a_process_unit_and_an_energy_kind_can_be_explained() -> None:
    body = explained("pumps")
    assert body["is_main"] is None
    assert [need["verdict"] for need in body["needs"]] == ["exempt"]
    assert {need["level"] for need in explained("electricity")["needs"]} == {1, 2, 3}


def test_a_name_that_nothing_has_is_refused() -> None:
    with pytest.raises(MetergateError, match='nothing in the inventory is called "presses"'):
        explained("presses")


@pytest.mark.parametrize(
    ("share", "shown"),
    [(Fraction(94997, 100000), 94.997), (Fraction(2, 3), 66.6666), (Fraction(999999999, 10**9), 99.9999)],
)
def test_a_percentage_is_rounded_down_never_up(share: Fraction, shown: float) -> None:
    assert percent(share) == shown


def test_the_result_names_what_it_stands_on() -> None:
    body = result(judge(_plant(), evidence(em_in=delivered(950), em_shop=delivered(100))), revision=3)
    assert body["revision"] == 3
    assert body["superseded"] is not None
    assert body["superseded"]["on"] == "2026-02-01"
    assert body["window"] == {"from": "2026-10-01", "to": "2026-10-31"}
    assert body["instruments"]["em-shop"]["why"] == [
        "out of its verification period",
        "10 % of its readings are good, 90 % are demanded",
    ]
    first = next(row for row in body["rates"] if row["energy_kind"] == "electricity" and row["level"] == 1)
    assert (first["connected"], first["effective"], first["auto_collected_percent"]) == (1, 1, 100.0)
    assert body["unassigned"] == ["em-spare"]


def test_a_name_of_people_an_energy_kind_in_chinese_and_the_organisation_can_be_asked_for() -> None:
    units = [unit("shop") | {"name": "一车间 / hall 1"}, unit("office")]
    explainer = Explainer(
        judge(_plant(units=units, equipment=[], flows=[flow("in", "outside>shop", "water")], instruments=[]))
    )
    assert explainer.called("一车间") == explainer.called("hall 1") == explainer.called("shop") == ["shop"]
    assert explainer.called("水") == ["water"]
    assert explainer.called("nobody") == []
    assert [need["flow"] for need in explainer.explain("organization")["needs"]] == ["in"]

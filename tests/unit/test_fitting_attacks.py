"""Plants built to get a rate that is not deserved, each computed by hand. Limits: GB 17167-2006."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.fitting.evidence import Evidence
from gateway.fitting.result import result
from tests.unit.fitting_rig import (
    counts,
    delivered,
    evidence,
    exempt,
    flow,
    instrument,
    instruments,
    judge,
    machine,
    missing,
    needs,
    plant,
    process,
    row,
    shipped,
    unit,
)

FEED = flow("in", "outside>organization", "electricity", "900 kW")


def test_a_declared_use_does_not_hide_production_or_transport() -> None:
    # coke use 5 t declared; 40 000 t leave it: production reaches 100 t/a. Need: the outflow.
    works = {
        "id": "works",
        "name": "works",
        "role": "accounting",
        "amounts": [{"energy_kind": "coke", "yearly": "5 t"}],
    }
    outcome = judge(plant(units=[works], flows=[flow("out", "works>outside", "coke", "40000 t")]))
    assert needs(outcome, "coke", 2) == ["out"]


def test_a_declared_use_takes_the_place_of_the_inflows() -> None:
    # The feeder could carry 900 kW; the unit declares 5 kW of use: not a main one.
    shop = {
        "id": "shop",
        "name": "shop",
        "role": "accounting",
        "amounts": [{"energy_kind": "electricity", "rated": "5 kW"}],
    }
    outcome = judge(
        plant(units=[shop], flows=[FEED, flow("shop-in", "organization>shop", "electricity", "900 kW")])
    )
    assert counts(outcome, "electricity", 2) == (0, 0)


def test_a_kind_that_a_main_unit_declares_and_no_flow_brings_is_missing() -> None:
    # gas 900 000 m3 >= 10 000: main, and nothing draws its supply. Electricity is drawn: one need, fitted.
    amounts = [
        {"energy_kind": "natural_gas", "yearly": "900000 m3"},
        {"energy_kind": "electricity", "rated": "50 kW"},
    ]
    shop = {"id": "shop", "name": "shop", "role": "accounting", "amounts": amounts}
    flows = [flow("shop-in", "organization>shop", "electricity", "50 kW")]
    outcome = judge(plant(units=[shop], flows=flows, instruments=instruments("electricity", "shop-in")))
    assert counts(outcome, "natural_gas", 2) == (1, 0)
    assert missing(outcome, "natural_gas", 2) == ["shop:natural_gas"]
    assert counts(outcome, "electricity", 2) == (1, 1)


def test_a_neighbours_own_meter_meters_no_process_unit() -> None:
    # p1's feeder comes from outside the process unit and ends at p1: p2 and p3 are measured by nobody. N_l = 3, N_s = 1.
    outcome = judge(
        plant(
            units=[process("ps")],
            equipment=[machine(name, "ps", electricity="110 kW") for name in ("p1", "p2", "p3")],
            flows=[flow("p1-in", "organization>p1", "electricity", "110 kW")],
            instruments=instruments("electricity", "p1-in"),
        )
    )
    assert counts(outcome, "electricity", 3) == (3, 1)
    assert exempt(outcome, "electricity", 3) == []


def test_what_is_brought_forth_inside_a_process_unit_must_be_metered_too() -> None:
    # The inflow is fitted, the generator's feed inside is not: big is exempt only when both are.
    parts: dict[str, Any] = {
        "units": [process("p")],
        "equipment": [machine("gen", "p"), machine("big", "p", electricity="5000 kW")],
        "flows": [
            flow("aux", "organization>p", "electricity", "1 kW"),
            flow("own", "gen>p", "electricity", "5000 kW", origin="self_produced"),
            flow("big-in", "p>big", "electricity", "5000 kW"),
        ],
    }
    outcome = judge(plant(**parts, instruments=instruments("electricity", "aux")))
    assert (counts(outcome, "electricity", 3), exempt(outcome, "electricity", 3)) == ((1, 0), [])
    outcome = judge(plant(**parts, instruments=instruments("electricity", "aux", "own")))
    assert counts(outcome, "electricity", 3) == (1, 1)  # exempt, and kept: decision 28


@pytest.mark.parametrize(
    ("kind", "category"),
    [("steam", "temperature"), ("electricity", "pressure"), ("natural_gas", "gas_analyser")],
)
def test_what_measures_no_amount_is_no_instrument_of_a_flow(kind: str, category: str) -> None:
    outcome = judge(
        plant(
            flows=[flow("f", "outside>organization", kind)],
            instruments=[instrument("t", "f", kind=kind, category=category)],
        )
    )
    assert counts(outcome, kind, 1) == (1, 0)


def test_a_gas_analyser_measures_carbon() -> None:
    flows = [flow("stack", "organization>outside", "carbon")]
    outcome = judge(plant(flows=flows, instruments=[instrument("a", "stack", category="gas_analyser")]))
    assert counts(outcome, "carbon", 1) == (1, 1)


@pytest.mark.parametrize("letter", ["A", "B", "C", "D"])
def test_letters_are_classes_of_electricity_meters_alone(letter: str) -> None:
    outcome = judge(
        plant(
            flows=[flow("w", "outside>organization", "water"), FEED],
            instruments=[
                instrument("wm", "w", kind="water", accuracy_class=letter, dn_mm=100),
                instrument("em", "in", accuracy_class=letter),
            ],
        )
    )
    assert outcome.standings["wm"].is_accurate is False
    assert outcome.standings["em"].is_accurate is (letter in "CD")  # 0.5 is demanded; C is 0.5S, D 0.2S


def test_an_instrument_of_no_kind_escapes_no_class() -> None:
    outcome = judge(
        plant(flows=[FEED], instruments=[instrument("em", "in", category="other", accuracy_class="10")])
    )
    assert outcome.standings["em"].is_accurate is False
    assert "follows from category" in outcome.standings["em"].why[0]


def test_discharged_water_has_no_class_of_gbt_24789() -> None:
    # Class 2 is demanded of intake; of discharge an uncertainty, which is not judged by class. Both 2.5: 1 of 2 adequate.
    outcome = judge(
        plant(
            flows=[
                flow("w-in", "outside>organization", "water"),
                flow("w-out", "organization>outside", "water"),
            ],
            instruments=[
                instrument(name, name.removesuffix("m"), kind="water", accuracy_class="2.5", dn_mm=100)
                for name in ("w-inm", "w-outm")
            ],
        ),
        water="GBT24789-2022",
    )
    (found,) = [one for one in outcome.water_rows if one.level == 1]
    assert found.accurate is not None
    assert found.accurate * 2 == 1


def test_a_hot_standby_feeder_doubles_no_load() -> None:
    # 6 kW in use and 6 kW in reserve are 6 kW, below 10; a reserve of 12 kW is a load of 12.
    for reserve, need in (("6 kW", 0), ("12 kW", 2)):
        flows = [
            flow("a", "organization>shop", "electricity", "6 kW"),
            flow("b", "organization>shop", "electricity", reserve, state="standby"),
        ]
        assert counts(judge(plant(units=[unit("shop")], flows=flows)), "electricity", 2) == (need, 0)


def exchanged(**more: Any) -> list[dict[str, Any]]:
    return [
        instrument("old", "in", removed="2026-10-31", status="stopped"),
        instrument("new", "in", installed="2026-10-31", **more),
    ]


def test_a_meter_exchanged_on_the_last_day_does_not_prove_the_month() -> None:
    # old: 0 of 2880, new: 96 of 96 readings. The flow has 96 of 2976 = 3.2 %.
    proof = evidence(old=delivered(0, 2880), new=delivered(96, 96))
    found = judge(plant(flows=[FEED], instruments=exchanged(accuracy_class="0.5S")), proof).standings["new"]
    assert found.good_share is not None
    assert round(float(found.good_share), 4) == 0.0323
    assert (found.is_connected, found.is_delivering) == (True, False)


def test_a_meter_exchanged_without_a_gap_goes_on() -> None:
    proof = evidence(old=delivered(2800, 2880), new=delivered(96, 96))
    found = judge(plant(flows=[FEED], instruments=exchanged()), proof).standings["new"]
    assert found.is_delivering is True


def test_days_before_the_first_meter_are_days_without_readings() -> None:
    # Installed on the 31st, nothing before: 1 of 31 days.
    proof = evidence(new=delivered(96, 96))
    inventory = plant(flows=[FEED], instruments=[instrument("new", "in", installed="2026-10-31")])
    found = judge(inventory, proof).standings["new"]
    assert (found.is_connected, found.is_delivering) == (True, False)
    later = plant(flows=[FEED], instruments=[instrument("new", "in", installed="2026-11-05")])
    assert judge(later, proof).standings["new"].is_connected is False


def test_evidence_of_a_part_of_the_month_proves_a_connection_and_no_share() -> None:
    proof = Evidence.model_validate(
        {"from": "2026-10-01", "to": "2026-10-31", "whole": False, "instruments": {"em": delivered(10, 10)}}
    )
    outcome = judge(plant(flows=[FEED], instruments=[instrument("em", "in")]), proof)
    found = row(outcome, "electricity", 1)
    assert (found.connected, found.effective, found.auto_collected, found.completeness) == (
        1,
        None,
        None,
        None,
    )
    assert any("does not cover 2026-10-01 to 2026-10-31 whole" in text for text in outcome.doubts)


def test_no_verdict_rests_on_needs_that_may_be_none() -> None:
    # 2 drives of 110 kW, 1 fitted; 18 of unknown power, all fitted. 19/20 = 95 %, of the certain ones 1/2 = 50 %.
    drives = [machine(f"d{n}", electricity="110 kW" if n < 2 else "") for n in range(20)]
    flows = [flow(f"f{n}", f"organization>d{n}", "electricity") for n in range(20)]
    fitted = instruments("electricity", *(f"f{n}" for n in range(1, 20)))
    found = row(judge(plant(equipment=drives, flows=flows, instruments=fitted)), "electricity", 3)
    assert (found.need, found.fitted) == (20, 19)
    assert found.rate is not None
    assert found.rate * 100 == 95
    assert found.meets is False


def test_by_own_kind_a_need_is_as_certain_as_its_own_kind() -> None:
    # coal reaches its limit, the amount of water is unknown: the water flow is needed, but not for certain.
    choices = dict(shipped().interpretations)
    choices["unit_trigger"] = choices["unit_trigger"].model_copy(update={"choice": "own_kind"})
    rules = shipped().model_copy(update={"interpretations": choices})
    flows = [flow("c", "organization>shop", "coal", "500 t"), flow("w", "organization>shop", "water")]
    outcome = judge(plant(units=[unit("shop")], flows=flows), ruleset=rules)
    water = {one["energy_kind"]: one for one in result(outcome)["rates"] if one["level"] == 2}["water"]
    assert [one["flow"] for one in water["undetermined"]] == ["w"]
    assert row(outcome, "coal", 2).judged[0].need.undetermined == ""


def test_both_rulesets_say_what_is_to_be_known_of_them_and_how_they_are_read() -> None:
    outcome = judge(plant(flows=[FEED]), water="GBT24789-2022", as_of=date(2006, 12, 31))
    assert any("GBT24789-2022 is in force only from" in text for text in outcome.doubts)
    assert any("GB17167-2006 is in force only from" in text for text in outcome.doubts)
    assert {one["ruleset"] for one in result(outcome)["interpretations"]} == {"GB17167-2006", "GBT24789-2022"}
    assert any("rows of limits, rates and classes" in text for text in outcome.doubts)


def test_completeness_says_of_how_many_instruments_it_is() -> None:
    flows = [flow(f"in-{n}", "outside>organization", "electricity") for n in range(3)]
    fitted = instruments("electricity", "in-0", "in-1", "in-2")
    outcome = judge(plant(flows=flows, instruments=fitted), evidence(m_in_0=delivered(990)))
    found = row(outcome, "electricity", 1)
    assert (found.completeness_of, found.fitted) == (1, 3)
    assert found.completeness is not None
    assert found.completeness * 1000 == 990

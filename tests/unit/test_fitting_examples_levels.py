"""Worked examples, levels 1 and 2: which flows need an instrument. Every expected figure is computed by hand in the comment.

Limits and rates are those of GB 17167-2006: water 5000 t/a, coal 100 t/a, natural gas 10 000 m³/a, steam 5000 GJ/a,
electricity 10 kW, oil and LPG 40 t/a.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.unit.fitting_rig import (
    counts,
    each_once,
    exempt,
    flow,
    instrument,
    instruments,
    judge,
    judged,
    machine,
    missing,
    needs,
    plant,
    process,
    row,
    unit,
)


def test_level_1_is_every_feeder_over_the_boundary_in_use_or_hot_standby() -> None:
    # in: in-1, in-2 (hot standby); out: out-1. old is disconnected, inner does not cross the boundary. N_l = 3, fitted: in-1, out-1.
    outcome = judge(
        plant(
            units=[unit("shop")],
            flows=[
                flow("in-1", "outside>organization", "electricity", "800 kW"),
                flow("in-2", "outside>organization", "electricity", "800 kW", state="standby"),
                flow("old", "outside>organization", "electricity", "800 kW", state="disconnected"),
                flow("out-1", "organization>outside", "electricity", "50 kW"),
                flow("inner", "organization>shop", "electricity", "5 kW"),
            ],
            instruments=instruments("electricity", "in-1", "out-1", "old", "inner"),
        )
    )
    assert needs(outcome, "electricity", 1) == ["in-1", "in-2", "out-1"]
    assert counts(outcome, "electricity", 1) == (3, 2)
    assert missing(outcome, "electricity", 1) == ["in-2"]
    # 2/3 = 66.67 % of the 100 % demanded
    assert row(outcome, "electricity", 1).rate == Fraction(2, 3)
    assert row(outcome, "electricity", 1).required == 100
    assert row(outcome, "electricity", 1).meets is False


def test_a_disconnected_feeder_alone_leaves_the_rate_not_applicable() -> None:
    # N_l = 0: not applicable, never 100 %
    outcome = judge(
        plant(
            flows=[flow("old", "outside>organization", "coal", "500 t", state="disconnected")],
            instruments=instruments("coal", "old"),
        )
    )
    assert counts(outcome, "coal", 1) == (0, 0)
    assert all(one.rate is None and one.meets is None for one in outcome.rows)


@pytest.mark.parametrize(
    ("amount", "need"), [("5000 t", 1), ("4999.999 t", 0), ("5000000 kg", 1), ("5000 m3", 1)]
)
def test_a_unit_that_just_reaches_its_limit_is_a_main_one(amount: str, need: int) -> None:
    # 5000 t/a >= 5000 t/a: main. 5 000 000 kg are 5000 t. A cubic metre of water is taken for a tonne.
    outcome = judge(plant(units=[unit("shop")], flows=[flow("w", "organization>shop", "water", amount)]))
    assert counts(outcome, "water", 2) == (need, 0)


def test_feeders_of_one_kind_are_added_and_kinds_are_not() -> None:
    # shop-a: coal 60 + 40 = 100 t >= 100: main. shop-b: coal 99 t, gas 9999 m3, water 4999 t: each below its own limit, not main.
    outcome = judge(
        plant(
            units=[unit("shop-a"), unit("shop-b")],
            flows=[
                flow("a-1", "organization>shop-a", "coal", "60 t"),
                flow("a-2", "organization>shop-a", "coal", "40 t"),
                flow("b-1", "organization>shop-b", "coal", "99 t"),
                flow("b-2", "organization>shop-b", "natural_gas", "9999 m3"),
                flow("b-3", "organization>shop-b", "water", "4999 t"),
            ],
        )
    )
    assert needs(outcome, "coal", 2) == ["a-1", "a-2"]
    assert counts(outcome, "natural_gas", 2) == counts(outcome, "water", 2) == (0, 0)


def test_a_main_unit_needs_every_kind_it_takes_or_gives_measured() -> None:
    # Main by coal (100 t). Its 10 t of water and the 3 kW it sends on are far below their limits and still needed.
    inventory = plant(
        units=[unit("shop")],
        flows=[
            flow("c", "organization>shop", "coal", "100 t"),
            flow("w", "organization>shop", "water", "10 t"),
            flow("e", "shop>organization", "electricity", "3 kW"),
        ],
        instruments=instruments("water", "w"),
    )
    outcome = judge(inventory)
    assert [counts(outcome, kind, 2) for kind in ("coal", "water", "electricity")] == [(1, 0), (1, 1), (1, 0)]


def test_a_unit_is_main_by_what_it_sends_on() -> None:
    # Steam out: 3000 + 2000 = 5000 GJ >= 5000 GJ (transport). Its gas in (1000 m3) is below 10 000 m3 and needed all the same.
    outcome = judge(
        plant(
            units=[unit("station")],
            flows=[
                flow("s-1", "station>organization", "steam", "3000 GJ"),
                flow("s-2", "station>organization", "steam", "2000 GJ"),
                flow("g", "organization>station", "natural_gas", "1000 m3"),
            ],
        )
    )
    assert needs(outcome, "steam", 2) == ["s-1", "s-2"]
    assert needs(outcome, "natural_gas", 2) == ["g"]
    assert judged(outcome, "steam", 2, "s-1").need.undetermined == ""


def test_what_comes_in_and_what_goes_out_are_not_added() -> None:
    # Steam in 2600 GJ, out 2500 GJ: neither use nor transport reaches 5000 GJ.
    outcome = judge(
        plant(
            units=[unit("station")],
            flows=[
                flow("in", "organization>station", "steam", "2600 GJ"),
                flow("out", "station>organization", "steam", "2500 GJ"),
            ],
        )
    )
    assert counts(outcome, "steam", 2) == (0, 0)


def test_a_unit_is_main_by_its_own_production() -> None:
    # 10 kW of photovoltaics inside, used inside: production 10 kW >= 10 kW. The flow itself stays inside; the feeder (4 kW) is needed.
    inventory = {
        "units": [unit("shop")],
        "equipment": [machine("pv", "shop")],
        "flows": [
            flow("sun", "pv>shop", "electricity", "10 kW", origin="self_produced"),
            flow("grid", "organization>shop", "electricity", "4 kW"),
        ],
    }
    outcome = judge(plant(**inventory))
    assert needs(outcome, "electricity", 2) == ["grid"]
    assert judged(outcome, "electricity", 2, "grid").need.undetermined == ""
    inventory["flows"][0]["rated"] = "9.99 kW"
    assert needs(judge(plant(**inventory)), "electricity", 2) == []


def test_declared_amounts_take_the_place_of_the_sums() -> None:
    # The flows of shop-a add up to 9000 t of water, declared are 4000 t: not main. shop-b: 100 t by its flow, declared 5000 t: main.
    outcome = judge(
        plant(
            units=[unit("shop-a", water="4000 t"), unit("shop-b", water="5000 t")],
            flows=[
                flow("a", "organization>shop-a", "water", "9000 t"),
                flow("b", "organization>shop-b", "water", "100 t"),
            ],
        )
    )
    assert needs(outcome, "water", 2) == ["b"]


def test_the_power_of_the_equipment_inside_can_make_a_unit_main() -> None:
    # Feeder stated as 8 kW, machines inside 6 + 4 = 10 kW >= 10 kW: main. With 6 + 3.9 kW it is not.
    def need(second: str) -> tuple[int, int]:
        machines = [machine("a", "cell", electricity="6 kW"), machine("b", "shop", electricity=second)]
        feeder = flow("e", "organization>shop", "electricity", "8 kW")
        return counts(
            judge(plant(units=[unit("shop"), process("cell", "shop")], equipment=machines, flows=[feeder])),
            "electricity",
            2,
        )

    assert need("4 kW") == (1, 0)
    assert need("3.9 kW") == (0, 0)


def test_a_process_unit_creates_no_need_at_level_2() -> None:
    # cell takes 900 t of coal, but keeps no accounts; shop around it takes the same 900 t and does.
    outcome = judge(
        plant(
            units=[unit("shop"), process("cell", "shop")],
            flows=[
                flow("to-shop", "organization>shop", "coal", "900 t"),
                flow("to-cell", "shop>cell", "coal", "900 t"),
            ],
        )
    )
    assert needs(outcome, "coal", 2) == ["to-shop"]


def test_a_flow_between_two_main_units_counts_once() -> None:
    # boiler-house sends 8000 GJ of steam to shop: it leaves one main unit and enters another. N_l = 1.
    outcome = judge(
        plant(
            units=[unit("boiler-house"), unit("shop")],
            flows=[flow("s", "boiler-house>shop", "steam", "8000 GJ")],
            instruments=instruments("steam", "s"),
        )
    )
    assert counts(outcome, "steam", 2) == (1, 1)
    assert set(judged(outcome, "steam", 2, "s").need.owners) == {"boiler-house", "shop"}


def test_units_nest_to_any_depth() -> None:
    # works (accounting) > line (process) > shop (accounting) > cell (process) > kiln.
    # coal: a: organization>works 60 t, b: organization>kiln 60 t. works takes 60 + 60 = 120 t >= 100: main, a and b enter it.
    # shop takes 60 t (b): not main by coal. water: c: works>shop 6000 t: enters shop (main, 6000 >= 5000), stays inside works.
    # As shop is main, everything over its boundary is needed: b (already counted) and c.
    outcome = judge(
        plant(
            units=[
                unit("works"),
                process("line", "works"),
                unit("shop", "line"),
                process("cell", "shop"),
            ],
            equipment=[machine("kiln", "cell", coal="0.01 t/h")],
            flows=[
                flow("a", "organization>works", "coal", "60 t"),
                flow("b", "organization>kiln", "coal", "60 t"),
                flow("c", "works>shop", "water", "6000 t"),
            ],
            instruments=instruments("coal", "b"),
        )
    )
    assert needs(outcome, "coal", 2) == ["a", "b"]
    assert counts(outcome, "coal", 2) == (2, 1)
    assert needs(outcome, "water", 2) == ["c"]
    assert set(judged(outcome, "coal", 2, "b").need.owners) == {"works", "shop"}
    assert each_once(needs(outcome, "coal", 2))


def test_an_unknown_amount_counts_as_needed_and_is_listed() -> None:
    # Nobody knows how much coal shop takes: N_l = 1, undetermined.
    outcome = judge(plant(units=[unit("shop")], flows=[flow("c", "organization>shop", "coal")]))
    assert counts(outcome, "coal", 2) == (1, 0)
    assert judged(outcome, "coal", 2, "c").need.undetermined
    # Known and below the limit: no need. What is known to reach it is not undetermined, whatever else is unknown.
    units = [unit("shop")]
    assert counts(
        judge(plant(units=units, flows=[flow("c", "organization>shop", "coal", "1 t")])), "coal", 2
    ) == (0, 0)
    both = [flow("c", "organization>shop", "coal"), flow("d", "organization>shop", "coal", "100 t")]
    outcome = judge(plant(units=units, flows=both))
    assert needs(outcome, "coal", 2) == ["c", "d"]
    assert judged(outcome, "coal", 2, "d").need.undetermined == ""


@pytest.mark.parametrize("kind", ["steam", "hot_water"])
def test_seasonal_heating_may_be_settled_otherwise_at_level_1_and_is_exempt_at_level_2(kind: str) -> None:
    # L1: h-1 is settled by area (contract): exempt; h-2 is not: needed; p is process heat: needed. N_l = 2.
    # L2: shop is main (p-shop 6000 GJ >= 5000 GJ); h-shop is heating: exempt. N_l = 1.
    outcome = judge(
        plant(
            units=[unit("shop")],
            flows=[
                flow(
                    "h-1",
                    "outside>organization",
                    kind,
                    "2000 GJ",
                    seasonal_heating=True,
                    other_settlement="by area, contract 12/2026",
                ),
                flow("h-2", "outside>organization", kind, "2000 GJ", seasonal_heating=True),
                flow("p", "outside>organization", kind, "9000 GJ"),
                flow("h-shop", "organization>shop", kind, "1000 GJ", seasonal_heating=True),
                flow("p-shop", "organization>shop", kind, "6000 GJ"),
            ],
        )
    )
    assert needs(outcome, kind, 1) == ["h-2", "p"]
    assert exempt(outcome, kind, 1) == ["h-1"]
    assert needs(outcome, kind, 2) == ["p-shop"]
    assert exempt(outcome, kind, 2) == ["h-shop"]
    assert judged(outcome, kind, 1, "h-1").need.exempt
    assert judged(outcome, kind, 1, "h-1").need.exempt_clause


def test_lpg_has_the_limit_of_the_oils_and_the_rate_of_the_gases() -> None:
    # 40 t/a = the limit of the oil column: main (as a gas of 10 000 m3 it could not even be compared). Rates: L2 100 %, L3 90 %.
    # Refined oil, same column of limits: L3 95 %.
    outcome = judge(
        plant(
            units=[unit("canteen")],
            equipment=[
                machine("oven", "canteen", lpg="0.5 t/h"),
                machine("engine", "canteen", refined_oil="0.5 t/h"),
            ],
            flows=[
                flow("gas", "organization>canteen", "lpg", "40 t"),
                flow("to-oven", "canteen>oven", "lpg", "0.5 t/h"),
                flow("to-engine", "canteen>engine", "refined_oil", "0.5 t/h"),
            ],
            instruments=[instrument("m", "gas", "to-oven", kind="lpg")],
        )
    )
    assert counts(outcome, "lpg", 2) == (1, 1)
    assert row(outcome, "lpg", 2).required == 100
    assert row(outcome, "lpg", 3).required == 90
    assert row(outcome, "refined_oil", 3).required == 95


def test_the_share_demanded_is_that_of_the_kind_and_level() -> None:
    # Steam at level 2: 80 %. 4 of 5 feeders = 80 % meets; 3 of 5 = 60 % does not.
    flows = [flow(f"s{n}", "organization>shop", "steam", "2000 GJ") for n in range(5)]
    units = [unit("shop")]
    four = judge(plant(units=units, flows=flows, instruments=instruments("steam", "s0", "s1", "s2", "s3")))
    three = judge(plant(units=units, flows=flows, instruments=instruments("steam", "s0", "s1", "s2")))
    assert (row(four, "steam", 2).rate, row(four, "steam", 2).meets) == (Fraction(4, 5), True)
    assert (row(three, "steam", 2).rate, row(three, "steam", 2).meets) == (Fraction(3, 5), False)


def test_waste_energy_carries_the_conflict_of_its_sources() -> None:
    # 2006: 90 % at level 1. Another source says 100 %; whoever reads the row sees that.
    outcome = judge(plant(flows=[flow("heat", "organization>outside", "waste_energy", "3000 GJ")]))
    found = row(outcome, "waste_energy", 1)
    assert found.required == 90
    assert found.conflict

"""Worked examples, level 3: main equipment, its auxiliaries, central metering. Expected figures are computed by hand.

Limits of GB 17167-2006: electricity 100 kW, natural gas 100 m³/h, refined oil 0.5 t/h, steam 7 MW, water 1 t/h, coal 1 t/h.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.unit.fitting_rig import (
    AS_OF,
    counts,
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


def fed_id(name: str, kind: str) -> str:
    return f"{name}-{kind}".replace("_", "-")


def fed(
    names: str, kind: str = "electricity", source: str = "shop", amount: str = ""
) -> list[dict[str, Any]]:
    """Return a flow "<name>-<kind>" to each of the machines named."""
    return [flow(fed_id(name, kind), f"{source}>{name}", kind, amount) for name in names.split()]


@pytest.mark.parametrize(
    ("kind", "rated", "need"),
    [
        ("electricity", "100 kW", 1),
        ("electricity", "0.1 MW", 1),
        ("electricity", "99.9 kW", 0),
        ("natural_gas", "100 m3/h", 1),
        ("natural_gas", "99.99 m3/h", 0),
        ("coal", "1000 kg/h", 1),
        ("lpg", "0.5 t/h", 1),
        ("lpg", "0.49 t/h", 0),
        ("heavy_oil", "1 t/h", 1),
        ("heavy_oil", "0.99 t/h", 0),
        ("steam", "7 MW", 1),
        ("steam", "25.2 GJ/h", 1),
        ("hot_water", "6.9 MW", 0),
        ("water", "1 m3/h", 1),
    ],
)
def test_equipment_that_just_reaches_its_limit_is_main(kind: str, rated: str, need: int) -> None:
    # 7 MW = 7 x 3.6 GJ/h = 25.2 GJ/h
    outcome = judge(
        plant(
            units=[unit("shop")],
            equipment=[machine("press", "shop", **{kind: rated})],
            flows=fed("press", kind),
        )
    )
    assert counts(outcome, kind, 3) == (need, 0)


def test_a_main_machine_needs_every_kind_but_small_auxiliary_ones_and_never_spares_a_fuel() -> None:
    # kiln is main by gas (120 m3/h >= 100). Note 3: electricity 20 kW < 100, steam 1 GJ/h < 25.2, water 0.5 t/h < 1 are exempt.
    # Its pilot oil, 0.01 t/h, is a fuel: needed. N_l: gas 1, oil 1, the others 0 with their exemptions listed.
    kinds = {
        "natural_gas": "120 m3/h",
        "electricity": "20 kW",
        "steam": "1 GJ/h",
        "water": "0.5 t/h",
        "refined_oil": "0.01 t/h",
    }
    outcome = judge(
        plant(
            units=[unit("shop")],
            equipment=[machine("kiln", "shop", **kinds)],
            flows=[one for kind in kinds for one in fed("kiln", kind)],
        )
    )
    assert {kind: counts(outcome, kind, 3)[0] for kind in kinds} == {
        "natural_gas": 1,
        "electricity": 0,
        "steam": 0,
        "water": 0,
        "refined_oil": 1,
    }
    for kind in ("electricity", "steam", "water"):
        assert exempt(outcome, kind, 3) == [fed_id("kiln", kind)]
        assert judged(outcome, kind, 3, f"kiln-{kind}").need.exempt_clause
        assert row(outcome, kind, 3).rate is None


def test_an_auxiliary_kind_that_reaches_its_own_limit_is_needed() -> None:
    # Main by gas; water 1 t/h is not below 1 t/h, electricity 99 kW is below 100 kW.
    kinds = {"natural_gas": "120 m3/h", "water": "1 t/h", "electricity": "99 kW"}
    outcome = judge(
        plant(
            units=[unit("shop")],
            equipment=[machine("kiln", "shop", **kinds)],
            flows=[one for kind in kinds for one in fed("kiln", kind)],
        )
    )
    assert needs(outcome, "water", 3) == ["kiln-water"]
    assert needs(outcome, "electricity", 3) == []


def test_every_feeder_of_a_main_machine_counts_and_a_kind_without_a_flow_is_needed_too() -> None:
    # furnace: two feeders (one hot standby, one more disconnected), and gas 150 m3/h for which no flow is drawn.
    # electricity N_l = 2, fitted 1; gas N_l = 1 (furnace:natural_gas), which no instrument can be on.
    outcome = judge(
        plant(
            units=[unit("shop")],
            equipment=[machine("furnace", "shop", electricity="800 kW", natural_gas="150 m3/h")],
            flows=[
                flow("e-1", "shop>furnace", "electricity"),
                flow("e-2", "organization>furnace", "electricity", state="standby"),
                flow("e-3", "organization>furnace", "electricity", state="disconnected"),
            ],
            instruments=instruments("electricity", "e-1", "e-3"),
        )
    )
    assert needs(outcome, "electricity", 3) == ["e-1", "e-2"]
    assert counts(outcome, "electricity", 3) == (2, 1)
    assert missing(outcome, "natural_gas", 3) == ["furnace:natural_gas"]


def test_an_unknown_rated_amount_counts_as_needed_and_is_listed() -> None:
    # Nobody knows the power of press. kiln is main by gas; nobody knows its water: it cannot be called below the limit.
    outcome = judge(
        plant(
            units=[unit("shop")],
            equipment=[
                machine("press", "shop", electricity=""),
                machine("kiln", "shop", natural_gas="120 m3/h", water=""),
            ],
            flows=[*fed("press"), *fed("kiln", "natural_gas"), *fed("kiln", "water")],
        )
    )
    assert needs(outcome, "electricity", 3) == ["press-electricity"]
    assert judged(outcome, "electricity", 3, "press-electricity").need.undetermined
    assert needs(outcome, "water", 3) == ["kiln-water"]
    assert judged(outcome, "water", 3, "kiln-water").need.undetermined
    assert judged(outcome, "natural_gas", 3, "kiln-natural-gas").need.undetermined == ""


PUMPS = "pump-1 pump-2 pump-3"


def pump_house(*meters: dict[str, Any], role: str = "process", **more: Any) -> Any:
    """Return the outcome for a pump house of three pumps of 110 kW, fed by f-1 and, on hot standby, f-2."""
    house = unit("house", "shop", role)
    feeders = [
        flow("f-1", "shop>house", "electricity"),
        flow("f-2", "organization>house", "electricity", state="standby"),
        flow("f-old", "organization>house", "electricity", state="disconnected"),
    ]
    return judge(
        plant(
            units=[unit("shop"), house],
            equipment=[
                *(machine(name, "house", electricity="110 kW") for name in PUMPS.split()),
                *more.get("equipment", []),
            ],
            flows=[*feeders, *fed(PUMPS, source="house"), *more.get("flows", [])],
            instruments=list(meters),
        )
    )


def test_central_metering_takes_the_need_of_the_machines_inside_and_keeps_the_row() -> None:
    # Without meters on the house's feeders: N_l = 3, N_s = 0.
    assert counts(pump_house(), "electricity", 3) == (3, 0)
    # One of two feeders metered: not all that comes in is measured. N_l = 3.
    assert counts(pump_house(instrument("m-1", "f-1")), "electricity", 3) == (3, 0)
    # Both: no pump needs one of its own. All three would be exempt, so one need is kept, met by the central meters: 1/1.
    whole = pump_house(instrument("m-1", "f-1"), instrument("m-2", "f-2"))
    assert counts(whole, "electricity", 3) == (1, 1)
    assert len(exempt(whole, "electricity", 3)) == 2
    assert row(whole, "electricity", 3).rate == 1
    grounds = [one.need for one in row(whole, "electricity", 3).judged if one.need.exempt]
    assert [set(one.rests_on) for one in grounds] == [{"m-1", "m-2"}] * 3
    assert all(one.exempt_clause for one in grounds)


@pytest.mark.parametrize(
    "gone",
    [
        {"status": "stopped"},
        {"removed": "2026-11-15"},
        {"role": "spare"},
        {"role": "check"},
        {"measurement": "derived"},
        {"installed": "2026-11-16"},
    ],
)
def test_central_metering_disappears_with_one_of_its_meters(gone: dict[str, str]) -> None:
    # m-2 does not count on 2026-11-15: the three pumps need theirs again.
    assert AS_OF.isoformat() == "2026-11-15"
    outcome = pump_house(instrument("m-1", "f-1"), instrument("m-2", "f-2", **gone))
    assert counts(outcome, "electricity", 3) == (3, 0)


def test_a_machine_with_its_own_meter_stays_in_need_and_fitted() -> None:
    # Central metering exempts pump-1 and pump-3; pump-2 has a meter: N_l = 1, N_s = 1.
    central = [instrument("m-1", "f-1"), instrument("m-2", "f-2")]
    outcome = pump_house(*central, instrument("m-3", "pump-2-electricity"))
    assert needs(outcome, "electricity", 3) == ["pump-2-electricity"]
    assert counts(outcome, "electricity", 3) == (1, 1)
    assert exempt(outcome, "electricity", 3) == ["pump-1-electricity", "pump-3-electricity"]


def test_central_metering_keeps_no_need_where_others_are_left_in_the_row() -> None:
    # press stands in shop itself and has no meter: N_l = 1 (press), N_s = 0; the three pumps are exempt.
    outcome = pump_house(
        instrument("m-1", "f-1"),
        instrument("m-2", "f-2"),
        equipment=[machine("press", "shop", electricity="200 kW")],
        flows=fed("press"),
    )
    assert needs(outcome, "electricity", 3) == ["press-electricity"]
    assert counts(outcome, "electricity", 3) == (1, 0)
    assert len(exempt(outcome, "electricity", 3)) == 3


def test_a_feeder_around_the_central_meters_ends_central_metering() -> None:
    # pump-4 inside the house is fed straight from the shop, without a meter: not all that comes in is measured. N_l = 4.
    central = [instrument("m-1", "f-1"), instrument("m-2", "f-2")]
    more: dict[str, Any] = {
        "equipment": [machine("pump-4", "house", electricity="110 kW")],
        "flows": fed("pump-4", source="shop"),
    }
    assert counts(pump_house(*central, **more), "electricity", 3) == (4, 0)
    # With a meter on that feeder everything is measured; pump-4 has its own and stays: 1/1.
    outcome = pump_house(*central, instrument("m-4", "pump-4-electricity"), **more)
    assert needs(outcome, "electricity", 3) == ["pump-4-electricity"]
    assert counts(outcome, "electricity", 3) == (1, 1)


def test_an_accounting_unit_is_no_central_metering() -> None:
    # The same house with accounts of its own: its meters are needed at level 2, its pumps keep their need. N_l = 3.
    outcome = pump_house(instrument("m-1", "f-1"), instrument("m-2", "f-2"), role="accounting")
    assert counts(outcome, "electricity", 3) == (3, 0)


def boiler_house(**changes: Any) -> Any:
    """Return the outcome for boilers of 300 m3/h and 120 kW two process units deep; gas and power come into the outer one."""
    outer = process("house", "shop")
    return judge(
        plant(
            units=[unit("shop"), outer, process("cell", "house")],
            equipment=[
                machine("b-1", "cell", natural_gas="300 m3/h", electricity="120 kW"),
                machine("b-2", "cell", natural_gas="300 m3/h", electricity="120 kW"),
            ],
            flows=[
                flow("to-shop", "organization>shop", "natural_gas"),
                flow("gas", "shop>house", "natural_gas"),
                flow("power", "shop>house", "electricity"),
                *fed("b-1 b-2", "natural_gas", "house"),
                *fed("b-1 b-2", "electricity", "house"),
            ],
            instruments=changes["meters"],
        )
    )


def test_central_metering_is_per_kind_and_reaches_any_depth_of_process_units() -> None:
    # Gas is metered into house, two levels above the boilers: exempt, one kept: 1/1. Electricity is not: 2/0.
    outcome = boiler_house(meters=[instrument("m-gas", "gas", kind="natural_gas")])
    assert counts(outcome, "natural_gas", 3) == (1, 1)
    assert counts(outcome, "electricity", 3) == (2, 0)
    # A meter on the way into the accounting unit around it is none of the process unit: 2/0.
    outcome = boiler_house(meters=[instrument("m-gas", "to-shop", kind="natural_gas")])
    assert counts(outcome, "natural_gas", 3) == (2, 0)


def test_a_process_unit_nothing_flows_into_meters_nothing() -> None:
    # The pumps are fed from outside the house, one by one: the house has three inflows, none fitted. N_l = 3.
    # A fourth machine takes a kind no flow brings: no inflow at all, so no central metering either.
    outcome = judge(
        plant(
            units=[unit("shop"), process("house", "shop")],
            equipment=[
                *(machine(name, "house", electricity="110 kW") for name in PUMPS.split()),
                machine("burner", "house", natural_gas="200 m3/h"),
            ],
            flows=fed(PUMPS),
        )
    )
    assert counts(outcome, "electricity", 3) == (3, 0)
    assert counts(outcome, "natural_gas", 3) == (1, 0)


def test_rates_are_compared_un_rounded() -> None:
    # 119 machines, 113 with a meter: 113/119 = 94.957…%, printed as 95.0 %, and below the 95 % demanded. 19/20 = 95 % meets.
    def rate(machines: int, fitted: int) -> Any:
        names = [f"p{n}" for n in range(machines)]
        return row(
            judge(
                plant(
                    units=[unit("shop")],
                    equipment=[machine(name, "shop", electricity="100 kW") for name in names],
                    flows=fed(" ".join(names)),
                    instruments=instruments(
                        "electricity", *(f"{name}-electricity" for name in names[:fitted])
                    ),
                )
            ),
            "electricity",
            3,
        )

    assert (rate(119, 113).rate, rate(119, 113).meets) == (Fraction(113, 119), False)
    assert (rate(20, 19).rate, rate(20, 19).meets) == (Fraction(19, 20), True)
    assert rate(20, 19).required == 95

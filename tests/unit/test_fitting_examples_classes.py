"""Worked examples, accuracy: the class demanded and the class an instrument has. Expected figures are computed by hand.

Ladder of electricity meters: 0.2S, 0.2, 0.5S, 0.5, 1.0, 2.0. GB 17167-2006 table 4 and 4.3.9, 4.3.10.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.fitting_rig import SUPPLY, flow, instrument, judge, machine, plant, row, unit

FLOWS = [
    flow("in", "outside>organization", "electricity", "900 kW"),
    flow("to-shop", "organization>shop", "electricity", "900 kW"),
    flow("to-press", "shop>press", "electricity", "900 kW"),
]


def standing(*flows: str, electricity: dict[str, Any], **more: Any) -> Any:
    inventory = plant(
        electricity=electricity,
        units=[unit("shop")],
        equipment=[machine("press", "shop", electricity="200 kW")],
        flows=FLOWS,
        instruments=[instrument("m", *flows, **more)],
    )
    return judge(inventory).standings["m"]


@pytest.mark.parametrize(
    ("electricity", "level_1", "level_2"),
    [
        ({"monthly_kwh": "5000000"}, "0.5S", "0.5"),  # class I; one step down the ladder
        ({"monthly_kwh": "4999999", "transformer_kva": "100"}, "0.5", "1.0"),  # class II
        ({"monthly_kwh": "1000000", "transformer_kva": "100"}, "0.5", "1.0"),
        ({"monthly_kwh": "999999", "transformer_kva": "100"}, "1.0", "2.0"),  # class III
        ({"monthly_kwh": "100000", "transformer_kva": "100"}, "1.0", "2.0"),
        ({"transformer_kva": "10000", "high_voltage_billed": True, "monthly_kwh": "9000"}, "0.5S", "0.5"),
        ({"transformer_kva": "10000", "high_voltage_billed": False, "monthly_kwh": "9000"}, "0.5", "1.0"),
        ({"transformer_kva": "2000", "monthly_kwh": "9000"}, "0.5", "1.0"),
        ({"transformer_kva": "315", "monthly_kwh": "9000"}, "1.0", "2.0"),
        ({"transformer_kva": "314", "monthly_kwh": "9000"}, "2.0", "2.0"),  # class IV: the ladder ends at 2.0
        ({"phases": 1}, "2.0", "2.0"),  # class V
    ],
)
def test_class_of_the_user_and_one_step_down(electricity: dict[str, Any], level_1: str, level_2: str) -> None:
    wanted = [
        standing(name, electricity=electricity).required_class for name in ("in", "to-shop", "to-press")
    ]
    assert [float(text.rstrip("S")) for text in wanted] == [
        float(text.rstrip("S")) for text in (level_1, level_2, level_2)
    ]
    assert [text.endswith("S") for text in wanted] == [
        text.endswith("S") for text in (level_1, level_2, level_2)
    ]


@pytest.mark.parametrize(
    ("stated", "accurate"),
    [
        ("0.2S", True),
        ("0.2", True),
        ("0.5S", True),
        ("0.5", False),
        ("1.0", False),
        ("2.0", False),
        ("", False),
    ],
)
def test_the_ladder_has_an_order_of_its_own(stated: str, accurate: bool) -> None:
    # Demanded 0.5S (class I, level 1): 0.5S and what stands before it will do; 0.5 will not. Unknown will not.
    found = standing("in", electricity={"monthly_kwh": "6000000"}, accuracy_class=stated)
    assert found.is_accurate is accurate


@pytest.mark.parametrize(("stated", "accurate"), [("2.0", True), ("2", True), ("3.0", False)])
def test_the_floor_of_the_ladder_is_its_end(stated: str, accurate: bool) -> None:
    # Class III demands 1.0 at level 1, so 2.0 at level 2; class IV 2.0 and, one step further down, still 2.0.
    for electricity in (
        {"monthly_kwh": "200000", "transformer_kva": "100"},
        {"transformer_kva": "100", "monthly_kwh": "9000"},
    ):
        assert standing("to-shop", electricity=electricity, accuracy_class=stated).is_accurate is accurate


def test_an_instrument_on_two_levels_must_satisfy_the_stricter_one() -> None:
    # Class II: 0.5 at level 1, 1.0 at level 3. An instrument of class 1.0 on both is not accurate enough.
    electricity = SUPPLY
    assert standing("to-press", electricity=electricity, accuracy_class="1.0").is_accurate
    assert not standing("in", "to-press", electricity=electricity, accuracy_class="1.0").is_accurate


def test_transformers_do_not_enter_the_class() -> None:
    # 0.5 demanded (class II, level 1). The meter is 0.5, its CT and VT 0.5 each; root-sum-square would be 0.87.
    chain = [
        {"part": "ct", "accuracy_class": "0.5", "ratio": "400/5"},
        {"part": "vt", "accuracy_class": "0.5"},
        {"part": "meter", "accuracy_class": "0.5"},
    ]
    electricity = SUPPLY
    assert standing("in", electricity=electricity, accuracy_class="0.5", chain=chain).is_accurate
    # No class of the whole is stated: the meter's own is the one to hold against the demand.
    alone = standing("in", electricity=electricity, accuracy_class="", chain=chain)
    assert (alone.stated_class, alone.is_accurate) == ("0.5", True)
    chain[2] = {"part": "meter"}
    assert not standing("in", electricity=electricity, accuracy_class="", chain=chain).is_accurate


def gas(*parts: tuple[str, str], stated: str = "") -> Any:
    """Return the standing of a gas meter made of parts; class 2.0 is demanded."""
    chain = [{"part": part, "accuracy_class": text} for part, text in parts]
    inventory = plant(
        flows=[flow("g", "outside>organization", "natural_gas", "900000 m3")],
        instruments=[instrument("m", "g", kind="natural_gas", accuracy_class=stated, chain=chain)],
    )
    return judge(inventory).standings["m"]


@pytest.mark.parametrize(
    ("parts", "accurate"),
    [
        # sqrt(1.2² + 1.6²) = sqrt(1.44 + 2.56) = sqrt(4) = 2.0 exactly
        ((("sensor", "1.2"), ("transmitter", "1.6")), True),
        # sqrt(1.2² + 1.6² + 0.01²) = sqrt(4.0001) = 2.000025: above, though it prints as 2.0
        ((("sensor", "1.2"), ("transmitter", "1.6"), ("computer", "0.01")), False),
        # sqrt(1.0² + 0.5² + 0.2²) = sqrt(1.29) = 1.136
        ((("sensor", "1.0"), ("transmitter", "0.5"), ("computer", "0.2")), True),
        # 2.0 and 0.5 make sqrt(4.25) = 2.06, although each of them alone would do
        ((("sensor", "2.0"), ("transmitter", "0.5")), False),
        # a part of unknown class: nobody knows the whole
        ((("sensor", "1.0"), ("transmitter", "")), False),
    ],
)
def test_a_chain_without_a_class_of_its_own_is_the_root_of_the_squares(
    parts: tuple[tuple[str, str], ...], accurate: bool
) -> None:
    assert gas(*parts).is_accurate is accurate


def test_the_class_stated_for_the_whole_chain_goes_before_its_parts() -> None:
    # Its certificate says 2.0 for the system; its parts would make 2.06.
    parts = (("sensor", "2.0"), ("transmitter", "0.5"))
    assert gas(*parts, stated="2.0").is_accurate
    assert not gas(("sensor", "0.5"), stated="2.5").is_accurate


@pytest.mark.parametrize(
    ("kind", "stated", "more", "accurate"),
    [
        ("water", "2.5", {"dn_mm": 250}, True),  # DN <= 250: 2.5
        ("water", "2.5", {"dn_mm": 251}, False),  # larger: 1.5
        ("water", "1.5", {"dn_mm": 300}, True),
        ("coal", "0.1", {"weighing": "static"}, True),
        ("coal", "0.5", {"weighing": "static"}, False),
        ("coal", "0.5", {"weighing": "dynamic"}, True),
        ("refined_oil", "0.5", {}, True),
        ("refined_oil", "0.5", {"purpose": "settlement"}, False),  # trade: 0.2
        ("refined_oil", "0.2", {"purpose": "settlement"}, True),
        ("heavy_oil", "1.0", {}, True),
        ("heavy_oil", "1.5", {}, False),
        ("steam", "2.5", {}, True),
        ("steam", "3.0", {}, False),
        ("electricity", "2.0", {"current": "dc"}, True),  # direct current: 2.0 whatever the user
    ],
)
def test_the_class_demanded_of_each_category(
    kind: str, stated: str, more: dict[str, Any], accurate: bool
) -> None:
    inventory = plant(
        flows=[flow("f", "outside>organization", kind)],
        instruments=[instrument("m", "f", kind=kind, accuracy_class=stated, **more)],
    )
    assert judge(inventory).standings["m"].is_accurate is accurate


def test_no_class_demanded_is_adequate() -> None:
    # No row speaks of an instrument of category other: whatever it has will do, and it counts as accurate: 1/1.
    inventory = plant(
        flows=[flow("h", "organization>outside", "waste_energy", "9000 GJ")],
        instruments=[instrument("m", "h", kind="waste_energy", accuracy_class="")],
    )
    outcome = judge(inventory)
    assert outcome.standings["m"].required_class == ""
    assert outcome.standings["m"].is_accurate
    assert row(outcome, "waste_energy", 1).accurate == 1


@pytest.mark.parametrize(
    ("kind", "electricity", "more", "fact"),
    [
        ("water", {}, {"accuracy_class": "1.5"}, "dn_mm"),  # 2.5 or 1.5, by the diameter
        ("coal", {}, {"accuracy_class": "0.1"}, "weighing"),  # 0.1 or 0.5, static or dynamic
        ("electricity", {}, {"accuracy_class": "0.5S"}, "organization.electricity"),  # the user class
        ("electricity", {"transformer_kva": "5000"}, {"accuracy_class": "0.5S"}, "electricity.monthly_kwh"),
        (
            "electricity",
            {"monthly_kwh": "5000000"},
            {"accuracy_class": "0.5S"},
            "",
        ),  # class I, whatever the rest
        (
            "electricity",
            {"monthly_kwh": "9000", "transformer_kva": "20000"},
            {"accuracy_class": "0.5S"},
            "high_voltage_billed",
        ),
    ],
)
def test_what_nobody_has_entered_is_no_pass(
    kind: str, electricity: dict[str, Any], more: dict[str, Any], fact: str
) -> None:
    # A class is demanded, but which one follows from a fact that is not known: not accurate, and it says which fact.
    inventory = plant(
        electricity=electricity,
        flows=[flow("f", "outside>organization", kind)],
        instruments=[instrument("m", "f", kind=kind, **more)],
    )
    found = judge(inventory).standings["m"]
    assert found.is_accurate is (not fact)
    assert not fact or fact in " ".join(found.why)

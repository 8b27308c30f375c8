"""Worked examples, water: the row of GB 17167, the fitting rate of GB/T 24789 and its metered share are three results."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.unit.fitting_rig import counts, find, flow, instrument, judge, machine, plant, share, unit

WATER = "GBT24789-2022"


def intake(second: str = "40000 t", **of_second: Any) -> Any:
    """Return the outcome for two wells: 60 000 t with a meter, and a second one whose instrument is told."""
    meters = [instrument("m-1", "w-1", kind="water")]
    if of_second:
        meters.append(instrument("m-2", "w-2", kind="water", **of_second))
    flows = [
        flow("w-1", "outside>organization", "water", "60000 t"),
        flow("w-2", "outside>organization", "water", second),
    ]
    return judge(plant(flows=flows, instruments=meters), water=WATER)


@pytest.mark.parametrize(
    ("of_second", "fitted", "metered"),
    [
        ({}, 1, 60_000),
        ({"measurement": "derived"}, 1, 60_000),  # a difference is no metered water
        ({"measurement": "estimated"}, 1, 60_000),
        ({"status": "stopped"}, 1, 60_000),
        ({"running": "repair"}, 2, 100_000),
    ],
)
def test_three_results_at_level_1(of_second: dict[str, str], fitted: int, metered: int) -> None:
    # GB 17167: fitted/2. GB/T 24789: the same flows, fitted/2. Metered share: 60 000/100 000 t = 60 %, or all of it.
    outcome = intake(**of_second)
    assert counts(outcome, "water", 1) == (2, fitted)
    ours = find(outcome.water_rows, "water", 1)
    assert ours is not None
    assert (ours.need, ours.fitted, ours.required) == (2, fitted, Decimal(100))
    found = share(outcome, 1)
    assert (found.total, found.metered) == (Decimal(100_000), Decimal(metered))
    assert found.share == Fraction(metered, 100_000)
    assert found.meets is (metered == 100_000)


def test_an_unknown_amount_makes_the_share_unknown_and_not_the_rates() -> None:
    outcome = intake(second="", running="good")
    assert counts(outcome, "water", 1) == (2, 2)
    found = share(outcome, 1)
    assert (found.share, found.meets, found.unknown) == (None, None, ("w-2",))


def test_the_three_results_differ_where_amounts_do() -> None:
    # Two shops of 90 000 t (metered) and 10 000 t (not): rate 1/2 = 50 %, share 90 000/100 000 = 90 % (95 % demanded).
    outcome = judge(
        plant(
            units=[unit("shop-a"), unit("shop-b")],
            flows=[
                flow("a", "organization>shop-a", "water", "90000 t"),
                flow("b", "organization>shop-b", "water", "10000 t"),
            ],
            instruments=[instrument("m", "a", kind="water")],
        ),
        water=WATER,
    )
    assert counts(outcome, "water", 2) == (2, 1)
    found = share(outcome, 2)
    assert (found.share, found.required, found.meets) == (Fraction(9, 10), Decimal(95), False)


def test_level_3_has_its_own_share() -> None:
    # Machines take 30 000 t (metered), 5000 t, 5000 t: share 30/40 = 75 %, demanded 85 %. Rate of 24789: 1 of 3, demanded 80 %.
    names = ("washer", "cooler", "dyer")
    amounts = ("30000 t", "5000 t", "5000 t")
    outcome = judge(
        plant(
            units=[unit("shop")],
            equipment=[machine(name, "shop", water="2 t/h") for name in names],
            flows=[
                flow(f"to-{name}", f"shop>{name}", "water", amount)
                for name, amount in zip(names, amounts, strict=True)
            ],
            instruments=[instrument("m", "to-washer", kind="water")],
        ),
        water=WATER,
    )
    ours = find(outcome.water_rows, "water", 3)
    assert ours is not None
    assert (ours.need, ours.fitted, ours.required) == (3, 1, Decimal(80))
    found = share(outcome, 3)
    assert (found.share, found.required, found.meets) == (Fraction(3, 4), Decimal(85), False)


def test_a_cubic_metre_of_water_is_taken_for_a_tonne_whatever_comes_first() -> None:
    # 60 000 m³ with a meter and 40 000 t without: 60 000/100 000 = 60 %, in whichever order they stand.
    flows = [
        flow("w-1", "outside>organization", "water", "60000 m3"),
        flow("w-2", "outside>organization", "water", "40000 t"),
    ]
    for order in (flows, flows[::-1]):
        outcome = judge(plant(flows=order, instruments=[instrument("m", "w-1", kind="water")]), water=WATER)
        assert share(outcome, 1).share == Fraction(60, 100)


def test_a_limit_in_cubic_metres_is_compared_with_tonnes() -> None:
    # 24789 limits equipment at 1 m³/h. 1 t/h = 1 m³/h: needed, and nothing undetermined; 0.99 t/h is below.
    def need(rated: str) -> list[tuple[str, str]]:
        outcome = judge(
            plant(
                equipment=[machine("washer", water=rated)],
                flows=[flow("w", "organization>washer", "water", "9000 t")],
            ),
            water=WATER,
        )
        found = find(outcome.water_rows, "water", 3)
        return [(one.need.flow, one.need.undetermined) for one in found.judged] if found else []

    assert need("1 t/h") == need("1000 kg/h") == need("1 m3/h") == [("w", "")]
    assert need("0.99 t/h") == need("0.99 m3/h") == []


def test_the_share_of_the_intake_is_of_what_comes_in() -> None:
    # In: 60 000 t, metered. Out: 50 000 t, not metered, no intake: share 100 %; the rates count both flows: 1/2.
    outcome = judge(
        plant(
            flows=[
                flow("in", "outside>organization", "water", "60000 t"),
                flow("out", "organization>outside", "water", "50000 t"),
            ],
            instruments=[instrument("m", "in", kind="water")],
        ),
        water=WATER,
    )
    assert (share(outcome, 1).share, share(outcome, 1).total) == (Fraction(1), Decimal(60_000))
    assert counts(outcome, "water", 1) == (2, 1)

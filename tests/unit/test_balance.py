"""Balances computed by hand, and what keeps one from being judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.fitting.balance_rows import as_json
from gateway.fitting.ruleset import Ruleset
from tests.unit.balance_rig import RULES, balanced, bus, delivered, flow, meter, plant

if TYPE_CHECKING:
    from gateway.fitting.balance import Balances


def _only(found: Balances) -> Any:
    (row,) = found.rows
    return row


def test_three_meters_by_hand() -> None:
    # 1000 − 600 − 385 = 15; U = 2·√((1000² + 600² + 385²)·0.01²/3) = 2·√(1508225·0.0001/3) = 14.18 → flagged
    row = _only(balanced(*bus(("1000 kWh", "600 kWh", "385 kWh"))))
    assert (row.place, row.energy_kind, row.unit) == ("organization", "electricity", "kWh")
    assert (row.taken, row.given, row.difference) == (1000, 985, 15)
    assert f"{row.uncertainty:.3f}" == "14.181"
    assert row.judged == "flagged"
    # one kWh less is within it: U = 2·√(1508996·0.0001/3) = 14.184
    assert _only(balanced(*bus(("1000 kWh", "600 kWh", "386 kWh")))).judged == "balanced"


def test_declared_losses_are_taken_off() -> None:
    # 2 % of 1000 are lost: 30 − 20 = 10 < U = 2·√((980² + 600² + 370²)·0.0001/3) = 13.94
    losses = [{"energy_kind": "electricity", "percent": 2, "source": "design"}]
    row = _only(balanced(*bus(("1000 kWh", "600 kWh", "370 kWh"), losses=losses)))
    assert (row.loss, row.residual, row.judged) == (20, 10, "balanced")
    assert f"{row.uncertainty:.2f}" == "13.94"


def test_a_declared_loss_never_makes_a_flag() -> None:
    # Nothing is missing; 5 % were declared lost. U of what is left = 2·√((950² + 600² + 400²)·0.0001/3) = 13.79 < 50.
    losses = [{"energy_kind": "electricity", "percent": 5, "source": "design"}]
    row = _only(balanced(*bus(("1000 kWh", "600 kWh", "400 kWh"), losses=losses)))
    assert (row.residual, row.judged) == (-50, "balanced")
    assert row.doubts == ("less is lost than the 5 % declared",)
    # More out than in is flagged whatever was declared: 1000 − 1015 = −15 < −2·√((1000² + 600² + 415²)·0.0001/3) = −14.29
    for declared in ([], losses):
        row = _only(balanced(*bus(("1000 kWh", "600 kWh", "415 kWh"), losses=declared)))
        assert (f"{row.difference_uncertainty:.2f}", row.judged) == ("14.29", "flagged")


def test_a_share_is_never_shown_as_reached() -> None:
    inventory, evidence = bus(("1000 kWh", "600 kWh", "400 kWh"))
    rows = evidence.model_dump(mode="json", by_alias=True)
    rows["instruments"]["m-a"] |= {"expected": 1_000_000, "good": 899_999}
    row = _only(balanced(inventory, type(evidence).model_validate(rows)))
    assert row.why == ("instrument m-a: 89.9999 % of its readings are good, 90 % are needed",)


def test_units_are_converted_exactly() -> None:
    row = _only(balanced(*bus(("1 MWh", "600 kWh", "1.44 GJ"))))
    assert row.unit == "MWh"
    assert (row.difference, row.judged) == (0, "balanced")


def test_one_instrument_on_two_flows_in_a_row() -> None:
    # The same meter stands for what comes in and for what goes to unit a: its error cancels, and b's alone is left.
    flows = [flow("in", "outside", "organization"), flow("a", "organization", "ua"), flow("b", "organization", "ub")]  # fmt: skip
    units = [{"id": id_, "name": id_, "role": "accounting"} for id_ in ("ua", "ub")]
    inventory = plant(flows, [meter("m1", "in", "a"), meter("m2", "b")], units=units)
    row = _only(balanced(inventory, delivered({"m1": "1000 kWh", "m2": "0 kWh"})))
    assert (row.residual, row.uncertainty, row.judged) == (0, 0, "balanced")
    row = _only(balanced(inventory, delivered({"m1": "1000 kWh", "m2": "10 kWh"})))
    assert f"{row.uncertainty:.4f}" == "0.1155"
    assert row.judged == "flagged"


def test_one_instrument_on_two_flows_side_by_side_is_refused() -> None:
    flows = [flow("in", "outside", "organization"), flow("a", "organization", "ua"), flow("b", "organization", "ub")]  # fmt: skip
    units = [{"id": id_, "name": id_, "role": "accounting"} for id_ in ("ua", "ub")]
    inventory = plant(flows, [meter("m1", "in"), meter("m2", "a", "b")], units=units)
    row = _only(balanced(inventory, delivered({"m1": "1000 kWh", "m2": "1000 kWh"})))
    assert row.judged is None
    assert row.why == ("instrument m2 measures flows a and b together: their parts are not known",)


def test_transformer_and_the_bus_behind_it() -> None:
    flows = [
        flow("in", "outside", "t1"),
        flow("low", "t1", "organization"),
        flow("a", "organization", "ua"),
    ]
    machine = {"id": "t1", "name": "T1", "amounts": [{"energy_kind": "electricity"}]}
    losses = [{"unit": "t1", "energy_kind": "electricity", "percent": "1.5", "source": "name plate"}]
    meters = [meter("hv", "in", of_class="0.5S"), meter("lv", "low"), meter("ma", "a")]
    units = [{"id": "ua", "name": "A", "role": "accounting"}]
    inventory = plant(flows, meters, units=units, equipment=[machine], losses=losses)
    found = balanced(inventory, delivered({"hv": "1000 kWh", "lv": "985 kWh", "ma": "900 kWh"}))
    rows: dict[str, Any] = {row.place: row for row in found.rows}
    assert (rows["t1"].residual, rows["t1"].judged) == (0, "balanced")
    assert (rows["organization"].residual, rows["organization"].judged) == (85, "flagged")
    assert [row.place for row in found.flagged] == ["organization"]


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"amounts": {"m-a": None}}, "instrument m-a has no amount"),
    ({"odd": {"m_a": {"good": 89}}}, "89 % of its readings are good, 90 % are needed"),
    ({"odd": {"m_a": {"expected": 0, "good": 0}}}, "nothing was due"),
    ({"meter": {"accuracy_class": ""}}, "its class is not known"),
    ({"meter": {"status": "stopped"}}, "flow a is not measured"),
    ({"meter": {"measurement": "derived"}}, "flow a is not measured"),
    ({"meter": {"role": "check"}}, "flow a is not measured"),
    ({"meter": {"installed": "2026-08-11"}}, "flow a is not measured from 2026-08-01 to 2026-08-10"),
    ({"meter": {"removed": "2026-08-11"}}, "flow a is not measured from 2026-08-11 to 2026-08-31"),
    ({"meter": {"nonconformities": [{"found": "2026-09-02", "since": "2026-08-01", "why": "magnet"}]}}, "does not conform: found on 2026-09-02"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), REFUSALS)
def test_incomplete_evidence_is_not_judged(change: dict[str, Any], reason: str) -> None:
    amounts: dict[str, str | None] = {"m-in": "1000 kWh", "m-a": "100 kWh", "m-b": "100 kWh"}
    inventory, _ = bus(("1 kWh", "1 kWh", "1 kWh"))
    meters = [meter(f"m-{id_}", id_) for id_ in ("in", "a", "b")]
    meters[1] |= change.get("meter", {})
    body = inventory.model_dump(mode="json", by_alias=True) | {"instruments": meters}
    evidence = delivered(amounts | change.get("amounts", {}))
    odd = {key.replace("_", "-"): counts for key, counts in change.get("odd", {}).items()}
    rows = evidence.model_dump(mode="json", by_alias=True)
    for id_, counts in odd.items():
        rows["instruments"][id_] |= counts
    row = _only(balanced(type(inventory).model_validate(body), type(evidence).model_validate(rows)))
    assert row.judged is None
    assert any(reason in why for why in row.why), row.why


def test_exactly_the_share_that_proves_is_enough() -> None:
    inventory, evidence = bus(("1000 kWh", "600 kWh", "400 kWh"))
    rows = evidence.model_dump(mode="json", by_alias=True)
    rows["instruments"]["m-a"]["good"] = 90
    assert _only(balanced(inventory, type(evidence).model_validate(rows))).judged == "balanced"


def test_evidence_of_a_part_of_the_window_judges_nothing() -> None:
    inventory, evidence = bus(("1000 kWh", "600 kWh", "300 kWh"))
    (row,) = balanced(inventory, evidence.model_copy(update={"whole": False})).rows
    assert row.judged is None
    assert any("does not cover 2026-08-01 to 2026-08-31 whole" in reason for reason in row.why)


def test_ruleset_without_a_proof_judges_nothing() -> None:
    empty = Ruleset.model_validate({"ruleset": RULES.ruleset.model_dump()})
    assert _only(balanced(*bus(("1000 kWh", "1 kWh", "1 kWh")), empty)).judged is None


def test_consumer_that_no_flow_shows() -> None:
    pump = {"id": "pump", "name": "Pump", "amounts": [{"energy_kind": "electricity", "rated": "55 kW"}]}
    row = _only(balanced(*bus(("1000 kWh", "1 kWh", "1 kWh"), equipment=[pump])))
    assert row.judged is None
    assert row.why == ("pump takes electricity by no flow of the inventory",)


def test_unit_that_passes_on_and_uses_itself() -> None:
    flows = [flow("in", "outside", "ua"), flow("out", "ua", "ub")]
    units = [{"id": id_, "name": id_, "role": "accounting"} for id_ in ("ua", "ub")]
    inventory = plant(flows, [meter("m1", "in"), meter("m2", "out")], units=units)
    row = _only(balanced(inventory, delivered({"m1": "1000 kWh", "m2": "10 kWh"})))
    assert row.judged is None
    assert "what ua uses of electricity itself is shown by no flow" in row.why[0]


def test_header_of_what_its_own_machines_produce() -> None:
    flows = [
        flow("s1", "boiler-1", "ua", "steam"),
        flow("s2", "boiler-2", "ua", "steam"),
        flow("out", "ua", "ub", "steam"),
    ]
    units = [{"id": id_, "name": id_, "role": "accounting"} for id_ in ("ua", "ub")]
    boilers = [{"id": f"boiler-{n}", "name": "B", "unit": "ua"} for n in (1, 2)]
    steam = {"category": "steam_flow_meter", "of_class": "2.5"}
    meters = [meter(f"m-{id_}", id_, **steam) for id_ in ("s1", "s2", "out")]
    inventory = plant(flows, meters, units=units, equipment=boilers)
    row = _only(balanced(inventory, delivered({"m-s1": "60 t", "m-s2": "40 t", "m-out": "97 t"})))
    # U = 2·√((60² + 40² + 97²)·0.025²/3) = 3.49
    assert (row.place, row.residual, f"{row.uncertainty:.2f}", row.judged) == ("ua", 3, "3.49", "balanced")


def test_machine_that_turns_one_kind_into_another() -> None:
    flows = [
        flow("feed", "outside", "boiler", "water"),
        flow("drain", "boiler", "outside", "water"),
        flow("steam", "boiler", "outside", "steam"),
    ]
    water = {"category": "water_flow_meter"}
    meters = [meter("m1", "feed", **water), meter("m2", "drain", **water)]
    inventory = plant(flows, meters, equipment=[{"id": "boiler", "name": "Boiler"}])
    row = _only(balanced(inventory, delivered({"m1": "100 m3", "m2": "5 m3"})))
    assert row.judged is None
    assert "also takes or gives steam" in row.why[0]


def test_units_that_do_not_convert() -> None:
    row = _only(balanced(*bus(("1000 kWh", "6 t", "4 kWh"))))
    assert row.judged is None
    assert "flow a is in t, which does not convert to kWh" in row.why


def test_disconnected_flow_is_left_out_unless_it_counted() -> None:
    flows = [
        flow("in", "outside", "organization"),
        flow("a", "organization", "ua"),
        flow("old", "organization", "ua", state="disconnected"),
    ]
    units = [{"id": "ua", "name": "A", "role": "accounting"}]
    meters = [meter("m1", "in"), meter("m2", "a"), meter("m3", "old")]
    amounts = {"m1": "1000 kWh", "m2": "1000 kWh", "m3": "0 kWh"}
    row = _only(balanced(plant(flows, meters, units=units), delivered(amounts)))
    assert (row.judged, len(row.sides)) == ("balanced", 2)
    row = _only(balanced(plant(flows, meters, units=units), delivered(amounts | {"m3": "5 kWh"})))
    assert row.why == ("flow old is disconnected, yet its instrument counted",)


def test_change_of_instruments_within_the_window_adds_both() -> None:
    flows = [flow("in", "outside", "organization"), flow("a", "organization", "ua")]
    units = [{"id": "ua", "name": "A", "role": "accounting"}]
    meters = [
        meter("old", "in", removed="2026-08-10"),
        meter("new", "in", installed="2026-08-10"),
        meter("m2", "a"),
    ]
    evidence = delivered({"old": "300 kWh", "new": "700 kWh", "m2": "1000 kWh"})
    row = _only(balanced(plant(flows, meters, units=units), evidence))
    assert (row.taken, row.judged) == (1000, "balanced")
    meters[1]["installed"] = "2026-08-09"
    row = _only(balanced(plant(flows, meters, units=units), evidence))
    assert "more than one main instrument on 2026-08-09" in row.why[0]


def test_expired_instrument_is_judged_with_a_doubt() -> None:
    inventory, evidence = bus(("1000 kWh", "600 kWh", "400 kWh"))
    body = inventory.model_dump(mode="json", by_alias=True)
    body["instruments"][1]["verifications"][0]["until"] = "2026-08-30"
    row = _only(balanced(type(inventory).model_validate(body), evidence))
    assert row.judged == "balanced"
    assert row.doubts == ("instrument m-a is expired on 2026-08-31: its class is not assured",)


def test_json_as_documented() -> None:
    body: Any = as_json(balanced(*bus(("1000 kWh", "600 kWh", "385.5 kWh"))), {"organization": "Plant"})
    assert body["window"] == {"from": "2026-08-01", "to": "2026-08-31"}
    (row,) = body["balances"]
    assert (row["in"], row["out"], row["difference"], row["judged"]) == ("1000", "985.5", "14.5", "flagged")
    assert row["flows"][0]["instruments"][0]["uncertainty_percent"] == "1.1547"


def test_every_reason_is_told_in_chinese_too() -> None:
    inventory, evidence = bus(("1000 kWh", "480 kWh", "490 kWh"))
    silent = inventory.model_copy(update={"instruments": inventory.instruments[:2]})
    (row,) = balanced(silent, evidence).rows
    assert row.why == ("flow b is not measured",)
    assert row.why_zh == ("流向 b 未计量",)

"""The example plant and the small example of the documentation: they load, fit the demo's site, and give the counts they were made for."""

from __future__ import annotations

import copy
import json
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.config.site_file import from_toml
from gateway.errors import ConfigError
from gateway.evidence.evidence_file import read_evidence
from gateway.fitting import schemas
from gateway.fitting.evaluate import evaluate
from gateway.fitting.result import result
from gateway.inventory.check import check_against_site
from gateway.inventory.reading import load
from gateway.inventory.validity import validity
from simulators.plan import load_plan
from simulators.site_file import site_toml
from tests.unit.fitting_rig import counts, exempt, judged, missing, row, share, shipped

ROOT = Path(__file__).resolve().parents[2]
PLANT = ROOT / "config" / "inventory.example.toml"
EXAMPLES = ROOT / "docs" / "specs" / "examples"
PLANT_EVIDENCE = EXAMPLES / "example-plant-evidence.json"
SMALL, SMALL_EVIDENCE = EXAMPLES / "fitting-inventory.json", EXAMPLES / "fitting-evidence.json"
AS_OF = date(2026, 11, 22)


@cache
def outcome(inventory: Path = PLANT, proof: Path = PLANT_EVIDENCE) -> Any:
    return evaluate(load(inventory), shipped(), shipped("GBT24789-2022"), AS_OF, read_evidence(proof))


def test_the_example_is_as_rich_as_it_says() -> None:
    inventory = load(PLANT)
    assert sum(1 for unit in inventory.units if unit.role == "accounting") >= 4
    assert any(unit.role == "process" for unit in inventory.units)
    assert len(inventory.equipment) >= 28
    kinds = {flow.energy_kind for flow in inventory.flows}
    assert {"electricity", "natural_gas", "refined_oil", "lpg", "steam", "hot_water", "water"} <= kinds
    assert {"compressed_air", "waste_energy"} <= kinds
    assert {flow.state for flow in inventory.flows} == {"in_use", "standby", "disconnected"}
    assert {one.role for one in inventory.instruments} == {"main", "check", "portable", "spare"}
    assert {one.status for one in inventory.instruments} == {"qualified", "limited", "stopped"}


def test_its_instruments_name_every_meter_of_the_demo_and_fit_them() -> None:
    plan = load_plan(ROOT / "simulators" / "demo.toml")
    ports: dict[str, int | str] = {link.id: 15000 + n for n, link in enumerate(plan.links)}
    ports |= {link.id: "/dev/ttyS0" for link in plan.links if link.kind == "serial"}
    site = from_toml(site_toml(plan, ports), ROOT / "site.toml")
    inventory = load(PLANT)
    assert check_against_site(inventory, site) == []
    assert {one.meter for one in inventory.instruments if one.meter} == {meter.id for meter in plan.meters}


@pytest.mark.parametrize(
    ("kind", "level", "need", "fitted", "wanted"),
    [
        # Counted by hand in config/inventory.example.toml.
        # in: incomers 1–3, emergency feeder (standby, no meter); out: surplus of the photovoltaics. The old feeder is disconnected.
        ("electricity", 1, 5, 4, ["el-in-4"]),
        # spinning, texturing, power house 1 and 2, waste water, offices, logistics (main by its diesel), heat setting; and the
        # photovoltaics, which leave the power house. Heat setting has a difference only.
        ("electricity", 2, 9, 7, ["el-heat-setting", "el-power-2"]),
        # extruders 1–3, winders 1–2, draw frame 3 (100 kW), texturing 1, 2, 4, heat setter, compressors 1–3, chillers 3, 4 (unknown),
        # pump 4 (own meter; pumps 1–3 are exempt)
        (
            "electricity",
            3,
            16,
            12,
            ["el-chiller-4", "el-compressor-3", "el-extruder-3", "el-texturing-4"],
        ),
        ("natural_gas", 1, 1, 1, []),
        # boiler house, oil heater: into the power house; dryer 5: into heat setting and texturing
        ("natural_gas", 2, 3, 2, ["ng-dryer-5"]),
        # the oil heater; both boilers are exempt by the boiler house's meter
        ("natural_gas", 3, 1, 1, []),
        ("refined_oil", 2, 2, 1, ["oil-pilot"]),
        ("refined_oil", 3, 1, 0, ["oil-pilot"]),
        # one scale for the cylinders and the range; no limit is reached by the range itself
        ("lpg", 1, 1, 1, []),
        ("lpg", 2, 1, 1, []),
        ("steam", 1, 1, 0, ["st-sold"]),
        ("steam", 2, 3, 2, ["st-sold"]),
        ("steam", 3, 0, 0, []),
        # district heating is settled by area: exempt at level 1; all heating is exempt at level 2, process hot water is not
        ("hot_water", 1, 0, 0, []),
        ("hot_water", 2, 1, 1, []),
        ("water", 1, 3, 3, []),
        ("water", 2, 7, 5, ["wa-spinning", "wa-waste-water"]),
        # softener, cooling tower; the boilers, whose house's meter is stopped
        ("water", 3, 4, 2, ["wa-boiler-1", "wa-boiler-2"]),
        ("waste_energy", 2, 2, 1, ["we-texturing"]),
    ],
)
def test_the_counts_of_the_example(kind: str, level: int, need: int, fitted: int, wanted: list[str]) -> None:
    assert counts(outcome(), kind, level) == (need, fitted)
    assert missing(outcome(), kind, level) == wanted


def test_the_exemptions_of_the_example_and_what_is_undetermined() -> None:
    found = outcome()
    assert exempt(found, "natural_gas", 3) == ["ng-boiler-1", "ng-boiler-2"]
    assert {"el-circ-pump-1", "el-circ-pump-2", "el-circ-pump-3"} <= set(exempt(found, "electricity", 3))
    assert "el-circ-pump-4" not in exempt(found, "electricity", 3)
    assert exempt(found, "hot_water", 1) == ["hw-in"]
    assert judged(found, "electricity", 3, "el-chiller-4").need.undetermined
    # All of the intake is metered; nobody knows the amount to the waste-water station; 256 000 + 144 000 of 630 000 m3 go into equipment
    # through meters.
    assert share(found, 1).share == 1
    assert share(found, 2).share is None
    assert share(found, 2).unknown == ("wa-waste-water",)
    assert share(found, 3).share == pytest.approx(400 / 630)


def test_what_is_wrong_with_its_instruments() -> None:
    standings = outcome().standings
    assert outcome().user_class == "Ⅱ"  # 1 520 000 kWh a month
    late = {one.id for one in load(PLANT).instruments if validity(one, AS_OF) == "expired"}
    assert late - {"m-wa-office-old", "m-wa-boiler-house"} == {
        "m-el-texturing",
        "m-el-texturing-2",
        "m-st-heat-setter-3",
        "m-wa-in-2",
    }
    assert not any(standings[name].is_verified for name in late)
    assert not standings["m-oil-logistics"].is_verified  # found nonconforming
    assert not standings["m-el-logistics"].is_verified  # nothing says until when
    assert not standings["m-el-in-3"].is_accurate  # 1.0 where 0.5 is demanded
    # sqrt(1.5² + 0.2² + 0.5²) = 1.594 <= 2.5; sqrt(2.5² + 0.2² + 0.5²) = 2.557 > 2.5
    assert standings["m-st-boiler-1"].is_accurate
    assert not standings["m-st-boiler-2"].is_accurate
    assert not standings["m-el-winder-2"].is_confirmed
    assert not standings["m-el-draw-frame-3"].is_intact
    assert standings["m-el-compressor-2"].is_connected is False  # silent all October
    assert standings["m-wa-office"].is_delivering is False  # 87.1 % < 90 %
    assert not standings["m-wa-office-old"].is_fitted


def test_the_result_has_what_is_documented() -> None:
    body = json.loads(json.dumps(result(outcome())))
    assert body["ruleset"]["id"] == "GB17167-2006"
    assert body["superseded"]["on"] == "2026-02-01"
    assert body["window"] == {"from": "2026-10-01", "to": "2026-10-31"}
    assert body["as_of"] == "2026-11-22"
    assert len(body["inventory_digest"]) == 64
    wanted = {"energy_kind", "level", "need", "fitted", "connected", "effective", "rate_percent", "meets"}
    wanted |= {"required_percent", "intact_percent", "verified_percent", "accurate_percent"}
    wanted |= {"auto_collected_percent", "clauses", "missing", "exempt", "surplus", "undetermined"}
    for one in body["rates"]:
        assert wanted <= set(one)
        assert (one["rate_percent"] is None) == (one["need"] == 0)
        assert (one["meets"] is None) == (one["rate_percent"] is None or one["required_percent"] is None)
    assert {one["switch"] for one in body["interpretations"]} >= {"unit_trigger", "central_metering"}


def test_the_small_example() -> None:
    # L1: two incomers, one with a meter. L2: hall is main (300 kW >= 10 kW): electricity, gas and water into it. L3: the press; boiler 1's
    # 15 kW are auxiliary; both boilers rest on the gas meter of their house, one need is kept.
    found = outcome(SMALL, SMALL_EVIDENCE)
    assert counts(found, "electricity", 1) == (2, 1)
    assert [counts(found, kind, 2) for kind in ("electricity", "natural_gas", "water")] == [
        (1, 1),
        (1, 1),
        (1, 0),
    ]
    assert (counts(found, "electricity", 3), counts(found, "natural_gas", 3)) == ((1, 1), (1, 1))
    # m-hall: 72 months from 2020-08-01 ended on 2026-07-31. m-press: 201 000/267 840 = 75.0 %.
    assert (row(found, "electricity", 2).effective, row(found, "electricity", 3).effective) == (0, 0)
    assert row(found, "electricity", 1).effective == 1


# ------------------------------------------------------------------ the schema of evidence


def test_the_schemas_are_fresh() -> None:
    for name in schemas.SCHEMAS:
        text = (schemas.FOLDER / name).read_text(encoding="utf-8")
        assert text == schemas.text(name), "run `make schema`"


def test_the_schema_takes_the_examples_and_refuses_what_the_reader_refuses(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.evidence())
    validator = jsonschema.Draft202012Validator(schemas.evidence())
    for path in (PLANT_EVIDENCE, SMALL_EVIDENCE):
        validator.validate(json.loads(path.read_text(encoding="utf-8")))
    good = json.loads(SMALL_EVIDENCE.read_text(encoding="utf-8"))
    for wrong in (
        {"good": -1},
        {"expected": 1.5},
        {"amount": "148000"},
        {"amount": "about 148000 kWh"},
        {"amount": 148000},
        {"best": 1},
    ):
        body = copy.deepcopy(good)
        body["instruments"]["m-in"] |= wrong
        assert not validator.is_valid(body), wrong
        file = tmp_path / "evidence.json"
        file.write_text(json.dumps(body), encoding="utf-8")
        with pytest.raises(ConfigError, match="m-in"):
            read_evidence(file)


@pytest.mark.parametrize(("inventory", "proof"), [(PLANT, PLANT_EVIDENCE), (SMALL, SMALL_EVIDENCE)])
def test_the_schema_of_a_result_is_what_the_examples_give(inventory: Path, proof: Path) -> None:
    validator = jsonschema.Draft202012Validator(schemas.result())
    body = json.loads(json.dumps(result(outcome(inventory, proof), 3)))
    validator.validate(body)
    assert not validator.is_valid(body | {"as_of": None})
    del body["rates"][0]["need"]
    assert not validator.is_valid(body)


def test_the_example_is_plain_toml_anyone_can_read() -> None:
    text = PLANT.read_text(encoding="utf-8")
    assert set(tomllib.loads(text)) >= {"organization", "units", "equipment", "flows", "instruments"}
    assert "虚构" in text  # it says that its figures are invented

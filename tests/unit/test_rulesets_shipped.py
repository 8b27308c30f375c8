"""The shipped rulesets against the standards' tables, typed here a second time: a slip of a digit in one place is red."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from gateway.energy_kinds import ENERGY_KINDS
from gateway.fitting.ruleset import SWITCHES
from gateway.fitting.ruleset_check import rows_of
from gateway.fitting.rulesets import Rulesets

if TYPE_CHECKING:
    from gateway.fitting.ruleset import Cited, Ruleset

ON = date(2026, 9, 1)
GB = Rulesets().get("GB17167-2006")
WATER = Rulesets().get("GBT24789-2022")

# energy kind: table 1 (level 2), table 2 (level 3), table 3 (levels 1, 2, 3)
TABLES_1_TO_3: dict[str, tuple[str, str, tuple[int | None, int | None, int | None]]] = {
    "electricity": ("10 kW", "100 kW", (100, 100, 95)),
    "coal": ("100 t", "1 t/h", (100, 100, 90)),
    "coke": ("100 t", "1 t/h", (100, 100, 90)),
    "crude_oil": ("40 t", "0.5 t/h", (100, 100, 90)),
    "heavy_oil": ("80 t", "1 t/h", (100, 100, 90)),
    "residual_oil": ("80 t", "1 t/h", (100, 100, 90)),
    "refined_oil": ("40 t", "0.5 t/h", (100, 100, 95)),
    "lpg": ("40 t", "0.5 t/h", (100, 100, 90)),
    "natural_gas": ("10000 m3", "100 m3/h", (100, 100, 90)),
    "coal_gas": ("10000 m3", "100 m3/h", (100, 90, 80)),
    "steam": ("5000 GJ", "7 MW", (100, 80, 70)),
    "hot_water": ("5000 GJ", "7 MW", (100, 80, 70)),
    "water": ("5000 t", "1 t/h", (100, 95, 80)),
    "waste_energy": ("2926 GJ", "29.26 GJ/h", (90, 80, None)),
    "hydrogen": ("2926 GJ", "29.26 GJ/h", (None, None, None)),
    "biomass": ("2926 GJ", "29.26 GJ/h", (None, None, None)),
    "other": ("2926 GJ", "29.26 GJ/h", (None, None, None)),
}
TABLE_4 = {
    "class-weighing-static": "0.1",
    "class-weighing-dynamic": "0.5",
    "class-electricity-dc": "2.0",
    "class-electricity-user-1": "0.5S",
    "class-electricity-user-2": "0.5",
    "class-electricity-user-3": "1.0",
    "class-electricity-user-4": "2.0",
    "class-electricity-user-5": "2.0",
    "class-refined-oil-settlement": "0.2",
    "class-refined-oil": "0.5",
    "class-oil": "1.0",
    "class-gas": "2.0",
    "class-steam": "2.5",
    "class-water-small": "2.5",
    "class-water-large": "1.5",
    "class-temperature-mass": "1.0",
    "class-temperature": "2.0",
    "class-pressure-mass": "1.0",
    "class-pressure": "2.0",
}


def limit(ruleset: Ruleset, level: int, kind: str) -> str | None:
    found = [row for row in ruleset.limits if row.level == level and kind in row.energy_kinds]
    assert len(found) <= 1
    return str(found[0].rated or found[0].yearly) if found else None


def rate(ruleset: Ruleset, level: int, kind: str) -> int | None:
    found = [row for row in ruleset.rates if row.level == level and kind in row.energy_kinds]
    assert len(found) <= 1
    return int(found[0].percent) if found else None


@pytest.mark.parametrize("kind", ENERGY_KINDS)
def test_limits_and_rates_of_gb_17167_2006(kind: str) -> None:
    unit, machine, rates = TABLES_1_TO_3.get(kind, (None, None, (None, None, None)))
    assert limit(GB, 2, kind) == unit
    assert limit(GB, 3, kind) == machine
    assert tuple(rate(GB, level, kind) for level in (1, 2, 3)) == rates
    assert limit(GB, 1, kind) is None


def test_electricity_is_limited_by_power_and_the_rest_by_the_year() -> None:
    assert [row.id for row in GB.limits if row.level == 2 and row.rated] == ["limit-electricity-2"]
    assert all(row.rated for row in GB.limits if row.level == 3)


def test_classes_of_table_4() -> None:
    assert {row.id: row.accuracy_class for row in GB.classes} == TABLE_4
    rows = {row.id: row for row in GB.classes}
    users = ["Ⅰ", "Ⅱ", "Ⅲ", "Ⅳ", "Ⅴ"]
    assert [rows[f"class-electricity-user-{n}"].user_classes for n in range(1, 6)] == [
        (one,) for one in users
    ]
    assert rows["class-water-small"].dn_max_mm == rows["class-water-large"].dn_min_mm == 250
    order = [row.id for row in GB.classes]
    assert (
        order.index("class-refined-oil-settlement")
        < order.index("class-refined-oil")
        < order.index("class-oil")
    )
    assert rows["class-refined-oil-settlement"].purpose == "settlement"


def test_user_classes_come_with_single_phase_first() -> None:
    told = [
        (row.user_class, row.phases, row.monthly_kwh_min, row.transformer_kva_min, row.transformer_kva_below)
        for row in GB.user_classes
    ]
    assert told == [
        ("Ⅴ", 1, None, None, None),
        ("Ⅰ", None, 5_000_000, 10_000, None),
        ("Ⅱ", None, 1_000_000, 2_000, None),
        ("Ⅲ", None, 100_000, 315, None),
        ("Ⅳ", None, None, None, 315),
    ]
    assert [row.user_class for row in GB.user_classes if row.high_voltage_billed] == ["Ⅰ"]


def test_the_ladder() -> None:
    assert GB.ladder is not None
    assert GB.ladder.classes == ("0.2S", "0.2", "0.5S", "0.5", "1.0", "2.0")
    assert GB.ladder.steps_down == {"2": 1, "3": 1}
    letters = {name: GB.ladder.equivalents[name] for name in "ABCD"}
    assert letters == {"A": "2.0", "B": "1.0", "C": "0.5S", "D": "0.2S"}
    assert GB.ladder.confidence == "r"


def test_notes_speak_of_what_they_may() -> None:
    told = {row.id: (row.kind, row.level, set(row.energy_kinds)) for row in GB.notes}
    assert told == {
        "note-central-metering": ("central_metering", 3, set(ENERGY_KINDS) - {"carbon"}),
        "note-heating-1": ("seasonal_heating", 1, {"steam", "hot_water"}),
        "note-heating-2": ("seasonal_heating", 2, {"steam", "hot_water"}),
        "note-auxiliary-3": ("small_auxiliary", 3, {"electricity", "steam", "water", "compressed_air"}),
    }


def test_water() -> None:
    assert [rate(WATER, level, "water") for level in (1, 2, 3)] == [100, 95, 80]
    assert [(row.level, int(row.percent)) for row in WATER.shares] == [(1, 100), (2, 95), (3, 85)]
    assert (limit(WATER, 3, "water"), limit(WATER, 2, "water")) == ("1 m3/h", None)
    assert [row.accuracy_class for row in WATER.classes] == ["2"]
    assert WATER.choice("unit_main") == "every"
    assert [row.confidence for row in (*WATER.rates, *WATER.shares)] == ["R", "r", "r"] * 2


@pytest.mark.parametrize("ruleset", [GB, WATER], ids=lambda ruleset: ruleset.ruleset.id)
def test_proof_is_the_platforms_completeness(ruleset: Ruleset) -> None:
    assert ruleset.proof is not None
    assert ruleset.proof.good_percent == 90
    assert "platform" in ruleset.proof.source


def test_how_far_to_trust_each_row() -> None:
    def marks(rows: tuple[Cited, ...]) -> set[str]:
        return {row.confidence for row in rows}

    assert marks(GB.limits) == marks(GB.classes) == marks(GB.user_classes) == {"R"}
    unsure = {row.id for row in GB.rates if row.confidence == "U"}
    assert unsure == {f"rate-hot-water-{n}" for n in (1, 2, 3)} | {
        "rate-waste-energy-1",
        "rate-waste-energy-2",
    }
    assert marks(tuple(row for row in GB.rates if row.id not in unsure)) == {"S"}
    assert all("100/80/60" in row.conflict for row in GB.rates if row.energy_kinds == ("waste_energy",))
    assert not [
        row.id for _, row in rows_of(GB) if row.confidence in {"R", "r"} and "recalled" not in row.source
    ]


def test_hot_water_has_a_rate_only_under_its_interpretation() -> None:
    rows = [row for row in GB.rates if row.energy_kinds == ("hot_water",)]
    assert {row.when for row in rows} == {"hot_water_row=steam"}
    assert all(GB.holds(row, ON) for row in rows)


def test_every_open_question_is_answered_in_both_languages() -> None:
    assert set(GB.interpretations) == set(SWITCHES)
    for ruleset in (GB, WATER):
        for switch, answer in ruleset.interpretations.items():
            assert answer.text, switch
            assert answer.text_zh, switch
            assert answer.clause, switch


def test_the_2006_edition_says_it_is_superseded_and_the_2025_one_that_it_is_empty() -> None:
    assert GB.ruleset.superseded_on == date(2026, 2, 1)
    assert GB.ruleset.superseded_by == "GB17167-2025"
    assert GB.ruleset.water == "GBT24789-2022"
    assert "recalled" in GB.ruleset.note
    assert "凭记忆" in GB.ruleset.note_zh
    new = Rulesets().get("GB17167-2025")
    assert new.is_empty
    assert list(rows_of(new)) == []
    assert new.ruleset.valid_from == date(2026, 2, 1)
    assert new.ruleset.note.startswith("EMPTY")

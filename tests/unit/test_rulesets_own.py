"""What an own ruleset cannot do: pass for a shipped one, take back that its base is superseded, break the evaluation."""

from __future__ import annotations

import time
from datetime import date
from typing import TYPE_CHECKING

import pytest

from gateway.errors import ConfigError
from gateway.fitting.evaluate import evaluate
from gateway.fitting.rulesets import Rulesets, shipped_dir
from gateway.inventory.reading import from_body
from tests.unit.ruleset_rig import CITED, CLASS, LADDER, LIMIT, RATE, head, write

if TYPE_CHECKING:
    from pathlib import Path

BASED = 'base = "GB17167-2006"'
GB = "GB17167-2006"


def told(folder: Path, name: str = "own") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Rulesets([folder]).get(name)
    return [str(one) for one in caught.value.findings]


def test_a_changed_file_cannot_take_the_id_of_a_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / f"{GB}.toml"
    text = (shipped_dir() / own.name).read_text(encoding="utf-8")
    own.write_text(text.replace("percent = 95", "percent = 1"), encoding="utf-8")
    (line,) = told(tmp_path, GB)
    assert "another content than the one shipped under this id" in line
    assert f'base = "{GB}"' in line
    assert told(tmp_path, str(own)) == [line]
    write(tmp_path, "over", RATE.replace("coal", "carbon"), more=BASED)
    assert told(tmp_path, "over") == [line], "nor can it be built on"
    own.write_text(text, encoding="utf-8")
    assert Rulesets([tmp_path]).get(GB).changed == (), "an unchanged copy is what it says"


def test_what_differs_from_what_is_shipped_is_told(tmp_path: Path) -> None:
    assert Rulesets().get(GB).changed == ()
    write(tmp_path, "same", more=BASED)
    shipped = Rulesets().get(GB)
    assert Rulesets([tmp_path]).get("same").changed == ()
    rate, gone = shipped.rates[0], shipped.limits[0].id
    changed = f'[[rates]]\nid = "{rate.id}"\nlevel = 1\nenergy_kinds = ["electricity"]\npercent = 1\n{CITED}'
    switch = '[interpretations.unit_main]\nchoice = "every"\ntext = "all"\n'
    write(
        tmp_path, "own", changed, RATE.replace("coal", "carbon"), switch, more=f'{BASED}\nremove = ["{gone}"]\nwater = ""'
    )  # fmt: skip
    assert Rulesets([tmp_path]).get("own").changed == ("r", rate.id, gone, "unit_main", "ruleset.water")
    write(tmp_path, "third", more='base = "own"')
    assert len(Rulesets([tmp_path]).get("third").changed) == 5, "held against the shipped one at its end"
    write(tmp_path, "alone", LIMIT)
    assert Rulesets([tmp_path]).get("alone").changed == ("*",)


def test_a_file_cannot_say_itself_that_nothing_differs(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("_changed = []\nchanged = []\n" + head("own"), encoding="utf-8")
    assert any("changed" in line for line in told(tmp_path))


@pytest.mark.parametrize("day", ["", "2099-01-01", "2026-02-02"])
def test_that_the_base_is_superseded_is_not_taken_back(tmp_path: Path, day: str) -> None:
    write(tmp_path, "own", more=f'{BASED}\nsuperseded_on = "{day}"')
    (line,) = told(tmp_path)
    assert "2026-02-01 or an earlier day" in line
    assert "has no base" in line


def test_an_earlier_day_may_be_stated_and_by_what_stays_said(tmp_path: Path) -> None:
    write(tmp_path, "own", more=f'{BASED}\nsuperseded_on = "2026-01-01"\nsuperseded_by = ""')
    meta = Rulesets([tmp_path]).get("own").ruleset
    assert (meta.superseded_on, meta.superseded_by) == (date(2026, 1, 1), "GB17167-2025")
    write(tmp_path, "new", LIMIT, more="superseded_on = 2030-01-01")
    assert Rulesets([tmp_path]).get("new").ruleset.superseded_on == date(2030, 1, 1)


EQUIVALENT = f'[[equivalents]]\nid = "e"\nenergy_kinds = ["water"]\nunit = "m3"\nequals = "1 t"\n{CITED}'
GAS = CLASS.replace("electricity_meter", "gas_flow_meter")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (EQUIVALENT.replace("1 t", "0 t"), "an amount above 0"),
        (EQUIVALENT.replace("1 t", ""), "an amount above 0"),
        (EQUIVALENT.replace('"m3"', '"Nm3"'), 'did you mean "m3"?'),
        (GAS.replace('"1.0"', '"B"'), "a class as a number"),
        (LADDER + GAS.replace('"1.0"', '"B"'), "a class as a number"),
        (CLASS.replace('"1.0"', '""'), "a class"),
        (LADDER.replace('"1.0", "2.0"', '"A", "B"'), "classes as numbers"),
        (LADDER.replace('"1.0", "2.0"', '"A", "1.0"') + 'equivalents = { A = "A" }', "classes as numbers"),
        (LADDER.replace('"1.0", "2.0"', '"2.0", "1.0"'), "from best to worst"),
        (LADDER.replace('"1.0", "2.0"', '"0.5", "0.5S"'), "from best to worst"),
        (LIMIT.replace("coal", "electricity"), "a unit of power or energy"),
        (LIMIT.replace("coal", "water").replace("7 t", "7 GJ"), "a unit of mass or volume"),
    ],
)
def test_what_would_break_the_evaluation_is_a_finding(tmp_path: Path, part: str, expected: str) -> None:
    write(tmp_path, "own", part)
    lines = told(tmp_path)
    assert any(expected in line for line in lines), lines


def test_a_letter_the_ladder_explains_is_read(tmp_path: Path) -> None:
    ladder = LADDER + 'equivalents = { B = "1.0" }'
    write(tmp_path, "own", GAS.replace('"1.0"', '"B"'), ladder)
    assert Rulesets([tmp_path]).get("own").classes[0].accuracy_class == "B"


def test_thousands_of_rows_that_double_each_other_are_told_briefly_and_soon(tmp_path: Path) -> None:
    write(tmp_path, "own", *(RATE.replace('"r"', f'"r{n}"') for n in range(3000)))
    begun = time.process_time()
    lines = told(tmp_path)
    assert time.process_time() - begun < 10
    assert len(lines) == 51
    assert "2,949 more findings" in lines[-1]
    assert 'rates "r0": found another rate of level 1 for coal: "r1"' in lines[0]


def test_a_row_within_the_days_of_another_doubles_it_though_one_lies_between(tmp_path: Path) -> None:
    rows = [
        RATE + "valid_to = 2030-12-31\n",
        RATE.replace('"r"', '"r2"') + "valid_from = 2026-01-01\nvalid_to = 2026-12-31\n",
        RATE.replace('"r"', '"r3"') + "valid_from = 2028-01-01\nvalid_to = 2028-12-31\n",
    ]
    write(tmp_path, "own", *rows)
    assert [line.split("found")[0].strip() for line in told(tmp_path)] == ['own.toml: rates "r":'] * 2


def test_a_result_says_that_its_ruleset_is_not_as_shipped(tmp_path: Path) -> None:
    rate = Rulesets().get(GB).rates[0].id
    changed = f'[[rates]]\nid = "{rate}"\nlevel = 1\nenergy_kinds = ["electricity"]\npercent = 1\n{CITED}'
    write(tmp_path, "own", changed, more=BASED)
    write(tmp_path, "alone", LIMIT)
    plant = from_body({"organization": {"name": "x"}}, "x.json")

    def doubts(name: str, water: str = "") -> str:
        known = Rulesets([tmp_path])
        found = evaluate(
            plant, known.get(name), known.get(water) if water else None, date(2026, 11, 22), None
        )
        assert len(found.doubts) == len(found.doubts_zh)
        return "\n".join((*found.doubts, *found.doubts_zh))

    assert "shipped" not in doubts(GB, "GBT24789-2022")
    assert f"own differs from the shipped ruleset it builds on, in 1: {rate}" in doubts("own")
    assert "alone is not shipped with Metergate" in doubts("alone")
    assert "alone 非随附规则" in doubts(GB, "alone")

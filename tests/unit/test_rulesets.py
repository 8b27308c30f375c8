"""Rulesets are found, read and merged; what is wrong with one is said with its place and what to write."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from gateway.errors import ConfigError, Finding
from gateway.fitting.rulesets import Rulesets
from tests.unit.ruleset_rig import CLASS, LADDER, LIMIT, RATE, write

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.fitting.ruleset import Ruleset


def get(folder: Path, id_: str) -> Ruleset:
    return Rulesets([folder]).get(id_)


def findings(folder: Path, id_: str) -> tuple[Finding, ...]:
    with pytest.raises(ConfigError) as caught:
        get(folder, id_)
    return caught.value.findings


def only(folder: Path, *parts: str, more: str = "") -> str:
    write(folder, "own", *parts, more=more)
    (finding,) = findings(folder, "own")
    return str(finding)


def test_shipped_and_own_rulesets_are_named_once_and_the_first_folder_wins(tmp_path: Path) -> None:
    write(tmp_path, "plant", LIMIT)
    write(tmp_path / "second", "plant", RATE)
    known = Rulesets([tmp_path, tmp_path / "second", tmp_path / "missing"])
    assert known.names() == ("GB17167-2006", "GB17167-2025", "GBT24789-2022", "plant")
    assert [name for name in known.names() if not known.is_shipped(name)] == ["plant"]
    assert known.get("plant").limits


def test_a_ruleset_may_be_given_by_its_file_and_lie_beside_its_base(tmp_path: Path) -> None:
    write(tmp_path, "below", LIMIT)
    file = write(tmp_path, "over", RATE, more='base = "below"')
    ruleset = Rulesets().get(str(file))
    assert [row.id for row in (*ruleset.limits, *ruleset.rates)] == ["l", "r"]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        Rulesets().get("GB17176-2006")
    assert 'did you mean "GB17167-2006"?' in str(caught.value)


def test_a_row_with_the_same_id_replaces_new_ones_come_first_and_others_go(tmp_path: Path) -> None:
    others = [CLASS.replace('id = "c"', f'id = "c{n}"') for n in (1, 2, 3)]
    write(tmp_path, "below", *others, LIMIT)
    replaced = others[1].replace('"1.0"', '"0.5"')
    write(tmp_path, "over", CLASS, replaced, more='base = "below"\nremove = ["c3", "l"]')
    ruleset = get(tmp_path, "over")
    assert [(row.id, row.accuracy_class) for row in ruleset.classes] == [
        ("c", "1.0"),
        ("c1", "1.0"),
        ("c2", "0.5"),
    ]
    assert ruleset.limits == ()


def test_a_chain_of_bases_merges_interpretations_and_replaces_single_tables(tmp_path: Path) -> None:
    first = '[interpretations.unit_main]\nchoice = "every"\ntext = "first"\n'
    second = '[interpretations.unit_trigger]\nchoice = "own_kind"\ntext = "second"\n'
    write(tmp_path, "a", LADDER, first)
    write(tmp_path, "b", second, more='base = "a"')
    write(tmp_path, "c", LADDER.replace('["1.0", "2.0"]', '["5"]'), more='base = "b"')
    ruleset = get(tmp_path, "c")
    assert (ruleset.choice("unit_main"), ruleset.choice("unit_trigger")) == ("every", "own_kind")
    assert ruleset.ladder is not None
    assert ruleset.ladder.classes == ("5",)
    assert ruleset.choice("equipment_main") == "limit"


def test_what_is_built_on_a_superseded_ruleset_says_so_and_keeps_its_notes(tmp_path: Path) -> None:
    write(tmp_path, "plant", RATE.replace("coal", "carbon"), more='base = "GB17167-2006"\nnote = "Ours."')
    meta = get(tmp_path, "plant").ruleset
    assert (meta.superseded_on, meta.superseded_by) == (date(2026, 2, 1), "GB17167-2025")
    assert meta.note.startswith("Ours. GB17167-2006: SUPERSEDED")
    assert (meta.water, meta.id) == ("GBT24789-2022", "plant")
    write(tmp_path, "plant", more='base = "GB17167-2006"\nwater = ""')
    assert get(tmp_path, "plant").ruleset.water == ""


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    write(tmp_path, "own", LIMIT)
    before = get(tmp_path, "own").digest
    assert get(tmp_path, "own").digest == before
    write(tmp_path, "own", LIMIT.replace("7 t", "8 t"))
    assert get(tmp_path, "own").digest != before


def test_bases_that_lead_back_and_bases_that_are_not_there_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", more='base = "b"')
    write(tmp_path, "b", more='base = "a"')
    assert "a builds on b builds on a" in str(findings(tmp_path, "a")[0])
    assert 'did you mean "GB17167-2006"?' in only(tmp_path, more='base = "GB17167-206"')
    assert "own builds on own" in only(tmp_path, more='base = "own"')


def test_removing_what_the_base_has_not_is_refused(tmp_path: Path) -> None:
    told = only(tmp_path, more='base = "GB17167-2006"\nremove = ["limit-coal-2"]')
    assert told.startswith('own.toml: ruleset.remove: found "limit-coal-2"')
    assert 'did you mean "limit-coal-coke-2"?' in told


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ('[interpretations.unit_triger]\nchoice = "any"\ntext = "t"', 'did you mean "unit_trigger"?'),
        ('[interpretations.unit_main]\nchoice = "evry"\ntext = "t"', 'did you mean "every"?'),
        (RATE + 'when = "hot_water_row"', '"switch=choice"'),
        (RATE + 'when = "hot_water=steam"', 'did you mean "hot_water_row"?'),
        (RATE + 'when = "hot_water_row=steem"', 'did you mean "steam"?'),
        (RATE.replace("coal", "cole"), "coal"),
        (RATE.replace("12.5", "125"), "at most 100"),
        (RATE.replace('["coal"]', "[]"), "at least one energy kind"),
        (RATE + "valid_from = 2026-02-01\nvalid_to = 2026-01-01", "from 2026-02-01 on"),
        (LIMIT.replace("yearly", "#"), "neither rated nor yearly"),
        (LIMIT + 'rated = "1 t/h"', "both rated and yearly"),
        (LIMIT.replace("7 t", "7 tons"), "a number with its unit"),
        (LIMIT + LIMIT.replace("coal", "coke"), "an id of its own"),
        (LIMIT + RATE.replace('id = "r"', 'id = "l"'), "an id of its own"),
        (LIMIT + LIMIT.replace('id = "l"', 'id = "l2"'), "at most one limit in force"),
        (RATE + RATE.replace('id = "r"', 'id = "r2"'), "at most one rate in force"),
        (LADDER + CLASS.replace('"1.0"', '"1.5"'), "one of 1.0, 2.0"),
        (LADDER + 'equivalents = { B = "0.5" }', "one of 1.0, 2.0"),
        (LADDER + 'steps_down = { "4" = 1 }', "a level: 1, 2, 3"),
        (CLASS + 'user_classes = ["Ⅵ"]', "user_classes"),
        (LIMIT.replace("level", "levl"), "did you mean `level`?"),
    ],
)
def test_what_does_not_hold_together_is_told(tmp_path: Path, part: str, expected: str) -> None:
    write(tmp_path, "own", part)
    told = [str(finding) for finding in findings(tmp_path, "own")]
    assert any(expected in line for line in told), told
    assert all(line.startswith("own.toml: ") for line in told), told


def test_rows_of_one_kind_may_follow_each_other_in_time_or_exclude_each_other(tmp_path: Path) -> None:
    early, late = RATE + "valid_to = 2026-06-30\n", RATE.replace('"r"', '"r2"') + "valid_from = 2026-07-01\n"
    write(tmp_path, "own", early, late)
    ruleset = get(tmp_path, "own")
    holding = [
        [row.id for row in ruleset.rates if ruleset.holds(row, on)]
        for on in (date(2026, 6, 30), date(2026, 7, 1))
    ]
    assert holding == [["r"], ["r2"]]
    either = (
        RATE + 'when = "hot_water_row=steam"\n',
        RATE.replace('"r"', '"r2"') + 'when = "hot_water_row=none"\n',
    )
    write(tmp_path, "own", *either)
    assert len(get(tmp_path, "own").rates) == 2


def test_an_addition_that_doubles_a_row_of_the_base_names_both(tmp_path: Path) -> None:
    told = only(tmp_path, LIMIT, more='base = "GB17167-2006"')
    assert told.startswith(
        'own.toml: limits "l": found another limit of level 2 for coal: "limit-coal-coke-2"'
    )
    assert 'remove = ["limit-coal-coke-2"]' in told


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a = ", "valid TOML"),
        ("[ruleset]\nid = “own”\n".encode(), "full-width"),
        ("title = '规则'".encode("gbk"), "not as GBK"),
        (b"a = " + b"[" * 5_000, "TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_one_finding(tmp_path: Path, raw: bytes, expected: str) -> None:
    (tmp_path / "own.toml").write_bytes(raw)
    (finding,) = findings(tmp_path, "own")
    assert expected in str(finding)


def test_the_file_is_named_as_the_id(tmp_path: Path) -> None:
    write(tmp_path, "own").rename(tmp_path / "other.toml")
    (finding,) = findings(tmp_path, "other")
    assert str(finding).startswith('other.toml: ruleset.id: found "own"')

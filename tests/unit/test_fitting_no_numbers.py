"""The engine holds no number of any standard: its source is read for numbers, and a changed row of a ruleset changes the result."""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gateway.fitting
from gateway.energy_kinds import ENERGY_KINDS
from gateway.fitting.rulesets import Rulesets
from tests.unit.fitting_rig import counts, flow, instruments, judge, machine, plant, row, shipped, unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.fitting.ruleset import Ruleset

FOLDER = Path(gateway.fitting.__file__).parent
COUNTING = {0, 1, 2, 3}
"""Nothing, one, a square or a pair of ends, the last of three levels."""
PERCENT = 100
NUMBERS = {
    ("classes.py", 28),  # digits of a square root
    ("uncertainty.py", 60),  # the same
    ("grounds.py", 6),  # ids named before "…"
    ("ruleset_check.py", 50),  # findings told of one file
    ("rulesets.py", 20),  # size of a file: 1 << 20 bytes
}
"""Every other number in the engine's source, with what it is. A number of a standard has no place here."""
WRITTEN = {
    ("result.py", "0.0001"),  # places of a percentage in JSON
    ("ruleset_check.py", "1"),  # keys of steps_down: levels
    ("ruleset_check.py", "2"),
    ("ruleset_check.py", "3"),
    ("ruleset_check.py", 'rated = "100 kW" or yearly = "100 t"'),  # an example of the form, in a message
}
NUMBER = r"\d+(?:\.\d+)?"
AMOUNT = re.compile(
    rf"-?{NUMBER}S?|.*(?<![\w.]){NUMBER} ?(?:[kMG]?W|kWh|k?t|kg|[mN]m?3|m³|[MG]J|tce|%|级|h)\b.*", re.DOTALL
)
"""A number alone, an accuracy class, or anywhere in a text a number with a unit."""
DECIDES = (
    "central",
    "classes",
    "delivery",
    "evaluate",
    "instruments",
    "limits",
    "needs",
    "plant",
    "rows",
    "shares",
)


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(FOLDER.glob("*.py")):
        yield path.name, ast.parse(path.read_text(encoding="utf-8"))


def constants(tree: ast.Module) -> Iterator[Any]:
    """Yield every constant but docstrings and the descriptions of a model's fields."""
    prose = {
        id(part)
        for found in ast.walk(tree)
        if (isinstance(found, ast.Expr) and isinstance(found.value, ast.Constant))
        or (isinstance(found, ast.keyword) and found.arg in ("description", "hint"))
        for part in ast.walk(found)
    }
    for found in ast.walk(tree):
        if isinstance(found, ast.Constant) and id(found) not in prose:
            yield found.value


def test_the_engine_holds_no_number_of_any_standard() -> None:
    seen = {
        (name, value)
        for name, tree in trees()
        for value in constants(tree)
        if isinstance(value, int | float | complex) and not isinstance(value, bool)
        if value not in COUNTING | {PERCENT}
    }
    assert seen <= NUMBERS, f"numbers in the engine's source: {sorted(seen - NUMBERS)}"
    written = {
        (name, value)
        for name, tree in trees()
        for value in constants(tree)
        if isinstance(value, str) and AMOUNT.fullmatch(value) and value not in ("0", "-0")
    }
    assert written <= WRITTEN, f"numbers in the engine's texts: {sorted(written - WRITTEN)}"


def test_what_decides_names_no_energy_kind() -> None:
    # Whatever is special about a kind stands in the ruleset; names of kinds are for advice and for the reports.
    for name, tree in trees():
        if name.removesuffix(".py") in DECIDES:
            assert not set(constants(tree)) & set(ENERGY_KINDS), name
    assert {f"{name}.py" for name in DECIDES} <= {name for name, _ in trees()}


def test_no_number_hides_beside_the_engine() -> None:
    # The figures of the shipped tables are nowhere but in them: 2926 GJ, 29.26 GJ/h and 7 MW are theirs alone.
    for path in sorted(FOLDER.glob("*.py")):
        assert not re.search(r"2 ?926|29\.26|10 ?000 m|5 ?000 (t|GJ)", path.read_text(encoding="utf-8")), (
            path.name
        )


# ------------------------------------------------------------------ one row changed, in a file of one's own

HEAD = """
[ruleset]
id = "own"
title = "own"
title_zh = "own"
base = "GB17167-2006"
"""


def changed(folder: Path, text: str) -> Ruleset:
    """Return the ruleset of 2006 with what a file of one's own changes."""
    (folder / "own.toml").write_text(HEAD + text, encoding="utf-8")
    return Rulesets([folder]).get("own")


PLANT = plant(
    units=[unit("shop")],
    equipment=[
        machine("press", "shop", electricity="120 kW"),
        machine("kiln", "shop", natural_gas="500 m3/h", electricity="20 kW"),
    ],
    flows=[
        flow("coal", "organization>shop", "coal", "60 t"),
        flow("to-press", "shop>press", "electricity", "120 kW"),
        flow("gas-in", "organization>shop", "natural_gas", "9000 m3"),
        flow("gas", "shop>kiln", "natural_gas", "500 m3/h"),
        flow("to-kiln", "shop>kiln", "electricity", "20 kW"),
        flow("in", "outside>organization", "electricity", "200 kW", state="standby"),
    ],
    instruments=instruments("electricity", "in"),
)
CITED = 'clause = "own"\nsource = "own"\nconfidence = "A"\n'


def _id(ruleset: Ruleset, table: str, **wanted: Any) -> str:
    """Return the id of the row of a table that has these values."""
    found = [
        one
        for one in getattr(ruleset, table)
        if all(
            value in getattr(one, key) if key == "energy_kinds" else getattr(one, key) == value
            for key, value in wanted.items()
        )
    ]
    return str(found[0].id)


def test_the_plant_before_any_change() -> None:
    # shop takes 9000 m3 < 10 000 m3 of gas and 60 t < 100 t of coal. Main: press (120 >= 100 kW), kiln (500 >= 100 m3/h); kiln's 20 kW are auxiliary. shop: equipment 140 kW >= 10 kW, so its coal is
    # needed (level 2: coal, no electricity flow crosses it). L1: in, hot standby, fitted.
    outcome = judge(PLANT)
    assert counts(outcome, "electricity", 1) == (1, 1)
    assert counts(outcome, "coal", 2) == (1, 0)
    assert counts(outcome, "electricity", 3) == (1, 0)
    assert counts(outcome, "natural_gas", 3) == (1, 0)


def test_a_limit_of_equipment_changed(tmp_path: Path) -> None:
    # 121 kW: press is no longer main. 20 kW: kiln's auxiliary electricity reaches its limit.
    name = _id(shipped(), "limits", level=3, energy_kinds="electricity")
    row_of = '[[limits]]\nid = "{}"\nlevel = 3\nenergy_kinds = ["electricity"]\nrated = "{}"\n' + CITED
    assert counts(
        judge(PLANT, ruleset=changed(tmp_path, row_of.format(name, "121 kW"))), "electricity", 3
    ) == (0, 0)
    assert counts(
        judge(PLANT, ruleset=changed(tmp_path, row_of.format(name, "20 kW"))), "electricity", 3
    ) == (2, 0)


def test_a_limit_of_units_changed(tmp_path: Path) -> None:
    # Electricity 141 kW and coal 61 t: shop reaches neither.
    text = ""
    for kind, key, amount in (("electricity", "rated", "141 kW"), ("coal", "yearly", "61 t")):
        name = _id(shipped(), "limits", level=2, energy_kinds=kind)
        text += (
            f'[[limits]]\nid = "{name}"\nlevel = 2\nenergy_kinds = ["{kind}"]\n{key} = "{amount}"\n{CITED}'
        )
    assert counts(judge(PLANT, ruleset=changed(tmp_path, text)), "coal", 2) == (0, 0)


def test_a_rate_changed(tmp_path: Path) -> None:
    # 100 % at level 1 becomes 40 %: a plant with one of two incomers fitted (50 %) meets it.
    two = PLANT.model_copy(
        update={"flows": (*PLANT.flows, PLANT.flows[-1].model_copy(update={"id": "in-2"}))}
    )
    name = _id(shipped(), "rates", level=1, energy_kinds="electricity")
    before = row(judge(two), "electricity", 1)
    assert (before.rate, before.required, before.meets) == (Fraction(1, 2), Decimal(100), False)
    text = f'[[rates]]\nid = "{name}"\nlevel = 1\nenergy_kinds = ["electricity"]\npercent = 40\n{CITED}'
    after = row(judge(two, ruleset=changed(tmp_path, text)), "electricity", 1)
    assert (after.rate, after.required, after.meets) == (Fraction(1, 2), Decimal(40), True)
    assert "own" in after.clauses[0]


def test_a_class_changed(tmp_path: Path) -> None:
    # The feeder's 0.5 will do for a user of class Ⅱ; where 0.2 is demanded of every electricity meter it will not.
    text = (
        f'[[classes]]\nid = "own-class"\ncategories = ["electricity_meter"]\naccuracy_class = "0.2"\n{CITED}'
    )
    assert judge(PLANT).standings["m-in"].is_accurate
    standing = judge(PLANT, ruleset=changed(tmp_path, text)).standings["m-in"]
    assert (standing.required_class, standing.is_accurate) == ("0.2", False)


@pytest.mark.parametrize(
    ("switch", "choice", "kind", "level", "before", "after"),
    [
        ("boundary_states", "in_use", "electricity", 1, (1, 1), (0, 0)),
        ("unit_trigger", "own_kind", "coal", 2, (1, 0), (0, 0)),
        ("equipment_main", "every", "electricity", 3, (1, 0), (2, 0)),
        ("small_auxiliary", "none", "electricity", 3, (1, 0), (2, 0)),
    ],
)
def test_an_open_question_answered_otherwise(
    tmp_path: Path,
    switch: str,
    choice: str,
    kind: str,
    level: int,
    before: tuple[int, int],
    after: tuple[int, int],
) -> None:
    text = f'[interpretations.{switch}]\nchoice = "{choice}"\ntext = "own"\n'
    assert counts(judge(PLANT), kind, level) == before
    assert counts(judge(PLANT, ruleset=changed(tmp_path, text)), kind, level) == after


def test_a_note_removed(tmp_path: Path) -> None:
    # Without note 3 the kiln's 20 kW are needed as everything else it takes.
    names = [note.id for note in shipped().notes if note.kind == "small_auxiliary"]
    removed = ", ".join(f'"{name}"' for name in names)
    ruleset = changed(tmp_path, f"remove = [{removed}]\n")
    assert counts(judge(PLANT, ruleset=ruleset), "electricity", 3) == (2, 0)


def test_a_hundred_only_turns_a_share_into_a_percentage() -> None:
    # 100 kW, 100 t and 100 % are figures of the standard: as a number of its own a hundred is only named PERCENT.
    for name, tree in trees():
        if name.removesuffix(".py") not in {*DECIDES, "delivery", "outcome"}:
            continue
        factors = {
            id(part)
            for found in ast.walk(tree)
            if isinstance(found, ast.BinOp) and isinstance(found.op, ast.Mult)
            for part in (found.left, found.right)
        }
        alone = [
            found.lineno
            for found in ast.walk(tree)
            if isinstance(found, ast.Constant) and found.value == PERCENT and id(found) not in factors
        ]
        assert not alone, (name, alone)

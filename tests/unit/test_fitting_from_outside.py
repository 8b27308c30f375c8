"""`metergate fitting` as another program uses it: documented files in, documented JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.errors import ConfigError, MetergateError

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "docs" / "specs"
PLANT = ROOT / "config" / "inventory.example.toml"
PLANT_EVIDENCE = SPECS / "examples" / "example-plant-evidence.json"
SMALL = SPECS / "examples" / "fitting-inventory.json"
SMALL_EVIDENCE = SPECS / "examples" / "fitting-evidence.json"


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["fitting", *map(str, words)])


def body_of(
    inventory: Path, evidence: Path | None, ruleset: object = "GB17167-2006", as_of: str = "2026-11-22"
) -> dict[str, Any]:
    given = [] if evidence is None else ["--evidence", evidence]
    done = run("--inventory", inventory, *given, "--ruleset", ruleset, "--as-of", as_of, "--json")
    assert done.exit_code in (0, 1), done.output
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def rate(body: dict[str, Any], kind: str, level: int) -> dict[str, Any]:
    (found,) = (one for one in body["rates"] if (one["energy_kind"], one["level"]) == (kind, level))
    return dict(found)


@pytest.mark.parametrize(
    ("inventory", "evidence"),
    [(PLANT, PLANT_EVIDENCE), (PLANT, None), (SMALL, SMALL_EVIDENCE), (SMALL, None)],
)
def test_the_json_is_what_its_schema_says(inventory: Path, evidence: Path | None) -> None:
    schema = json.loads((SPECS / "schemas" / "fitting.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(body_of(inventory, evidence))


def test_the_figures_of_the_small_example() -> None:
    body = body_of(SMALL, SMALL_EVIDENCE)
    found = rate(body, "electricity", 1)
    assert (found["need"], found["fitted"], found["connected"], found["effective"]) == (2, 1, 1, 1)
    assert (found["rate_percent"], found["required_percent"], found["meets"]) == (50, 100, False)
    assert [one["flow"] for one in found["missing"]] == ["el-in-2"]
    # The press: 201 000 of 267 840 readings good, so fitted and connected, and not effective.
    found = rate(body, "electricity", 3)
    assert (found["fitted"], found["connected"], found["effective"]) == (1, 1, 0)
    assert (found["auto_collected_percent"], found["meets"]) == (0, True)


def test_without_evidence_nothing_is_said_of_what_delivers() -> None:
    for found in body_of(SMALL, None)["rates"]:
        assert (found["connected"], found["effective"], found["auto_collected_percent"]) == (None,) * 3


def test_the_same_question_has_the_same_answer() -> None:
    assert body_of(PLANT, PLANT_EVIDENCE) == body_of(PLANT, PLANT_EVIDENCE)


def test_a_file_of_one_s_own_changes_a_row_without_code(tmp_path: Path) -> None:
    # Electricity at the boundary: 100 % becomes 50 %, and 1 of 2 meets it.
    own = tmp_path / "own.toml"
    own.write_text(
        '[ruleset]\nid = "own"\ntitle = "own"\ntitle_zh = "own"\nbase = "GB17167-2006"\n'
        '[[rates]]\nid = "rate-electricity-1"\nlevel = 1\nenergy_kinds = ["electricity"]\npercent = 50\n'
        'clause = "own 1"\nsource = "own"\nconfidence = "A"\n',
        encoding="utf-8",
    )
    found = rate(body_of(SMALL, SMALL_EVIDENCE, own), "electricity", 1)
    assert (found["rate_percent"], found["required_percent"], found["meets"]) == (50, 50, True)
    assert "own 1" in found["clauses"][0]


def test_before_it_was_superseded_nothing_says_so() -> None:
    assert body_of(SMALL, None, as_of="2026-01-31")["superseded"] is None
    assert body_of(SMALL, None, as_of="2026-02-01")["superseded"]["on"] == "2026-02-01"


def test_an_edition_without_tables_meets_nothing() -> None:
    body = body_of(SMALL, None, "GB17167-2025")
    assert all(found["required_percent"] is None and found["meets"] is None for found in body["rates"])
    assert any("GB17167-2025" in text for text in body["doubts"])


def test_evidence_of_another_window_is_refused() -> None:
    done = run("--inventory", SMALL, "--evidence", SMALL_EVIDENCE, "--as-of", "2026-12-01")
    assert isinstance(done.exception, MetergateError)
    assert "2026-11-01 to 2026-11-30" in str(done.exception)


def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path: Path) -> None:
    wrong = json.loads(SMALL.read_text(encoding="utf-8"))
    wrong["flows"][2]["to"] = "hal"
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(wrong), encoding="utf-8")
    done = run("--inventory", file, "--as-of", "2026-11-22", "--json")
    assert isinstance(done.exception, ConfigError)
    assert [(one.path, one.found) for one in done.exception.findings] == [("flows.el-hall.to", '"hal"')]
    assert "hall" in str(done.exception)

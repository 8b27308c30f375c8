"""`metergate rulesets`, and what is generated from rulesets: schema and reference page."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import jsonschema
import orjson
import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.fitting import ruleset_pages
from gateway.fitting.ruleset import Ruleset
from gateway.fitting.rulesets import Rulesets, shipped_dir
from tests.unit.ruleset_rig import LIMIT, RATE, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder without a site file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.commands.options.SYSTEM_CONFIG", tmp_path / "none.toml")


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["rulesets", *words], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_says_which_can_be_used_and_how_they_stand(tmp_path: Path) -> None:
    write(tmp_path / "own", "plant", RATE, more='base = "GB17167-2006"\nremove = ["rate-solid-1"]')
    write(tmp_path / "own", "wrong", LIMIT.replace("7 t", "many"))
    rows = {row["id"]: row for row in orjson.loads(run("--json", "--ruleset-dir", str(tmp_path / "own")))}
    assert rows["GB17167-2006"]["state"] == "superseded"
    assert rows["GB17167-2025"]["state"] == "empty"
    assert (rows["plant"]["shipped"], rows["plant"]["base"]) == (False, "GB17167-2006")
    assert rows["wrong"]["usable"] is False
    assert rows["wrong"]["findings"][0]["path"] == "wrong.toml: limits[1].yearly"
    text = run("--ruleset-dir", str(tmp_path / "own"))
    assert "cannot be used" in text
    assert "yours, superseded" in text


def test_one_is_shown_with_clause_confidence_conflict_and_interpretations() -> None:
    text = run("GB17167-2006")
    for word in ("superseded since 2026-02-01 by GB17167-2025", "from 100 kW", "4.3.4, table 2", "100/80/60"):
        assert word in text
    for word in (
        "only under hot_water_row=steam",
        "in_use_and_standby",
        "U: unsure, must be checked",
        "凭记忆",
    ):
        assert word in text


def test_the_json_of_one_holds_what_a_ruleset_file_holds() -> None:
    body = orjson.loads(run("GB17167-2006", "--json"))
    jsonschema.Draft202012Validator(ruleset_pages.schema()).validate(body["content"])
    again = Ruleset.model_validate(body["content"])
    assert again.digest == body["digest"] == Rulesets().get("GB17167-2006").digest
    assert {answer["switch"] for answer in body["interpretations"]} >= {"unit_trigger"}


def test_an_unknown_one_is_a_finding() -> None:
    result = CliRunner().invoke(app, ["rulesets", "GB17167"])
    assert "did you mean" in str(result.exception)


def test_schema_and_page_are_fresh() -> None:
    hint = "run `make schema`"
    assert ruleset_pages.SCHEMA.read_text(encoding="utf-8") == ruleset_pages.schema_text(), hint
    page = ruleset_pages.PAGE.read_text(encoding="utf-8")
    assert ruleset_pages.page_text(page) == page, hint


def test_the_schema_takes_what_is_shipped_and_refuses_what_the_reader_refuses() -> None:
    schema = ruleset_pages.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for file in shipped_dir().glob("*.toml"):
        validator.validate(_plain(tomllib.loads(file.read_text(encoding="utf-8"))))
    body = tomllib.loads((shipped_dir() / "GB17167-2006.toml").read_text(encoding="utf-8"))
    body["interpretations"]["unit_main"]["choice"] = "some"
    assert not validator.is_valid(_plain(body))


def _plain(body: dict[str, Any]) -> Any:
    return orjson.loads(orjson.dumps(body))

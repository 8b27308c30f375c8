"""`metergate fitting` as outside tools and audit teams call it: files in, JSON or a table out, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest

ROOT = Path(__file__).resolve().parents[2]
PLANT = ROOT / "config" / "inventory.example.toml"
EVIDENCE = ROOT / "docs" / "specs" / "examples" / "example-plant-evidence.json"
COLUMNS = {
    "energy_kind", "level", "need", "fitted", "connected", "effective", "rate_percent", "required_percent", "meets",
    "intact_percent", "verified_percent", "accurate_percent", "auto_collected_percent", "clauses", "missing", "exempt",
    "surplus", "undetermined",
}  # fmt: skip


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "fitting", *map(str, words)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "200", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )


def asked(folder: Path, *words: object) -> dict[str, Any]:
    done = run(folder, "--inventory", PLANT, "--as-of", "2026-11-22", *words, "--json")
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def test_files_in_json_out_without_a_site(tmp_path: Path) -> None:
    body = asked(tmp_path, "--evidence", EVIDENCE, "--ruleset", "GB17167-2006")
    assert body["superseded"]["by"].startswith("GB17167-2025")
    assert (body["as_of"], body["window"]) == ("2026-11-22", {"from": "2026-10-01", "to": "2026-10-31"})
    assert len(body["inventory_digest"]) == 64
    assert {one["switch"] for one in body["interpretations"]} >= {"unit_trigger", "central_metering"}
    assert all(set(row) >= COLUMNS for row in body["rates"])
    assert {row["level"] for row in body["rates"]} == {1, 2, 3}
    assert len({row["energy_kind"] for row in body["rates"] if row["need"]}) >= 7
    assert {"water", "steam"} <= {row["energy_kind"] for row in body["rates"]}
    assert any(row["missing"] for row in body["rates"])
    assert any(one["verification"] == "expired" for one in body["instruments"].values())
    for row in body["rates"]:
        assert (row["rate_percent"] is None) == (row["need"] == 0)
        assert (row["meets"] is None) == (row["need"] == 0 or row["required_percent"] is None)
        assert row["effective"] <= row["connected"] <= row["fitted"] <= row["need"]


def test_without_evidence_connected_and_effective_are_null(tmp_path: Path) -> None:
    body = asked(tmp_path)
    assert body["evidence"] is None
    assert {(row["connected"], row["effective"], row["auto_collected_percent"]) for row in body["rates"]} == {
        (None, None, None)
    }


def test_the_empty_edition_of_2025_judges_nothing_and_says_so(tmp_path: Path) -> None:
    body = asked(tmp_path, "--ruleset", "GB17167-2025")
    assert "has no tables" in body["doubts"][0]
    assert {row["meets"] for row in body["rates"]} == {None}


def test_evidence_of_another_month_is_refused_with_both_windows(tmp_path: Path) -> None:
    done = run(tmp_path, "--inventory", PLANT, "--evidence", EVIDENCE, "--as-of", "2026-12-01")
    assert done.returncode == 1
    assert (
        "the evidence is of 2026-10-01 to 2026-10-31, but on 2026-12-01 the window is 2026-11-01"
        in done.stderr
    )


def test_without_a_day_evidence_stands_for_the_day_after_it(tmp_path: Path) -> None:
    done = run(tmp_path, "--inventory", PLANT, "--evidence", EVIDENCE, "--json")
    assert json.loads(done.stdout)["as_of"] == "2026-11-01"


def test_a_mistaken_name_or_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, "--inventory", PLANT, "--explain", "el-in-44")
    assert done.returncode == 1
    assert 'nothing in the inventory is called "el-in-44"; did you mean el-in-4' in done.stderr
    done = run(tmp_path, "--inventory", PLANT, "--ruleset", "GB17167-2066")
    assert done.returncode == 78
    assert 'did you mean "GB17167-2006"?' in done.stderr
    done = run(tmp_path, "--inventory", "nowhere.toml")
    assert done.returncode == 78
    assert "nowhere.toml" in done.stderr


def test_the_table_begins_with_the_banner_and_ends_with_what_to_fit(tmp_path: Path) -> None:
    said = run(tmp_path, "--inventory", PLANT, "--as-of", "2026-11-22").stdout
    assert said.index("superseded since 2026-02-01") < said.index("meets")
    assert "to be fitted 应配未配" in said
    assert "el-in-4" in said


def test_explain_walks_from_the_rate_to_clause_flow_and_instrument(tmp_path: Path) -> None:
    said = run(tmp_path, "--inventory", PLANT, "--as-of", "2026-11-22", "--explain", "el-in-4").stdout
    assert "by GB17167-2006 4.3.5, table 3" in said
    assert "→ fit an electricity meter, class 0.5 or better on el-in-4" in said


@pytest.mark.parametrize("language", ["zh", "en"])
def test_reports_are_written_beside_the_result(tmp_path: Path, language: str) -> None:
    words = ("--html", "r.html", "--workbook", "w.xlsx", "--diagrams", "d", "--lang", language)
    done = run(tmp_path, "--inventory", PLANT, "--evidence", EVIDENCE, "--as-of", "2026-11-22", *words)
    assert done.returncode == 0, done.stderr
    assert f'<html lang="{language}' in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert len(openpyxl.load_workbook(tmp_path / "w.xlsx").sheetnames) >= 12
    assert {"electricity.svg", "water.svg", "steam.svg"} <= {one.name for one in (tmp_path / "d").iterdir()}
    done = run(tmp_path, "--inventory", PLANT, "--html", "no/such/r.html")
    assert done.returncode == 1
    assert "no/such/r.html" in done.stderr

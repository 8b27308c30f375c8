"""`metergate balance` and `metergate bill` as they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.errors import ConfigError, MetergateError
from tests.unit.ledger_site import make_site, run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "inventory.example.toml"
EVIDENCE = ROOT / "docs" / "specs" / "examples" / "example-plant-evidence.json"
BILL = (
    "--energy-kind", "electricity", "--from", "2026-08-01", "--to", "2026-08-31", "--supplier", "State Grid",
    "--flow", "in", "--by", "Li",
)  # fmt: skip


def _evidence(folder: Path, amounts: dict[str, str]) -> Path:
    rows = {id_: {"expected": 10, "good": 10, "amount": amount} for id_, amount in amounts.items()}
    path = folder / "evidence.json"
    path.write_text(json.dumps({"from": "2026-08-01", "to": "2026-08-31", "instruments": rows}))
    return path


def test_the_example_plant_needs_no_site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["balance", "--inventory", str(EXAMPLE), "--evidence", str(EVIDENCE)]
    body = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert body["window"] == {"from": "2026-10-01", "to": "2026-10-31"}
    assert all(row["judged"] or row["why"] for row in body["balances"])
    said = CliRunner().invoke(app, words, env={"COLUMNS": "160"}).output
    assert "not judged 不判定" in said


def test_balance_of_a_site(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    evidence = _evidence(tmp_path, {"m-in": "1000 kWh", "m-to-ua": "600 kWh", "m-to-ub": "380 kWh"})
    body = run(site, "balance", "--evidence", str(evidence))
    rows: dict[str, Any] = {row["place"]: row for row in body["balances"]}
    assert (rows["organization"]["residual"], rows["organization"]["judged"]) == ("20", "flagged")
    assert rows["ua"]["judged"] is None
    assert (body["flagged"], body["as_of"], body["revision"]) == (1, "2026-09-01", None)
    with pytest.raises(MetergateError, match="the window is"):
        run(site, "balance", "--evidence", str(evidence), "--as-of", "2026-08-01")
    with pytest.raises(MetergateError, match="nothing is known"):
        run(site, "balance")


def test_bill_from_entry_to_comparison(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    entered = run(site, "bill", "enter", *BILL, "--number", "8", "--amount", "1000 kWh")
    assert (entered["entry"], entered["amount"], entered["by"]) == (1, "1000 kWh", "Li")
    right = ("--number", "8", "--amount", "1010 kWh", "--replaces", "1", "--why", "misread")
    run(site, "bill", "enter", *BILL, *right)
    assert [one["entry"] for one in run(site, "bill", "list")] == [2]
    assert [one["replaced_by"] for one in run(site, "bill", "list", "--all")] == [2, None]
    evidence = _evidence(tmp_path, {"m-in": "1000 kWh"})
    (found,) = run(site, "bill", "compare", "--evidence", str(evidence))
    assert (found["difference"], found["judged"]) == ("-10", "agrees")
    (found,) = run(site, "bill", "compare")
    assert (found["judged"], found["why_not_judged"]) == (None, ["the history has nothing of these days"])
    for words in (["list"], ["list", "--all"], ["compare", "--evidence", str(evidence)]):
        assert CliRunner().invoke(app, ["bill", *words, "--config", str(site)]).exit_code == 0


def test_bill_that_cannot_be_used_names_the_option(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with pytest.raises(ConfigError, match="--amount"):
        run(site, "bill", "enter", *BILL, "--number", "8", "--amount", "1000")
    with pytest.raises(ConfigError, match="--amount"):
        run(site, "bill", "enter", *BILL, "--number", "8", "--amount", "")

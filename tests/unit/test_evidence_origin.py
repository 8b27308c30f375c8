"""Where evidence came from is said by the program: no file passes for the gateway's own history."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import orjson
import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.errors import ConfigError
from gateway.evidence.evidence_file import read_evidence
from gateway.fitting.evidence import Evidence, Origin
from gateway.fitting.result import evidence_body
from gateway.reports.origin import told
from gateway.reports.pack import make
from tests.unit.ledger_site import ledger, make_site, run

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = {"from": "2026-08-01", "to": "2026-08-31", "source": "history of gateway plant-1"}


def file(folder: Path, **more: object) -> Path:
    path = folder / "evidence.json"
    path.write_text(json.dumps({**WINDOW, "instruments": {}, **more}), encoding="utf-8")
    return path


def test_a_file_is_a_file_whatever_it_says_of_itself(tmp_path: Path) -> None:
    path = file(tmp_path)
    found = read_evidence(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.origin == Origin("file", digest)
    body = evidence_body(found)
    assert (body["source"], body["origin"], body["sha256"]) == (WINDOW["source"], "file", digest)
    assert told(found)[1].startswith("a file handed in")


@pytest.mark.parametrize("key", ["origin", "_origin"])
def test_a_file_cannot_state_its_origin(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: found an unknown key"):
        read_evidence(file(tmp_path, **{key: "history"}))


def test_what_nobody_vouched_for_is_a_file() -> None:
    assert Evidence.model_validate(WINDOW).origin == Origin("file", "")
    own = Evidence.model_validate(WINDOW).of(Origin("history"))
    assert (evidence_body(own)["origin"], evidence_body(own)["sha256"]) == ("history", None)


def test_pack_and_check_say_what_the_result_stands_on(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    rows = {one["id"]: {"expected": 10, "good": 10, "amount": "100 kWh"} for one in ledger()["instruments"]}
    path, out = file(tmp_path, instruments=rows), tmp_path / "pack.zip"
    given = "--evidence", str(path), "--as-of", "2026-09-15", "--unsigned"
    run(site, "evidence", "pack", "--out", str(out), *given)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    shown = CliRunner().invoke(app, ["evidence", "check", str(out), "--unsigned"]).output
    assert f"A FILE handed in 由文件提交, SHA-256 {digest}" in shown
    assert "NOT APPLIED 未批准" in shown
    body = orjson.loads(
        CliRunner().invoke(app, ["evidence", "check", str(out), "--unsigned", "--json"]).stdout
    )
    assert body["manifest"]["evidence"]["origin"] == "file"
    assert body["manifest"]["revision"] is None


def test_check_says_that_the_gateway_s_history_was_used(tmp_path: Path) -> None:
    out = tmp_path / "pack.zip"
    about = {"revision": 3, "evidence": {"origin": "history", "source": "history of gateway plant-1"}}
    out.write_bytes(make({}, about, None))
    shown = CliRunner().invoke(app, ["evidence", "check", str(out), "--unsigned"]).output
    assert "the gateway's own history" in shown
    assert "revision 3" in shown

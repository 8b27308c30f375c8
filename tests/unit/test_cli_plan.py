"""`metergate plan`, `check` and `run` as they are called."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from drivers import profiles
from gateway.commands.cli import app
from gateway.errors import ConfigError
from tests.unit.plan_sites import SERIAL, TCP, site_text

if TYPE_CHECKING:
    from pathlib import Path

METERS = 45


def called(folder: Path, text: str, *words: str) -> tuple[int, str]:
    file = folder / "site.toml"
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, [words[0], "--config", str(file), *words[1:]])
    return result.exit_code, result.stdout


def plan_json(folder: Path, text: str, *words: str) -> dict[str, Any]:
    code, out = called(folder, text, "plan", "--json", *words)
    answer: dict[str, Any] = json.loads(out)
    assert code == (0 if answer["ok"] else 78)
    return answer


def test_the_figures_of_each_link(tmp_path: Path) -> None:
    answer = plan_json(tmp_path, site_text(SERIAL, 2))
    link = answer["links"]["line"]
    assert {"requests", "bytes", "busy_ms", "period_ms", "occupancy", "meters"} <= link.keys()
    assert link["period_ms"] == 10_000
    assert link["occupancy"] == pytest.approx(link["busy_ms"] / link["period_ms"], abs=1e-4)
    assert set(link["meters"]) == {"m-1", "m-2"}
    for name in ("requests", "bytes", "busy_ms"):
        assert sum(meter[name] for meter in link["meters"].values()) == pytest.approx(link[name], abs=0.01)
    (target,) = link["meters"]["m-1"]["targets"]
    assert sum(request["bytes"] for request in target["requests"]) == link["meters"]["m-1"]["bytes"]
    assert {"function", "address", "count"} <= target["requests"][0].keys()
    assert answer["warnings"] == []


def test_the_table_and_the_requests_of_every_meter(tmp_path: Path) -> None:
    text = site_text(SERIAL, 1, channels=["voltage_ln_l1"])
    code, out = called(tmp_path, text, "plan")
    assert code == 0
    assert "occupancy" in out
    assert "Assumed, not measured" in out
    assert "address 0" not in out
    _, out = called(tmp_path, text, "plan", "--meters")
    assert "function 4, address 0, count 2" in out


def test_assumptions_can_be_replaced(tmp_path: Path) -> None:
    text = site_text(SERIAL, 1, channels=["voltage_ln_l1"])
    usual, slow = (plan_json(tmp_path, text, *words) for words in ((), ("--delay", "60ms")))
    extra_ms = slow["links"]["line"]["busy_ms"] - usual["links"]["line"]["busy_ms"]
    assert extra_ms == pytest.approx(50)
    assert slow["assumed"]["delay_ms"] == 60
    far = plan_json(tmp_path, site_text(TCP, 1, channels=["voltage_ln_l1"]), "--round-trip", "0.3s")
    assert far["links"]["hall"]["busy_ms"] == pytest.approx(300)
    code, _ = called(tmp_path, text, "plan", "--delay", "soon")
    assert code == 2


def test_proposals_fit_when_they_are_carried_out(tmp_path: Path) -> None:
    answer = plan_json(tmp_path, site_text(SERIAL, METERS))
    assert not answer["ok"]
    proposals = answer["links"]["line"]["proposals"]
    changes = {key: value for p in proposals for key, value in p["change"].items()}
    assert set(changes) == {"period", "baud", "without"}
    profile = profiles.Library([profiles.shipped_dir()]).get("eastron-sdm630")
    left = [k for k in profiles.channel_keys(profile, ()) if k not in changes["without"]["eastron-sdm630"]]
    carried_out = {
        "period": site_text(SERIAL, METERS, period=changes["period"]),
        "baud": site_text(SERIAL.replace("9600", str(changes["baud"])), METERS),
        "without": site_text(SERIAL, METERS, channels=left),
    }
    for proposal in proposals:
        (kind,) = proposal["change"]
        after = plan_json(tmp_path, carried_out[kind])
        assert after["ok"]
        assert after["links"]["line"]["occupancy"] == proposal["occupancy"] <= 0.8, kind
    kept = [key for key in left if profile.channels[key].quantity.startswith("energy_")]
    assert kept, "counters are left out last"


def test_a_line_that_cannot_keep_up_is_refused_with_proposals(tmp_path: Path) -> None:
    text = site_text(SERIAL, 100)
    code, out = called(tmp_path, text, "plan")
    assert code == 78
    assert 'period = "' in out
    assert "baud = " in out
    code, out = called(tmp_path, text, "check", "--json")
    assert code == 78
    (finding,) = json.loads(out)["findings"]
    assert finding["path"] == "links.line"
    assert "period" in finding["suggestion"]
    with pytest.raises(ConfigError, match=r"links\.line"):
        CliRunner().invoke(app, ["run", "--config", str(tmp_path / "site.toml")], catch_exceptions=False)


def test_check_finds_channels_no_request_can_read(tmp_path: Path) -> None:
    code, out = called(tmp_path, site_text(TCP, 1, more="[meters.read]\nregisters_max = 1"), "check")
    assert code == 78
    assert "meters.m-1.channels" in out
    assert "[meters.read]" in out


def test_check_warns_of_what_is_full_by_assumption_alone(tmp_path: Path) -> None:
    code, out = called(tmp_path, site_text(SERIAL, 39), "check", "--json")
    assert code == 0
    assert any(text.startswith("links.line: ") and "plan" in text for text in json.loads(out)["warnings"])
    code, out = called(tmp_path, site_text(SERIAL, 5), "check", "--json")
    assert not any("links.line" in text for text in json.loads(out)["warnings"])


def test_a_site_file_with_mistakes_is_not_planned(tmp_path: Path) -> None:
    text = site_text(SERIAL, 1).replace("eastron", "eastern")
    tomllib.loads(text)
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError):
        CliRunner().invoke(app, ["plan", "--config", str(tmp_path / "site.toml")], catch_exceptions=False)


def test_what_nothing_can_mend_is_said_to_be_so_with_a_proposal_a_line_and_every_channel_named(
    tmp_path: Path,
) -> None:
    code, out = called(tmp_path, site_text(SERIAL, 200), "check")
    assert code == 78
    assert "even if every meter answered at once" in out
    answer = plan_json(tmp_path, site_text(SERIAL, METERS))
    suggestion = answer["findings"][0]["suggestion"]
    texts = [proposal["text"] for proposal in answer["links"]["line"]["proposals"]]
    assert suggestion.split("\nor ") == texts
    assert not any(" more" in text for text in texts)

"""`metergate inventory` from a blank workbook to an applied revision, with exit codes and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openpyxl
import orjson
import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.errors import EXIT_CONFIG, ConfigError, MetergateError, StorageError
from gateway.history.store import Store
from gateway.history.work import Work
from tests.unit.config_site import SITE
from tests.unit.inventory_plant import PLANT, plant

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

DIGEST_CHARS = 64


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a site file and the plant's inventory, which commands are called from."""
    (tmp_path / "site.toml").write_text(SITE.replace("[gateway]", '[gateway]\nstate_dir = "state"'))
    (tmp_path / "inventory.toml").write_text(PLANT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["inventory", *words])


def asked(*words: str) -> Any:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout)


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "inventory.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_what_the_site_file_does_not_have_is_told_by_sheet_row_and_column(folder: Path) -> None:
    edit(folder, 'meter = "feeder-1"', 'meter = "feeder-9"')
    assert call("export", "--inventory", "inventory.toml", "--out", "ledger.xlsx").exit_code == 0
    told = call("check", "ledger.xlsx", "--config", "site.toml")
    assert told.exit_code == EXIT_CONFIG
    assert "计量器具 instruments, row 3, column U 接入仪表标识 meter" in told.stdout


def test_a_workbook_filled_in_becomes_a_revision(folder: Path) -> None:
    (folder / "inventory.toml").unlink()
    assert call("export", "--blank", "--out", "ledger.xlsx").exit_code == 0
    untouched = call("import", "ledger.xlsx", "--out", "inventory.toml")
    assert isinstance(untouched.exception, ConfigError)
    assert not (folder / "inventory.toml").exists()
    book = openpyxl.load_workbook("ledger.xlsx")
    book["用能单位 organization"]["A3"] = "示例公司"
    for place, value in {"A3": "grid", "C3": "外部", "D3": "用能单位", "E3": "电力"}.items():
        book["流向 flows"][place] = value
    for place, value in {"A3": "em-1", "B3": "进线表", "C3": "电能表", "D3": "grid", "E3": "准用"}.items():
        book["计量器具 instruments"][place] = value
    book.save("ledger.xlsx")
    made = asked("import", "ledger.xlsx", "--out", "inventory.toml")
    assert (made["flows"], made["instruments"]) == (1, 1)
    applied = asked("apply", "--by", "Li Wei", "--why", "first ledger")
    assert (applied["made"], applied["revision"], applied["digest"]) == (True, 1, made["digest"])
    shown = asked("show")
    assert (shown["revision"], shown["path"]) == (1, None)
    assert shown["inventory"]["instruments"][0]["status"] == "limited"


def test_check_tells_every_problem_and_exits_78(folder: Path) -> None:
    good = asked("check")
    assert (good["ok"], good["digest"], good["site"]) == (True, plant().digest, True)
    assert "no problem" in call("check").stdout
    edit(folder, 'parent = "kilns"', 'parent = "kiln"')
    edit(folder, 'status = "limited"', 'status = "limitd"')
    result = call("check", "--json")
    assert result.exit_code == EXIT_CONFIG
    found = orjson.loads(result.stdout)
    assert [one["path"] for one in found["findings"]] == [
        "units.kiln-hall.parent",
        "instruments.em-102.status",
    ]
    text = call("check").stdout
    assert 'did you mean "kilns"?' in text
    refused = call("apply", "--why", "x")
    assert isinstance(refused.exception, ConfigError)
    assert not (folder / "state" / "inventory").exists()


def test_an_inventory_that_does_not_fit_the_site_is_not_applied(folder: Path) -> None:
    edit(folder, 'meter = "feeder-1"', 'meter = "feeder-9"')
    result = call("check", "--json")
    assert result.exit_code == EXIT_CONFIG
    assert orjson.loads(result.stdout)["findings"][0]["path"] == "instruments.em-101.meter"
    assert isinstance(call("apply", "--why", "x").exception, ConfigError)
    assert asked("log") == []


def test_every_change_is_a_revision_with_who_and_why(folder: Path) -> None:
    assert asked("show")["revision"] is None
    assert "not applied" in call("show").stdout
    asked("apply", "--by", "Li Wei", "--why", "first")
    again = asked("apply", "--why", "once more")
    assert (again["made"], again["revision"]) == (False, 1)
    assert "Nothing changed" in call("apply", "--why", "once more").stdout
    edit(folder, '"0.5S"', '"0.2S"')
    change = {
        "what": "changed",
        "path": "instruments.em-101.accuracy_class",
        "before": "0.5S",
        "after": "0.2S",
    }
    assert asked("diff") == [change]
    assert "~ instruments.em-101.accuracy_class  0.5S → 0.2S" in call("diff").stdout
    assert asked("show", "em-101")["accuracy_class"] == "0.5S", "what was not applied is not in force"
    asked("apply", "--by", "王工", "--why", "证书更正")
    assert asked("diff", "--from", "1", "--to", "2") == [change]
    assert [(one["by"], one["why"], one["changes"][0]["what"]) for one in asked("log")] == [
        ("Li Wei", "first", "added"),
        ("王工", "证书更正", "changed"),
    ]
    assert "证书更正" in call("log").stdout
    asked("export", "--revision", "1", "--out", "first.toml")
    assert asked("check", "first.toml")["digest"] == plant().digest


@pytest.mark.parametrize("why", ["", "  "])
def test_without_a_reason_nothing_is_applied(why: str, folder: Path) -> None:
    result = call("apply", "--why", why)
    assert result.exit_code == 2
    assert not (folder / "state" / "inventory").exists()


def test_a_file_that_is_there_is_not_written_over(folder: Path) -> None:
    for words in (
        ("export", "--out", "inventory.toml"),
        ("import", "inventory.toml", "--out", "inventory.toml"),
    ):
        refused = call(*words)
        assert isinstance(refused.exception, MetergateError)
        assert "--force" in str(refused.exception)
        assert call(*words, "--force").exit_code == 0
        assert asked("check")["digest"] == plant().digest


def test_damage_is_said(folder: Path) -> None:
    asked("apply", "--why", "first")
    path = folder / "state" / "inventory" / "000001.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:100])
    for words in (("show",), ("log",), ("apply", "--why", "x")):
        refused = call(*words).exception
        assert isinstance(refused, StorageError)
        assert "000001.json" in str(refused)


def test_what_somebody_wrote_does_not_steer_the_terminal(folder: Path) -> None:
    edit(folder, '"车间电能表"', '"\\u001b[2J车间"')
    told = call("show")
    assert (told.exit_code, "U+001B" in str(told.exception)) == (1, True)
    edit(folder, '"\\u001b[2J车间"', '"车间"')
    asked("apply", "--by", "a\x1b[2J", "--why", "b\x1b[2J")
    assert "\x1b[2J" not in call("log").stdout
    assert len(asked("log")[0]["digest"]) == DIGEST_CHARS


def test_the_log_says_that_the_newest_revisions_are_gone(folder: Path) -> None:
    asked("apply", "--by", "Li Wei", "--why", "first")
    store = Store(folder / "state" / "history.db", 0)
    store.commit(
        Work(states={"diary": {"revision": 2}}, chain="c-1"), now_ns=1, size_max=1 << 40, keep_ns=10**18
    )
    store.close()
    result = call("log")
    assert result.exit_code == 1
    assert "Li Wei" in result.stdout
    assert "the gateway told of revision 2, but the newest here is 1" in str(result.exception)
    edit(folder, "monthly_kwh = 350000", "monthly_kwh = 360000")
    asked("apply", "--by", "Li Wei", "--why", "second")
    assert call("log").exit_code == 0


def test_help_teaches() -> None:
    text = call("--help").stdout
    for name in ("check", "show", "import", "export", "apply", "log", "diff"):
        assert name in text
        assert "metergate" in call(name, "--help").stdout or name in {"log", "check"}

"""Tables of plan, swap and replay at 80 columns, help that is not cut, and what the tutorial shows of `check`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from typer.main import get_command
from typer.testing import CliRunner

from gateway.commands import meter_work, replay
from gateway.commands.cli import app
from tests.unit.plan_sites import SERIAL, site_text

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 80
ZONE = "Asia/Shanghai"
NOON_NS = 1_780_027_200_000_000_000
KEY = "energy_reactive_capacitive_total_high"
TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "first-plant.md"


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TERMINAL_WIDTH", str(WIDTH))


def fits(text: str) -> str:
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= WIDTH
    return text


def test_a_plan_keeps_figures_and_requests_whole(tmp_path: Path) -> None:
    text = site_text(SERIAL.replace('"serial"', '"tcp-serial"').replace("port =", 'host = "h"\nport ='), 1)
    text = re.sub(r'port = "[^"]*"', "port = 4001", text)
    file = tmp_path / "site.toml"
    file.write_text(text.replace('"m-1"', '"feeder-of-hall-12"'), encoding="utf-8")
    result = CliRunner().invoke(app, ["plan", "--meters", "--config", str(file)])
    assert result.exit_code == 0, result.output
    out = fits(result.stdout.partition("Assumed")[0])
    assert "tcp-serial" in out
    assert re.search(r"^line +feeder-of-hall-12 +10 s +function 4, address 0, count \d+ ", out, re.MULTILINE)
    assert re.search(r" \d+\.\d ms ", out)


def test_both_sides_of_a_swap_stand_beneath_their_counter(capsys: pytest.CaptureFixture[str]) -> None:
    where = {"unit": "kvar·h", "time_ns": NOON_NS, "from": "the journal's last good one before"}
    sides = {"closing": {KEY: where | {"reading": "1234567890.123"}}, "opening": {}}
    meter_work._print_sides(sides, ZONE)
    out = fits(capsys.readouterr().out)
    assert f"\n{KEY}\n" in out
    assert re.search(r"closing 止码 +1234567890\.123 +kvar·h +2026-05-29 12:00:00\+08:00 +the", out)
    assert re.search(r"opening 起码 +– ", out)


def test_a_replay_shows_before_and_after_beneath_the_channel(capsys: pytest.CaptureFixture[str]) -> None:
    channel = {"unit": "kvar·h", "first": [1234567890.123, 12345678.9012], "last": [None, 0.5]}
    row = {"before": "a", "after": "b", "rev": 1, "readings": 1, "frames": 1, "changed": 1, "withdrawn": 0}
    result: dict[str, Any] = {"meter": "feeder-1", "from_ns": NOON_NS, "to_ns": NOON_NS, "oldest_ns": 0}
    result |= {"layouts": [row | {"channels": {KEY: channel}}], "dry_run": True, "older_gone": False}
    replay._print(result, ZONE)
    out = fits(capsys.readouterr().out)
    assert re.search(rf"\n{KEY}\nfirst +1234567890\.123 +12345678\.9012 +kvar·h", out)
    assert re.search(r"\nlast +absent +0\.5 ", out)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


@pytest.mark.parametrize("path", list(commands(get_command(app))), ids=" ".join)
def test_help_fits_and_its_examples_are_lines_of_their_own(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert max(map(cell_len, result.output.splitlines())) <= WIDTH
    for line in result.output.splitlines():
        assert not re.search(r"\w…\s*│$", line), "cut"
    assert "· metergate" not in result.output


def shown(start: str, end: str) -> list[str]:
    """Return the lines of the tutorial's console between two, each as a pattern: … stands for anything."""
    text = TUTORIAL.read_text(encoding="utf-8")
    block = text[text.index(start) + len(start) :]
    lines = block[: block.index(end)].strip().splitlines()
    return [".*".join(map(re.escape, line.split("…"))) for line in lines]


def test_the_tutorial_shows_what_check_prints(tmp_path: Path) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    site = text[text.index('[gateway]\nid = "my-plant"') :].partition("```")[0]
    file = tmp_path / "site.toml"
    file.write_text(site, encoding="utf-8")
    good = CliRunner().invoke(app, ["check", "--config", str(file)])
    printed = good.output.strip().splitlines()
    expected = shown("of it:\n\n```console\n$ metergate check\n", "```")
    for mistake in (("unit = 1", "slave = 1"), ("eastron-sdm630", "eastron-sdm360"), ('"5s"', '"7s"')):
        site = site.replace(*mistake)
    file.write_text(site, encoding="utf-8")
    bad = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert bad.exit_code == 78
    printed += bad.output.strip().splitlines()
    expected += shown("check again.\n\n```console\n$ metergate check\n", "```")
    assert len(printed) == len(expected)
    for line, pattern in zip(printed, expected, strict=True):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"

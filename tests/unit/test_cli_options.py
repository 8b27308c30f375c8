"""What all commands share: who calls, why, durations, the nearest name."""

from __future__ import annotations

import getpass
import json

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from gateway import __version__
from gateway.commands.cli import app
from gateway.commands.options import duration_s, one_of, reason, user
from gateway.errors import MetergateError


def test_who_calls_is_the_one_who_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "li")
    assert user() == "li"
    monkeypatch.setenv("SUDO_USER", "wang")
    assert user() == "wang", "root did not read the display"

    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr(getpass, "getuser", nameless)
    assert user() == "somebody"


def test_a_reason_is_more_than_blanks() -> None:
    assert reason("CT exchanged") == "CT exchanged"
    with pytest.raises(typer.BadParameter, match="say why"):
        reason("  ")


def test_durations_are_read_alike_everywhere() -> None:
    assert [duration_s(text, "--for") for text in ("200ms", "2s", "30min", "2h")] == [0.2, 2, 1800, 7200]
    with pytest.raises(typer.BadParameter, match='"soon" is no duration: write'):
        duration_s("soon", "--for")


def test_a_wrong_name_gets_the_nearest_or_all() -> None:
    known = ["hall-a", "hall-b", "dcs"]
    assert one_of("dcs", known, "link") == "dcs"
    with pytest.raises(MetergateError, match=r'no link "hal-a"; did you mean hall-a\?'):
        one_of("hal-a", known, "link")
    with pytest.raises(MetergateError, match=r'no link "xyz"; there are: hall-a, hall-b, dcs$'):
        one_of("xyz", known, "link")
    with pytest.raises(MetergateError, match=r"m0, .*, m9 …$"):
        one_of("xyz", [f"m{n}" for n in range(11)], "meter")
    with pytest.raises(MetergateError, match=r"there are: none$"):
        one_of("xyz", [], "meter")


def test_the_version_is_there_as_json() -> None:
    answer = CliRunner().invoke(app, ["version", "--json"])
    assert json.loads(answer.output) == {"version": __version__}


@pytest.mark.parametrize("command", ["commission", "capture", "swap", "ratio", "maintenance", "replay"])
def test_everybody_who_is_recorded_is_asked_for_alike(command: str) -> None:
    """An option --by that may be left out: the login name stands in."""
    found = get_command(app).commands[command].params  # type: ignore[attr-defined]
    (by,) = [option for option in found if option.name == "by"]
    assert not by.required
    assert "login name" in by.help
    assert "-y" not in {name for option in found for name in option.opts}

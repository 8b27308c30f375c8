"""`metergate feed key` and `resend` as they are read: widths, files that are kept, numbers that are not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.control import server
from gateway.errors import MetergateError
from gateway.feed.keys import KeyRing, for_paper, load_public
from tests.unit.test_config_periods import RIGHT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(RIGHT.replace('id = "plant-1"', 'id = "plant-1"\nstate_dir = "state"', 1))
    (tmp_path / "state").mkdir(mode=0o700)
    return file


def test_the_key_on_paper_has_one_label_and_fits(site: Path) -> None:
    known = KeyRing(site.parent / "state", "plant-1").current.known
    said = CliRunner().invoke(app, ["feed", "key", "--config", str(site)]).output
    rows = said.splitlines()
    assert max(map(cell_len, rows)) <= 80
    (at,) = [n for n, row in enumerate(rows) if "fingerprint" in row or "指纹" in row]
    label, first, second = "fingerprint 指纹", rows[at], rows[at + 1]
    assert first.startswith(label)
    assert second == " " * 18 + second.strip()
    assert f"{first.removeprefix(label).strip()} {second.strip()}" == for_paper(known.fingerprint)
    assert json.loads(said.partition("jwk")[2]) == known.jwk


def test_a_pem_of_another_key_is_never_overwritten(site: Path) -> None:
    ring = KeyRing(site.parent / "state", "plant-1")
    pem = site.parent / "plant-1.pem"
    words = ["feed", "key", "--config", str(site), "--pem", str(pem)]
    for _ in range(2):  # the same key again is no harm
        assert CliRunner().invoke(app, words).exit_code == 0
    before = pem.read_bytes()
    ring.rotate()
    ring.adopt()
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, MetergateError)
    assert "another key" in str(refused.exception)
    assert pem.read_bytes() == before
    pem.unlink()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert load_public(pem.read_bytes())[0].fingerprint == ring.current.fingerprint


@pytest.mark.parametrize(
    ("first", "last", "count", "said"),
    [
        (50, 60, 0, "none of the messages 50 to 60: there are 10 to 40"),
        (1, 9, 0, "there are 10 to 40; older ones are not kept any more"),
        (5, 12, 3, "Of these there are only 10 to 12, those before 10 are not kept any more."),
        (39, 45, 2, "Of these there are only 39 to 40, 40 is the last one."),
        (38, 40, 1, "has not been sent yet"),
    ],
)
def test_numbers_that_are_not_there_are_told(
    site: Path, monkeypatch: pytest.MonkeyPatch, first: int, last: int, count: int, said: str
) -> None:
    def ask(_: Path, do: str, **asked: Any) -> dict[str, Any]:
        assert (do, asked["until"]) == ("feed_resend", last + 1)
        return {"messages": {"regulator": count}, "oldest": 10, "following": 41}

    monkeypatch.setattr(server, "ask", ask)
    found = CliRunner().invoke(app, ["feed", "resend", str(first), str(last), "--config", str(site)])
    assert found.exit_code == (0 if count else 1)
    assert said in f"{found.output}{found.exception or ''}"


def test_the_help_says_where_the_numbers_come_from() -> None:
    said = " ".join(CliRunner().invoke(app, ["feed", "resend", "--help"]).output.split())
    assert "metergate verify" in said
    assert "metergate feed resend 30 32" in said

"""What `swap`, `ratio`, `maintenance` and `replay` say of what was typed: in options and values, never in keys of the socket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.commands import meter_work
from gateway.commands.cli import app
from gateway.commands.meter_work import in_options
from gateway.config.site_file import load
from gateway.declared import Declared, Ratio
from gateway.errors import MetergateError
from tests.sim import site as texts

if TYPE_CHECKING:
    from pathlib import Path

WHY = ("--why", "w", "--by", "Li")
KEY = "energy_active_import_2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A site of one meter, of which no gateway runs."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "fake-meter.toml").write_text(texts.profile(4))
    site = tmp_path / "site.toml"
    link = texts.LINK.format(id="link-1", port=1)
    site.write_text(texts.SITE + link + texts.METER.format(id="m-001", link="link-1", unit=7, period_s=1))
    return site


def refused(file: Path, *words: str) -> tuple[int, str]:
    """Return exit code and what was said, in one line without the frame around it."""
    found = CliRunner().invoke(app, [words[0], "--config", str(file), *words[1:]])
    said = f"{found.output} {found.exception or ''}"
    return found.exit_code, re.sub(r"[\s│╭╮╰╯─]+", " ", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("swap", "m-001", "--serial", "A", "--at", "2100-01-01", *WHY), "2100-01-01 00:00:00+08:00 is in the future"),
        (("swap", "m-001", *WHY), "say the number of the new meter"),
        (("swap", "m-001", "--undo", "--serial", "A", *WHY), "it takes the newest swap back as it was recorded"),
        (("ratio", "m-001", "ct", *WHY), "such as ct=300/5"),
        (("ratio", "m-001", "ct=", *WHY), "such as ct=300/5"),
        (("ratio", "m-001", "ct=60", "--at", "2100-01-01", *WHY), "is in the future"),
        (("maintenance", "m-001", "--for", "100d", *WHY), "100d is longer than 90d, the longest there is"),
        (("maintenance", "m-001", "--for", "0s", *WHY), "to end it say --end"),
        (("maintenance", "m-001", "--end", "--removed"), "--end ends whatever there is"),
        (("maintenance", "link-1", "--for", "5d", "--removed", *WHY), "only a meter is sent for verification"),
        (("replay", "m-001", "now", "2026-01-02", "--dry-run"), "is not before TO, 2026-01-02 00:00:00+08:00"),
    ],
)  # fmt: skip
def test_wrong_usage_is_said_in_the_words_of_the_command(
    file: Path, words: tuple[str, ...], said: str
) -> None:
    code, found = refused(file, *words)
    assert code == 2, found
    assert said in found
    assert "_ns" not in found


def test_a_channel_that_is_no_counter_is_refused_before_anybody_is_asked(file: Path) -> None:
    code, found = refused(file, "swap", "m-001", "--serial", "A", "--closing", "power_active_0=1", *WHY)
    assert code == 1
    assert f"--closing: power_active_0 is no counter; those of m-001: {KEY}" in found


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("effective_ns: 2100 is in the future", "--at: 2100 is in the future"),
        (
            'closing.a: expected a decimal number, found "x"',
            '--closing a: expected a decimal number, found "x"',
        ),
        ("m-001: no closing reading of a is known", "m-001: no closing reading of a is known"),
        ('ratio: no "vt" here; known: ct', 'NAME=VALUE: no "vt" here; known: ct'),
        ("no such thing", "no such thing"),
    ],
)
def test_a_refusal_of_the_gateway_names_options(refusal: str, said: str) -> None:
    assert in_options(refusal) == said


def test_what_the_gateway_refuses_reaches_the_user_in_options(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object, **more: object) -> dict[str, object]:
        assert more["closing"] == {KEY: None}, "unknown is asked as null"
        raise MetergateError("why: expected a text of at most 500 characters")

    monkeypatch.setattr(meter_work, "ask_async", ask)
    words = ("swap", "m-001", "--serial", "A", "--closing", f"{KEY}=unknown", *WHY)
    assert "--why: expected a text of at most 500 characters" in refused(file, *words)[1]


def test_a_meter_without_counters_has_no_readings_to_keep(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object, **__: object) -> dict[str, object]:
        return {"closing": {}, "opening": {}, "effective_ns": 10**18, "durable": True}

    monkeypatch.setattr(meter_work, "ask_async", ask)
    code, found = refused(file, "swap", "m-001", "--serial", "A", *WHY)
    assert code == 0
    assert "It has no counters: there are no readings to keep, only its identity changed." in found


def test_a_check_tells_of_a_recorded_ratio_the_file_does_not_have(file: Path) -> None:
    declared = Declared(load(file).gateway.state_dir)
    declared.set_ratio("m-001", "ct", Ratio("40", "60", 10**18, "Li", "CTs"))
    declared.save()
    assert "was recorded" not in refused(file, "check")[1], "only the meter knows its ratio"
    text = file.read_text()
    for ct, told in (("60", False), ("40", True)):
        profile = file.parent / "profiles" / "fake-meter.toml"
        profile.write_text(texts.profile(4).replace('address = 900\ntype = "u16"', "configured = true"))
        file.write_text(f'{text}\n[meters.ratios]\nct = "{ct}"\n')
        code, found = refused(file, "check")
        assert code == 0, found
        assert ("meters.m-001: ratio ct was recorded as 60 instead of 40" in found) == told
        assert ('write ratios.ct = "60" into the table of meter m-001' in found) == told

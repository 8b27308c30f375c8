"""`maintenance`, `swap`, `ratio`, `commission` and `replay` as they are called, against a running gateway."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import SystemClock
from gateway.commands.options import meter_of, user
from gateway.commissioning.walk import Facts, Walk
from gateway.config.site_file import load
from tests.fakes.influx import FakeInflux
from tests.integration.test_replay import COUNTER, CT, RIGHT, WRONG, Plant, events, meter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.test_bus import ModbusMeter

__all__ = ["meter"]
KEY = "energy_active_import_2"
NOW_KWH = COUNTER * CT / 10


@pytest.fixture
async def plant(tmp_path: Path, meter: ModbusMeter) -> AsyncIterator[Plant]:
    """A site whose file lies on disk, for commands."""
    async with FakeInflux() as influx:
        found = Plant(tmp_path, meter.port, influx.url)
        (tmp_path / "site.toml").write_text(found.text)
        yield found


async def called(plant: Plant, *words: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of `metergate`."""
    command = (
        sys.executable,
        "-m",
        "gateway",
        words[0],
        "--config",
        str(plant.folder / "site.toml"),
        *words[1:],
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def told(plant: Plant, *words: str) -> Any:
    code, out, err = await called(plant, *words, "--json")
    assert code == 0, err
    return json.loads(out)


async def test_maintenance_is_declared_listed_and_ended(plant: Plant) -> None:
    async with plant.running(readings=3) as gateway:
        code, out, _ = await called(plant, "maintenance", "m-001", "--for", "2h", "--why", "CT", "--by", "Li")
        assert code == 0
        assert "m-001: under maintenance until" in out
        (row,) = await told(plant, "maintenance")
        assert (row["subject"], row["why"], row["by"]) == ("m-001", "CT", "Li")
        assert (await told(plant, "maintenance", "m-001", "--end"))["until_ns"] is None
        assert await told(plant, "maintenance") == []
        code, _, err = await called(plant, "maintenance", "m-01", "--end")
        assert code == 1
        assert "did you mean m-001" in err
        code, _, err = await called(plant, "maintenance", "m-001", "--for", "2h")
        assert code == 2, "without a reason"
        await gateway.journal.flush()
        assert [e["why"] for e in events(gateway, "maintenance_begin")] == ["CT"]


async def test_a_swap_keeps_read_and_typed_readings(plant: Plant) -> None:
    words = ("swap", "m-001", "--serial", "A77", "--by", "Li", "--why", "dead")
    async with plant.running(readings=3) as gateway:
        code, out, err = await called(plant, *words, "--opening", f"{KEY}=0.5 MWh")
        assert code == 0, err
        assert "500" in out
        assert "typed" in out
        (event,) = events(gateway, "meter_swap")
        code, _, err = await called(plant, *words, "--closing", "energy_active_import_3=1")
        assert code == 1
        assert f"did you mean {KEY}" in err
        code, _, err = await called(plant, *words, "--at", "yesterday")
        assert code == 2
        code, _, err = await called(plant, *words[:-1], " ")
        assert (code, "--why" in err) == (2, True)
    assert event["serial"] == "A77"
    closing, opening = event["closing"][KEY], event["opening"][KEY]
    assert (float(closing["reading"]), closing["unit"], closing["from"]) == (NOW_KWH, "kW·h", "journal")
    assert (float(opening["reading"]), opening["from"]) == (500, "typed")


async def test_a_reading_that_cannot_be_is_kept_and_never_silently(plant: Plant) -> None:
    words = ("--why", "month's end", "--by", "Li")
    async with plant.running(readings=3) as gateway:
        code, out, err = await called(plant, "reading", "m-001", f"{KEY}={NOW_KWH - 1}", *words)
        assert (code, KEY in out) == (0, True)
        assert "LOOK AGAIN" in err
        assert f"{NOW_KWH - 1}" in err, "what was typed"
        assert re.search(rf"the last reading known, {NOW_KWH:.0f}\S* kW·h at 20", err), "what there was"
        assert ", by hand" not in err
        first = json.loads((await called(plant, "reading", "m-001", f"{KEY}=-5", *words, "--json"))[1])
        assert any("is negative" in text for text in first["warnings"])
        at = first["readings"][0]["time_ns"]
        more = await told(plant, "reading", "m-001", f"{KEY}={NOW_KWH + 1}", *words)
        assert more["warnings"] == []
        assert more["readings"][0]["time_ns"] > at
        assert len(events(gateway, "manual_reading")) == 3


async def test_a_ratio_is_recorded_and_what_is_left_is_said(plant: Plant) -> None:
    async with plant.running(readings=3) as gateway:
        words = ("--why", "larger CTs")
        code, out, err = await called(plant, "ratio", "m-001", "ct=6000/5", *words)
        assert code == 0, err
        assert "ct is 1200 instead of 900" in out
        assert "set ct in meter m-001 itself" in out
        (event,) = events(gateway, "ratio_change")
        code, _, err = await called(plant, "ratio", "m-001", "vt=2", *words)
        assert code == 1
        assert "known: ct" in err
    assert (event["before"], event["after"]) == ("900", "1200")
    assert event["by"] == user(), "who calls, if nobody says who"
    assert float(event["closing"][KEY]["reading"]) == NOW_KWH


async def test_without_a_gateway_they_say_why_one_is_needed(plant: Plant) -> None:
    async with plant.running():
        pass
    for words in (
        ("maintenance",),
        ("swap", "m-001", "--serial", "1", "--by", "Li", "--why", "x"),
        ("ratio", "m-001", "ct=1", "--by", "Li", "--why", "x"),
        ("replay", "m-001", "2026-01-01", "now", "--why", "x"),
    ):
        code, _, err = await called(plant, *words)
        assert code == 1
        assert "needs the running gateway" in err


@pytest.mark.parametrize("is_live", [True, False])
async def test_commission_writes_a_record_with_and_without_a_gateway(plant: Plant, is_live: bool) -> None:
    words = (
        "commission",
        "m-001",
        "--by",
        "Li",
        "--no-input",
        "--reads",
        "2",
        "--every",
        "50ms",
        "--plate",
        "ct=4500/5",
    )
    good = ("--display", f"{KEY}={NOW_KWH:.1f}", "--age", "1s")
    bad = ("--display", f"{KEY}={NOW_KWH / 450:.1f}", "--plate", "ct=900", "--json")
    async with plant.running(readings=3) as gateway:
        if is_live:
            code, out, err = await called(plant, *words, *good, "--json")
            other_code, other_out, _ = await called(plant, *words[:-2], *bad)
            found = events(gateway, "commissioned")
    if not is_live:
        code, out, err = await called(plant, *words, *good, "--json")
        other_code, other_out, _ = await called(plant, *words[:-2], *bad)
    assert code in (0, 1), err
    record = json.loads(out)
    assert (record["through_gateway"], record["event"]) == (is_live, is_live)
    results = {step["name"]: step["result"] for step in record["steps"]}
    assert results["ratio ct"] == results[f"display {KEY}"] == "pass"
    assert results["identity"] == results["serial number"] == results["direction"] == "not judged"
    assert record["passed"] == (code == 0) == (results["clock"] == "pass")
    (plain, second) = sorted((plant.folder / "commissioning").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600
    kept = tomllib.loads(plain.read_text())
    assert kept["meter"] == "m-001"
    assert kept["by"] == "Li"
    assert [step["result"] for step in kept["steps"]] == [step["result"] for step in record["steps"]]
    assert other_code == 1
    (display,) = [s for s in json.loads(other_out)["steps"] if s["name"].startswith("display")]
    assert display["result"] == "fail"
    assert "450 times" in display["text"]
    if is_live:
        assert [(e["record"], e["passed"]) for e in found] == [
            (plain.name, record["passed"]),
            (second.name, False),
        ]


async def test_commission_asks_again_and_for_what_only_the_person_knows(plant: Plant) -> None:
    asked: list[str] = []
    secondary = f"{NOW_KWH / 900:.1f}"
    answers = {
        "Number": ["A77"],
        "Ratio": ["abc", "4500/5"],
        KEY: ["12,5", secondary],
        secondary: ["perhaps", "yes"],
    }

    async def prompt(question: str) -> str:
        asked.append(question)
        word = question.splitlines()[-1].split()[0]
        return answers[word].pop(0) if answers.get(word) else ""

    async with plant.running(readings=3):
        site = load(plant.folder / "site.toml")
    facts = Facts(shown={}, plates={}, serial="", expect="import", age_s=1.0, reads=2, every_s=0.01)
    walk = Walk(site, meter_of(site, "m-001"), facts, SystemClock(), prompt)
    await walk.go()
    steps = {step.name: step for step in walk.steps}
    assert steps["ratio ct"].result == "pass"
    assert steps[f"display {KEY}"].result == "pass", steps[f"display {KEY}"].text
    assert "x 900" in steps[f"display {KEY}"].text
    reasons = [question.splitlines()[0] for question in asked if "\n" in question]
    assert [reason.split('"')[1] for reason in reasons] == ["abc", "12,5", "perhaps"]


@pytest.mark.parametrize(
    ("said", "result"), [("", "not judged"), ("x900", "pass"), (" kWh x 4000/5", "fail")]
)
async def test_commission_with_a_display_that_leaves_the_ratio_out(
    plant: Plant, said: str, result: str
) -> None:
    shown = f"{KEY}={NOW_KWH / 900:.1f}{said}"
    words = (
        "commission",
        "m-001",
        "--by",
        "Li",
        "--reads",
        "2",
        "--every",
        "10ms",
        "--display",
        shown,
        "--json",
    )
    async with plant.running(readings=3):
        pass
    code, out, err = await called(plant, *words)
    assert code in (0, 1), err
    (display,) = [step for step in json.loads(out)["steps"] if step["name"].startswith("display")]
    assert display["result"] == result, display["text"]


async def test_replay_counts_and_rewrites(plant: Plant) -> None:
    async with plant.running((RIGHT, WRONG), readings=30):
        pass
    async with plant.running():
        code, out, err = await called(plant, "replay", "m-001", "2020-01-01", "now", "--dry-run")
        assert code == 0, err
        assert "Only counted" in out
        assert f"{NOW_KWH:.10g}" in out
        code, _, err = await called(plant, "replay", "m-001", "2020-01-01", "now")
        assert (code, "--why" in err) == (2, True), "nothing is overwritten without a reason"
        why = ("--why", "scale")
        code, out, err = await called(plant, "replay", "m-001", "2020-01-01", "now", "--by", "Li", *why)
        assert code == 0, err
        assert "readings rewritten" in out
        assert (await told(plant, "replay", "m-001", "2020-01-01", "2020-01-02", *why))["layouts"] == []
        code, out, _ = await called(plant, "replay", "m-001", "2020-01-02", "2020-01-01", *why)
        assert code == 2

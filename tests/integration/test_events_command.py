"""`metergate events`: from a running gateway over its socket, and from the journal of one that rests or was killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gateway.commands.event_texts import KINDS, line
from gateway.control.server import ask_async
from gateway.errors import MetergateError
from gateway.model import Event
from gateway.state_folder import state_lock
from simulators.virtual import VirtualClock
from tests.fakes.influx import FakeInflux
from tests.integration.test_meter_commands import KEY, called
from tests.integration.test_replay import Plant, meter
from tests.unit import journal_rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.test_bus import ModbusMeter

__all__ = ["meter"]
SPEC_ROW = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", re.MULTILINE)


@pytest.fixture
async def plant(tmp_path: Path, meter: ModbusMeter) -> AsyncIterator[Plant]:
    async with FakeInflux() as influx:
        found = Plant(tmp_path, meter.port, influx.url)
        (tmp_path / "site.toml").write_text(found.text)
        yield found


async def told(plant: Plant, *words: str) -> list[dict[str, Any]]:
    code, out, err = await called(plant, "events", *words, "--json")
    assert code == 0, err
    return [json.loads(text) for text in out.splitlines()]


async def test_a_running_gateway_tells_what_happened(plant: Plant) -> None:
    async with plant.running(readings=3) as gateway:
        while gateway.figures()["readings"] < 3:  # noqa: ASYNC110 - the gateway tells nobody
            await asyncio.sleep(0.01)
        path = gateway.site.gateway.socket_path
        swap: dict[str, Any] = {"meter": "m-001", "serial": "A77", "by": "Li Wei", "why": "dead display"}
        swap |= {side: {KEY: "1.5"} for side in ("closing", "opening")}
        await ask_async(path, "swap", **swap)
        rows = await told(plant)
        assert [row["time_ns"] for row in rows] == sorted(row["time_ns"] for row in rows)
        assert (rows[0]["kind"], rows[-1]["kind"]) == ("start", "meter_swap")
        assert rows[-1].keys() == {"time_ns", "kind", "subject", "detail"}
        assert rows[-1]["detail"]["serial"] == "A77"
        assert "plan" not in {row["kind"] for row in rows}
        assert {row["kind"] for row in await told(plant, "--kind", "plan")} == {"plan"}
        assert [row["kind"] for row in await told(plant, "--last", "1")] == ["meter_swap"]
        assert await told(plant, "--from", "2020-01-01") == rows
        assert await told(plant, "--to", "2020-01-01") == []
        of_link = await told(plant, "link-1")
        assert {row["subject"] for row in of_link} == {"link-1", "m-001"}
        code, out, _ = await called(plant, "events", "m-001", "--kind", "meter_swap")
        assert code == 0
        assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\+08:00  m-001  meter_swap 换表: another meter", out)
        assert 'by="Li Wei"' in out
        code, out, _ = await called(plant, "events", "m-01")
        assert "No event of m-01, which the site file does not have either; did you mean m-001?" in out
        code, _, err = await called(plant, "events", "--kind", "swap")
        assert code == 2
        assert "did you mean meter_swap?" in re.sub(r"[\s│]+", " ", err)
        code, _, err = await called(plant, "events", "--from", "2026-02-02", "--to", "2026-02-01")
        assert (code, "is not before --to" in err) == (2, True)


async def test_pages_are_small_and_lose_nothing_either_way(plant: Plant) -> None:
    async with plant.running(readings=3) as gateway:
        for n in range(3000):
            gateway.journal.note(Event(1_000 + n, "crash", "task", {"error": f"{n} " + "x" * 400}))
        await gateway.journal.flush()
        path = gateway.site.gateway.socket_path
        for back in (False, True):
            at: int | None = None
            seen: list[dict[str, Any]] = []
            while True:
                page = await ask_async(path, "events", kinds=["crash"], back=back, at=at, most=100)
                assert len(json.dumps(page)) < 800_000
                seen = page["events"] + seen if back else seen + page["events"]
                at = page["at"]
                if page["is_end"]:
                    break
            assert [row["time_ns"] - 1_000 for row in seen] == list(range(3000))
        for wrong in ({"at": -1}, {"kinds": "crash"}, {"most": 0}, {"from_ns": "x"}, {"more": 1}):
            with pytest.raises(MetergateError, match=next(iter(wrong))):
                await ask_async(path, "events", **wrong)


async def test_what_is_new_is_followed(plant: Plant) -> None:
    async with plant.running(readings=3) as gateway:
        command = (sys.executable, "-m", "gateway", "events", "--config", str(plant.folder / "site.toml"))
        process = await asyncio.create_subprocess_exec(
            *command,
            "--follow",
            "--json",
            "--kind",
            "crash",
            "--kind",
            "start",
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            assert json.loads(await process.stdout.readline())["kind"] == "start"
            gateway.journal.note(Event(5, "crash", "task", {"error": "e"}))
            assert json.loads(await process.stdout.readline())["kind"] == "crash"
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


async def test_a_journal_at_rest_is_read_and_not_touched(plant: Plant) -> None:
    async with plant.running(readings=3) as gateway:
        folder = gateway.site.gateway.state_dir
    before = {file.name: (file.stat().st_mtime_ns, file.stat().st_size) for file in folder.glob("journal*")}
    rows = await told(plant)
    assert [rows[0]["kind"], rows[-1]["kind"]] == ["start", "stop"]
    assert {f.name: (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.glob("journal*")} == before
    code, _, err = await called(plant, "events", "--follow")
    assert (code, "--follow needs the running gateway" in err) == (1, True)
    with state_lock(folder):
        code, _, err = await called(plant, "events")
        assert (code, "does not answer" in err) == (1, True)
    (folder / "journal.db").unlink()
    code, _, err = await called(plant, "events")
    assert (code, "there is no journal" in err) == (1, True)


async def test_what_a_kill_left_in_the_log_is_read_too(plant: Plant) -> None:
    async with plant.running() as gateway:
        folder = gateway.site.gateway.state_dir
    journal = journal_rig.open_journal(folder, VirtualClock(journal_rig.START_NS))
    journal.note(Event(7, "crash", "task", {"error": "killed"}))
    await journal.flush()
    copies = {file.name: file.read_bytes() for file in folder.glob("journal*")}
    await journal.close()
    for name, body in copies.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(body)
    assert copies["journal.db-wal"]
    (row,) = await told(plant, "--kind", "crash")
    assert row["detail"] == {"error": "killed"}
    assert (folder / "journal.db").read_bytes() == copies["journal.db"]
    assert (folder / "journal.db-wal").read_bytes() == copies["journal.db-wal"]


def test_every_kind_of_the_specification_has_a_sentence(request: pytest.FixtureRequest) -> None:
    spec = (request.config.rootpath / "docs" / "specs" / "journal.md").read_text()
    part = spec[spec.index("\n## Events") : spec.index("\n## Readers")]
    kinds = {name for row in SPEC_ROW.findall(part) for name in re.findall("`([a-z_]+)`", row)}
    assert kinds
    assert kinds | {"gap"} == KINDS.keys()


def test_a_line_has_local_times_and_names_what_is_unknown() -> None:
    side = {"reading": "12.5", "unit": "kW·h", "time_ns": journal_rig.START_NS, "from": "journal"}
    detail = {"closing": {"a": side, "b": None}, "effective_ns": journal_rig.START_NS, "by": "", "n": 3}
    event = {"time_ns": journal_rig.START_NS, "kind": "meter_swap", "subject": "m-1", "detail": detail}
    at = "2023-11-15 06:13:20+08:00"
    assert line(event, "Asia/Shanghai") == (
        f"{at}  m-1  meter_swap 换表: another meter hangs there  "
        f'closing.a="12.5 kW·h at {at}, journal" closing.b=unknown effective="{at}" n=3'
    )
    undo = event | {"detail": {"undoes": {"serial": "A"}}}
    assert "a swap is taken back" in line(undo, "Asia/Shanghai")
    assert line(event | {"kind": "later", "detail": {}}, "UTC").endswith("m-1  later")

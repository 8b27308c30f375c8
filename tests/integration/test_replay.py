"""A corrected profile, replayed: over real sockets, in a running gateway, into databases."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway import assembly
from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.config.site_file import from_toml
from gateway.control.server import ask_async
from gateway.errors import MetergateError
from gateway.journal.records import unpack
from gateway.layout import Layout
from gateway.model import Event
from gateway.state_folder import state_lock
from tests.fakes.influx import Answer, FakeInflux
from tests.integration.test_bus import ModbusMeter
from tests.servers import VictoriaMetrics
from tests.sim import site as texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

INFLUX = """
[[sinks]]
id = "history"
kind = "influx"
url = "{url}"
org = "plant"
bucket = "meters"
token_file = "token"
flush = "100ms"
"""
COUNTER = 0x00040005  # what the meter shows at address 4
CT = 900
WRONG, RIGHT = 'factor = "0.01"', 'factor = "0.1"'
ALL = {"from_ns": 0, "to_ns": 2**62}


@pytest.fixture
async def meter() -> AsyncIterator[ModbusMeter]:
    """A Modbus TCP meter on a free port."""
    found = ModbusMeter()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


class Plant:
    """A gateway that can be started again with another profile."""

    def __init__(self, folder: Path, port: int, url: str) -> None:
        self.folder = folder
        (folder / "profiles").mkdir()
        (folder / "token").write_text("secret")
        text = texts.SITE + texts.LINK.format(id="link-1", port=port) + INFLUX.format(url=url)
        self.text = text + texts.METER.format(id="m-001", link="link-1", unit=7, period_s=0.1)

    @contextlib.asynccontextmanager
    async def running(self, *changes: tuple[str, str], readings: int = 0) -> AsyncIterator[Gateway]:
        """Run with the usual profile, changed; leave once so many readings more have been delivered."""
        text = texts.profile(3)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (self.folder / "profiles" / "fake-meter.toml").write_text(text)
        site = from_toml(self.text, self.folder / "site.toml")
        stop = asyncio.Event()
        with state_lock(site.gateway.state_dir):
            gateway = Gateway(site, assembly.library(site), SystemClock())
            life = asyncio.create_task(gateway.run(stop))
            while not site.gateway.socket_path.exists():  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.01)
            try:
                yield gateway
                while (  # noqa: ASYNC110 - nor that
                    gateway.figures()["sinks"]["history"]["delivered"] < readings
                ):
                    await asyncio.sleep(0.01)
            finally:
                stop.set()
                await life

    async def replay(self, gateway: Gateway, **more: Any) -> dict[str, Any]:
        path = gateway.site.gateway.socket_path
        await ask_async(path, "replay", **({"meter": "m-001", "why": "profile mended"} | ALL | more))
        while True:
            state: dict[str, Any] = await ask_async(path, "replay_state")
            if state["phase"] == "failed":
                raise MetergateError(state["error"])
            if state["phase"] == "done":
                result: dict[str, Any] = state["result"]
                return result
            await asyncio.sleep(0.01)


def points(lines: list[bytes]) -> dict[tuple[str, int], dict[str, str]]:
    """Return (series, time) -> fields as InfluxDB keeps them: those of a repeated line are added."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    for line in lines:
        series, fields, time_ms = line.decode().split(" ")
        own = found.setdefault((series, int(time_ms)), {})
        own |= dict(field.split("=", 1) for field in fields.split(","))
    return found


def events(gateway: Gateway, kind: str) -> list[dict[str, Any]]:
    rows = gateway.journal._store.read(0, 2**62, 2**62)
    records = [r for row in rows for r in unpack(row.body, gateway.journal._layouts.get)]
    return [dict(r.detail) for r in records if isinstance(r, Event) and r.kind == kind]


async def test_a_correction_is_counted_declared_written_and_written_again(
    tmp_path: Path, meter: ModbusMeter
) -> None:
    async with FakeInflux() as influx:
        plant = Plant(tmp_path, meter.port, influx.url)
        async with plant.running((RIGHT, WRONG), readings=30):
            pass
        wrong = points(influx.stored)
        async with plant.running() as gateway:
            with pytest.raises(MetergateError, match="why: expected a text"):
                await plant.replay(gateway, why=None)
            counted = await plant.replay(gateway, dry_run=True, why="")
            assert events(gateway, "replay") == []
            done = await plant.replay(gateway, by="Li Wei", why="scale of energy")
            (rule,) = events(gateway, "replay")
            (layout, *newer) = done["layouts"]
            again_at = len(influx.stored)
            again = await plant.replay(gateway)
            assert again["repeat"]
            assert len(events(gateway, "replay")) == 1, "a repeat is no new rule"
    assert [row["rev"] for row in newer] == [0] * len(newer), "what was read since needs no correction"
    assert counted["layouts"][0]["rev"] == layout["rev"] == 1
    assert layout["readings"] == 3 * len(wrong) == layout["frames"] * 3
    assert layout["changed"] == len(wrong)
    assert [row["changed"] for row in newer] == [0] * len(newer), "what reads alike is not changed"
    assert done["older_gone"] is False, "a journal that has only begun has lost nothing"
    channel = layout["channels"]["energy_active_import_2"]
    assert channel["first"] == pytest.approx([COUNTER * CT / 100, COUNTER * CT / 10])
    assert rule | {"by": "Li Wei", "why": "scale of energy", "rev": 1, "readings": 3 * len(wrong)} == rule
    assert (rule["before"], rule["after"]) == (layout["before"], layout["after"])
    assert Layout.from_dict(rule["layout"]).digest == rule["after"], (
        "whole: the next correction explains this one"
    )
    assert done["sinks"]["history"] == {"written": 3 * len(wrong), "refused": 0, "reason": ""}
    right = points(influx.stored[:again_at])
    for at, fields in wrong.items():
        assert float(fields["energy_active_import_2"]) == pytest.approx(COUNTER * CT / 100)
        assert float(right[at]["energy_active_import_2"]) == pytest.approx(COUNTER * CT / 10)
        assert right[at]["rev"] == "1i"
        assert right[at]["power_active_0"] == fields["power_active_0"]
    assert all(("rev" in fields) == (at in wrong) for at, fields in right.items())
    assert points(influx.stored).items() >= right.items(), "a repeat is the same lines"


async def test_a_second_correction_has_a_higher_revision_and_going_back_too(
    tmp_path: Path, meter: ModbusMeter
) -> None:
    async with FakeInflux() as influx:
        plant = Plant(tmp_path, meter.port, influx.url)
        async with plant.running((RIGHT, WRONG), readings=9):
            pass
        first = min(points(influx.stored))
        for n, (change, value) in enumerate(
            [((RIGHT, RIGHT), COUNTER * CT / 10), ((RIGHT, 'factor = "1"'), COUNTER * CT)], 1
        ):
            async with plant.running(change) as gateway:
                await plant.replay(gateway)
            fields = points(influx.stored)[first]
            assert fields["rev"] == f"{n}i"
            assert float(fields["energy_active_import_2"]) == pytest.approx(value)
        async with plant.running((RIGHT, WRONG)) as gateway:
            await plant.replay(gateway)
        assert points(influx.stored)[first]["rev"] == "3i"
        assert float(points(influx.stored)[first]["energy_active_import_2"]) == pytest.approx(
            COUNTER * CT / 100
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("address = 4\n", "address = 6\n"), "was read at 3:4:2, the corrected profile reads 3:6:2"),
        (('type = "u32"', 'type = "u16"'), "3:4:2, the corrected profile reads 3:4:1"),
        (("[channels.energy_active_import_2]", "[channels.energy_active_import_9]"), "is not there any more"),
    ],
)
async def test_other_bytes_are_refused(
    tmp_path: Path, meter: ModbusMeter, change: tuple[str, str], said: str
) -> None:
    async with FakeInflux() as influx:
        plant = Plant(tmp_path, meter.port, influx.url)
        async with plant.running(readings=3):
            pass
        before = len(influx.stored)
        async with plant.running(change) as gateway:
            with pytest.raises(MetergateError, match=said) as refusal:
                await plant.replay(gateway)
            assert re.search(r"first met at 20\d\d-.*\+08:00\)$", str(refusal.value)) or "any more" in said
            assert events(gateway, "replay") == []
        assert not any(b"rev=" in line for line in influx.stored[before:])


async def test_an_outage_of_the_database_is_waited_out_and_a_refusal_counted(
    tmp_path: Path, meter: ModbusMeter
) -> None:
    async with FakeInflux() as influx:
        plant = Plant(tmp_path, meter.port, influx.url)
        async with plant.running((RIGHT, WRONG), readings=30):
            pass
        async with plant.running() as gateway:
            influx.script = [Answer(503), Answer(503)]
            done = await plant.replay(gateway)
            assert done["sinks"]["history"]["refused"] == 0
            influx.refuse = lambda line: "no" if b"rev=" in line else ""
            refused = await plant.replay(gateway)
    told = refused["sinks"]["history"]
    assert told["written"] == 0
    assert told["refused"] == done["sinks"]["history"]["written"]
    assert "no" in told["reason"]


async def test_a_database_gets_the_corrected_values(
    tmp_path: Path, meter: ModbusMeter, free_port: Callable[[], int]
) -> None:
    with VictoriaMetrics(tmp_path / "vm", free_port()) as database:
        plant = Plant(tmp_path, meter.port, database.url)
        async with plant.running((RIGHT, WRONG), readings=30):
            pass
        (energy,) = database.export('{__name__="meter_energy_active_import_2"}').values()
        async with plant.running() as gateway:
            done = await plant.replay(gateway)
        (after,) = database.export('{__name__="meter_energy_active_import_2"}').values()
        (revs,) = database.export('{__name__="meter_rev"}').values()
    assert done["layouts"][0]["frames"] == len(energy)
    assert set(revs) == set(energy)
    for time_ms, values in energy.items():
        assert values == [pytest.approx(COUNTER * CT / 100)]
        assert after[time_ms] == [pytest.approx(COUNTER * CT / 10)], (
            "the greater of two at one time counts there"
        )
        assert revs[time_ms] == [1.0]

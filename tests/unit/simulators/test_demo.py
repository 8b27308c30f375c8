"""The plants that are shipped: at least 40 meters, read by a foreign client, and a site file the gateway takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from pymodbus.client import AsyncModbusTcpClient
from rich.console import Console

from gateway.config.site_file import load
from gateway.errors import MetergateError
from gateway.quantity import QUANTITIES
from simulators import demo
from simulators.faults import KINDS, LOOPBACK
from simulators.plan import load_plan
from simulators.run import DEMO_FAULTS_FILE, DEMO_FILE, serve
from simulators.site import Site
from simulators.site_file import site_toml

if TYPE_CHECKING:
    from pathlib import Path

FLOAT = AsyncModbusTcpClient.DATATYPE.FLOAT32
# meter, function, address, registers, factor, low, high: from the profiles' documents, high word first unless "little"
SANE = [
    ("hall-a", "spin-1", 4, 0, 2, 1, 220, 240, "big"),
    ("hall-a", "wind-1", 3, 3109, 2, 1, 49.9, 50.1, "big"),
    ("hall-a", "text-1", 3, 8260, 2, 0.01, 49.9, 50.1, "big"),
    ("hall-b", "main-1", 3, 55, 2, 1, 49.9, 50.1, "big"),
    ("hall-b", "drive-1", 3, 119, 1, 0.01, 49.9, 50.1, "big"),
    ("utilities", "water-1", 3, 0, 2, 1, 40, 130, "little"),
    ("utilities", "co2-1", 3, 0, 2, 1, 350, 900, "little"),
    ("utilities", "steam-1", 4, 8, 2, 1, 1800, 5000, "big"),
]


async def number(client: AsyncModbusTcpClient, unit: int, row: tuple[object, ...]) -> float:
    """Return a value as pymodbus decodes it."""
    _, _, function, address, count, factor, _, _, order = row
    read = client.read_holding_registers if function == 3 else client.read_input_registers
    words = (await read(int(str(address)), count=int(str(count)), device_id=unit)).registers
    if count == 1:
        return words[0] * float(str(factor))
    little = "little" if order == "little" else "big"
    value = client.convert_from_registers(words, FLOAT, word_order=little)  # type: ignore[arg-type]
    return float(value) * float(str(factor))  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_the_demo_plant_is_served_and_the_gateway_takes_its_site_file(tmp_path: Path) -> None:
    plan = load_plan(DEMO_FILE)
    assert len(plan.meters) >= 40
    assert {link.kind for link in plan.links} == {"modbus-tcp", "serial", "opcua"}
    assert sum(meter.link == "dcs" for meter in plan.meters) >= 6
    assert not plan.faults
    running = await serve(plan)
    try:
        assert len(set(running.ports.values())) == len(plan.links)
        units = {meter.id: meter.unit for meter in plan.meters}
        for row in SANE:
            client = AsyncModbusTcpClient(LOOPBACK, port=running.ports[row[0]])
            assert await client.connect()
            value = await number(client, units[row[1]], row)
            client.close()
            assert row[6] < value < row[7], row[1]
        site_file = tmp_path / "site.toml"
        site_file.write_text(
            site_toml(plan, running.ports, state_dir=str(tmp_path / "state")), encoding="utf-8"
        )
        config = load(site_file)
        assert {meter.id for meter in config.meters} == set(units)
    finally:
        await running.stop()


def test_every_meter_can_show_its_values_for_days_and_they_are_plausible() -> None:
    plan = load_plan(DEMO_FILE)
    now_ns = time.time_ns()
    site = Site(plan, now_ns)
    for hours in (0, 0.003, 3, 9, 14, 22, 24 * 7, 24 * 30):
        at_ns = now_ns + round(hours * 3.6e12)
        for name, meter in site.meters.items():
            meter.check(site.seconds(at_ns))
            quantities = {r.key: r.quantity for r in meter.map.registers} if meter.map else {}
            quantities |= {v.key: v.quantity for v in meter.plan.variables}
            for key in meter.plan.channels or quantities:
                quantity = QUANTITIES[quantities[key]]
                value = site.truth(name, key, at_ns, quantity.unit)
                assert quantity.low is None or value >= quantity.low, (name, key, value)
                assert quantity.high is None or value <= quantity.high, (name, key, value)


def test_the_rollover_of_the_demo_happens_during_it() -> None:
    plan = load_plan(DEMO_FILE)
    site = Site(plan, time.time_ns())
    reading = [
        site.truth("main-3", "energy_active_import_total_t1", site.start_ns + s * 10**9, "kWh")
        for s in (7, 9)
    ]
    assert reading[0] > 999_999_990
    assert reading[1] < 10


def test_the_bad_day_tries_many_troubles() -> None:
    plan = load_plan(DEMO_FAULTS_FILE)
    assert len(plan.meters) >= 40
    assert len({fault.kind for fault in plan.faults}) >= 8
    assert all(
        fault.kind in KINDS[link.kind]
        for fault in plan.faults
        for link in plan.links
        if link.id == fault.link
    )
    assert all(link.proxy for link in plan.links if link.kind != "serial")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_recording_that_is_there_is_not_gone_on_with(tmp_path: Path, as_json: bool) -> None:
    """Each demo has a key of its own: the second run in one file would look like a forgery."""
    file = tmp_path / "feed.jsonl"
    file.write_text("{}\n")
    options = demo.Options(1.0, json=as_json, file=None, seed=1, keep=None, record=file)
    with pytest.raises(MetergateError, match=r"feed\.jsonl: is there already.*look like a forgery"):
        demo.main(options)
    assert file.read_text() == "{}\n"
    file.write_text("")
    demo.refuse_used(file)
    with pytest.raises(MetergateError):
        demo.refuse_used(tmp_path)


@pytest.mark.parametrize("as_json", [True, False])
def test_the_demo_ends_with_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    result = {"meters": 1, "readings": 1, "frames": 1, "journaled": 1, "lost": 0, "sinks": {}}
    file = tmp_path / f"{'long-' * 20}feed.jsonl"
    options = demo.Options(1.0, json=as_json, file=None, seed=1, keep=None, record=file)
    assert demo.report(result, Console(stderr=as_json), options) == 0
    said = capsys.readouterr()
    assert (said.err if as_json else said.out).splitlines()[-1] == f"now: metergate verify {file}"
    assert len(said.out.splitlines()) == (1 if as_json else 2)

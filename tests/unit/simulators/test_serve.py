"""A small site over real sockets: foreign clients read what the site says is true."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pymodbus.client import AsyncModbusTcpClient

from gateway.errors import EXIT_CONFIG, ConfigError, MetergateError
from simulators.faults import LOOPBACK, Fault
from simulators.plan import load_plan
from simulators.run import serve

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.plan import Plan
    from simulators.run import RunningSite

TYPE = AsyncModbusTcpClient.DATATYPE


async def near(running: RunningSite, meter: str, channel: str, unit: str, value: float) -> None:
    """Assert that a value just read is what the meter showed."""
    now_ns = time.time_ns()
    assert value in [pytest.approx(t, rel=1e-9) for t in running.site.truths(meter, channel, now_ns, unit)]


@pytest.mark.asyncio
async def test_a_foreign_client_reads_the_truth(modbus_plan: Plan) -> None:
    running = await serve(modbus_plan)
    client = AsyncModbusTcpClient(LOOPBACK, port=running.ports["hall"])
    try:
        assert await client.connect()
        for function in (client.read_input_registers, client.read_holding_registers):
            words = (await function(0, count=12, device_id=1)).registers
            volts = float(client.convert_from_registers(words[0:2], TYPE.FLOAT32))  # type: ignore[arg-type]
            counts = int(client.convert_from_registers(words[10:12], TYPE.UINT32))  # type: ignore[arg-type]
            await near(running, "feeder", "voltage_ln_l1", "V", volts)
            await near(running, "feeder", "energy_active_import_total", "kWh", counts / 100)
            assert words[2:6] == [0] * 4
        assert (await client.read_input_registers(40, count=2, device_id=1)).registers == [40, 0]
        words = (await client.read_holding_registers(801, count=4, device_id=2)).registers
        energy = float(client.convert_from_registers(words, TYPE.FLOAT64))  # type: ignore[arg-type]
        await near(running, "strict", "energy_active_import_total", "Wh", energy)
    finally:
        client.close()
        await running.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("unit", "function", "address", "count", "code"),
    [
        (1, 4, 1, 2, 2),  # odd address where the meter wants even ones
        (1, 4, 0, 22, 3),  # more registers than the meter allows
        (1, 4, 100, 2, 2),  # outside the map
        (2, 3, 801, 2, 2),  # half a value
        (2, 3, 3, 2, 2),  # a hole
        (2, 4, 801, 4, 1),  # a function the meter does not know
        (9, 3, 0, 2, 11),  # nobody there
    ],
)
async def test_limits_are_enforced(
    modbus_plan: Plan, unit: int, function: int, address: int, count: int, code: int
) -> None:
    running = await serve(modbus_plan)
    client = AsyncModbusTcpClient(LOOPBACK, port=running.ports["hall"])
    try:
        assert await client.connect()
        read = {3: client.read_holding_registers, 4: client.read_input_registers}[function]
        answer = await read(address, count=count, device_id=unit)
        assert answer.isError()
        assert answer.exception_code == code
    finally:
        client.close()
        await running.stop()


@pytest.mark.asyncio
async def test_opcua_values_types_times_and_bad_status(plant_file: Path) -> None:
    from asyncua import ua
    from asyncua.client.client import Client
    from asyncua.ua.status_codes import StatusCodes

    running = await serve(load_plan(plant_file).with_proxies())
    try:
        async with Client(f"opc.tcp://{LOOPBACK}:{running.ports['dcs']}/", timeout=4) as client:
            flow = await client.get_node("ns=2;s=Boiler.Flow").read_data_value()
            total = await client.get_node("ns=2;s=Boiler.Total").read_data_value()
            assert flow.Value is not None
            assert total.Value is not None
            assert (flow.Value.VariantType, total.Value.VariantType) == (
                ua.VariantType.Float,
                ua.VariantType.Int64,
            )
            assert flow.SourceTimestamp is not None
            # The source time is the time of the measurement, so the truth is exact.
            stamp_ns = round(flow.SourceTimestamp.timestamp() * 1000) * 1_000_000
            assert flow.Value.Value == running.site.truth("boiler", "flow_mass", stamp_ns, "t/h")
            host = running.links["dcs"].host
            host.faults.append(Fault("bad", meters=frozenset({"boiler"})))  # type: ignore[union-attr]
            bad = await client.get_node("ns=2;s=Boiler.Flow").read_data_value(raise_on_bad_status=False)
            assert bad.StatusCode is not None
            assert bad.StatusCode.value == StatusCodes.BadSensorFailure
    finally:
        await running.stop()


@pytest.mark.asyncio
async def test_trouble_by_hand(modbus_plan: Plan) -> None:
    running = await serve(modbus_plan.with_proxies())
    client = AsyncModbusTcpClient(LOOPBACK, port=running.ports["hall"], timeout=0.2, retries=0)
    try:
        assert await client.connect()
        running.proxy("hall").add(Fault("exception", units=frozenset({2}), code=6))
        assert (await client.read_holding_registers(801, count=4, device_id=2)).exception_code == 6
        assert not (await client.read_input_registers(0, count=2, device_id=1)).isError()
    finally:
        client.close()
        await running.stop()


@pytest.mark.asyncio
async def test_a_taken_port_leaves_nothing_behind(modbus_plan: Plan) -> None:
    running = await serve(modbus_plan)
    try:
        taken = replace(modbus_plan.links[0], id="again", port=running.ports["hall"])
        with pytest.raises(MetergateError, match=rf"link again: port {taken.port} .* run already"):
            await serve(replace(modbus_plan, links=(*modbus_plan.links, taken)))
        with pytest.raises(LookupError, match="proxy"):
            running.proxy("hall")
    finally:
        await running.stop()


def test_a_plan_with_mistakes_lists_them_all(plant_file: Path) -> None:
    text = plant_file.read_text()
    for right, wrong in (
        ('kind = "opcua"', 'kind = "opc-ua"'),
        ('model = "steam"', 'model = "steem"'),
        ("flow_t_h = 8", "flow = 8"),
        ("unit = 2", "unit = 1"),
        ('link = "hall"\nunit = 1', 'link = "hal"\nunit = 1'),
        ("seed = 7", "sead = 7"),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    plant_file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_plan(plant_file)
    said = "\n".join(map(str, caught.value.findings))
    for expected in ("did you mean opcua", "did you mean steam", "did you mean hall", "did you mean seed"):
        assert expected in said


def test_as_a_process_of_its_own(plant_file: Path, tmp_path: Path) -> None:
    ready, site_file = tmp_path / "ready", tmp_path / "site.toml"
    sinks = tmp_path / "sinks.toml"
    sinks.write_text('[[sinks]]\nid = "mqtt"\nkind = "mqtt"\nhost = "127.0.0.1"\n')
    command = [sys.executable, "-m", "simulators.run", str(plant_file), "--seed", "3", "--json"]
    command += ["--site-out", str(site_file), "--ready-file", str(ready), "--sinks-file", str(sinks)]
    with subprocess.Popen([*command, "--period", "1s"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            table = json.loads(process.stdout.readline())
            deadline_s = time.monotonic() + 5
            while not ready.exists() and time.monotonic() < deadline_s:
                time.sleep(0.01)
            site = tomllib.loads(site_file.read_text())
            ports = json.loads(ready.read_text())["ports"]
            assert {link["id"] for link in site["links"]} == set(ports)
            assert [meter["id"] for meter in site["meters"]] == [row["meter"] for row in table["meters"]]
            assert site["meters"][0] == {
                "id": "feeder",
                "name": "1# 馈线",
                "link": "hall",
                "energy_kind": "electricity",
                "period": "1s",
                "unit": 1,
                "profile": "toy-electric",
                "ratios": {"pt": 1},
            }
            assert site["sinks"][0]["kind"] == "mqtt"
            process.send_signal(signal.SIGTERM)
            stopping_s = time.monotonic()
            assert process.wait(5) == 0
            assert time.monotonic() - stopping_s < 2  # under 1 s, and the machine is shared
        finally:
            process.kill()


def test_a_bad_file_is_refused_with_exit_78(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators.run", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == EXIT_CONFIG
    assert "does not exist" in done.stderr

"""Lines as they are served: pymodbus's own serial client on the pty and through the device server's port."""

from __future__ import annotations

import asyncio
import os
import select
import struct
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerType

from gateway.clock import SystemClock
from gateway.errors import ConfigError
from simulators.faults import LOOPBACK, Fault
from simulators.plan import load_plan
from simulators.run import serve
from simulators.site_file import site_toml
from simulators.wire import Pace, Wire
from simulators.wire_ports import PtyPort

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.plan import Plan
    from simulators.run import RunningSite

BAUD = 38_400


@pytest.fixture
def line_plan(modbus_plan: Plan) -> Plan:
    """Return the two meters of the toy plant on a serial line."""
    link = replace(modbus_plan.links[0], kind="serial", baud=BAUD, parity="N", stop=2)
    return replace(modbus_plan, links=(link,), refresh_s=3600.0)


def serial_client(running: RunningSite, baud: int = BAUD) -> AsyncModbusSerialClient:
    path = running.ports["hall"]
    return AsyncModbusSerialClient(path, baudrate=baud, parity="N", stopbits=2, timeout=0.3, retries=0)


def is_there(path: str) -> bool:
    return os.path.lexists(path)


async def voltage(client: AsyncModbusSerialClient | AsyncModbusTcpClient) -> float:
    answer = await client.read_input_registers(0, count=2, device_id=1)
    value: float = struct.unpack(">f", struct.pack(">2H", *answer.registers))[0]
    return value


def shown(running: RunningSite) -> float:
    return running.site.truth("feeder", "voltage_ln_l1", running.site.start_ns, "V")


@pytest.mark.asyncio
async def test_pymodbus_reads_several_units_over_the_pty(line_plan: Plan) -> None:
    running = await serve(line_plan)
    client = serial_client(running)
    try:
        assert await client.connect()
        assert await voltage(client) == pytest.approx(shown(running))
        energy = await client.read_holding_registers(801, count=4, device_id=2)
        (held,) = struct.unpack(">d", struct.pack(">4H", *energy.registers))
        assert held == running.site.truth("strict", "energy_active_import_total", running.site.start_ns, "Wh")
        refused = await client.read_holding_registers(802, count=2, device_id=2)
        assert refused.exception_code == 2
        tally = running.line("hall").wire.tally
        assert (tally.requests, tally.replies, tally.collisions) == (3, 3, 0)
        assert tally.bytes_sent == 24
    finally:
        client.close()
        await running.stop()


@pytest.mark.asyncio
async def test_pymodbus_reads_through_the_device_server(line_plan: Plan) -> None:
    link = replace(line_plan.links[0], kind="tcp-serial")
    running = await serve(replace(line_plan, links=(link,)))
    client = AsyncModbusTcpClient(
        LOOPBACK, port=running.ports["hall"], framer=FramerType.RTU, timeout=0.3, retries=0
    )
    try:
        assert await client.connect()
        assert await voltage(client) == pytest.approx(shown(running))
    finally:
        client.close()
        await running.stop()


@pytest.mark.asyncio
async def test_a_meter_that_is_not_there_stays_silent(line_plan: Plan) -> None:
    running = await serve(line_plan)
    client = serial_client(running)
    try:
        assert await client.connect()
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0, count=2, device_id=9)
    finally:
        client.close()
        await running.stop()


@pytest.mark.asyncio
async def test_at_another_baud_rate_nothing_is_understood(line_plan: Plan) -> None:
    running = await serve(line_plan)
    client = serial_client(running, baud=9600)
    try:
        assert await client.connect()
        with pytest.raises(ModbusIOException):
            await voltage(client)
        assert running.line("hall").misheard > 0
    finally:
        client.close()
        await running.stop()


@pytest.mark.asyncio
async def test_what_the_pty_holds_is_seen_before_anything_is_handed_over(tmp_path: Path) -> None:
    order: list[str] = []
    handed = asyncio.Event()

    class Noting(Wire):
        def feed(self, raw: bytes, late_s: float = 0.0) -> None:
            order.append(f"fed {raw.decode()}")
            super().feed(raw, late_s)

    def receive(raw: bytes) -> None:
        order.append(f"handed {raw.decode()}")
        handed.set()

    wire = Noting(SystemClock(), Pace(BAUD), {}, echo=True)
    port = PtyPort(wire, tmp_path / "line")
    port.plug()
    wire.on_bytes(receive, wire._look)
    descriptor = os.open(port.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    assert port._ends is not None
    asyncio.get_running_loop().remove_reader(port._ends[0])  # as when the loop is busy elsewhere
    try:
        wire.feed(b"A")
        os.write(descriptor, b"B")
        assert select.select([port._ends[0]], [], [], 5)[0]
        async with asyncio.timeout(5):
            await handed.wait()
        assert order[:3] == ["fed A", "fed B", "handed A"]
    finally:
        os.close(descriptor)
        port.close()
        wire.close()


@pytest.mark.asyncio
async def test_silence_that_a_master_on_the_pty_does_not_keep_is_counted(line_plan: Plan) -> None:
    running = await serve(line_plan)
    descriptor = os.open(running.ports["hall"], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    loop = asyncio.get_running_loop()
    received = bytearray()
    whole = asyncio.Event()

    def read() -> None:
        received.extend(os.read(descriptor, 256))
        if len(received) == 9:
            received.clear()
            whole.set()

    async def ask() -> None:
        whole.clear()
        os.write(descriptor, bytes.fromhex("0104 0000 0002 71cb"))
        async with asyncio.timeout(2):
            await whole.wait()

    loop.add_reader(descriptor, read)
    tally = running.line("hall").wire.tally
    try:
        await ask()
        await asyncio.sleep(running.line("hall").wire.pace.gap_s)
        await ask()
        assert (tally.requests, tally.gap_violations) == (2, 0)
        await ask()
        assert (tally.requests, tally.gap_violations) == (3, 1)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        await running.stop()


@pytest.mark.asyncio
async def test_an_unplugged_port_ends_and_comes_back_under_its_name(line_plan: Plan) -> None:
    running = await serve(line_plan)
    path = running.ports["hall"]
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        running.line("hall").unplug()
        assert not is_there(path)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(descriptor, b"x")
        running.line("hall").plug()
        client = serial_client(running)
        assert await client.connect()
        assert await voltage(client) == pytest.approx(shown(running))
        client.close()
    finally:
        os.close(descriptor)
        await running.stop()
    assert not is_there(path)


@pytest.mark.asyncio
async def test_the_port_vanishes_by_script(line_plan: Plan) -> None:
    fault = Fault("unplugged", link="hall", start_s=0.05, end_s=0.15)
    running = await serve(replace(line_plan, faults=(fault,)))
    path = running.ports["hall"]
    seen: list[bool] = []
    try:
        async with asyncio.timeout(5):
            for there in (True, False, True):
                while is_there(path) is not there:  # noqa: ASYNC110 - the file system tells nobody
                    await asyncio.sleep(0.005)
                seen.append(there)
        assert seen == [True, False, True]
    finally:
        await running.stop()


@pytest.mark.asyncio
async def test_a_device_server_that_is_half_open_reads_and_says_nothing(line_plan: Plan) -> None:
    link = replace(line_plan.links[0], kind="tcp-serial", proxy=True)
    running = await serve(replace(line_plan, links=(link,)))
    gate = running.proxy("hall")
    try:
        fault = gate.add(Fault("half_open"))
        reader, writer = await asyncio.open_connection(LOOPBACK, running.ports["hall"])
        writer.write(bytes.fromhex("0104 0000 0002 71cb"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        gate.remove(fault)
        writer.write(bytes.fromhex("0104 0000 0002 71cb"))
        with pytest.raises(TimeoutError):  # what was half open once stays so
            async with asyncio.timeout(0.2):
                await reader.read(1)
        assert running.line("hall").wire.tally.requests == 0
        writer.close()
        reader, writer = await asyncio.open_connection(LOOPBACK, running.ports["hall"])
        writer.write(bytes.fromhex("0104 0000 0002 71cb"))
        assert len(await reader.readexactly(9)) == 9
        writer.close()
    finally:
        await running.stop()


def test_the_site_file_of_a_line(line_plan: Plan) -> None:
    other = replace(line_plan.links[0], id="behind", kind="tcp-serial", baud=2400, parity="N", stop=2)
    digits = replace(line_plan.meters[1], link="behind", address="000000012345")
    plan = replace(line_plan, links=(*line_plan.links, other), meters=(line_plan.meters[0], digits))
    site = tomllib.loads(site_toml(plan, {"hall": "/tmp/x/hall", "behind": 4001}))
    serial, behind = site["links"]
    assert serial["kind"] == "serial"
    assert (serial["port"], serial["baud"], serial["parity"], serial["stop"]) == ("/tmp/x/hall", BAUD, "N", 2)
    assert (behind["host"], behind["port"], behind["baud"]) == (LOOPBACK, 4001, 2400)
    assert site["meters"][1]["address"] == "000000012345"
    assert "unit" not in site["meters"][1]


def test_lines_in_the_simulation_file(plant_file: Path) -> None:
    text = plant_file.read_text().replace(
        'kind = "modbus-tcp"', 'kind = "serial"\nbaud = 19200\nparity = "N"\nstop = 2\npath = "ttyX"', 1
    )
    text = text.replace('id = "feeder"', 'id = "feeder"\ndelay = "20ms"', 1)
    fault = '\n[[faults]]\nkind = "{}"\nlink = "hall"\nmeters = ["strict"]\n'
    plant_file.write_text(text + fault.format("crc"))
    plan = load_plan(plant_file)
    link = plan.links[0]
    path = str(plant_file.parent / "ttyX")
    assert (link.kind, link.baud, link.parity, link.stop, link.path) == ("serial", 19_200, "N", 2, path)
    assert link.proxy is False
    assert plan.meters[0].delay_s == 0.02
    assert plan.faults[0].units == {2}
    wrong = (
        ("baud = 19200", "baud = 19201"),
        ('parity = "N"', 'parity = "X"'),
        ('delay = "20ms"', 'delay = "x"'),
    )
    for right, bad in wrong:
        assert right in text
        text = text.replace(right, bad, 1)
    text = text.replace('kind = "opcua"', 'kind = "opcua"\nbaud = 9600', 1)
    plant_file.write_text(text + fault.format("wrong_transaction"))
    with pytest.raises(ConfigError) as caught:
        load_plan(plant_file)
    paths = {finding.path for finding in caught.value.findings}
    assert paths == {"links[1].baud", "links[1].parity", "links[2].baud", "meters[1].delay", "faults[1].kind"}

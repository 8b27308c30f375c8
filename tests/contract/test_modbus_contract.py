"""Modbus on TCP, on a serial line and behind a serial server, against pymodbus: values, exceptions, units, reconnects."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.registers import ReadLimits, RegisterSource
from gateway.errors import DeviceError, LinkDown
from gateway.interfaces import Poll
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Flag
from tests.contract.modbus_rigs import KINDS, Wire, linked, make_link, serving
from tests.unit.modbus.polls import holding, make_poll

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.contract.modbus_rigs import Link

HOLDING = [Random(3).randrange(65536) for _ in range(400)]
INPUT = [Random(4).randrange(65536) for _ in range(400)]
BITS = [bool(Random(address).randrange(2)) for address in range(320)]
EXCEPTION_AT = {300 + code: code for code in (1, 2, 3, 4, 6, 10, 11)}  # holding register -> exception code
UNIT_2_FIRST = 4711


async def _refuse(
    function: int,
    _start: int,
    address: int,
    count: int,
    _registers: list[int],
    _values: list[int] | list[bool] | None,
) -> ExcCodes | None:
    """Answer some holding registers with an exception."""
    for asked in range(address, address + count):
        if function == 3 and asked in EXCEPTION_AT:
            return ExcCodes(EXCEPTION_AT[asked])
    return None


def _devices() -> list[SimDevice]:
    def registers(values: list[int]) -> list[SimData]:
        return [SimData(0, values=values, datatype=DataType.REGISTERS)]

    bits = [SimData(0, values=BITS, datatype=DataType.BITS)]
    inverse = [SimData(0, values=[not bit for bit in BITS], datatype=DataType.BITS)]
    return [
        SimDevice(1, (bits, inverse, registers(HOLDING), registers(INPUT)), action=_refuse),
        SimDevice(2, registers([UNIT_2_FIRST, *range(100)])),
    ]


@pytest.fixture(params=KINDS)
async def link(request: pytest.FixtureRequest, free_port: Callable[[], int]) -> AsyncIterator[Link]:
    async with linked(request.param, _devices(), free_port) as link:
        yield link


def _raw(values: list[int], address: int, count: int) -> bytes:
    return b"".join(value.to_bytes(2) for value in values[address : address + count])


async def test_registers_of_both_kinds(link: Link) -> None:
    for function, values in ((3, HOLDING), (4, INPUT)):
        for address, count in ((0, 1), (17, 2), (290, 4)):
            (sample,) = await link.read(make_poll([(RegisterSource(function, address, count),)], timeout_s=1))
            assert sample.raw == _raw(values, address, count)
            assert not any(sample.flags)


async def test_the_largest_request(link: Link) -> None:
    sources = [holding(address) for address in range(125)]
    (sample,) = await link.read(make_poll(sources, timeout_s=1, settings=ReadLimits(registers_max=125)))
    assert sample.raw == _raw(HOLDING, 0, 125)
    assert link.figures()["requests"] == 1


async def test_many_requests_in_any_channel_order(link: Link) -> None:
    order = Random(5).sample(range(0, 290, 2), 100)
    sources = [(RegisterSource(3 + (address % 4) // 2, address, 2),) for address in order]
    (sample,) = await link.read(
        make_poll(sources, timeout_s=1, settings=ReadLimits(registers_max=20, holes="zero"))
    )
    expected = [(HOLDING, INPUT)[(address % 4) // 2][address : address + 2] for address in order]
    assert sample.raw == b"".join(value.to_bytes(2) for pair in expected for value in pair)


@pytest.mark.parametrize(("function", "on"), [(1, True), (2, False)])
async def test_bits(link: Link, function: int, on: bool) -> None:
    addresses = [0, 5, 16, 17, 18, 63, 100, 101]
    (sample,) = await link.read(
        make_poll([(RegisterSource(function, a, 1),) for a in addresses], timeout_s=1)
    )
    assert sample.raw == b"".join((BITS[a] == on).to_bytes(2) for a in addresses)


@pytest.mark.parametrize("code", EXCEPTION_AT.values())
async def test_exceptions(link: Link, code: int) -> None:
    with pytest.raises(DeviceError, match=rf"address {300 + code} .*unit 1: exception {code} \(") as caught:
        await link.read(make_poll([holding(300 + code)], timeout_s=1))
    assert caught.value.reason == "exception"
    (sample,) = await link.read(make_poll([holding(300 + code), holding(0)], timeout_s=1))
    assert sample.raw == b"\0\0" + _raw(HOLDING, 0, 1)
    # A gateway that says the meter is silent ends the poll; register 0 was asked before.
    assert list(sample.flags) == [Flag.MISSING | Flag.DEVICE, Flag.OK]
    figures = link.figures()
    assert figures.get("exceptions", figures.get("refusals")) == 2


async def test_an_address_beyond_the_meter(link: Link) -> None:
    with pytest.raises(DeviceError, match="illegal data address"):
        await link.read(make_poll([holding(5000)], timeout_s=1))


async def test_units(link: Link) -> None:
    (sample,) = await link.read(make_poll([holding(0)], unit=2, timeout_s=1))
    assert sample.raw == UNIT_2_FIRST.to_bytes(2)
    with pytest.raises(
        DeviceError, match=r"unit 3: (exception 4 \(|no answer within)"
    ):  # pymodbus 3.16's word for a unit it lacks; on a line nobody answers for another
        await link.read(make_poll([holding(0)], unit=3, timeout_s=1))


async def test_meters_take_turns(link: Link) -> None:
    for _ in range(20):
        for unit, first in ((1, HOLDING[0]), (2, UNIT_2_FIRST)):
            (sample,) = await link.read(make_poll([holding(0)], unit=unit, timeout_s=1))
            assert sample.raw == first.to_bytes(2)
    assert not link.figures()["discarded"]
    assert not link.figures().get("gap_violations")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_layout_decodes_what_was_read(kind: str, free_port: Callable[[], int]) -> None:
    values = {"u_v": 230.5, "p_kw": -12.25}
    image = [SimData(0, values=list(values.values()), datatype=DataType.FLOAT32)]
    channels = (Channel("u_v", "voltage", "V", "gauge"), Channel("p_kw", "active_power", "kW", "gauge"))
    layout = Layout("m-1", 1.0, channels, (Slot((Part("f32"),)), Slot((Part("f32"),))))
    async with linked(kind, SimDevice(1, image), free_port) as link:
        (sample,) = await link.read(Poll("m-1", "modbus", 1, layout, (holding(0, 2), holding(2, 2)), 1.0))
        assert list(layout.decode(sample.raw, sample.flags)) == list(values.values())


@pytest.mark.parametrize("kind", ["tcp", "rtu-over-tcp"])
async def test_a_server_that_went_and_came_back(kind: str, free_port: Callable[[], int]) -> None:
    port = free_port()
    link = make_link(kind, port)
    poll = make_poll([holding(0, 4)], timeout_s=1)
    with pytest.raises(LinkDown):
        await link.open()
    for _ in range(2):
        async with serving(kind, _devices(), port):
            await link.open()
            (sample,) = await link.read(poll)
            assert sample.raw == _raw(HOLDING, 0, 4)
        with pytest.raises(LinkDown):
            await link.read(poll)
        with pytest.raises(LinkDown, match="check the port"):
            await link.open()
    await link.close()


async def test_a_port_that_was_unplugged_and_plugged_in_again(tmp_path: Path) -> None:
    """The name stays, as under /dev/serial/by-id; the device behind it is another one each time."""
    name = tmp_path / "usb-adapter"
    link = make_link("rtu", 0, str(name))
    poll = make_poll([holding(0, 4)], timeout_s=0.3)
    for _ in range(2):
        with pytest.raises(LinkDown, match=r"cannot open .*No such file.*by-id"):
            await link.open()
        wire = Wire()
        name.symlink_to(wire.ends[0])
        async with serving("rtu", _devices(), 0, wire.ends[1]):
            await link.open()
            (sample,) = await link.read(poll)
            assert sample.raw == _raw(HOLDING, 0, 4)
            wire.cut()
            with pytest.raises(LinkDown, match="the port is gone"):
                await link.read(poll)
        name.unlink()
    await link.close()

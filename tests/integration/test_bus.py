"""Commands reach a meter through the gateway that runs, or directly, over real sockets, and never both."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING

import pytest

from gateway import assembly
from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.commissioning.bus import Bus, DirectBus, LiveBus, connect, offline
from gateway.config.site_file import from_toml
from gateway.control.errands import Question
from gateway.control.requests import BadRequest
from gateway.errors import DeviceError, StorageError
from gateway.state_folder import state_lock
from tests.sim import site as texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.config.models import Site

BEYOND = 2000  # addresses from here on are illegal


class ModbusMeter:
    """Answers function 3 with each register's own address; counts who is connected."""

    def __init__(self) -> None:
        self.open = self.most = self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readexactly(8)
                    first, count = struct.unpack(">HH", await reader.readexactly(4))
                    writer.write(self._answer(head, first, count))
        finally:
            self.open -= 1
            writer.close()

    def _answer(self, head: bytes, first: int, count: int) -> bytes:
        if first >= BEYOND:
            return head[:4] + b"\0\3" + head[6:7] + bytes([head[7] | 0x80, 2])
        body = b"".join((first + n).to_bytes(2, "big") for n in range(count))
        return head[:4] + (3 + len(body)).to_bytes(2, "big") + head[6:8] + bytes([len(body)]) + body


@pytest.fixture
async def meter() -> AsyncIterator[ModbusMeter]:
    """A Modbus TCP meter on a free port."""
    found = ModbusMeter()
    server = await asyncio.start_server(found.serve, "0.0.0.0", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


def site_of(folder: Path, port: int) -> Site:
    (folder / "profiles").mkdir()
    (folder / "profiles" / "fake-meter.toml").write_text(texts.profile(3))
    spare = texts.LINK.format(id="spare", port=port).replace("127.0.0.1", "127.0.0.2")
    text = texts.SITE + texts.LINK.format(id="link-1", port=port) + spare
    text += texts.METER.format(id="m-001", link="link-1", unit=7, period_s=1)
    return from_toml(text, folder / "site.toml")


async def look(bus: Bus) -> None:
    """Do what every bus can do."""
    answer = await bus.ask(Question("modbus", 7, ((3, 900, 2), (3, 5, 1)), timeout_s=1.0))
    assert answer.raw == (900).to_bytes(2, "big") + (901).to_bytes(2, "big") + (5).to_bytes(2, "big")
    assert answer.flags == (0, 0)
    assert 0 < answer.round_trip_ms < 1000
    with pytest.raises(DeviceError) as refused:
        await bus.ask(Question("modbus", 7, ((3, BEYOND, 1),), timeout_s=1.0))
    assert (refused.value.reason, refused.value.code) == ("exception", 2)
    found = await bus.poll("m-001")
    (counter,) = [row for row in found["channels"] if row["kind"] == "counter"]
    assert counter["raw"] == "00040005"
    assert counter["exact"] == f"{0x00040005 * 90}"  # 0.1 kWh x the ratio in register 900


async def test_a_bus_is_the_same_with_and_without_a_gateway(tmp_path: Path, meter: ModbusMeter) -> None:
    site, clock = site_of(tmp_path, meter.port), SystemClock()
    async with connect(site, "link-1", clock) as bus:
        assert isinstance(bus, DirectBus)
        await look(bus)
    async with offline(site, "link-1", clock) as bus:
        with pytest.raises(BadRequest, match="function 1 to 4"):
            await bus.ask(Question("modbus", 7, ((16, 0, 1),)))
    stop = asyncio.Event()
    with state_lock(site.gateway.state_dir):
        gateway = Gateway(site, assembly.library(site), clock)
        life = asyncio.create_task(gateway.run(stop))
        while (  # noqa: ASYNC110 - the gateway tells nobody
            gateway.health.links["link-1"].state != "up" or not site.gateway.socket_path.exists()
        ):
            await asyncio.sleep(0.01)
        async with connect(site, "link-1", clock) as live:
            assert isinstance(live, LiveBus)
            await asyncio.gather(*(look(live) for _ in range(4)))
        assert meter.most == 1, "one connection, whoever asks"
        assert meter.open == 1
        async with connect(
            site, "spare", clock
        ) as spare:  # a link without meters is opened when it is needed
            answer = await spare.ask(Question("modbus", 1, ((3, 1, 1),), timeout_s=1.0))
            assert answer.raw == b"\0\1"
        with pytest.raises(StorageError, match="in use"):
            async with offline(site, "link-1", clock):
                pass
        stop.set()
        await life
    assert gateway.health.links["link-1"].errands == 12

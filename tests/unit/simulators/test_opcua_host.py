"""The simulated control system: it tells subscribers by itself, restarts, and shows certificates."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from drivers.opcua.session import Security
from drivers.opcua.subscription import Reporting
from drivers.opcua.trust import TrustStore, fetch
from gateway.errors import LinkDown
from simulators.faults import LOOPBACK, Fault
from simulators.opcua_server import OpcuaHost
from simulators.plan import load_plan
from simulators.run import serve
from tests.contract.opcua_server import exact, new_link, poll_of

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.opcua.driver import OpcUaLink

POLL = poll_of("ns=2;s=Boiler.Flow", timeout_s=5.0)


async def down(link: OpcUaLink) -> str:
    """Read until the link is down; return why."""
    async with asyncio.timeout(10):
        while True:
            try:
                await link.read(POLL)
            except LinkDown as error:
                return str(error)
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_subscribers_hear_of_changes_and_of_a_restart(plant_file: Path) -> None:
    running = await serve(load_plan(plant_file))
    host = running.links["dcs"].host
    assert isinstance(host, OpcuaHost)
    link = new_link(f"opc.tcp://{LOOPBACK}:{running.ports['dcs']}", timeout_s=2.0, reporting=Reporting(0.05))
    try:
        for _ in range(2):
            await link.open()
            seen: set[object] = set()
            async with asyncio.timeout(10):
                while len(seen) < 3:
                    seen |= {exact(POLL, sample)[0] for sample in await link.read(POLL)}
                    await asyncio.sleep(0.05)
            await host.restart()
            assert "dcs" in await down(link)
    finally:
        await link.close()
        await running.stop()


@pytest.mark.asyncio
async def test_encrypted_sessions_and_a_certificate_that_ended(plant_file: Path, tmp_path: Path) -> None:
    plan = load_plan(plant_file)
    links = tuple(replace(link, secure=link.kind == "opcua") for link in plan.links)
    for faults in ((), (Fault("expired", link="dcs"),)):
        running = await serve(replace(plan, links=links, faults=faults))
        url = f"opc.tcp://{LOOPBACK}:{running.ports['dcs']}"
        try:
            (offered,) = await fetch(url, 4.0)
            TrustStore(tmp_path).add(offered.der)
            link = new_link(url, security=Security("aes128_sha256_rsaoaep", state_dir=tmp_path))
            if faults:
                with pytest.raises(LinkDown, match="expired on"):
                    await link.open()
            else:
                await link.open()
                assert await link.read(POLL)
                await link.close()
        finally:
            await running.stop()

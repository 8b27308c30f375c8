"""Links of every kind come back by themselves within two back-off periods (R24): real sockets, a real pseudo terminal."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway import assembly
from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.config.site_file import from_toml
from gateway.state_folder import state_lock
from simulators.faults import Fault
from simulators.plan import load_plan
from simulators.run import RunningSite, serve
from simulators.site_file import site_toml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

OUTAGE_S = 3.0
RETRY_MAX_S = 5.0  # of the site file the simulator writes
TIMEOUT_S = 2.0  # the longest here, of OPC UA
PAUSE_S = min(RETRY_MAX_S, OUTAGE_S + TIMEOUT_S) * 1.2
BOUND_S = 2 * PAUSE_S + TIMEOUT_S + 1.0
PLAN = """
[simulation]
name = "recovery"
seed = 3
period = "1s"
"""
METER = """
[[meters]]
id = "{link}-{n}"
link = "{link}"
model = "electricity"
energy_kind = "electricity"
parameters = {{ power_kw = 30 }}
profile = "eastron-sdm630"
unit = {n}
channels = ["voltage_ln_l1"]
"""
VARIABLE = """
[[meters]]
id = "dcs-1"
link = "dcs"
model = "electricity"
energy_kind = "electricity"
parameters = { power_kw = 30 }
[meters.variables.power_active]
id = "ns=2;s=Power"
quantity = "power_active"
unit = "kW"
"""
KINDS = {"port": "serial", "moxa": "tcp-serial", "hall": "modbus-tcp", "dcs": "opcua"}


def plan_text() -> str:
    text = PLAN
    for link, kind in KINDS.items():
        text += f'[[links]]\nid = "{link}"\nkind = "{kind}"\n' + (
            "baud = 19200\n" if "serial" in kind else ""
        )
        text += VARIABLE if kind == "opcua" else METER.format(link=link, n=1) + METER.format(link=link, n=2)
    return text


@asynccontextmanager
async def plant(folder: Path) -> AsyncIterator[tuple[RunningSite, Gateway]]:
    """Run a simulated site with a link of each kind, and the gateway that reads it."""
    (folder / "plan.toml").write_text(plan_text())
    running = await serve(load_plan(folder / "plan.toml").with_proxies())
    text = site_toml(running.plan, running.ports, state_dir=str(folder / "state"))
    text = text.replace('timeout = "4s"', f'timeout = "{TIMEOUT_S:g}s"')
    site, clock, stop = from_toml(text, folder / "site.toml"), SystemClock(), asyncio.Event()
    try:
        with state_lock(site.gateway.state_dir):
            gateway = Gateway(site, assembly.library(site), clock)
            life = asyncio.create_task(gateway.run(stop))
            try:
                yield running, gateway
            finally:
                stop.set()
                await life
    finally:
        await running.stop()


def last_ns(gateway: Gateway, meter: str) -> int:
    return max((frame.time_ns for frame in gateway.health.meters[meter].latest.values()), default=0)


async def until(ready: Callable[[], bool], what: str, limit_s: float) -> None:
    end_s = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < end_s, f"after {limit_s:.1f} s still waiting until {what}"
        await asyncio.sleep(0.02)


async def read_after(gateway: Gateway, meters: Iterable[str], since_ns: int, limit_s: float) -> None:
    late = set(meters)

    def all_are_back() -> bool:
        late.difference_update([meter for meter in late if last_ns(gateway, meter) > since_ns])
        return not late

    try:
        await until(all_are_back, "every meter is read again", limit_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: {late}: {[gateway.health.meters[m].error for m in late]}") from None


Trouble = tuple[str, str]  # link, kind of fault


def begin(running: RunningSite, link: str, kind: str) -> Callable[[], None]:
    """Make trouble; return what ends it."""
    if kind == "unplugged":
        line = running.line(link)
        line.unplug()
        return line.plug
    fault = Fault(kind, link)
    if kind == "dead" and "serial" in KINDS[link]:
        troubles = running.line(link).troubles
        troubles.add(fault)
        return lambda: troubles.remove(fault)
    gate = running.proxy(link)
    gate.add(fault)
    return lambda: gate.remove(fault)


@pytest.mark.parametrize(
    "troubles",
    [
        [("port", "unplugged"), ("moxa", "half_open"), ("hall", "half_open"), ("dcs", "half_open")],
        [("port", "dead"), ("moxa", "down"), ("hall", "down"), ("dcs", "down")],
        [("moxa", "dead"), ("hall", "dead")],
    ],
    ids=["unplugged and half open", "silent and restarted", "gateways of meters silent"],
)
async def test_data_are_back_within_two_pauses_r24(tmp_path: Path, troubles: list[Trouble]) -> None:
    async with plant(tmp_path) as (running, gateway):
        meters = [meter.id for meter in running.plan.meters]
        await read_after(gateway, meters, 0, 20.0)
        ends = [begin(running, *trouble) for trouble in troubles]
        hit = {link for link, _ in troubles}
        await asyncio.sleep(OUTAGE_S)
        for link in hit - {"dcs"}:  # its session notices later
            assert gateway.health.links[link].downs, f"{link} was not hit"
        for end in ends:
            end()
        began_ns, began_s = time.time_ns(), time.monotonic()
        await read_after(gateway, [m for m in meters if not m.startswith("dcs")], began_ns, BOUND_S)
        others_s = time.monotonic() - began_s
        assert others_s < 2 * min(RETRY_MAX_S, OUTAGE_S + 1) * 1.2 + 2.5, "timeouts there are 1 s"
        await read_after(gateway, meters, began_ns, BOUND_S)
        await until(
            lambda: all(link.state == "up" for link in gateway.health.links.values()), "links are up", 5.0
        )

"""Every kind of link there is, each with a meter that answers, and ways to make it fail; for the one contract of links."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers.opcua.subscription import Reporting
from gateway import assembly
from gateway.clock import SystemClock
from gateway.config.site_file import load
from gateway.errors import LinkDown
from gateway.targets import SiteDirectory
from simulators.fakes import FakeLink, Trouble, fake_site
from simulators.faults import Fault, Gate
from simulators.plan import LinkPlan, MeterPlan, Plan
from simulators.run import serve
from simulators.site_file import site_toml
from tests.contract.opcua_server import new_link, poll_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.interfaces import Link, Poll
    from simulators.run import RunningSite
    from tests.contract.opcua_server import PlantServer

NOBODY = {"modbus": 99, "dlt645": "999999999999", "cjt188": "99999999999999"}
LINES = {  # name -> (kind of link, profile, address)
    "modbus-tcp": ("modbus-tcp", "eastron-sdm630", 7),
    "modbus on a port": ("serial", "eastron-sdm630", 7),
    "modbus behind a server": ("tcp-serial", "eastron-sdm630", 7),
    "dlt645": ("serial", "dlt645-2007", "111111111111"),
    "cjt188": ("tcp-serial", "cjt188-water", "22222222222222"),
}
OPCUA = {"opcua polled": None, "opcua subscribed": Reporting(reporting_s=0.05, queue=100)}
KINDS = (*LINES, *OPCUA, "fake")
DEAD_S = 0.3


@dataclass
class Rig:
    """One link. poll: of a meter that answers; dead: of one that never does, with a timeout of DEAD_S.

    vanish: the peer, port or cable is gone; come_back: it is there again.
    """

    link: Link
    poll: Poll
    dead: Poll
    vanish: Callable[[], object]
    come_back: Callable[[], object]
    before_dead: Callable[[], object] = lambda: None
    not_open: type[Exception] = LinkDown  # a fake is stricter: its caller is wrong


@asynccontextmanager
async def _on_site(name: str, folder: Path) -> AsyncIterator[Rig]:
    kind, profile, address = LINES[name]
    is_water = profile == "cjt188-water"
    more = {"unit": address} if isinstance(address, int) else {"address": address}
    meter = MeterPlan(
        "m-1", "hall", "water" if is_water else "electricity", profile=profile,
        parameters={"power_kw": 20.0, "flow_m3_h": 30.0},
        channels=() if is_water else ("voltage_ln_l1", "power_active_total"), **more,
    )  # fmt: skip
    if profile == "dlt645-2007":
        meter = replace(meter, ratios={"ct": "1", "pt": "1"})
    link = LinkPlan("hall", kind, baud=115_200, proxy=kind != "serial")
    running = await serve(Plan("one", 1, (link,), (meter,)))
    try:
        yield await _rig_on_site(running, kind, folder)
    finally:
        await running.stop()


async def _rig_on_site(running: RunningSite, kind: str, folder: Path) -> Rig:
    path = folder / "site.toml"
    path.write_text(site_toml(running.plan, running.ports), encoding="utf-8")
    site, clock = load(path), SystemClock()
    directory = SiteDirectory("g", "s", "", assembly.meter_infos(site))
    (target,) = assembly.targets(site, assembly.library(site), directory, clock)["hall"]
    link = assembly.link(site.link("hall"), clock)
    await link.open()
    poll = replace(await target.poll(link), timeout_s=0.5)
    await link.close()
    dead = replace(poll, meter="m-2", address=NOBODY[poll.protocol], timeout_s=DEAD_S)
    if kind == "serial":
        line = running.line("hall")
        return Rig(link, poll, dead, line.unplug, line.plug)
    gate = running.proxy("hall")
    gone = Fault("down")
    if kind == "modbus-tcp":
        gate.add(Fault("dead", units=frozenset({99})))

    def vanish() -> None:
        gate.add(gone)
        gate.cut()

    return Rig(link, poll, dead, vanish, lambda: gate.remove(gone))


@asynccontextmanager
async def _on_opcua(server: PlantServer, how: Reporting | None) -> AsyncIterator[Rig]:
    gate = Gate(server.port, SystemClock())
    port = await gate.start(0)
    gone, deaf = Fault("down"), Fault("half_open")

    def vanish() -> None:
        gate.add(gone)
        gate.cut()

    link = new_link(f"opc.tcp://127.0.0.1:{port}", timeout_s=2.0, reporting=how)
    dead = poll_of("ns=2;s=Flow", timeout_s=DEAD_S)
    try:
        yield Rig(
            link, poll_of("ns=2;s=Flow", "ns=2;s=Level"), dead, vanish, lambda: gate.remove(gone),
            before_dead=lambda: gate.add(deaf),
        )  # fmt: skip
    finally:
        await link.close()
        await gate.stop()


def _fake() -> Rig:
    poll, dead = fake_site(2, 3, 1.0, timeout_s=DEAD_S)["link-1"]
    link = FakeLink(SystemClock(), [Trouble("dead", who=dead.meter)], protocols=frozenset({"fake"}))
    gone = Trouble("down")
    return Rig(
        link, poll, dead, lambda: link.troubles.insert(0, gone), lambda: link.troubles.remove(gone),
        not_open=RuntimeError,
    )  # fmt: skip


@asynccontextmanager
async def rigged(name: str, folder: Path, server: Callable[[], PlantServer]) -> AsyncIterator[Rig]:
    """Return a link of that kind, not open. server: an OPC UA server with the variables Flow and Level."""
    if name == "fake":
        yield _fake()
    elif name in OPCUA:
        async with _on_opcua(server(), OPCUA[name]) as rig:
            yield rig
    else:
        async with _on_site(name, folder) as rig:
            try:
                yield rig
            finally:
                await rig.link.close()

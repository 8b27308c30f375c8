"""Serve one line of simulated meters: the wire, its stations, its troubles and the port a master opens."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from simulators.line_faults import LineTroubles
from simulators.wire import Pace, Wire
from simulators.wire_ports import PtyPort, TcpPort

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.interfaces import Clock
    from simulators.faults import Fault
    from simulators.plan import LinkPlan
    from simulators.site import SimulatedMeter, Site
    from simulators.station import Station

STATIONS = {  # protocol of a profile -> module with station(site, meter, clock) -> Station
    "modbus": "simulators.rtu_station",
    "dlt645": "simulators.dlt645_station",
    "cjt188": "simulators.cjt188_station",
}


def line_of(
    site: Site, link: LinkPlan, meters: Sequence[SimulatedMeter], clock: Clock, faults: Iterable[Fault] = ()
) -> tuple[Wire, LineTroubles]:
    """Return a line with its meters and troubles, and no port yet: put one of simulators.wire_ports before it."""
    pace = Pace(link.baud, link.parity, link.stop)
    stations: dict[str, Station] = {}
    for meter in meters:
        module = importlib.import_module(STATIONS[meter.protocol])
        stations[meter.plan.id] = module.station(site, meter, clock)
    units = {meter.plan.id: meter.plan.unit for meter in meters}
    troubles = LineTroubles(clock, pace, faults, units, site.plan.seed)
    behind_server = link.kind == "tcp-serial"
    wire = Wire(clock, pace, stations, troubles, keeps_gap=behind_server, seed=site.plan.seed)
    return wire, troubles


class LineHost:
    """One line being served. path: of its serial port; None behind a TCP port."""

    def __init__(
        self,
        site: Site,
        link: LinkPlan,
        meters: Sequence[SimulatedMeter],
        clock: Clock,
        faults: Iterable[Fault],
    ) -> None:
        """meters: with displays of a line protocol."""
        self.wire, self.troubles = line_of(site, link, meters, clock, faults)
        self.path: Path | None = None
        self._clock = clock
        self._link = link
        self._folder: Path | None = None
        self._port: PtyPort | TcpPort | None = None
        self._plugging: list[asyncio.Task[None]] = []

    async def start(self, port: int = 0) -> int:
        """Return the loopback port of a device server, 0 for a serial port (`path`). Raises OSError."""
        self.troubles.start()
        if self._link.kind == "tcp-serial":
            self._port = TcpPort(self.wire)
            return await self._port.start(port)
        if self._link.path:
            self.path = Path(self._link.path)
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="metergate-lines-"))
            self.path = self._folder / self._link.id
        self._port = PtyPort(self.wire, self.path)
        self._port.plug()
        for fault in self.troubles.faults:
            if fault.kind == "unplugged":
                self._plugging.append(asyncio.ensure_future(self._unplug(fault)))
        return 0

    async def stop(self) -> None:
        """Take the port away; may be called twice."""
        for task in self._plugging:
            task.cancel()
        if isinstance(self._port, TcpPort):
            await self._port.stop()
        elif self._port is not None:
            self._port.close()
        self.wire.close()
        self._port = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def misheard(self) -> int:
        """Return how many blocks were garbled because the master had set another baud rate."""
        return self._port.misheard if isinstance(self._port, PtyPort) else 0

    def unplug(self) -> None:
        """Pull the serial port out. Raises LookupError behind a TCP port."""
        self._pty().unplug()

    def plug(self) -> None:
        """Put the serial port back under its path. Raises LookupError behind a TCP port."""
        self._pty().plug()

    def _pty(self) -> PtyPort:
        if not isinstance(self._port, PtyPort):
            raise LookupError(f"link {self._link.id} has no serial port that is served")
        return self._port

    async def _unplug(self, fault: Fault) -> None:
        begin_s = self._clock.monotonic() - self.troubles.now_s
        await self._clock.sleep_until(begin_s + fault.start_s)
        self.troubles.applied["unplugged"] += 1
        self.unplug()
        if fault.end_s != float("inf"):
            await self._clock.sleep_until(begin_s + fault.end_s)
            self.plug()

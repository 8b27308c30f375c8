"""Serve a simulated site on loopback ports, and write the gateway's site file that reads it.

`python -m simulators.run FILE --site-out PATH --ready-file PATH` is the simulator as a process of its own: the
site file is written, then the ready file, each whole or not at all, once every port listens.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.clock import SystemClock
from gateway.errors import EXIT_CONFIG, ConfigError, MetergateError
from simulators.faults import LOOPBACK, FaultProxy, Gate
from simulators.plan import LINES, load_plan
from simulators.site import Site
from simulators.site_file import site_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Clock
    from simulators.lines import LineHost
    from simulators.modbus_server import ModbusHost
    from simulators.opcua_server import OpcuaHost
    from simulators.plan import LinkPlan, Plan

DEMO_FILE = Path(__file__).with_name("demo.toml")
DEMO_FAULTS_FILE = Path(__file__).with_name("demo_faults.toml")


@dataclass(slots=True)
class ServedLink:
    """One link being served. port: where clients connect, or path of the serial port; gate: the proxy, if any."""

    id: str
    kind: str
    port: int | str
    host: ModbusHost | OpcuaHost | LineHost
    gate: Gate | None

    @property
    def url(self) -> str:
        """Return where it is, as people write it."""
        if self.kind == "serial":
            return str(self.port)
        scheme = "opc.tcp" if self.kind == "opcua" else self.kind
        return f"{scheme}://{LOOPBACK}:{self.port}"


@dataclass(slots=True)
class RunningSite:
    """A site being served. ports: link id -> port; `site.truth(...)` says what its meters show."""

    plan: Plan
    site: Site
    links: dict[str, ServedLink] = field(default_factory=dict)

    @property
    def ports(self) -> dict[str, Any]:
        """Return link id -> loopback port, or path of the serial port."""
        return {link.id: link.port for link in self.links.values()}

    def proxy(self, link: str) -> Gate:
        """Return the fault proxy of a link. Raises LookupError if it has none."""
        gate = self.links[link].gate
        if gate is None:
            raise LookupError(
                f"link {link} is not behind a proxy: set proxy = true or use Plan.with_proxies()"
            )
        return gate

    def line(self, link: str) -> LineHost:
        """Return a line: its `wire.tally`, its `troubles`, `unplug` and `plug`. Raises LookupError if it is none."""
        from simulators.lines import LineHost

        host = self.links[link].host
        if not isinstance(host, LineHost):
            raise LookupError(f"link {link} is no serial line")
        return host

    async def stop(self) -> None:
        """Close every port; may be called twice."""
        while self.links:
            _, link = self.links.popitem()
            if link.gate is not None:
                await link.gate.stop()
            await link.host.stop()

    def table(self) -> list[dict[str, object]]:
        """Return one row a meter: what is served where."""
        return [
            {
                "meter": meter.id,
                "name": meter.name,
                "link": meter.link,
                "url": self.links[meter.link].url,
                "unit": (meter.address or meter.unit) if meter.profile else None,
                "profile": meter.profile or "opcua",
                "model": meter.model,
            }
            for meter in self.plan.meters
        ]


async def serve(plan: Plan, clock: Clock | None = None, *, start_ns: int | None = None) -> RunningSite:
    """Return the site once every link listens. start_ns: wall time faults and rollovers are counted from, default now.

    Raises ConfigError for a plan that cannot be simulated, MetergateError for a port that cannot be served.
    """
    clock = SystemClock() if clock is None else clock
    site = Site(plan, clock.wall_ns() if start_ns is None else start_ns)
    running = RunningSite(plan, site)
    async with contextlib.AsyncExitStack() as started:
        started.push_async_callback(running.stop)
        for link in plan.links:
            try:
                running.links[link.id] = await _serve_link(site, link, clock)
            except OSError as error:
                raise MetergateError(_refusal(link, error)) from error
        started.pop_all()  # all listen: it is the caller's to stop
    return running


def _refusal(link: LinkPlan, error: OSError) -> str:
    """Return which port cannot be served, why, and what to do."""
    if link.kind == "serial":
        what, other = link.path or "its serial port", "another path"
        if isinstance(error, FileExistsError):
            other += "; if nobody serves it any more, remove it"
    else:
        what, other = f"port {link.port} of {LOOPBACK}", "another port (0: any free one)"
    why = os.strerror(error.errno) if error.errno else str(error)
    return (
        f"link {link.id}: {what} cannot be served: {why}. Does this simulation run already, or another program there? "
        f"Stop it, or give the link {other}"
    )


async def _serve_link(site: Site, link: LinkPlan, clock: Clock) -> ServedLink:
    meters = [meter for meter in site.meters.values() if meter.plan.link == link.id]
    faults = [fault for fault in site.plan.faults if fault.link == link.id]
    host: ModbusHost | OpcuaHost | LineHost
    if link.kind == "opcua":
        from simulators.opcua_server import OpcuaHost

        folder = site.plan.state_dir
        keep = None if folder is None else folder / "opcua" / link.id
        host = OpcuaHost(site, meters, clock, faults, secure=link.secure, keep=keep)
    elif link.kind in LINES:
        from simulators.lines import LineHost

        host = LineHost(site, link, meters, clock, faults)
    else:
        from simulators.modbus_server import ModbusHost

        host = ModbusHost(site, meters, clock)
    port: int | str = await host.start(0 if link.proxy else link.port)
    if link.kind == "serial":
        port = str(host.path)  # type: ignore[union-attr]
    if not link.proxy or isinstance(port, str):
        return ServedLink(link.id, link.kind, port, host, None)
    gate: Gate
    if link.kind == "modbus-tcp":
        gate = FaultProxy(port, clock, faults, site.plan.seed)
    else:
        of_connections = [fault for fault in faults if fault.kind in {"down", "half_open"}]
        gate = Gate(port, clock, of_connections, site.plan.seed)
    try:
        return ServedLink(link.id, link.kind, await gate.start(link.port), host, gate)
    except OSError:
        await host.stop()
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="simulators.run", description="Serve a simulated site on localhost."
    )
    parser.add_argument("file", type=Path, help="simulation file")
    parser.add_argument("--seed", type=int, help="instead of the file's")
    parser.add_argument("--period", help='how often the site file reads each meter, such as "1s"')
    parser.add_argument(
        "--start-ns",
        type=int,
        help="wall time faults and rollovers are counted from, ns since 1970; default now",
    )
    parser.add_argument("--site-out", type=Path, help="write a matching site.toml here")
    parser.add_argument("--state-dir", default="state", help="gateway.state_dir of the site file")
    parser.add_argument("--gateway-id", default="demo", help="gateway.id of the site file")
    parser.add_argument("--sinks-file", type=Path, help="TOML text with [[sinks]] for the site file")
    parser.add_argument("--ready-file", type=Path, help="written when everything listens")
    parser.add_argument("--ready-fd", type=int, help="a line is written here when everything listens")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--quiet", action="store_true", help="print no table")
    return parser.parse_args(arguments)


def main(
    file: Path,
    *,
    seed: int | None = None,
    period: str = "",
    start_ns: int | None = None,
    site_out: Path | None = None,
    state_dir: str = "state",
    gateway_id: str = "demo",
    sinks: str = "",
    ready_file: Path | None = None,
    ready_fd: int | None = None,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Serve a simulation file until SIGINT or SIGTERM; return the exit code.

    sinks: TOML text with the [[sinks]] of the site file. Raises ConfigError, MetergateError.
    """
    plan = load_plan(file)
    if seed is not None:
        plan = replace(plan, seed=seed)

    async def work() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        running = await serve(plan, start_ns=start_ns)
        try:
            if site_out is not None:
                text = site_toml(
                    plan,
                    running.ports,
                    gateway_id=gateway_id,
                    state_dir=state_dir,
                    sinks=sinks,
                    period=period,
                )
                write_whole(site_out, text)
            if not quiet:
                show(running, as_json=as_json)
            if ready_file is not None:
                write_whole(
                    ready_file, json.dumps({"ports": running.ports, "start_ns": running.site.start_ns})
                )
            if ready_fd is not None:
                os.write(ready_fd, b"ready\n")
            await stopped.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.8):  # peers that keep a connection open do not keep us
                    await running.stop()

    asyncio.run(work())
    return 0


def show(running: RunningSite, *, as_json: bool) -> None:
    """Print what is served where, as a table or as one JSON line."""
    rows = running.table()
    if as_json:
        sys.stdout.write(
            json.dumps({"start_ns": running.site.start_ns, "meters": rows}, ensure_ascii=False) + "\n"
        )
        sys.stdout.flush()
        return
    from simulators.tables import print_tables

    print_tables(running)


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of the command line."""
    given = _arguments(arguments)
    logging.basicConfig(level=logging.WARNING)
    try:
        return main(
            given.file,
            seed=given.seed,
            period=given.period or "",
            start_ns=given.start_ns,
            site_out=given.site_out,
            state_dir=given.state_dir,
            gateway_id=given.gateway_id,
            sinks=given.sinks_file.read_text(encoding="utf-8") if given.sinks_file else "",
            ready_file=given.ready_file,
            ready_fd=given.ready_fd,
            as_json=given.json,
            quiet=given.quiet,
        )
    except ConfigError as error:
        for finding in error.findings:
            sys.stderr.write(f"{finding}\n")
        return EXIT_CONFIG
    except MetergateError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(run_command())

"""CPU of one Modbus TCP poll, client side only: `python -m tests.bench.bench_modbus`.

A server process answers at once with ready-made bytes; the client process reads as fast as it can from 1, 10 and
100 connections, one request outstanding on each. Printed: CPU microseconds a poll (user + system, this process),
polls per second, and the same for a bare stream without plan and sample. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
from typing import TYPE_CHECKING, cast

import uvloop

from drivers.modbus.driver import ModbusTcpLink
from drivers.modbus.framing import tcp_ask
from gateway.clock import SystemClock
from tests.unit.modbus.polls import holding, make_poll

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from multiprocessing.connection import Connection

REGISTERS = 60
REQUEST_SIZE = 12
ROUNDS = 5


class _Instant(asyncio.Protocol):
    """Answers every request with the same registers."""

    def __init__(self) -> None:
        self._tail = (
            (3 + 2 * REGISTERS).to_bytes(2) + bytes((1, 3, 2 * REGISTERS)) + bytes(range(2 * REGISTERS))
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), REQUEST_SIZE):
            self._transport.write(data[start : start + 2] + b"\0\0" + self._tail)


def _serve(ready: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Instant, "127.0.0.1", 0, backlog=512)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _measure(port: int, connections: int, polls: int, *, bare: bool) -> tuple[float, float]:
    """Return CPU microseconds a poll and polls per second."""
    links = [ModbusTcpLink("127.0.0.1", port, timeout_s=3, clock=SystemClock()) for _ in range(connections)]
    for link in links:
        await link.open()
    each = polls // connections
    ask = tcp_ask(1, 3, 0, REGISTERS)

    async def poll_all(link: ModbusTcpLink) -> None:
        poll = make_poll([holding(2 * n, 2) for n in range(REGISTERS // 2)], timeout_s=3)
        for _ in range(each):
            await link.read(poll)

    async def ask_all(link: ModbusTcpLink) -> None:
        stream = link._stream
        assert stream is not None
        for _ in range(each):
            await stream.request(ask, 3)

    work: Callable[[ModbusTcpLink], Coroutine[None, None, None]] = ask_all if bare else poll_all
    await asyncio.gather(*map(work, links))  # warm
    loop = asyncio.get_running_loop()
    start_s, start_cpu_s = loop.time(), _cpu_s()
    await asyncio.gather(*map(work, links))
    cpu_us = (_cpu_s() - start_cpu_s) / (each * connections) * 1e6
    rate = each * connections / (loop.time() - start_s)
    for link in links:
        await link.close()
    return cpu_us, rate


def main() -> None:
    """Print the table and the JSON line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--polls", type=int, default=20_000, help="polls a round")
    polls: int = arguments.parse_args().polls
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    port: int = ours.recv()
    results = []
    for name, new_loop in (("uvloop", uvloop.new_event_loop), ("asyncio", asyncio.new_event_loop)):
        for connections in (1, 10, 100):
            for bare in (True, False):
                rounds = []
                for _ in range(ROUNDS):
                    with asyncio.Runner(loop_factory=new_loop) as runner:
                        rounds.append(runner.run(_measure(port, connections, polls, bare=bare)))
                cpu_us, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
                what = "stream" if bare else "poll"
                results.append(
                    {
                        "loop": name,
                        "connections": connections,
                        "what": what,
                        "cpu_us": round(cpu_us, 1),
                        "per_s": round(rate),
                    }
                )
                print(f"{name:8}{connections:5} connections  {what:7}{cpu_us:6.1f} µs CPU {rate:9.0f}/s")
    server.terminate()
    server.join()
    print(json.dumps(results))


if __name__ == "__main__":
    main()

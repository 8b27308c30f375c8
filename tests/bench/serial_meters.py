"""Modbus RTU meters on one simulated line with true baud timing, in a process of their own.

    python -m tests.bench.serial_meters --path FOLDER/line --baud 9600 --meters 32 --delay-ms 5

Prints "ready" when the port is there; then, for each line on stdin, does it and answers with one line of JSON: `mark` (what has
happened since the last mark), `kill UNIT` (that meter is dead from now on), `revive UNIT`. Ends when stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
from pathlib import Path
from typing import Any

from drivers.lines.pause import Pause
from gateway.clock import SystemClock
from simulators.station import Reply
from simulators.wire import Pace, Wire
from simulators.wire_ports import PtyPort
from tests.bench.plant import REGISTERS

_REQUEST_SIZE = 8


def crc16(body: bytes) -> bytes:
    """Return the check bytes of a frame. Source: MODBUS over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


class PunctualClock(SystemClock):
    """The machine's clock; who sleeps wakes to a tenth of a millisecond.

    asyncio's own timers count whole milliseconds: meters that answer 1.4 ms late cost a line 2 to 4 %.
    """

    def __init__(self) -> None:
        super().__init__()
        self._free: list[Pause] = []

    async def sleep_until(self, monotonic_s: float) -> None:
        if monotonic_s <= self.monotonic():
            await super().sleep_until(monotonic_s)
            return
        pause = self._free.pop() if self._free else Pause()
        try:
            while self.monotonic() < monotonic_s:  # an earlier sleeper's alarm may still ring
                await pause.sleep_until(monotonic_s)
        finally:
            self._free.append(pause)


class RegisterStation:
    """A meter of 32-bit floats. requests: answered, since the last mark."""

    def __init__(self, unit: int, delay_s: float) -> None:
        """delay_s: from request to answer."""
        self.unit, self.requests, self.alive = unit, 0, True
        self._delay_s = delay_s
        self._image = struct.pack(f">{REGISTERS // 2}f", *(unit + n / 7 for n in range(REGISTERS // 2)))
        self._replies: dict[bytes, Reply] = {}

    def hear(self, request: bytes) -> Reply | None:
        """Return the reply to a read of holding registers."""
        if not self.alive or len(request) != _REQUEST_SIZE or request[0] != self.unit:
            return None
        reply = self._replies.get(request)
        if reply is None:
            if crc16(request[:-2]) != request[-2:] or request[1] != 3:
                return None
            address, count = struct.unpack(">HH", request[2:6])
            body = bytes((self.unit, 3, 2 * count)) + self._image[2 * address : 2 * (address + count)]
            reply = self._replies[request] = Reply(body + crc16(body), self._delay_s)
        self.requests += 1
        return reply


class Exchange:
    """One request on the wire. lawful_s: gap before it, its bytes, the meter's delay, its answer's bytes."""

    __slots__ = ("end_s", "lawful_s", "start_s", "unit")

    def __init__(self, unit: int, start_s: float, end_s: float, lawful_s: float) -> None:
        """end_s: of the last byte of either direction."""
        self.unit, self.start_s, self.end_s, self.lawful_s = unit, start_s, end_s, lawful_s


def rounds(exchanges: list[Exchange]) -> list[list[Exchange]]:
    """Return the exchanges cut into rounds: no unit twice in one."""
    found: list[list[Exchange]] = []
    seen: set[int] = set()
    for one in exchanges:
        if not found or one.unit in seen:
            found.append([])
            seen = set()
        seen.add(one.unit)
        found[-1].append(one)
    return found


def busy(exchanges: list[Exchange], meters: int, gap_s: float) -> tuple[float, float]:
    """Return (lawful, measured) seconds of all rounds, each from its first request to its last answer.

    The gap before a round's first request is nobody's: the line was at rest. Whatever lies between two requests of a round
    counts as measured, however long, also the rest between two where the first lacked meters. The first and the last round
    of a window may be cut and are left out, as are fragments of less than half the meters.
    """
    whole = [one for one in rounds(exchanges)[1:-1] if 2 * len(one) >= meters]
    lawful_s = sum(sum(exchange.lawful_s for exchange in one) - gap_s for one in whole)
    return lawful_s, sum(one[-1].end_s - one[0].start_s for one in whole)


class BenchWire(Wire):
    """A wire that notes each exchange."""

    exchanges: list[Exchange]

    def _measure(self, start_s: float) -> None:
        super()._measure(start_s)
        self.exchanges.append(Exchange(-1, start_s, start_s, self.pace.gap_s))

    def _talk(self, start_s: float, raw: bytes) -> Any:
        talk = super()._talk(start_s, raw)
        one = self.exchanges[-1]
        one.lawful_s += len(raw) * self.pace.char_s
        if one.unit < 0:
            one.unit = raw[0]
        elif start_s > one.end_s:  # the answer, after the meter's own delay
            one.lawful_s += start_s - one.end_s
        one.end_s = talk.end_s
        return talk


async def serve(path: Path, baud: int, meters: int, delay_s: float) -> None:
    """Serve until stdin closes."""
    pace = Pace(baud, "E", 1)
    stations = {unit: RegisterStation(unit, delay_s) for unit in range(1, meters + 1)}
    wire = BenchWire(PunctualClock(), pace, {str(unit): station for unit, station in stations.items()})
    wire.exchanges = []
    port = PtyPort(wire, path)
    port.plug()
    print("ready", flush=True)
    loop, since_s, violations, late_s = asyncio.get_running_loop(), time.monotonic(), 0, 0.0
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, _, unit = line.strip().partition(" ")
        if word in ("kill", "revive"):
            stations[int(unit)].alive = word == "revive"
        now_s = time.monotonic()
        lawful_s, busy_s = busy(wire.exchanges, meters, pace.gap_s)
        told = {
            "seconds": now_s - since_s,
            "requests": len(wire.exchanges),
            "answers": {str(unit): station.requests for unit, station in stations.items()},
            "lawful_s": lawful_s,
            "busy_s": busy_s,
            "gap_violations": wire.tally.gap_violations - violations,
            "late_s": wire.tally.late_s - late_s,
            "collisions": wire.tally.collisions,
            "overruns": port.overruns,
            "misheard": port.misheard,
        }
        if word == "mark":
            since_s, violations, late_s = now_s, wire.tally.gap_violations, wire.tally.late_s
            wire.exchanges.clear()
            wire.exchanges.append(Exchange(0, now_s, now_s, 0.0))  # takes what was under way
            for station in stations.values():
                station.requests = 0
        print(json.dumps(told), flush=True)
    port.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--baud", type=int, required=True)
    parser.add_argument("--meters", type=int, default=32)
    parser.add_argument("--delay-ms", type=float, default=5.0, help="from request to answer")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.path, arguments.baud, arguments.meters, arguments.delay_ms / 1000))


if __name__ == "__main__":
    main()

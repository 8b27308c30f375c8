"""Many fast Modbus TCP meters in one process, each on a loopback address of its own.

    python -m tests.bench.meters --meters 500 --delay-ms 0

Prints the port as its first line and ends when its stdin closes. It shares no code with the gateway's driver and
costs little: an answer is a prepared image in which only the transaction id and channel 0 are new. Channel 0 is
the monotonic time in ms at which the meter answered, so whoever reads it on this machine knows the reading's age.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import struct
import sys
import time
from typing import cast

import uvloop

from tests.bench.plant import CHANNELS, CLOCK_MODULUS_MS, COUNTERS, REGISTERS, UNIT, host

IMAGES = 8  # of each meter, served round and round, so that values change from poll to poll
PORT_TRIES = 20
_FLOAT = struct.Struct(">f")
_HEADER = struct.Struct(">HHHBBHH")  # transaction, protocol, length, unit, function, address, count
REQUEST_SIZE = _HEADER.size
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2


def images(n: int) -> list[bytes]:
    """Return the register images of meter `n`, without channel 0: fractional, plausible; counters stand still."""
    rng = random.Random(n)
    steady = [value * rng.uniform(0.97, 1.03) for _, _, _, value in CHANNELS]
    found = []
    for _ in range(IMAGES):
        values = [
            value if i in COUNTERS else value * rng.uniform(0.99, 1.01) for i, value in enumerate(steady)
        ]
        found.append(struct.pack(f">{len(values) - 1}f", *values[1:]))
    return found


class MeterConnection(asyncio.BufferedProtocol):
    """One connection to one meter."""

    def __init__(self, bodies: list[bytes], delay_s: tuple[float, float], rng: random.Random) -> None:
        """bodies: see `images`. delay_s: an answer takes a time between these two."""
        self._bodies, self._delay_s, self._rng = bodies, delay_s, rng
        self._turn = 0
        self._buffer = bytearray(1024)
        self._view = memoryview(self._buffer)
        self._filled = 0
        whole = _HEADER.pack(0, 0, 6, UNIT, 3, 0, REGISTERS)
        self._usual = whole[2:]
        self._prefix = struct.pack(">HHBBB", 0, 3 + 2 * REGISTERS, UNIT, 3, 2 * REGISTERS)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        end = self._filled + nbytes
        start = 0
        while end - start >= REQUEST_SIZE:
            request = bytes(self._view[start : start + REQUEST_SIZE])
            start += REQUEST_SIZE
            if self._delay_s[1]:
                delay_s = self._rng.uniform(*self._delay_s)
                asyncio.get_running_loop().call_later(delay_s, self._answer, request)
            else:
                self._answer(request)
        self._buffer[: end - start] = self._buffer[start:end]
        self._filled = end - start

    def _answer(self, request: bytes) -> None:
        if self._transport.is_closing():
            return
        body = self._bodies[self._turn]
        self._turn = (self._turn + 1) % IMAGES
        clock = _FLOAT.pack(time.monotonic_ns() // 1_000_000 % CLOCK_MODULUS_MS)
        if request[2:] == self._usual:
            self._transport.write(b"%b%b%b%b" % (request[:2], self._prefix, clock, body))
            return
        transaction, _, _, unit, function, address, count = _HEADER.unpack(request)
        if function != 3 or address + count > REGISTERS or not count:
            error = ILLEGAL_FUNCTION if function != 3 else ILLEGAL_ADDRESS
            self._transport.write(struct.pack(">HHHBBB", transaction, 0, 3, unit, function | 0x80, error))
            return
        registers = (clock + body)[2 * address : 2 * (address + count)]
        head = struct.pack(">HHHBBB", transaction, 0, 3 + len(registers), unit, function, len(registers))
        self._transport.write(head + registers)


def listeners(meters: int) -> tuple[int, list[socket.socket]]:
    """Return a port and one socket bound to it on each meter's address. Raises OSError if none is free on all."""
    for attempt in range(PORT_TRIES):
        found: list[socket.socket] = []
        try:
            port = 0
            for n in range(meters):
                sock = socket.socket()
                found.append(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host(n), port))
                port = sock.getsockname()[1]
        except OSError:
            for sock in found:
                sock.close()
            if attempt == PORT_TRIES - 1:
                raise
        else:
            return port, found
    raise AssertionError("not reached")


async def serve(meters: int, delay_s: tuple[float, float]) -> None:
    """Serve until stdin closes."""
    loop = asyncio.get_running_loop()
    port, socks = listeners(meters)
    for n, sock in enumerate(socks):
        bodies, rng = images(n), random.Random(n)
        await loop.create_server(lambda b=bodies, r=rng: MeterConnection(b, delay_s, r), sock=sock)  # type: ignore[misc]
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--delay-ms", default="0", help="time an answer takes: MS or LOW-HIGH")
    arguments = parser.parse_args()
    low, _, high = arguments.delay_ms.partition("-")
    uvloop.run(serve(arguments.meters, (float(low) / 1000, float(high or low) / 1000)))


if __name__ == "__main__":
    main()

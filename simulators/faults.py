"""Troubles by script: a TCP proxy before the foreign server that delays, drops, corrupts and cuts.

The server behind it stays untouched. For Modbus TCP the proxy cuts the stream into requests and looks at
nothing but the header (transaction, length, unit) and the function; for other protocols it only relays.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from gateway.clock import sleep_for

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from gateway.interfaces import Clock

LOOPBACK = "127.0.0.1"
_HEADER = 6  # transaction, protocol, length: what comes before the counted bytes
_BLOCK = 65_536
LATE_S = 3.0
GARBAGE = 12
MODBUS_KINDS = (
    "dead",  # no answer
    "slow",  # the answer comes after delay
    "late",  # the same, meant to be later than the client waits (default 3 s)
    "exception",  # Modbus exception `code`
    "garbage",  # `size` random bytes (default 12)
    "cut",  # the connection is cut after `size` bytes of the answer
    "truncated",  # the answer stops after `size` bytes (default half); the connection stays
    "wrong_unit",
    "wrong_transaction",
    "wrong_function",
    "short",  # one register fewer than asked, lengths in agreement
    "down",  # the connection is cut, and new ones are cut at once
    "half_open",  # connections are accepted and read, never answered nor closed, not even afterwards
)
OPCUA_KINDS = (
    "down",
    "half_open",
    "bad",  # StatusCode Bad
    "uncertain",  # StatusCode UncertainLastUsableValue
    "frozen",  # value and source time stop
    "expired",  # the server's certificate ended yesterday, whatever the times of the fault
)
LINE_KINDS = (
    "dead",
    "slow",
    "late",
    "exception",  # refusal `code` of the meter's protocol
    "crc",  # wrong check digits
    "noise",  # `size` random bytes (default 3) after the request, close before and close after the answer
    "echo",  # the master hears its own bytes
    "truncated",
    "garbage",
    "foreign",  # a broadcast or another unit's answer comes before the answer
)
SERIAL_KINDS = (*LINE_KINDS, "unplugged")  # the port is gone, and back afterwards under its name
TCP_SERIAL_KINDS = (*LINE_KINDS, "down", "half_open")
KINDS = {
    "modbus-tcp": MODBUS_KINDS,
    "opcua": OPCUA_KINDS,
    "serial": SERIAL_KINDS,
    "tcp-serial": TCP_SERIAL_KINDS,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One trouble. meters, units: whom it hits, empty = all of the link.

    start_s, end_s: since the site started, half-open. share: of the requests, 0..1. code: Modbus exception.
    """

    kind: str
    link: str = ""
    meters: frozenset[str] = frozenset()
    units: frozenset[int] = frozenset()
    start_s: float = 0.0
    end_s: float = math.inf
    delay_s: float = 0.0
    code: int = 4
    size: int = 0
    share: float = 1.0

    def lasts(self, now_s: float) -> bool:
        """Return whether it is in force."""
        return self.start_s <= now_s < self.end_s

    def hits(self, unit: int, now_s: float) -> bool:
        """Return whether it applies to a unit at a time."""
        return self.lasts(now_s) and (not self.units or unit in self.units)


class Gate:
    """A TCP relay whose connections can be cut, refused or left half open. `down` and `half_open` faults do it by script.

    opened, cut: connections accepted and cut. port: where it listens, once started.
    """

    def __init__(self, upstream: int, clock: Clock, faults: Iterable[Fault] = (), seed: int = 1) -> None:
        """upstream: port of the real server on the loopback interface."""
        self._upstream = upstream
        self._clock = clock
        self.faults = list(faults)
        self._rng = Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._start_s = 0.0
        self.port = 0
        self.opened = 0
        self.applied: Counter[str] = Counter()

    async def start(self, port: int = 0) -> int:
        """Return the port it listens on; the script's time begins."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._start_s = self._clock.monotonic()
        for fault in self.faults:
            if fault.kind == "down":
                self._spawn(self._cut_at(fault.start_s))
        return self.port

    async def stop(self) -> None:
        """Close everything; never raises."""
        if self._server is not None:
            self._server.close()
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def now_s(self) -> float:
        """Return seconds since the script began."""
        return self._clock.monotonic() - self._start_s

    def add(self, fault: Fault) -> Fault:
        """Put a fault into force from now on (its times are since the start); return it."""
        self.faults.append(fault)
        if fault.kind == "down" and fault.start_s <= self.now_s:
            self.cut()
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault out of force."""
        self.faults.remove(fault)

    def cut(self) -> None:
        """Reset every connection that is open."""
        for writer in list(self._writers):
            self.applied["cut"] += 1
            writer.transport.abort()

    async def _cut_at(self, at_s: float) -> None:
        await self._clock.sleep_until(self._start_s + at_s)
        self.cut()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if any(fault.kind == "down" and fault.hits(0, self.now_s) for fault in self.faults):
            self.applied["down"] += 1
            writer.transport.abort()
            return
        self._spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        up_writer: asyncio.StreamWriter | None = None
        try:
            if self._half_open():
                await _swallow(reader)
                return
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self._upstream)
            await self._talk(reader, writer, up_reader, up_writer)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.close()
            if up_writer is not None:
                up_writer.close()

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        """Relay both ways until one side ends; once half open, until the client ends."""
        mute = asyncio.Event()
        ways = [
            asyncio.ensure_future(self._relay(reader, up_writer, mute)),
            asyncio.ensure_future(self._relay(up_reader, writer, mute)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if mute.is_set():
                await asyncio.wait(ways[:1])
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while block := await reader.read(_BLOCK):
                if mute.is_set() or self._half_open():
                    mute.set()
                    continue
                writer.write(block)
                await writer.drain()

    def _half_open(self) -> bool:
        """Return whether a connection used now is left without an answer for good; count it."""
        now_s = self.now_s
        hit = any(fault.kind == "half_open" and fault.lasts(now_s) for fault in self.faults)
        if hit:
            self.applied["half_open"] += 1
        return hit


class FaultProxy(Gate):
    """A Gate for Modbus TCP that can also spoil single answers, by unit and time.

    A request goes on to the server one at a time, so a slow meter never delays the others' answers.
    applied: kind -> how often.
    """

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        """Answer request by request until the client ends."""
        while True:
            request = await _message(reader)
            if self._half_open():
                await _swallow(reader)
                return
            fault = self._fault(request[_HEADER])
            if fault is None:
                up_writer.write(request)
                writer.write(await _message(up_reader))
                continue
            self.applied[fault.kind] += 1
            if fault.kind == "dead":
                continue
            if fault.kind == "exception":
                writer.write(_exception(request, fault.code))
                continue
            if fault.kind == "garbage":
                writer.write(self._rng.randbytes(fault.size or GARBAGE))
                continue
            up_writer.write(request)
            self._spoil(fault, await _message(up_reader), writer)

    def _fault(self, unit: int) -> Fault | None:
        now_s = self.now_s
        for fault in self.faults:
            if fault.kind in {"down", "half_open"} or not fault.hits(unit, now_s):
                continue
            if fault.share >= 1 or self._rng.random() < fault.share:
                return fault
        return None

    def _spoil(self, fault: Fault, answer: bytes, writer: asyncio.StreamWriter) -> None:
        if fault.kind in {"slow", "late"}:
            delay_s = fault.delay_s or (LATE_S if fault.kind == "late" else 0.0)
            self._spawn(self._later(delay_s, answer, writer))
        elif fault.kind == "cut":
            self._spawn(_cut_after(answer[: fault.size], writer))
        elif fault.kind == "truncated":
            writer.write(answer[: fault.size or len(answer) // 2])
        else:
            writer.write(_ALTER[fault.kind](answer))

    async def _later(self, delay_s: float, answer: bytes, writer: asyncio.StreamWriter) -> None:
        await sleep_for(self._clock, delay_s)
        if not writer.is_closing():
            writer.write(answer)


async def _swallow(reader: asyncio.StreamReader) -> None:
    """Read until the client gives up."""
    while await reader.read(_BLOCK):
        pass


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Return one Modbus TCP message whole. Raises IncompleteReadError at the end of the stream."""
    header = await reader.readexactly(_HEADER)
    return header + await reader.readexactly(int.from_bytes(header[4:6], "big"))


async def _cut_after(first: bytes, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.write(first)
        await writer.drain()
    writer.close()  # not abort: the bytes before the cut shall arrive


def _exception(request: bytes, code: int) -> bytes:
    return request[:4] + bytes((0, 3, request[6], request[7] | 0x80, code))


def _wrong_unit(answer: bytes) -> bytes:
    return answer[:6] + bytes((answer[6] % 247 + 1,)) + answer[7:]


def _wrong_transaction(answer: bytes) -> bytes:
    number = (int.from_bytes(answer[:2], "big") + 0x1234) & 0xFFFF
    return number.to_bytes(2, "big") + answer[2:]


def _wrong_function(answer: bytes) -> bytes:
    return answer[:7] + bytes((7 - answer[7] if answer[7] in {3, 4} else 3,)) + answer[8:]


def _short(answer: bytes) -> bytes:
    if answer[7] & 0x80 or answer[8] < 2:
        return answer
    length = int.from_bytes(answer[4:6], "big") - 2
    return answer[:4] + length.to_bytes(2, "big") + answer[6:8] + bytes((answer[8] - 2,)) + answer[9:-2]


_ALTER = {
    "wrong_unit": _wrong_unit,
    "wrong_transaction": _wrong_transaction,
    "wrong_function": _wrong_function,
    "short": _short,
}

"""Simulated Modbus meters served by pymodbus, a foreign implementation: several units on one port.

Register images are computed only when somebody asks, at most once a refresh. The limits of the meter type
(registers a request, alignment, whole values, holes) are enforced as a real meter would.

Source: pymodbus 3.16.1, `ModbusTcpServer(context=list[SimDevice])` and `SimDevice.action`.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from simulators.encode import RegisterMap
from simulators.faults import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.interfaces import Clock
    from simulators.site import SimulatedMeter, Site

_COILS, _DISCRETE, _HOLDING, _INPUT = 1, 2, 3, 4
_BITS = (_COILS, _DISCRETE)
_WORD = 16  # bits; pymodbus keeps them in registers, and numbers those


class ModbusHost:
    """A Modbus TCP server with the meters of one link, as behind a serial device server."""

    def __init__(self, site: Site, meters: Sequence[SimulatedMeter], clock: Clock) -> None:
        """meters: with register maps, each at its own unit."""
        self._site = site
        self._meters = meters
        self._clock = clock
        self._server: ModbusTcpServer | None = None
        self.requests = 0

    async def start(self, port: int = 0) -> int:
        """Return the loopback port it listens on. Raises OSError when it cannot."""
        with socket.socket() as probe:  # pymodbus says nothing of use about a taken port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
        devices = [device(meter, self.now_s, self._count) for meter in self._meters]
        devices.append(
            SimDevice(0, _zeros(0, 65_536), action=_no_such_unit)
        )  # answers for every unit not served
        self._server = ModbusTcpServer(devices, address=(LOOPBACK, port))
        try:
            await self._server.serve_forever(background=True)
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from error
        return int(self._server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None

    def now_s(self) -> float:
        """Return when the meters last measured, seconds since the reference time."""
        return self._site.seconds(self._site.measured_ns(self._clock.wall_ns()))

    def _count(self) -> None:
        self.requests += 1


def device(meter: SimulatedMeter, now_s: Callable[[], float], asked: Callable[[], None]) -> SimDevice:
    """Return one meter as pymodbus serves it, over TCP and on a line alike.

    now_s: when the meters last measured, seconds since the reference time. asked: called at every request.
    """
    registers = meter.map
    assert isinstance(registers, RegisterMap)
    blocks = (
        _bits(registers, _COILS),
        _bits(registers, _DISCRETE),
        _block(registers, _HOLDING),
        _block(registers, _INPUT),
    )
    return SimDevice(meter.plan.unit, blocks, action=_Answer(now_s, asked, meter, registers).action)


class _Answer:
    """What one meter does with a request: refuse it, or bring the registers up to date first."""

    def __init__(
        self,
        now_s: Callable[[], float],
        asked: Callable[[], None],
        meter: SimulatedMeter,
        registers: RegisterMap,
    ) -> None:
        self._now_s = now_s
        self._asked = asked
        self._meter = meter
        self._map = registers
        self._measured_s: dict[int, float] = {}
        self._values = {served: _values(registers, served) for served in set(registers.functions.values())}

    async def action(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current_registers: list[int],
        set_values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Return the exception a real meter would answer, or None with the registers brought up to date."""
        self._asked()
        served = self._map.functions.get(function_code)
        if served is None or set_values is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        refusal = None if served in _BITS else self._refusal(served, address, count)
        if refusal is not None:
            return refusal
        now_s = self._now_s()
        single = self._map.split == "single"
        if single or self._measured_s.get(function_code) != now_s:
            self._measured_s[function_code] = now_s
            only = (served, address) if single else None
            for place, mask, bits in self._meter.writes(now_s, only).get(served, ()):
                i, shift = divmod(place, _WORD) if served in _BITS else (place, 0)
                i -= start_address
                current_registers[i] = current_registers[i] & ~(mask << shift) | bits << shift
        return None

    def _refusal(self, served: int, address: int, count: int) -> ExcCodes | None:
        limits = self._map
        if limits.registers_max is not None and count > limits.registers_max:
            return ExcCodes.ILLEGAL_VALUE
        if address % limits.align or count % limits.align:
            return ExcCodes.ILLEGAL_ADDRESS
        values = self._values[served]
        if limits.split == "single" and (address, address + count) not in values:
            return ExcCodes.ILLEGAL_ADDRESS
        if limits.split == "whole_values":
            firsts, ends = {first for first, _ in values}, {end for _, end in values}
            if address not in firsts or address + count not in ends:
                return ExcCodes.ILLEGAL_ADDRESS
        return None


async def _no_such_unit(*_request: object) -> ExcCodes | None:
    """Return what a serial device server says of a unit that never answers."""
    return ExcCodes.GATEWAY_NO_RESPONSE


def _zeros(first: int, end: int) -> list[SimData]:
    """Return registers that are all zero; as a string, since pymodbus packs numbers one by one."""
    return [SimData(first, values="\0" * 2 * (end - first), datatype=DataType.STRING)]


def _values(registers: RegisterMap, served: int) -> set[tuple[int, int]]:
    """Return (first, end) of every value, and of every value of several parts as a whole."""
    spans: set[tuple[int, int]] = {
        (place, place + 1) for f, place, _, _ in registers.constants if f == served
    }
    for register in registers.registers:
        if register.function == served:
            pieces = [(piece.address, piece.address + piece.words) for piece in register.pieces]
            spans.update(pieces)
            spans.add((min(first for first, _ in pieces), max(end for _, end in pieces)))
    return spans


def _bits(registers: RegisterMap, function: int) -> list[SimData]:
    """Return the bits a function reads, whole words of them; one word of zeros where there is none."""
    places = [r.pieces[0].address for r in registers.registers if r.function == function]
    if not places:
        return [SimData(0, values=[False] * _WORD, datatype=DataType.BITS)]
    first, end = min(places) // _WORD, max(places) // _WORD + 1
    return [SimData(first * _WORD, values=[False] * _WORD * (end - first), datatype=DataType.BITS)]


def _block(registers: RegisterMap, function: int) -> list[SimData]:
    """Return the registers a function reads: the listed ones, with zeros between where the meter says so."""
    served = registers.functions.get(function)
    if served is None:  # what the other function reads may be asked for, so that the refusal is the right one
        first = min(first for first, _ in registers.extent.values())
        end = max(end for _, end in registers.extent.values())
        return _zeros(first, end)
    listed: dict[int, int] = {}
    for register in registers.registers:
        if register.function == served:
            listed |= {piece.address + i: 0 for piece in register.pieces for i in range(piece.words)}
    for of_function, address, mask, bits in registers.constants:
        if of_function == served:
            listed[address] = listed.get(address, 0) & ~mask | bits
    if registers.holes == "zero":
        first, end = registers.extent[served]
        listed = dict.fromkeys(range(first, end), 0) | listed
    return _runs(listed)


def _runs(listed: dict[int, int]) -> list[SimData]:
    """Return neighbouring registers as one block each."""
    runs: list[tuple[int, list[int]]] = []
    for address in sorted(listed):
        if runs and address == runs[-1][0] + len(runs[-1][1]):
            runs[-1][1].append(listed[address])
        else:
            runs.append((address, [listed[address]]))
    return [SimData(first, values=list(words), datatype=DataType.REGISTERS) for first, words in runs]

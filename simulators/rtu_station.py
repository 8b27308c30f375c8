"""Modbus RTU meters on a simulated line: pymodbus's frames and messages, the same devices as over Modbus TCP.

Source: pymodbus 3.16.1, `FramerRTU`, `DecodePDU`, `SimCore`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse, WriteSingleRegisterRequest
from pymodbus.simulator.simcore import SimCore

from simulators.modbus_server import device
from simulators.station import Reply

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from random import Random

    from pymodbus.pdu import ModbusPDU

    from gateway.interfaces import Clock
    from simulators.site import SimulatedMeter, Site

DELAY_S = 0.005
_SHORTEST = 4  # unit, function, CRC
_REFUSED = 0x80
_READS = (1, 2, 3, 4)
_WRITES = (5, 6, 15, 16)  # refused by every meter here, as a function or as an address it does not have


class RtuStation:
    """One meter at its unit. requests: that were for it."""

    def __init__(self, site: Site, meter: SimulatedMeter, clock: Clock) -> None:
        """meter: with a register map."""
        self._unit = meter.plan.unit
        self._delay_s = DELAY_S if meter.plan.delay_s is None else meter.plan.delay_s
        self._framer = FramerRTU(DecodePDU(True))
        self._core = SimCore(
            device(meter, lambda: site.seconds(site.measured_ns(clock.wall_ns())), self._count)
        )
        self.requests = 0

    def hear(self, request: bytes) -> Reply | None:
        """Return the answer to a request for this unit; None for what is broken, another's or a broadcast."""
        if not self._mine(request):
            return None
        function = request[1]
        message = self._framer.decoder.decode(request[1:-2]) if function in (*_READS, *_WRITES) else None
        if message is None:
            return self.refuse(
                request, ExcCodes.ILLEGAL_VALUE if function in _READS else ExcCodes.ILLEGAL_FUNCTION
            )
        return self._reply(_finished(message.datastore_update(self._core, self._unit)))  # type: ignore[arg-type]

    def refuse(self, request: bytes, code: int) -> Reply | None:
        """Return a Modbus exception; None for what is not for this unit."""
        if not self._mine(request):
            return None
        return self._reply(ExceptionResponse(request[1] & ~_REFUSED, code))

    def _mine(self, request: bytes) -> bool:
        if len(request) < _SHORTEST or request[0] != self._unit:
            return False
        return FramerRTU.check_CRC(request[:-2], int.from_bytes(request[-2:], "big"))

    def _reply(self, message: ModbusPDU) -> Reply:
        message.dev_id = self._unit
        return Reply(self._framer.buildFrame(message), self._delay_s)

    def _count(self) -> None:
        self.requests += 1


def station(site: Site, meter: SimulatedMeter, clock: Clock) -> RtuStation:
    """Return the meter as a station of a line."""
    return RtuStation(site, meter, clock)


def foreign_frame(request: bytes, rng: Random) -> bytes:
    """Return a sound frame that is nobody's answer: another unit's values of the right length, or a broadcast."""
    framer = FramerRTU(DecodePDU(False))
    if len(request) < _SHORTEST or rng.random() < 0.5:
        return framer.buildFrame(WriteSingleRegisterRequest(address=0, registers=[1], dev_id=0))
    count = request[5] if len(request) > 5 and 0 < request[5] <= 125 else 1
    values = [rng.randrange(0x10000) for _ in range(count)]
    return framer.buildFrame(ReadHoldingRegistersResponse(registers=values, dev_id=request[0] % 247 + 1))


def _finished(work: Coroutine[Any, Any, ModbusPDU]) -> ModbusPDU:
    """Return what a coroutine that never waits gives."""
    try:
        work.send(None)
    except StopIteration as done:
        message: ModbusPDU = done.value
        return message
    work.close()
    raise RuntimeError("pymodbus waited for something")

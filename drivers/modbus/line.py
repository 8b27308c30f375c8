"""Modbus on a line: the reader over RTU frames, and the way out of doubt about late answers."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from drivers.failures import InDoubt, LineSteps
from drivers.modbus.pdu import BIT_FUNCTIONS, ExceptionAnswer
from drivers.modbus.plan import line_cost
from drivers.modbus.reader import ModbusReader
from drivers.modbus.rtu import RtuAsk
from drivers.roundtrip import RoundTrips

if TYPE_CHECKING:
    from drivers.lines.contract import Line
    from drivers.lines.line import HalfDuplexLine
    from gateway.interfaces import Clock, Notice

_SIZES = {1: 8, 2: 8, 3: 1, 4: 1}  # the smallest answer of each reading function: a byte, a register
_FUNCTIONS = {1: (2, 3, 4), 2: (1, 3, 4), 3: (4, 1, 2), 4: (3, 1, 2)}
_GARBAGE_STEP = "check baud rate, parity and wiring, and that no two meters have one unit id"


class _Asker:
    """Asks on a line as the reader wants to ask."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def request(self, ask: RtuAsk, timeout_s: float) -> tuple[int, bytes]:
        """Return wall time and values' bytes of the answer.

        If the late answer to the same request might still come, the meter is first asked for something whose answer cannot
        be mistaken: it answers in order, so after that one the late one cannot come. Raises RequestFailed, LinkDown.
        """
        with suppress(InDoubt):
            return await self._once(ask, timeout_s)
        for other in _others(ask):
            try:
                await self._once(other, timeout_s)
            except InDoubt:
                continue
            except ExceptionAnswer:  # whether it proves anything the line decides
                pass
            break
        return await self._once(ask, timeout_s)

    async def _once(self, ask: RtuAsk, timeout_s: float) -> tuple[int, bytes]:
        time_ns, frame = await self._line.ask(ask, timeout_s)
        return time_ns, ask.values(frame)


def _others(ask: RtuAsk) -> tuple[RtuAsk, ...]:
    """Return requests whose answers cannot be mistaken for this one's nor for each other's, the most useful first.

    Those of other functions come first, because then a refusal proves as much as values: it names its function. Meters
    that are silent on functions they do not have are asked for less of the same in the end, or more where there is no less.
    Several, so that a meter or converter which was silent a few times within `late_max` need not be waited for.
    """
    if not ask.others:
        step = 8 if ask.function in BIT_FUNCTIONS else 1
        less = ask.count - step if ask.count > step else ask.count + step
        sizes = [(function, _SIZES[function]) for function in _FUNCTIONS[ask.function]]
        sizes += [(ask.function, less), (sizes[0][0], 2 * _SIZES[sizes[0][0]])]
        ask.others = tuple(
            RtuAsk(ask.unit, function, min(ask.address, 65_536 - count), count) for function, count in sizes
        )
    return ask.others


def line_reader(line: HalfDuplexLine, clock: Clock, name: str, notice: Notice) -> ModbusReader[RtuAsk]:
    """Return the Modbus reader of a line. name: the link's id. The line adapts timeouts, so the reader does not."""
    timing = line.settings.timing
    return ModbusReader(
        _Asker(line).request,
        RtuAsk,
        clock,
        name,
        notice,
        RoundTrips(math.inf),
        garbage_step=_GARBAGE_STEP,
        cost=line_cost(timing.character_s, timing.silence_s),
        steps=LineSteps(
            "the meter's power, unit id and wiring",
            is_server=not line.settings.own_gaps,
            strangers=lambda: line.stats.discarded["foreign"],
        ),
    )

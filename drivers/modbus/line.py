"""Modbus on a line: the reader over RTU frames, and the way out of doubt about late answers."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from drivers.failures import InDoubt, NoAnswer
from drivers.modbus.pdu import BIT_FUNCTIONS, ExceptionAnswer
from drivers.modbus.plan import line_cost
from drivers.modbus.reader import ModbusReader
from drivers.modbus.rtu import RtuAsk
from drivers.roundtrip import RoundTrips

if TYPE_CHECKING:
    from drivers.lines.contract import Line
    from drivers.lines.line import HalfDuplexLine
    from gateway.interfaces import Clock, Notice

_GARBAGE_STEP = "check baud rate, parity and wiring, and that no two meters have one unit id"


class _Asker:
    """Asks on a line as the reader wants to ask."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def request(self, ask: RtuAsk, timeout_s: float) -> tuple[int, bytes]:
        """Return wall time and values' bytes of the answer.

        If the late answer to the same request might still come, the meter is first asked for something of another size:
        it answers in order, so after that answer the late one cannot come. Raises RequestFailed, LinkDown.
        """
        with suppress(InDoubt):
            return await self._once(ask, timeout_s)
        with suppress(ExceptionAnswer):  # it proves nothing; the line decides
            await self._once(_other(ask), timeout_s)
        return await self._once(ask, timeout_s)

    async def _once(self, ask: RtuAsk, timeout_s: float) -> tuple[int, bytes]:
        try:
            time_ns, frame = await self._line.ask(ask, timeout_s)
        except InDoubt:
            raise
        except NoAnswer as error:
            if not error.raw:
                raise
            raise NoAnswer(
                f"{error}: {ask.why(error.raw)}", discarded=error.discarded, raw=error.raw
            ) from None
        return time_ns, ask.values(frame)


def _other(ask: RtuAsk) -> RtuAsk:
    """Return a request whose answer has another size: less of the same, or more where there is no less."""
    if ask.other is None:
        step = 8 if ask.function in BIT_FUNCTIONS else 1
        fewer = ask.count - step
        if fewer >= 1:
            ask.other = RtuAsk(ask.unit, ask.function, ask.address, fewer)
        else:
            address = min(ask.address, 65_536 - ask.count - step)
            ask.other = RtuAsk(ask.unit, ask.function, address, ask.count + step)
    return ask.other


def line_reader(
    line: HalfDuplexLine, clock: Clock, name: str, notice: Notice, _timeout_min_s: float
) -> ModbusReader[RtuAsk]:
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
    )

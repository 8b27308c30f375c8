"""Raw reads for commands that look for meters: steady over a lost connection, bounded, each register asked once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from drivers.modbus.pdu import GATEWAY_PATH_UNAVAILABLE, GATEWAY_TARGET_SILENT
from gateway.clock import sleep_for
from gateway.commissioning.bus import DirectBus
from gateway.control.errands import Question
from gateway.errors import DeviceError, LinkDown, MetergateError
from gateway.polling.errand_queue import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.commissioning.bus import Bus
    from gateway.control.errands import Answer
    from gateway.interfaces import Clock

READS_MAX = 400
SILENT_MAX = 3
"""After so many requests of one function without an answer, and none with one, the function is not asked again."""
REOPEN_PAUSES_S = (0.2, 1.0)
LOOK_EVERY_S = 0.2  # whether whoever asked wants to stop
GATEWAY_CODES = (GATEWAY_PATH_UNAVAILABLE, GATEWAY_TARGET_SILENT)
"""Exceptions 10 and 11 come from the device before the meter: they say that nobody answers behind it."""


class Stopped(MetergateError):
    """Whoever asked wants no more; what was found so far holds."""


def never() -> bool:
    """Return False: nobody wants to stop."""
    return False


async def ask_steadily(
    bus: Bus, question: Question, clock: Clock, stopped: Callable[[], bool] = never
) -> Answer:
    """Return the answer, opening a lost link anew twice. Raises DeviceError, LinkDown, Busy, Stopped.

    Meters and device servers close a connection on a unit id they do not know; that ends no search, nor does a gateway that
    had no time for it. stopped: looked at while it waits; the request is then given up at once.
    """
    work = _steadily(bus, question, clock)
    return await (work if stopped is never else _unless_stopped(work, stopped))


async def _steadily(bus: Bus, question: Question, clock: Clock) -> Answer:
    for pause_s in REOPEN_PAUSES_S:
        try:
            return await bus.ask(question)
        except (LinkDown, Busy) as error:
            await sleep_for(clock, pause_s)
            if isinstance(error, LinkDown) and isinstance(bus, DirectBus):
                await bus.link.close()
                await bus.link.open()
    return await bus.ask(question)


async def _unless_stopped(work: Coroutine[Any, Any, Answer], stopped: Callable[[], bool]) -> Answer:
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_EVERY_S))[0]:
            if stopped():
                raise Stopped("stopped")
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def is_silence(error: DeviceError) -> bool:
    """Return whether no meter answered, be it that a gateway before it says so."""
    return error.reason == "timeout" or (error.reason == "exception" and error.code in GATEWAY_CODES)


class MeterReads:
    """Registers of one Modbus meter, each asked once."""

    def __init__(
        self,
        bus: Bus,
        unit: int,
        clock: Clock,
        *,
        timeout_s: float = 1.0,
        reads_max: int = READS_MAX,
        told: Callable[[], None] | None = None,
        stopped: Callable[[], bool] = never,
    ) -> None:
        """told: called after each request. stopped: looked at before each, and while it waits."""
        self.unit = unit
        self.asked = 0
        self.answered = False
        self._bus, self._clock, self._timeout_s, self._reads_max = bus, clock, timeout_s, reads_max
        self._told, self._stopped = told, stopped
        self._known: dict[tuple[int, int, int], bytes | DeviceError] = {}
        self._silent: dict[int, int] = {}

    async def registers(self, function: int, address: int, count: int) -> bytes | DeviceError:
        """Return the bytes of registers (bits as one register each), or why there are none. Raises Stopped, LinkDown, Busy."""
        place = function, address, count
        if place not in self._known:
            self._known[place] = await self._ask(place)
        return self._known[place]

    async def _ask(self, place: tuple[int, int, int]) -> bytes | DeviceError:
        function, address, count = place
        if self._stopped():
            raise Stopped("stopped")
        if not 0 <= address <= 0x10000 - count:
            return DeviceError("no such address", reason="refused")
        if self._silent.get(function, 0) >= SILENT_MAX or self.asked >= self._reads_max:
            return DeviceError("not asked", reason="timeout")
        question = Question("modbus", self.unit, (place,), timeout_s=self._timeout_s)
        try:
            answer = await self._ask_twice(question)
        except DeviceError as error:
            silent = is_silence(error)
            if not silent:
                self._heard(function)
            elif function not in self._silent or self._silent[function] >= 0:
                self._silent[function] = self._silent.get(function, 0) + 1
            return error
        finally:
            if self._told is not None:
                self._told()
        self._heard(function)
        return answer.raw

    async def _ask_twice(self, question: Question) -> Answer:
        """Return the answer; the very first request may only have woken the meter."""
        self.asked += 1
        try:
            return await ask_steadily(self._bus, question, self._clock, self._stopped)
        except DeviceError as error:
            if self.asked > 1 or not is_silence(error):
                raise
        self.asked += 1
        return await ask_steadily(self._bus, question, self._clock, self._stopped)

    def _heard(self, function: int) -> None:
        self.answered = True
        self._silent[function] = -1  # it answers: silence on one address says nothing of others

"""The Modbus reader: polls in, samples out, over anything that can ask and answer (TCP, or a serial line).

Its meters follow each other. A poll costs at most one timeout (two where the profile says that the first request only
wakes the meter): after it, the rest of the poll is not asked, and the silent request goes to the end of the next poll,
so that a meter which is silent for one block only still delivers the others. Exception 2 (illegal data address) on
a request of several channels makes the reader ask for those channels apart, at once and from then on. A channel that
does not exist alone either is left alone for a day, unless not one of the poll exists: then the meter is simply
another one, and that is an error of every poll.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic

from drivers.absences import METERS_MAX, Absences, Tellings
from drivers.failures import InDoubt, NoAnswer, RequestFailed
from drivers.modbus.pdu import BIT_FUNCTIONS, ExceptionAnswer, bits_as_registers
from drivers.modbus.plan import TCP, Cost
from drivers.modbus.reading import AskT, Outcome, Reading, is_silent
from gateway.errors import DeviceError, LinkDown
from gateway.model import Sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from drivers.failures import LineSteps
    from drivers.roundtrip import RoundTrips
    from gateway.interfaces import Clock, Notice, Poll

    Request = Callable[[AskT, float], Awaitable[tuple[int, bytes]]]

POLLS_MAX = 4096  # of one link; a site has a handful
_TIMEOUT_STEP = "check the meter's power, unit id and wiring, or raise timeout"


class ModbusReader(Generic[AskT]):
    """Reads Modbus meters. Implements `Reader`."""

    def __init__(
        self,
        request: Request[AskT],
        prepare: Callable[[int, int, int, int], AskT],
        clock: Clock,
        name: str,
        notice: Notice,
        trips: RoundTrips,
        *,
        garbage_step: str,
        timeout_s: float = 1.0,
        pipeline: int = 1,
        cost: Cost = TCP,
        steps: LineSteps | None = None,
    ) -> None:
        """request: sends a prepared request, waits so many seconds, returns wall time and values' bytes.

        prepare: makes a request of (unit, function, address, count). timeout_s: for polls that have none (0).
        pipeline: how many requests may be outstanding. garbage_step: what to do about answers that are none. steps: of a line.
        """
        self.request = request
        self.trips = trips
        self._prepare_ask = prepare
        self._clock, self._name, self._notice = clock, name, notice
        self._garbage_step, self._steps = garbage_step, steps
        self._timeout_s = timeout_s
        self._pipeline = pipeline
        self._cost = cost
        self._readings: dict[Poll, Reading[AskT]] = {}
        self._absences: dict[str, Absences] = {}  # of each meter
        self._tellings = Tellings()
        self._rested_s = 0.0

    def forget(self) -> None:
        """Forget how requests were best cut: another meter may stand there now."""
        self._readings.clear()

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the one sample of a poll, with the channels of failed requests flagged.

        Raises DeviceError if no request brought values, LinkDown if the connection is gone, with what was read before.
        """
        if self._tellings.held:
            self._tellings.flush(self._notice, self._clock.monotonic())
        return await self._read(poll, self._readings.get(poll) or self._prepare(poll))

    async def _read(self, poll: Poll, reading: Reading[AskT]) -> list[Sample]:
        """Ask as the reading has it, and once more for each thing learned from that."""
        sole = reading.sole
        if sole is None:
            outcome = await self._ask_all(reading)
        else:  # one request whose answer is the sample: most polls
            trip, trips, clock = reading.trip, self.trips, self._clock
            asked_s = clock.monotonic()
            try:
                time_ns, raw = await self.request(sole, trips.timeout_s(trip, reading.timeout_s))
            except RequestFailed as error:
                outcome = Outcome(reading)
                self._failed(reading, outcome, 0, error)
            else:
                trips.answered(trip, clock.monotonic() - asked_s)
                return [Sample(time_ns, None, raw, poll.layout.no_flags[:])]
        if outcome.lost is None and reading.learn(outcome):
            return await self._read(poll, reading)
        if not outcome.answers:
            raise self._device_error(poll, outcome)
        if poll.layout.period_s and (outcome.failures or reading.absences.off()):  # not what an errand asks
            self._note_absences(reading, outcome)
        sample = outcome.sample(poll)
        if outcome.lost is not None:
            raise LinkDown(str(outcome.lost), samples=[sample])
        return [sample]

    def figures(self) -> dict[str, object]:
        """Return what is off, meter -> count of channels."""
        off = {meter: len(absences.off()) for meter, absences in self._absences.items()}
        return {"channels_off": {meter: count for meter, count in off.items() if count}}

    def _prepare(self, poll: Poll) -> Reading[AskT]:
        is_lasting = poll.layout.period_s > 0  # not what an errand asks, or what is read at connecting
        absences = self._absences.get(poll.meter) if is_lasting else None
        if absences is None:
            absences = Absences()
            if is_lasting:
                if len(self._absences) >= METERS_MAX:
                    self._absences.clear()
                self._absences[poll.meter] = absences
        trip = self.trips.of(poll.address)
        try:
            reading = Reading(poll, self._prepare_ask, self._timeout_s, absences, trip, self._cost)
        except ValueError as error:
            raise DeviceError(
                f"link {self._name}, meter {poll.meter}: cannot be read: {error}", reason="refused"
            ) from None
        if is_lasting:
            if len(self._readings) >= POLLS_MAX:
                self._readings.clear()
            self._readings[poll] = reading
        return reading

    async def _ask_all(self, reading: Reading[AskT]) -> Outcome[AskT]:
        """Ask block after block; stop when the meter is silent. Raises LinkDown if nothing was read before; else it is `lost`."""
        off = reading.off(self._clock.monotonic())
        outcome = Outcome(reading, off)
        order = [n for n in reading.order if n not in off]
        plain = not reading.limits.pause_ms and not reading.limits.wake
        try:
            if plain and self._pipeline > 1:
                await self._ask_ahead(reading, outcome, order)
            else:
                for n in order:
                    if not await self._ask_one(reading, outcome, n):
                        break
        except LinkDown as error:
            if not outcome.answers:
                raise
            outcome.lost = error
        return outcome

    async def _ask_one(self, reading: Reading[AskT], outcome: Outcome[AskT], n: int) -> bool:
        """Ask for one block; return whether the meter is worth asking further."""
        clock, trips, trip = self._clock, self.trips, reading.trip
        pause_s = reading.limits.pause_ms / 1000
        if pause_s:
            await clock.sleep_until(self._rested_s)
        ask = reading.asks[n]
        tries = 2 if reading.limits.wake and not outcome.answers and not outcome.failures else 1
        try:
            while True:
                asked_s = clock.monotonic()
                try:
                    answer = await self.request(ask, trips.timeout_s(trip, reading.timeout_s))
                except RequestFailed as error:
                    tries -= 1
                    if tries and is_silent(error):
                        continue  # it may only have been woken
                    return self._failed(reading, outcome, n, error)
                trips.answered(trip, clock.monotonic() - asked_s)
                self._answered(outcome, n, answer)
                return True
        finally:
            if pause_s:
                self._rested_s = clock.monotonic() + pause_s

    async def _ask_ahead(self, reading: Reading[AskT], outcome: Outcome[AskT], order: list[int]) -> None:
        """Ask for blocks in order, several before the first is answered; after a silent one no more are sent."""
        clock, trips, trip = self._clock, self.trips, reading.trip
        to_ask = deque(order)
        sent: deque[tuple[int, float, asyncio.Future[tuple[int, bytes]]]] = deque()
        try:
            while to_ask or sent:
                while to_ask and len(sent) < self._pipeline:
                    timeout_s = trips.timeout_s(trip, reading.timeout_s)
                    coming = asyncio.ensure_future(self.request(reading.asks[to_ask[0]], timeout_s))
                    sent.append((to_ask.popleft(), clock.monotonic(), coming))
                n, asked_s, answer = sent.popleft()
                try:
                    self._answered(outcome, n, await answer)
                except RequestFailed as error:
                    if not self._failed(reading, outcome, n, error):
                        to_ask.clear()
                else:
                    trips.answered(trip, clock.monotonic() - asked_s)
        finally:
            for _, _, unused in sent:
                unused.cancel()
                if unused.done() and not unused.cancelled():
                    unused.exception()  # taken note of, or asyncio would complain

    def _answered(self, outcome: Outcome[AskT], n: int, answer: tuple[int, bytes]) -> None:
        ask = outcome.asks[n]
        outcome.time_ns, payload = answer
        is_bits = ask.function in BIT_FUNCTIONS
        outcome.answers[n] = bits_as_registers(payload, ask.count) if is_bits else payload

    def _failed(self, reading: Reading[AskT], outcome: Outcome[AskT], n: int, error: RequestFailed) -> bool:
        """Take note of a failed request; return whether the meter is worth asking further."""
        outcome.failures[n] = error
        if isinstance(error, NoAnswer) and not isinstance(error, InDoubt):
            self.trips.timed_out(reading.trip)
        if not is_silent(error):
            return True
        outcome.ended = error
        reading.order.remove(n)
        reading.order.append(n)
        return False

    def _note_absences(self, reading: Reading[AskT], outcome: Outcome[AskT]) -> None:
        """Leave channels alone which the meter says it has not, and take back those it has again; tell once."""
        poll, absences, now_s = reading.poll, reading.absences, self._clock.monotonic()
        absent = outcome.absent()
        for n, block in enumerate(outcome.plan.blocks):
            channels, where = block.channels, str(outcome.asks[n])
            if n in absent and len(channels) == 1:
                source = poll.sources[channels[0]]
                times = 1 + reading.unbundled.issuperset(channels)  # as one of several, and alone
                if absences.refused(source, now_s, times):
                    self._tell(poll, channels[0], where, is_off=True, error=str(outcome.failures[n]))
            elif n in outcome.answers:
                for i in channels:
                    if absences.answered(poll.sources[i]):
                        self._tell(poll, i, where, is_off=False)
        reading.unbundled = frozenset()

    def _tell(self, poll: Poll, i: int, where: str, *, is_off: bool, **detail: object) -> None:
        key = poll.layout.channels[i].key
        self._tellings.tell(
            self._notice, self._clock.monotonic(), poll.meter, key,
            is_off=is_off, reason="illegal_address", where=where, **detail,
        )  # fmt: skip

    def _device_error(self, poll: Poll, outcome: Outcome[AskT]) -> DeviceError:
        """Return the error of a poll that brought nothing, told by its first failure."""
        n, error = next(iter(outcome.failures.items()))
        others = len(outcome.asks) - 1
        some = f"{others} other requests" if others > 1 else "another request"
        rest = f"; {some} failed or {'were' if others > 1 else 'was'} not asked" if others else ""
        return DeviceError(
            f"link {self._name}, meter {poll.meter}: {outcome.asks[n]}: {error}{self._next_step(error)}{rest}",
            reason=error.failure,
            raw=error.raw,
            code=error.code if isinstance(error, ExceptionAnswer) else None,
        )

    def _next_step(self, error: RequestFailed) -> str:
        """Return what the engineer may do, "" where the error's own text says it."""
        if isinstance(error, InDoubt):
            return ""
        if error.failure == "exception":
            return ""
        steps, now_s = self._steps, self._clock.monotonic()
        if error.failure == "timeout":
            return f"; {_TIMEOUT_STEP if steps is None else steps.silence(now_s)}"
        other = "" if steps is None else steps.second_master(now_s)
        return f"; {other}; else {self._garbage_step}" if other else f"; {self._garbage_step}"

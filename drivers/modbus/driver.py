"""The Modbus TCP link: polls in, samples out.

One task owns a link and its meters follow each other, so at most one request is outstanding. A poll costs at most
one timeout (two where the profile says that the first request only wakes the meter): after it, the rest of the poll is not asked, and the silent request goes to the end of the next poll,
so that a meter which is silent for one block only still delivers the others. Exception 2 (illegal data address) on
a request of several channels makes the link read those channels apart, at once and from then on; if not one of them
exists alone either, the meter is simply another one, and they are read together again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

import structlog

from drivers.failures import NoAnswer, RequestFailed
from drivers.modbus.framing import Ask, tcp_ask
from drivers.modbus.pdu import (
    BIT_FUNCTIONS,
    GATEWAY_PATH_UNAVAILABLE,
    GATEWAY_TARGET_SILENT,
    ILLEGAL_DATA_ADDRESS,
    ExceptionAnswer,
    bits_as_registers,
)
from drivers.modbus.plan import Plan, PlanError, plan
from drivers.modbus.stats import LinkStats
from drivers.modbus.stream import Stream
from drivers.registers import ReadLimits
from gateway.errors import DeviceError, LinkDown
from gateway.interfaces import unnoticed
from gateway.model import Flag, Sample

if TYPE_CHECKING:
    from gateway.interfaces import Clock, Notice, Poll

PROTOCOL = "modbus"
CONNECT_TIMEOUT_S = 5.0
DISCARD_LOG_EVERY_S = 60.0
POLLS_MAX = 4096  # of one link; a site has a handful

_log = structlog.get_logger(__name__)
_NO_LIMITS = ReadLimits()
_TIMEOUT_STEP = "check the meter's power, unit id and wiring, or raise timeout"
_GARBAGE_STEP = (
    "check that the meter speaks Modbus TCP (not RTU over TCP) and that nobody else answers for its unit id"
)
_CONNECT_STEPS = {
    errno.ECONNREFUSED: "nothing listens there: check the port (502 is usual) and that the meter's Modbus TCP is on",
    errno.EHOSTUNREACH: "no way to this host: check address, cable and switch",
    errno.ENETUNREACH: "no way to this network: check the gateway's own address and route",
    errno.ETIMEDOUT: "no answer: check address, power, cable and firewall",
    errno.ECONNRESET: "closed at once: many meters allow only one to four connections; find who else is connected",
    errno.EACCES: "a firewall on this machine forbids it",
    errno.EPERM: "a firewall on this machine forbids it",
}
_CONNECT_STEP = "check address and port"


class _Reading:
    """What the link knows of one poll: its plan, its requests, and what it learned of the meter."""

    __slots__ = ("apart", "asks", "limits", "order", "plan", "poll", "sole", "timeout_s", "together", "unit")

    def __init__(self, poll: Poll, timeout_s: float) -> None:
        if poll.protocol != PROTOCOL or not isinstance(poll.address, int):
            raise PlanError(
                f"{poll.protocol} address {poll.address!r} on a link that reads {PROTOCOL} unit ids"
            )
        limits = _NO_LIMITS if poll.settings is None else poll.settings
        if not isinstance(limits, ReadLimits):
            raise PlanError(f"settings {limits!r} are no read limits")
        self.poll = poll
        self.unit = poll.address
        self.limits = limits
        self.timeout_s = poll.timeout_s or timeout_s
        self.apart: frozenset[int] = frozenset()
        self.together = False
        self.replan()

    def replan(self) -> None:
        """Make plan and requests anew. Raises PlanError, ValueError."""
        poll = self.poll
        self.plan: Plan = plan(poll.sources, self.limits, poll.layout, self.apart)
        self.asks: list[Ask] = [tcp_ask(self.unit, b.function, b.address, b.count) for b in self.plan.blocks]
        self.order: list[int] = list(range(len(self.asks)))
        plain = not self.limits.pause_ms and not self.limits.wake
        fast = self.plan.direct and plain and self.asks[0].function not in BIT_FUNCTIONS
        self.sole: Ask | None = self.asks[0] if fast else None

    def learn(self, outcome: _Outcome) -> bool:
        """Return whether the poll is worth asking again at once, its requests being cut anew.

        It never is twice for one channel, so asking again comes to an end.
        """
        absent = {n for n, error in outcome.failures.items() if _is_absent(error)}
        blocks = self.plan.blocks
        if self.apart and outcome.complete():
            alone = {n for n, block in enumerate(blocks) if self.apart.issuperset(block.channels)}
            if alone <= absent:
                self.apart, self.together = frozenset(), True
                self.replan()
                return False
        bundled = {i for n in absent for i in blocks[n].channels if len(blocks[n].channels) > 1} - self.apart
        if self.together or not bundled:
            return False
        self.apart |= bundled
        self.replan()
        return True


class _Outcome:
    """Answers and failures of one poll, by block of the plan it was asked under."""

    __slots__ = ("answers", "asks", "ended", "failures", "plan", "time_ns")

    def __init__(self, reading: _Reading) -> None:
        self.plan = reading.plan
        self.asks = reading.asks
        self.answers: dict[int, bytes] = {}
        self.failures: dict[int, RequestFailed] = {}
        self.ended: RequestFailed | None = None  # why the rest was not asked; None: connection lost
        self.time_ns = 0

    def complete(self) -> bool:
        """Return whether every request was asked."""
        return len(self.answers) + len(self.failures) == len(self.asks)


class ModbusTcpLink:
    """A TCP connection to a meter, or to a gateway with several meters behind it. Implements `Link`."""

    def __init__(
        self,
        host: str,
        port: int = 502,
        *,
        timeout_s: float,
        clock: Clock,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        name: str = "",
    ) -> None:
        """timeout_s: for polls that have none of their own (0). name: the link's id, for messages."""
        self.host = host
        self.port = port
        self.name = name or f"{host}:{port}"
        self.stats = LinkStats()
        self.notice: Notice = unnoticed
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._clock = clock
        self._stream: Stream | None = None
        self._transaction = 0
        self._readings: dict[Poll, _Reading] = {}
        self._rested_s = 0.0
        self._told: dict[str, tuple[float, int]] = {}

    async def open(self) -> None:
        """Connect. Raises LinkDown with the system's reason and a next step."""
        await self.close()
        self._readings.clear()  # another meter may stand there now
        where = f"link {self.name}: cannot connect to {self.host}:{self.port}"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, self._stream = await loop.create_connection(self._new_stream, self.host, self.port)
        except TimeoutError:
            step = _CONNECT_STEPS[errno.ETIMEDOUT]
            raise LinkDown(f"{where}: no connection within {self._connect_timeout_s:g} s; {step}") from None
        except socket.gaierror as error:
            raise LinkDown(
                f"{where}: {error.strerror or error}; the name is unknown: check it, or write the IP address"
            ) from None
        except ValueError as error:
            raise LinkDown(f"{where}: {error}; this is no host name or address: check it") from None
        except OSError as error:
            text = (
                f"{error.strerror or os.strerror(error.errno)} (errno {error.errno})"
                if error.errno
                else error
            )
            raise LinkDown(
                f"{where}: {text}; {_CONNECT_STEPS.get(error.errno or 0, _CONNECT_STEP)}"
            ) from None
        self.stats.connects += 1

    async def close(self) -> None:
        """Disconnect; never raises, may be called twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._transaction = stream.transaction
            await stream.close()

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the one sample of a poll, with the channels of failed requests flagged.

        Raises DeviceError if no request brought values, LinkDown if the connection is gone and nothing was read.
        """
        stream = self._stream
        if stream is None:
            raise LinkDown(f"link {self.name}: not connected")
        reading = self._readings.get(poll) or self._prepare(poll)
        sole = reading.sole
        if sole is None:
            outcome = await self._ask_all(stream, reading)
        else:  # one request whose answer is the sample: most polls
            try:
                time_ns, raw = await stream.request(sole, reading.timeout_s)
            except RequestFailed as error:
                outcome = _Outcome(reading)
                outcome.failures[0] = error
            except LinkDown as error:
                raise self._down(error) from None
            else:
                return [Sample(time_ns, None, raw, poll.layout.no_flags[:])]
        if reading.learn(outcome):
            return await self.read(poll)
        if not outcome.answers:
            raise self._device_error(poll, outcome)
        return [_sample(poll, outcome)]

    def figures(self) -> dict[str, object]:
        """Return what the link has counted."""
        return self.stats.figures()

    def _new_stream(self) -> Stream:
        return Stream(self.stats, self._clock.wall_ns, self._on_discard, last_transaction=self._transaction)

    def _prepare(self, poll: Poll) -> _Reading:
        try:
            reading = _Reading(poll, self._timeout_s)
        except ValueError as error:
            raise DeviceError(
                f"link {self.name}, meter {poll.meter}: cannot be read: {error}", reason="refused"
            ) from None
        if len(self._readings) >= POLLS_MAX:
            self._readings.clear()
        self._readings[poll] = reading
        return reading

    async def _ask_all(self, stream: Stream, reading: _Reading) -> _Outcome:
        """Ask block after block; stop when the meter is silent. Raises LinkDown if nothing was read before it."""
        pause_s = reading.limits.pause_ms / 1000
        outcome = _Outcome(reading)
        for n in tuple(reading.order):
            if pause_s:
                await self._clock.sleep_until(self._rested_s)
            ask = reading.asks[n]
            try:
                is_first = not outcome.answers and not outcome.failures
                twice = is_first and reading.limits.wake
                outcome.time_ns, payload = await _request(stream, ask, reading.timeout_s, twice=twice)
            except RequestFailed as error:
                outcome.failures[n] = error
                if _is_silent(error):
                    outcome.ended = error
                    reading.order.remove(n)
                    reading.order.append(n)
                    break
            except LinkDown as error:
                if not outcome.answers:
                    raise self._down(error) from None
                break  # what was read is kept; the next poll finds the connection gone
            else:
                is_bits = ask.function in BIT_FUNCTIONS
                outcome.answers[n] = bits_as_registers(payload, ask.count) if is_bits else payload
            finally:
                if pause_s:
                    self._rested_s = self._clock.monotonic() + pause_s
        return outcome

    def _down(self, error: LinkDown) -> LinkDown:
        return LinkDown(f"link {self.name}, {self.host}:{self.port}: {error}")

    def _device_error(self, poll: Poll, outcome: _Outcome) -> DeviceError:
        """Return the error of a poll that brought nothing, told by its first failure."""
        n, error = next(iter(outcome.failures.items()))
        others = len(outcome.asks) - 1
        rest = f"; {others} other requests failed or were not asked" if others else ""
        return DeviceError(
            f"link {self.name}, meter {poll.meter}: {outcome.asks[n]}: {error}{_next_step(error)}{rest}",
            reason=_reason(error),
            raw=error.raw,
        )

    def _on_discard(self, reason: str, text: str, raw: bytes) -> None:
        """Log a discarded frame, once a minute for each reason; the counter has them all."""
        now_s = self._clock.monotonic()
        last_s, unsaid = self._told.get(reason, (-DISCARD_LOG_EVERY_S, 0))
        if now_s - last_s < DISCARD_LOG_EVERY_S:
            self._told[reason] = (last_s, unsaid + 1)
            return
        self._told[reason] = (now_s, 0)
        _log.warning(
            "answer discarded", link=self.name, reason=reason, text=text, raw=raw.hex(), unsaid=unsaid or None
        )


async def _request(stream: Stream, ask: Ask, timeout_s: float, *, twice: bool) -> tuple[int, bytes]:
    """Return time and values of an answer; twice: asked once more if silent, for meters the first request only wakes."""
    try:
        return await stream.request(ask, timeout_s)
    except RequestFailed as error:
        if not twice or not _is_silent(error):
            raise
    return await stream.request(ask, timeout_s)


def _is_absent(error: RequestFailed) -> bool:
    return isinstance(error, ExceptionAnswer) and error.code == ILLEGAL_DATA_ADDRESS


def _is_silent(error: RequestFailed) -> bool:
    """Return whether the meter did not answer, be it that a gateway before it says so."""
    if isinstance(error, ExceptionAnswer):
        return error.code in (GATEWAY_PATH_UNAVAILABLE, GATEWAY_TARGET_SILENT)
    return isinstance(error, NoAnswer)


def _reason(error: RequestFailed) -> str:
    """Return the failure's name for counting: `exception`, `timeout` or `garbage`."""
    if isinstance(error, ExceptionAnswer):
        return "exception"
    return "timeout" if isinstance(error, NoAnswer) and not error.discarded else "garbage"


def _next_step(error: RequestFailed) -> str:
    """Return what the engineer may do, "" where the error's own text says it."""
    step = {"exception": "", "timeout": _TIMEOUT_STEP, "garbage": _GARBAGE_STEP}[_reason(error)]
    return f"; {step}" if step else ""


def _sample(poll: Poll, outcome: _Outcome) -> Sample:
    """Return the sample of a poll some of whose requests failed: zero bytes and flags in their channels."""
    plan = outcome.plan
    answers = [outcome.answers.get(n) or bytes(block.size) for n, block in enumerate(plan.blocks)]
    flags = poll.layout.no_flags[:]
    if len(outcome.answers) < len(answers):
        for n, block in enumerate(plan.blocks):
            if n not in outcome.answers:
                flag = _flag(outcome.failures.get(n, outcome.ended))
                for i in block.channels:
                    flags[i] |= flag
    return Sample(outcome.time_ns, None, plan.assemble(answers), flags)


def _flag(error: RequestFailed | None) -> int:
    """Return the flags of a channel whose request failed so."""
    cause = Flag.DEVICE if isinstance(error, ExceptionAnswer) else Flag.COMMS
    return int(Flag.MISSING | cause)

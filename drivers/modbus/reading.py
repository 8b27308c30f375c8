"""What the reader knows of one poll: its plan and requests, and what they taught it of the meter. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from drivers.failures import NoAnswer, RequestFailed
from drivers.modbus.pdu import (
    BIT_FUNCTIONS,
    GATEWAY_PATH_UNAVAILABLE,
    GATEWAY_TARGET_SILENT,
    ILLEGAL_DATA_ADDRESS,
    ExceptionAnswer,
)
from drivers.modbus.plan import TCP, Cost, Plan, PlanError, plan
from drivers.registers import ReadLimits
from gateway.model import Flag, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.absences import Absences
    from drivers.roundtrip import RoundTrip
    from gateway.errors import LinkDown
    from gateway.interfaces import Poll

PROTOCOL = "modbus"
_NO_LIMITS = ReadLimits()


class ReadAsk(Protocol):
    """A read request, prepared for TCP or for a line."""

    @property
    def function(self) -> int:
        """Return the function code, 1 to 4."""

    @property
    def count(self) -> int:
        """Return how many registers or bits are asked for."""


AskT = TypeVar("AskT", bound=ReadAsk)


class Reading(Generic[AskT]):
    """One poll: its plan, its requests, and what was learned of the meter."""

    __slots__ = (
        "absences", "apart", "asks", "cost", "limits", "order", "plan", "poll", "prepare", "sole", "timeout_s",
        "together", "trip", "unbundled", "unit",
    )  # fmt: skip

    def __init__(
        self,
        poll: Poll,
        prepare: Callable[[int, int, int, int], AskT],
        timeout_s: float,
        absences: Absences,
        trip: RoundTrip,
        cost: Cost = TCP,
    ) -> None:
        """prepare: the request for (unit, function, address, count). timeout_s: for a poll without one.

        absences: of the meter. Raises PlanError, ValueError.
        """
        if poll.protocol != PROTOCOL or not isinstance(poll.address, int):
            raise PlanError(
                f"{poll.protocol} address {poll.address!r} on a link that reads {PROTOCOL} unit ids"
            )
        limits = _NO_LIMITS if poll.settings is None else poll.settings
        if not isinstance(limits, ReadLimits):
            raise PlanError(f"settings {limits!r} are no read limits")
        self.poll, self.unit, self.limits = poll, poll.address, limits
        self.timeout_s = poll.timeout_s or timeout_s
        self.prepare, self.absences, self.trip, self.cost = prepare, absences, trip, cost
        known = set(absences.off())
        self.apart = frozenset(i for i, source in enumerate(poll.sources) if source in known)
        self.unbundled: frozenset[int] = frozenset()  # found out in this very poll
        self.together = False
        self.replan()

    def replan(self) -> None:
        """Make plan and requests anew. Raises PlanError, ValueError."""
        poll = self.poll
        self.plan: Plan = plan(poll.sources, self.limits, poll.layout, self.apart, self.cost)
        self.asks = [self.prepare(self.unit, b.function, b.address, b.count) for b in self.plan.blocks]
        self.order: list[int] = list(range(len(self.asks)))
        plain = not self.limits.pause_ms and not self.limits.wake
        fast = self.plan.direct and plain and self.asks[0].function not in BIT_FUNCTIONS
        self.sole: AskT | None = self.asks[0] if fast else None

    def off(self, now_s: float) -> frozenset[int]:
        """Return the blocks that are not asked now, for the meter turned out not to have them; never all."""
        skips, sources = self.absences.skips, self.poll.sources
        if not self.absences.off():
            return frozenset()
        found = frozenset(
            n
            for n, block in enumerate(self.plan.blocks)
            if all(skips(sources[i], now_s) for i in block.channels)
        )
        return found if len(found) < len(self.asks) else frozenset()

    def learn(self, outcome: Outcome[AskT]) -> bool:
        """Return whether the poll is worth asking again at once, its requests being cut anew.

        It never is twice for one channel, so asking again comes to an end.
        """
        absent = outcome.absent()
        blocks = self.plan.blocks
        if outcome.answers:
            self.together = False
        elif self.apart and outcome.complete() and len(absent) == len(outcome.failures):
            self.apart, self.together = frozenset(), True  # not one exists: it is another meter
            self.replan()
            return False
        bundled = {i for n in absent for i in blocks[n].channels if len(blocks[n].channels) > 1} - self.apart
        if self.together or not bundled:
            return False
        self.apart |= bundled
        self.unbundled |= bundled
        self.replan()
        return True


class Outcome(Generic[AskT]):
    """Answers and failures of one poll, by block of the plan it was asked under. off: blocks not asked."""

    __slots__ = ("answers", "asks", "ended", "failures", "lost", "off", "plan", "time_ns")

    def __init__(self, reading: Reading[AskT], off: frozenset[int] = frozenset()) -> None:
        """Nothing has been asked yet."""
        self.plan = reading.plan
        self.asks = reading.asks
        self.off = off
        self.answers: dict[int, bytes] = {}
        self.failures: dict[int, RequestFailed] = {}
        self.ended: RequestFailed | None = None  # why the rest was not asked
        self.lost: LinkDown | None = None  # the connection went in the midst
        self.time_ns = 0

    def complete(self) -> bool:
        """Return whether every request that should be was asked."""
        return len(self.answers) + len(self.failures) + len(self.off) == len(self.asks)

    def absent(self) -> set[int]:
        """Return the blocks the meter says it does not have."""
        return {n for n, error in self.failures.items() if is_absent(error)}

    def sample(self, poll: Poll) -> Sample:
        """Return the sample: zero bytes and flags in the channels of requests that brought nothing."""
        blocks = self.plan.blocks
        answers = [self.answers.get(n) or bytes(block.size) for n, block in enumerate(blocks)]
        flags = poll.layout.no_flags[:]
        if len(self.answers) < len(answers):
            for n, block in enumerate(blocks):
                if n not in self.answers:
                    flag = _ABSENT if n in self.off else _flag(self.failures.get(n, self.ended))
                    for i in block.channels:
                        flags[i] |= flag
        return Sample(self.time_ns, None, self.plan.assemble(answers), flags)


_ABSENT = int(Flag.MISSING | Flag.DEVICE)


def is_absent(error: RequestFailed) -> bool:
    """Return whether the meter says that it has no such address."""
    return isinstance(error, ExceptionAnswer) and error.code == ILLEGAL_DATA_ADDRESS


def is_silent(error: RequestFailed) -> bool:
    """Return whether the meter did not answer, be it that a gateway before it says so."""
    if isinstance(error, ExceptionAnswer):
        return error.code in (GATEWAY_PATH_UNAVAILABLE, GATEWAY_TARGET_SILENT)
    return isinstance(error, NoAnswer)


def _flag(error: RequestFailed | None) -> int:
    """Return the flags of a channel whose request failed so."""
    cause = Flag.DEVICE if isinstance(error, ExceptionAnswer) else Flag.COMMS
    return int(Flag.MISSING | cause)

"""What is wrong with single channels: told once for each cause, and once when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from asyncua import ua

from drivers.absences import Tellings
from drivers.opcua import slot
from drivers.opcua.faults import REFUSED, status_name

if TYPE_CHECKING:
    from gateway.interfaces import Clock, Notice, Poll

LOG_EVERY_S = 60.0  # of one channel, whatever its causes
LOGGED_MAX = 10_000

log = structlog.get_logger("opcua")


class Channels:
    """The channels of one link that have no number, or that the server does not have; bounded in size and in what it tells."""

    def __init__(self, name: str, clock: Clock) -> None:
        """name: the link's id."""
        self._name, self._clock = name, clock
        self._logged: dict[tuple[str, str], tuple[str, float]] = {}  # channel -> cause logged last, and when
        self._off: set[tuple[str, str]] = set()
        self._tellings = Tellings()

    def judge(
        self, notice: Notice, poll: Poll, index: int, answer: ua.DataValue, *, has_number: bool
    ) -> None:
        """Tell of one answer whatever has not been told: no such node, back again, no number."""
        status = 0 if answer.StatusCode is None else answer.StatusCode.value
        code = status & slot.CODE
        source = str(poll.sources[index])
        if code in REFUSED:
            self.off(notice, poll, index, status_name(code))
        elif (poll.meter, source) in self._off and poll.layout.period_s:
            self._off.discard((poll.meter, source))
            if self._tell(notice, poll, index, is_off=False, error=""):
                log.info("channel is back", link=self._name, meter=poll.meter, source=source)
        if not has_number:
            self._log(poll.meter, source, _cause(code, answer.Value or ua.Variant()))

    def off(self, notice: Notice, poll: Poll, index: int, error: str) -> None:
        """Tell once that the server does not give this channel. error: name of its StatusCode."""
        source = str(poll.sources[index])
        is_new = (poll.meter, source) not in self._off and len(self._off) < LOGGED_MAX
        if is_new and poll.layout.period_s:  # not what an errand asks for
            self._off.add((poll.meter, source))
            self._tell(notice, poll, index, is_off=True, error=error)
        self._log(poll.meter, source, error)

    def flush(self, notice: Notice) -> None:
        """Tell what a channel that came and went has come to."""
        self._tellings.flush(notice, self._clock.monotonic())

    def _tell(self, notice: Notice, poll: Poll, index: int, *, is_off: bool, error: str) -> bool:
        return self._tellings.tell(
            notice,
            self._clock.monotonic(),
            poll.meter,
            _key(poll, index),
            is_off=is_off,
            reason="bad_node",
            where=str(poll.sources[index]),
            error=error,
        )

    def _log(self, meter: str, source: str, cause: str) -> None:
        """Say once for each cause that a channel has no number, at most once a minute; the flag says it every time."""
        now_s = self._clock.monotonic()
        last, said_s = self._logged.get((meter, source), ("", -LOG_EVERY_S))
        if cause == last or now_s - said_s < LOG_EVERY_S:
            return
        if len(self._logged) >= LOGGED_MAX:
            del self._logged[next(iter(self._logged))]
        self._logged[meter, source] = (cause, now_s)
        log.warning(
            "channel has no number; check its id", link=self._name, meter=meter, source=source, error=cause
        )


def _key(poll: Poll, index: int) -> str:
    return poll.layout.channels[index].key


def _cause(code: int, variant: ua.Variant) -> str:
    if code >> 30:
        return status_name(code)
    if variant.Value is None:
        return "no value"
    what = "an array" if isinstance(variant.Value, list) else "a"
    return f"{what} {variant.VariantType.name}, not a number"

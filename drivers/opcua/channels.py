"""What is wrong with single channels: told once for each cause, and once when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from asyncua import ua

from drivers.opcua import slot
from drivers.opcua.faults import REFUSED, status_name

if TYPE_CHECKING:
    from gateway.interfaces import Notice, Poll

LOGGED_MAX = 10_000

log = structlog.get_logger("opcua")


class Channels:
    """The channels of one link that have no number, or that the server does not have; bounded."""

    def __init__(self, name: str) -> None:
        """name: the link's id."""
        self._name = name
        self._logged: set[tuple[str, str, str]] = set()
        self._off: set[tuple[str, str]] = set()

    def judge(
        self, notice: Notice, poll: Poll, index: int, answer: ua.DataValue, *, has_number: bool
    ) -> None:
        """Tell of one answer whatever has not been told: no such node, back again, no number."""
        status = 0 if answer.StatusCode is None else answer.StatusCode.value
        code = status & slot.CODE
        source = str(poll.sources[index])
        if code in REFUSED:
            self.off(notice, poll, index, status_name(code))
        elif (poll.meter, source) in self._off:
            self._off.discard((poll.meter, source))
            log.info("channel is back", link=self._name, meter=poll.meter, source=source)
            notice(
                "channel_on",
                poll.meter,
                channels=[_key(poll, index)],
                reason="bad_node",
                where=source,
                error="",
            )
        if not has_number:
            self._log_once(poll.meter, source, _cause(code, answer.Value or ua.Variant()))

    def off(self, notice: Notice, poll: Poll, index: int, error: str) -> None:
        """Tell once that the server does not give this channel. error: name of its StatusCode."""
        source = str(poll.sources[index])
        if (poll.meter, source) not in self._off and len(self._off) < LOGGED_MAX:
            self._off.add((poll.meter, source))
            notice(
                "channel_off",
                poll.meter,
                channels=[_key(poll, index)],
                reason="bad_node",
                where=source,
                error=error,
            )
        self._log_once(poll.meter, source, error)

    def _log_once(self, meter: str, source: str, cause: str) -> None:
        """Say once for each cause that a channel has no number; the flag says it every time."""
        key = (meter, source, cause)
        if key not in self._logged and len(self._logged) < LOGGED_MAX:
            self._logged.add(key)
            log.warning(
                "channel has no number; check its id",
                link=self._name,
                meter=meter,
                source=source,
                error=cause,
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

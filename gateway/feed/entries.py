"""Signed messages on their way from the outbox to destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.feed.contract import Kind
    from gateway.model import Refusal


class Entry(NamedTuple):
    """One signed message. subject: the meter of a `meter` message, else "". time_ns: when it was signed. jws: the bytes, ASCII."""

    seq: int
    kind: Kind
    subject: str
    time_ns: int
    jws: bytes


class Destination(Protocol):
    """Where signed messages go. Taking one twice has the effect of once."""

    async def open(self, retained: Sequence[Entry], *, chain: str, seq: int) -> None:
        """Connect; announce state and the newest message of each retained topic. Raises SinkUnavailable."""

    async def write(self, entries: Sequence[Entry], *, late: bool) -> list[Refusal]:
        """Return the entries refused for good, once every other one is acknowledged. Raises SinkUnavailable: none may be taken for sent."""

    async def close(self) -> None:
        """Say goodbye and disconnect; never raises, may be called twice."""

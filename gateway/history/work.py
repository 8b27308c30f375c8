"""What one commit to the history makes durable, and what went to make room for it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from gateway.feed.entries import Entry
    from gateway.intervals.model import Interval
    from gateway.model import Event


class TotalRow(NamedTuple):
    """A summary as it was sent: identity (period, start_ns, rev). period: `hour`, `day` or `month`. body: JSON object."""

    period: str
    start_ns: int
    rev: int
    end_ns: int
    closed_ns: int
    body: Mapping[str, Any]


class ManualReading(NamedTuple):
    """A reading somebody entered by hand, exact, in `unit`."""

    meter: str
    channel: str
    time_ns: int
    reading: Decimal
    unit: str
    by: str
    why: str
    entered_ns: int


class SiteConfig(NamedTuple):
    """A site file that was in force. since_ns: when it first was."""

    digest: str
    since_ns: int
    body: str


@dataclass(slots=True)
class Work:
    """One transaction.

    entries: new messages of the chain, in order. chain: "": the one there is; another one than that begins anew, and what
    the outbox still had of the old one goes. seq, head, kid: 0, "": as they follow from `entries`, or stay; given, seq
    and head must be those of the last entry. states: name -> JSON value. topics_gone: retained topics (as of
    gateway.feed.contract.topic) that are announced no more. destinations_gone: those whose positions go.
    """

    intervals: list[Interval] = field(default_factory=list)
    totals: list[TotalRow] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    config: SiteConfig | tuple[str, int, str] | None = None
    manual: list[ManualReading] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    chain: str = ""
    seq: int = 0
    head: str = ""
    kid: str = ""
    states: dict[str, Any] = field(default_factory=dict)
    topics_gone: list[str] = field(default_factory=list)
    destinations_gone: list[str] = field(default_factory=list)


class Dropped(NamedTuple):
    """What went before its time: at the size cap, or with a chain that was given up. False if nothing did.

    kind: `size` or `chain`. first_seq <= seq < until_seq: messages that went. first_ns <= time < until_ns: bounds of all
    that went. unacknowledged: destination -> how many of the messages it had not acknowledged.
    """

    kind: str = ""
    intervals: int = 0
    totals: int = 0
    events: int = 0
    messages: int = 0
    first_seq: int = 0
    until_seq: int = 0
    first_ns: int = 0
    until_ns: int = 0
    unacknowledged: Mapping[str, int] = {}

    def __bool__(self) -> bool:
        """Return whether anything went."""
        return bool(self.kind)

    def detail(self) -> dict[str, Any]:
        """Return the detail of an event `history_dropped`."""
        return {**self._asdict(), "unacknowledged": dict(self.unacknowledged)}

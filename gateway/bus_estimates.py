"""What one poll asks of a link, protocol by protocol: requests, bytes, and the time they take on the wire.

A new protocol is one function and one line in `ESTIMATORS`. Pure: nothing is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drivers.lines.timing import Timing
from drivers.modbus.pdu import payload_size
from drivers.modbus.plan import (
    DELAY_ASSUMED_S,
    LINE_ANSWER_BYTES,
    LINE_REQUEST_BYTES,
    REQUEST_BYTES,
    TCP,
    line_cost,
    plan,
)
from drivers.registers import ReadLimits
from gateway.config.links import LineTable, TcpSerialConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from gateway.config.links import LinkConfig
    from gateway.layout import Layout

ROUND_TRIP_ASSUMED_S = 0.010
"""Request out to answer in on TCP: network, and meter or serial device server. An assumption, not a fact."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What nobody knows before the meters were asked. measured: a meter's own `read.delay` counts in place of these.

    delay_s: between request and answer on a serial line. round_trip_s: of a request on TCP.
    """

    delay_s: float = DELAY_ASSUMED_S
    round_trip_s: float = ROUND_TRIP_ASSUMED_S
    measured: bool = True


NOTHING_ASSUMED = Assumptions(0.0, 0.0, measured=False)
"""Meters that answer at once over a network without delay: what is left takes the link's time for certain."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How long bytes take on a link. character_s, silence_s: 0 on TCP, where only the waiting counts."""

    serial: bool
    character_s: float = 0.0
    silence_s: float = 0.0
    turnaround_s: float = 0.0
    network_s: float = 0.0

    def busy_s(self, asked: int, answered: int, delay_s: float, pause_s: float) -> float:
        """Return how long the link is taken by a request of `asked` bytes and its answer of `answered`.

        delay_s: until the answer begins, no less than the lawful silence. pause_s: rest before the request, likewise.
        """
        waits_s = max(self.silence_s, pause_s) + max(self.silence_s, delay_s) + self.network_s
        return waits_s + (asked + answered) * self.character_s


def wire_of(link: LinkConfig, assumed: Assumptions) -> Wire:
    """Return the timing of a link."""
    if not isinstance(link, LineTable):
        return Wire(serial=False)
    timing = Timing(link.baud, link.parity, link.stop)
    return Wire(
        serial=True,
        character_s=timing.character_s,
        silence_s=timing.silence_s,
        turnaround_s=link.turnaround_s,
        network_s=assumed.round_trip_s if isinstance(link, TcpSerialConfig) else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer. what: as the protocol names it. size: bytes both ways, headers included.

    busy_s: how long it takes the link.
    """

    what: Mapping[str, object]
    channels: tuple[str, ...]
    size: int
    busy_s: float


@dataclass(frozen=True, slots=True)
class Asking:
    """One poll as an estimator sees it."""

    sources: tuple[Hashable, ...]
    layout: Layout = field(repr=False)
    settings: Hashable
    wire: Wire
    delay_s: float
    """Until the answer begins: of the meter on a serial line, of the round trip on TCP."""

    def exchange(
        self, what: Mapping[str, object], channels: tuple[int, ...], sizes: tuple[int, int], pause_s: float
    ) -> Exchange:
        """Return a request of these channels; sizes: bytes asked and answered, as the protocol frames them."""
        keys = tuple(self.layout.channels[i].key for i in channels)
        busy_s = self.wire.busy_s(*sizes, self.delay_s, pause_s)
        return Exchange(what, keys, sum(sizes), busy_s)


def _modbus(asking: Asking) -> list[Exchange]:
    """Return the requests the driver will send. Raises PlanError."""
    limits, wire = asking.settings, asking.wire
    if not isinstance(limits, ReadLimits):
        limits = ReadLimits()
    pause_s = limits.pause_ms / 1000
    cost = line_cost(wire.character_s, wire.silence_s, pause_s) if wire.serial else TCP
    overhead = (LINE_REQUEST_BYTES, LINE_ANSWER_BYTES) if wire.serial else (REQUEST_BYTES, 0)
    found = []
    for block in plan(asking.sources, limits, asking.layout, cost=cost).blocks:
        what = {"function": block.function, "address": block.address, "count": block.count}
        sizes = overhead[0], overhead[1] + payload_size(block.function, block.count)
        found.append(asking.exchange(what, block.channels, sizes, pause_s))
    return found


ESTIMATORS: dict[str, Callable[[Asking], list[Exchange]]] = {"modbus": _modbus}
"""Protocol -> what a poll asks. A protocol that is not here is shown as one request, without a time."""

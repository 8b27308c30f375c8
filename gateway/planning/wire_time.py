"""What one poll asks of a link, protocol by protocol: requests, bytes, and the time they take on the wire.

A new protocol is one function and one line in `ESTIMATORS`. Pure: nothing is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from drivers.cjt188.frame import Ask as CjtAsk
from drivers.dlt645.frame import Ask as DltAsk
from drivers.identifiers import CjtSettings, CjtSource, DltSettings, DltSource
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
from gateway.config.links import LineTable, ModbusTcpConfig, TcpSerialConfig

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
    """How long bytes take on a link. character_s, silence_s: 0 on TCP, where only the waiting counts.

    pipeline: requests of one poll that may be outstanding together.
    """

    serial: bool
    character_s: float = 0.0
    silence_s: float = 0.0
    turnaround_s: float = 0.0
    network_s: float = 0.0
    pipeline: int = 1

    def busy_s(self, asked: int, answered: int, delay_s: float, pause_s: float) -> float:
        """Return how long the link is taken by a request of `asked` bytes and its answer of `answered`.

        delay_s: until the answer begins, no less than the lawful silence. pause_s: rest before the request, likewise.
        """
        waits_s = max(self.silence_s, pause_s) + max(self.silence_s, delay_s) + self.network_s
        return waits_s + (asked + answered) * self.character_s


def wire_of(link: LinkConfig, assumed: Assumptions) -> Wire:
    """Return the timing of a link."""
    if not isinstance(link, LineTable):
        return Wire(serial=False, pipeline=link.pipeline if isinstance(link, ModbusTcpConfig) else 1)
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
    rests_first: bool = True
    """Whether the rest before the first request is counted: other meters may be asked in that time."""

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
    cost = line_cost(wire.character_s, wire.silence_s) if wire.serial else TCP
    overhead = (LINE_REQUEST_BYTES, LINE_ANSWER_BYTES) if wire.serial else (REQUEST_BYTES, 0)
    found: list[Exchange] = []
    for block in plan(asking.sources, limits, asking.layout, cost=cost).blocks:
        what = {"function": block.function, "address": block.address, "count": block.count}
        sizes = overhead[0], overhead[1] + payload_size(block.function, block.count)
        rest_s = pause_s if found or asking.rests_first else 0.0
        found.append(asking.exchange(what, block.channels, sizes, rest_s))
    together = 1 if limits.pause_ms or limits.wake else wire.pipeline
    share = -(-len(found) // together) / len(
        found
    )  # the link waits once for those that are outstanding together
    return [replace(exchange, busy_s=exchange.busy_s * share) for exchange in found]


def _dlt645(asking: Asking) -> list[Exchange]:
    """Return one request for each identifier."""
    settings = asking.settings if isinstance(asking.settings, DltSettings) else DltSettings()
    found = []
    for i, source in enumerate(asking.sources):
        assert isinstance(source, DltSource)
        ask = DltAsk("0" * 12, source.di, source.size, settings.preamble)
        sizes = len(ask.request), ask.answer_size
        found.append(asking.exchange({"identifier": f"{source.di:08X}"}, (i,), sizes, 0.0))
    return found


def _cjt188(asking: Asking) -> list[Exchange]:
    """Return the one request whose answer has everything."""
    source, settings = asking.sources[0], asking.settings
    assert isinstance(source, CjtSource)
    assert isinstance(settings, CjtSettings)
    ask = CjtAsk("0" * 14, source.di, 0, settings)
    sizes = len(ask.request), ask.answer_size
    return [
        asking.exchange({"identifier": f"{source.di:04X}"}, tuple(range(len(asking.sources))), sizes, 0.0)
    ]


ESTIMATORS: dict[str, Callable[[Asking], list[Exchange]]] = {
    "modbus": _modbus,
    "dlt645": _dlt645,
    "cjt188": _cjt188,
}
"""Protocol -> what a poll asks. A protocol that is not here is shown as one request, without a time."""

"""One meter with one counter (and a power beside it, if wanted), read once a second into a journal."""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING, Any

from gateway.health import Health, MeterHealth
from gateway.journal.event_log import EventLog
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Event, Frame, Sample
from gateway.polling.recorder import Recorder
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import START_NS, open_journal, uncommitted

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000


class Meter:
    """A u16 counter in 0.1 kWh, or an f32 one in kWh; power in kW as f32."""

    def __init__(
        self,
        folder: Path,
        *,
        type_: str = "u16",
        coefficient: str = "0.1",
        sentinels: tuple[str, ...] = (),
        power: bool = False,
        step_s: float = 1.0,
        **limits: Any,
    ) -> None:
        counter = Channel("energy_active_import", "energy_active_import", "kWh", "counter", **limits)
        channels, slots = [counter], [Slot((Part(type_),), coefficient, sentinels=sentinels)]
        if power:
            channels.append(Channel("power_active", "power_active", "kW", "gauge"))
            slots.append(Slot((Part("f32"),)))
        self.layout = Layout("m-1", step_s, tuple(channels), tuple(slots))
        self._code = {"u16": ">H", "f32": ">f"}[type_]
        self._step_ns = round(step_s * S)
        self.time_ns = START_NS
        self.frames: list[Frame] = []
        self._events: list[Event] = []

        async def build() -> None:
            self.clock = VirtualClock(START_NS)
            self.journal = open_journal(folder, self.clock)
            self.recorder = Recorder(
                self.journal,
                EventLog(self.journal, self.clock),
                self.clock,
                Health(meters={"m-1": MeterHealth("l-1")}),
            )

        self._run(build)

    def _run(self, work: Any) -> None:
        run(work())

    def shows(self, *counts: float, power: float = 0.0) -> None:
        """Read these, one after another."""

        async def read() -> None:
            for count in counts:
                self.time_ns += self._step_ns
                raw = struct.pack(self._code, count)
                if len(self.layout.slots) > 1:
                    raw += struct.pack(">f", power)
                flags = array("H", self.layout.no_flags)
                self.recorder.record(self.layout, Sample(self.time_ns, None, raw, flags))
            self.recorder.counters.sweep(1e6)
            self._take()

        self._run(read)

    def _take(self) -> None:
        for record in uncommitted(self.journal, take=True):
            if isinstance(record, Frame):
                self.frames.append(record)
            elif isinstance(record, Event):
                self._events.append(record)

    @property
    def values(self) -> list[float]:
        return [round(frame.values[0], 6) for frame in self.frames]

    @property
    def flags(self) -> list[int]:
        return [frame.flags[0] for frame in self.frames]

    def told(self, *kinds: str) -> list[dict[str, object]]:
        """Return the details of the events since the last call, which must be of these kinds."""
        found, self._events = self._events, []
        assert [event.kind for event in found] == list(kinds)
        return [dict(event.detail) for event in found]

"""Eight hours of a serial line with true baud timing and troubles, byte for byte under virtual time (R18, R28)."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import assembly
from gateway.app import Gateway
from gateway.clock import sleep_for
from gateway.config.site_file import from_toml
from gateway.errors import LinkDown
from gateway.model import ABSENT
from simulators.faults import Fault
from simulators.lines import line_of
from simulators.plan import load_plan
from simulators.run import DEMO_FILE
from simulators.site import Site
from simulators.site_file import site_toml
from simulators.virtual import VirtualClock, run
from simulators.wire_ports import MemoryPort
from tests.sim import soak_oracles
from tests.sim.soak import HOUR_S, LogWatch, look, spare_disk, spared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.model import Batch, Refusal
    from simulators.wire import Wire
    from tests.sim.soak import Hour

START_NS = 1_790_000_000_000_000_000
LINK = "cellar"
HOURS = 8.0
EVERY_S = 1800.0
SIZE_MAX = 1 << 30
BLOCKS_MAX = 1000  # five hours: what is kept of each look is a hundred or two; one thing kept a request, 6 000 and more
SINK = '[[sinks]]\nid = "mqtt"\nkind = "mqtt"\nhost = "127.0.0.1"\nport = 1883\n'
FAULTS = (
    ("crc", 3, 0.05),
    ("noise", 4, 0.1),
    ("foreign", 2, 0.05),
    ("truncated", 3, 0.02),
    ("late", 4, 0.02),
    ("garbage", 1, 0.02),
)  # kind, unit, share


class WirePort:
    """The gateway's port on a simulated line: one that can be pulled out."""

    def __init__(self, wire: Wire) -> None:
        self.name = "simulated"
        self.lost: str | None = "not open"
        self.plugged = True
        self._memory = MemoryPort(wire)
        self._on_lost: Callable[[], None] = lambda: None

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        if not self.plugged:
            raise LinkDown("cannot open simulated: it was pulled out")
        self.lost, self._on_lost = None, on_lost
        self._memory.on_bytes(on_bytes)

    def write(self, data: bytes) -> None:
        self.check()
        self._memory.write(data)

    def check(self) -> None:
        if self.lost is not None:
            raise LinkDown(self.lost)

    async def close(self) -> None:
        self.lost = "closed"
        self._memory.close()

    def pull(self) -> None:
        """Take the adapter out."""
        self.plugged = False
        if self.lost is None:
            self.lost = "the port is gone"
            self._memory.close()
            self._on_lost()


@dataclass(slots=True)
class LineSink:
    """Compares what it takes with what the meters showed; keeps nothing."""

    site: Site
    frames: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect."""

    async def write(self, batch: Batch) -> list[Refusal]:
        for frame in batch.frames:
            layout, time_ns = frame.layout, frame.time_ns
            self.frames[layout.meter] += 1
            for channel, value, flags in zip(layout.channels, frame.values, frame.flags, strict=True):
                if flags & ABSENT:
                    continue
                truths = self.site.truths(layout.meter, channel.key, time_ns, channel.unit)
                self.compared += 1
                if not any(abs(value - truth) <= 1e-6 * max(1.0, abs(truth)) for truth in truths):
                    self.wrong.append(f"{layout.meter} {channel.key}: {value}, showed {truths}")
        return []


@dataclass
class LineSoak:
    """What a run left behind."""

    sink: LineSink
    wire: Wire
    hours: list[Hour]
    figures: dict[str, Any] = field(default_factory=dict)
    applied: Counter[str] = field(default_factory=Counter)


async def soak(folder: Path, hours: float) -> LineSoak:
    """Play hours of the demo's line, each half hour its adapter pulled out for a minute, the last hour without."""
    whole = load_plan(DEMO_FILE)
    meters = tuple(replace(m, period="10s") for m in whole.meters if m.link == LINK)
    plan = replace(whole, meters=meters, links=tuple(link for link in whole.links if link.id == LINK))
    clock = VirtualClock(START_NS)
    plant = Site(plan, START_NS)
    calm_s = (hours - 0.5) * HOUR_S
    faults = [
        Fault(kind, LINK, units=frozenset((unit,)), end_s=calm_s, share=share) for kind, unit, share in FAULTS
    ]
    faults.append(Fault("dead", LINK, units=frozenset((2,)), start_s=1200, end_s=3000))
    wire, troubles = line_of(plant, plan.links[0], list(plant.meters.values()), clock, faults)
    troubles.start()
    port = WirePort(wire)
    config = from_toml(site_toml(plan, {LINK: "/dev/ttyS0"}, state_dir=".", sinks=SINK), folder / "site.toml")
    sink = LineSink(plant)
    gateway = Gateway(
        config,
        assembly.library(config),
        clock,
        links=lambda table, _: assembly._line(table, port, clock, own_gaps=True),  # type: ignore[arg-type]
        sinks=lambda *_: sink,
        inline_journal=True,
        control=False,
        reraise=True,
    )
    result, stop = LineSoak(sink, wire, []), asyncio.Event()

    async def script() -> None:
        for n in range(1, int(hours * HOUR_S / EVERY_S)):
            await clock.sleep_until(n * EVERY_S + 5)
            result.hours.append(look(gateway, clock.monotonic()))
            if n * EVERY_S < calm_s:
                port.pull()
                await sleep_for(clock, 60)
                port.plugged = True
        await clock.sleep_until(hours * HOUR_S)
        stop.set()

    playing = asyncio.create_task(script())
    result.figures = await gateway.run(stop, lambda: spare_disk(gateway))
    await playing
    result.applied = troubles.applied
    wire.close()
    return result


@pytest.mark.timeout(600)
def test_a_shift_of_a_troubled_line(tmp_path: Path) -> None:
    logs = LogWatch()
    with spared(logs):
        result = run(soak(tmp_path, HOURS))
    assert not result.sink.wrong, result.sink.wrong[:3]
    figures, due = result.figures, HOURS * HOUR_S / 10
    assert figures["lost"] == 0
    assert figures["sinks"]["mqtt"]["delivered"] == figures["readings"]
    assert all(meter["state"] == "on" for meter in figures["meters"].values())
    assert set(result.applied) >= {kind for kind, _, _ in FAULTS}
    for meter, count in result.sink.frames.items():
        assert count >= 0.7 * due, f"{meter}: {count} of {due}"
    assert result.wire.tally.gap_violations == 0
    assert not logs.twice
    soak_oracles.bounded(result.hours, SIZE_MAX, settled_h=HOURS / 3, blocks_max=BLOCKS_MAX)

"""Frames and a directory for tests of the sinks; values are float32 as a meter's registers would give them."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from gateway.layout import Layout, Part, Slot
from gateway.model import Batch, Channel, Frame, MeterInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

START_NS = 1_795_316_400_012_000_000
SECOND_NS = 1_000_000_000


@dataclass
class FakeDirectory:
    """A gateway's meters and the layouts in force; `in_force` may be changed by the test."""

    meters: Sequence[MeterInfo]
    in_force: list[Layout]
    gateway: str = "plant-1"
    software: str = "0.1.0"
    config_digest: str = "c0ffee"

    def layouts(self) -> list[Layout]:
        """Return the layouts in force."""
        return list(self.in_force)


def make_layout(
    meter: str,
    keys: tuple[str, ...] = ("power_active", "energy_active_import_total"),
    energy_kind: str = "electricity",
) -> Layout:
    channels = tuple(
        Channel(
            key,
            "energy_active" if "energy" in key else "power_active",
            "kWh" if "energy" in key else "W",
            "counter" if "energy" in key else "gauge",
        )
        for key in keys
    )
    slots = tuple(Slot((Part("f32"),)) for _ in keys)
    return Layout(meter, 10.0, channels, slots, profile="fake@1", energy_kind=energy_kind)


def make_info(meter: str) -> MeterInfo:
    return MeterInfo(meter, f"{meter} 号", "hall-a", "fake", "electricity", {"hall": "A"})


def make_site(meters: int, channels: int) -> FakeDirectory:
    """Return a directory of `meters` meters `m-001` … with `channels` channels each."""
    names = [f"m-{n + 1:03d}" for n in range(meters)]
    keys = tuple(f"energy_active_import_l{i}" for i in range(channels))
    return FakeDirectory([make_info(name) for name in names], [make_layout(name, keys) for name in names])


def make_frame(
    layout: Layout,
    values: list[float] | None = None,
    *,
    flags: list[int] | None = None,
    time_ns: int = START_NS,
    epoch: int = 0,
    device_time_ns: int | None = None,
    seed: int = 1,
) -> Frame:
    """Return a frame; without `values`, fractional ones that fit a float32."""
    n = len(layout.channels)
    if values is None:
        rng = Random(f"{layout.meter}/{time_ns}/{seed}")
        values = list(struct.unpack(f"{n}f", struct.pack(f"{n}f", *(rng.uniform(0, 1000) for _ in range(n)))))
    return Frame(
        layout, epoch, time_ns, device_time_ns, b"", array("d", values), array("H", flags or [0] * n)
    )


def make_batch(
    directory: FakeDirectory, polls: int = 1, *, backfill: bool = False, start_ns: int = START_NS
) -> Batch:
    """Return `polls` frames of every layout, one second apart."""
    frames = [
        make_frame(layout, time_ns=start_ns + n * SECOND_NS)
        for n in range(polls)
        for layout in directory.in_force
    ]
    return Batch(frames, 1, polls, backfill)

"""Polls for the Modbus tests, made of nothing but sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.registers import ReadLimits, RegisterSource
from gateway.interfaces import Poll
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

TYPE_OF = {1: "u16", 2: "u32", 4: "u64"}  # by registers
Source = tuple[RegisterSource, ...]


def holding(address: int, count: int = 1) -> Source:
    return (RegisterSource(3, address, count),)


def make_layout(sources: Sequence[Source], meter: str = "m-1") -> Layout:
    """Return a layout whose slots are as long as the sources."""
    return Layout(
        meter=meter,
        period_s=1.0,
        channels=tuple(Channel(f"ch_{i}", "voltage", "V", "gauge") for i in range(len(sources))),
        slots=tuple(Slot(tuple(Part(TYPE_OF[part.count]) for part in source)) for source in sources),
    )


def make_poll(
    sources: Sequence[Source],
    *,
    unit: Hashable = 1,
    timeout_s: float = 0.05,
    settings: ReadLimits | None = None,
    protocol: str = "modbus",
) -> Poll:
    return Poll("m-1", protocol, unit, make_layout(sources), tuple(sources), timeout_s, settings)

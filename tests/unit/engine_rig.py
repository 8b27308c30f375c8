"""What the tests of the intervals' engine share: meters, frames and events of a small site, and a minute of it."""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING

import orjson

from gateway.intervals.engine import Engine
from gateway.intervals.grid import Grid
from gateway.layout import Layout, Part, Slot
from gateway.model import NS, Channel, Event, Frame, Gap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.intervals.model import Interval

Record = Frame | Event | Gap
T0_S = 1_785_546_000  # 2026-08-01T09:00+08:00
T0 = T0_S * NS
GRACE_S = 20
GRID = Grid("Asia/Shanghai", 300)  # tolerance 30 s
IN, OUT, POWER, TEXT = "energy_active_import", "energy_active_export", "power_active", "voltage_l1"


def layout(
    meter: str = "m-1",
    period_s: float = 10.0,
    *,
    coefficient: str = "0.01",
    reported: tuple[str, ...] = (IN, POWER, OUT),
) -> Layout:
    """Return a layout of two counters (one with a modulus), a reported gauge and one that is not."""
    channels = (
        Channel(TEXT, "voltage", "V", "gauge"),
        Channel(IN, "energy_active", "kWh", "counter", modulus="10000", report=IN in reported),
        Channel(POWER, "power_active", "kW", "gauge", report=POWER in reported),
        Channel(OUT, "energy_active", "kWh", "counter", report=OUT in reported),
    )
    slots = tuple(
        Slot((Part(kind),), coefficient=scale)
        for kind, scale in (
            ("u16", "0.1"),
            ("u32", coefficient),
            ("s16", "0.001" if coefficient == "0.01" else "0.01"),
            ("u32", coefficient),
        )
    )
    return Layout(meter, period_s, channels, slots, energy_kind="electricity")


def frame(
    of: Layout, time_s: float, taken: int = 0, given: int = 0, power: int = 0, *, epoch: int = 0,
    flags: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Frame:  # fmt: skip
    """Return a frame, `time_s` after T0; taken, given: counters' registers."""
    raw = struct.pack(">HIhI", 2300, taken, power, given)
    marks = array("H", flags)
    time_ns = T0 + round(time_s * 1000) * 1_000_000
    return Frame(of, epoch, time_ns, None, raw, of.decode(raw, marks), marks)


def event(time_s: float, kind: str, subject: str = "gateway", **detail: object) -> Event:
    """Return an event, `time_s` after T0."""
    return Event(T0 + round(time_s * NS), kind, subject, detail)


def plan(
    time_s: float,
    meter: str = "m-1",
    period_s: float = 10.0,
    *,
    told: bool = True,
    reported: tuple[str, ...] = (IN, POWER, OUT),
) -> Event:
    """Return the plan of a meter of `layout`. told: with what is reported."""
    rows = {
        IN: {"unit": "kWh", "kind": "counter"},
        OUT: {"unit": "kWh", "kind": "counter"},
        POWER: {"unit": "kW", "kind": "gauge"},
    }
    more: dict[str, object] = {
        "energy_kind": "electricity",
        "reports": {key: rows[key] for key in rows if key in reported},
    }
    channels = [TEXT, IN, POWER, OUT]
    base = {"link": "l-1", "period_s": period_s, "channels": channels, "enabled": True}
    return event(time_s, "plan", meter, **base, **(more if told else {}))


def start(time_s: float = 0.0) -> list[Record]:
    """Return the start of the gateway with its link up at once."""
    return [event(time_s, "start"), event(time_s, "link_up", "l-1")]


def swap(
    time_s: float, effective_s: float, closing: str | None, opening: str | None, **more: object
) -> Event:
    """Return a swap of m-1; both counters have the same readings on each side."""

    def side(reading: str | None) -> dict[str, object]:
        row = None if reading is None else {"reading": reading, "unit": "kWh", "time_ns": 0, "from": "typed"}
        return {IN: row, OUT: row}

    sides = {"closing": side(closing), "opening": side(opening)}
    detail = {**sides, "effective_ns": T0 + round(effective_s * NS), "serial": "2", "by": "x", "why": ""}
    return event(time_s, "meter_swap", "m-1", **(detail | more))


def engine(grace_s: float = GRACE_S) -> Engine:
    """Return a new engine."""
    return Engine(GRID, round(grace_s * NS))


def again(one: Engine) -> Engine:
    """Return an engine restored from the other's snapshot, by way of JSON."""
    return Engine.restore(GRID, one.grace_ns, orjson.loads(orjson.dumps(one.snapshot())))


def run(one: Engine, records: Iterable[Record]) -> list[Interval]:
    """Return what an engine makes of records."""
    for record in records:
        one.take(record)
    return one.close(0, idle=False)


def minutes(
    of: Layout, from_s: int, to_s: int, rate: int = 1, *, epoch: int = 0, base: int = 0
) -> list[Record]:
    """Return a frame every period, 0.2 s after it is due; counters rise by `rate` each second."""
    step = int(of.period_s)
    return [
        frame(of, t + 0.2, base + t * rate, base + 2 * t * rate, t % 7, epoch=epoch)
        for t in range(from_s, to_s, step)
    ]

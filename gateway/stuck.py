"""Counters that stand still while their meter's own power or flow says they should move. Pure.

No verdict without a gauge of the same place in the same layout: a counter may rightly stand still. How much is too
much follows from the counter itself (docs/specs/counters.md): MOVES times its last move, or its count if that is more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.model import NS

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from gateway.layout import Layout

GAUGES: dict[str, tuple[tuple[str, float], ...]] = {
    "energy_active_import": (("power_active_import", 1.0), ("power_active", 1.0)),
    "energy_active_export": (("power_active_export", 1.0), ("power_active", -1.0)),
    "energy_reactive_import": (("power_reactive_import", 1.0),),
    "energy_reactive_export": (("power_reactive_export", 1.0),),
    "energy_apparent_import": (("power_apparent_import", 1.0),),
    "energy_apparent_export": (("power_apparent_export", 1.0),),
    "energy_heat": (("power_thermal", 1.0),),
    "volume": (("flow_volume", 1.0),),
    "volume_forward": (("flow_volume", 1.0),),
    "volume_reverse": (("flow_volume", -1.0),),
    "volume_normal": (("flow_volume_normal", 1.0),),
    "mass": (("flow_mass", 1.0),),
}
"""Counter -> (gauge, sign of it that moves the counter); every gauge is in the counter's canonical unit an hour.

Left out: counters whose meaning the meter's own setting decides.
"""

MOVES = (
    12.0  # a register may only ever move in its next decimal digit (10 counts), and rounds at both ends (2)
)
LAPSES = 2  # it must also stand for this many times as long as it last took to move
UNSEEN_NS = (
    3600 * NS
)  # as long as its own moves are not known: no register is refreshed less often than hourly
GAP_PERIODS = 3.0  # across a longer silence nobody knows what the gauge was
_HOUR_NS = 3600e9
_FLOAT_STEP = 2.0**-23


class StuckWatch:
    """One counter and the gauge that moves it."""

    __slots__ = (
        "_count", "_expected", "_gap_ns", "_gauge", "_lapse_ns", "_level", "_moves", "_rise", "_seen_ns", "_sign",
        "_value", "counter", "since_ns", "stuck",
    )  # fmt: skip

    def __init__(self, counter: int, gauge: int, sign: float, count: float, period_s: float) -> None:
        """counter, gauge: channels of the layout. count: least rise the counter can show; 0 where it is not known."""
        self.counter, self._gauge, self._sign, self._count = counter, gauge, sign, count
        self._gap_ns = int(period_s * GAP_PERIODS * 1e9)
        self.stuck = False
        self.forget()

    def forget(self) -> None:
        """Start over: another device, or a step of the clock."""
        self._value = math.nan
        self._expected = self._level = self._rise = 0.0
        self._seen_ns = self.since_ns = self._lapse_ns = self._moves = 0
        self.stuck = False

    def see(self, time_ns: int, values: array[float], flags: array[int]) -> bool:
        """Return whether the verdict has changed; `stuck` and `since_ns` are the new one."""
        value = values[self.counter]
        if math.isnan(value):
            self._level = 0.0
            return False
        before_ns, self._seen_ns = self._seen_ns, time_ns
        before, self._level = self._level, self._moving(values, flags)
        if value != self._value:
            return self._moved(value, time_ns)
        lapse_ns = time_ns - before_ns
        if lapse_ns <= self._gap_ns:
            self._expected += min(before, self._level) * lapse_ns / _HOUR_NS
        if self.stuck or not self._is_stuck(value, time_ns):
            return False
        self.stuck = True
        return True

    def _moving(self, values: array[float], flags: array[int]) -> float:
        level = values[self._gauge] * self._sign
        return level if level > 0 and not flags[self._gauge] else 0.0

    def _moved(self, value: float, time_ns: int) -> bool:
        rise = value - self._value
        if rise > 0:
            self._rise = rise
            self._lapse_ns = time_ns - self.since_ns
            self._moves += 1
        was_stuck, self.stuck = self.stuck, False
        self._value, self.since_ns, self._expected = value, time_ns, 0.0
        return was_stuck

    def _is_stuck(self, value: float, time_ns: int) -> bool:
        step = max(self._count or abs(value) * _FLOAT_STEP, self._rise)
        if not step or self._expected < MOVES * step:
            return False
        lapse_ns = self._lapse_ns * LAPSES if self._moves > 1 else UNSEEN_NS
        return time_ns - self.since_ns >= lapse_ns


def watches(layout: Layout, count_of: Callable[[int], float]) -> list[StuckWatch]:
    """Return a watch for each counter that has its gauge beside it: same key but for the quantity's name."""
    places = {channel.key: i for i, channel in enumerate(layout.channels)}
    found = []
    for i, channel in enumerate(layout.channels):
        if channel.kind != "counter" or not channel.key.startswith(channel.quantity):
            continue
        place = channel.key.removeprefix(channel.quantity)
        for quantity, sign in GAUGES.get(channel.quantity, ()):
            gauge = places.get(quantity + place)
            if gauge is not None and layout.channels[gauge].quantity == quantity:
                found.append(StuckWatch(i, gauge, sign, count_of(i), layout.period_s))
                break
    return found

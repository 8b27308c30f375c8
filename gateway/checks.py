"""Doubts about values, written into flags; a value is never altered and never dropped.

RANGE: outside the channel's plausible limits. ROLLBACK: a counter fell and its modulus does not explain it.
JUMP: a counter rose by more than its declared `rate_max` allows, and by more than one count.
"""

from __future__ import annotations

import math
from decimal import Decimal
from operator import le
from typing import TYPE_CHECKING

from gateway import wire
from gateway.counters import delta
from gateway.model import ABSENT, Flag

if TYPE_CHECKING:
    from array import array

    from gateway.layout import Layout, Slot

NS = 1_000_000_000
_WIDEST = math.inf
_FLOAT_STEP = 2.0**-22  # one step of a float32 against its value
_ABSENT, _RANGE, _ROLLBACK, _JUMP = int(ABSENT), int(Flag.RANGE), int(Flag.ROLLBACK), int(Flag.JUMP)


class Checker:
    """The checks of one layout; remembers the last reading of each counter."""

    def __init__(self, layout: Layout) -> None:
        """layout: gives limits, kinds, moduli and rates."""
        channels = layout.channels
        self._lows = [-_WIDEST if c.low is None else c.low for c in channels]
        self._highs = [_WIDEST if c.high is None else c.high for c in channels]
        self._counters = [i for i, c in enumerate(channels) if c.kind == "counter"]
        self._rates = [c.rate_max for c in channels]
        self._moduli = [None if c.modulus is None else Decimal(c.modulus) for c in channels]
        self._counts = [_count(slot) for slot in layout.slots]
        self._last = [math.nan] * len(channels)
        self._last_ns = [0] * len(channels)  # 0: unknown

    def check(self, time_ns: int, values: array[float], flags: array[int]) -> None:
        """Add flags to the doubtful ones of `values`, read at `time_ns`."""
        # NaN compares false, so an absent value takes the slow way, and finds its flag there.
        if not (all(map(le, self._lows, values)) and all(map(le, values, self._highs))):
            self._range(values, flags)
        lasts, times, rates = self._last, self._last_ns, self._rates
        for i in self._counters:
            value = values[i]
            rise = value - lasts[i]
            if rise == 0.0:
                times[i] = time_ns
            elif rise > 0.0 and rates[i] is None:
                lasts[i] = value
                times[i] = time_ns
            else:
                self._counter(i, time_ns, value, flags)

    def clock_stepped(self) -> None:
        """Forget when the counters were read: across a step of the clock no rate is known."""
        self._last_ns = [0] * len(self._last_ns)

    def _range(self, values: array[float], flags: array[int]) -> None:
        for i, (value, low, high) in enumerate(zip(values, self._lows, self._highs, strict=True)):
            if not low <= value <= high and not flags[i] & _ABSENT:
                flags[i] |= _RANGE

    def _counter(self, i: int, time_ns: int, value: float, flags: array[int]) -> None:
        if flags[i] & _ABSENT or math.isnan(value):
            return
        last, last_ns = self._last[i], self._last_ns[i]
        self._last[i], self._last_ns[i] = value, time_ns
        if math.isnan(last):
            return
        rise = value - last
        if rise < 0:
            change = delta(Decimal(last), Decimal(value), self._moduli[i])
            if change.amount is None:
                flags[i] |= _ROLLBACK
                return
            rise = float(change.amount)
        rate_max = self._rates[i]
        if rate_max is None or not last_ns:
            return
        count = self._counts[i] or abs(value) * _FLOAT_STEP
        if rise > rate_max * max(time_ns - last_ns, 0) / NS + count * 1.5:
            flags[i] |= _JUMP


def _count(slot: Slot) -> float:
    """Return the smallest rise an integer register can show (a coarse counter ticks in whole counts); 0 for floats."""
    kind = slot.parts[0].type
    if kind == "ua" or wire.TYPES[kind].code in {"f", "d"}:
        return 0.0
    return abs(float(slot.coefficient)) * min(float(part.factor) for part in slot.parts)

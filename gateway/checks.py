"""Doubts about values, written into flags; a value is never altered and never dropped.

RANGE: outside the channel's plausible limits. ROLLBACK: a counter fell and its modulus does not explain it.
JUMP: a counter rose faster than its declared `rate_max`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.counters import delta
from gateway.model import ABSENT, Flag

if TYPE_CHECKING:
    from array import array

    from gateway.layout import Layout

NS = 1_000_000_000
_WIDEST = 1.7e308


class Checker:
    """The checks of one layout; remembers the last good reading of each counter."""

    def __init__(self, layout: Layout) -> None:
        """layout: gives limits, kinds, moduli and rates."""
        channels = layout.channels
        self._lows = [-_WIDEST if c.low is None else c.low for c in channels]
        self._highs = [_WIDEST if c.high is None else c.high for c in channels]
        self._counters = [
            (i, c.rate_max, None if c.modulus is None else Decimal(c.modulus))
            for i, c in enumerate(channels)
            if c.kind == "counter"
        ]
        self._last: list[tuple[float, int] | None] = [None] * len(channels)

    def check(self, time_ns: int, values: array[float], flags: array[int]) -> None:
        """Add flags to the doubtful ones of `values`, read at `time_ns`."""
        for i, (value, low, high) in enumerate(zip(values, self._lows, self._highs, strict=True)):
            if not low <= value <= high and not flags[i] & ABSENT:
                flags[i] |= Flag.RANGE
        for i, rate_max, modulus in self._counters:
            value = values[i]
            last = self._last[i]
            if flags[i] & ABSENT or math.isnan(value):
                continue
            self._last[i] = (value, time_ns)
            if last is None:
                continue
            rise = value - last[0]
            if rise < 0:
                change = delta(Decimal(last[0]), Decimal(value), modulus)
                if change.amount is None:
                    flags[i] |= Flag.ROLLBACK
                    continue
                rise = float(change.amount)
            if rate_max is not None and rise * NS > rate_max * max(time_ns - last[1], 1):
                flags[i] |= Flag.JUMP
